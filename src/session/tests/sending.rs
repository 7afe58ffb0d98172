//! A message is not sent twice, whatever is lost between its steps.

use std::sync::Arc;
use std::time::Duration;

use crate::action::{FailureKind, Status};
use crate::event::Source;
use crate::session::fake::{Fate, Host, Shared, one, order};
use crate::store::{Batch, Intent};

fn start() -> (tempfile::TempDir, Shared, Host) {
    let (data, world) = (tempfile::tempdir().unwrap(), Shared::linked());
    let host = Host::start(data.path(), &world).with_ready_account();
    (data, world, host)
}

#[test]
fn a_key_is_one_message_and_one_answer() {
    let (_data, world, host) = start();
    let first = host.send("s/e/1", "hello").unwrap();
    assert_eq!(first.status, Status::Sent);
    assert_eq!(host.send("s/e/1", "hello").unwrap(), first);
    let other = host.send("s/e/2", "hello").unwrap();
    assert_ne!(other.id, first.id);
    assert_eq!(world.texts(), ["hello", "hello"]);
}

#[test]
fn two_orders_with_a_key_at_the_same_time_are_one_message() {
    let (_data, world, host) = start();
    let sessions = &host.sessions;
    let (first, second) =
        host.run(async { tokio::join!(sessions.send(order("k", "x")), sessions.send(order("k", "x"))) });
    assert_eq!(first.unwrap(), second.unwrap());
    assert_eq!(world.texts().len(), 1);
}

#[test]
fn a_send_waits_for_the_account_and_fails_only_when_its_patience_ends() {
    let (_data, world, host) = start();
    world.lock().offline = true;
    host.wait_for("account.disconnected", 1);
    let impatient = crate::action::SendOrder {
        patience: Duration::ZERO,
        ..order("a", "now or never")
    };
    let failure = host.run(host.sessions.send(impatient)).unwrap_err();
    assert_eq!(failure.kind, FailureKind::NotConnected);
    assert!(failure.message.contains("disconnected"), "{}", failure.message);
    let (sent, ()) = host.run(async {
        tokio::join!(host.sessions.send(order("b", "patient")), async {
            tokio::task::yield_now().await;
            world.lock().offline = false;
        })
    });
    assert_eq!(sent.unwrap().status, Status::Sent);
    assert_eq!(world.texts(), ["patient"]);
}

#[test]
fn a_refusal_ends_the_intent_and_the_same_key_begins_anew() {
    let (_data, world, host) = start();
    world.lock().fates.push_back(Fate::Refused);
    assert_eq!(host.send("k", "x").unwrap_err().kind, FailureKind::Refused);
    assert_eq!(host.run(host.store.intent("k")).unwrap(), None);
    assert_eq!(host.send("k", "x").unwrap().status, Status::Sent);
    world.lock().fates.push_back(Fate::Thrown);
    assert_eq!(host.send("l", "y").unwrap_err().kind, FailureKind::Refused);
    assert_eq!(host.run(host.store.intent("l")).unwrap(), None);
    let nobody = crate::action::SendOrder {
        to: "nobody".to_owned(),
        ..order("m", "z")
    };
    assert_eq!(
        host.run(host.sessions.send(nobody)).unwrap_err().kind,
        FailureKind::Refused
    );
    assert_eq!(world.texts(), ["x"]);
}

#[test]
fn a_document_that_is_lost_before_the_answer_never_leads_to_a_second_message() {
    let (_data, world, host) = start();
    for (fate, status) in [
        (Fate::LostAfter(Some(1)), Status::Sent),
        (Fate::LostAfter(Some(3)), Status::Sent),
        (Fate::LostAfter(None), Status::Unknown),
        (Fate::LostBefore, Status::Unknown),
    ] {
        world.lock().fates.push_back(fate.clone());
        let key = format!("greeter/evt_1/{fate:?}");
        let answer = host.send(&key, &key).unwrap();
        assert_eq!(answer.status, status, "{fate:?}");
        assert_eq!(host.send(&key, &key).unwrap(), answer);
        assert!(world.texts().iter().filter(|text| **text == key).count() <= 1);
    }
    let unknown = host.named("action.unknown");
    assert_eq!(unknown.len(), 2);
    assert_eq!(unknown[0].text("script"), Some("greeter"));
    assert_eq!(unknown[0].text("event"), Some("evt_1"));
    assert_eq!(unknown[0].text("chat"), Some("492@c.us"));
    assert!(world.lock().fates.is_empty());
}

