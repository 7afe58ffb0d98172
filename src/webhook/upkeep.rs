//! What the dispatcher does beside deliveries: it follows the clock, and does the jobs that `backlog` asks for, one at a time.
//!
//! In: jumps of the clock, jobs. Out: the queue as it is after them, the event `host.clock`. Must not try a delivery.

use std::sync::Arc;

use futures::FutureExt as _;
use serde_json::Value;

use super::backlog::{self, Job};
use super::carry;
use super::dispatcher::Dispatcher;
use crate::store::{Batch, Delivery, NewEvent};

impl Dispatcher {
    /// Sees whether the wall clock has jumped, before anything is done by it.
    pub(super) fn look_at_clock(&mut self) {
        let (now, passed) = (self.now(), self.passed());
        let Some(jump) = self.watch.look(now, passed) else {
            return;
        };
        if jump > 0 {
            tracing::warn!(
                seconds = jump / 1000,
                "the clock was set forward; retries that are due by it go one by one"
            );
            self.queue.jumped(now);
        } else {
            tracing::warn!(
                seconds = jump / 1000,
                "the clock was set back; what waits keeps its wait"
            );
            self.queue.shift(-jump);
        }
        let work = Arc::clone(&self.work);
        self.work.deps.tracker.spawn(async move {
            let draft = carry::draft(&work.deps, "host.clock", [("jump_ms", Value::from(jump))]);
            let events = vec![NewEvent::from(draft)];
            if let Err(error) = work
                .deps
                .store
                .commit(Batch {
                    events,
                    ..Batch::default()
                })
                .await
            {
                tracing::warn!(%error, "the jump of the clock is not in the journal");
            }
            if jump < 0 {
                backlog::move_back(work, -jump).await;
            }
        });
    }

    pub(super) fn want(&mut self, job: Job) {
        if !self.jobs.contains(&job) {
            self.jobs.push_back(job);
        }
    }

    /// What waits for an endpoint is read from its beginning, when there is room.
    fn read_again(&mut self, endpoint: &str) {
        self.bounds.look_from_the_start(endpoint);
        self.queue.owe(endpoint, "");
    }

    pub(super) fn start_job(&mut self) {
        if self.job.is_some() {
            return;
        }
        if let Some(job) = self.jobs.pop_front() {
            let from = match &job {
                Job::Cut { endpoint, .. } => self.bounds.from(endpoint),
                Job::Expire | Job::Letters => None,
            };
            self.job = Some(backlog::find(Arc::clone(&self.work), job, from).boxed());
        }
    }

    pub(super) fn job_step(&mut self, step: backlog::Step) {
        self.job = None;
        match step {
            backlog::Step::Found(found, why) => {
                let gone: Vec<Delivery> = found
                    .into_iter()
                    .filter(|delivery| self.queue.withdraw(delivery))
                    .collect();
                if let (backlog::Why::OverShare, Some(last)) = (why, gone.last()) {
                    self.bounds.passed(&last.endpoint, &last.id);
                }
                if !gone.is_empty() {
                    self.job = Some(backlog::bury(Arc::clone(&self.work), gone, why).boxed());
                }
            }
            backlog::Step::Buried(gone, failed) => {
                for delivery in &gone {
                    if let Some(after) = self.queue.forget(delivery) {
                        self.go_back(after);
                        self.grown = true;
                    }
                }
                for endpoint in failed {
                    self.read_again(&endpoint);
                }
                if gone.len() >= backlog::PAGE {
                    self.want(Job::Expire);
                }
                self.grown = true;
            }
            backlog::Step::Done => {}
        }
    }
}
