//! Every message becomes one event: live, reported twice, or found afterwards.

use crate::action::State;
use crate::event::{Message, Origin};
use crate::page::PageEvent;
use crate::session::fake::{Host, Shared, message, one, order};
use crate::store::{Batch, KvOp, KvWrite};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

/// A linked account whose link is as old as `linked` says, with a host that was killed after it was complete.
fn start() -> (tempfile::TempDir, Shared, Host) {
    let (data, world) = (tempfile::tempdir().unwrap(), Shared::linked());
    let host = Host::start(data.path(), &world).with_ready_account();
    host.wait_for("account.synced", 1);
    (data, world, host)
}

fn linked_since(host: &Host, ago: i64) {
    let mut record = host.run(host.store.accounts()).unwrap().remove(0);
    record.linked_at = Some(crate::session::now() - ago);
    let batch = Batch {
        accounts: vec![(one(), Some(record))],
        ..Batch::default()
    };
    host.run(host.store.commit(batch)).unwrap();
}

/// As if the host had last been complete so long ago. Of a host that is down: while it runs it keeps the time itself.
fn complete_since(data: &std::path::Path, ago: i64) {
    let time = crate::session::now() - ago;
    let write = KvWrite {
        space: crate::session::session_space(&one()),
        key: crate::session::sweep::COMPLETE.to_owned(),
        op: KvOp::Set(time.to_string().into_bytes()),
        expires_at: None,
    };
    let store = Host::open(data);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        store
            .commit(Batch {
                kv: vec![write],
                ..Batch::default()
            })
            .await
            .unwrap();
        store.close().await.unwrap();
    });
}

fn bodies(host: &Host) -> Vec<String> {
    host.named("message")
        .iter()
        .map(|event| event.text("body").unwrap().to_owned())
        .collect()
}

#[test]
fn a_message_is_journaled_and_then_acknowledged() {
    let (_data, world, host) = start();
    world.arrives(message("A", 1000));
    host.until(|| !world.lock().acked.is_empty());
    let events = host.named("message");
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].origin, events[0].chat()), (Origin::Live, Some("492@c.us")));
    assert_eq!(events[0].data["source"], serde_json::Value::Null);
}

#[test]
fn what_the_page_reports_again_is_not_journaled_again() {
    let (data, world, host) = start();
    world.lock().deaf = true;
    world.arrives(message("A", 1000));
    world.report(PageEvent::Ack {
        chat: "492@c.us".to_owned(),
        ids: vec!["x".to_owned()],
        ack: 2,
        sender: None,
    });
    world.drain();
    host.wait_for("message.ack", 1);
    host.until(|| world.lock().acked.iter().any(|(_, seq)| *seq == 2));
    host.kill();
    // The document outlives the host, and reports again what it takes for not acknowledged.
    world.lock().outlives = true;
    let host = Host::start(data.path(), &world);
    host.wait_ready();
    world.arrives(message("B", 1000));
    host.wait_for("message", 2);
    assert_eq!(bodies(&host), ["A", "B"]);
    assert_eq!(host.named("message.ack").len(), 1);
}

#[test]
fn many_messages_keep_their_order() {
    let (_data, world, host) = start();
    let sent: Vec<String> = (0..300).map(|number| format!("M{number}")).collect();
    for id in &sent {
        world.arrives(message(id, 1000));
    }
    host.wait_for("message", 300);
    assert_eq!(bodies(&host), sent);
    host.until(|| world.lock().acked.last().is_some_and(|(_, seq)| *seq == 300));
    assert!(world.lock().acked.len() < 300, "they share commits");
}

#[test]
fn nothing_older_than_the_link_becomes_an_event() {
    let (data, world) = (tempfile::tempdir().unwrap(), Shared::default());
    let unread = message("UNREAD", -5 * MINUTE);
    world.lock().chats.insert(unread.chat.clone(), vec![unread.clone()]);
    let host = Host::start(data.path(), &world);
    host.run(host.sessions.create(Some(one()), None)).unwrap();
    host.wait_for("account.qr", 1);
    world.scan();
    world.tells(unread.clone(), false);
    world.tells(unread, true);
    host.wait_for("account.synced", 1);
    // WhatsApp's clock is a minute behind this machine's.
    world.tells(message("NEW", -MINUTE), true);
    host.wait_for("message", 1);
    assert_eq!(bodies(&host), ["NEW"]);
    assert_eq!(host.named("account.authenticated").len(), 1);
    let view = host.sessions.get(&one()).unwrap();
    assert_eq!(view.linked_at.unwrap() % 1000, 0, "WhatsApp counts in seconds");
    assert_eq!(view.phone.as_deref(), Some("491"));
}

