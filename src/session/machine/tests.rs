//! The machine's rules, one by one and by random walks.

use proptest::prelude::*;

use super::*;

fn at(now: Millis) -> Moment {
    Moment { now, luck: 1.0 }
}

fn ready(now: Millis) -> Machine {
    let mut machine = Machine::new();
    machine.see(Seen::Start, at(now));
    machine.see(Seen::Opened, at(now));
    machine.see(Seen::Proof(Reading::Usable), at(now));
    assert_eq!(machine.state(), State::Ready);
    machine
}

/// Delivers due deadlines up to `until`.
fn pass(machine: &mut Machine, until: Millis) -> Vec<Effect> {
    let mut effects = Vec::new();
    while let Some(due) = machine.deadline().filter(|due| *due <= until) {
        effects.extend(machine.see(Seen::Due, at(due)));
    }
    effects
}

#[test]
fn what_the_page_says_by_itself_makes_nobody_ready_but_is_checked() {
    let mut machine = Machine::new();
    machine.see(Seen::Start, at(0));
    machine.see(Seen::Opened, at(0));
    assert_eq!(machine.see(Seen::Heard(Reading::Usable), at(1)), [Effect::Probe]);
    assert_eq!(machine.state(), State::Starting);
}

#[test]
fn a_page_that_is_not_whatsapp_web_fails_within_a_minute_and_closes_its_browser() {
    let mut machine = Machine::new();
    machine.see(Seen::Start, at(0));
    machine.see(Seen::Opened, at(1_000));
    machine.see(Seen::Proof(Reading::Unrecognised(None)), at(5_000));
    machine.see(Seen::Proof(Reading::Unrecognised(None)), at(40_000));
    assert_eq!(pass(&mut machine, 60_000), [Effect::Close]);
    assert_eq!(
        (machine.state(), machine.reason()),
        (State::Failed, Some("page_not_recognised"))
    );
}

#[test]
fn a_page_that_the_network_did_not_bring_is_loaded_again_and_not_given_up() {
    let mut machine = Machine::new();
    machine.see(Seen::Start, at(0));
    machine.see(Seen::Opened, at(0));
    for round in 0..50 {
        let now = round * 20_000 + 1;
        machine.see(
            Seen::Proof(Reading::Unrecognised(Some("net::ERR_FAILED".to_owned()))),
            at(now),
        );
        assert_eq!(pass(&mut machine, now + 16_000), [Effect::Reload]);
    }
    assert_eq!(machine.state(), State::Starting);
}

#[test]
fn a_stale_proof_withdraws_ready_and_a_hung_page_is_restarted() {
    let mut machine = ready(0);
    machine.see(Seen::NoProof, at(15_000));
    pass(&mut machine, PROOF);
    assert_eq!(machine.state(), State::Disconnected);
    assert_eq!(pass(&mut machine, PROOF + HUNG), [Effect::Close]);
    assert_eq!(machine.state(), State::Starting);
    assert_eq!(pass(&mut machine, PROOF + HUNG + 1_000), [Effect::Open]);
}

#[test]
fn the_tenth_restart_in_half_an_hour_is_the_last() {
    let mut machine = ready(0);
    let mut now = 0;
    let mut pauses = Vec::new();
    loop {
        machine.see(Seen::Gone("killed".to_owned()), at(now));
        let Some(due) = machine.deadline() else { break };
        pauses.push(due - now);
        now = due;
        assert_eq!(machine.see(Seen::Due, at(now)), [Effect::Open]);
        machine.see(Seen::Opened, at(now));
    }
    assert_eq!(machine.state(), State::Failed);
    assert_eq!(
        pauses,
        [
            1_000, 2_000, 5_000, 15_000, 30_000, 60_000, 60_000, 60_000, 60_000, 60_000
        ]
    );
    assert_eq!(machine.see(Seen::Start, at(now)), [Effect::Open]);
}

