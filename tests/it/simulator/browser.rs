//! The simulator's page in a real browser, seen through the unmodified library alone.
//!
//! Together these tests use every call and event of the library that concerns codes, states, texts, acks and chats.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::browser::Tab;
use crate::support::simulator::Simulator;
use crate::support::until;

const ADA: &str = "4915100000001";
const BOB: &str = "4915100000002";
const CLEO: &str = "4915100000003";
const BOB_CHAT: &str = "4915100000002@c.us";

/// A simulator with three phones.
async fn town() -> Simulator {
    let simulator = Simulator::start().await;
    for (number, name) in [(ADA, "Ada"), (BOB, "Bob"), (CLEO, "Cleo")] {
        simulator.add_phone(number, name).await;
    }
    simulator
}

/// A tab that is linked to a phone.
async fn linked(simulator: &Simulator, profile: &Path, number: &str) -> Tab {
    let tab = Tab::open(profile, &simulator.url()).await;
    let code = tab.code().await;
    simulator.scan(number, &code).await;
    tab.ready().await;
    tab
}

/// Sends a text by the library; answers what it answered, as plain data.
async fn send(tab: &Tab, to: &str, text: &str, options: &str) -> Value {
    let script = format!(
        "WPP.chat.sendTextMessage({to:?}, {text:?}, {{linkPreview: false, markIsRead: false, ...{options}}})\
         .then(async ({{id, ack, from, to, sendMsgResult}}) => ({{id: String(id), ack, from: String(from), to: String(to), \
         result: (await sendMsgResult).messageSendResult}}))"
    );
    tab.eval(&script).await
}

fn names(events: &[Value]) -> Vec<&str> {
    events.iter().filter_map(|event| event["event"].as_str()).collect()
}

fn place(events: &[Value], name: &str) -> usize {
    names(events)
        .iter()
        .position(|found| *found == name)
        .unwrap_or_else(|| panic!("no {name} in {events:?}"))
}

#[tokio::test]
async fn a_page_is_linked_by_the_text_of_its_code_and_restored_from_its_profile() {
    let simulator = town().await;
    simulator.write(BOB, ADA, "before the link").await;
    let folder = tempfile::tempdir().unwrap();
    let (kept, lost) = (folder.path().join("kept"), folder.path().join("lost"));

    let tab = Tab::open(&kept, &simulator.url()).await;
    let code = tab.code().await;
    assert_eq!(code.split(',').count(), 4, "{code}");
    tab.event("conn.require_auth", 0, |_| true).await;
    tab.event("conn.auth_code_change", 0, |shown| shown == &json!(code))
        .await;
    tab.until("WPP.isFullReady").await;
    assert_eq!(
        tab.eval("[WPP.conn.isAuthenticated(), WPP.conn.isRegistered(), WPP.conn.isMainReady()]")
            .await,
        json!([false, false, true])
    );
    assert_eq!(tab.eval("WPP.conn.getStreamData().mode").await, "QR");

    simulator.scan(ADA, &code).await;
    tab.ready().await;
    let events = tab.events().await;
    let first_code = place(&events, "conn.auth_code_change");
    assert!(first_code < place(&events, "conn.authenticated"), "{events:?}");
    assert!(
        place(&events, "conn.authenticated") <= place(&events, "conn.main_loaded") + 1,
        "{events:?}"
    );
    let of = |name: &str| -> Vec<Value> {
        events
            .iter()
            .filter(|event| event["event"] == name)
            .map(|event| event["data"].clone())
            .collect()
    };
    assert_eq!(
        of("conn.stream_mode_changed").last(),
        Some(&json!("MAIN")),
        "{events:?}"
    );
    assert!(of("conn.stream_info_changed").contains(&json!("PAIRING")), "{events:?}");
    assert_eq!(
        of("conn.stream_info_changed").last(),
        Some(&json!("NORMAL")),
        "{events:?}"
    );
    assert_eq!(
        of("conn.auth_code_change").last(),
        Some(&Value::Null),
        "the code is gone"
    );
    assert_eq!(of("conn.main_ready").len(), 1, "once for a document");
    assert!(
        !names(&events).contains(&"chat.new_message"),
        "history is not news: {events:?}"
    );
    assert_eq!(tab.eval("String(WPP.conn.getMyUserId())").await, format!("{ADA}@c.us"));
    assert!(
        tab.eval("String(WPP.conn.getMyUserLid())")
            .await
            .as_str()
            .unwrap()
            .ends_with("@lid")
    );
    assert_eq!(tab.eval("WPP.conn.getHistorySyncProgress().progress").await, 100);
    let history = format!("WPP.chat.getMessages('{BOB_CHAT}', {{count: 5}}).then((all) => all.map((msg) => msg.body))");
    assert_eq!(tab.eval(&history).await, json!(["before the link"]));
    tab.close().await;

    let tab = Tab::open(&kept, &simulator.url()).await;
    tab.ready().await;
    let events = tab.events().await;
    assert!(
        !names(&events).contains(&"conn.authenticated"),
        "that is for a fresh link alone: {events:?}"
    );
    assert!(
        !events
            .iter()
            .any(|event| event["event"] == "conn.auth_code_change" && !event["data"].is_null()),
        "{events:?}"
    );
    assert_eq!(tab.eval(&history).await, json!(["before the link"]));
    assert_eq!(simulator.phone(ADA).await["devices"].as_array().unwrap().len(), 1);
    tab.close().await;

    let tab = Tab::open(&lost, &simulator.url()).await;
    tab.code().await;
    assert_eq!(tab.eval("WPP.conn.isAuthenticated()").await, false);
    tab.close().await;
    simulator.end().await;
}

