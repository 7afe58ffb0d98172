//! From the agent's JSON to reports, and from the ways a tab can end to one last report.
//!
//! In: the calls of the binding, crashes, the process's end. Out: [`Report`]s in order. What cannot be read is
//! counted, logged and reported as a gap, so that the session looks for what it may have been. Must not wait for
//! anything but its channel.

use chromiumoxide::cdp::browser_protocol::inspector::EventTargetCrashed;
use chromiumoxide::cdp::js_protocol::runtime::EventBindingCalled;
use chromiumoxide::listeners::EventStream;
use futures::StreamExt;
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::report::{PageEvent, PageStatus, Report};
use super::script;
use crate::event::{AccountId, Message};

/// A broken connection is mostly the first sign of an ended browser: so long it is waited for the better reason.
const REASON: Duration = Duration::from_secs(1);

const CRASHED: &str = "the tab crashed";
/// Both look the same from here.
const CLOSED: &str = "the tab was closed, or the connection to the browser was lost";

/// What the bridge listens to.
pub(super) struct Sources {
    pub(super) account: AccountId,
    pub(super) calls: EventStream<EventBindingCalled>,
    pub(super) crashes: EventStream<EventTargetCrashed>,
    pub(super) exited: watch::Receiver<Option<String>>,
    /// Set by the connection when it breaks, and here when the tab is gone for another reason.
    pub(super) lost: CancellationToken,
    pub(super) closing: CancellationToken,
}

/// Runs until the tab is gone or closed.
pub(super) fn run(mut sources: Sources, reports: mpsc::Sender<Report>, tracker: &TaskTracker) {
    tracker.spawn(async move {
        let closing = sources.closing.clone();
        tokio::select! {
            () = closing.cancelled() => {}
            () = forward(&mut sources, &reports) => {}
        }
    });
}

async fn forward(sources: &mut Sources, reports: &mpsc::Sender<Report>) {
    let Sources {
        account,
        calls,
        crashes,
        exited,
        lost,
        ..
    } = sources;
    let mut malformed = 0_u64;
    let broken = loop {
        let call = tokio::select! {
            biased;
            // First what was said, then that it ended.
            call = calls.next() => match call {
                Some(call) => call,
                None => break closed(crashes).await,
            },
            crash = crashes.next() => break crash.map_or(CLOSED, |_| CRASHED),
            () = ended(exited) => break "the browser ended",
            () = lost.cancelled() => break "the connection to the browser was lost",
        };
        if call.name != script::BINDING {
            continue;
        }
        let Some(report) = read(account, &call.payload, &mut malformed) else {
            continue;
        };
        if reports.send(report).await.is_err() {
            return;
        }
    };
    lost.cancel();
    timeout(REASON, ended(exited)).await.ok();
    let reason = match exited.borrow().as_deref() {
        Some(how) => format!("the browser ended ({how})"),
        None => broken.to_owned(),
    };
    // Nobody reads any more: then nobody needs to know.
    reports.send(Report::Gone(reason)).await.ok();
}

/// Why nothing is said any more: a crash may have been told before the tab went.
async fn closed(crashes: &mut EventStream<EventTargetCrashed>) -> &'static str {
    match timeout(REASON, crashes.next()).await {
        Ok(Some(_)) => CRASHED,
        _ => CLOSED,
    }
}

async fn ended(exited: &mut watch::Receiver<Option<String>>) {
    // An error means that the watcher is gone, which happens with the host only.
    exited.wait_for(Option::is_some).await.ok();
}

/// What the agent sends.
#[derive(Deserialize)]
struct Raw {
    page_id: String,
    page_seq: u64,
    event: Value,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum RawEvent {
    Message {
        message: Message,
        canonical: String,
        is_new: bool,
    },
    Ack {
        chat: String,
        ids: Vec<String>,
        ack: i64,
        sender: Option<String>,
    },
    Qr {
        code: Option<String>,
    },
    QrIdle,
    Authenticated,
    State(PageStatus),
    LoggedOut {
        reason: Option<String>,
    },
    Gap {
        dropped: u64,
    },
    Trouble {
        reason: String,
    },
}

/// A call of the binding, which may hold anything, as a report; what cannot be read is counted in `malformed`.
pub fn read(account: &AccountId, payload: &str, malformed: &mut u64) -> Option<Report> {
    let mut count = |what: &serde_json::Error| {
        *malformed += 1;
        // Not the payload: it may hold what people wrote. And not every one: a page that goes wrong does so often.
        if malformed.is_power_of_two() {
            tracing::warn!(%account, error = %what, count = *malformed, "the agent sent something that cannot be read");
        }
    };
    let raw: Raw = match serde_json::from_str(payload) {
        Ok(raw) => raw,
        Err(error) => {
            count(&error);
            return None;
        }
    };
    let event = match serde_json::from_value(raw.event) {
        Ok(RawEvent::Trouble { reason }) => {
            tracing::warn!(%account, %reason, "the agent had trouble in the page");
            return None;
        }
        Ok(RawEvent::Message {
            message,
            canonical,
            is_new,
        }) => {
            tracing::trace!(
                target: "wharf::path", %account, page_seq = raw.page_seq, id = %message.id, chat = %message.chat,
                "message in ring"
            );
            PageEvent::Message {
                message,
                canonical,
                is_new,
            }
        }
        Ok(RawEvent::Ack { chat, ids, ack, sender }) => PageEvent::Ack { chat, ids, ack, sender },
        Ok(RawEvent::Qr { code }) => PageEvent::Qr(code),
        Ok(RawEvent::QrIdle) => PageEvent::QrIdle,
        Ok(RawEvent::Authenticated) => PageEvent::Authenticated,
        Ok(RawEvent::State(status)) => PageEvent::State(status),
        Ok(RawEvent::LoggedOut { reason }) => PageEvent::LoggedOut { reason },
        Ok(RawEvent::Gap { dropped }) => PageEvent::Gap { dropped },
        Err(error) => {
            count(&error);
            PageEvent::Gap { dropped: 1 }
        }
    };
    Some(Report::Event {
        page_id: raw.page_id,
        page_seq: raw.page_seq,
        event,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(payload: &str) -> (Option<Report>, u64) {
        let mut malformed = 0;
        let report = read(&"one".parse().unwrap(), payload, &mut malformed);
        (report, malformed)
    }

    #[test]
    fn what_cannot_be_read_is_counted_and_becomes_a_gap_where_it_has_a_number() {
        assert_eq!(one("no json"), (None, 1));
        let (report, malformed) = one(r#"{"page_id":"p","page_seq":7,"event":{"type":"message","message":{}}}"#);
        let gap = Report::Event {
            page_id: "p".into(),
            page_seq: 7,
            event: PageEvent::Gap { dropped: 1 },
        };
        assert_eq!((report, malformed), (Some(gap), 1));
    }

    #[test]
    fn trouble_is_logged_and_not_reported() {
        assert_eq!(
            one(r#"{"page_id":"p","page_seq":0,"event":{"type":"trouble","reason":"x"}}"#),
            (None, 0)
        );
    }

    #[test]
    fn a_state_may_lack_what_the_page_does_not_know() {
        let (report, _) = one(r#"{"page_id":"p","page_seq":1,"event":{"type":"state","mode":"QR","full_ready":true}}"#);
        let Some(Report::Event {
            event: PageEvent::State(status),
            ..
        }) = report
        else {
            panic!("{report:?}")
        };
        assert!(status.full_ready && !status.is_usable() && status.me.is_none());
    }
}