#[test]
fn ten_healthy_minutes_forget_the_back_off() {
    let mut machine = ready(0);
    machine.see(Seen::Gone("killed".to_owned()), at(0));
    machine.see(Seen::Due, at(1_000));
    machine.see(Seen::Opened, at(1_000));
    machine.see(Seen::Proof(Reading::Usable), at(1_000));
    machine.see(Seen::Proof(Reading::Usable), at(1_000 + HEALTHY));
    machine.see(Seen::Gone("killed".to_owned()), at(2_000 + HEALTHY));
    assert_eq!(machine.deadline(), Some(3_000 + HEALTHY));
}

#[test]
fn codes_that_nobody_scans_end_as_unpaired_until_it_is_started_again() {
    let mut machine = Machine::new();
    machine.see(Seen::Start, at(0));
    machine.see(Seen::Opened, at(0));
    let mut asked = 0;
    while machine.state() != State::Unpaired {
        machine.see(Seen::Code, at(0));
        let idle = Reading::Code { idle: true };
        asked += machine.see(Seen::Heard(idle.clone()), at(0)).len();
        if machine.state() == State::Qr {
            assert_eq!(machine.see(Seen::Proof(idle), at(0)), [], "it was asked for already");
        }
    }
    assert_eq!(asked, ROUNDS as usize);
    assert_eq!(machine.deadline(), None);
    assert_eq!(machine.see(Seen::Start, at(0)), [Effect::Open]);
}

#[test]
fn a_removed_link_leaves_the_page_time_to_clear_its_login() {
    let mut machine = ready(0);
    assert_eq!(machine.see(Seen::LoggedOut(None), at(0)), []);
    assert_eq!(machine.state(), State::LoggedOut);
    assert_eq!(pass(&mut machine, LOGOUT), [Effect::Close]);
    assert_eq!((machine.state(), machine.deadline()), (State::LoggedOut, None));
}

#[test]
fn a_conflict_and_a_block_rest_while_the_page_answers() {
    for (reading, state, reason) in [
        (Reading::Conflict, State::Disconnected, "conflict"),
        (Reading::Blocked("terms"), State::Blocked, "terms"),
    ] {
        let mut machine = ready(0);
        machine.see(Seen::Heard(reading.clone()), at(1));
        let mut now = 1;
        for _ in 0..100 {
            now += PROOF - 1;
            machine.see(Seen::Proof(reading.clone()), at(now));
            assert_eq!((machine.state(), machine.reason()), (state, Some(reason)));
        }
        let mut freed = machine.clone();
        freed.see(Seen::Proof(Reading::Usable), at(now + 1));
        assert_eq!(freed.state(), State::Ready);
        machine.see(Seen::NoProof, at(now + 20_000));
        assert_eq!(
            pass(&mut machine, now + PROOF + HUNG),
            [Effect::Close],
            "a page that hangs is noticed here too"
        );
        assert_eq!(
            (machine.state(), machine.reason()),
            (State::Starting, Some("page_hung"))
        );
    }
}

#[test]
fn a_page_that_never_answers_is_restarted_and_not_taken_for_another_page() {
    let mut machine = Machine::new();
    machine.see(Seen::Start, at(0));
    machine.see(Seen::Opened, at(0));
    machine.see(Seen::NoProof, at(10_000));
    assert_eq!(pass(&mut machine, RECOGNITION), [Effect::Close]);
    assert_eq!(
        (machine.state(), machine.reason()),
        (State::Starting, Some("page_hung"))
    );
    assert_eq!(pass(&mut machine, RECOGNITION + 1_000), [Effect::Open]);
}

#[test]
fn a_stop_while_the_browser_opens_closes_it_as_soon_as_it_is_there() {
    let mut machine = Machine::new();
    machine.see(Seen::Start, at(0));
    assert_eq!(machine.see(Seen::Stop("by_wish"), at(1)), []);
    assert_eq!(machine.see(Seen::Opened, at(2)), [Effect::Close]);
    assert_eq!(machine.state(), State::Stopped);
}

