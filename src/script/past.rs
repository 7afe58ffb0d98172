//! Events of the past, as a script asks for them.
//!
//! In: a place in the journal and what is wanted. Out: a page of events, oldest first, and how to go on. What a script may not
//! listen to it does not find here either, and the jobs of scripts are their own. Must not look at more than [`LOOKED`] events
//! at a time, so that no call is long.

use std::sync::Arc;

use crate::event::{AccountId, Event, Kind, Names};
use crate::store::{self, Moment, Place, Store};

use super::permissions::{List, Permissions};

/// Most events in one answer.
pub(crate) const MOST: usize = 100;

/// Events that are looked at for one answer.
const LOOKED: usize = 1_000;

/// Bytes of events, as JSON, after which an answer is closed: they lie outside the memory of the script.
const BYTES: usize = 1 << 20;

/// Events read at a time.
const PAGE: usize = 64;

/// Where a script wants to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Since {
    /// With the first event that there is.
    First,
    /// After the event of this id.
    After(String),
    /// With what was journaled at this time, in milliseconds since 1970.
    At(i64),
}

/// What a script asks for.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    /// Where it begins.
    pub(crate) since: Since,
    /// The last event that is wanted, by its id.
    pub(crate) to: Option<String>,
    /// Names of events.
    pub(crate) names: Names,
    /// Accounts; all if there are none.
    pub(crate) accounts: Vec<AccountId>,
    /// How many, at most [`MOST`].
    pub(crate) limit: usize,
    /// What the script may see.
    pub(crate) may: Permissions,
}

/// A page of the past.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Past {
    /// The events that are wanted, oldest first.
    pub(crate) events: Vec<Arc<Event>>,
    /// The id of the last event that was looked at: the next page begins after it. `None` if there was none.
    pub(crate) next: Option<String>,
    /// Whether there is more to look at.
    pub(crate) more: bool,
    /// The id of the newest event of the journal.
    pub(crate) last: Option<String>,
    /// The first event that the journal holds, where what belongs before it is gone.
    pub(crate) missing_before: Option<String>,
    bytes: usize,
    looked: usize,
}

impl Query {
    fn takes(&self, event: &Event) -> bool {
        let granted = |name: &str| self.may.allows(List::Events, name);
        let may = granted(&event.event.to_string()) || (event.event == Kind::MESSAGE && granted("message.any"));
        let account = || event.account.as_ref().is_some_and(|id| self.accounts.contains(id));
        !matches!(event.event, Kind::Job(_))
            && may
            && self.may.sees(event)
            && self.names.hold(&event.event)
            && (self.accounts.is_empty() || account())
    }

    /// Whether an event comes after the last one that is wanted. Ids rise as texts do.
    fn passes(&self, event: &Event) -> bool {
        self.to.as_ref().is_some_and(|to| event.id > *to)
    }
}

impl Past {
    /// Looks at an event; `false` if the page is closed before it.
    pub(crate) fn look(&mut self, query: &Query, event: &Arc<Event>) -> bool {
        if query.passes(event) {
            self.more = false;
            return false;
        }
        self.more = true;
        let full = self.events.len() >= query.limit || self.looked >= LOOKED || self.bytes >= BYTES;
        if full {
            return false;
        }
        self.looked += 1;
        self.next = Some(event.id.clone());
        if query.takes(event) {
            self.bytes += event.json().len();
            self.events.push(Arc::clone(event));
        }
        self.more = false;
        true
    }
}

