//! Events: numbered without gaps, journaled once, read in pages.

use tokio::sync::watch;
use wharf::event::{Draft, Kind, Origin};
use wharf::store::{Batch, NewEvent, PageMark, Store};

use super::{account, message, open};

fn of_the_host() -> NewEvent {
    let draft = Draft {
        event: Kind::parse("config.changed").unwrap(),
        account: None,
        timestamp: 1,
        origin: Origin::Live,
        data: Default::default(),
    };
    draft.into()
}

async fn add(store: &Store, events: Vec<NewEvent>) -> Vec<Option<u64>> {
    let made = store
        .commit(Batch {
            events,
            ..Batch::default()
        })
        .await
        .unwrap();
    made.events
        .into_iter()
        .map(|event| event.map(|(offset, _)| offset))
        .collect()
}

#[tokio::test]
async fn an_event_seen_before_is_dropped_and_leaves_no_gap() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    assert_eq!(
        add(&store, vec![message("a", "M1", 1), message("a", "M1", 1)]).await,
        [Some(0), None]
    );
    assert_eq!(
        add(&store, vec![message("a", "M1", 1), message("a", "M2", 2)]).await,
        [None, Some(1)]
    );
    // The same id in another account is another message, and so is another revision of it.
    let mut edited = message("a", "M1", 3);
    edited.once.as_mut().unwrap().kind = "edited:1".to_owned();
    assert_eq!(
        add(&store, vec![message("b", "M1", 1), edited]).await,
        [Some(2), Some(3)]
    );
    assert!(
        store
            .is_seen_as(&account("a"), "100@c.us", "M1", "edited:1")
            .await
            .unwrap()
    );
    assert!(
        !store
            .is_seen_as(&account("b"), "100@c.us", "M1", "edited:1")
            .await
            .unwrap()
    );
    let seqs: Vec<u64> = store
        .events(0, 10)
        .await
        .unwrap()
        .iter()
        .map(|(_, event)| event.seq)
        .collect();
    assert_eq!(seqs, [1, 2, 1, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_comes_twice_at_once_is_journaled_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let twice = (0..200).map(|n| {
        let store = store.clone();
        async move { add(&store, vec![message("a", &format!("M{}", n / 2), 1)]).await[0] }
    });
    let kept = futures::future::join_all(twice).await.into_iter().flatten().count();
    assert_eq!(kept, 100);
    assert_eq!(store.events(0, 1000).await.unwrap().len(), 100);
}

#[tokio::test]
async fn marks_of_pages_and_chats_never_go_backwards() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mark = |page_seq| {
        Some(PageMark {
            account: account("a"),
            page_id: "P".to_owned(),
            page_seq,
        })
    };
    for (page_seq, time) in [(3, 30), (9, 90), (5, 50)] {
        let events = vec![message("a", &format!("M{page_seq}"), time)];
        store
            .commit(Batch {
                events,
                page: mark(page_seq),
                ..Batch::default()
            })
            .await
            .unwrap();
    }
    assert_eq!(store.page_mark(&account("a"), "P").await.unwrap(), Some(9));
    assert_eq!(store.page_mark(&account("a"), "other").await.unwrap(), None);
    assert_eq!(store.page_mark(&account("b"), "P").await.unwrap(), None);
    assert_eq!(store.chat_marks(&account("a")).await.unwrap()["100@c.us"], 90);
}

#[tokio::test]
async fn ids_and_numbers_go_on_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let mut ids = Vec::new();
    for round in 0..3u64 {
        let store = open(dir.path());
        let events = vec![
            message("a", &format!("M{round}"), 1),
            of_the_host(),
            message("b", &format!("M{round}"), 1),
        ];
        let made = store
            .commit(Batch {
                events,
                ..Batch::default()
            })
            .await
            .unwrap();
        for (event, (seq, place)) in made
            .events
            .into_iter()
            .zip([(round + 1, 0), (round + 1, 1), (round + 1, 2)])
        {
            let (offset, event) = event.unwrap();
            assert_eq!((offset, event.seq), (round * 3 + place, seq));
            assert!(event.id.starts_with("evt_") && event.id.len() == 30, "{}", event.id);
            ids.push(event.id.clone());
        }
        store.close().await.unwrap();
    }
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
}

#[tokio::test]
async fn readers_are_told_of_new_events_and_find_any_by_offset_or_id() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut head: watch::Receiver<u64> = store.head();
    let mut ids = Vec::new();
    for n in 0..60 {
        let events = (0..30).map(|m| message("a", &format!("M{n}-{m}"), 1)).collect();
        let made = store
            .commit(Batch {
                events,
                ..Batch::default()
            })
            .await
            .unwrap();
        ids.extend(made.events.into_iter().map(|event| event.unwrap().1.id.clone()));
        head.changed().await.unwrap();
        assert_eq!(*head.borrow_and_update(), ids.len() as u64);
    }
    // From memory, from the disk, and across the border between them; then all from the disk.
    check_reading(&store, &ids).await;
    store.close().await.unwrap();
    check_reading(&open(dir.path()), &ids).await;
}

async fn check_reading(store: &Store, ids: &[String]) {
    let mut read = Vec::new();
    loop {
        let page = store.events(read.len() as u64, 250).await.unwrap();
        if page.is_empty() {
            break;
        }
        read.extend(page);
    }
    assert_eq!(read.len(), ids.len());
    assert!(
        read.iter()
            .zip(ids)
            .enumerate()
            .all(|(n, ((offset, event), id))| { *offset == n as u64 && event.id == *id && event.seq == n as u64 + 1 })
    );
    for n in [0, 1, 700, 1024, 1798, 1799] {
        assert_eq!(store.find_event(&ids[n]).await.unwrap().unwrap().0, n as u64);
    }
    assert_eq!(store.find_event("evt_01ARZ3NDEKTSV4RRFFQ69G5FAV").await.unwrap(), None);
    assert_eq!(store.find_event("M1").await.unwrap(), None);
    assert!(store.events(1800, 10).await.unwrap().is_empty());
    assert!(store.events(u64::MAX, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_text_as_long_as_whatsapp_allows_is_journaled_whole() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut long = message("a", "M1", 1);
    let text = "\u{1F680}".repeat(65_536);
    long.draft.data.insert("body".to_owned(), text.clone().into());
    store
        .commit(Batch {
            events: vec![long],
            ..Batch::default()
        })
        .await
        .unwrap();
    store.close().await.unwrap();
    let store = open(dir.path());
    assert_eq!(store.events(0, 1).await.unwrap()[0].1.text("body"), Some(text.as_str()));
}
