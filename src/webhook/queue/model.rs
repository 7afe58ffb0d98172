//! The queue against a store and endpoints that a test plays: whatever is posted, however it is answered, restarted or set back,
//! nothing is lost, doubled or out of order.

use std::collections::{BTreeMap, HashMap, HashSet};

use proptest::prelude::*;

use super::*;

const ENDPOINTS: [&str; 2] = ["chat", "strict"];
const CHATS: [&str; 3] = ["a", "b", "c"];
const IN_FLIGHT: usize = 2;
/// Small, so that most of what waits does so in the store.
const ROOM: Room = Room { fresh: 8, late: 4 };

#[derive(Clone, Debug)]
enum Step {
    Post {
        endpoint: usize,
        chat: usize,
    },
    /// The dispatcher starts what may go.
    Start,
    /// One of those under way gets its answer, and then its commit.
    Answer {
        which: usize,
        outcome: Outcome,
    },
    Pass {
        ms: i64,
    },
    Back {
        ms: i64,
    },
    Forward {
        ms: i64,
    },
    Restart,
    Park {
        endpoint: usize,
    },
    /// The oldest of an endpoint is given up.
    Cut {
        endpoint: usize,
    },
    /// The second endpoint changes its order and back.
    Turn,
}

#[derive(Clone, Copy, Debug)]
enum Outcome {
    Delivered,
    Failed {
        wait: i64,
    },
    Dead,
    /// Not tried: the store was down, the endpoint unknown.
    Unknown,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let outcome = prop_oneof![
        4 => Just(Outcome::Delivered),
        4 => (0..5_000i64).prop_map(|wait| Outcome::Failed { wait }),
        1 => Just(Outcome::Dead),
        1 => Just(Outcome::Unknown),
    ];
    let step = prop_oneof![
        6 => (0..2usize, 0..3usize).prop_map(|(endpoint, chat)| Step::Post { endpoint, chat }),
        6 => Just(Step::Start),
        8 => (0..8usize, outcome).prop_map(|(which, outcome)| Step::Answer { which, outcome }),
        4 => (0..3_000i64).prop_map(|ms| Step::Pass { ms }),
        1 => (30_000..4_000_000i64).prop_map(|ms| Step::Back { ms }),
        1 => (30_000..4_000_000i64).prop_map(|ms| Step::Forward { ms }),
        1 => Just(Step::Restart),
        1 => (0..2usize).prop_map(|endpoint| Step::Park { endpoint }),
        1 => (0..2usize).prop_map(|endpoint| Step::Cut { endpoint }),
        1 => Just(Step::Turn),
    ];
    proptest::collection::vec(step, 1..120)
}

/// The host: the queue, the rows of the store, what is under way.
#[derive(Default)]
struct Host {
    queue: Queue,
    rows: BTreeMap<String, Delivery>,
    cursor: Option<String>,
    under_way: Vec<Delivery>,
    now: i64,
    posted: u64,
    sequences: HashMap<String, u64>,
    /// First attempts that were begun, by endpoint and chat.
    begun: HashMap<(String, String), u64>,
    /// Those that are out of the outbox.
    ended: HashSet<String>,
    strict: bool,
}

impl Host {
    fn new() -> Self {
        let mut host = Self {
            now: 1_000_000_000,
            ..Self::default()
        };
        host.queue.room = ROOM;
        host.turn(true);
        host
    }

    fn turn(&mut self, strict: bool) {
        self.strict = strict;
        let names = if strict { vec!["strict".to_owned()] } else { Vec::new() };
        self.queue.follow_strict(names.into_iter().collect());
        self.refill();
    }

    fn post(&mut self, endpoint: &str, chat: &str) {
        self.posted += 1;
        let sequence = self.sequences.entry(endpoint.to_owned()).or_default();
        *sequence += 1;
        let delivery = Delivery {
            id: format!("dlv_{:06}", self.posted),
            endpoint: endpoint.to_owned(),
            sequence: *sequence,
            chat_key: chat.to_owned(),
            body: [0; 32],
            due: self.now,
            tries: 0,
            created_at: self.now,
            last_error: None,
            script: None,
            event_id: None,
            replayed: false,
            size: 0,
        };
        self.rows.insert(delivery.id.clone(), delivery);
        self.read(self.cursor.clone(), None);
    }

    /// As the dispatcher reads.
    fn read(&mut self, mut after: Option<String>, only: Option<&str>) {
        let from = after.clone().unwrap_or_default();
        let rows: Vec<Delivery> = self.rows.values().filter(|row| row.id > from).cloned().collect();
        for row in rows {
            let id = row.id.clone();
            if only.is_none_or(|endpoint| endpoint == row.endpoint) {
                self.queue.add(row, after.as_deref());
            }
            if only.is_some_and(|endpoint| self.queue.has_more(endpoint)) {
                return;
            }
            after = Some(id);
        }
        if only.is_none() {
            self.cursor = after;
        }
    }

    fn refill(&mut self) {
        while let Some((endpoint, after)) = self.queue.short_of() {
            self.read(Some(after), Some(&endpoint));
        }
        while let Some((endpoint, due)) = self.queue.short_of_late() {
            let mut rows: Vec<Delivery> = self.rows.values().cloned().collect();
            rows.retain(|row| row.endpoint == endpoint && row.tries > 0 && row.due >= due);
            rows.sort_by_key(|row| (row.due, row.sequence));
            for row in rows {
                self.queue.add(row, None);
            }
        }
        self.queue.drop_done();
    }

