//! What an account knows: contacts, chats, messages of the past.
//!
//! In: calls of a script. Out: plain tables, made of what the page answers now. Must not change anything.

use std::rc::Rc;

use mlua::Value;

use crate::action::{Found, Look};
use crate::script::run::Refusal;

use super::account;
use super::args::Args;
use super::{Body, Caller, Row, convert};

/// Most chats and messages that one call answers.
const MOST: usize = 1000;
/// As many as are answered if nothing is said.
const USUAL: usize = 50;

/// Methods of an account.
pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "account:contact",
        signature: "(account, id: string) -> { id: string, phone: string?, lid: string?, name: string?, business: boolean }?",
        doc: "Who is behind an id or a phone number; nil if nobody on WhatsApp.",
        permission: Some("actions = [\"contact\"]"),
        body: Body::Later(|caller, args| Box::pin(contact(caller, args))),
    },
    Row {
        name: "account:chats",
        signature: "(account, options: { unread: boolean?, groups: boolean?, limit: number? }?) -> { { id: string, name: string?, unread: number, last: number } }",
        doc: "The chats, the newest first, at most `limit` (50, up to 1,000): with `unread = true` those with unread messages, with `groups` only groups or no groups; `last` is a time in ms.",
        permission: Some("actions = [\"chats\"]"),
        body: Body::Later(|caller, args| Box::pin(chats(caller, args))),
    },
    Row {
        name: "account:history",
        signature: "(account, chat: string, options: { limit: number?, before: string? }?) -> { table }",
        doc: "The last messages of a chat, oldest first, at most `limit` (50, up to 1,000); `before` is the id of a message.",
        permission: Some("actions = [\"history\"]"),
        body: Body::Later(|caller, args| Box::pin(history(caller, args))),
    },
];

async fn contact(caller: Caller, mut args: Args) -> Result<Value, Refusal> {
    let account = account::this(&mut args)?;
    let id = account::chat(&mut args)?;
    look(&caller, &args, account, "contact", Look::Contact { id }).await
}

async fn chats(caller: Caller, mut args: Args) -> Result<Value, Refusal> {
    let account = account::this(&mut args)?;
    let options = args.options(&["unread", "groups", "limit"])?;
    let flag = |name: &str| match args.field(options.as_ref(), name)? {
        Value::Nil => Ok(None),
        Value::Boolean(flag) => Ok(Some(flag)),
        _ => Err(args.refuse(&format!("{name} must be true or false"))),
    };
    let wanted = Look::Chats {
        unread: flag("unread")?.unwrap_or(false),
        groups: flag("groups")?,
        limit: limit(&args, &args.field(options.as_ref(), "limit")?)?,
    };
    look(&caller, &args, account, "chats", wanted).await
}

async fn history(caller: Caller, mut args: Args) -> Result<Value, Refusal> {
    let account = account::this(&mut args)?;
    let chat = account::chat(&mut args)?;
    let options = args.options(&["limit", "before"])?;
    let before = match args.field(options.as_ref(), "before")? {
        Value::Nil => None,
        id => Some(args.as_text("before", &id)?),
    };
    if before
        .as_ref()
        .is_some_and(|id| id.len() > account::MAX_ID || !id.contains('_'))
    {
        return Err(args.refuse("before must be the id of a message, as msg.id is"));
    }
    let limit = limit(&args, &args.field(options.as_ref(), "limit")?)?;
    look(
        &caller,
        &args,
        account,
        "history",
        Look::History { chat, limit, before },
    )
    .await
}

fn limit(args: &Args, value: &Value) -> Result<usize, Refusal> {
    let number = match value {
        Value::Nil => return Ok(USUAL),
        Value::Integer(whole) => *whole as f64,
        Value::Number(number) => *number,
        _ => f64::NAN,
    };
    if number >= 1.0 && number <= MOST as f64 && number.fract() == 0.0 {
        // A whole number from 1 to 1,000.
        return Ok(number as usize);
    }
    Err(args.refuse(&format!("limit must be a whole number from 1 to {MOST}")))
}

async fn look(
    caller: &Caller,
    args: &Args,
    account: crate::event::AccountId,
    action: &'static str,
    wanted: Look,
) -> Result<Value, Refusal> {
    let run = Rc::clone(caller.run()?);
    account::may(caller, &account, action)?;
    let found: Found = run.look(account, wanted).await?;
    let json = serde_json::to_value(&found).map_err(|error| args.refuse(&error.to_string()))?;
    convert::to_lua(&caller.lua, &json, false).map_err(|error| args.refuse(&error.to_string()))
}
