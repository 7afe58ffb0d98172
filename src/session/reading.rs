//! What a page's status means for the state of its account.
//!
//! In: [`PageStatus`] as the agent tells it. Out: [`Reading`], one word of it for the machine. Must not know what the state
//! was before.

use crate::page::PageStatus;

/// A page's status in one word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Not WhatsApp Web, or not yet; with the reason if the page could not be loaded at all.
    Unrecognised(Option<String>),
    /// WhatsApp Web, on its way.
    Loading,
    /// It shows QR codes, or has stopped to.
    Code {
        /// Whether it has stopped.
        idle: bool,
    },
    /// A code was scanned.
    Pairing,
    /// Linked; chats are being loaded.
    Syncing,
    /// Linked, with all hooks, connected.
    Usable,
    /// Linked, not connected; the reason.
    Offline(String),
    /// WhatsApp Web is open in another place with the same link.
    Conflict,
    /// A person must act first; the reason.
    Blocked(&'static str),
}

impl Reading {
    /// Reads a status. Usable is what `PageStatus::is_usable` says, and a stream that is not on its way: a reference run saw
    /// `MAIN` kept while the connection was being made again.
    pub(super) fn of(status: &PageStatus) -> Reading {
        let mode = status.mode.as_deref().unwrap_or_default();
        let info = status.info.as_deref().unwrap_or_default();
        if !status.recognised {
            return Reading::Unrecognised(status.load_error.clone());
        }
        match mode {
            "CONFLICT" => return Reading::Conflict,
            "DEPRECATED_VERSION" => return Reading::Blocked("update_required"),
            "TOS_BLOCK" | "SMB_TOS_BLOCK" => return Reading::Blocked("terms"),
            "PROXYBLOCK" => return Reading::Offline("proxy_block".to_owned()),
            _ => {}
        }
        if !status.injected {
            return Reading::Loading;
        }
        if !status.authenticated {
            return unlinked(status, mode, info);
        }
        if mode == "OFFLINE" || (mode == "MAIN" && matches!(info, "OFFLINE" | "OPENING" | "CONNECTING")) {
            // Before the first `MAIN` with all hooks this is a start, not a loss.
            return if status.full_ready || mode == "OFFLINE" {
                Reading::Offline(if info.is_empty() { "offline".to_owned() } else { info.to_lowercase() })
            } else {
                Reading::Syncing
            };
        }
        if status.is_usable() {
            return Reading::Usable;
        }
        if status.needs_update { Reading::Blocked("update_required") } else { Reading::Syncing }
    }
}

fn unlinked(status: &PageStatus, mode: &str, info: &str) -> Reading {
    if info == "PAIRING" || mode == "SYNCING" {
        return Reading::Pairing;
    }
    if status.needs_update {
        return Reading::Blocked("update_required");
    }
    match (&status.qr, status.socket.as_deref()) {
        (_, Some("UNPAIRED_IDLE")) => Reading::Code { idle: true },
        (Some(_), _) => Reading::Code { idle: false },
        (None, _) => Reading::Loading,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(mode: &str, info: &str) -> PageStatus {
        PageStatus {
            recognised: true,
            injected: true,
            full_ready: true,
            authenticated: true,
            mode: Some(mode.to_owned()),
            info: Some(info.to_owned()),
            ..PageStatus::default()
        }
    }

    #[test]
    fn all_hooks_on_the_qr_page_are_not_usable() {
        let page = PageStatus { authenticated: false, qr: Some("ref".to_owned()), ..status("QR", "NORMAL") };
        assert_eq!(Reading::of(&page), Reading::Code { idle: false });
    }

    #[test]
    fn usable_takes_hooks_link_and_main() {
        assert_eq!(Reading::of(&status("MAIN", "NORMAL")), Reading::Usable);
        assert_eq!(Reading::of(&PageStatus { full_ready: false, ..status("MAIN", "NORMAL") }), Reading::Syncing);
        assert_eq!(Reading::of(&status("SYNCING", "SYNCING")), Reading::Syncing);
        assert_eq!(Reading::of(&status("MAIN", "OFFLINE")), Reading::Offline("offline".to_owned()));
    }

    #[test]
    fn an_empty_page_is_not_recognised_and_says_why_if_it_knows() {
        let page = PageStatus { load_error: Some("net::ERR_FAILED".to_owned()), ..PageStatus::default() };
        assert_eq!(Reading::of(&page), Reading::Unrecognised(Some("net::ERR_FAILED".to_owned())));
        assert_eq!(Reading::of(&PageStatus::default()), Reading::Unrecognised(None));
    }

    #[test]
    fn what_a_person_must_solve_is_blocked() {
        assert_eq!(Reading::of(&status("DEPRECATED_VERSION", "NORMAL")), Reading::Blocked("update_required"));
        assert_eq!(Reading::of(&status("TOS_BLOCK", "NORMAL")), Reading::Blocked("terms"));
        assert_eq!(Reading::of(&status("CONFLICT", "NORMAL")), Reading::Conflict);
    }
}
