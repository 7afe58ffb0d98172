//! Gates: they see an event before all handlers of all scripts, and may stop it.
//!
//! In: the journal, the scripts in their order. Out: for each event whether it may be handled. Gates of one chat run one
//! after another, those of different chats together. Each has its own commit, with its verdict; one that fails lets the
//! event pass. `ask` runs one of them. Must not run handlers.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::event::Event;
use crate::store::Verdict;

use super::finish::lane;
use super::live::now;
use super::queue::Queue;
use super::shared::Shared;
use super::slot::Slot;

mod ask;

/// Events with gates at work at a time; more wait in the journal.
const OPEN: usize = 256;
/// Events read at a time.
const PAGE: usize = 64;
/// Stopped events that are remembered; older ones are looked up in the store. More come together only while a script stands
/// still and its position with it.
const REMEMBERED: usize = 10_000;
/// Wait before the store is asked again when it is out of service.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// What has been decided, and who decides.
pub(crate) struct Gates {
    shared: Arc<Shared>,
    order: Mutex<Vec<Arc<Slot>>>,
    front: Mutex<Front>,
    changed: watch::Sender<()>,
    queue: Arc<Queue>,
}

/// Events that wait for their gates, by lane; the first of each is at work.
type Lanes = HashMap<String, VecDeque<(u64, Arc<Event>)>>;

/// How far the gates have come.
#[derive(Default)]
struct Front {
    /// Below this, what has been decided is in the store.
    from: u64,
    /// Below this, all but `open` are decided.
    next: u64,
    open: BTreeSet<u64>,
    stopped: BTreeMap<u64, String>,
}

impl Front {
    /// Forgets what lies below `mark`, and what is too much to remember.
    fn forget(&mut self, mark: u64) {
        let mut below = mark;
        if self.stopped.len() > REMEMBERED
            && let Some(offset) = self.stopped.keys().nth(self.stopped.len() - REMEMBERED)
        {
            below = below.max(*offset);
        }
        // What is not decided yet is not in the store.
        let decided = self.open.first().copied().unwrap_or(self.next);
        let below = below.min(decided);
        self.stopped = self.stopped.split_off(&below);
        self.from = self.from.max(below);
    }
}

impl Gates {
    /// Gates that have not begun: nothing is decided.
    pub(crate) fn new(shared: &Arc<Shared>) -> Arc<Self> {
        Arc::new(Self {
            shared: Arc::clone(shared),
            order: Mutex::default(),
            front: Mutex::default(),
            changed: watch::Sender::new(()),
            queue: Queue::new(shared),
        })
    }

    /// Sets the scripts, in the order in which their gates run.
    pub(crate) fn set_order(&self, slots: Vec<Arc<Slot>>) {
        *self.order.lock().unwrap_or_else(PoisonError::into_inner) = slots;
    }

    /// Where sends wait that gates have queued.
    pub(crate) fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// Begins with the first event that a script has not finished, at the latest at the journal's head. Must be called
    /// once the scripts are loaded, so that no event passes before its gates are there.
    pub(crate) fn begin(&self, head: u64) {
        let marks = self
            .slots()
            .into_iter()
            .filter_map(|slot| slot.position())
            .map(|position| position.mark);
        let from = marks.min().unwrap_or(head).min(head);
        let mut front = self.front();
        (front.from, front.next) = (from, from);
        drop(front);
        self.changed.send_replace(());
    }

    /// Whether the event at `offset` has been decided.
    pub(crate) fn is_decided(&self, offset: u64) -> bool {
        let front = self.front();
        offset < front.next && !front.open.contains(&offset)
    }

    /// Waits until the event at `offset` has been decided; answers whether it was stopped.
    pub(crate) async fn stopped(&self, offset: u64) -> bool {
        let mut changed = self.changed.subscribe();
        while !self.is_decided(offset) {
            changed.borrow_and_update();
            if !self.is_decided(offset) && changed.changed().await.is_err() {
                break;
            }
        }
        {
            let front = self.front();
            if offset >= front.from {
                return front.stopped.contains_key(&offset);
            }
        }
        self.stored(offset).await.stopped_by.is_some()
    }

    /// Forgets what every script has passed.
    pub(crate) fn forget_finished(&self) {
        let slots = self.slots();
        let Some(mark) = slots
            .iter()
            .filter_map(|slot| slot.position())
            .map(|position| position.mark)
            .min()
        else {
            return;
        };
        self.front().forget(mark);
    }

    /// Reads the journal and lets the gates decide, until the host stops.
    pub(crate) async fn run(self: Arc<Self>) {
        let stop = self.shared.stop.clone();
        tokio::select! {
            () = self.work() => {}
            () = stop.cancelled() => {}
        }
    }

