//! What a tab does beside sending, and what it looks up.

use serde_json::{Value, json};
use wharf::action::{Act, Contact, Content, Found, Look};
use wharf::page::Error;

use crate::page::rig::{Opened, Simulator};

const ADA: &str = "491700000001";
const BOB: &str = "491700000002";

async fn shown(simulator: &Simulator, raw: &str, holds: impl Fn(&Value) -> bool) -> Value {
    loop {
        let all = simulator
            .control("GET", &format!("phones/{BOB}/messages"), &Value::Null)
            .await;
        let found = all.as_array().unwrap().iter().find(|message| message["id"] == raw);
        if let Some(message) = found.filter(|message| holds(message)) {
            return message.clone();
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acts_reach_the_phone_and_looks_find_what_the_account_knows() {
    let profile = tempfile::tempdir().unwrap();
    let simulator = Simulator::start().await;
    simulator.phone(ADA, "Ada").await;
    simulator.phone(BOB, "Bob").await;
    let mut opened = Opened::open(profile.path(), &simulator.url()).await;
    opened.link(&simulator, ADA).await;
    let tab = opened.tab.clone();
    for n in 0..60 {
        simulator.write(BOB, ADA, &format!("line {n}")).await;
    }
    let (_, asked) = opened.message("line 59").await;
    let raw = asked.id.split('_').nth(2).unwrap().to_owned();

    let react = |emoji: &str| Act::React {
        message: asked.id.clone(),
        emoji: emoji.to_owned(),
    };
    tab.act(&react("👍")).await.unwrap();
    tab.act(&react("👍")).await.unwrap();
    shown(&simulator, &raw, |message| {
        message["reactions"] == json!({ format!("{ADA}@c.us"): "👍" })
    })
    .await;
    tab.act(&react("")).await.unwrap();
    shown(&simulator, &raw, |message| message["reactions"] == json!({})).await;

    let to = tab.resolve(&asked.chat).await.unwrap();
    let text = Content::Text {
        text: "tne".to_owned(),
        quote: None,
        mentions: Vec::new(),
    };
    tab.order(&to.message_id, &to.chat, &text).await.unwrap();
    let own = to.message_id.split('_').nth(2).unwrap();
    let edit = |message: &str| Act::Edit {
        message: message.to_owned(),
        text: "ten".to_owned(),
    };
    tab.act(&edit(&to.message_id)).await.unwrap();
    shown(&simulator, own, |message| {
        message["text"] == "ten" && message["edited"] == true
    })
    .await;
    let revoke = |message: &str| Act::Revoke {
        message: message.to_owned(),
    };
    tab.act(&revoke(&to.message_id)).await.unwrap();
    shown(&simulator, own, |message| message["type"] == "revoked").await;

    // What is not the account's own is left alone, here too.
    for act in [edit(&asked.id), revoke(&asked.id)] {
        let refused = tab.act(&act).await.unwrap_err();
        assert!(matches!(refused, Error::Page { .. }), "{refused}");
    }
    shown(&simulator, &raw, |message| message["text"] == "line 59").await;
    let nowhere = revoke("true_49999999@c.us_3EB0");
    let refused = tab.act(&nowhere).await.unwrap_err();
    assert!(matches!(refused, Error::NoChat { .. }), "{refused}");

    // The chat was not read by all that.
    let unread = |unread| Look::Chats {
        unread,
        groups: Some(false),
        limit: 10,
    };
    let Found::Chats(chats) = tab.look(&unread(true)).await.unwrap() else {
        panic!()
    };
    assert_eq!(
        (chats.len(), chats[0].id.as_str(), chats[0].unread),
        (1, asked.chat.as_str(), 60)
    );
    assert_eq!(chats[0].name.as_deref(), Some("Bob"));
    let typing = Act::Typing {
        chat: asked.chat.clone(),
        millis: 300,
    };
    tab.act(&typing).await.unwrap();
    let typed = async |wanted: bool| loop {
        let phone = simulator.control("GET", &format!("phones/{BOB}"), &Value::Null).await;
        if phone["chats"][0]["typing"] == wanted {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    typed(true).await;
    typed(false).await;
    let read = Act::Read {
        chat: asked.chat.clone(),
    };
    tab.act(&read).await.unwrap();
    shown(&simulator, &raw, |message| message["ack"] == 3).await;
    assert_eq!(tab.look(&unread(true)).await.unwrap(), Found::Chats(Vec::new()));
    let groups = Look::Chats {
        unread: false,
        groups: Some(true),
        limit: 10,
    };
    assert_eq!(tab.look(&groups).await.unwrap(), Found::Chats(Vec::new()));

    // People.
    let contact = |id: &str| Look::Contact { id: id.to_owned() };
    let Found::Contact(Some(bob)) = tab.look(&contact(BOB)).await.unwrap() else {
        panic!()
    };
    let expected = Contact {
        id: format!("{BOB}@c.us"),
        phone: Some(BOB.to_owned()),
        lid: bob.lid.clone(),
        name: Some("Bob".to_owned()),
        business: false,
    };
    assert_eq!(bob, expected);
    let by_lid = tab.look(&contact(bob.lid.as_deref().unwrap())).await.unwrap();
    assert!(
        matches!(&by_lid, Found::Contact(Some(again)) if again.phone == bob.phone),
        "{by_lid:?}"
    );
    assert_eq!(tab.look(&contact("49999999999")).await.unwrap(), Found::Contact(None));

    // History, in pages.
    let page = async |limit: usize, before: Option<String>| {
        let look = Look::History {
            chat: asked.chat.clone(),
            limit,
            before,
        };
        let Found::History(messages) = tab.look(&look).await.unwrap() else {
            panic!()
        };
        messages
    };
    let last = page(5, Some(asked.id.clone())).await;
    let bodies: Vec<&str> = last.iter().filter_map(|message| message.body.as_deref()).collect();
    assert_eq!(bodies, ["line 54", "line 55", "line 56", "line 57", "line 58"]);
    let earlier = page(1_000, Some(last[0].id.clone())).await;
    assert_eq!((earlier.len(), earlier[0].body.as_deref()), (54, Some("line 0")));
    assert_eq!(page(3, None).await.len(), 3);
    tab.close().await.unwrap();
}