#[test]
fn what_whatsapp_web_still_has_to_send_is_waited_for() {
    let (_data, world, host) = start();
    world.lock().fates.push_back(Fate::LostAfter(Some(0)));
    let (sent, ()) = host.run(async {
        tokio::join!(host.sessions.send(order("k", "x")), async {
            while world.lock().kept.is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            world.lock().kept.values_mut().for_each(|ack| *ack = 1);
        })
    });
    assert_eq!(sent.unwrap().status, Status::Sent);
    assert_eq!(host.named("action.unknown").len(), 0);
}

/// The host is killed while the page is told to send; then another host starts.
fn killed_in_the_order(fate: Fate, outlives: bool) -> (tempfile::TempDir, Shared, Host) {
    let (data, world, host) = start();
    world.lock().fates.push_back(fate);
    let sessions = host.sessions.clone();
    host.spawn(async move {
        sessions.send(order("s/e/1", "once")).await.ok();
    });
    host.until(|| world.lock().fates.is_empty());
    host.kill();
    world.lock().outlives = outlives;
    let host = Host::start(data.path(), &world);
    host.wait_ready();
    (data, world, host)
}

#[test]
fn after_a_kill_the_table_of_the_same_document_answers() {
    let (_data, world, host) = killed_in_the_order(Fate::Mute, true);
    assert_eq!(host.send("s/e/1", "once").unwrap().status, Status::Sent);
    assert_eq!(world.texts(), ["once"]);
    assert_eq!(host.named("action.unknown").len(), 0);
}

#[test]
fn after_a_kill_and_a_new_document_the_message_is_looked_for() {
    let (_data, world, host) = killed_in_the_order(Fate::Mute, false);
    assert_eq!(host.send("s/e/1", "once").unwrap().status, Status::Sent);
    assert_eq!(world.texts(), ["once"]);
}

#[test]
fn after_a_kill_what_cannot_be_found_is_unknown_and_not_sent_again() {
    let (_data, world, host) = killed_in_the_order(Fate::Hangs, false);
    assert_eq!(host.send("s/e/1", "once").unwrap().status, Status::Unknown);
    assert_eq!(world.texts(), [""; 0]);
    assert_eq!(host.wait_for("action.unknown", 1).len(), 1);
}

fn intent(key: &str, id: Option<(&str, &str)>) -> Intent {
    let order = order(key, key);
    Intent {
        key: key.to_owned(),
        account: one(),
        chat: id.map(|_| "492@c.us".to_owned()),
        message_id: id.map(|(_, id)| id.to_owned()),
        page_id: id.map(|(page, _)| page.to_owned()),
        to: order.to,
        content: order.content,
        source: Source::Api,
        made_at: 1,
        answer: None,
        keep_until: Some(i64::MAX),
    }
}

#[test]
fn an_intent_that_was_never_ordered_is_sent_at_ready_without_being_asked_for() {
    let (data, world, host) = start();
    let intents = [
        intent("without id", None),
        intent("not ordered", Some(("doc-1", "true_492@c.us_3EB0FF"))),
    ];
    let intents = intents
        .into_iter()
        .map(|intent| (intent.key.clone(), Some(intent)))
        .collect();
    host.run(host.store.commit(Batch {
        intents,
        ..Batch::default()
    }))
    .unwrap();
    host.kill();
    world.lock().outlives = true;
    let host = Host::start(data.path(), &world);
    let answered = |key: &str| host.run(host.store.intent(key)).unwrap().unwrap().answer.is_some();
    host.until(|| answered("without id") && answered("not ordered"));
    let mut texts = world.texts();
    texts.sort();
    assert_eq!(texts, ["not ordered", "without id"]);
}

