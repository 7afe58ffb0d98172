//! `wharf.kv`: what a script remembers, in a space of its own.
//!
//! In: keys and values that JSON can hold. Out: reads of the store, and writes that are committed with the run.

use std::rc::Rc;

use mlua::Value;

use crate::script::run::{MAX_KEY, Refusal};

use super::args::Args;
use super::{Body, Caller, Row, convert};

/// `kv.*`
pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "kv.get",
        signature: "(key: string) -> any",
        doc: "The value of a key, with what this run wrote; nil if there is none or it has expired.",
        body: Body::Later(|caller, args| Box::pin(get(caller, args))),
    },
    Row {
        name: "kv.set",
        signature: "(key: string, value: any, options: { ttl: (string | number)? }?) -> ()",
        doc: "Keeps a value; nil deletes it. `ttl` is a time such as \"24h\" or seconds.",
        body: Body::Now(set),
    },
    Row {
        name: "kv.delete",
        signature: "(key: string) -> ()",
        doc: "Forgets a key.",
        body: Body::Now(delete),
    },
    Row {
        name: "kv.incr",
        signature: "(key: string, by: number?, options: { ttl: (string | number)? }?) -> number",
        doc: "Adds to a number (1 if not said) and answers it; runs at the same time never lose a count.",
        body: Body::Later(|caller, args| Box::pin(incr(caller, args))),
    },
    Row {
        name: "kv.list",
        signature: "(prefix: string?) -> { { key: string, value: any } }",
        doc: "Entries whose key starts with `prefix`, in order of keys, at most 1,000.",
        body: Body::Later(|caller, args| Box::pin(list(caller, args))),
    },
];

fn lua_value(caller: &Caller, args: &Args, json: &serde_json::Value) -> Result<Value, Refusal> {
    convert::to_lua(&caller.lua, json, false).map_err(|error| args.refuse(&error.to_string()))
}

fn ttl(args: &mut Args) -> Result<Option<i64>, Refusal> {
    let options = args.options(&["ttl"])?;
    let ttl = args.duration("ttl", &args.field(options.as_ref(), "ttl")?)?;
    Ok(ttl.map(|ttl| i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX)))
}

async fn get(caller: Caller, mut args: Args) -> Result<Value, Refusal> {
    let run = Rc::clone(caller.run()?);
    let key = args.text("the key")?;
    match run.kv_get(key).await? {
        Some(value) => lua_value(&caller, &args, &value),
        None => Ok(Value::Nil),
    }
}

fn set(caller: &Caller, mut args: Args) -> Result<Value, Refusal> {
    let run = caller.run()?;
    let key = args.text("the key")?;
    let value = args.any();
    let ttl = ttl(&mut args)?;
    if value.is_nil() {
        run.kv_delete(key)?;
    } else {
        let value = args.json("the value", &value)?;
        run.kv_set(key, value, ttl)?;
    }
    Ok(Value::Nil)
}

fn delete(caller: &Caller, mut args: Args) -> Result<Value, Refusal> {
    let run = caller.run()?;
    run.kv_delete(args.text("the key")?)?;
    Ok(Value::Nil)
}

async fn incr(caller: Caller, mut args: Args) -> Result<Value, Refusal> {
    let run = Rc::clone(caller.run()?);
    let key = args.text("the key")?;
    let by = args.number_or("the amount", 1.0)?;
    let ttl = ttl(&mut args)?;
    let sum = run.kv_incr(key, by, ttl).await?;
    lua_value(&caller, &args, &sum)
}

async fn list(caller: Caller, mut args: Args) -> Result<Value, Refusal> {
    let run = Rc::clone(caller.run()?);
    let prefix = match args.any() {
        Value::Nil => String::new(),
        value => args.as_text("the prefix", &value)?,
    };
    if prefix.len() > MAX_KEY {
        return Err(args.refuse("the prefix is longer than a key can be"));
    }
    let entries = run.kv_list(prefix).await?;
    let list = entries
        .into_iter()
        .map(|(key, value)| serde_json::json!({ "key": key, "value": value }))
        .collect();
    lua_value(&caller, &args, &serde_json::Value::Array(list))
}
