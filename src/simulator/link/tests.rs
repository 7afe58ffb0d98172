//! Linking, tried on the model: codes, devices, queues.

use super::super::post::Draft;
use super::super::protocol::{Barrier, Item, Me};
use super::super::queue::Outgoing;
use super::*;

const TTL: i64 = 20_000;

fn world() -> World {
    let mut world = World::new(TTL);
    for (number, name) in [("100", "Ada"), ("200", "Bob")] {
        world.add_phone(number, name).unwrap();
    }
    world
}

fn hello(world: &mut World, device: Option<Device>, now: i64) -> u64 {
    let line = world.connect();
    world.receive(line, ToServer::Hello { device }, now);
    line
}

fn shown(world: &mut World, line: u64) -> String {
    match world.take(line).frames.pop() {
        Some(ToPage::Qr { reference, .. }) => reference,
        other => panic!("a code, not {other:?}"),
    }
}

fn code(reference: &str) -> String {
    format!("{reference},bm9pc2U=,aWRlbnRpdHk=,YWR2")
}

fn link(world: &mut World, number: &str) -> (u64, Device) {
    let line = hello(world, None, 0);
    let reference = shown(world, line);
    world.scan(number, &code(&reference), 0).unwrap();
    let device = world.take(line).frames.into_iter().find_map(|frame| match frame {
        ToPage::Paired { device, .. } => Some(device),
        _ => None,
    });
    (line, device.unwrap())
}

fn write(world: &mut World, from: &str, to: &str, text: &str) {
    let draft = Draft {
        to: to.to_owned(),
        text: text.to_owned(),
        ..Draft::default()
    };
    world.write(from, draft, 1).unwrap();
}

#[test]
fn a_code_rotates_and_only_the_shown_one_links() {
    let mut world = world();
    let line = hello(&mut world, None, 0);
    let first = shown(&mut world, line);
    world.rotate(line, TTL - 1);
    assert_eq!(world.take(line), Outgoing::default(), "its time is not over");
    world.rotate(line, TTL);
    let second = shown(&mut world, line);
    assert_ne!(first, second);
    assert!(matches!(world.scan("100", &code(&first), TTL), Err(Error::NoSuchCode)));
    world.scan("100", &code(&second), TTL).unwrap();
    assert!(
        matches!(world.scan("100", &code(&second), TTL), Err(Error::NoSuchCode)),
        "it was used"
    );
}

#[test]
fn after_the_last_code_the_page_must_ask_again() {
    let mut world = world();
    let line = hello(&mut world, None, 0);
    for round in 1..=i64::from(ROUNDS) {
        assert!(matches!(world.take(line).frames[..], [ToPage::Qr { .. }]));
        world.rotate(line, round * TTL);
    }
    assert_eq!(world.take(line).frames, [ToPage::Idle]);
    assert_eq!(world.code_ends(line), None);
    world.receive(line, ToServer::Refresh, 0);
    assert!(matches!(world.take(line).frames[..], [ToPage::Qr { round: 1, .. }]));
}

#[test]
fn what_is_not_a_code_is_refused() {
    let mut world = world();
    for text in ["", "https://example.org/?a=1,2", "ref,,x,y", "a,b,c,d,e,f"] {
        assert!(
            matches!(world.scan("100", text, 0), Err(Error::Malformed { .. })),
            "{text}"
        );
    }
    assert!(matches!(world.scan("300", "ref", 0), Err(Error::NoPhone(_))));
}

#[test]
fn a_new_device_gets_the_past_as_history_and_then_is_synced() {
    let mut world = world();
    write(&mut world, "200", "100", "before");
    let line = hello(&mut world, None, 0);
    let reference = shown(&mut world, line);
    world.scan("100", &reference, 0).unwrap();
    let frames = world.take(line).frames;
    let [
        ToPage::Pairing,
        ToPage::Paired { me, .. },
        ToPage::History { n: 1, chats },
        ToPage::Synced,
    ] = &frames[..]
    else {
        panic!("{frames:?}");
    };
    assert_eq!(
        me,
        &Me {
            number: "100".into(),
            wid: "100@c.us".into(),
            lid: token::lid("100"),
            name: "Ada".into()
        }
    );
    assert_eq!(
        (
            chats[0].id.as_str(),
            chats[0].unread,
            chats[0].messages[0].body.as_str()
        ),
        ("200@c.us", 1, "before")
    );
}

