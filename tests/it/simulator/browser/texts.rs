//! Texts in and out, with acks, answers, groups, and between two accounts.

use serde_json::{Value, json};

use super::*;

#[tokio::test]
async fn texts_go_both_ways_with_their_acks() {
    let simulator = town().await;
    let folder = tempfile::tempdir().unwrap();
    let tab = linked(&simulator, folder.path(), ADA).await;

    // In.
    let written = simulator.write(BOB, ADA, "how much?").await;
    let (at, message) = tab
        .event("chat.new_message", 0, |message| message["raw"] == json!(written.id))
        .await;
    let expected = json!({"chat": BOB_CHAT, "from": BOB_CHAT, "to": format!("{ADA}@c.us"), "author": null, "fromMe": false,
        "body": "how much?", "type": "chat", "name": "Bob", "isNewMsg": true, "quoted": null});
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&message[field], value, "{field} of {message}");
    }
    assert_eq!(message["t"].as_i64().unwrap(), written.timestamp / 1000);
    tab.event("chat.new_chat", 0, |chat| chat == BOB_CHAT).await;
    simulator.write(BOB, ADA, "please").await;
    let grown = |change: &Value| change["chat"] == BOB_CHAT && change["unread"] == 2 && change["before"] == 1;
    tab.event("chat.unread_count_changed", 0, grown).await;
    let unread = "WPP.chat.list({onlyWithUnreadMessage: true}).then((all) => all.map((chat) => [String(chat.id), chat.unreadCount]))";
    assert_eq!(tab.eval(unread).await, json!([[BOB_CHAT, 2]]));
    let known = simulator.messages(BOB).await.remove(0);
    assert_eq!(known.ack, 2, "delivered, not read");
    tab.eval(&format!("WPP.chat.markIsRead('{BOB_CHAT}').then(() => true)"))
        .await;
    simulator
        .message(BOB, |message| message.id == written.id && message.ack == 3)
        .await;
    tab.event("chat.unread_count_changed", at, |change| change["unread"] == 0)
        .await;
    assert_eq!(tab.eval(unread).await, json!([]));

    // Out, as an answer.
    simulator.set_online(BOB, false).await;
    let id = message["id"].as_str().unwrap();
    let answer = send(&tab, BOB_CHAT, "ten", &format!("{{quotedMsg: {id:?}}}")).await;
    assert_eq!((&answer["result"], &answer["to"]), (&json!("OK"), &json!(BOB_CHAT)));
    let raw = answer["id"].as_str().unwrap().split('_').nth(2).unwrap().to_owned();
    let shown = simulator.message(BOB, |message| message.id == raw).await;
    assert_eq!((shown.text.as_str(), shown.ack), ("ten", 0));
    assert_eq!(shown.quoted.unwrap()["id"], json!(written.id));
    tab.event("chat.new_message", at, |message| {
        message["raw"] == json!(raw) && message["fromMe"] == true
    })
    .await;
    let ack = async |level: i64| {
        tab.event("chat.msg_ack_change", at, |change| {
            change["ack"] == level && change["ids"][0].as_str().is_some_and(|id| id.contains(&raw))
        })
        .await
        .0
    };
    let sent = ack(1).await;
    simulator.set_online(BOB, true).await;
    let delivered = ack(2).await;
    simulator.read(BOB, ADA).await;
    let read = ack(3).await;
    assert!(sent < delivered && delivered < read, "{sent} {delivered} {read}");
    let by_id = format!(
        "WPP.chat.getMessageById({:?}).then((msg) => [msg.body, msg.ack])",
        answer["id"].as_str().unwrap()
    );
    assert_eq!(tab.eval(&by_id).await, json!(["ten", 3]));

    // To somebody who has never written, and to nobody.
    let first = send(&tab, &format!("{CLEO}@c.us"), "hello", "{}").await;
    assert_eq!(first["result"], "OK");
    simulator.message(CLEO, |message| message.text == "hello").await;
    assert_eq!(
        tab.eval(&format!(
            "WPP.contact.queryExists('{CLEO}@c.us').then((who) => String(who.wid))"
        ))
        .await,
        format!("{CLEO}@c.us")
    );
    assert_eq!(tab.eval("WPP.contact.queryExists('999999999@c.us')").await, Value::Null);
    assert!(
        tab.try_eval("WPP.chat.sendTextMessage('999999999@c.us', 'hello').then(String)")
            .await
            .is_err()
    );

    // The same id twice: the library has no guard, and both reach the phone.
    for _ in 0..2 {
        let twice = send(
            &tab,
            BOB_CHAT,
            "once more",
            &format!("{{messageId: 'true_{BOB_CHAT}_3EB0TWICE'}}"),
        )
        .await;
        assert_eq!(twice["result"], "OK");
    }
    let copies = simulator
        .messages(BOB)
        .await
        .into_iter()
        .filter(|message| message.id == "3EB0TWICE")
        .count();
    assert_eq!(copies, 2);

    // Also at once, with both answers in one batch; the page's own hands stand for the server, which batches as it likes.
    simulator.faults(json!({"mute_answers": true})).await;
    let both = format!(
        "window.__both = Promise.all(['a', 'b'].map(async (text) => (await (await WPP.chat.sendTextMessage('{BOB_CHAT}', text, \
         {{messageId: 'true_{BOB_CHAT}_3EB0BOTH', linkPreview: false, markIsRead: false}})).sendMsgResult).messageSendResult)); 0"
    );
    tab.eval(&both).await;
    until("both on the phone", async || {
        let all = simulator.messages(BOB).await;
        (all.iter().filter(|message| message.id == "3EB0BOTH").count() == 2).then_some(())
    })
    .await;
    let answers = "(() => { const { onSent } = importNamespace('PageOutbox'); const answer = () => onSent({ id: '3EB0BOTH', t: 1 }); \
                   return Promise.all([answer(), answer()]).then(() => true); })()";
    tab.eval(answers).await;
    assert_eq!(tab.eval("window.__both").await, json!(["OK", "OK"]));
    simulator.faults(json!({})).await;

    // The other options: a send that waits, and the chat that is marked read if nothing is said.
    let waits = send(&tab, BOB_CHAT, "typed slowly", "{delay: 200}").await;
    assert_eq!(waits["result"], "OK");
    let unread = simulator.write(BOB, ADA, "are you there?").await;
    tab.event("chat.new_message", 0, |message| message["raw"] == json!(unread.id))
        .await;
    let plain = format!("WPP.chat.sendTextMessage('{BOB_CHAT}', 'yes', {{linkPreview: false}}).then(() => true)");
    tab.eval(&plain).await;
    simulator
        .message(BOB, |message| message.id == unread.id && message.ack == 3)
        .await;

    // Refused: the call resolves and says so.
    simulator.faults(json!({"refuse_sends": "ERROR_NETWORK"})).await;
    let refused = send(&tab, BOB_CHAT, "refused", "{}").await;
    assert_eq!(
        (&refused["result"], &refused["ack"]),
        (&json!("ERROR_NETWORK"), &json!(-1))
    );
    simulator.faults(json!({})).await;
    assert!(
        !simulator
            .messages(BOB)
            .await
            .iter()
            .any(|message| message.text == "refused")
    );

    // What the owner writes on the phone itself, in a later second than the last to Cleo: times are whole seconds there.
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    simulator.write(ADA, BOB, "from my phone").await;
    tab.event("chat.new_message", at, |message| {
        message["body"] == "from my phone" && message["fromMe"] == true
    })
    .await;
    let listed = tab
        .eval("WPP.chat.list().then((all) => all.map((chat) => String(chat.id)))")
        .await;
    assert_eq!(listed, json!([BOB_CHAT, format!("{CLEO}@c.us")]), "newest first");
    tab.close().await;
}