    fn start(&mut self) -> Result<(), TestCaseError> {
        while let Some(taken) = self.queue.take(self.now, 3, |_| IN_FLIGHT) {
            let of_chat = |other: &&Delivery| other.endpoint == taken.endpoint && other.chat_key == taken.chat_key;
            prop_assert!(!self.under_way.iter().any(|other| of_chat(&other)), "two of a chat");
            prop_assert!(!self.ended.contains(&taken.id), "tried after its end");
            prop_assert!(taken.tries == 0 || taken.due <= self.now, "before its time");
            let key = (taken.endpoint.clone(), taken.chat_key.clone());
            if taken.tries == 0 {
                let last = self.begun.insert(key, taken.sequence).unwrap_or(0);
                prop_assert!(last <= taken.sequence, "first attempts out of order");
            }
            if self.strict && taken.endpoint == "strict" {
                let mut before = self.rows.values().filter(of_chat);
                prop_assert!(
                    !before.any(|other| other.sequence < taken.sequence),
                    "passed over one that waits"
                );
            }
            self.under_way.push(taken);
        }
        let in_flight = |endpoint: &str| self.under_way.iter().filter(|other| other.endpoint == endpoint).count();
        prop_assert!(ENDPOINTS.iter().all(|endpoint| in_flight(endpoint) <= IN_FLIGHT));
        prop_assert!(self.under_way.len() <= 3);
        Ok(())
    }

    fn answer(&mut self, which: usize, outcome: Outcome) {
        if self.under_way.is_empty() {
            return;
        }
        let mut delivery = self.under_way.remove(which % self.under_way.len());
        self.queue.answered(&delivery);
        match outcome {
            Outcome::Delivered | Outcome::Dead => {
                self.rows.remove(&delivery.id);
                self.ended.insert(delivery.id.clone());
                self.queue.end(&delivery);
            }
            Outcome::Failed { wait } => {
                delivery.tries += 1;
                delivery.due = self.now + wait;
                self.rows.insert(delivery.id.clone(), delivery.clone());
                self.queue.put_back(delivery);
            }
            Outcome::Unknown => {
                let endpoint = delivery.endpoint.clone();
                self.queue.put_back(delivery);
                self.queue.park(&endpoint, self.now + 1_000);
            }
        }
        self.refill();
    }

    fn restart(&mut self) {
        self.queue = Queue {
            room: ROOM,
            ..Queue::default()
        };
        self.under_way.clear();
        self.cursor = None;
        // An attempt whose outcome was not committed is made again, so its chat may begin with it once more.
        self.begun.clear();
        let strict = self.strict;
        self.turn(strict);
        self.read(None, None);
        self.refill();
    }

    fn cut(&mut self, endpoint: &str) {
        let Some(oldest) = self.rows.values().find(|row| row.endpoint == endpoint).cloned() else {
            return;
        };
        if self.queue.withdraw(&oldest) {
            self.rows.remove(&oldest.id);
            self.ended.insert(oldest.id.clone());
            self.queue.forget(&oldest);
            self.refill();
        }
    }

    fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match step {
            Step::Post { endpoint, chat } => self.post(ENDPOINTS[*endpoint], CHATS[*chat]),
            Step::Start => self.start()?,
            Step::Answer { which, outcome } => self.answer(*which, *outcome),
            Step::Pass { ms } => self.now += ms,
            Step::Back { ms } => {
                self.now -= ms;
                self.queue.shift(*ms);
                self.rows
                    .values_mut()
                    .filter(|row| row.tries > 0)
                    .for_each(|row| row.due -= ms);
                self.under_way.iter_mut().for_each(|row| row.due -= ms);
            }
            Step::Forward { ms } => {
                self.now += ms;
                self.queue.jumped(self.now);
            }
            Step::Restart => self.restart(),
            Step::Park { endpoint } => self.queue.park(ENDPOINTS[*endpoint], self.now + 500),
            Step::Cut { endpoint } => self.cut(ENDPOINTS[*endpoint]),
            Step::Turn => {
                self.turn(!self.strict);
                self.turn(!self.strict);
            }
        }
        Ok(())
    }

    /// From here on everything is answered well: the queue empties, in bounded steps.
    fn drain(&mut self) -> Result<(), TestCaseError> {
        for _ in 0..5_000 {
            self.start()?;
            if self.under_way.is_empty() {
                let Some(due) = self.queue.next_due(self.now) else {
                    break;
                };
                prop_assert!(due > self.now);
                self.now = due;
            } else {
                self.answer(0, Outcome::Delivered);
            }
        }
        prop_assert!(
            self.rows.is_empty(),
            "forgotten: {:?}",
            self.rows.keys().collect::<Vec<_>>()
        );
        prop_assert!(self.queue.lanes.is_empty(), "something is kept of lanes that are done");
        prop_assert!(self.queue.known.is_empty() && self.queue.in_flight == 0);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_doubled_or_out_of_order(steps in steps()) {
        let mut host = Host::new();
        for step in &steps {
            host.step(step)?;
        }
        host.drain()?;
        prop_assert_eq!(host.ended.len() as u64, host.posted);
    }
}
