//! A dead run that is started again.
//!
//! In: the run, whose turn it is in its chat. Out: one commit, which also removes it from the dead runs; or it stays, with what it
//! failed with this time. It is tried once: whoever started it sees what came of it. Must not move the position.

use std::time::Duration;

use crate::store::{Batch, DeadRun};

use super::super::dead::Revival;
use super::super::finish::error_event;
use super::super::host::Ran;
use super::super::live::now;
use super::super::run::Effects;
use super::Dispatch;
use super::runs::{SoFar, Subject, Tried};

/// Dead runs of one script that are kept; for one more the oldest goes.
const MAX_DEAD: usize = 1000;
/// Dead runs that one commit forgets.
const MAX_AT_ONCE: usize = 64;

impl Dispatch {
    /// The oldest dead runs of the script, which go so that there is room for one more.
    pub(super) async fn too_many_dead(&self) -> Vec<String> {
        let mut dead = match self.shared.store.dead_runs().await {
            Ok(dead) => dead,
            Err(error) => {
                tracing::warn!(target: "wharf::script", "dead runs could not be read: {error}");
                return Vec::new();
            }
        };
        dead.retain(|run| *run.script == *self.slot.name);
        let over = (dead.len() + 1).saturating_sub(MAX_DEAD);
        dead.sort_by(|one, other| (one.at, &one.id).cmp(&(other.at, &other.id)));
        dead.into_iter().take(over.min(MAX_AT_ONCE)).map(|run| run.id).collect()
    }

    /// Runs it again and answers who asked.
    pub(super) async fn revive(&self, revival: Revival) {
        let Revival { dead, event, answer } = revival;
        let subject = Subject::Dead(dead.id.clone());
        let mut so_far = SoFar {
            begun: true,
            ..SoFar::default()
        };
        let outcome = loop {
            let Some(runner) = self.slot.current() else {
                break Err("the script is not running; `wharf check` says why it was refused".to_owned());
            };
            let tried = if runner.outline().wants(&event, now(), true) {
                self.work_on(&subject, &event, runner, &mut so_far).await
            } else {
                // It does not handle such events any more: nothing is left to do.
                let nothing = Ran::of(Effects::default());
                self.commit(&subject, &event, nothing, &runner, &mut so_far).await
            };
            match tried {
                Tried::Finished => break Ok(()),
                Tried::NotBegun(_) if self.shared.stop.is_cancelled() => break Err("the host is stopping".to_owned()),
                Tried::NotBegun(pause) => tokio::time::sleep(pause.max(Duration::from_millis(1))).await,
                Tried::Failed(runner, fault) => {
                    self.slot.failed(&runner, &fault, Some(&event)).await;
                    let again = DeadRun {
                        error: fault.headline(),
                        at: now(),
                        ..dead.clone()
                    };
                    let events = error_event(&self.slot.name, runner.number(), Some(&event), &fault, 1);
                    let batch = Batch {
                        events: events.into_iter().collect(),
                        dead_runs: vec![again],
                        ..Batch::default()
                    };
                    if let Err(error) = self.shared.store.commit(batch).await {
                        tracing::warn!(target: "wharf::script", run = dead.id, "what it failed with was not noted: {error}");
                    }
                    break Err(fault.headline());
                }
            }
        };
        // Who asked may have gone.
        answer.send(outcome).ok();
    }
}
