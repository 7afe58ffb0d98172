//! The event that a handler gets: read-only, its fields made when they are read.
//!
//! In: an [`Event`]. Out: an object of Lua with the fields of its data and of its envelope, and methods. A name that an event
//! of its kind does not have raises. What needs the page is a method, never a field: Luau cannot wait inside a field.

use std::rc::Rc;
use std::sync::Arc;

use mlua::{AnyUserData, Lua, MetaMethod, UserData, UserDataMethods, Value};

use crate::event::Event;
use crate::script::error::suggestion;
use crate::script::filter::is_group;
use crate::script::run::Refusal;

use super::args::Args;
use super::{Body, Caller, Desk, Row, account, content, convert};

/// Methods of a message.
pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "message:reply",
        signature: "(message, text: string | { text: string?, file: (file | { body: string, mimetype: string, filename: string? })?, as: string?, quote: boolean?, mentions: {string}? }) -> { id: string?, status: string }",
        doc: "Answers in the message's chat, as `account:send` does; `quote = true` quotes it.",
        permission: Some("actions = [\"reply\"]"),
        body: Body::Later(|caller, args| Box::pin(reply(caller, args))),
    },
    Row {
        name: "message:json",
        signature: "(message) -> table",
        doc: "The event with its envelope as a plain table, as webhooks deliver it: texts over 192 KiB are cut, and `data.truncated` says so.",
        permission: None,
        body: Body::Now(json),
    },
    Row {
        name: "event:json",
        signature: "(event) -> table",
        doc: "The event with its envelope as a plain table, as webhooks deliver it: texts over 192 KiB are cut, and `data.truncated` says so.",
        permission: None,
        body: Body::Now(json),
    },
];

/// Fields that every event has beside those of its data.
pub(crate) const ENVELOPE: &[&str] = &["event_id", "event", "account", "seq", "origin", "timestamp"];

/// An event in a VM.
pub(crate) struct EventObject {
    event: Arc<Event>,
    desk: Rc<Desk>,
}

impl EventObject {
    /// The envelope as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        self.event.envelope()
    }

    fn object(&self) -> &'static str {
        if self.event.event.is_message() {
            "message"
        } else {
            "event"
        }
    }

    fn field(&self, lua: &Lua, name: &str) -> mlua::Result<Value> {
        let event = &*self.event;
        if let Some(value) = event.data.get(name) {
            return convert::to_lua(lua, value, true);
        }
        match name {
            "event_id" => return lua.create_string(&event.id).map(Value::String),
            "event" => return lua.create_string(event.event.to_string()).map(Value::String),
            "account" => {
                let id = event
                    .account
                    .as_ref()
                    .map(|id| lua.create_string(id.as_str()))
                    .transpose()?;
                return Ok(id.map_or(Value::Nil, Value::String));
            }
            "origin" => return convert::to_lua(lua, &serde_json::to_value(event.origin).unwrap_or_default(), true),
            // Both are below 2^53 for ages to come.
            "seq" => return Ok(Value::Number(event.seq as f64)),
            "timestamp" => return Ok(Value::Number(event.timestamp as f64)),
            "is_group" if event.event.is_message() => return Ok(Value::Boolean(event.chat().is_some_and(is_group))),
            _ => {}
        }
        if let Some(methods) = self.desk.methods(self.object()) {
            let method: Value = methods.raw_get(name)?;
            if !method.is_nil() {
                return Ok(method);
            }
        }
        match event.event.fields() {
            Some(fields) if !fields.contains(&name) => {
                let known = fields.iter().chain(ENVELOPE).copied();
                let text = format!(
                    "a `{}` event has no field '{name}'{}",
                    event.event,
                    suggestion(name, known)
                );
                Err(mlua::Error::runtime(text))
            }
            _ => Ok(Value::Nil),
        }
    }
}

impl UserData for EventObject {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_meta_method(MetaMethod::Index, |lua, this, name: mlua::LuaString| {
            this.field(lua, &name.to_string_lossy())
        });
        methods.add_meta_method(
            MetaMethod::NewIndex,
            |_, _, (name, _): (mlua::LuaString, Value)| -> mlua::Result<()> {
                Err(mlua::Error::runtime(format!(
                    "an event is read-only: '{}' cannot be set",
                    name.to_string_lossy()
                )))
            },
        );
        methods.add_meta_method(MetaMethod::ToString, |_, this, ()| {
            Ok(format!("{} {}", this.event.event, this.event.id))
        });
    }
}

/// Makes the object that handlers get.
pub(crate) fn event_object(lua: &Lua, desk: &Rc<Desk>, event: &Arc<Event>) -> mlua::Result<AnyUserData> {
    lua.create_userdata(EventObject {
        event: Arc::clone(event),
        desk: Rc::clone(desk),
    })
}

/// The event that a method was called on.
pub(crate) fn this(args: &mut Args) -> Result<Arc<Event>, Refusal> {
    let object = args.any();
    let event = object
        .as_userdata()
        .and_then(|object| object.borrow::<EventObject>().ok().map(|this| Arc::clone(&this.event)));
    event.ok_or_else(|| args.refuse("call it with a colon, as in msg:reply(\"hello\")"))
}

async fn reply(caller: Caller, mut args: Args) -> Result<Value, Refusal> {
    let event = this(&mut args)?;
    let run = Rc::clone(caller.run()?);
    let what = args.any();
    let (Some(account), Some(chat)) = (event.account.clone(), event.chat()) else {
        return Err(args.refuse("this event belongs to no chat"));
    };
    account::may(&caller, &account, "reply")?;
    let content = content::content(&run, &args, &what, event.text("id")).await?;
    account::deliver(&caller, &run, account, chat.to_owned(), content).await
}

fn json(caller: &Caller, mut args: Args) -> Result<Value, Refusal> {
    let event = this(&mut args)?;
    convert::to_lua(&caller.lua, &event.envelope(), false).map_err(|error| args.refuse(&error.to_string()))
}
