//! What a version of a script leaves to the next one: `wharf.state`, after the functions of `on_reload`.
//!
//! In: the VM of the old version, then that of the new one. Out: values of JSON. Must not decide whether a reload goes on.

use serde_json::{Map, Value};

use super::super::api::convert;
use super::super::error::{Fault, FaultKind};
use super::super::meter::Tally;
use super::Generation;

impl Generation {
    /// What it leaves to the next version, after the functions of `on_reload`.
    ///
    /// # Errors
    /// The fault of the first that fails, or of a state that JSON cannot hold.
    pub(crate) async fn hand_over(&self) -> Result<Map<String, Value>, Fault> {
        let (meter, tally) = (self.desk.meter(), Tally::new(self.limits.cpu));
        let killed = |kill| Fault::killed(kill, &tally.place(), &self.source);
        for hook in self.desk.hooks() {
            tally.refill();
            let call = hook.call_async::<()>(());
            match meter.watch(&tally, self.limits.gate_wall, call).await {
                Ok(ended) => ended.map_err(|error| self.fault(&error))?,
                Err(kill) => return Err(killed(kill)),
            }
        }
        let Some(state) = self.desk.state() else {
            return Ok(Map::new());
        };
        let told = |text: String| Fault::told(FaultKind::Raised, format!("wharf.state: {text}"), &self.source);
        match convert::to_json(&mlua::Value::Table(state.clone())).map_err(told)? {
            Value::Object(state) => Ok(state),
            _ => Err(told("it must have names, and is a list".to_owned())),
        }
    }

    /// Takes what the version before has left, over what its own file has put there.
    ///
    /// # Errors
    /// If the memory of the VM is too small for it.
    pub(crate) fn take_over(&self, state: &Map<String, Value>) -> mlua::Result<()> {
        let Some(table) = self.desk.state() else { return Ok(()) };
        for (name, value) in state {
            table.raw_set(name.as_str(), convert::to_lua(&self.lua, value, false)?)?;
        }
        Ok(())
    }
}
