//! What is done with messages that are there, and files that they carry.

use serde_json::{Value, json};

use super::*;

/// One red dot.
const DOT: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";

#[tokio::test]
async fn reactions_edits_and_revokes_go_both_ways() {
    let simulator = town().await;
    let folder = tempfile::tempdir().unwrap();
    let tab = linked(&simulator, folder.path(), ADA).await;
    let written = simulator.write(BOB, ADA, "how much?").await;
    let (_, message) = tab
        .event("chat.new_message", 0, |message| message["raw"] == json!(written.id))
        .await;
    let theirs = message["id"].as_str().unwrap();
    let own = send(&tab, BOB_CHAT, "tne", "{}").await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let raw = own.split('_').nth(2).unwrap().to_owned();

    // From the page.
    for emoji in ["👍", "❤️"] {
        tab.eval(&format!("WPP.chat.sendReactionToMessage({theirs:?}, {emoji:?})"))
            .await;
    }
    let me = format!("{ADA}@c.us");
    let reacted = |message: &crate::support::simulator::PhoneMessage| message.reactions[&me] == "❤️";
    simulator
        .message(BOB, |message| message.id == written.id && reacted(message))
        .await;
    tab.eval(&format!("WPP.chat.sendReactionToMessage({theirs:?}, '')"))
        .await;
    simulator
        .message(BOB, |message| {
            message.id == written.id && message.reactions == json!({})
        })
        .await;
    tab.eval(&format!(
        "WPP.chat.editMessage({own:?}, 'ten', {{linkPreview: false}}).then(() => true)"
    ))
    .await;
    simulator
        .message(BOB, |message| {
            message.id == raw && message.text == "ten" && message.edited
        })
        .await;
    let body = format!("WPP.chat.getMessageById({own:?}).then((msg) => msg.body)");
    assert_eq!(tab.eval(&body).await, "ten");
    assert!(
        tab.try_eval(&format!("WPP.chat.editMessage({theirs:?}, 'ten').then(() => true)"))
            .await
            .is_err(),
        "of another"
    );
    let taken = tab
        .eval(&format!("WPP.chat.deleteMessage({BOB_CHAT:?}, {own:?}, false, true)"))
        .await;
    assert_eq!(
        (&taken["isRevoked"], &taken["isSentByMe"]),
        (&json!(true), &json!(true))
    );
    simulator
        .message(BOB, |message| message.id == raw && message.kind == "revoked")
        .await;

    // From the phone.
    let change = async |of: &str, change: Value| {
        let path = format!("/phones/{BOB}/messages/{of}/change");
        let (status, answer) = simulator.ask(hyper::Method::POST, &path, Some(change)).await;
        assert!(status.is_success(), "{answer}");
    };
    let again = send(&tab, BOB_CHAT, "ten", "{}").await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let raw = again.split('_').nth(2).unwrap();
    simulator.message(BOB, |message| message.id == raw).await;
    change(raw, json!({"chat": ADA, "kind": "react", "emoji": "🙏"})).await;
    let (_, reaction) = tab.event("chat.new_reaction", 0, |_| true).await;
    assert_eq!(reaction, json!({"of": again, "reaction": "🙏", "sender": BOB_CHAT}));
    change(&written.id, json!({"chat": ADA, "kind": "edit", "body": "how many?"})).await;
    let edited = |edit: &Value| edit["id"] == theirs && edit["body"] == "how many?";
    tab.event("chat.msg_edited", 0, edited).await;
    change(&written.id, json!({"chat": ADA, "kind": "revoke"})).await;
    let (_, revoked) = tab.event("chat.msg_revoke", 0, |revoke| revoke["ref"] == theirs).await;
    assert_eq!(revoked["type"], "sender_revoke");
    let type_of = format!("WPP.chat.getMessageById({theirs:?}).then((msg) => msg.type)");
    tab.until(&format!("{type_of}.then((type) => type === 'revoked')"))
        .await;

    // They are kept in the profile.
    tab.go(&simulator.url()).await;
    tab.ready().await;
    assert_eq!(tab.eval(&type_of).await, "revoked");

    // Typing is seen until it ends.
    let typing = async || {
        let phone = simulator.phone(BOB).await;
        let chats = phone["chats"].as_array().unwrap();
        chats.iter().find(|chat| chat["id"] == json!(me)).unwrap()["typing"] == true
    };
    tab.eval(&format!("WPP.chat.markIsComposing({BOB_CHAT:?}).then(() => true)"))
        .await;
    until("typing", async || typing().await.then_some(())).await;
    tab.eval(&format!("WPP.chat.markIsPaused({BOB_CHAT:?}).then(() => true)"))
        .await;
    until("not typing", async || (!typing().await).then_some(())).await;
    tab.close().await;
}

