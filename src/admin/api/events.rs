//! The events, as a stream.
//!
//! In: from where, and which. Out: server-sent events out of the journal, then live. Must not read the journal itself: `feed`
//! does.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures::FutureExt as _;
use hyper::body::Bytes;
use serde::Deserialize;
use tokio::sync::mpsc;

use super::super::auth::{self, Caller};
use super::super::feed::{CLIENTS, Feed, MayRead, Wanted};
use super::super::keys::{self, Scope};
use super::super::listen::HangUp;
use super::super::refusal::Refusal;
use super::super::server::Context;
use crate::event::{AccountId, BadAccountId, Names};
use crate::store::{Moment, Place, Store};

/// The header in which a client that was cut off says how far it got.
const LAST: HeaderName = HeaderName::from_static("last-event-id");

/// In place of an id: all that the journal holds.
const FIRST: &str = "first";

/// Seconds after which one that found no place may ask again.
const AGAIN: u64 = 5;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Which {
    /// The id of the last event that the client has; or [`FIRST`].
    since: Option<String>,
    /// Accounts, separated by commas.
    #[serde(default)]
    account: String,
    /// Names of events, separated by commas.
    #[serde(default)]
    events: String,
}

/// `GET /api/events`
pub(in super::super) async fn stream(
    State(context): State<Arc<Context>>,
    Extension(caller): Extension<Caller>,
    Extension(HangUp(hang_up)): Extension<HangUp>,
    headers: HeaderMap,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(which) = which.map_err(|error| Refusal::bad_request("BAD_REQUEST", error.body_text()))?;
    let wanted = Wanted {
        names: names(&which.events)?,
        accounts: accounts(&which.account)?,
    };
    let Ok(place) = Arc::clone(&context.streams).try_acquire_owned() else {
        let message = format!("{CLIENTS} clients follow the events already; end one, or try again later");
        let mut refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "TOO_MANY_STREAMS", message);
        refusal.retry_after = Some(AGAIN);
        return Err(refusal);
    };
    let (cursor, passed) = begin(&context.store, last(&headers)?.or(which.since)).await?;
    let feed = Feed {
        store: context.store.clone(),
        cursor,
        passed,
        wanted,
        may_read: may_read(&context, caller, &headers),
        stop: context.stop.clone(),
        hang_up,
        place,
    };
    let (frames, task) = feed.open();
    context.tracker.spawn(task);
    let head = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        // For proxies that would collect the answer before they pass it on.
        (
            HeaderName::from_static("x-accel-buffering"),
            HeaderValue::from_static("no"),
        ),
    ];
    Ok((head, body(frames)).into_response())
}

/// The names in a list with commas.
pub(super) fn names(list: &str) -> Result<Names, Refusal> {
    Names::parse(parts(list)).map_err(|error| Refusal::bad_request("BAD_EVENT_NAME", error.to_string()))
}

fn accounts(list: &str) -> Result<Vec<AccountId>, Refusal> {
    let read = parts(list).map(str::parse).collect::<Result<_, BadAccountId>>();
    read.map_err(|error| Refusal::bad_request("BAD_ACCOUNT_ID", error.to_string()))
}

fn parts(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|part| !part.is_empty())
}

/// How far the client says it got, in the header, which browsers send by themselves.
fn last(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    match headers.get(LAST).map(HeaderValue::to_str) {
        None | Some(Ok("")) => Ok(None),
        Some(Ok(id)) => Ok(Some(id.to_owned())),
        Some(Err(_)) => Err(bad_id("Last-Event-ID")),
    }
}

fn bad_id(shown: &str) -> Refusal {
    let shown: String = shown.chars().take(80).collect();
    let message = format!("`{shown}` is not the id of an event, which is `evt_` and 26 letters and digits");
    Refusal::bad_request("BAD_EVENT_ID", message)
}

/// The offset at which to begin, and the id of the event before it.
async fn begin(store: &Store, since: Option<String>) -> Result<(u64, Option<String>), Refusal> {
    let Some(since) = since else {
        let head = *store.head().borrow();
        let before = match head.checked_sub(1) {
            Some(last) => store.events(last, 1).await?,
            None => Vec::new(),
        };
        // Those that came meanwhile are read from the journal.
        return Ok((head, before.first().map(|(_, event)| event.id.clone())));
    };
    if since == FIRST {
        return Ok((store.place_at(Moment::FIRST).await?.offset(), None));
    }
    match store.place_after(&since).await? {
        None => Err(bad_id(&since)),
        Some(Place::At(offset)) => Ok((offset, Some(since))),
        Some(Place::Gone { oldest, .. }) => {
            let message =
                format!("the journal does not hold what came after {since} any more; begin with `since={FIRST}`");
            Err(Refusal::new(StatusCode::GONE, "EVENT_GONE", message).with("oldest", oldest))
        }
    }
}

/// Whether the caller's key may still read, and the page that it came from is still signed in.
fn may_read(context: &Arc<Context>, caller: Caller, headers: &HeaderMap) -> MayRead {
    let cookie = caller
        .ticket
        .is_some()
        .then(|| auth::cookie(headers, &context.cookie).unwrap_or_default().to_owned());
    let context = Arc::clone(context);
    Box::new(move || {
        let (context, id, cookie) = (Arc::clone(&context), caller.id.clone(), cookie.clone());
        async move {
            if id == auth::CONTROL {
                return true;
            }
            if cookie.is_some_and(|cookie| context.tickets.find(&cookie).is_none()) {
                return false;
            }
            let keys = context.store.keys().await.unwrap_or_default();
            keys.iter()
                .any(|record| record.id == id && keys::scopes(record).allow(Scope::Read))
        }
        .boxed()
    })
}

fn body(frames: mpsc::Receiver<Bytes>) -> Body {
    Body::from_stream(futures::stream::unfold(frames, async |mut frames| {
        let frame = frames.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(frame), frames))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Draft, Kind, Origin};
    use crate::store::{Batch, NewEvent};

    #[tokio::test]
    async fn who_asks_for_what_is_gone_is_told_with_what_the_journal_begins() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 1 << 20).unwrap();
        let event = NewEvent::from(Draft {
            event: Kind::MESSAGE,
            account: None,
            timestamp: 0,
            origin: Origin::Live,
            data: serde_json::Map::new(),
        });
        let batch = Batch {
            events: vec![event; 5],
            ..Batch::default()
        };
        let made = store.commit(batch).await.unwrap().events;
        let ids: Vec<String> = made.into_iter().flatten().map(|(_, event)| event.id.clone()).collect();
        let early = "evt_00000000000000000000000000".to_owned();
        let begun = begin(&store, Some(early.clone())).await.unwrap();
        assert_eq!(begun, (0, Some(early.clone())), "nothing is gone yet");
        store.forget_before(3);
        for since in [&early, &ids[0], &ids[2]] {
            let refused = begin(&store, Some(since.clone())).await.unwrap_err();
            assert_eq!(
                (refused.status, refused.code),
                (StatusCode::GONE, "EVENT_GONE"),
                "{since}"
            );
            assert_eq!(refused.more["oldest"], ids[3]);
        }
        assert_eq!(begin(&store, Some(FIRST.to_owned())).await.unwrap(), (3, None));
        assert_eq!(begin(&store, Some(ids[3].clone())).await.unwrap().0, 4);
        assert_eq!(begin(&store, Some(ids[4].to_lowercase())).await.unwrap().0, 5);
        assert_eq!(begin(&store, None).await.unwrap(), (5, Some(ids[4].clone())));
        store.close().await.unwrap();
    }
}
