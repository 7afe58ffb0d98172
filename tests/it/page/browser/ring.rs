//! The ring of events in the page.

use wharf::page::{PageEvent, PageStatus, Report};

use crate::page::rig::{Opened, Simulator, look};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_stay_in_the_ring_until_they_are_acknowledged() {
    let profile = tempfile::tempdir().unwrap();
    let simulator = Simulator::start().await;
    simulator.phone("491700000001", "Ada").await;
    simulator.phone("491700000002", "Bob").await;
    let mut opened = Opened::open(profile.path(), &simulator.url()).await;
    opened.link(&simulator, "491700000001").await;

    simulator.write("491700000002", "491700000001", "first").await;
    let (first, message) = opened.message("first").await;
    assert!(
        !message.from_me && message.timestamp > 0 && message.kind == "chat",
        "{message:?}"
    );
    assert_eq!(message.sender.phone.as_deref(), Some("491700000002"));
    assert_eq!(message.sender.name.as_deref(), Some("Bob"));

    // Not acknowledged, so it comes again; as when an acknowledgement is lost.
    opened.tab.drain().await.unwrap();
    let (again, same) = opened.message("first").await;
    assert_eq!((again, &same), (first, &message));

    // Of another document: nothing is dropped.
    opened.tab.ack("another", first).await.unwrap();
    opened.tab.drain().await.unwrap();
    assert_eq!(opened.message("first").await.0, first);

    let page = opened.page_id.clone();
    opened.tab.ack(&page, first).await.unwrap();
    simulator.write("491700000002", "491700000001", "second").await;
    let (second, _) = opened.message("second").await;
    opened.tab.drain().await.unwrap();
    let Some(Report::Event { page_seq, .. }) = opened.next().await else {
        panic!("no event")
    };
    assert!(page_seq > first && page_seq <= second, "{first} {page_seq} {second}");

    // A new document has a ring of its own.
    opened.tab.reload().await.unwrap();
    opened.status(PageStatus::is_usable).await;
    simulator.write("491700000002", "491700000001", "third").await;
    opened.message("third").await;
    assert_ne!(opened.page_id, page);
    opened.close().await;
}

/// Messages as the library would report them, made in the page.
const MADE: &str = "const made = (n, type, body) => ({ id: { fromMe: false, remote: '49@c.us', id: 'N' + n, \
     toString: () => 'false_49@c.us_N' + n }, from: '49@c.us', to: '50@c.us', type, body, t: 1, isNewMsg: true, ack: 1 });";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_ring_drops_the_oldest_and_says_how_many() {
    let profile = tempfile::tempdir().unwrap();
    let simulator = Simulator::start().await;
    let mut opened = Opened::open(profile.path(), &simulator.url()).await;
    opened.status(|status| status.full_ready).await;
    let flood =
        format!("{MADE} for (let n = 0; n < 12000; n++) WPP.emit('chat.new_message', made(n, 'chat', 'x' + n)); 0");
    look(profile.path(), &flood).await;
    let mut numbers = Vec::new();
    let (mut last, mut dropped, mut unacknowledged) = (0, 0, 0);
    while numbers.last() != Some(&11_999) {
        let Some(Report::Event {
            page_id,
            page_seq,
            event,
        }) = opened.next().await
        else {
            panic!("no event")
        };
        match event {
            PageEvent::Message { message, .. } => {
                numbers.push(message.body.unwrap().trim_start_matches('x').parse::<u64>().unwrap())
            }
            PageEvent::Gap { dropped: many } => {
                assert_eq!(
                    page_seq,
                    last + many,
                    "a gap has the number of the last that was dropped"
                );
                dropped += many;
            }
            _ => {}
        }
        last = page_seq;
        unacknowledged += 1;
        // At most so many come without an acknowledgement.
        assert!(unacknowledged <= 512);
        if unacknowledged == 512 {
            opened.tab.ack(&page_id, page_seq).await.unwrap();
            unacknowledged = 0;
        }
    }
    assert!((2_000..2_600).contains(&dropped), "{dropped}");
    assert_eq!(numbers.len() as u64 + dropped, 12_000);
    assert!(numbers.is_sorted());
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gap_that_is_itself_dropped_still_counts_all_that_it_stood_for() {
    let profile = tempfile::tempdir().unwrap();
    let simulator = Simulator::start().await;
    let mut opened = Opened::open(profile.path(), &simulator.url()).await;
    opened.status(|status| status.full_ready).await;
    let flood = |from: u32, to: u32| {
        format!(
            "{{ {MADE} for (let n = {from}; n < {to}; n++) WPP.emit('chat.new_message', made(n, 'chat', 'x' + n)); }} 0"
        )
    };
    look(profile.path(), &flood(0, 11_000)).await;
    // The gap goes back into the ring, behind what is with the host, and is the oldest that waits.
    opened.tab.drain().await.unwrap();
    look(profile.path(), &flood(11_000, 11_100)).await;
    let (mut numbers, mut dropped, mut taken) = (std::collections::BTreeSet::new(), 0, 0);
    while numbers.last() != Some(&11_099) {
        let Some(Report::Event {
            page_id,
            page_seq,
            event,
        }) = opened.next().await
        else {
            panic!("no event")
        };
        match event {
            PageEvent::Message { message, .. } => {
                numbers.insert(message.body.unwrap().trim_start_matches('x').parse::<u64>().unwrap());
            }
            PageEvent::Gap { dropped: many } => dropped += many,
            _ => {}
        }
        taken += 1;
        if taken % 256 == 0 {
            opened.tab.ack(&page_id, page_seq).await.unwrap();
        }
    }
    assert_eq!(numbers.len() as u64 + dropped, 11_100);
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_still_encrypted_is_reported_when_it_can_be_read() {
    let profile = tempfile::tempdir().unwrap();
    let simulator = Simulator::start().await;
    let mut opened = Opened::open(profile.path(), &simulator.url()).await;
    opened.status(|status| status.full_ready).await;
    let script = format!(
        "{MADE} const tell = (model) => WPP.emit('chat.new_message', model);
         tell(made(1, 'ciphertext', null)); tell(made(2, 'chat', 'after it')); tell(made(1, 'chat', 'readable'));
         tell(made(3, 'e2e_notification', '')); tell(made(4, 'image', 'base64 of a thumbnail')); 0"
    );
    look(profile.path(), &script).await;
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let (_, message) = opened
            .event(|event| match event {
                PageEvent::Message { message, .. } => Some(message.clone()),
                _ => None,
            })
            .await;
        seen.push((message.kind, message.body));
    }
    let chat = |body: &str| ("chat".to_owned(), Some(body.to_owned()));
    assert_eq!(seen, [chat("after it"), chat("readable"), ("image".to_owned(), None)]);
    opened.close().await;
}