#[test]
fn what_a_device_has_not_confirmed_comes_again_before_synced() {
    let mut world = world();
    let (line, device) = link(&mut world, "100");
    world.receive(line, ToServer::Got { n: 1 }, 0);
    world.disconnect(line);
    write(&mut world, "200", "100", "away");
    let line = hello(&mut world, Some(device.clone()), 2);
    let frames = world.take(line).frames;
    let [
        ToPage::Welcome { .. },
        ToPage::Item {
            n: 2,
            item: Item::Message { message, offline: true },
        },
        ToPage::Synced,
    ] = &frames[..]
    else {
        panic!("{frames:?}");
    };
    assert_eq!(message.body, "away");
    assert!(world.take(line).frames.is_empty(), "once on a line");
    world.disconnect(line);
    let line = hello(&mut world, Some(device.clone()), 3);
    assert!(matches!(
        world.take(line).frames[..],
        [ToPage::Welcome { .. }, ToPage::Item { n: 2, .. }, ToPage::Synced]
    ));
    world.receive(line, ToServer::Got { n: 2 }, 3);
    world.disconnect(line);
    let line = hello(&mut world, Some(device), 4);
    assert!(matches!(
        world.take(line).frames[..],
        [ToPage::Welcome { .. }, ToPage::Synced]
    ));
}

#[test]
fn a_long_queue_is_taken_whole_and_in_order() {
    let mut world = world();
    let (line, device) = link(&mut world, "100");
    world.disconnect(line);
    for n in 0..600 {
        write(&mut world, "200", "100", &n.to_string());
    }
    let line = hello(&mut world, Some(device), 2);
    let mut bodies = Vec::new();
    let mut synced_after = None;
    loop {
        let frames = world.take(line).frames;
        if frames.is_empty() {
            break;
        }
        for frame in frames {
            match frame {
                ToPage::Item {
                    item: Item::Message { message, .. },
                    ..
                } => bodies.push(message.body),
                ToPage::Synced => synced_after = Some(bodies.len()),
                _ => {}
            }
        }
    }
    assert_eq!(bodies, (0..600).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(synced_after, Some(600));
}

#[test]
fn the_newer_connection_of_a_device_wins() {
    let mut world = world();
    let (first, device) = link(&mut world, "100");
    let second = hello(&mut world, Some(device), 1);
    let ended = world.take(first);
    assert_eq!((&ended.frames[..], ended.close), (&[ToPage::Conflict][..], true));
    world.disconnect(first);
    assert!(matches!(world.take(second).frames[..], [ToPage::Welcome { .. }, ..]));
    assert!(
        world.devices.values().all(|linked| linked.line == Some(second)),
        "the old one's end changes nothing"
    );
}

#[test]
fn a_removed_device_is_told_at_once_or_when_it_comes_back() {
    let mut world = world();
    let (here, first) = link(&mut world, "100");
    let (away, second) = link(&mut world, "100");
    world.disconnect(away);
    assert_eq!(world.unlink("100", None).unwrap(), 2);
    assert_eq!(world.take(here).frames, [ToPage::Unpaired]);
    for device in [first, second] {
        let line = hello(&mut world, Some(device), 1);
        let said = world.take(line);
        assert_eq!((&said.frames[..], said.close), (&[ToPage::Unpaired][..], true));
    }
}

#[test]
fn a_device_with_a_wrong_key_is_nobody() {
    let mut world = world();
    let (_, device) = link(&mut world, "100");
    let line = hello(
        &mut world,
        Some(Device {
            key: "guess".to_owned(),
            ..device
        }),
        1,
    );
    assert_eq!(world.take(line).frames, [ToPage::Unpaired]);
}

#[test]
fn a_phone_links_four_devices_and_no_more() {
    let mut world = world();
    for _ in 0..DEVICES {
        link(&mut world, "100");
    }
    let line = hello(&mut world, None, 0);
    let reference = shown(&mut world, line);
    assert!(matches!(
        world.scan("100", &reference, 0),
        Err(Error::TooManyDevices { .. })
    ));
}

#[test]
fn a_blocked_page_is_told_at_once_and_whenever_it_comes() {
    let mut world = world();
    let (line, device) = link(&mut world, "100");
    let faults: Faults = serde_json::from_value(serde_json::json!({"block": "TOS_BLOCK"})).unwrap();
    world.set_faults(faults);
    let later = hello(&mut world, Some(device.clone()), 1);
    for line in [line, later] {
        let said = world.take(line);
        assert_eq!(
            (&said.frames[..], said.close),
            (
                &[ToPage::Block {
                    mode: Barrier::TosBlock
                }][..],
                true
            )
        );
    }
    world.set_faults(Faults::default());
    let line = hello(&mut world, Some(device), 2);
    assert!(matches!(world.take(line).frames[..], [ToPage::Welcome { .. }, ..]));
}

#[test]
fn a_fault_tells_linked_pages_of_a_conflict_and_lets_the_others_be() {
    let mut world = world();
    let (linked, device) = link(&mut world, "100");
    let waiting = hello(&mut world, None, 0);
    shown(&mut world, waiting);
    world.set_faults(serde_json::from_value(serde_json::json!({"conflict": true})).unwrap());
    let said = world.take(linked);
    assert_eq!((&said.frames[..], said.close), (&[ToPage::Conflict][..], true));
    assert_eq!(world.take(waiting), Outgoing::default());
    let line = hello(&mut world, Some(device), 1);
    assert!(
        matches!(world.take(line).frames[..], [ToPage::Welcome { .. }, ..]),
        "once"
    );
}