/// Reads a page out of the journal.
///
/// # Errors
/// If the store cannot be read.
pub(crate) async fn past(store: &Store, query: &Query) -> Result<Past, store::Error> {
    let mut past = Past::default();
    let head = *store.head().borrow();
    if let Some(newest) = head.checked_sub(1) {
        let newest = store.events(newest, 1).await?;
        past.last = newest.first().map(|(_, event)| event.id.clone());
    }
    let place = match &query.since {
        Since::First => Place::At(store.place_at(Moment::FIRST).await?.offset()),
        Since::After(id) => store.place_after(id).await?.unwrap_or(Place::At(head)),
        Since::At(time) => store.place_at(Moment::begin_of(*time)).await?,
    };
    let mut cursor = place.offset();
    if let Place::Gone { oldest, .. } = place {
        past.missing_before = oldest;
    }
    'pages: while cursor < head {
        let page = store.events(cursor, PAGE).await?;
        let Some((last, _)) = page.last() else { break };
        cursor = last + 1;
        for (offset, event) in page {
            if offset >= head || !past.look(query, &event) {
                break 'pages;
            }
        }
    }
    Ok(past)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Draft, Origin};
    use crate::script::permissions::Declared;
    use crate::store::{Batch, NewEvent};

    fn query() -> Query {
        Query {
            since: Since::First,
            to: None,
            names: Names::default(),
            accounts: Vec::new(),
            limit: MOST,
            may: Permissions::All,
        }
    }

    async fn journal(store: &Store, name: &str, account: Option<&str>, count: usize) -> Vec<String> {
        let draft = Draft {
            event: Kind::parse(name).unwrap(),
            account: account.map(|id| id.parse().unwrap()),
            timestamp: 0,
            origin: Origin::Live,
            data: serde_json::Map::new(),
        };
        let batch = Batch {
            events: vec![NewEvent::from(draft); count],
            ..Batch::default()
        };
        let made = store.commit(batch).await.unwrap().events;
        made.into_iter().flatten().map(|(_, event)| event.id.clone()).collect()
    }

    /// All pages of a query, and the ids in them.
    async fn all(store: &Store, mut query: Query) -> (usize, Vec<String>) {
        let (mut pages, mut ids) = (0, Vec::new());
        loop {
            let page = past(store, &query).await.unwrap();
            pages += 1;
            assert!(page.events.len() <= query.limit);
            ids.extend(page.events.iter().map(|event| event.id.clone()));
            if !page.more {
                return (pages, ids);
            }
            query.since = Since::After(page.next.unwrap());
        }
    }

    #[tokio::test]
    async fn pages_follow_one_another_to_the_end_and_hold_what_is_wanted_and_allowed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 1 << 20).unwrap();
        assert_eq!(past(&store, &query()).await.unwrap(), Past::default());
        let sales = journal(&store, "message", Some("sales"), 70).await;
        journal(&store, "job.x", None, 3).await;
        let host = journal(&store, "config.changed", None, 2).await;
        let office = journal(&store, "message.any", Some("office"), 60).await;
        assert_eq!(all(&store, query()).await.1, [&sales[..], &host, &office].concat());
        let some = Query {
            limit: 7,
            since: Since::After(sales[9].clone()),
            to: Some(sales[23].clone()),
            ..query()
        };
        assert_eq!(all(&store, some).await, (2, sales[10..=23].to_vec()));
        let names = Query {
            names: Names::parse(["message.any"]).unwrap(),
            accounts: vec!["sales".parse().unwrap()],
            ..query()
        };
        assert_eq!(all(&store, names).await.1, sales);
        let declared = Declared {
            events: vec!["message.any".to_owned()],
            accounts: vec!["off*".to_owned()],
            ..Declared::default()
        };
        let may = Query {
            may: Permissions::Declared(declared),
            ..query()
        };
        assert_eq!(all(&store, may).await.1, office);
        let late = Query {
            since: Since::At(4_102_444_800_000),
            ..query()
        };
        let page = past(&store, &late).await.unwrap();
        assert_eq!(
            (page.events.len(), page.more, page.last.as_ref()),
            (0, false, office.last())
        );
        let end = Query { limit: 0, ..query() };
        let page = past(&store, &end).await.unwrap();
        assert_eq!(
            (page.events.len(), page.more, page.next.as_ref(), page.last.as_ref()),
            (0, true, None, office.last())
        );
        store.forget_before(5);
        let gone = Query {
            since: Since::After(sales[1].clone()),
            ..query()
        };
        let page = past(&store, &gone).await.unwrap();
        assert_eq!(page.missing_before.as_ref(), Some(&sales[5]));
        assert_eq!(page.events[0].id, sales[5]);
        assert_eq!(
            past(&store, &query()).await.unwrap().missing_before,
            None,
            "nothing before was asked for"
        );
        store.close().await.unwrap();
    }

    #[tokio::test]
    async fn a_call_looks_at_so_many_events_and_no_more_also_where_nothing_is_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 1 << 20).unwrap();
        for _ in 0..26 {
            journal(&store, "message", Some("sales"), 40).await;
        }
        let wanted = journal(&store, "config.changed", None, 1).await;
        let rare = Query {
            names: Names::parse(["config.*"]).unwrap(),
            ..query()
        };
        let page = past(&store, &rare).await.unwrap();
        assert!(page.events.is_empty() && page.more);
        assert_eq!(all(&store, rare).await, (2, wanted));
        store.close().await.unwrap();
    }
}