#[tokio::test]
async fn codes_rotate_until_the_page_is_asked_for_new_ones() {
    let simulator = Simulator::with_codes_of(Duration::from_millis(700)).await;
    let folder = tempfile::tempdir().unwrap();
    let tab = Tab::open(folder.path(), &simulator.url()).await;
    let (idle, _) = tab.event("conn.qrcode_idle", 0, |_| true).await;
    let events = tab.events().await;
    let mut codes: Vec<_> = events
        .iter()
        .filter(|event| event["event"] == "conn.auth_code_change" && !event["data"].is_null())
        .collect();
    let shown = codes.len();
    codes.dedup();
    assert!(
        shown >= 3 && codes.len() == shown,
        "{shown} codes, {} of them different",
        codes.len()
    );
    assert!(simulator.state().await["waiting"].as_array().unwrap().is_empty());

    tab.eval("WPP.conn.refreshQR().then(() => true)").await;
    tab.event("conn.auth_code_change", idle, |code| !code.is_null()).await;
    tab.close().await;
}

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

    // What the owner writes on the phone itself.
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
async fn nothing_is_lost_while_the_page_is_away() {
    let simulator = town().await;
    let folder = tempfile::tempdir().unwrap();
    let tab = linked(&simulator, folder.path(), ADA).await;

    // The page is there, the server is not.
    simulator
        .faults(json!({"drop_sockets": true, "refuse_sockets": true}))
        .await;
    tab.until("WPP.conn.getStreamData().info !== 'NORMAL'").await;
    let queued = format!(
        "WPP.chat.sendTextMessage('{BOB_CHAT}', 'written in the outage', {{waitForAck: false, linkPreview: false, markIsRead: false}})"
    );
    // A chat that it does not know needs the server; one that it knows does not.
    assert!(tab.try_eval(&format!("{queued}.then(String)")).await.is_err());
    simulator.write(BOB, ADA, "written in the outage, too").await;
    simulator.faults(json!({})).await;
    tab.ready().await;
    tab.event("chat.new_message", 0, |message| {
        message["body"] == "written in the outage, too"
    })
    .await;

    simulator
        .faults(json!({"drop_sockets": true, "refuse_sockets": true}))
        .await;
    tab.until("WPP.conn.getStreamData().info !== 'NORMAL'").await;
    let sent = tab
        .eval(&format!("{queued}.then(({{id, ack}}) => ({{id: String(id), ack}}))"))
        .await;
    assert_eq!(sent["ack"], 0);
    let before = tab.events().await.len();
    // The document goes, what it has not sent stays in the profile.
    tab.go(&simulator.url()).await;
    simulator.faults(json!({})).await;
    tab.event("conn.stream_info_changed", before, |info| info == "NORMAL")
        .await;
    simulator
        .message(BOB, |message| message.text == "written in the outage")
        .await;
    tab.until(&format!(
        "WPP.chat.getMessageById({:?}).then((msg) => msg.ack >= 2)",
        sent["id"].as_str().unwrap()
    ))
    .await;

    // The server takes a message and its answer is lost: the page sends it again, and it is delivered once.
    simulator.faults(json!({"mute_answers": true})).await;
    let muted = queued.replace("written in the outage", "answer lost");
    tab.eval(&format!("{muted}.then(String)")).await;
    simulator.message(BOB, |message| message.text == "answer lost").await;
    simulator.faults(json!({"drop_sockets": true})).await;
    simulator.faults(json!({})).await;
    tab.until("WPP.whatsapp.Socket.stream !== 'CONNECTED'").await;
    tab.ready().await;
    tab.close().await;

    // Nobody is there.
    for n in 0..30 {
        simulator.write(BOB, ADA, &format!("away {n}")).await;
    }
    let tab = Tab::open(folder.path(), &simulator.url()).await;
    tab.ready().await;
    let texts = format!(
        "WPP.chat.getMessages('{BOB_CHAT}', {{count: 100}}).then((all) => all.map((msg) => msg.body).filter((body) => body.startsWith('away')))"
    );
    let expected: Vec<_> = (0..30).map(|n| format!("away {n}")).collect();
    assert_eq!(tab.eval(&texts).await, json!(expected));
    assert_eq!(tab.eval(&format!("WPP.chat.get('{BOB_CHAT}').unreadCount")).await, 31);
    until("everything is confirmed", async || {
        (simulator.phone(ADA).await["devices"][0]["waiting"] == 0).then_some(())
    })
    .await;

    // A browser that is ended by force has kept every message that it confirmed.
    simulator.write(BOB, ADA, "just before the end").await;
    tab.event("chat.new_message", 0, |message| {
        message["body"] == "just before the end"
    })
    .await;
    tab.kill().await;
    let tab = Tab::open(folder.path(), &simulator.url()).await;
    tab.ready().await;
    let last = format!("WPP.chat.getMessages('{BOB_CHAT}', {{count: 1}}).then((all) => all[0].body)");
    assert_eq!(tab.eval(&last).await, "just before the end");
    let lost = simulator
        .messages(BOB)
        .await
        .into_iter()
        .filter(|message| message.text == "answer lost")
        .count();
    assert_eq!(lost, 1);
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

#[tokio::test]
async fn a_page_is_told_when_it_is_unlinked_replaced_or_not_served() {
    let simulator = town().await;
    let folder = tempfile::tempdir().unwrap();
    let tab = linked(&simulator, folder.path(), ADA).await;

    // The same profile in another tab: the newer one wins, the older can take over.
    let other = tab.another(&simulator.url()).await;
    tab.event("conn.stream_mode_changed", 0, |mode| mode == "CONFLICT")
        .await;
    let (at, _) = tab
        .event("conn.stream_mode_changed", 0, |mode| mode == "CONFLICT")
        .await;
    tab.eval("WPP.whatsapp.Socket.takeover()").await;
    tab.event("conn.stream_mode_changed", at, |mode| mode == "MAIN").await;
    other.close().await.unwrap();
    tab.ready().await;

    // The server does not serve it for a while.
    simulator.faults(json!({"block": "DEPRECATED_VERSION"})).await;
    tab.event("conn.needs_update", 0, |_| true).await;
    tab.event("conn.stream_mode_changed", 0, |mode| mode == "DEPRECATED_VERSION")
        .await;
    simulator.faults(json!({})).await;
    tab.go(&simulator.url()).await;
    tab.ready().await;

    // The phone removes it.
    let before = tab.events().await.len();
    simulator.unlink(ADA).await;
    let (out, _) = tab.event("conn.logout", before, |_| true).await;
    tab.event("conn.logout_reason", before, |_| true).await;
    tab.event("conn.auth_code_change", out, |code| !code.is_null()).await;
    assert!(
        tab.eval("location.search")
            .await
            .as_str()
            .unwrap()
            .starts_with("?post_logout=1")
    );
    assert_eq!(tab.eval("WPP.conn.isAuthenticated()").await, false);

    // It unlinks itself.
    let code = tab.code().await;
    simulator.scan(ADA, &code).await;
    tab.ready().await;
    let before = tab.events().await.len();
    tab.eval("WPP.conn.logout().then(() => true)").await;
    tab.event("conn.logout", before, |_| true).await;
    until("the phone has no device", async || {
        simulator.phone(ADA).await["devices"]
            .as_array()
            .unwrap()
            .is_empty()
            .then_some(())
    })
    .await;
    tab.close().await;
}

#[tokio::test]
async fn chats_messages_and_people_are_listed_and_marked() {
    let simulator = town().await;
    for n in 0..60 {
        simulator.write(BOB, ADA, &format!("old {n}")).await;
    }
    let group = simulator.add_group("Lunch", &[BOB, ADA, CLEO]).await;
    simulator.write(CLEO, &group, "pizza?").await;
    let folder = tempfile::tempdir().unwrap();
    let tab = linked(&simulator, folder.path(), ADA).await;

    let ids = async |options: &str| {
        tab.eval(&format!(
            "WPP.chat.list({options}).then((all) => all.map((chat) => String(chat.id)))"
        ))
        .await
    };
    assert_eq!(ids("{}").await, json!([group, BOB_CHAT]));
    assert_eq!(ids("{count: 1}").await, json!([group]));
    assert_eq!(ids("{onlyGroups: true}").await, json!([group]));
    // The library teaches chats what they are a second after it is ready.
    tab.until("WPP.chat.list({onlyUsers: true}).then((all) => all.length)")
        .await;
    assert_eq!(ids("{onlyUsers: true}").await, json!([BOB_CHAT]));
    assert_eq!(
        tab.eval("WPP.group.getAllGroups().then((all) => all.map((one) => String(one.id)))")
            .await,
        json!([group])
    );
    assert_eq!(tab.eval(&format!("WPP.group.iAmAdmin('{group}')")).await, false);

    // More than what is in memory after a start, from both ends.
    let bodies = async |options: &str| {
        tab.eval(&format!(
            "WPP.chat.getMessages('{BOB_CHAT}', {options}).then((all) => all.map((msg) => msg.body))"
        ))
        .await
    };
    assert_eq!(bodies("{count: 2}").await, json!(["old 58", "old 59"]));
    assert_eq!(bodies("{count: -1}").await.as_array().unwrap().len(), 60);
    assert_eq!(
        bodies("{onlyUnread: true, count: 100}").await.as_array().unwrap().len(),
        60
    );
    let oldest = tab
        .eval(&format!(
            "WPP.chat.getMessages('{BOB_CHAT}', {{count: -1}}).then((all) => String(all[0].id))"
        ))
        .await;
    let after = format!("{{count: 2, direction: 'after', id: {oldest}}}");
    assert_eq!(bodies(&after).await, json!(["old 1", "old 2"]));
    tab.go(&simulator.url()).await;
    tab.ready().await;
    let again = format!("WPP.chat.getMessageById({oldest}).then((msg) => msg.body)");
    assert_eq!(tab.eval(&again).await, "old 0", "from the profile");

    let who = tab
        .eval(&format!(
            "WPP.contact.getPnLidEntry('{BOB_CHAT}').then((entry) => JSON.stringify(entry))"
        ))
        .await;
    assert!(
        who.as_str().unwrap().contains(BOB) && who.as_str().unwrap().contains("lid"),
        "{who}"
    );
    let people = tab
        .eval("WPP.contact.list().then((all) => all.map((one) => String(one.id)))")
        .await;
    assert!(people.as_array().unwrap().contains(&json!(BOB_CHAT)), "{people}");

    // Marks.
    let unread = async |count: i64| {
        let change = |change: &Value| change["chat"] == BOB_CHAT && change["unread"] == count;
        tab.event("chat.unread_count_changed", 0, change).await;
    };
    tab.eval(&format!("WPP.chat.markIsRead('{BOB_CHAT}').then(() => true)"))
        .await;
    unread(0).await;
    simulator
        .message(BOB, |message| message.text == "old 0" && message.ack == 3)
        .await;
    tab.eval(&format!("WPP.chat.markIsUnread('{BOB_CHAT}').then(() => true)"))
        .await;
    unread(-1).await;
    for mark in ["markIsComposing", "markIsRecording", "markIsPaused"] {
        tab.eval(&format!("WPP.chat.{mark}('{BOB_CHAT}').then(() => true)"))
            .await;
    }

    // Who is named in a text.
    let options = format!("{{mentionedList: ['{BOB_CHAT}']}}");
    assert_eq!(
        send(&tab, &group, &format!("@{BOB} you?"), &options).await["result"],
        "OK"
    );
    let named = simulator.message(BOB, |message| message.text.ends_with("you?")).await;
    assert_eq!(named.mentions.len(), 1, "{named:?}");

    // The machine's network, and storage that cannot be opened.
    tab.set_offline(true).await;
    tab.event("conn.online", 0, |online| online == false).await;
    tab.set_offline(false).await;
    tab.event("conn.online", 0, |online| online == true).await;
    tab.ready().await;
    // A broken storage shows long before the library listens, so the page's own bus is asked for it again.
    tab.eval(
        "(({BackendEvent, BackendEventBus}) => BackendEventBus.trigger(BackendEvent.STORAGE_INITIALIZATION_ERROR, new Error('full')))\
         (importNamespace('WAWebBackendEventBus')), true",
    )
    .await;
    tab.event("conn.backend_event", 0, |_| true).await;
    tab.close().await;
}

#[tokio::test]
async fn a_person_adds_links_and_writes_on_the_page_with_the_phones() {
    let simulator = Simulator::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (ada, people) = (folder.path().join("ada"), folder.path().join("people"));
    let tab = Tab::open(&ada, &simulator.url()).await;
    tab.code().await;
    let page = Tab::bare(&people, &format!("{}phones", simulator.url()), &[]).await;
    let click = async |what: &str, text: &str| {
        let find =
            format!("[...document.querySelectorAll({what:?})].find((one) => one.textContent.includes({text:?}))");
        page.until(&format!("{find} && true")).await;
        page.eval(&format!("{find}.click()")).await;
    };
    let of = |number: &str, what: &str| format!("[data-number=\"{number}\"] {what}");

    for (number, name) in [(ADA, "Ada"), (BOB, "Bob")] {
        click("#new-phone", "Add phone").await;
        let fill = format!(
            "(([number, name]) => {{number.value = '{number}'; name.value = '{name}';}})(document.querySelectorAll('#phone-dialog input'))"
        );
        page.eval(&fill).await;
        click("#phone-dialog button", "Add").await;
        page.until(&format!("document.querySelector('{}') && true", of(number, "header")))
            .await;
    }
    click(&of(ADA, ".strip button"), "Scan").await;
    click("#codes button", "Page").await;
    tab.ready().await;
    page.until(&format!(
        "document.querySelector('{}').textContent.includes('1 device, connected')",
        of(ADA, ".strip")
    ))
    .await;

    click(&of(BOB, ".people button"), "Ada").await;
    page.until(&format!("!document.querySelector('{}').hidden", of(BOB, ".writer")))
        .await;
    let write = format!(
        "((box) => {{box.value = '<b>price</b>'; box.form.requestSubmit();}})(document.querySelector('{}'))",
        of(BOB, ".writer textarea")
    );
    page.eval(&write).await;
    let (_, message) = tab
        .event("chat.new_message", 0, |message| message["body"] == "<b>price</b>")
        .await;
    assert_eq!(
        send(&tab, message["chat"].as_str().unwrap(), "ten", "{}").await["result"],
        "OK"
    );
    // Bob has the chat open, so he has read the answer; Ada's account has not read his question.
    let bubbles = format!(
        "[...document.querySelectorAll('{}')].map((one) => [one.classList.contains('mine'), one.firstChild.textContent, \
         one.querySelector('.tick')?.title ?? ''])",
        of(BOB, ".bubble")
    );
    let expected = json!([[true, "<b>price</b>", "delivered"], [false, "ten", ""]]);
    page.until(&format!("JSON.stringify({bubbles}) === {:?}", expected.to_string()))
        .await;
    simulator
        .message(ADA, |message| message.text == "ten" && message.ack == 3)
        .await;
    tokio::join!(tab.close(), page.close());
}
