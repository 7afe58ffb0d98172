//! What the machine is shown, and what it answers.
//!
//! In and out: plain words, without times or handles. Must not hold a rule; those are the machine's.

use super::Millis;
use crate::session::reading::Reading;

/// Something the actor saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::session) enum Seen {
    /// It is to run.
    Start,
    /// It is to stop; why.
    Stop(&'static str),
    /// The browser is open and the page on its way.
    Opened,
    /// It could not be opened. Lasting: another try would end the same.
    NotOpened {
        /// The error's text.
        reason: String,
        /// Whether to give up at once.
        lasting: bool,
    },
    /// A round trip through the page was just made; what it said.
    Proof(Reading),
    /// A round trip failed.
    NoProof,
    /// The page told of a change by itself.
    Heard(Reading),
    /// A new QR code.
    Code,
    /// The link is fresh.
    Authenticated,
    /// The phone removed this device; WhatsApp's word for it.
    LoggedOut(Option<String>),
    /// The browser is gone without being asked; how.
    Gone(String),
    /// The deadline has come.
    Due,
}

/// Something the actor is to do, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::session) enum Effect {
    /// Open a browser.
    Open,
    /// End the browser, politely.
    Close,
    /// Load the page anew.
    Reload,
    /// Ask for another QR code.
    RefreshQr,
    /// Make a round trip now.
    Probe,
}

/// The moment of an observation.
#[derive(Clone, Copy, Debug)]
pub(in crate::session) struct Moment {
    /// When.
    pub(in crate::session) now: Millis,
    /// 0.8 to 1.2, random: spreads restarts.
    pub(in crate::session) luck: f64,
}
