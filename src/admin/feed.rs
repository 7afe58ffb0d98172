//! One client's stream of events: out of the journal from its place on, then live.
//!
//! In: a place in the journal and what the client wants. Out: frames of SSE, each event once. The journal is the buffer: what
//! is read is what follows the last that was read, whether it was there before or has come just now, so there is no seam.
//! Must not hold more for a client than [`FRAMES`]; one that does not take them is cut off, and comes back to where it was.
//!
//! Each frame has the event's id, which the client sends back as `Last-Event-ID`. A beat carries the id of the last event that
//! was looked at, so that this also holds where nothing was wanted for a long time.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use hyper::body::Bytes;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};
use tokio_util::sync::CancellationToken;

use crate::event::{AccountId, Event, Names};
use crate::store::Store;

/// Clients at a time.
pub(super) const CLIENTS: usize = 64;

/// Frames that are made before the client takes them.
const FRAMES: usize = 16;

/// Events that may come while a client takes none.
const WAITING: u64 = 1_024;

/// How long a client may take none.
const DEADLINE: Duration = Duration::from_secs(30);

/// How often a sign of life is sent.
const BEAT: Duration = Duration::from_secs(15);

/// How old the last look at the client's key may be when an event goes out.
const LOOK: Duration = Duration::from_secs(1);

/// Events read at a time.
const PAGE: usize = 64;

/// What a client wants of the journal.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// Names of events.
    pub(super) names: Names,
    /// Accounts; all, and the host's own events, if there are none.
    pub(super) accounts: Vec<AccountId>,
}

impl Wanted {
    /// Whether an event is wanted.
    pub(super) fn takes(&self, event: &Event) -> bool {
        let account = || event.account.as_ref().is_some_and(|id| self.accounts.contains(id));
        self.names.hold(&event.event) && (self.accounts.is_empty() || account())
    }
}

/// Whether the client may still be told.
pub(super) type MayRead = Box<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>;

/// One client's stream.
pub(super) struct Feed {
    pub(super) store: Store,
    /// The offset that is read next.
    pub(super) cursor: u64,
    /// The id of the event before it, where it is known.
    pub(super) passed: Option<String>,
    pub(super) wanted: Wanted,
    pub(super) may_read: MayRead,
    /// Ends all streams.
    pub(super) stop: CancellationToken,
    /// Cuts the client's connection, also where it stands still.
    pub(super) hang_up: CancellationToken,
    /// The client's place among the others.
    pub(super) place: OwnedSemaphorePermit,
}

/// Why a stream ends.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The client went away, or all streams end.
    Closed,
    /// It may not read any more.
    Revoked,
    /// It took nothing for too long.
    Slow,
    /// The journal does not hold what comes next, or cannot be read now.
    Lost(String),
}

/// The end to which a feed sends.
struct Out {
    frames: mpsc::Sender<Bytes>,
    head: watch::Receiver<u64>,
    looked: Option<Instant>,
}

impl Feed {
    /// The frames, and the task that makes them: it ends with the client.
    pub(super) fn open(self) -> (mpsc::Receiver<Bytes>, BoxFuture<'static, ()>) {
        let (frames, taken) = mpsc::channel(FRAMES);
        let out = Out {
            frames,
            head: self.store.head(),
            looked: None,
        };
        (taken, self.run(out).boxed())
    }

    async fn run(mut self, mut out: Out) {
        let end = self.follow(&mut out).await;
        match end {
            End::Slow => {
                tracing::info!("a client of /api/events took nothing for too long and is cut off");
                self.hang_up.cancel();
            }
            End::Lost(why) => tracing::info!("a stream of /api/events ends: {why}"),
            End::Revoked => tracing::info!("a stream of /api/events ends: its key may not read any more"),
            // Whoever still holds frames would hold up the end of the host.
            End::Closed if self.stop.is_cancelled() && out.frames.capacity() < FRAMES => self.hang_up.cancel(),
            End::Closed => {}
        }
        drop(self.place);
    }

