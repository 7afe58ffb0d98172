//! Many chats at once under the pacing of the built-in configuration.
//!
//! Time is the test's: it goes on in steps, between which the store, whose clock is the machine's, has time to work. What a
//! script does is done here by an order for each event, with the patience that scripts have: this room does not know scripts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::action::{SendOrder, State, Status};
use crate::config::Sources;
use crate::event::{Event, Kind};
use crate::session::fake::{Host, Shared, message, one, order};
use crate::session::{Deps, Sessions, Tempo};
use crate::store::Store;

const CHATS: usize = 50;
/// What a busy disk may add, in the time of the test: the intent and the answer of each send are synced.
const SLACK: Duration = Duration::from_secs(15);
/// How far the clock goes at a time, and how long the machine has for it.
const STEP: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(5));

#[test]
fn fifty_chats_that_write_at_once_are_all_answered_and_no_faster_than_the_pacing_allows() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    // While something blocks, the runtime does not let time jump by itself.
    let (end, ended) = channel::<()>();
    let blocking = runtime.spawn_blocking(move || ended.recv().ok());
    runtime.block_on(async {
        let work = crowd();
        let clock = async {
            loop {
                tokio::time::advance(STEP.0).await;
                tokio::task::spawn_blocking(rest).await.unwrap();
            }
        };
        tokio::select! {
            () = work => {}
            () = clock => {}
        }
        drop(end);
        blocking.await.unwrap();
    });
}

#[allow(clippy::disallowed_methods, reason = "the machine's time, not the test's")]
fn rest() {
    std::thread::sleep(STEP.1);
}

async fn crowd() {
    let (data, world) = (tempfile::tempdir().unwrap(), Shared::linked());
    let sources = Sources {
        data: Some(data.path().to_owned()),
        ..Sources::default()
    };
    let config = watch::Sender::new(Arc::new(sources.load().unwrap()));
    let (pacing, patience) = {
        let config = config.borrow();
        (config.pacing.clone(), config.scripts.patience)
    };
    let per_minute = usize::try_from(pacing.per_minute).unwrap();
    assert!(
        pacing.enabled && per_minute < CHATS,
        "the crowd is larger than a minute"
    );
    let store = Host::open(data.path());
    let deps = Deps {
        store: store.clone(),
        config: config.subscribe(),
        tracker: TaskTracker::new(),
        stop: CancellationToken::new(),
    };
    let sessions = Sessions::open_with(deps, Arc::new(world.clone()), Tempo::default())
        .await
        .unwrap();
    sessions.create(Some(one()), None).await.unwrap();
    let ready = || sessions.get(&one()).is_some_and(|view| view.state == State::Ready);
    while !ready() {
        tokio::time::sleep(STEP.0).await;
    }

    let begun = Instant::now();
    for number in 0..CHATS {
        let mut written = message(&format!("question {number}"), 2000);
        written.chat = format!("49{number}@c.us");
        written.id = format!("false_{}_{number}", written.chat);
        written.from.clone_from(&written.chat);
        world.arrives(written);
    }
    let sends = journaled(&store).await.into_iter().map(|event| {
        let chat = event.chat().unwrap().to_owned();
        let order = SendOrder {
            to: chat.clone(),
            patience,
            ..order(
                &format!("bot/{}/main/send/one/{chat}/1", event.id),
                &format!("answer to {}", event.text("body").unwrap()),
            )
        };
        let sessions = &sessions;
        async move {
            let sent = sessions.send(order).await.unwrap();
            (sent.status, begun.elapsed())
        }
    });
    let mut answers = join_all(sends).await;
    answers.sort_unstable_by_key(|(_, after)| *after);
    assert!(answers.iter().all(|(status, _)| *status == Status::Sent));

    let mut delivered = BTreeMap::new();
    for (_, chat, text) in &world.lock().delivered {
        assert_eq!(
            delivered.insert(chat.clone(), text.clone()),
            None,
            "{chat} has one answer"
        );
    }
    let wanted = (0..CHATS).map(|number| (format!("49{number}@c.us"), format!("answer to question {number}")));
    assert_eq!(delivered, wanted.collect());

    // A minute's share goes at once, the rest when that minute is over; nobody waits longer than that.
    let after = |number: usize| answers[number].1;
    let minute = Duration::from_secs(60);
    assert!(after(per_minute - 1) < SLACK, "{:?}", after(per_minute - 1));
    for number in per_minute..CHATS {
        let apart = after(number) - after(number - per_minute);
        assert!(apart > minute - SLACK, "{number}: {apart:?}");
    }
    assert!(after(CHATS - 1) < minute + SLACK, "{:?}", after(CHATS - 1));
    sessions.close().await;
    store.close().await.unwrap();
}

/// What the chats have written, as soon as all of it is in the journal.
async fn journaled(store: &Store) -> Vec<Arc<Event>> {
    let mut head = store.head();
    loop {
        head.borrow_and_update();
        let events = store.events(0, 1000).await.unwrap().into_iter().map(|(_, event)| event);
        let messages: Vec<_> = events.filter(|event| event.event == Kind::MESSAGE).collect();
        if messages.len() == CHATS {
            return messages;
        }
        head.changed().await.unwrap();
    }
}