#[test]
fn an_own_message_says_who_made_it_also_after_a_restart() {
    let (data, world, host) = start();
    let sent = host.send("s/e/1", "by a script").unwrap();
    let api = crate::action::SendOrder {
        source: crate::event::Source::Api,
        ..order("api/1", "by the API")
    };
    let api = host.run(host.sessions.send(api)).unwrap();
    let own = |id: &str, from_now| Message {
        id: id.to_owned(),
        from_me: true,
        ..message("OWN", from_now)
    };
    world.arrives(own(&sent.id, 1000));
    world.arrives(own("true_492@c.us_PHONE", 1000));
    let events = host.wait_for("message.any", 2);
    assert_eq!(
        events.iter().map(|event| event.text("source")).collect::<Vec<_>>(),
        [Some("script"), Some("phone")]
    );
    host.kill();
    let missed = own(&api.id, 1000);
    world.lock().chats.get_mut("492@c.us").unwrap().push(missed);
    let host = Host::start(data.path(), &world);
    let events = host.wait_for("message.any", 3);
    assert_eq!(
        (events[2].text("source"), events[2].origin),
        (Some("api"), Origin::History)
    );
}

#[test]
fn what_came_while_the_host_was_down_is_found_once() {
    let (data, world, host) = start();
    linked_since(&host, HOUR);
    world.arrives(message("SEEN", 0));
    host.wait_for("message", 1);
    host.kill();
    world
        .lock()
        .chats
        .get_mut("492@c.us")
        .unwrap()
        .push(message("MISSED", 1000));
    for round in 1..3 {
        let host = Host::start(data.path(), &world);
        let synced = host.wait_for("account.synced", round + 1);
        assert_eq!(synced[round].data["recovered"], u64::from(round == 1));
        assert_eq!(bodies(&host), ["SEEN", "MISSED"]);
        assert_eq!(host.named("message")[1].origin, Origin::History);
        host.kill();
    }
}

#[test]
fn a_live_message_before_the_sweep_does_not_hide_one_that_was_missed() {
    let (data, world, host) = start();
    linked_since(&host, 3 * HOUR);
    // Complete until two hours ago; an hour ago something came that nobody saw.
    let complete = crate::store::KvWrite {
        space: crate::session::session_space(&one()),
        key: "complete_until".to_owned(),
        op: crate::store::KvOp::Set((crate::session::now() - 2 * HOUR).to_string().into_bytes()),
        expires_at: None,
    };
    world.lock().offline = true;
    host.wait_for("account.disconnected", 1);
    host.run(host.store.commit(crate::store::Batch {
        kv: vec![complete],
        ..Batch::default()
    }))
    .unwrap();
    host.kill();
    world
        .lock()
        .chats
        .insert("492@c.us".to_owned(), vec![message("MISSED", -HOUR)]);
    let host = Host::start(data.path(), &world);
    host.until(|| host.sessions.get(&one()).unwrap().state == State::Disconnected);
    world.arrives(message("LIVE", 0));
    world.lock().offline = false;
    host.wait_for("message", 2);
    assert_eq!(
        bodies(&host),
        ["MISSED", "LIVE"],
        "in the order in which they were written"
    );
}

#[test]
fn what_came_before_a_new_link_is_no_event_even_if_the_host_dies_while_it_is_made() {
    let (data, world) = (tempfile::tempdir().unwrap(), Shared::linked());
    let host = Host::start(data.path(), &world).with_ready_account();
    linked_since(&host, 10 * HOUR);
    // The phone removes the device; a new code is shown, scanned, and the host dies before it hears of it.
    world.lock().linked = false;
    world.report(PageEvent::LoggedOut { reason: None });
    host.until(|| host.sessions.get(&one()).unwrap().linked_at.is_none());
    host.kill();
    world.lock().linked = true;
    let between = message("BETWEEN", -5 * MINUTE);
    world.lock().chats.insert(between.chat.clone(), vec![between]);
    let host = Host::start(data.path(), &world);
    host.wait_for("account.synced", 2);
    assert_eq!(bodies(&host), Vec::<String>::new());
}

