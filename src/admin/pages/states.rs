//! What a state means for a person, and what to do next.
//!
//! In: an account's state and reason. Out: a word, a tone, a sentence. Must not hide the reason itself, which is what
//! scripts and logs call it.

use crate::action::State;
use crate::session::AccountView;

/// How urgent a state looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Busy,
    /// A person has to do something, and it is part of the way.
    Act,
    Bad,
    Idle,
}

impl Tone {
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Busy => "busy",
            Self::Act => "act",
            Self::Bad => "bad",
            Self::Idle => "idle",
        }
    }
}

/// A state as people read it.
pub(super) struct Words {
    pub(super) name: &'static str,
    pub(super) tone: Tone,
    /// What is going on, and what to do next.
    pub(super) next: &'static str,
}

/// The words for an account's state.
pub(super) fn words(account: &AccountView) -> Words {
    let reason = account.reason.as_deref().unwrap_or_default();
    let (name, tone, next) = match account.state {
        State::Stopped => (
            "Stopped",
            Tone::Idle,
            "No browser runs for it. Start it when you want it back.",
        ),
        State::Starting => (
            "Starting",
            Tone::Busy,
            "The browser is on its way. This takes a few seconds, at most a minute.",
        ),
        State::Qr => (
            "Scan the code",
            Tone::Act,
            "Link it: scan its QR code with WhatsApp on your phone.",
        ),
        State::Pairing => (
            "Linking",
            Tone::Busy,
            "The code was scanned. Keep WhatsApp open on the phone until it says done.",
        ),
        State::Syncing => (
            "Loading chats",
            Tone::Busy,
            "Linked. Chats are being loaded; missed messages are looked for.",
        ),
        State::Ready if !account.degraded.is_empty() => (
            "Ready, in part",
            Tone::Busy,
            "It works, but this WhatsApp Web lacks parts that wharf uses. Try a newer in-page library.",
        ),
        State::Ready => ("Ready", Tone::Good, "It sends and receives. Nothing to do."),
        State::Disconnected if reason == "conflict" => (
            "Disconnected",
            Tone::Act,
            "WhatsApp Web was opened somewhere else. wharf takes it back by itself.",
        ),
        State::Disconnected => (
            "Disconnected",
            Tone::Busy,
            "The page has lost WhatsApp. It tries again by itself; check this machine's network if it lasts.",
        ),
        State::Unpaired => (
            "Not linked",
            Tone::Act,
            "Nobody scanned a code in time. Start it again for new codes.",
        ),
        State::LoggedOut => (
            "Logged out",
            Tone::Act,
            "The phone has removed this device. Start it to link it again.",
        ),
        State::Blocked => ("Blocked", Tone::Bad, blocked(reason)),
        State::Failed => ("Failed", Tone::Bad, failed(reason)),
    };
    Words { name, tone, next }
}

fn blocked(reason: &str) -> &'static str {
    match reason {
        "update_required" => "WhatsApp asks for a newer browser. Update Chromium, then start it again.",
        "terms" => "WhatsApp asks to accept new terms. Do so on the phone, then start it again.",
        "banned" => "WhatsApp has banned this account. WhatsApp on the phone says what can be done.",
        "passkey" => "WhatsApp asks for a passkey. Confirm on the phone, then start it again.",
        "browser_refused" => "WhatsApp refuses this browser. Update Chromium, then start it again.",
        _ => "WhatsApp wants a person to act first. WhatsApp on the phone says what; then start it again.",
    }
}

fn failed(reason: &str) -> &'static str {
    if reason.contains("page_not_recognised") {
        return "The page is not WhatsApp Web. Check `[whatsapp] url` and this machine's network, then start it again.";
    }
    "It was given up. The reason is below, the log says more. Start it to try again."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_says_what_to_do_next() {
        use State::*;
        let states = [
            Stopped,
            Starting,
            Qr,
            Pairing,
            Syncing,
            Ready,
            Disconnected,
            Unpaired,
            LoggedOut,
            Blocked,
            Failed,
        ];
        for state in states {
            let account = AccountView {
                id: "a".parse().unwrap(),
                name: None,
                state,
                reason: None,
                since: 0,
                phone: None,
                webhook_url: None,
                proof_age_ms: None,
                degraded: Vec::new(),
                created_at: 0,
                linked_at: None,
            };
            let words = words(&account);
            assert!(words.next.ends_with('.') && !words.name.is_empty(), "{state}");
            assert_eq!(
                words.tone == Tone::Good,
                state == Ready,
                "only a proven account looks good"
            );
        }
    }
}
