//! Rounds of the retention on a store in memory.

use super::*;
use crate::store::Batch;
use crate::store::engine::{Medium, Rows};
use crate::store::memory::Memory;
use crate::store::stage;

const DAY: i64 = 24 * 60 * 60 * 1000;
/// The journal of the tests begins here.
const START: i64 = 1_700_000_000_000;

struct Journal {
    disk: Disk,
    readers: Option<HashMap<String, bool>>,
    limits: Limits,
}

impl Journal {
    fn new() -> Self {
        let disk = Disk::on(Memory::default().open().unwrap());
        Self {
            disk,
            readers: Some(HashMap::new()),
            limits: Limits::default(),
        }
    }

    fn commit(&self, batch: Batch, now: i64) {
        let head = Head::read(&self.disk).unwrap();
        let staged = stage::stage(&self.disk, &Rows::new(), head, batch, now).unwrap();
        self.disk.apply(staged.rows).unwrap();
    }

    fn event(&self, now: i64) {
        let draft = Draft {
            event: Kind::MESSAGE,
            account: Some("a".parse().unwrap()),
            timestamp: 1,
            origin: Origin::Live,
            data: Map::from_iter([("body".to_owned(), "x".repeat(400).into())]),
        };
        self.commit(
            Batch {
                events: vec![draft.into()],
                ..Batch::default()
            },
            now,
        );
    }

    fn position(&mut self, script: &str, position: Position, at_work: Option<bool>) {
        let positions = vec![(script.to_owned(), position)];
        self.commit(
            Batch {
                positions,
                ..Batch::default()
            },
            START,
        );
        let readers = self.readers.get_or_insert_default();
        at_work.map(|at_work| readers.insert(script.to_owned(), at_work));
    }

    fn step(&self, retention: &mut Retention, now: i64) {
        let nothing = Rows::new();
        let mut layer = Layer::over(&self.disk, &nothing, Head::read(&self.disk).unwrap());
        let rules = Rules {
            limits: self.limits,
            readers: self.readers.as_ref(),
            now,
        };
        retention.step(&mut layer, &rules).unwrap();
        let rows = layer.into_rows();
        assert!(rows.len() <= 128, "{} rows in a step", rows.len());
        self.disk.apply(rows).unwrap();
    }

    fn round(&self, now: i64) {
        let mut retention = Retention::default();
        retention.begin(&Head::read(&self.disk).unwrap());
        while retention.is_at_work() {
            self.step(&mut retention, now);
        }
    }

    fn offsets(&self) -> Vec<u64> {
        self.disk
            .scan(&Table::Journal.prefix())
            .map(|row| layout::number_of(&row.unwrap().0).unwrap())
            .collect()
    }

    fn told(&self) -> Vec<Map<String, Value>> {
        let events: Vec<crate::event::Event> = self.disk.all(&Table::Journal.prefix()).unwrap();
        let told = events
            .into_iter()
            .filter(|event| event.event == Kind::Named("script.skipped"));
        told.map(|event| event.data).collect()
    }

    fn position_of(&self, script: &str) -> Position {
        self.disk
            .get(&Table::Positions.named(script).unwrap())
            .unwrap()
            .unwrap()
    }
}

/// 600 events of the first day, more than a step looks at; 10 of the sixth.
fn journal() -> Journal {
    let journal = Journal::new();
    for _ in 0..600 {
        journal.event(START);
    }
    for _ in 0..10 {
        journal.event(START + 5 * DAY);
    }
    journal
}

#[test]
fn events_go_when_they_are_seven_days_old_and_not_before() {
    let journal = journal();
    journal.round(START + 7 * DAY);
    assert_eq!(journal.offsets().len(), 610);
    journal.round(START + 7 * DAY + 1);
    assert_eq!(journal.offsets(), (600..610).collect::<Vec<u64>>());
    let head = Head::read(&journal.disk).unwrap();
    assert_eq!((head.first, head.offset), (600, 610));
    assert_eq!((600, head.journal_bytes), count(&journal.disk, &head).unwrap());
    // The newest one always stays.
    journal.round(START + 50 * DAY);
    assert_eq!(journal.offsets(), [609]);
}