#[test]
fn a_chat_that_cannot_be_read_keeps_no_other_waiting() {
    let (data, world, host) = start();
    linked_since(&host, HOUR);
    host.kill();
    let mut other = message("OTHER", 1000);
    other.chat = "493@c.us".to_owned();
    {
        let mut world = world.lock();
        world.chats.insert("492@c.us".to_owned(), vec![message("CHOKES", 2000)]);
        world.chats.insert("493@c.us".to_owned(), vec![other]);
        world.unreadable = Some("492@c.us".to_owned());
    }
    let host = Host::start(data.path(), &world);
    host.wait_for("message", 1);
    assert_eq!(bodies(&host), ["OTHER"]);
    // Read in the end: found by the next try.
    world.lock().unreadable = None;
    let synced = host.wait_for("account.synced", 2);
    assert_eq!(bodies(&host), ["OTHER", "CHOKES"]);
    assert_eq!(synced[1].data["truncated"], false);
}

#[test]
fn a_message_that_can_be_read_only_later_is_told_again() {
    let (_data, world, host) = start();
    let mut sealed = message("A", 1000);
    (sealed.kind, sealed.body) = ("ciphertext".to_owned(), None);
    for message in [sealed.clone(), sealed, message("A", 1000), message("A", 1000)] {
        world.tells(message, true);
    }
    world.arrives(message("B", 1000));
    host.wait_for("message", 3);
    let told: Vec<_> = host
        .named("message")
        .iter()
        .map(|event| event.text("body").map(str::to_owned))
        .collect();
    assert_eq!(told, [None, Some("A".to_owned()), Some("B".to_owned())]);
}

#[test]
fn a_chat_that_whatsapp_keeps_under_another_id_from_now_on_is_the_same() {
    let (data, world, host) = start();
    world.arrives(message("A", 1000));
    host.wait_for("message", 1);
    host.kill();
    let moved = |id: &str| {
        let mut message = message(id, 1000);
        message.chat = "777@lid".to_owned();
        message.id = format!("false_777@lid_{id}");
        message
    };
    {
        let mut world = world.lock();
        world.numbers.insert("777@lid".to_owned(), "492@c.us".to_owned());
        world.chats.clear();
        world.chats.insert("777@lid".to_owned(), vec![moved("A"), moved("B")]);
    }
    let host = Host::start(data.path(), &world);
    host.wait_for("account.synced", 2);
    assert_eq!(bodies(&host), ["A", "B"]);
    assert_eq!(
        host.named("message")[1].chat(),
        Some("777@lid"),
        "the address to answer to"
    );
}

#[test]
fn a_gap_in_the_ring_makes_a_sweep() {
    let (_data, world, host) = start();
    world
        .lock()
        .chats
        .insert("492@c.us".to_owned(), vec![message("DROPPED", 2000)]);
    world.report(PageEvent::Gap { dropped: 1 });
    host.wait_for("account.synced", 2);
    assert_eq!(bodies(&host), ["DROPPED"]);
}

#[test]
fn a_sweep_is_bounded_and_says_so() {
    let (data, world, host) = start();
    linked_since(&host, HOUR);
    host.kill();
    complete_since(data.path(), 40 * MINUTE);
    let old = (0..450).map(|number| message(&format!("OLD{number}"), -30 * MINUTE));
    let young = (0..250).map(|number| message(&format!("YOUNG{number}"), 1000));
    world
        .lock()
        .chats
        .insert("492@c.us".to_owned(), old.chain(young).collect());
    let host = Host::start(data.path(), &world);
    let synced = host.wait_for("account.synced", 2);
    assert_eq!(synced[1].data["recovered"], 200 + 250);
    assert_eq!(synced[1].data["truncated"], true);
    let bodies = bodies(&host);
    assert_eq!(
        (bodies[0].as_str(), bodies[449].as_str()),
        ("OLD250", "YOUNG249"),
        "of those too many, the newest"
    );
}