#[tokio::test]
async fn a_group_has_members_authors_and_one_ack_for_all() {
    let simulator = town().await;
    let folder = tempfile::tempdir().unwrap();
    let tab = linked(&simulator, folder.path(), ADA).await;
    let group = simulator.add_group("Lunch", &[ADA, BOB, CLEO]).await;
    tab.until(&format!("WPP.chat.get('{group}') && true")).await;
    let members = format!("WPP.group.getParticipants('{group}').then((all) => all.length)");
    assert_eq!(tab.eval(&members).await, 3);
    // Names are found in the text.
    let named = send(&tab, &group, &format!("ask @{CLEO}"), "{detectMentioned: true}").await;
    assert_eq!(named["result"], "OK");
    let named = simulator
        .message(BOB, |message| message.text == format!("ask @{CLEO}"))
        .await;
    assert_eq!(named.mentions, [format!("{CLEO}@c.us")]);

    simulator.write(BOB, &group, "pizza?").await;
    let (at, message) = tab
        .event("chat.new_message", 0, |message| message["body"] == "pizza?")
        .await;
    assert_eq!((&message["chat"], &message["from"]), (&json!(group), &json!(group)));
    assert_eq!(
        (&message["author"], &message["name"]),
        (&json!(BOB_CHAT), &json!("Bob"))
    );

    let sent = send(
        &tab,
        &group,
        "yes",
        &format!("{{quotedMsg: {:?}}}", message["id"].as_str().unwrap()),
    )
    .await;
    assert_eq!(sent["result"], "OK");
    let at_cleo = simulator.message(CLEO, |message| message.text == "yes").await;
    assert_eq!(
        (at_cleo.author.as_deref(), at_cleo.chat.as_str()),
        (Some(format!("{ADA}@c.us").as_str()), group.as_str())
    );
    assert_eq!(at_cleo.quoted.unwrap()["body"], "pizza?");
    for number in [BOB, CLEO] {
        simulator.read(number, &group).await;
        let of = |change: &Value| change["ack"] == 3 && change["sender"] == json!(format!("{number}@c.us"));
        let (_, change) = tab.event("chat.msg_ack_change", at, of).await;
        assert_eq!(change["chat"], json!(group));
    }
    let by_id = format!(
        "WPP.chat.getMessageById({:?}).then((msg) => msg.ack)",
        sent["id"].as_str().unwrap()
    );
    tab.until(&format!("{by_id}.then((ack) => ack === 3)")).await;
    tab.close().await;
}

#[tokio::test]
async fn two_accounts_write_to_each_other() {
    let simulator = town().await;
    let folder = tempfile::tempdir().unwrap();
    let (ada, bob) = (folder.path().join("ada"), folder.path().join("bob"));
    let (ada, bob) = tokio::join!(linked(&simulator, &ada, ADA), linked(&simulator, &bob, BOB));
    assert_eq!(send(&ada, BOB_CHAT, "ping", "{}").await["result"], "OK");
    let (_, ping) = bob
        .event("chat.new_message", 0, |message| message["body"] == "ping")
        .await;
    let chat = ping["chat"].as_str().unwrap();
    assert_eq!(
        (chat, ping["name"].as_str()),
        (format!("{ADA}@c.us").as_str(), Some("Ada"))
    );
    assert_eq!(send(&bob, chat, "pong", "{}").await["result"], "OK");
    ada.event("chat.new_message", 0, |message| {
        message["body"] == "pong" && message["fromMe"] == false
    })
    .await;
    tokio::join!(ada.close(), bob.close());
}