    async fn work(self: &Arc<Self>) {
        let mut head = self.shared.store.head();
        let began = *head.borrow();
        let (done, mut finished) = mpsc::channel::<String>(PAGE);
        let mut lanes = Lanes::new();
        loop {
            while let Ok(key) = finished.try_recv() {
                self.follow(key, &mut lanes, &done);
            }
            let next = self.front().next;
            let open = self.front().open.len();
            if next < *head.borrow_and_update() && open < OPEN {
                let events = match self.shared.store.events(next, PAGE).await {
                    Ok(events) => events,
                    Err(error) => {
                        tracing::error!(target: "wharf::script", "gates cannot read the journal: {error}");
                        tokio::time::sleep(STORE_PAUSE).await;
                        continue;
                    }
                };
                for (offset, event) in events {
                    let verdict = if offset < began {
                        self.stored(offset).await
                    } else {
                        Verdict::default()
                    };
                    if self.take(offset, &event, &verdict) {
                        let key = lane(&event);
                        let queue = lanes.entry(key.clone()).or_default();
                        queue.push_back((offset, event));
                        if queue.len() == 1 {
                            self.start(key, queue.front(), &done);
                        }
                    }
                }
                self.changed.send_replace(());
                continue;
            }
            tokio::select! {
                key = finished.recv() => {
                    let Some(key) = key else { return };
                    self.follow(key, &mut lanes, &done);
                }
                changed = head.changed(), if open < OPEN => {
                    if changed.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// The first event of a lane is decided: the next one's turn.
    fn follow(self: &Arc<Self>, key: String, lanes: &mut Lanes, done: &mpsc::Sender<String>) {
        let Some(queue) = lanes.get_mut(&key) else { return };
        queue.pop_front();
        if queue.is_empty() {
            lanes.remove(&key);
        } else {
            self.start(key, queue.front(), done);
        }
    }

    /// Notes an event; `true` if gates must see it.
    fn take(&self, offset: u64, event: &Event, verdict: &Verdict) -> bool {
        let wanted = verdict.stopped_by.is_none() && !self.gates_for(offset, event, &verdict.done).is_empty();
        let mut front = self.front();
        front.next = offset + 1;
        if let Some(by) = &verdict.stopped_by {
            front.stopped.insert(offset, by.clone());
        }
        if wanted {
            front.open.insert(offset);
        }
        wanted
    }

    fn start(self: &Arc<Self>, key: String, event: Option<&(u64, Arc<Event>)>, done: &mpsc::Sender<String>) {
        let Some((offset, event)) = event.cloned() else { return };
        let (gates, done) = (Arc::clone(self), done.clone());
        let stop = self.shared.stop.clone();
        self.shared.tracker.spawn_on(
            async move {
                tokio::select! {
                    () = gates.decide(offset, &event) => {}
                    () = stop.cancelled() => return,
                }
                // The reader is gone when the host stops.
                done.send(key).await.ok();
            },
            &self.shared.runtime,
        );
    }

    async fn decide(self: &Arc<Self>, offset: u64, event: &Arc<Event>) {
        let mut verdict = self.stored(offset).await;
        for (slot, gate) in self.gates_for(offset, event, &verdict.done) {
            if verdict.stopped_by.is_some() {
                break;
            }
            verdict = self.ask(&slot, gate, offset, event, verdict).await;
        }
        {
            let mut front = self.front();
            front.open.remove(&offset);
            if let Some(by) = verdict.stopped_by {
                front.stopped.insert(offset, by);
            }
        }
        self.changed.send_replace(());
    }

    /// Gates that want an event and have not ended yet, in order.
    fn gates_for(&self, offset: u64, event: &Event, done: &[String]) -> Vec<(Arc<Slot>, usize)> {
        let now = now();
        let mut found = Vec::new();
        for slot in self.slots().into_iter().filter(|slot| !slot.is_finished(offset)) {
            let Some(runner) = slot.current() else { continue };
            for gate in runner.outline().gates_for(event, now) {
                if !done.contains(&name_of(&slot, gate)) {
                    found.push((Arc::clone(&slot), gate));
                }
            }
        }
        found
    }

    async fn stored(&self, offset: u64) -> Verdict {
        loop {
            match self.shared.store.verdict(offset).await {
                Ok(verdict) => return verdict.unwrap_or_default(),
                Err(error) => {
                    tracing::error!(target: "wharf::script", "gates cannot read the store: {error}");
                    tokio::time::sleep(STORE_PAUSE).await;
                }
            }
        }
    }

    fn slots(&self) -> Vec<Arc<Slot>> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn front(&self) -> MutexGuard<'_, Front> {
        self.front.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn name_of(slot: &Slot, gate: usize) -> String {
    format!("{}/{gate}", slot.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stopped_while_a_script_stands_still_is_not_remembered_for_ever() {
        let mut front = Front {
            next: 30_000,
            ..Front::default()
        };
        front.stopped = (0..20_000).map(|offset| (offset, "gate".to_owned())).collect();
        front.open.insert(15_000);
        front.forget(10);
        assert_eq!((front.from, front.stopped.len()), (10_000, REMEMBERED));
        front.forget(18_000);
        assert_eq!(front.from, 15_000, "what is open is not in the store yet");
        assert_eq!(front.stopped.first_key_value().map(|(offset, _)| *offset), Some(15_000));
    }
}
