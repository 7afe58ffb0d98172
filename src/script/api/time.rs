//! `wharf.time`: the clock and the calendar.
//!
//! In: the world's clock, names of time zones. Out: tables of numbers.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use mlua::{Table, Value};

use crate::script::run::Refusal;

use super::args::Args;
use super::{Body, Caller, Row};

/// `time.*`
pub(crate) const ROWS: &[Row] = &[Row {
    name: "time.now",
    signature: "(zone: string?) -> { year: number, month: number, day: number, hour: number, minute: number, second: number, weekday: number, yearday: number, offset: number, zone: string, ms: number }",
    doc: "The time in a zone such as \"Europe/Berlin\"; weekday 1 is Monday, `ms` counts from 1970, `offset` is seconds east of UTC.",
    permission: None,
    body: Body::Now(now),
}];

fn now(caller: &Caller, mut args: Args) -> Result<Value, Refusal> {
    let world = caller.desk.world();
    let zone = match args.any() {
        Value::Nil => world.zone(),
        value => {
            let name = args.as_text("the zone", &value)?;
            let unknown = |_| {
                args.refuse(&format!(
                    "there is no time zone '{name}'; names are such as \"Europe/Berlin\""
                ))
            };
            TimeZone::get(&name).map_err(unknown)?
        }
    };
    let ms = world.now();
    let stamp = Timestamp::from_millisecond(ms).map_err(|error| args.refuse(&error.to_string()))?;
    let zoned = stamp.to_zoned_datetime(zone);
    let table = (|| -> mlua::Result<Table> {
        let table = caller.lua.create_table()?;
        table.raw_set("year", zoned.year())?;
        table.raw_set("month", zoned.month())?;
        table.raw_set("day", zoned.day())?;
        table.raw_set("hour", zoned.hour())?;
        table.raw_set("minute", zoned.minute())?;
        table.raw_set("second", zoned.second())?;
        table.raw_set("weekday", zoned.weekday().to_monday_one_offset())?;
        table.raw_set("yearday", zoned.day_of_year())?;
        table.raw_set("offset", zoned.offset().seconds())?;
        table.raw_set("zone", zoned.time_zone().iana_name().unwrap_or("UTC"))?;
        // Below 2^53 for ages to come.
        table.raw_set("ms", ms as f64)?;
        Ok(table)
    })();
    table.map(Value::Table).map_err(|error| args.refuse(&error.to_string()))
}
