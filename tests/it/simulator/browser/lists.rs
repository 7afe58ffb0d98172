//! Lists of chats, messages and people, and the marks on them.

use serde_json::{Value, json};

use super::*;

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
    let newest = tab
        .eval(&format!(
            "WPP.chat.getMessages('{BOB_CHAT}', {{count: 1}}).then((all) => String(all[0].id))"
        ))
        .await;
    let before = format!("{{count: 2, direction: 'before', id: {newest}}}");
    assert_eq!(bodies(&before).await, json!(["old 57", "old 58"]));
    // Who is in the phone's address book, and not the member of a group who is not.
    let contacts =
        |options: &str| format!("WPP.contact.list({options}).then((all) => all.map((one) => String(one.id)))");
    let mine = tab.eval(&contacts("{onlyMyContacts: true}")).await;
    let all = tab.eval(&contacts("{}")).await;
    assert_eq!(mine, json!([BOB_CHAT]), "of {all}");
    assert!(
        all.as_array().unwrap().contains(&json!(format!("{CLEO}@c.us"))),
        "{all}"
    );
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