#[tokio::test]
async fn files_go_both_ways_and_are_fetched_when_they_are_wanted() {
    let simulator = town().await;
    let folder = tempfile::tempdir().unwrap();
    let tab = linked(&simulator, folder.path(), ADA).await;

    // Out: a picture with a caption, under an id of ours, and a document.
    let id = format!("true_{BOB_CHAT}_3EB0PICTURE");
    let sent = tab
        .eval(&format!(
            "WPP.chat.sendFileMessage({BOB_CHAT:?}, 'data:image/png;base64,{DOT}', \
             {{type: 'image', caption: 'a dot', filename: 'dot.png', messageId: {id:?}}})\
             .then(({{id, sendMsgResult}}) => ({{id: String(id), result: sendMsgResult.messageSendResult}}))"
        ))
        .await;
    assert_eq!(sent, json!({"id": id, "result": "OK"}));
    let picture = simulator.message(BOB, |message| message.id == "3EB0PICTURE").await;
    assert_eq!((picture.kind.as_str(), picture.text.as_str()), ("image", "a dot"));
    let media = picture.media.unwrap();
    assert_eq!((&media["mimetype"], &media["size"]), (&json!("image/png"), &json!(70)));
    let sent = tab
        .eval(&format!(
            "WPP.chat.sendFileMessage({BOB_CHAT:?}, 'data:text/plain;base64,aGVsbG8=', {{type: 'document', filename: 'a.txt'}})\
             .then(({{sendMsgResult}}) => sendMsgResult.messageSendResult)"
        ))
        .await;
    assert_eq!(sent, "OK");
    let document = simulator.message(BOB, |message| message.kind == "document").await;
    assert_eq!(document.media.unwrap()["filename"], "a.txt");

    // In.
    let file = json!({"data": DOT, "mimetype": "image/png"});
    let written = simulator
        .write_with(BOB, json!({"to": ADA, "text": "mine", "media": file}))
        .await;
    let (_, message) = tab
        .event("chat.new_message", 0, |message| message["raw"] == json!(written.id))
        .await;
    assert_eq!(message["type"], "image");
    let id = message["id"].as_str().unwrap();
    let bytes = format!(
        "WPP.chat.downloadMedia({id:?}).then(async (blob) => [blob.type, btoa(String.fromCharCode(...new Uint8Array(await blob.arrayBuffer())))])"
    );
    assert_eq!(tab.eval(&bytes).await, json!(["image/png", DOT]));

    // The server has forgotten it.
    let gone = simulator
        .write_with(
            BOB,
            json!({"to": ADA, "text": "", "media": {"data": "AAAA", "mimetype": "image/png"}}),
        )
        .await;
    let (_, message) = tab
        .event("chat.new_message", 0, |message| message["raw"] == json!(gone.id))
        .await;
    let (status, _) = simulator.ask(hyper::Method::DELETE, "/files", None).await;
    assert!(status.is_success());
    let id = message["id"].as_str().unwrap();
    let refused = tab
        .eval(&format!(
            "WPP.chat.downloadMedia({id:?}).then(() => 'there', (error) => error.code)"
        ))
        .await;
    assert_eq!(refused, "media_not_found");
    tab.close().await;
}
