//! Reads the outbox into the queue.
//!
//! In: from where on. Out: rows in the queue. Must not start or end a delivery.

use super::dispatcher::Dispatcher;

/// Rows of the outbox that are read at a time.
const PAGE: usize = 500;

impl Dispatcher {
    /// Reads what is new in the outbox, and what was put back, which lies where it was.
    pub(super) async fn read_new(&mut self) {
        if let Some(after) = self.work.deps.store.put_back_after() {
            self.go_back(after);
        }
        self.read(self.cursor.clone(), None).await;
    }

    /// What lies after this id is read again.
    pub(super) fn go_back(&mut self, after: String) {
        if self.cursor.as_ref().is_some_and(|cursor| *cursor > after) {
            self.cursor = Some(after);
        }
    }

    /// Reads more of those endpoints of which the store has more, now that there is room.
    pub(super) async fn refill(&mut self) {
        while let Some((endpoint, after)) = self.queue.short_of() {
            if !self.read(Some(after.clone()), Some(&endpoint)).await {
                return self.queue.owe(&endpoint, &after);
            }
        }
        while let Some((endpoint, due)) = self.queue.short_of_late() {
            if !self.read_late(&endpoint, due).await {
                return self.queue.owe_late(&endpoint, due);
            }
        }
        self.queue.drop_done();
    }

    /// Reads the outbox in the order of arrival, all of it, or that of one endpoint until its lane is full; answers whether it
    /// could.
    async fn read(&mut self, mut after: Option<String>, only: Option<&str>) -> bool {
        loop {
            let rows = match self.work.deps.store.deliveries_after(after.as_deref(), PAGE).await {
                Ok(rows) => rows,
                Err(error) => {
                    tracing::warn!(%error, "the outbox cannot be read now");
                    return false;
                }
            };
            let last = rows.len() < PAGE;
            for row in rows {
                let id = row.id.clone();
                if only.is_none_or(|endpoint| endpoint == row.endpoint) {
                    self.queue.add(row, after.as_deref());
                }
                if only.is_some_and(|endpoint| self.queue.has_more(endpoint)) {
                    return true;
                }
                after = Some(id);
            }
            if only.is_none() {
                self.cursor.clone_from(&after);
            }
            if last {
                return true;
            }
        }
    }

    /// Reads an endpoint's failed deliveries by due time from `due` on, until its lane is full; answers whether it could.
    async fn read_late(&mut self, endpoint: &str, mut due: i64) -> bool {
        let mut after: Option<String> = None;
        loop {
            let rows = match self.work.deps.store.deliveries_due(due, after.as_deref(), PAGE).await {
                Ok(rows) => rows,
                Err(error) => {
                    tracing::warn!(%error, "the outbox cannot be read now");
                    return false;
                }
            };
            let Some(last) = rows.last() else {
                return true;
            };
            (due, after) = (last.due, Some(last.id.clone()));
            for row in rows.into_iter().filter(|row| row.tries > 0 && row.endpoint == endpoint) {
                self.queue.add(row, None);
                if self.queue.has_more_late(endpoint) {
                    return true;
                }
            }
        }
    }
}
