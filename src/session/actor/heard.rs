//! What an actor learns from its page: notices, proofs, codes, the number, what the library lacks.
//!
//! In: [`Notice`]s and answers to round trips. Out: observations for the machine, and what is known of the account. Must not open or
//! close anything.

use std::sync::Arc;

use futures::FutureExt;
use tokio::time::{Instant, timeout};

use super::Actor;
use crate::action::State;
use crate::page::{self, PageStatus};
use crate::session::drafts;
use crate::session::ingest::Notice;
use crate::session::machine::Seen;
use crate::session::reading::Reading;
use crate::store::{AccountRecord, Batch};

impl Actor {
    pub(super) async fn notice(&mut self, notice: Notice) {
        match notice {
            Notice::Status(status) => self.heard(*status, false).await,
            Notice::Qr(Some(text)) => self.code(text).await,
            Notice::Qr(None) => self.account.with_qr(|qr| *qr = None),
            Notice::QrIdle => {
                self.codes.end_round();
                self.account.with_qr(|qr| *qr = None);
                self.see(Seen::Heard(Reading::Code { idle: true })).await;
            }
            Notice::Authenticated => self.see(Seen::Authenticated).await,
            Notice::LoggedOut(reason) => {
                self.unlinked().await;
                self.see(Seen::LoggedOut(reason)).await;
            }
            Notice::Gap => {
                if let Some(tab) = &self.tab {
                    tab.want_sweep();
                }
            }
            Notice::Gone(how) => self.gone(how).await,
        }
    }

    pub(super) fn probe(&mut self) {
        let Some(open) = &self.tab else { return };
        let (tab, account) = (Arc::clone(&open.tab), self.account.id.clone());
        let after = self.room.tempo.proof_limit;
        self.probing = Some(
            async move {
                let late = page::Error::Deadline {
                    account,
                    step: "prove that the page answers",
                    after,
                };
                timeout(after, tab.status()).await.unwrap_or(Err(late))
            }
            .boxed(),
        );
    }

    pub(super) async fn probed(&mut self, answer: Result<PageStatus, page::Error>) {
        let tempo = &self.room.tempo;
        let pause = if self.machine.state() == State::Ready {
            tempo.proof_every
        } else {
            tempo.look_every
        };
        self.next_probe = Instant::now() + pause;
        match answer {
            Ok(status) => self.heard(status, true).await,
            Err(page::Error::NoAgent { .. }) => self.see(Seen::Proof(Reading::Unrecognised(None))).await,
            Err(error) => {
                tracing::debug!(account = %self.account.id, %error, "no proof");
                self.see(Seen::NoProof).await;
            }
        }
    }

    pub(super) async fn heard(&mut self, status: PageStatus, proven: bool) {
        if proven {
            self.account
                .status
                .send_modify(|status| status.proof = Some(Instant::now()));
        }
        if status.full_ready {
            self.degraded(&status.missing).await;
        }
        let reading = Reading::of(&status);
        if proven && reading == Reading::Usable {
            self.known_as(&status).await;
        }
        if matches!(reading, Reading::Code { idle: false })
            && let Some(text) = status.qr
        {
            self.code(text).await;
        }
        self.see(if proven {
            Seen::Proof(reading)
        } else {
            Seen::Heard(reading)
        })
        .await;
    }

    /// A code that the page shows; told by an event and by each status.
    pub(super) async fn code(&mut self, text: String) {
        if self.account.with_qr(|qr| qr.as_ref().is_some_and(|qr| qr.text == text)) {
            return;
        }
        self.see(Seen::Code).await;
        if self.machine.state() != State::Qr {
            return;
        }
        self.unlinked().await;
        let now = crate::session::now();
        self.unlinked_at = Some(now);
        let qr = self.codes.next(text, now);
        let event = drafts::qr(&self.account.id, qr.attempt, qr.expires_at);
        self.account.with_qr(|now| *now = Some(qr));
        self.save(vec![event]).await;
    }

    /// The link of before is gone, and with it its moment: should the host die between the next scan and its commit, what came
    /// before that scan must not be taken for new.
    async fn unlinked(&mut self) {
        if self.account.linked_at().is_none() {
            return;
        }
        let change = |record: &mut AccountRecord| record.linked_at = None;
        if let Err(error) = self.account.commit(&self.room.store, Batch::default(), change).await {
            tracing::warn!(account = %self.account.id, %error, "the end of the link was not kept; the next code tries again");
        }
    }

    /// The record learns the phone number, and the moment of linking if the page did not report it.
    pub(super) async fn known_as(&mut self, status: &PageStatus) {
        let record = self.account.record();
        let phone = status
            .me
            .as_ref()
            .and_then(|me| me.phone.clone())
            .or_else(|| record.phone.clone());
        let shown = self.unlinked_at.map_or(i64::MIN, crate::session::whole_second);
        let linked_at = record.linked_at.filter(|linked| *linked >= shown);
        if linked_at.is_some() && record.phone == phone {
            return;
        }
        let linked_at = linked_at.unwrap_or_else(|| crate::session::whole_second(crate::session::now()));
        let change = |record: &mut AccountRecord| {
            record.phone = phone;
            record.linked_at = Some(linked_at);
        };
        match self.account.commit(&self.room.store, Batch::default(), change).await {
            Ok(_) => self.unlinked_at = None,
            Err(error) => {
                tracing::warn!(account = %self.account.id, %error, "the account's number was not kept; trying at the next proof");
            }
        }
    }

    pub(super) async fn degraded(&mut self, missing: &[String]) {
        let is_new = self.account.status.send_if_modified(|status| {
            let differs = status.degraded != missing;
            status.degraded = missing.to_vec();
            differs
        });
        if is_new && !missing.is_empty() {
            tracing::warn!(account = %self.account.id, ?missing, "the library lacks parts that wharf uses");
            self.save(vec![drafts::degraded(&self.account.id, missing)]).await;
        }
    }
}
