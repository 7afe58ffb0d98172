//! Places in the journal: where reading begins that goes on after an event, or from a time on.
//!
//! In: the id of an event, or a time. Out: a [`Place`]. Ids rise with offsets and begin with their time, so a place is found
//! by halving. Must not read what lies behind it.

use crate::event::Event;

use super::disk::Disk;
use super::journal::{PREFIX, first_offset};
use super::layout::Table;
use super::{Error, Store, ids};

/// A moment in the order in which events were journaled and deliveries posted: their ids are of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub(super) u128);

impl Moment {
    /// Before everything.
    pub const FIRST: Moment = Moment(0);
    /// After everything.
    pub const LAST: Moment = Moment(u128::MAX);

    /// That of an event or a delivery, by its id; `None` if it is no such id.
    #[must_use]
    pub fn of_id(id: &str) -> Option<Self> {
        let ulid = ids::parse(PREFIX, id).or_else(|| ids::parse(super::outbox::PREFIX, id));
        ulid.map(Self)
    }

    /// The first at this time, in milliseconds since 1970.
    #[must_use]
    pub fn begin_of(time: i64) -> Self {
        Self(ids::before(time).saturating_add(1))
    }

    /// The last at this time.
    #[must_use]
    pub fn end_of(time: i64) -> Self {
        Self(ids::before(time.saturating_add(1)))
    }
}

/// Where reading begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// At this offset; nothing that belongs before it is missing.
    At(u64),
    /// What would come first is not kept any more. The journal begins at `from`, with the event `oldest`, if it has one.
    Gone {
        /// The first offset that is kept.
        from: u64,
        /// The id of its event.
        oldest: Option<String>,
    },
}

impl Place {
    /// Where reading begins, whatever is missing before.
    #[must_use]
    pub fn offset(&self) -> u64 {
        match self {
            Place::At(offset) => *offset,
            Place::Gone { from, .. } => *from,
        }
    }
}

fn place(disk: &Disk, after: &str, head: u64) -> Result<Place, Error> {
    let first = first_offset(disk, head)?;
    if first > 0 {
        let oldest = disk
            .get::<Event>(&Table::Journal.numbered(first))?
            .map(|event| event.id);
        if oldest.as_ref().is_none_or(|oldest| oldest.as_str() > after) {
            return Ok(Place::Gone { from: first, oldest });
        }
    }
    let (mut low, mut high) = (first, head);
    while low < high {
        let middle = low + (high - low) / 2;
        match disk.get::<Event>(&Table::Journal.numbered(middle))? {
            Some(event) if event.id.as_str() > after => high = middle,
            // Also where retention has moved the beginning while this was looking.
            _ => low = middle + 1,
        }
    }
    Ok(Place::At(low))
}

impl Store {
    /// Where the events begin that came after this one, also if it is none that the journal has; `None` if it is no id.
    pub async fn place_after(&self, event_id: &str) -> Result<Option<Place>, Error> {
        // An id in small letters is the same one, but would not compare so.
        let Some(id) = ids::parse(PREFIX, event_id).map(|id| ids::text(PREFIX, id)) else {
            return Ok(None);
        };
        self.place(id).await.map(Some)
    }

    /// Where the events begin that were journaled at this moment or later.
    pub async fn place_at(&self, moment: Moment) -> Result<Place, Error> {
        self.place(ids::text(PREFIX, moment.0.saturating_sub(1))).await
    }

    async fn place(&self, after: String) -> Result<Place, Error> {
        let head = *self.shared.head.borrow();
        self.read(move |disk| place(disk, &after, head)).await
    }
}

#[cfg(test)]
use super::stage::{Head, Layer};

#[cfg(test)]
impl Store {
    /// Removes the rows of the journal before an offset, for tests of what is gone.
    pub(crate) fn forget_before(&self, offset: u64) {
        let disk = super::unpoisoned(self.shared.disk.read());
        let disk = disk.as_ref().expect("it is open");
        let nothing = super::engine::Rows::new();
        let head = Head::read(disk).expect("it can be read");
        let mut layer = Layer::over(disk, &nothing, Head { first: offset, ..head });
        layer.write_head().expect("it can be written");
        for gone in 0..offset {
            layer
                .delete(Table::Journal.numbered(gone))
                .expect("rows can be deleted");
        }
        disk.apply(layer.into_rows()).expect("rows can be deleted");
        self.shared.first.store(offset, std::sync::atomic::Ordering::Release);
        *self.shared.tail() = super::journal::Tail::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Draft, Kind, Origin};
    use crate::store::{Batch, NewEvent};

    #[tokio::test]
    async fn a_place_is_found_by_id_and_by_time_also_where_there_is_no_such_event() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 1 << 20).unwrap();
        assert_eq!(store.place_at(Moment::FIRST).await.unwrap(), Place::At(0));
        let mut ids = Vec::new();
        for number in 0..40 {
            let draft = Draft {
                event: Kind::MESSAGE,
                account: None,
                timestamp: number,
                origin: Origin::Live,
                data: serde_json::Map::new(),
            };
            let batch = Batch {
                events: vec![NewEvent::from(draft)],
                ..Batch::default()
            };
            let made = store.commit(batch).await.unwrap().events;
            ids.extend(made.into_iter().flatten().map(|(_, event)| event.id.clone()));
        }
        for gone in [0, 7] {
            store.forget_before(gone);
            for (offset, id) in (0u64..).zip(&ids).skip(usize::try_from(gone).unwrap()) {
                assert_eq!(store.place_after(id).await.unwrap(), Some(Place::At(offset + 1)));
                let number = ids::parse(PREFIX, id).unwrap();
                let between = ids::text(PREFIX, number + 1);
                // Within one millisecond ids may follow one another directly.
                if ids.contains(&between) {
                    continue;
                }
                assert_eq!(store.place_after(&between).await.unwrap(), Some(Place::At(offset + 1)));
                let time = i64::try_from(number >> 80).unwrap();
                let first = ids
                    .iter()
                    .position(|other| ids::parse(PREFIX, other).unwrap() >> 80 == number >> 80);
                let first = u64::try_from(first.unwrap()).unwrap();
                if first > gone {
                    assert_eq!(store.place_at(Moment::begin_of(time)).await.unwrap(), Place::At(first));
                }
                assert_eq!(
                    store.place_at(Moment::begin_of(time + 3_600_000)).await.unwrap(),
                    Place::At(40)
                );
            }
        }
        let gone = Place::Gone {
            from: 7,
            oldest: Some(ids[7].clone()),
        };
        assert_eq!(store.place_after(&ids[6]).await.unwrap(), Some(gone.clone()));
        assert_eq!(store.place_at(Moment::begin_of(1)).await.unwrap(), gone);
        store.forget_before(40);
        let empty = Place::Gone { from: 40, oldest: None };
        assert_eq!(store.place_after(&ids[39]).await.unwrap(), Some(empty));
        assert_eq!(store.place_after("evt_nonsense").await.unwrap(), None);
        store.close().await.unwrap();
    }
}
