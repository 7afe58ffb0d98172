//! Deliveries that are made once more: dead letters, and events of the past.
//!
//! In: which. Out: how many. They wait in the outbox then, like others, with the header `wharf-replay`. Must not hold them all:
//! they are read and committed piece by piece, until the host stops.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::refusal::Refusal;
use super::super::server::Context;
use super::body::Body;
use super::to_the_end;
use crate::event::{AccountId, Event, Kind, Names};
use crate::store::{BODY_MAX, Error, Moment, Post, REPLAYS_PER_BATCH, Replay, Store};

/// Ids in one request.
const IDS: usize = 1_000;

/// Events, or dead letters, read at a time.
const PAGE: usize = 64;

/// A moment as people say it: milliseconds since 1970, a time such as `2026-11-01T00:00:00Z`, the id of an event or delivery.
#[derive(Deserialize)]
#[serde(untagged)]
enum When {
    Millis(i64),
    Text(String),
}

impl When {
    fn read(&self, at: fn(i64) -> Moment) -> Result<Moment, Refusal> {
        let text = match self {
            Self::Millis(millis) => return Ok(at(*millis)),
            Self::Text(text) => text,
        };
        let time = || {
            text.parse::<jiff::Timestamp>()
                .ok()
                .map(|time| at(time.as_millisecond()))
        };
        Moment::of_id(text).or_else(time).ok_or_else(|| {
            let shown: String = text.chars().take(80).collect();
            let message = format!(
                "`{shown}` is no moment: give the id of an event or a delivery, a time such as 2026-11-01T00:00:00Z, or \
                 milliseconds since 1970"
            );
            Refusal::bad_request("BAD_MOMENT", message)
        })
    }
}

fn between(from: Option<&When>, to: Option<&When>) -> Result<(Moment, Moment), Refusal> {
    let from = from.map_or(Ok(Moment::FIRST), |from| from.read(Moment::begin_of))?;
    let to = to.map_or(Ok(Moment::LAST), |to| to.read(Moment::end_of))?;
    Ok((from, to))
}

fn not_too_many(ids: &[String]) -> Result<(), Refusal> {
    if ids.len() > IDS {
        let message = format!("{} ids; at most {IDS} in one request", ids.len());
        return Err(Refusal::bad_request("BAD_REQUEST", message));
    }
    Ok(())
}

/// Which dead letters.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Letters {
    ids: Option<Vec<String>>,
    endpoint: Option<String>,
    from: Option<When>,
    to: Option<When>,
    #[serde(default)]
    all: bool,
}

/// `POST /api/outbox/dead/{id}/replay`
pub(in super::super) async fn letter(
    State(context): State<Arc<Context>>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    check_ids([&id])?;
    let store = context.store.clone();
    let made = to_the_end(&context, async move { store.replay(vec![Replay::Letter(id)]).await }).await??;
    Ok(Json(json!({"replayed": made.len()})))
}

/// `POST /api/outbox/dead/replay`
pub(in super::super) async fn letters(
    State(context): State<Arc<Context>>,
    Body(which): Body<Letters>,
) -> Result<Json<Value>, Refusal> {
    let Letters {
        ids,
        endpoint,
        from,
        to,
        all,
    } = which;
    let some = endpoint.is_some() || from.is_some() || to.is_some();
    if usize::from(ids.is_some()) + usize::from(some) + usize::from(all) != 1 {
        let message = "say which: `ids`, or one or more of `endpoint`, `from` and `to`, or `\"all\": true`";
        return Err(Refusal::bad_request("BAD_REQUEST", message));
    }
    let mut work = Work::new(&context);
    if let Some(ids) = ids {
        not_too_many(&ids)?;
        check_ids(&ids)?;
        return run(&context, async move {
            work.add_all(ids.into_iter().map(Replay::Letter)).await?;
            work.finish().await
        })
        .await;
    }
    let range = between(from.as_ref(), to.as_ref())?;
    run(&context, async move {
        let mut after: Option<String> = None;
        loop {
            let page = work.store.dead_letters_between(range, after.as_deref(), PAGE).await;
            let page = work.or_so_far(page)?;
            let Some(last) = page.last() else {
                return work.finish().await;
            };
            after = Some(last.delivery.id.clone());
            let wanted = page.into_iter().map(|letter| letter.delivery);
            let wanted = wanted.filter(|delivery| endpoint.as_ref().is_none_or(|name| *name == delivery.endpoint));
            work.add_all(wanted.map(|delivery| Replay::Letter(delivery.id))).await?;
        }
    })
    .await
}

fn check_ids<'a>(ids: impl IntoIterator<Item = &'a String>) -> Result<(), Refusal> {
    let bad = ids
        .into_iter()
        .find(|id| !id.starts_with("dlv_") || Moment::of_id(id).is_none());
    bad.map_or(Ok(()), |bad| {
        let shown: String = bad.chars().take(80).collect();
        let message = format!("`{shown}` is not the id of a delivery, which is `dlv_` and 26 letters and digits");
        Err(Refusal::bad_request("BAD_DELIVERY_ID", message))
    })
}

/// Which events, and where to.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Events {
    endpoint: String,
    ids: Option<Vec<String>>,
    from: Option<When>,
    to: Option<When>,
    #[serde(default)]
    events: Vec<String>,
    #[serde(default)]
    accounts: Vec<AccountId>,
}

