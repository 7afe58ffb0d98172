//! What others see of an actor: status, tab and events.
//!
//! In: a change of the machine's state. Out: the status, the tab for sends, the `account.*` events. Must not decide anything.

use std::sync::Arc;

use super::{Actor, UNSAVED};
use crate::action::State;
use crate::session::account::Live;
use crate::session::{drafts, send};
use crate::store::{Batch, NewEvent};

impl Actor {
    pub(super) async fn publish(&mut self, (before, reason): (State, Option<String>)) {
        let state = self.machine.state();
        let now_reason = self.machine.reason().map(ToOwned::to_owned);
        if state == before && now_reason == reason {
            return;
        }
        let became_ready = state == State::Ready && before != State::Ready;
        if state != State::Ready && before == State::Ready {
            // First of all no more sends.
            self.show_tab();
        }
        if state != State::Qr {
            self.account.with_qr(|qr| *qr = None);
        }
        // Before the event: who hears of it and asks how the account stands gets the same answer.
        self.account.status.send_modify(|status| {
            if status.state != state {
                status.since = crate::session::now();
            }
            status.state = state;
            status.reason.clone_from(&now_reason);
        });
        if state != before {
            let id = &self.account.id;
            tracing::info!(account = %id, %state, reason = now_reason, previous = %before, "the account's state");
            let phone = self.account.record().phone;
            self.save(
                drafts::change(id, (before, state), now_reason.as_deref(), phone.as_deref())
                    .into_iter()
                    .collect(),
            )
            .await;
        }
        if became_ready {
            self.show_tab();
            if let Some(tab) = &self.tab {
                tab.want_sweep();
                self.room
                    .tracker
                    .spawn(send::settle_open(Arc::clone(&self.room), Arc::clone(&self.account)));
            }
        }
    }

    /// Lets others use the tab as far as the state allows.
    pub(super) fn show_tab(&self) {
        let live = match &self.tab {
            Some(open) if self.machine.state() == State::Ready => Live::Ready(Arc::clone(&open.tab)),
            Some(open) => Live::Open(Arc::clone(&open.tab)),
            None => Live::Closed,
        };
        self.account.live.send_replace(live);
    }

    /// Journals events, and those that could not be journaled before.
    pub(super) async fn save(&mut self, events: Vec<NewEvent>) {
        self.unsaved.extend(events);
        if self.unsaved.is_empty() {
            return;
        }
        let events: Vec<NewEvent> = self.unsaved.iter().cloned().collect();
        match self
            .room
            .store
            .commit(Batch {
                events,
                ..Batch::default()
            })
            .await
        {
            Ok(_) => self.unsaved.clear(),
            Err(error) => {
                tracing::warn!(account = %self.account.id, %error, "events of the account wait for the store");
                let over = self.unsaved.len().saturating_sub(UNSAVED);
                self.unsaved.drain(..over);
            }
        }
    }
}
