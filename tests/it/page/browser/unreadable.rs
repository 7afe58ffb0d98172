//! Messages that cannot be read: not yet, never, or because they are odd.

use serde_json::{Value, json};
use wharf::event::Message;
use wharf::page::{PageEvent, PageStatus};

use crate::page::rig::{Opened, Simulator, look};
use crate::support::until;

const ADA: &str = "491700000001";
const BOB: &str = "491700000002";

async fn linked(profile: &std::path::Path) -> (Simulator, Opened) {
    let simulator = Simulator::start().await;
    simulator.phone(ADA, "Ada").await;
    simulator.phone(BOB, "Bob").await;
    let mut opened = Opened::open(profile, &simulator.url()).await;
    opened.link(&simulator, ADA).await;
    (simulator, opened)
}

/// Bob writes what Ada's linked devices cannot read; answers its id when the page has it.
async fn write_encrypted(simulator: &Simulator, profile: &std::path::Path, text: &str) -> String {
    let message = json!({"to": ADA, "text": text, "encrypted": true});
    let path = format!("phones/{BOB}/messages");
    let written = simulator.control("POST", &path, &message).await;
    let id = written["id"].as_str().unwrap().to_owned();
    let there = format!("WPP.whatsapp.MsgStore.getModelsArray().some((model) => model.id.id === '{id}')");
    until("the message in the page", async || {
        (look(profile, &there).await == true).then_some(())
    })
    .await;
    id
}

async fn send_keys(simulator: &Simulator, id: &str) {
    let path = format!("phones/{BOB}/messages/{id}/keys");
    simulator.control("POST", &path, &Value::Null).await;
}

/// All messages that are reported up to the one with this text.
async fn told_until(opened: &mut Opened, text: &str) -> Vec<Message> {
    let mut told = Vec::new();
    loop {
        let message = opened
            .event(|event| match event {
                PageEvent::Message { message, .. } => Some(message.clone()),
                _ => None,
            })
            .await
            .1;
        told.push(message);
        if told.last().unwrap().body.as_deref() == Some(text) {
            return told;
        }
    }
}

fn bodies(told: &[Message]) -> Vec<&str> {
    told.iter().filter_map(|message| message.body.as_deref()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_can_be_read_later_is_told_once_with_its_text_also_after_a_reload() {
    let profile = tempfile::tempdir().unwrap();
    let (simulator, mut opened) = linked(profile.path()).await;

    let id = write_encrypted(&simulator, profile.path(), "first").await;
    send_keys(&simulator, &id).await;
    simulator.write(BOB, ADA, "after the first").await;
    let told = told_until(&mut opened, "after the first").await;
    assert_eq!(bodies(&told), ["first", "after the first"]);
    assert!(told[0].id.ends_with(&id) && told[0].kind == "chat", "{told:?}");

    // In a new document the library says nothing of it any more. One is asked for by a sweep, one is not.
    let unswept = write_encrypted(&simulator, profile.path(), "second").await;
    opened.tab.reload().await.unwrap();
    opened.status(PageStatus::is_usable).await;
    send_keys(&simulator, &unswept).await;
    let told = told_until(&mut opened, "second").await;
    assert_eq!(bodies(&told), ["second"]);

    let swept = write_encrypted(&simulator, profile.path(), "third").await;
    opened.tab.reload().await.unwrap();
    opened.status(PageStatus::is_usable).await;
    let read = opened.tab.history(&told[0].chat, 0, 100).await.unwrap();
    assert_eq!(bodies(&read), ["first", "after the first", "second"]);
    send_keys(&simulator, &swept).await;
    simulator.write(BOB, ADA, "after the third").await;
    let told = told_until(&mut opened, "after the third").await;
    assert_eq!(bodies(&told), ["third", "after the third"]);
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_never_can_be_read_is_told_as_it_is_after_a_while_also_after_a_reload() {
    let profile = tempfile::tempdir().unwrap();
    let (simulator, mut opened) = linked(profile.path()).await;
    let id = write_encrypted(&simulator, profile.path(), "never").await;
    simulator.write(BOB, ADA, "before it").await;
    // Held back, so what came after it is told first.
    let told = told_until(&mut opened, "before it").await;
    assert_eq!(bodies(&told), ["before it"]);
    let chat = told[0].chat.clone();
    for document in ["the first", "the second"] {
        let message = opened
            .event(|event| match event {
                PageEvent::Message { message, .. } => Some(message.clone()),
                _ => None,
            })
            .await
            .1;
        assert!(
            message.id.ends_with(&id) && message.kind == "ciphertext" && message.body.is_none(),
            "{document}: {message:?}"
        );
        opened.tab.reload().await.unwrap();
        opened.status(PageStatus::is_usable).await;
        opened.tab.history(&chat, 0, 100).await.unwrap();
    }
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_odd_message_does_not_hide_the_others_of_its_chat() {
    let profile = tempfile::tempdir().unwrap();
    let (simulator, mut opened) = linked(profile.path()).await;
    for text in ["one", "throws", "two", "untyped", "three", "rejected"] {
        simulator.write(BOB, ADA, text).await;
    }
    let told = told_until(&mut opened, "rejected").await;
    let odd = "const of = (body) => WPP.whatsapp.MsgStore.getModelsArray().find((model) => model.body === body);
        const throwing = { get() { throw new Error('odd'); } };
        Object.defineProperty(of('throws'), 'notifyName', throwing);
        Object.defineProperty(of('untyped'), 'type', throwing);
        of('rejected').ack = 1.5; 0";
    look(profile.path(), odd).await;
    let read = opened.tab.history(&told[0].chat, 0, 100).await.unwrap();
    assert_eq!(bodies(&read), ["one", "two", "three"]);
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_of_the_library_that_cannot_be_read_is_a_gap_and_the_hosts_log_is_not_flooded() {
    let profile = tempfile::tempdir().unwrap();
    let simulator = Simulator::start().await;
    let mut opened = Opened::open(profile.path(), &simulator.url()).await;
    opened.status(|status| status.full_ready).await;
    let flood = "const send = window.wharf$report; let troubles = 0;
        window.wharf$report = (text) => { if (text.includes('\"type\":\"trouble\"')) troubles += 1; send(text); };
        for (let n = 0; n < 300; n++) {
          WPP.emit('chat.new_message', { id: { fromMe: false }, get type() { throw new Error('odd'); } });
          WPP.emit('chat.msg_ack_change', { ack: 2, get ids() { throw new Error('odd'); } });
        }
        troubles";
    let troubles = look(profile.path(), flood).await.as_u64().unwrap();
    assert!((1..50).contains(&troubles), "{troubles}");
    let mut gaps = 0;
    while gaps < 600 {
        let seq = opened
            .event(|event| matches!(event, PageEvent::Gap { dropped: 1 }).then_some(()))
            .await
            .0;
        gaps += 1;
        if gaps % 100 == 0 {
            opened.tab.ack(&opened.page_id, seq).await.unwrap();
        }
    }
    opened.close().await;
}