/// `POST /api/events/replay`
pub(in super::super) async fn events(
    State(context): State<Arc<Context>>,
    Body(which): Body<Events>,
) -> Result<Json<Value>, Refusal> {
    let Events { ids, from, to, .. } = &which;
    if ids.is_some() == (from.is_some() || to.is_some()) {
        let message = "say which events: `ids`, or `from` and `to` (or one of them)";
        return Err(Refusal::bad_request("BAD_REQUEST", message));
    }
    has_endpoint(&context, &which.endpoint)?;
    let names = Names::parse(which.events.iter().map(String::as_str))
        .map_err(|error| Refusal::bad_request("BAD_EVENT_NAME", error.to_string()))?;
    let (endpoint, accounts) = (which.endpoint, which.accounts);
    let wanted = move |event: &Event| {
        // What a script has told itself is nobody else's.
        !matches!(event.event, Kind::Job(_))
            && names.hold(&event.event)
            && (accounts.is_empty() || event.account.as_ref().is_some_and(|id| accounts.contains(id)))
    };
    let mut work = Work::new(&context);
    if let Some(ids) = which.ids {
        not_too_many(&ids)?;
        return run(&context, async move {
            for id in ids {
                let found = work.store.find_event(&id).await;
                match work.or_so_far(found)? {
                    Some((_, event)) if wanted(&event) => work.add_event(&endpoint, &event).await?,
                    Some(_) => {}
                    None => work.missing.push(id),
                }
            }
            work.finish().await
        })
        .await;
    }
    let (first, last) = between(which.from.as_ref(), which.to.as_ref())?;
    run(&context, async move {
        // What is journaled meanwhile, also on account of this, is not among them.
        let head = *work.store.head().borrow();
        let place = work.store.place_at(first).await;
        let mut cursor = work.or_so_far(place)?.offset();
        while cursor < head {
            let page = work.store.events(cursor, PAGE).await;
            let page = work.or_so_far(page)?;
            let Some((offset, _)) = page.last() else { break };
            cursor = offset + 1;
            for (offset, event) in page {
                let over = Moment::of_id(&event.id).is_some_and(|moment| moment > last);
                if offset >= head || over {
                    return work.finish().await;
                }
                if wanted(&event) {
                    work.add_event(&endpoint, &event).await?;
                }
            }
        }
        work.finish().await
    })
    .await
}

fn has_endpoint(context: &Context, name: &str) -> Result<(), Refusal> {
    let there = match name.strip_prefix("account:").map(str::parse::<AccountId>) {
        Some(id) => id
            .ok()
            .and_then(|id| context.sessions.get(&id))
            .is_some_and(|view| view.webhook_url.is_some()),
        None => context.config.borrow().endpoint.contains_key(name),
    };
    let shown: String = name.chars().take(80).collect();
    let message = format!("there is no endpoint `{shown}`: no such [endpoint.NAME], or an account without a webhook");
    let refusal = || Refusal::new(StatusCode::NOT_FOUND, "NO_ENDPOINT", message);
    there.then_some(()).ok_or_else(refusal)
}

/// What is being replayed, piece by piece.
struct Work {
    store: Store,
    stop: tokio_util::sync::CancellationToken,
    waiting: Vec<Replay>,
    replayed: usize,
    /// Ids of events that the journal does not hold.
    missing: Vec<String>,
    /// Ids of events that are too large for a delivery.
    too_large: Vec<String>,
}

impl Work {
    fn new(context: &Context) -> Self {
        Self {
            store: context.store.clone(),
            stop: context.stop.clone(),
            waiting: Vec::new(),
            replayed: 0,
            missing: Vec::new(),
            too_large: Vec::new(),
        }
    }

    async fn add_all(&mut self, replays: impl Iterator<Item = Replay>) -> Result<(), Refusal> {
        for replay in replays {
            self.add(replay).await?;
        }
        Ok(())
    }

    async fn add_event(&mut self, endpoint: &str, event: &Event) -> Result<(), Refusal> {
        let body = event.json().into_bytes();
        if body.len() > BODY_MAX {
            self.too_large.push(event.id.clone());
            return Ok(());
        }
        let post = Post {
            endpoint: endpoint.to_owned(),
            chat_key: event.lane(),
            body,
            script: None,
            event_id: Some(event.id.clone()),
        };
        self.add(Replay::Event(post)).await
    }

    async fn add(&mut self, replay: Replay) -> Result<(), Refusal> {
        self.waiting.push(replay);
        if self.waiting.len() >= REPLAYS_PER_BATCH {
            self.commit().await?;
        }
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), Refusal> {
        if self.stop.is_cancelled() {
            let message = "wharf is stopping; what was replayed until now stays so";
            let refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "CLOSING", message);
            return Err(refusal.with("replayed", self.replayed));
        }
        if self.waiting.is_empty() {
            return Ok(());
        }
        let made = self.store.replay(std::mem::take(&mut self.waiting)).await;
        self.replayed += self.or_so_far(made)?.len();
        Ok(())
    }

    async fn finish(mut self) -> Result<Value, Refusal> {
        self.commit().await?;
        let mut answer = json!({"replayed": self.replayed});
        for (name, ids) in [("missing", self.missing), ("too_large", self.too_large)] {
            if !ids.is_empty() {
                answer[name] = Value::from(ids);
            }
        }
        Ok(answer)
    }

    /// The store's answer; its refusal says how many were replayed before.
    fn or_so_far<T>(&self, answer: Result<T, Error>) -> Result<T, Refusal> {
        answer.map_err(|error| Refusal::from(error).with("replayed", self.replayed))
    }
}

async fn run(
    context: &Context,
    work: impl Future<Output = Result<Value, Refusal>> + Send + 'static,
) -> Result<Json<Value>, Refusal> {
    to_the_end(context, work).await?.map(Json)
}
