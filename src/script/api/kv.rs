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
        permission: None,
        body: Body::Later(|caller, args| Box::pin(get(caller, args))),
    },
    Row {
        name: "kv.set",
        signature: "(key: string, value: any, options: { ttl: (string | number)? }?) -> ()",
        doc: "Keeps a value; nil deletes it. `ttl` is a time such as \"24h\" or seconds.",
        permission: None,
        body: Body::Now(set),
    },
    Row {
        name: "kv.delete",
        signature: "(key: string) -> ()",
        doc: "Forgets a key.",
        permission: None,
        body: Body::Now(delete),
    },
    Row {
        name: "kv.incr",
        signature: "(key: string, by: number?, options: { ttl: (string | number)? }?) -> number",
        doc: "Adds to a number (1 if not said) and answers it; runs at the same time never lose a count.",
        permission: None,
        body: Body::Later(|caller, args| Box::pin(incr(caller, args))),
    },
    Row {
        name: "kv.update",
        signature: "(key: string, fn: (value: any) -> any, options: { ttl: (string | number)? }?) -> any",
        doc: "Puts what `fn` makes of the value in its place and answers it; `fn` may run again with a newer value, so it must not wait, send or write.",
        permission: None,
        body: Body::Later(|caller, args| Box::pin(update(caller, args))),
    },
    Row {
        name: "kv.list",
        signature: "(prefix: string?) -> { { key: string, value: any } }",
        doc: "Entries whose key starts with `prefix`, in order of keys, at most 1,000.",
        permission: None,
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

async fn update(caller: Caller, mut args: Args) -> Result<Value, Refusal> {
    let run = Rc::clone(caller.run()?);
    let key = args.text("the key")?;
    let function = args.function("what makes the new value")?;
    let ttl = ttl(&mut args)?;
    let (lua, desk) = (caller.lua.weak(), Rc::downgrade(&caller.desk));
    let step = move |value: Option<serde_json::Value>| {
        let says = |text: String| Refusal::Misuse(format!("kv.update: {text}"));
        let (Some(lua), Some(desk)) = (lua.try_upgrade(), desk.upgrade()) else {
            return Err(says("the script has been unloaded".to_owned()));
        };
        let old = match &value {
            Some(value) => convert::to_lua(&lua, value, false).map_err(|error| says(error.to_string()))?,
            None => Value::Nil,
        };
        match Caller::call_pure(&lua, &desk, &function, old)? {
            Value::Nil => Ok(None),
            new => convert::to_json(&new).map(Some).map_err(says),
        }
    };
    match run.kv_update(key, Rc::new(step), ttl).await? {
        Some(value) => lua_value(&caller, &args, &value),
        None => Ok(Value::Nil),
    }
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
