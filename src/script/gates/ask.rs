//! One gate's run, from its call to its commit.
//!
//! In: an event, a gate, what the gates before said. Out: the verdict, in the store. Whatever goes wrong with a gate lets the
//! event pass. Must not decide which gates there are.

use std::sync::Arc;
use std::time::Duration;

use crate::event::Event;
use crate::store::{Batch, Error as StoreError, Verdict};

use super::super::error::{Fault, FaultKind};
use super::super::finish::{error_event, keep};
use super::super::host::{Ran, Runner, Work};
use super::super::live::now;
use super::super::slot::Slot;
use super::{Gates, name_of};

/// How often a gate is run again: because another run wrote what it read, or because its VM was replaced.
const AGAIN: u32 = 3;
/// How often the commit of one gate is made with newer values of its updates.
const UPDATES: u32 = 200;
/// How long a thread that gave no answer may take to end.
const ENDING: Duration = Duration::from_secs(1);

impl Gates {
    /// Runs one gate to its commit.
    pub(super) async fn ask(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        gate: usize,
        offset: u64,
        event: &Arc<Event>,
        before: Verdict,
    ) -> Verdict {
        let mut verdict = before;
        verdict.done.push(name_of(slot, gate));
        for _ in 0..=AGAIN {
            // A script that is gone or suspended has no gates; a newer version may have others.
            let Some(runner) = slot.current() else { return verdict };
            if !runner.outline().gates_for(event, now()).contains(&gate) {
                return verdict;
            }
            let Some(mut answer) = self.answer(slot, &runner, gate, event).await else {
                continue;
            };
            let mut updates = 0;
            let committed = loop {
                let mut batch = Batch::default();
                match &answer {
                    Ok(ran) => {
                        verdict.stopped_by = ran.stopped.then(|| slot.name.to_string());
                        keep(&mut batch, &slot.name, Some(event), ran.effects.clone());
                    }
                    Err(fault) => {
                        verdict.stopped_by = None;
                        slot.failed(&runner, fault, Some(event)).await;
                        batch
                            .events
                            .extend(error_event(&slot.name, runner.number(), Some(event), fault, 1));
                    }
                }
                batch.verdicts.push((offset, verdict.clone()));
                let conflict = match (self.shared.store.commit(batch).await, &mut answer) {
                    (Err(StoreError::Conflict { space, key }), Ok(ran)) if updates < UPDATES => {
                        match ran.update_again(&key).await {
                            Ok(Ok(true)) => {
                                updates += 1;
                                continue;
                            }
                            Ok(Err(fault)) => {
                                answer = Err(fault);
                                continue;
                            }
                            Ok(Ok(false)) | Err(_) => Err(StoreError::Conflict { space, key }),
                        }
                    }
                    (committed, _) => committed.map(drop),
                };
                break conflict;
            };
            match committed {
                Ok(()) => {
                    if let Ok(ran) = &answer {
                        ran.committed();
                    }
                    let queued = answer.map(|ran| ran.effects.queued).unwrap_or_default();
                    self.queue.put(&slot.name, event, queued).await;
                    return verdict;
                }
                Err(StoreError::Conflict { .. }) => verdict.stopped_by = None,
                Err(error) => {
                    tracing::error!(target: "wharf::script", script = &*slot.name, "a gate's commit failed, the event passes: {error}");
                    verdict.stopped_by = None;
                    return verdict;
                }
            }
        }
        tracing::warn!(target: "wharf::script", script = &*slot.name, "a gate could not be committed, the event passes");
        verdict.stopped_by = None;
        verdict
    }

    /// What a gate came to; `None` if its VM was replaced meanwhile, so that it is to be asked again. One that does not
    /// answer in time has failed: its VM is stuck, and other scripts must not wait for it.
    async fn answer(
        &self,
        slot: &Slot,
        runner: &Arc<Runner>,
        gate: usize,
        event: &Arc<Event>,
    ) -> Option<Result<Ran, Fault>> {
        let plan = runner.plan();
        let longest = plan.limits.gate_wall + self.shared.times.gate_grace;
        match tokio::time::timeout(longest, runner.run(event, Work::Gate(gate), None)).await {
            Ok(Ok(ran)) => Some(ran),
            Ok(Err(gone)) => {
                let ended = tokio::time::timeout(ENDING, runner.ended().cancelled()).await.is_ok();
                if !slot.is_current(runner) {
                    tracing::debug!(target: "wharf::script", script = &*slot.name, "{gone}");
                    return None;
                }
                let kind = match ended {
                    true => FaultKind::Gone,
                    false => FaultKind::Raised,
                };
                Some(Err(Fault::told(kind, gone.to_string(), &plan.source)))
            }
            Err(_) => {
                let message = format!("stopped: a gate gave no answer for {longest:?}");
                Some(Err(Fault::told(FaultKind::Killed, message, &plan.source)))
            }
        }
    }
}
