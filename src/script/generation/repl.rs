//! Code that a person types into a running script: `wharf repl`.
//!
//! In: a text, in the VM of this version. Out: what it answers, as text for people, and what is to be kept. It is a run of its
//! own, with the limits and the permissions of the script. Must not commit anything.

use std::rc::Rc;

use mlua::MultiValue;

use super::super::error::Fault;
use super::super::library::Libraries;
use super::super::run::{Cause, Effects, Part, Place, Run};
use super::super::vm;
use super::{Generation, Source};

mod shown;

/// The name of such code in errors.
const FILE: &str = "repl";

/// Bytes of one text: the compiler is not metered.
pub(crate) const MAX_CODE: usize = 16 * 1024;

/// What a text came to.
pub(crate) enum Typed {
    /// It goes on in the next line.
    Incomplete,
    /// It ran; what it answers, if anything, and what it wants kept.
    Ran(Option<String>, Effects, Rc<Run>),
}

impl Generation {
    /// Runs an expression or statements. `id` stands for this call in the keys of its sends.
    ///
    /// # Errors
    /// Its fault; nothing of the run may be kept.
    pub(crate) async fn type_in(&self, code: &str, id: &str) -> Result<Typed, Fault> {
        let source = Source {
            name: self.source.name.clone(),
            file: FILE.to_owned(),
            text: code.to_owned(),
            libraries: Libraries::new(),
        };
        let fault = |error: &mlua::Error| Fault::of(error, &source);
        if code.len() > MAX_CODE {
            let text = format!("it has {} bytes; at most {MAX_CODE} are allowed", code.len());
            return Err(fault(&mlua::Error::RuntimeError(text)));
        }
        // An expression, else statements.
        let expression = format!("return {code}");
        let compile = |text: &str| vm::chunk(&self.lua, text, FILE).into_function();
        let function = match compile(&expression) {
            Ok(function) => function,
            Err(first) => match compile(code) {
                Ok(function) => function,
                Err(error) if goes_on(&first) || goes_on(&error) => return Ok(Typed::Incomplete),
                Err(error) => return Err(fault(&error)),
            },
        };
        let run = self.begin(Cause::Timer(id.to_owned()), Part::Timer, Place::free());
        let call = function.call_async::<MultiValue>(());
        let answer = self.drive_of(&source, &run, self.limits.wall, call).await?;
        let shown = match answer.is_empty() {
            true => None,
            false => {
                let values: Vec<String> = answer.iter().map(shown::value).collect();
                Some(values.join(", "))
            }
        };
        Ok(Typed::Ran(shown, run.finish(), run))
    }
}

/// Whether a text is wrong only because it ends too early.
fn goes_on(error: &mlua::Error) -> bool {
    error.to_string().contains("got <eof>")
}