#[test]
fn the_oldest_go_when_there_are_too_many() {
    let mut journal = journal();
    let all = Head::read(&journal.disk).unwrap().journal_bytes;
    journal.limits.bytes = all / 2;
    journal.round(START);
    let head = Head::read(&journal.disk).unwrap();
    assert!(head.journal_bytes <= all / 2 && head.journal_bytes > all / 2 - 1000);
    assert_eq!(journal.offsets().first(), Some(&head.first));
}

#[test]
fn a_script_at_work_is_waited_for_until_there_is_four_times_too_much() {
    let mut journal = journal();
    let all = Head::read(&journal.disk).unwrap().journal_bytes;
    journal.position("slow", Position::start(20), Some(true));
    journal.position("fast", Position::start(610), Some(true));
    journal.limits.bytes = all / 3;
    journal.round(START + 30 * DAY);
    assert_eq!(journal.offsets().first(), Some(&20));
    assert!(journal.told().is_empty());
    journal.limits.bytes = all / 8;
    journal.round(START + 30 * DAY);
    assert!(Head::read(&journal.disk).unwrap().journal_bytes <= all / 2 + 2000);
    let told = journal.told();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(
        (told[0]["script"].as_str(), told[0]["from"].as_u64()),
        (Some("slow"), Some(20))
    );
    assert_eq!(journal.position_of("slow").mark, told[0]["to"].as_u64().unwrap() + 1);
    assert_eq!(journal.position_of("fast").mark, 610);
}

#[test]
fn a_suspended_script_is_passed_and_told_what_it_has_not_seen() {
    let mut journal = journal();
    let mut position = Position::start(100);
    position.finish_range(200, 300);
    journal.position("stopped", position, Some(false));
    journal.round(START + 8 * DAY);
    assert_eq!(journal.offsets().first(), Some(&600));
    let told = journal.told();
    assert_eq!(told.len(), 1);
    assert_eq!(
        (
            told[0]["from"].as_u64(),
            told[0]["to"].as_u64(),
            told[0]["count"].as_u64()
        ),
        (Some(100), Some(599), Some(400))
    );
    assert_eq!(journal.position_of("stopped").mark, 600);
    // Told once.
    journal.round(START + 8 * DAY);
    assert_eq!(journal.told().len(), 1);
}

#[test]
fn a_script_that_is_gone_stops_nothing_and_keeps_its_place() {
    let mut journal = journal();
    journal.position("gone", Position::start(100), None);
    journal.round(START + 8 * DAY);
    assert_eq!(journal.offsets().first(), Some(&600));
    assert!(journal.told().is_empty());
    assert_eq!(journal.position_of("gone").mark, 100);
    // Before anybody has said which scripts there are, all are waited for.
    let mut journal = self::journal();
    journal.position("perhaps", Position::start(100), None);
    journal.readers = None;
    journal.round(START + 8 * DAY);
    assert_eq!(journal.offsets().first(), Some(&100));
}

#[test]
fn a_restart_in_the_middle_ends_what_was_begun() {
    let journal = journal();
    let mut retention = Retention::default();
    retention.begin(&Head::read(&journal.disk).unwrap());
    while !matches!(retention, Retention::Deleting) {
        journal.step(&mut retention, START + 8 * DAY);
    }
    journal.step(&mut retention, START + 8 * DAY);
    assert!((500..600).contains(&journal.offsets()[..].iter().filter(|at| **at < 600).count()));
    let mut retention = Retention::after_opening();
    while retention.is_at_work() {
        journal.step(&mut retention, START);
    }
    assert_eq!(journal.offsets().first(), Some(&600));
}
