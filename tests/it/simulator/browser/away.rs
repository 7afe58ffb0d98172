//! Messages while one of the two is away: the server, the page, the browser.

use serde_json::json;

use super::*;

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
    let before = tab.events().await.len();
    simulator.faults(json!({"drop_sockets": true})).await;
    let (lost, _) = tab
        .event("conn.stream_info_changed", before, |info| info == "OFFLINE")
        .await;
    tab.event("conn.stream_info_changed", lost, |info| info == "NORMAL")
        .await;
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