    async fn follow(&mut self, out: &mut Out) -> End {
        let mut head = self.store.head();
        let mut beat = interval_at(Instant::now() + BEAT, BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The place from which it goes on if it is cut off before the first event.
        if let Err(end) = self.send(out, self.sign_of_life()).await {
            return end;
        }
        loop {
            while self.cursor < *head.borrow_and_update() {
                if let Err(end) = self.read(out).await {
                    return end;
                }
            }
            tokio::select! {
                changed = head.changed() => if changed.is_err() {
                    return End::Closed;
                },
                _ = beat.tick() => {
                    if let Err(end) = self.look(out, Duration::ZERO).await {
                        return end;
                    }
                    if let Err(end) = self.send(out, self.sign_of_life()).await {
                        return end;
                    }
                }
                () = out.frames.closed() => return End::Closed,
                () = self.stop.cancelled() => return End::Closed,
            }
        }
    }

    /// Reads a page and sends what is wanted of it.
    async fn read(&mut self, out: &mut Out) -> Result<(), End> {
        if out.frames.is_closed() || self.stop.is_cancelled() {
            return Err(End::Closed);
        }
        let page = self.store.events(self.cursor, PAGE).await;
        let page = page.map_err(|error| End::Lost(error.to_string()))?;
        if page.first().is_none_or(|(offset, _)| *offset != self.cursor) {
            return Err(End::Lost(
                "the journal does not hold what comes next any more".to_owned(),
            ));
        }
        for (offset, event) in page {
            if self.wanted.takes(&event) {
                self.look(out, LOOK).await?;
                self.send(out, frame(&event)).await?;
            }
            self.cursor = offset + 1;
            self.passed = Some(event.id.clone());
        }
        Ok(())
    }

    /// Looks whether the client may still be told, unless that was done within `age`.
    async fn look(&self, out: &mut Out, age: Duration) -> Result<(), End> {
        let now = Instant::now();
        if out.looked.is_some_and(|looked| now.duration_since(looked) < age) {
            return Ok(());
        }
        if !(self.may_read)().await {
            return Err(End::Revoked);
        }
        out.looked = Some(now);
        Ok(())
    }

    async fn send(&self, out: &mut Out, frame: Bytes) -> Result<(), End> {
        let frame = match out.frames.try_send(frame) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(_)) => return Err(End::Closed),
            Err(TrySendError::Full(frame)) => frame,
        };
        let most = *out.head.borrow() + WAITING;
        tokio::select! {
            sent = out.frames.send(frame) => sent.map_err(|_| End::Closed),
            _ = out.head.wait_for(|head| *head >= most) => Err(End::Slow),
            () = sleep(DEADLINE) => Err(End::Slow),
            () = self.stop.cancelled() => Err(End::Closed),
        }
    }

    /// A comment, and where the client would go on. A frame without data is no event, but its id counts.
    fn sign_of_life(&self) -> Bytes {
        match &self.passed {
            Some(id) => format!(":\nid: {id}\n\n").into(),
            None => Bytes::from_static(b":\n\n"),
        }
    }
}

fn frame(event: &Arc<Event>) -> Bytes {
    format!("id: {}\nevent: {}\ndata: {}\n\n", event.id, event.event, event.json()).into()
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;

    use super::*;
    use crate::event::{Draft, Kind, Origin};
    use crate::store::{Batch, NewEvent};

    async fn journal(store: &Store, count: usize) {
        let event = NewEvent::from(Draft {
            event: Kind::MESSAGE,
            account: None,
            timestamp: 0,
            origin: Origin::Live,
            data: serde_json::Map::new(),
        });
        let batch = Batch {
            events: vec![event; count],
            ..Batch::default()
        };
        store.commit(batch).await.unwrap();
    }

    async fn feed(store: &Store) -> Feed {
        Feed {
            store: store.clone(),
            cursor: 0,
            passed: None,
            wanted: Wanted::default(),
            may_read: Box::new(|| std::future::ready(true).boxed()),
            stop: CancellationToken::new(),
            hang_up: CancellationToken::new(),
            place: Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap(),
        }
    }

    #[tokio::test]
    async fn a_stream_ends_where_the_journal_has_lost_what_comes_next() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 1 << 20).unwrap();
        journal(&store, 5).await;
        store.forget_before(3);
        let (mut frames, task) = feed(&store).await.open();
        task.await;
        assert_eq!(frames.recv().await.unwrap(), ":\n\n");
        assert_eq!(frames.recv().await, None, "a gap is not passed over in silence");
        store.close().await.unwrap();
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_cut_off_after_half_a_minute_and_one_that_does_is_told_that_it_lives() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 1 << 20).unwrap();
        journal(&store, FRAMES + 1).await;
        let slow = feed(&store).await;
        let cut = slow.hang_up.clone();
        let (frames, task) = slow.open();
        let mut task = Box::pin(task);
        // Until it waits for the client; the store reads in its own time.
        while futures::poll!(&mut task).is_pending() && frames.len() < FRAMES {
            tokio::task::yield_now().await;
        }
        tokio::time::pause();
        let started = Instant::now();
        task.await;
        assert!(cut.is_cancelled() && started.elapsed() >= DEADLINE);

        let mut live = feed(&store).await;
        live.cursor = FRAMES as u64 + 1;
        let (mut frames, task) = live.open();
        let mut task = Box::pin(task);
        let started = Instant::now();
        for _ in 0..3 {
            tokio::select! {
                () = &mut task => panic!("it ends"),
                frame = frames.recv() => assert_eq!(frame.unwrap(), ":\n\n"),
            }
        }
        assert!(started.elapsed() >= 2 * BEAT);
        store.close().await.unwrap();
    }
}
