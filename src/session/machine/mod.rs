//! The states of an account: what each becomes when something is seen, and until when it may last.
//!
//! In: [`Seen`], the time, and a random factor. Out: the new state with its reason, [`Effect`]s and a deadline. A pure
//! calculation: must not know clock, page or store. Every state has a deadline, or rests until a person acts.
//!
//! | state | its deadline, and what follows |
//! |---|---|
//! | `starting` | back-off over: open; 45 s without WhatsApp Web: `failed`, a reload if the network is to blame, a restart if the page did not answer; 2 min: restart |
//! | `qr` | 90 s without a new code: ask for one; six rounds without a scan: `unpaired` |
//! | `pairing`, `syncing` | 2 min, 10 min: restart |
//! | `ready` | the last proof is older than 45 s: `disconnected` |
//! | `disconnected` | proof lost: restart after 15 s; offline: reload after 10 min; conflict: rests while the page answers |
//! | `logged_out` | 10 s, in which the page clears its login; then the browser is closed and the state rests |
//! | `blocked` | rests while the page answers; the last answer is older than 45 s: `disconnected` |
//! | `stopped`, `unpaired`, `failed` | rest |

mod seen;

use std::collections::VecDeque;

use crate::action::State;

use super::reading::Reading;
pub(super) use seen::{Effect, Moment, Seen};

/// Monotonic milliseconds since some start.
pub(super) type Millis = u64;

/// How long opening a browser may take; the opener has deadlines of its own below this.
pub(super) const OPENING: Millis = 120_000;
/// How long a page may take to be recognised as WhatsApp Web; the issue of a wrong page is to be known within a minute.
pub(super) const RECOGNITION: Millis = 45_000;
/// A page that the network did not bring is loaded again after this.
const UNLOADED: Millis = 15_000;
const LOADING: Millis = 120_000;
/// WhatsApp shows its first code 60 s, the others 20 s; a longer silence means that none comes by itself.
const CODE: Millis = 90_000;
const PAIRING: Millis = 120_000;
const SYNCING: Millis = 600_000;
/// Three round trips of 15 s.
pub(super) const PROOF: Millis = 45_000;
const HUNG: Millis = 15_000;
const OFFLINE: Millis = 600_000;
const LOGOUT: Millis = 10_000;
/// Rounds of codes that WhatsApp Web makes (it stops by itself after each) before the account is `unpaired`.
const ROUNDS: u32 = 6;
/// Waits before a restart, in ms; the last one repeats.
const BACK_OFF: [Millis; 6] = [1_000, 2_000, 5_000, 15_000, 30_000, 60_000];
/// So many restarts within this time are one too many.
const RESTARTS: usize = 10;
const RESTARTS_WITHIN: Millis = 30 * 60_000;
/// After so long in `ready` the back-off starts again at its first step.
const HEALTHY: Millis = 10 * 60_000;

/// What a deadline is for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wait {
    BackOff,
    Opening,
    Recognition(Page),
    Loading,
    Code,
    Pairing,
    Syncing,
    Proof,
    Hung,
    Offline,
    Logout,
}

/// What is known of a page that is not recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Page {
    /// Nothing: it has not answered yet.
    Silent,
    /// It is another page, or an empty one.
    Wrong,
    /// The network did not bring it; why.
    NotLoaded(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Browser {
    Absent,
    Opening,
    Open,
}

/// An account's state and what leads on from it.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    state: State,
    reason: Option<String>,
    browser: Browser,
    wait: Option<(Millis, Wait)>,
    restarts: VecDeque<Millis>,
    streak: usize,
    ready_since: Option<Millis>,
    rounds: u32,
    /// A new code was asked for and has not come.
    asked: bool,
}

