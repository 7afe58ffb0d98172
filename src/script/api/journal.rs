//! `wharf.journal`: events of the past.
//!
//! In: from where to where, which, how many. Out: a page of the same objects that handlers get, and how to go on. Must not
//! show what the script could not listen to.

use mlua::{IntoLua as _, Value};

use crate::event::{AccountId, Names};
use crate::script::past::{MOST, Past, Query, Since};
use crate::script::permissions::List;
use crate::script::run::Refusal;
use crate::store::Moment;

use super::args::{Args, kind};
use super::event::event_object;
use super::{Body, Caller, Row};

/// `journal`
pub(crate) const ROWS: &[Row] = &[Row {
    name: "journal",
    signature: "(options: { since: (string | number)?, to: string?, events: {string}?, accounts: {string}?, limit: number? }?) -> { events: { event }, next: string?, more: boolean, last: string?, missing_before: string? }",
    doc: "Events of the past, oldest first, at most `limit` (100): after the event `since`, or from a time such as \"2026-11-01T00:00:00Z\" or its ms on; up to the event `to`. `next` is the `since` of the next page while there is `more`, `last` the newest event; `missing_before` is the first event that there is, if some after `since` are gone.",
    permission: Some("events"),
    body: Body::Later(|caller, args| Box::pin(journal(caller, args))),
}];

const OPTIONS: &[&str] = &["since", "to", "events", "accounts", "limit"];

async fn journal(caller: Caller, mut args: Args) -> Result<Value, Refusal> {
    let run = std::rc::Rc::clone(caller.run()?);
    let options = args.options(OPTIONS)?;
    let field = |name: &str| args.field(options.as_ref(), name);
    let names = texts(&args, "events", &field("events")?)?;
    for name in names.iter().filter(|name| !name.ends_with('*')) {
        caller.must_declare(List::Events, name)?;
    }
    let accounts = texts(&args, "accounts", &field("accounts")?)?;
    let accounts = accounts
        .iter()
        .map(|id| id.parse::<AccountId>())
        .collect::<Result<_, _>>();
    let query = Query {
        since: since(&args, &field("since")?)?,
        to: to(&args, &field("to")?)?,
        names: Names::parse(names.iter().map(String::as_str)).map_err(|error| args.refuse(&error.to_string()))?,
        accounts: accounts.map_err(|error| args.refuse(&error.to_string()))?,
        limit: limit(&args, &field("limit")?)?,
        may: caller.desk.permissions().clone(),
    };
    let past = run.world().journal(query).await?;
    answer(&caller, past).map_err(|error| args.refuse(&error.to_string()))
}

fn since(args: &Args, value: &Value) -> Result<Since, Refusal> {
    let time = match value {
        Value::Nil => return Ok(Since::First),
        Value::Integer(millis) => Some(*millis),
        // Far below where whole numbers are not exact any more.
        Value::Number(millis) if millis.is_finite() && millis.abs() < 9e15 => Some(*millis as i64),
        Value::String(text) => {
            let text = text.to_string_lossy();
            if text.starts_with("evt_") && Moment::of_id(&text).is_some() {
                return Ok(Since::After(text));
            }
            text.parse::<jiff::Timestamp>().ok().map(|time| time.as_millisecond())
        }
        _ => None,
    };
    time.map(Since::At).ok_or_else(|| {
        args.refuse(
            "since must be the id of an event, a time such as \"2026-11-01T00:00:00Z\", or milliseconds since 1970",
        )
    })
}

fn to(args: &Args, value: &Value) -> Result<Option<String>, Refusal> {
    if value.is_nil() {
        return Ok(None);
    }
    let text = args.as_text("to", value)?;
    match text.starts_with("evt_") && Moment::of_id(&text).is_some() {
        // As the journal writes it.
        true => Ok(Some(format!(
            "evt_{}",
            text.get(4..).unwrap_or_default().to_ascii_uppercase()
        ))),
        false => Err(args.refuse("to must be the id of an event, as event.event_id is")),
    }
}

fn limit(args: &Args, value: &Value) -> Result<usize, Refusal> {
    let number = match value {
        Value::Nil => return Ok(MOST),
        Value::Integer(number) => *number as f64,
        Value::Number(number) => *number,
        other => return Err(args.refuse(&format!("limit must be a number, not {}", kind(other)))),
    };
    if (0.0..=MOST as f64).contains(&number) && number.fract() == 0.0 {
        // A whole number between 0 and 100.
        return Ok(number as usize);
    }
    Err(args.refuse(&format!("limit must be a whole number from 0 to {MOST}")))
}

fn texts(args: &Args, what: &str, value: &Value) -> Result<Vec<String>, Refusal> {
    match args.json(what, value)? {
        serde_json::Value::Null => Ok(Vec::new()),
        serde_json::Value::Object(names) if names.is_empty() => Ok(Vec::new()),
        serde_json::Value::Array(list) => {
            let texts = list.iter().map(|text| text.as_str().map(str::to_owned));
            let texts: Option<Vec<String>> = texts.collect();
            texts.ok_or_else(|| args.refuse(&format!("{what} must be a list of texts")))
        }
        _ => Err(args.refuse(&format!("{what} must be a list of texts"))),
    }
}

fn answer(caller: &Caller, past: Past) -> mlua::Result<Value> {
    let lua = &caller.lua;
    let events = lua.create_table_with_capacity(past.events.len(), 0)?;
    for (at, event) in past.events.iter().enumerate() {
        events.raw_set(at + 1, event_object(lua, &caller.desk, event)?)?;
    }
    let answer = lua.create_table()?;
    answer.raw_set("events", events)?;
    answer.raw_set("more", past.more)?;
    for (name, id) in [
        ("next", past.next),
        ("last", past.last),
        ("missing_before", past.missing_before),
    ] {
        answer.raw_set(name, id)?;
    }
    answer.into_lua(lua)
}
