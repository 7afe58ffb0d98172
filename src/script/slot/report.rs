//! Tells people of a run that failed: in the log, and in what is shown of the script.
//!
//! In: faults, with the events that caused them. Out: lines of the log, the last error. Must not decide what happens next.

use std::sync::Arc;
use std::time::Instant;

use crate::event::Event;

use super::super::error::Fault;
use super::super::host::Runner;
use super::super::live::now;
use super::super::views::{Cause, Problem};
use super::Slot;
use super::failures::{Line, Place, SAME_LINE};

impl Slot {
    /// Notes a failure, and logs it if its line's turn has come.
    pub(super) fn report(self: &Arc<Self>, runner: &Runner, fault: &Fault, event: Option<&Event>) {
        let place: Place = (fault.file.clone(), fault.line);
        let cause = event.map(Cause::of);
        let noted = {
            let mut status = self.status();
            let noted = status.failures.note(&place, now(), Instant::now());
            let problem = Problem::of_fault(fault);
            status.last_error = Some(Problem {
                event: cause.clone(),
                count: noted.count,
                first_at: noted.first_at,
                ..problem
            });
            noted
        };
        match noted.line {
            Line::Logged => {
                let text = fault.render(&runner.plan().source.text);
                let (script, generation, count) = (&*self.name, runner.number(), noted.count);
                let cause = cause.as_ref();
                let (event, name) = (cause.map(|cause| &*cause.id), cause.map(|cause| &*cause.name));
                let account = cause.and_then(|cause| cause.account.as_deref());
                let chat = cause.and_then(|cause| cause.chat.as_deref());
                tracing::error!(target: "wharf::script", script, generation, event, name, account, chat, count, "{text}");
            }
            Line::FirstLeftOut => self.tell_left_out(place),
            Line::LeftOut => {}
        }
    }

    /// Says in a while how many failures of a line were left out of the log.
    fn tell_left_out(self: &Arc<Self>, place: Place) {
        let (slot, stop) = (Arc::downgrade(self), self.shared.stop.clone());
        let tell = async move {
            tokio::select! {
                () = tokio::time::sleep(SAME_LINE) => {}
                () = stop.cancelled() => {}
            }
            let Some(slot) = slot.upgrade() else { return };
            let left_out = slot.status().failures.left_out(&place);
            if left_out > 0 {
                let (file, line) = (place.0, place.1.unwrap_or_default());
                tracing::error!(target: "wharf::script", script = &*slot.name, file, line, left_out, "{left_out} more failures of this line were left out of the log");
            }
        };
        self.shared.tracker.spawn_on(tell, &self.shared.runtime);
    }
}
