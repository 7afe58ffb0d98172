//! Answers what the room is asked.
//!
//! In: a question. Out: how things stand at this moment, or that an endpoint is open again. Must not wait for an endpoint.

use std::collections::{BTreeMap, BTreeSet};

use super::attempt::Ending;
use super::breaker::State;
use super::dispatcher::Dispatcher;
use super::endpoint;
use super::status::{DisabledStatus, EndpointStatus, Error, LastStatus, Question, Status};
use crate::store::Share;

impl Ending {
    /// Its name outside.
    fn name(self) -> &'static str {
        match self {
            Ending::Delivered => "delivered",
            Ending::Refused => "refused",
            Ending::Busy => "busy",
            Ending::Gone => "gone",
            Ending::Timeout => "timeout",
            Ending::NoAnswer => "no_answer",
            Ending::Blocked => "blocked",
        }
    }
}

impl Dispatcher {
    pub(super) async fn answer(&mut self, question: Question) {
        // Whoever asked may have gone.
        match question {
            Question::Status(answer) => drop(answer.send(self.status().await)),
            Question::Enable(name, answer) => drop(answer.send(self.enable(&name).await)),
        }
    }

    async fn enable(&mut self, name: &str) -> Result<bool, Error> {
        let there = endpoint::names(&self.config, &self.work.deps.store).await?;
        if !there.contains(name) {
            return Err(Error::NoEndpoint(name.to_owned()));
        }
        let was_disabled = self.work.records.enable(name).await?;
        if was_disabled {
            tracing::info!(endpoint = name, "enabled again");
        }
        self.valves.reset(|other| other == name);
        Ok(was_disabled)
    }

    async fn status(&mut self) -> Result<Status, Error> {
        let work = &self.work;
        let (held, shares) = work.deps.store.backlog().await?;
        let there = endpoint::names(&self.config, &work.deps.store).await?;
        let mut disabled = work.records.disabled().await;
        let waiting = shares
            .iter()
            .filter(|(_, share)| share.waiting > 0)
            .map(|(name, _)| name);
        let names: BTreeSet<String> = there.iter().chain(waiting).cloned().collect();
        let mut endpoints = BTreeMap::new();
        for name in names {
            let share = shares.get(&name).copied().unwrap_or_default();
            let mut status = self.one(&name, share);
            status.exists = there.contains(&name);
            status.disabled = disabled.remove(&name).map(|disabled| DisabledStatus {
                at: disabled.at,
                reason: disabled.reason,
            });
            endpoints.insert(name, status);
        }
        let attempts = self.valves.endings.iter();
        Ok(Status {
            endpoints,
            pending: held.waiting,
            pending_bytes: held.bytes,
            full: held.is_full(),
            dead: held.dead,
            dropped: held.dropped,
            attempts: attempts.map(|(ending, count)| (ending.name(), *count)).collect(),
        })
    }

    fn one(&mut self, name: &str, share: Share) -> EndpointStatus {
        let (now, passed) = (self.now(), self.passed());
        let oldest = self.queue.oldest(name).filter(|_| share.waiting > 0);
        let valve = self.valves.get(name);
        let (state, last) = valve.map_or((State::Closed, None), |valve| (valve.breaker.state(passed), valve.last));
        let opens_in = match state {
            State::Open(until) => Some(until.saturating_sub(passed)),
            State::Closed | State::HalfOpen => None,
        };
        EndpointStatus {
            exists: true,
            pending: share.waiting,
            pending_bytes: share.bytes,
            oldest_pending_ms: oldest.map(|at| now.saturating_sub(at).max(0)),
            in_flight: self.queue.in_flight(name),
            breaker: match state {
                State::Closed => "closed",
                State::Open(_) => "open",
                State::HalfOpen => "half_open",
            },
            opens_in_ms: opens_in.map(|pause| u64::try_from(pause.as_millis()).unwrap_or(u64::MAX)),
            disabled: None,
            last: last.map(|last| LastStatus {
                at: last.at,
                result: last.ending.name(),
                status: last.status,
                ms: last.ms,
            }),
        }
    }
}
