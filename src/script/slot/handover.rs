//! The moment between two versions of a script: what the old one leaves goes to the new one.
//!
//! In: the version in force, and the one that is to be. Out: whether the reload goes on. Must not put anything in force.

use super::super::error::FaultKind;
use super::super::host::Runner;
use super::super::views::Problem;
use super::Slot;

impl Slot {
    /// Gives a new version what the one in force leaves. One that does not answer in time, or breaks a limit, leaves nothing:
    /// it must not keep its own correction out.
    ///
    /// # Errors
    /// What a function of `on_reload` raised.
    pub(super) async fn hand_over(&self, new: &Runner) -> Result<(), Problem> {
        let Some(old) = self.current() else { return Ok(()) };
        let longest = old.plan().limits.gate_wall + self.shared.times.gate_grace;
        let lost = |reason: &str| {
            tracing::error!(target: "wharf::script", script = &*self.name, "nothing of wharf.state is handed over: {reason}");
        };
        match tokio::time::timeout(longest, old.hand_over()).await {
            Ok(Ok(Ok(state))) if state.is_empty() => {}
            Ok(Ok(Ok(state))) => {
                if let Err(reason) = new.take_over(state).await {
                    lost(&reason);
                }
            }
            Ok(Ok(Err(fault))) if fault.kind == FaultKind::Raised => {
                let message = format!("the version in force refuses the reload: {}", fault.message);
                return Err(Problem::new(&fault.file, fault.line, message));
            }
            Ok(Ok(Err(fault))) => lost(&fault.headline()),
            Ok(Err(gone)) => lost(&gone.to_string()),
            Err(_) => lost("the version in force does not answer"),
        }
        Ok(())
    }
}
