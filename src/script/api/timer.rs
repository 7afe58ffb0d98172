//! `wharf.after`, `every`, `cron`, `sleep`: what is done later by this version of the script.
//!
//! In: times and functions. Out: timers, armed when the file is in force or the run that made them is committed. They end with
//! the generation; what must outlive it is `wharf.later`.

use std::rc::Rc;
use std::time::Duration;

use mlua::Value;

use crate::script::cron::Cron;
use crate::script::run::Refusal;
use crate::script::timer::Schedule;

use super::args::Args;
use super::{Body, Caller, Row, time};

/// Shortest time between two calls of `every`, and the longest wait, which is what fits into any clock.
const SHORTEST: Duration = Duration::from_secs(1);
/// See [`SHORTEST`].
const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// `after`, `every`, `cron`, `sleep`
pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "after",
        signature: "(wait: string | number, fn: () -> ()) -> ()",
        doc: "Calls a function once, after a time such as \"30s\"; until the script is loaded again.",
        permission: None,
        body: Body::Now(after),
    },
    Row {
        name: "every",
        signature: "(time: string | number, fn: () -> ()) -> ()",
        doc: "Calls a function again and again, the time apart, at least a second; until the script is loaded again.",
        permission: None,
        body: Body::Now(every),
    },
    Row {
        name: "cron",
        signature: "(pattern: string, fn: () -> (), options: { zone: string? }?) -> ()",
        doc: "Calls a function whenever a pattern such as \"0 9 * * 1-5\" says (minute, hour, day, month, weekday), in the zone or the machine's own.",
        permission: None,
        body: Body::Now(cron),
    },
    Row {
        name: "sleep",
        signature: "(time: string | number) -> ()",
        doc: "Waits, within the time that a handler may take.",
        permission: None,
        body: Body::Later(|caller, args| Box::pin(sleep(caller, args))),
    },
];

fn wait(args: &mut Args) -> Result<Duration, Refusal> {
    let value = args.any();
    match args.duration("the time", &value)? {
        Some(wait) if wait > LONGEST => Err(args.refuse("the time is longer than a year")),
        Some(wait) => Ok(wait),
        None => Err(args.refuse("a time such as \"30s\" comes first")),
    }
}

fn millis(wait: Duration) -> i64 {
    i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)
}

fn after(caller: &Caller, mut args: Args) -> Result<Value, Refusal> {
    let wait = wait(&mut args)?;
    make(caller, args, format!("after {wait:?}"), Schedule::After(millis(wait)))
}

fn every(caller: &Caller, mut args: Args) -> Result<Value, Refusal> {
    let wait = wait(&mut args)?;
    if wait < SHORTEST {
        return Err(args.refuse("the time must be at least a second"));
    }
    make(caller, args, format!("every {wait:?}"), Schedule::Every(millis(wait)))
}

fn cron(caller: &Caller, mut args: Args) -> Result<Value, Refusal> {
    let pattern = args.text("the pattern")?;
    let function = args.any();
    let options = args.options(&["zone"])?;
    let zone = args.field(options.as_ref(), "zone")?;
    let zone = time::zone(caller, &args, &zone)?;
    let cron = Cron::parse(&pattern, zone).map_err(|text| args.refuse(&text))?;
    if cron.after(caller.desk.world().now()).is_none() {
        return Err(args.refuse(&format!("'{pattern}' names no time that will ever come")));
    }
    args.put_back(function);
    make(caller, args, format!("cron {pattern}"), Schedule::Cron(Box::new(cron)))
}

fn make(caller: &Caller, mut args: Args, title: String, schedule: Schedule) -> Result<Value, Refusal> {
    let function = args.function("what is called")?;
    let timers = caller.desk.timers();
    let make = || {
        let made = timers.make(title, schedule, function);
        made.map_err(|text| args.refuse(&text))
    };
    if caller.desk.is_loading() {
        timers.keep(make()?);
    } else {
        let run = Rc::clone(caller.run()?);
        run.timer(make()?)?;
    }
    Ok(Value::Nil)
}

async fn sleep(caller: Caller, mut args: Args) -> Result<Value, Refusal> {
    let run = Rc::clone(caller.run()?);
    let wait = wait(&mut args)?;
    run.world().sleep(wait).await;
    Ok(Value::Nil)
}