impl Machine {
    /// Stopped, without a browser.
    pub(super) fn new() -> Self {
        Self {
            state: State::Stopped,
            reason: None,
            browser: Browser::Absent,
            wait: None,
            restarts: VecDeque::new(),
            streak: 0,
            ready_since: None,
            rounds: 0,
            asked: false,
        }
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    pub(super) fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// When [`Seen::Due`] is due.
    pub(super) fn deadline(&self) -> Option<Millis> {
        self.wait.as_ref().map(|(at, _)| *at)
    }

    /// Takes in what was seen.
    pub(super) fn see(&mut self, seen: Seen, moment: Moment) -> Vec<Effect> {
        let mut effects = Vec::new();
        let to = &mut effects;
        let open = self.browser == Browser::Open;
        match seen {
            Seen::Start => self.start(moment, to),
            Seen::Stop(why) => self.rest(State::Stopped, Some(why.to_owned()), to),
            Seen::Opened => self.opened(moment, to),
            Seen::NotOpened { reason, lasting } => self.not_opened(reason, lasting, moment, to),
            Seen::Gone(how) => self.gone(&how, moment, to),
            Seen::Due => self.due(moment, to),
            // From here on it is the page that speaks; without one it is an echo of a browser that was closed.
            _ if !open || self.is_given_up() => {}
            Seen::Proof(reading) => self.read(reading, true, moment, to),
            Seen::Heard(reading) => self.read(reading, false, moment, to),
            Seen::NoProof => {}
            Seen::Code => self.code(moment),
            Seen::Authenticated => self.go(State::Syncing, "linked", SYNCING, Wait::Syncing, moment),
            Seen::LoggedOut(word) => {
                let reason = word.unwrap_or_else(|| "removed_by_phone".to_owned());
                self.go(State::LoggedOut, &reason, LOGOUT, Wait::Logout, moment);
            }
        }
        if self.state != State::Ready {
            self.ready_since = None;
        }
        effects
    }

    /// In these states the page's word does not count any more.
    fn is_given_up(&self) -> bool {
        matches!(self.state, State::Stopped | State::Unpaired | State::Failed)
    }

    fn start(&mut self, moment: Moment, to: &mut Vec<Effect>) {
        use State::{Blocked, Failed, LoggedOut, Stopped, Unpaired};
        if !matches!(self.state, Stopped | Unpaired | LoggedOut | Failed | Blocked) {
            return;
        }
        self.restarts.clear();
        self.streak = 0;
        self.rounds = 0;
        self.asked = false;
        self.close(to);
        self.open(moment, to);
    }

    fn open(&mut self, moment: Moment, to: &mut Vec<Effect>) {
        if self.browser == Browser::Absent {
            to.push(Effect::Open);
            self.browser = Browser::Opening;
        }
        self.go(State::Starting, "browser_starting", OPENING, Wait::Opening, moment);
    }

    fn opened(&mut self, moment: Moment, to: &mut Vec<Effect>) {
        self.browser = Browser::Open;
        if self.state == State::Starting {
            self.recognise("page_loading", Page::Silent, moment);
            to.push(Effect::Probe);
        } else {
            // It was stopped meanwhile.
            self.close(to);
        }
    }

    fn not_opened(&mut self, reason: String, lasting: bool, moment: Moment, to: &mut Vec<Effect>) {
        self.browser = Browser::Absent;
        if self.state != State::Starting {
            return;
        }
        if lasting {
            self.rest(State::Failed, Some(reason), to);
        } else {
            self.restart(&reason, moment, to);
        }
    }

    fn gone(&mut self, how: &str, moment: Moment, to: &mut Vec<Effect>) {
        self.browser = Browser::Absent;
        match self.state {
            State::LoggedOut => self.wait = None,
            _ if self.is_given_up() => {}
            _ => self.restart(&format!("browser_gone: {how}"), moment, to),
        }
    }

    fn due(&mut self, moment: Moment, to: &mut Vec<Effect>) {
        if self.wait.as_ref().is_none_or(|(at, _)| *at > moment.now) {
            return;
        }
        let Some((_, wait)) = self.wait.take() else { return };
        match wait {
            Wait::BackOff => self.open(moment, to),
            // The opener answers in any case; its own deadlines are shorter.
            Wait::Opening => self.wait = Some((moment.now + OPENING, Wait::Opening)),
            Wait::Recognition(Page::Silent) => self.restart("page_hung", moment, to),
            Wait::Recognition(Page::Wrong) => self.rest(State::Failed, Some("page_not_recognised".to_owned()), to),
            Wait::Recognition(Page::NotLoaded(why)) => {
                to.push(Effect::Reload);
                self.recognise(&format!("page_not_loaded: {why}"), Page::Silent, moment);
            }
            Wait::Loading => self.restart("page_loading_too_long", moment, to),
            Wait::Code => self.another_round(moment, to),
            Wait::Pairing => self.restart("pairing_too_long", moment, to),
            Wait::Syncing => self.restart("syncing_too_long", moment, to),
            Wait::Proof => self.go(State::Disconnected, "no_answer_from_page", HUNG, Wait::Hung, moment),
            Wait::Hung => self.restart("page_hung", moment, to),
            Wait::Offline => {
                to.push(Effect::Reload);
                self.recognise("reloading_after_offline", Page::Silent, moment);
            }
            Wait::Logout => self.close(to),
        }
    }

    fn read(&mut self, reading: Reading, proven: bool, moment: Moment, to: &mut Vec<Effect>) {
        if self.state == State::LoggedOut {
            if matches!(reading, Reading::Code { .. }) {
                // The page has cleared its login.
                self.wait = None;
                self.close(to);
            }
            return;
        }
        match reading {
            Reading::Unrecognised(why) => {
                let page = why.map_or(Page::Wrong, Page::NotLoaded);
                match &mut self.wait {
                    Some((until, Wait::Recognition(known))) => {
                        if matches!((&page, &*known), (Page::NotLoaded(_), Page::Silent | Page::Wrong)) {
                            *until = (*until).min(moment.now + UNLOADED);
                        }
                        *known = page;
                    }
                    _ => self.recognise("page_loading", page, moment),
                }
            }
            // Between two codes there is none for a moment.
            Reading::Loading if self.state == State::Qr => {}
            Reading::Loading => self.stay(State::Starting, "page_loading", LOADING, Wait::Loading, moment),
            Reading::Code { idle: false } => {
                if self.state != State::Qr {
                    self.code(moment);
                }
            }
            Reading::Code { idle: true } => {
                if !self.asked {
                    self.another_round(moment, to);
                }
            }
            Reading::Pairing => self.stay(State::Pairing, "code_scanned", PAIRING, Wait::Pairing, moment),
            Reading::Syncing => self.stay(State::Syncing, "loading_chats", SYNCING, Wait::Syncing, moment),
            Reading::Offline(why) => self.stay(State::Disconnected, &why, OFFLINE, Wait::Offline, moment),
            Reading::Usable if proven => self.proven(moment),
            Reading::Usable if self.state != State::Ready => to.push(Effect::Probe),
            Reading::Usable => {}
            Reading::Conflict => self.settle(State::Disconnected, "conflict", moment),
            Reading::Blocked(why) => self.settle(State::Blocked, why, moment),
        }
    }

    fn proven(&mut self, moment: Moment) {
        self.state = State::Ready;
        self.reason = None;
        self.rounds = 0;
        self.wait = Some((moment.now + PROOF, Wait::Proof));
        let since = *self.ready_since.get_or_insert(moment.now);
        if moment.now.saturating_sub(since) >= HEALTHY {
            self.streak = 0;
        }
    }

    fn code(&mut self, moment: Moment) {
        if !matches!(self.state, State::LoggedOut) {
            self.asked = false;
            self.go(State::Qr, "scan_the_code", CODE, Wait::Code, moment);
        }
    }

    /// WhatsApp Web has stopped making codes, or none came.
    fn another_round(&mut self, moment: Moment, to: &mut Vec<Effect>) {
        self.rounds += 1;
        if self.rounds >= ROUNDS {
            return self.rest(State::Unpaired, Some("no_code_was_scanned".to_owned()), to);
        }
        self.asked = true;
        to.push(Effect::RefreshQr);
        self.go(State::Qr, "asking_for_a_code", CODE, Wait::Code, moment);
    }

    /// Opens anew after the back-off, or gives up.
    fn restart(&mut self, reason: &str, moment: Moment, to: &mut Vec<Effect>) {
        let since = moment.now.saturating_sub(RESTARTS_WITHIN);
        self.restarts.retain(|at| *at >= since);
        if self.restarts.len() >= RESTARTS {
            let reason = format!("{RESTARTS} restarts in 30 min, the last one because of {reason}");
            return self.rest(State::Failed, Some(reason), to);
        }
        self.close(to);
        self.restarts.push_back(moment.now);
        let base = BACK_OFF[self.streak.min(BACK_OFF.len() - 1)];
        self.streak += 1;
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss
        )]
        let pause = (base as f64 * moment.luck.clamp(0.8, 1.2)) as Millis;
        self.go(State::Starting, reason, pause, Wait::BackOff, moment);
    }

    fn close(&mut self, to: &mut Vec<Effect>) {
        if self.browser == Browser::Open {
            self.browser = Browser::Absent;
            to.push(Effect::Close);
        }
    }

    /// Without a browser and without a deadline.
    fn rest(&mut self, state: State, reason: Option<String>, to: &mut Vec<Effect>) {
        self.close(to);
        self.state = state;
        self.reason = reason;
        self.wait = None;
    }

    /// For as long as the page answers, and the page may lead out of it.
    fn settle(&mut self, state: State, reason: &str, moment: Moment) {
        self.go(state, reason, PROOF, Wait::Proof, moment);
    }

    fn recognise(&mut self, reason: &str, page: Page, moment: Moment) {
        self.go(State::Starting, reason, RECOGNITION, Wait::Recognition(page), moment);
    }

    fn go(&mut self, state: State, reason: &str, lasts: Millis, wait: Wait, moment: Moment) {
        self.state = state;
        self.reason = Some(reason.to_owned());
        self.wait = Some((moment.now + lasts, wait));
    }

    /// As `go`, but what waits for the same already keeps its deadline.
    fn stay(&mut self, state: State, reason: &str, lasts: Millis, wait: Wait, moment: Moment) {
        let until = match &self.wait {
            Some((until, known)) if self.state == state && *known == wait => *until,
            _ => moment.now + lasts,
        };
        self.state = state;
        self.reason = Some(reason.to_owned());
        self.wait = Some((until, wait));
    }
}

#[cfg(test)]
mod tests;