fn reading() -> impl Strategy<Value = Reading> {
    prop_oneof![
        Just(Reading::Unrecognised(None)),
        Just(Reading::Unrecognised(Some("net".to_owned()))),
        Just(Reading::Loading),
        any::<bool>().prop_map(|idle| Reading::Code { idle }),
        Just(Reading::Pairing),
        Just(Reading::Syncing),
        Just(Reading::Usable),
        Just(Reading::Offline("offline".to_owned())),
        Just(Reading::Conflict),
        Just(Reading::Blocked("terms")),
    ]
}

fn seen() -> impl Strategy<Value = Seen> {
    prop_oneof![
        2 => Just(Seen::Start),
        1 => Just(Seen::Stop("by_wish")),
        4 => Just(Seen::Opened),
        1 => any::<bool>().prop_map(|lasting| Seen::NotOpened { reason: "no".to_owned(), lasting }),
        8 => reading().prop_map(Seen::Proof),
        4 => reading().prop_map(Seen::Heard),
        1 => Just(Seen::NoProof),
        2 => Just(Seen::Code),
        1 => Just(Seen::Authenticated),
        1 => Just(Seen::LoggedOut(None)),
        1 => Just(Seen::Gone("killed".to_owned())),
    ]
}

fn rests(machine: &Machine) -> bool {
    use State::{Failed, LoggedOut, Stopped, Unpaired};
    matches!(machine.state(), Stopped | Unpaired | Failed | LoggedOut)
}

proptest! {
    #[test]
    fn whatever_is_seen_every_state_ends_or_rests_and_ready_is_proven(
        steps in proptest::collection::vec((seen(), 0..60_000u64), 1..200),
        luck in 0.8..1.2f64,
    ) {
        let mut machine = Machine::new();
        let mut now = 0;
        let (mut browser, mut proven) = (Browser::Absent, None);
        for (seen, pause) in steps {
            // The world keeps to its rules: it opens only what was asked for, and its deadlines come.
            let mut due = Vec::new();
            while let Some(next) = machine.deadline().filter(|next| *next <= now + pause) {
                prop_assert!(next >= now, "a deadline in the past");
                now = next;
                due.push(machine.see(Seen::Due, Moment { now, luck }));
                prop_assert!(machine.deadline() != Some(now), "a deadline that does not move is a spin");
            }
            for effects in due {
                for effect in effects {
                    browser = follow(browser, effect);
                }
            }
            now += pause;
            let fits = match seen {
                Seen::Opened | Seen::NotOpened { .. } => browser == Browser::Opening,
                Seen::Gone(_) => browser == Browser::Open,
                _ => true,
            };
            if !fits { continue; }
            let before = machine.state();
            match seen {
                Seen::Opened => browser = Browser::Open,
                Seen::NotOpened { .. } | Seen::Gone(_) => browser = Browser::Absent,
                _ => {}
            }
            let is_proof = seen == Seen::Proof(Reading::Usable);
            for effect in machine.see(seen, Moment { now, luck }) {
                browser = follow(browser, effect);
            }
            if is_proof { proven = Some(now); }
            if machine.state() == State::Ready {
                prop_assert!(before == State::Ready || is_proof, "ready without a proof");
                prop_assert!(proven.is_some_and(|at| now - at <= PROOF), "ready on a stale proof");
            }
            prop_assert!(machine.deadline().is_some() || rests(&machine), "{machine:?}");
            prop_assert!(machine.state() == State::Stopped || machine.reason().is_some() || machine.state() == State::Ready);
            if matches!(machine.state(), State::Failed | State::Unpaired) {
                prop_assert_eq!(browser, Browser::Absent);
            }
            if machine.state() == State::Stopped {
                prop_assert_ne!(browser, Browser::Open);
            }
        }
    }
}

fn follow(browser: Browser, effect: Effect) -> Browser {
    match effect {
        Effect::Open => {
            assert_eq!(browser, Browser::Absent, "a second browser");
            Browser::Opening
        }
        Effect::Close => {
            assert_eq!(browser, Browser::Open, "nothing to close");
            Browser::Absent
        }
        Effect::Reload | Effect::RefreshQr | Effect::Probe => {
            assert_eq!(browser, Browser::Open, "no page");
            browser
        }
    }
}
