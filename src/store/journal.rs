//! The journal: all events, numbered, in the order in which they became durable.
//!
//! In: the drafts of a batch. Out: [`Event`]s by offset or id, and the head that tells readers of new ones. Must not know who
//! reads. Ids and offsets rise together, so an id is found by halving, without rows of its own.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::watch;

use crate::event::{self, Event};

use super::batch::NewEvent;
use super::disk::Disk;
use super::layout::{self, Table};
use super::stage::Layer;
use super::{Error, Store, ids, marks, record};

const PREFIX: &str = "evt_";

/// Most events in one answer.
const PAGE_MAX: usize = 1000;

/// Bytes of events after which an answer is closed.
const PAGE_BYTES: usize = 4 << 20;

/// Events kept in memory for the readers that follow the head; the oldest goes first.
const TAIL_MAX: usize = 1024;

/// Bytes of them, as they lie in the store.
const TAIL_BYTES: usize = 4 << 20;

/// An event with its offset.
pub(super) type Numbered = (u64, Arc<Event>);

/// Numbers an event and writes it; `None` if it was seen before.
pub(super) fn stage(layer: &mut Layer<'_>, new: NewEvent, now: i64) -> Result<Option<Numbered>, Error> {
    let NewEvent { draft, once } = new;
    if let Some(once) = once
        && marks::stage_once(layer, &once, &draft, now)?
    {
        return Ok(None);
    }
    let counter = Table::Seq.named(draft.account.as_ref().map_or("", |account| account.as_str()))?;
    let seq = layer.get::<u64>(&counter)?.unwrap_or(0) + 1;
    layer.put(counter, &seq)?;
    let id = ids::text(PREFIX, layer.head.ids.next(now)?);
    let offset = layer.head.offset;
    layer.head.offset += 1;
    let event = Event {
        schema: event::SCHEMA.to_owned(),
        id,
        seq,
        event: draft.event,
        account: draft.account,
        timestamp: draft.timestamp,
        origin: draft.origin,
        data: draft.data,
    };
    let payload = record::to_json(&event)?;
    layer.put_bytes(Table::Journal.numbered(offset), &payload)?;
    layer.event_bytes += payload.len();
    layer.head.journal_bytes += payload.len() as u64;
    Ok(Some((offset, Arc::new(event))))
}

/// The newest events, in memory.
#[derive(Debug, Default)]
pub(super) struct Tail {
    events: VecDeque<(u64, Arc<Event>, usize)>,
    bytes: usize,
}

impl Tail {
    /// Takes in what just became durable, in order. `bytes` is the size of all of it together.
    pub(super) fn push(&mut self, events: Vec<Numbered>, bytes: usize) {
        let each = bytes / events.len().max(1);
        for (offset, event) in events {
            self.events.push_back((offset, event, each));
            self.bytes += each;
        }
        while self.events.len() > TAIL_MAX || self.bytes > TAIL_BYTES {
            let Some((_, _, size)) = self.events.pop_front() else {
                break;
            };
            self.bytes -= size;
        }
    }

    /// The events from there on, if all of them are here.
    fn from(&self, from: u64, limit: usize) -> Option<Vec<Numbered>> {
        let first = self.events.front()?.0;
        let skip = usize::try_from(from.checked_sub(first)?).ok()?;
        Some(
            self.events
                .iter()
                .skip(skip)
                .take(limit)
                .map(|(offset, event, _)| (*offset, event.clone()))
                .collect(),
        )
    }
}

fn read_events(disk: &Disk, from: u64, limit: usize, head: u64) -> Result<Vec<Numbered>, Error> {
    let mut found = Vec::new();
    let mut bytes = 0;
    for row in disk.scan_from(&Table::Journal.prefix(), &Table::Journal.numbered(from)) {
        let (key, payload) = row?;
        let offset = layout::number_of(&key)?;
        // What lies at or above the head may not be durable yet.
        if offset >= head || found.len() >= limit || bytes > PAGE_BYTES {
            break;
        }
        bytes += payload.len();
        found.push((offset, Arc::new(record::from_json(&key, &payload)?)));
    }
    Ok(found)
}

fn find(disk: &Disk, id: &str, first: u64, head: u64) -> Result<Option<Numbered>, Error> {
    let (mut low, mut high) = (first, head);
    while low < high {
        let middle = low + (high - low) / 2;
        let key = Table::Journal.numbered(middle);
        let Some(event) = disk.get::<Event>(&key)? else {
            // Retention has moved the beginning while this was looking.
            low = middle + 1;
            continue;
        };
        match event.id.as_str().cmp(id) {
            std::cmp::Ordering::Equal => return Ok(Some((middle, Arc::new(event)))),
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle,
        }
    }
    Ok(None)
}

impl Store {
    /// The offset of the next event. Changes when events have become durable.
    #[must_use]
    pub fn head(&self) -> watch::Receiver<u64> {
        self.shared.head.subscribe()
    }

    /// The offset of the oldest event that is kept. It only rises.
    #[must_use]
    pub fn first_offset(&self) -> u64 {
        self.shared.first.load(std::sync::atomic::Ordering::Acquire)
    }

    /// The events from this offset on, at most `limit`, fewer where they are large; empty only at the head. Offsets are
    /// host-wide and without gaps from [`Store::first_offset`]; asked for older ones, it begins there.
    pub async fn events(&self, from: u64, limit: usize) -> Result<Vec<Numbered>, Error> {
        let head = *self.shared.head.borrow();
        let limit = limit.min(PAGE_MAX);
        let from = from.max(self.first_offset());
        if from >= head || limit == 0 {
            return Ok(Vec::new());
        }
        if let Some(events) = self.shared.tail().from(from, limit) {
            return Ok(events);
        }
        self.read(move |disk| read_events(disk, from, limit, head)).await
    }

    /// The event of this id; `None` if the journal has, or still has, none.
    pub async fn find_event(&self, event_id: &str) -> Result<Option<Numbered>, Error> {
        if ids::parse(PREFIX, event_id).is_none() {
            return Ok(None);
        }
        let (id, head, first) = (event_id.to_owned(), *self.shared.head.borrow(), self.first_offset());
        self.read(move |disk| find(disk, &id, first, head)).await
    }
}
