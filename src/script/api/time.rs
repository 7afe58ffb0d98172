//! `wharf.time`: the clock and the calendar.
//!
//! In: the world's clock, times as numbers and as texts, names of time zones. Out: tables of numbers, texts.

use jiff::civil::{Date, DateTime};
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};
use mlua::{Table, Value};

use crate::script::run::Refusal;

use super::args::{Args, kind};
use super::{Body, Caller, Row};

/// Bytes of a format: what it makes is at most some hundred times that.
const MAX_FORMAT: usize = 256;
/// Bytes of a text that can be a time.
const MAX_TEXT: usize = 256;

/// `time.*`
pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "time.now",
        signature: "(zone: string?) -> time",
        doc: "The time in a zone such as \"Europe/Berlin\".",
        permission: None,
        body: Body::Now(now),
    },
    Row {
        name: "time.at",
        signature: "(ms: number, zone: string?) -> time",
        doc: "A time such as `msg.timestamp` in a zone, in the parts of `time.now`.",
        permission: None,
        body: Body::Now(at),
    },
    Row {
        name: "time.parse",
        signature: "(text: string, options: { zone: string?, format: string? }?) -> time?",
        doc: "A text such as \"2026-01-05T07:30\" in the parts of `time.now`, or nil if it is no time; `format` such as \"%d.%m.%Y %H:%M\".",
        permission: None,
        body: Body::Now(parse),
    },
    Row {
        name: "time.format",
        signature: "(time: number | time, format: string?, zone: string?) -> string",
        doc: "A time (its ms, or the parts of `time.now`) as text: ISO 8601, or as a format such as \"%A, %d.%m.%Y %H:%M\" says.",
        permission: None,
        body: Body::Now(format),
    },
];

/// The zone of that name; the world's own if it is nil.
pub(crate) fn zone(caller: &Caller, args: &Args, value: &Value) -> Result<TimeZone, Refusal> {
    if value.is_nil() {
        return Ok(caller.desk.world().zone());
    }
    let name = args.as_text("the zone", value)?;
    named(&name).ok_or_else(|| {
        args.refuse(&format!(
            "there is no time zone '{name}'; names are such as \"Europe/Berlin\""
        ))
    })
}

/// A time zone by its name.
fn named(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok()
}

fn zoned(args: &Args, ms: f64, zone: TimeZone) -> Result<ZonedDateTime, Refusal> {
    let far = || args.refuse(&format!("{ms} is no time that the calendar has"));
    if !ms.is_finite() || ms.abs() > 9e15 {
        return Err(far());
    }
    // Within 2^53, where every whole number is exact.
    let stamp = Timestamp::from_millisecond(ms.floor() as i64).map_err(|_| far())?;
    Ok(stamp.to_zoned_datetime(zone))
}

/// A time in parts, as scripts see it.
fn parts(caller: &Caller, args: &Args, zoned: &ZonedDateTime) -> Result<Value, Refusal> {
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
        table.raw_set("ms", zoned.timestamp().as_millisecond() as f64)?;
        Ok(table)
    })();
    table.map(Value::Table).map_err(|error| args.refuse(&error.to_string()))
}

fn now(caller: &Caller, mut args: Args) -> Result<Value, Refusal> {
    let name = args.any();
    let zone = zone(caller, &args, &name)?;
    let zoned = zoned(&args, caller.desk.world().now() as f64, zone)?;
    parts(caller, &args, &zoned)
}

fn at(caller: &Caller, mut args: Args) -> Result<Value, Refusal> {
    let ms = args.number("the time in ms")?;
    let name = args.any();
    let zone = zone(caller, &args, &name)?;
    let zoned = zoned(&args, ms, zone)?;
    parts(caller, &args, &zoned)
}

fn parse(caller: &Caller, mut args: Args) -> Result<Value, Refusal> {
    let text = args.text("the text")?;
    let options = args.options(&["zone", "format"])?;
    let name = args.field(options.as_ref(), "zone")?;
    let zone = zone(caller, &args, &name)?;
    let format = match args.field(options.as_ref(), "format")? {
        Value::Nil => None,
        value => Some(pattern(&args, &value)?),
    };
    if text.len() > MAX_TEXT {
        return Ok(Value::Nil);
    }
    match read(text.trim(), format.as_deref(), zone) {
        Some(zoned) => parts(caller, &args, &zoned),
        None => Ok(Value::Nil),
    }
}

/// A time that is written with its offset, or else one of `zone`; a day alone is its midnight.
fn read(text: &str, format: Option<&str>, zone: TimeZone) -> Option<ZonedDateTime> {
    let civil = |at: DateTime| zone.to_zoned_datetime(at).ok();
    if let Some(format) = format {
        let broken = strtime::parse(format, text).ok()?;
        if broken.offset().is_some() {
            return Some(broken.to_timestamp().ok()?.to_zoned_datetime(zone));
        }
        let at = broken.to_datetime().ok();
        return at
            .or_else(|| Some(broken.to_date().ok()?.at(0, 0, 0, 0)))
            .and_then(civil);
    }
    if let Ok(stamp) = text.parse::<Timestamp>() {
        return Some(stamp.to_zoned_datetime(zone));
    }
    let at = text.parse::<DateTime>().ok();
    at.or_else(|| Some(text.parse::<Date>().ok()?.at(0, 0, 0, 0)))
        .and_then(civil)
}

fn format(caller: &Caller, mut args: Args) -> Result<Value, Refusal> {
    let (ms, own) = match args.any() {
        Value::Integer(ms) => (ms as f64, Value::Nil),
        Value::Number(ms) => (ms, Value::Nil),
        Value::Table(table) => match args.field(Some(&table), "ms")? {
            Value::Number(ms) => (ms, args.field(Some(&table), "zone")?),
            Value::Integer(ms) => (ms as f64, args.field(Some(&table), "zone")?),
            _ => return Err(args.refuse("a table must be one that time.now or time.parse made")),
        },
        other => return Err(args.refuse(&format!("the time must be its ms or a table, not {}", kind(&other)))),
    };
    let wanted = args.any();
    let name = match args.any() {
        Value::Nil => own,
        name => name,
    };
    let zone = zone(caller, &args, &name)?;
    let zoned = zoned(&args, ms, zone)?;
    let text = match wanted {
        Value::Nil => zoned.timestamp().display_with_offset(zoned.offset()).to_string(),
        value => {
            let format = pattern(&args, &value)?;
            strtime::format(&format, &zoned).map_err(|error| args.refuse(&format!("the format: {error}")))?
        }
    };
    let text = caller.lua.create_string(text);
    text.map(Value::String).map_err(|error| args.refuse(&error.to_string()))
}

fn pattern(args: &Args, value: &Value) -> Result<String, Refusal> {
    let format = args.as_text("the format", value)?;
    if format.len() > MAX_FORMAT {
        return Err(args.refuse(&format!("a format has at most {MAX_FORMAT} bytes")));
    }
    Ok(format)
}