#[test]
fn an_order_of_the_http_api_that_was_cut_off_has_its_answer_after_ready() {
    let (data, world, host) = start();
    let cut_off = intent("api/1", Some(("doc-1", "true_492@c.us_3EB0FE")));
    world.lock().kept.insert("true_492@c.us_3EB0FE".to_owned(), 2);
    let batch = Batch {
        intents: vec![("api/1".to_owned(), Some(cut_off))],
        ..Batch::default()
    };
    host.run(host.store.commit(batch)).unwrap();
    host.kill();
    let host = Host::start(data.path(), &world);
    let answer = || host.run(host.store.intent("api/1")).unwrap().unwrap().answer;
    host.until(|| answer().is_some());
    assert_eq!(answer().unwrap().status, Status::Sent);
    assert_eq!(world.texts(), [""; 0]);
}

#[test]
fn a_caller_who_goes_away_in_the_middle_leaves_nothing_half_done() {
    let (_data, world, host) = start();
    world.lock().fates.push_back(Fate::LostAfter(Some(1)));
    host.run(async {
        let cut_off = tokio::select! {
            biased;
            _ = host.sessions.send(order("k", "x")) => false,
            () = async { while world.texts().is_empty() { tokio::task::yield_now().await } } => true,
        };
        assert!(cut_off);
    });
    assert_eq!(host.send("k", "x").unwrap().status, Status::Sent);
    assert_eq!(world.texts(), ["x"]);
}

#[test]
fn orders_of_the_http_api_are_refused_when_too_many_wait() {
    let (_data, world, host) = start();
    let mut config = crate::config::Config::clone(&host.config.borrow());
    config.pacing.waiting = 3;
    host.config.send_replace(Arc::new(config));
    world.lock().fates.push_back(Fate::Hangs);
    let api = |key: String| crate::action::SendOrder {
        source: Source::Api,
        ..order(&key, "x")
    };
    for number in 0..4 {
        let sessions = host.sessions.clone();
        host.spawn(async move {
            sessions.send(api(number.to_string())).await.ok();
        });
    }
    host.until(|| world.lock().fates.is_empty());
    let refused = || host.run(host.sessions.send(api("one more".to_owned())));
    host.until(|| host.run(host.store.intents_of(&one())).unwrap().len() == 1);
    assert_eq!(refused().unwrap_err().kind, FailureKind::RateLimited);
}

#[test]
fn a_send_to_an_account_that_is_deleted_meanwhile_fails_as_no_account() {
    let (_data, world, host) = start();
    world.lock().offline = true;
    host.wait_for("account.disconnected", 1);
    let (failure, deleted) = host.run(async {
        tokio::join!(host.sessions.send(order("k", "x")), async {
            tokio::task::yield_now().await;
            host.sessions.delete(&one()).await
        })
    });
    deleted.unwrap();
    assert_eq!(failure.unwrap_err().kind, FailureKind::NoAccount);
    assert_eq!(host.send("k", "x").unwrap_err().kind, FailureKind::NoAccount);
}

#[test]
fn a_send_that_ended_before_it_was_looked_into_is_not_sent_again() {
    let (_data, world, host) = start();
    // Ended in each of the ways there are: its run was committed, or WhatsApp refused it.
    for key in ["ended/e/1", "refused/e/1"] {
        let intent = Intent {
            key: key.to_owned(),
            account: one(),
            chat: Some("492@c.us".to_owned()),
            message_id: Some(format!("true_492@c.us_{key}")),
            page_id: Some("a document of before".to_owned()),
            to: "492@c.us".to_owned(),
            content: order(key, key).content,
            source: Source::Script,
            made_at: 0,
            answer: None,
            keep_until: None,
        };
        let commit = |intent| {
            let batch = Batch {
                intents: vec![(key.to_owned(), intent)],
                ..Batch::default()
            };
            host.run(host.store.commit(batch)).unwrap();
        };
        let inner = &host.sessions.0;
        let account = host.sessions.find(&one()).unwrap();
        let held = host.run(account.keys.lock(key));
        commit(Some(intent));
        let (ended, settled) = tokio::sync::oneshot::channel();
        let looking = crate::session::send::settle_open(Arc::clone(&inner.room), Arc::clone(&account));
        host.spawn(async move {
            looking.await;
            ended.send(()).ok();
        });
        host.until(|| account.keys.interested(key) >= 2);
        commit(None);
        drop(held);
        host.run(settled).unwrap();
    }
    assert_eq!(world.texts(), Vec::<String>::new());
    assert_eq!(host.named("action.unknown").len(), 0);
}
