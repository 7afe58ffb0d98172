//! Sends, and what a sweep reads.

use serde_json::{Value, json};
use tokio_util::task::TaskTracker;
use wharf::action::Content;
use wharf::page::{Begun, Error, Ordered, PageEvent, PageStatus};

use crate::page::rig::{Opened, Simulator};

fn text(text: &str) -> Content {
    Content::Text {
        text: text.to_owned(),
        quote: None,
        mentions: Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_order_for_an_id_gets_the_first_answer_and_nothing_is_sent_twice() {
    let profile = tempfile::tempdir().unwrap();
    let simulator = Simulator::start().await;
    simulator.phone("491700000001", "Ada").await;
    simulator.phone("491700000002", "Bob").await;
    let mut opened = Opened::open(profile.path(), &simulator.url()).await;
    opened.link(&simulator, "491700000001").await;
    let tab = opened.tab.clone();

    let to = tab.resolve("491700000002").await.unwrap();
    assert_eq!(tab.ask(&to.page_id, &to.message_id).await.unwrap(), Begun::NeverOrdered);
    assert_eq!(tab.find_message(&to.chat, &to.message_id).await.unwrap(), None);

    let content = text("the first");
    let (one, two) = tokio::join!(
        tab.order(&to.message_id, &to.chat, &content),
        tab.order(&to.message_id, &to.chat, &content)
    );
    let (one, two) = (one.unwrap(), two.unwrap());
    assert!(matches!(one, Ordered::Sent { ack: 1.. }), "{one:?}");
    assert_eq!(
        (&two, tab.order(&to.message_id, &to.chat, &text("other")).await.unwrap()),
        (&one, one.clone())
    );
    assert_eq!(
        tab.ask(&to.page_id, &to.message_id).await.unwrap(),
        Begun::Answered(one.clone())
    );
    // An id that another document made, and this one was told to send, is known here.
    assert_eq!(tab.ask("another", &to.message_id).await.unwrap(), Begun::Answered(one));
    let never = tab.resolve(&to.chat).await.unwrap().message_id;
    assert_eq!(tab.ask("another", &never).await.unwrap(), Begun::OtherDocument);
    assert!(tab.find_message(&to.chat, &to.message_id).await.unwrap() >= Some(1));

    // The phone's report of a later message shows that no other copy of the first is on its way.
    let later = tab.resolve(&to.chat).await.unwrap();
    tab.order(&later.message_id, &later.chat, &text("later")).await.unwrap();
    let (_, own) = opened.message("later").await;
    assert!(
        own.from_me && own.id == later.message_id && own.chat == to.chat,
        "{own:?}"
    );
    assert_eq!(simulator.count("491700000002", "the first").await, 1);
    assert_eq!(simulator.count("491700000002", "later").await, 1);
    let ids = opened
        .event(|event| match event {
            PageEvent::Ack { ids, ack: 2, .. } => Some(ids.clone()),
            _ => None,
        })
        .await
        .1;
    assert!(
        ids.contains(&to.message_id) || ids.contains(&later.message_id),
        "{ids:?}"
    );

    // What the phone wrote to us is not marked read, and quoting it works.
    let written = simulator.write("491700000002", "491700000001", "question").await;
    let (_, question) = opened.message("question").await;
    let answer = tab.resolve(&question.chat).await.unwrap();
    let content = Content::Text {
        text: "answer".to_owned(),
        quote: Some(question.id.clone()),
        mentions: Vec::new(),
    };
    assert!(matches!(
        tab.order(&answer.message_id, &answer.chat, &content).await.unwrap(),
        Ordered::Sent { .. }
    ));
    let sent = simulator
        .control("GET", "phones/491700000002/messages", &Value::Null)
        .await;
    let find = |text: &str| {
        sent.as_array()
            .unwrap()
            .iter()
            .find(|message| message["text"] == text)
            .unwrap()
            .clone()
    };
    assert_ne!(find("question")["ack"], 3, "{written}");
    assert!(find("answer").to_string().contains("question"), "{}", find("answer"));

    opened.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_an_unknown_number_and_an_answer_that_does_not_come_are_told_apart() {
    let profile = tempfile::tempdir().unwrap();
    let simulator = Simulator::start().await;
    simulator.phone("491700000001", "Ada").await;
    simulator.phone("491700000002", "Bob").await;
    let mut opened = Opened::open(profile.path(), &simulator.url()).await;
    opened.link(&simulator, "491700000001").await;
    let tab = opened.tab.clone();

    for nobody in [
        "491700000099",
        "491700000099@c.us",
        "12",
        "+49 170",
        "nobody",
        "no@where",
    ] {
        let error = tab.resolve(nobody).await.unwrap_err();
        assert!(matches!(error, Error::NoChat { .. }), "{nobody}: {error:?}");
    }

    simulator
        .control("POST", "faults", &json!({"refuse_sends": "ERROR_NETWORK"}))
        .await;
    let to = tab.resolve("491700000002").await.unwrap();
    let answer = tab.order(&to.message_id, &to.chat, &text("refused")).await.unwrap();
    let Ordered::Refused { reason } = &answer else {
        panic!("{answer:?}")
    };
    assert!(reason.contains("ERROR_NETWORK"), "{reason}");
    assert_eq!(
        tab.ask(&to.page_id, &to.message_id).await.unwrap(),
        Begun::Answered(answer)
    );

    simulator
        .control("POST", "faults", &json!({"mute_answers": true}))
        .await;
    let to = tab.resolve("491700000002").await.unwrap();
    let order = {
        let (tab, to) = (tab.clone(), to.clone());
        TaskTracker::new().spawn(async move { tab.order(&to.message_id, &to.chat, &text("muted")).await })
    };
    while simulator.count("491700000002", "muted").await == 0 {
        assert!(!order.is_finished(), "it was answered");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(tab.ask(&to.page_id, &to.message_id).await.unwrap(), Begun::Running);
    let early = tab.resolve("491700000002").await.unwrap();
    // The document goes: the order cannot be known any more, and another document knows nothing of it.
    simulator.control("POST", "faults", &json!({})).await;
    tab.reload().await.unwrap();
    let error = order.await.unwrap().unwrap_err();
    assert!(error.is_uncertain(), "{error}");
    opened.status(PageStatus::is_usable).await;
    assert_eq!(
        tab.ask(&to.page_id, &to.message_id).await.unwrap(),
        Begun::OtherDocument
    );
    assert!(tab.find_message(&to.chat, &to.message_id).await.unwrap().is_some());

    // An id that was made before the reload and ordered after it: the document that was ordered knows.
    let answer = tab.order(&early.message_id, &early.chat, &text("late")).await.unwrap();
    assert_eq!(
        tab.ask(&early.page_id, &early.message_id).await.unwrap(),
        Begun::Answered(answer)
    );
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_finds_the_chats_and_their_messages_in_order() {
    let profile = tempfile::tempdir().unwrap();
    let simulator = Simulator::start().await;
    for (number, name) in [
        ("491700000001", "Ada"),
        ("491700000002", "Bob"),
        ("491700000003", "Cem"),
    ] {
        simulator.phone(number, name).await;
    }
    let group = simulator
        .control(
            "POST",
            "groups",
            &json!({"name": "all", "members": ["491700000001", "491700000002", "491700000003"]}),
        )
        .await;
    let group = group["id"].as_str().unwrap().to_owned();
    for n in 0..120 {
        simulator
            .write("491700000002", "491700000001", &format!("old {n}"))
            .await;
    }
    simulator.write("491700000003", &group, "to all").await;
    let mut opened = Opened::open(profile.path(), &simulator.url()).await;
    opened.link(&simulator, "491700000001").await;
    let chats = opened.tab.chats(10).await.unwrap();
    assert!(
        chats.is_sorted_by(|one, other| one.timestamp_ms >= other.timestamp_ms),
        "{chats:?}"
    );
    assert!(chats.iter().any(|chat| chat.id == group), "{chats:?}");
    assert_eq!(opened.tab.chats(1).await.unwrap().len(), 1);
    let bob = chats
        .iter()
        .find(|chat| chat.id != group && chat.unread == 120)
        .unwrap_or_else(|| panic!("{chats:?}"));

    let all = opened.tab.history(&bob.id, 0, 1000).await.unwrap();
    let bodies: Vec<_> = all.iter().filter_map(|message| message.body.clone()).collect();
    let expected: Vec<_> = (0..120).map(|n| format!("old {n}")).collect();
    assert_eq!(bodies, expected);
    let newest = opened.tab.history(&bob.id, 0, 7).await.unwrap();
    assert_eq!(newest.last().unwrap().body.as_deref(), Some("old 119"));
    assert_eq!(newest.len(), 7);
    assert_eq!(
        opened
            .tab
            .history(&bob.id, all.last().unwrap().timestamp, 1000)
            .await
            .unwrap(),
        []
    );

    let said = opened.tab.history(&group, 0, 10).await.unwrap();
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!(said[0].chat, group);
    assert_eq!(said[0].sender.phone.as_deref(), Some("491700000003"), "{:?}", said[0]);
    assert!(said[0].author.is_some());
    opened.close().await;
}
