//! `wharf.account(id)`: acts on an account.
//!
//! In: calls of a script. Out: sends through the run, states of the world. A send looks synchronous and raises on failure.

use std::rc::Rc;

use mlua::{Lua, MetaMethod, Table, UserData, UserDataMethods, Value};

use crate::action::{Content, Failure, FailureKind};
use crate::event::AccountId;
use crate::script::error::suggestion;
use crate::script::run::{Refusal, Run};

use super::args::Args;
use super::event::text_content;
use super::{Body, Caller, Desk, Row, methods_of, not_permitted};

/// Longest text of a message, in characters as WhatsApp counts them (UTF-16).
const MAX_TEXT: usize = 65_536;
/// Longest address of a chat, in bytes.
pub(crate) const MAX_ADDRESS: usize = 128;
/// Longest id of a message that is quoted, in bytes.
pub(crate) const MAX_ID: usize = 256;
/// Bytes of all ids that a message mentions: a group of a thousand.
const MAX_MENTIONS: usize = 64 * 1024;

/// `account` and the methods of what it answers.
pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "account",
        signature: "(id: string) -> account",
        doc: "An account by its id; whether there is one shows when it is used.",
        permission: None,
        body: Body::Now(account),
    },
    Row {
        name: "account:send",
        signature: "(account, chat: string, text: string | { text: string, quote: string?, mentions: {string}? }) -> { id: string?, status: string }",
        doc: "Sends a text to a chat id or a phone number; `quote` is the id of a message.",
        permission: Some("actions = [\"send\"]"),
        body: Body::Later(|caller, args| Box::pin(send(caller, args))),
    },
    Row {
        name: "account:state",
        signature: "(account) -> { state: string, reason: string?, since: number, proof_age: number? }?",
        doc: "How the account stands; nil if there is none of that id. `since` is a time in ms, `proof_age` how many ms ago a round trip through the page was proven.",
        permission: Some("accounts"),
        body: Body::Now(state),
    },
];

/// An account in a VM.
struct Account {
    id: AccountId,
    desk: Rc<Desk>,
}

impl UserData for Account {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_meta_method(MetaMethod::Index, |lua: &Lua, this, name: mlua::LuaString| {
            let name = name.to_string_lossy();
            if name == "id" {
                return lua.create_string(this.id.as_str()).map(Value::String);
            }
            let methods = this.desk.methods("account");
            let method = methods
                .map(|methods| methods.raw_get::<Value>(name.as_str()))
                .transpose()?;
            match method {
                Some(method) if !method.is_nil() => Ok(method),
                _ => {
                    let hint = suggestion(&name, methods_of("account").chain(["id"]));
                    Err(mlua::Error::runtime(format!("an account has no '{name}'{hint}")))
                }
            }
        });
        methods.add_meta_method(MetaMethod::ToString, |_, this, ()| Ok(format!("account {}", this.id)));
    }
}

fn account(caller: &Caller, mut args: Args) -> Result<Value, Refusal> {
    let id: AccountId = args
        .text("the id")?
        .parse()
        .map_err(|error| args.refuse(&format!("{error}")))?;
    let object = caller.lua.create_userdata(Account {
        id,
        desk: Rc::clone(&caller.desk),
    });
    object
        .map(Value::UserData)
        .map_err(|error| args.refuse(&error.to_string()))
}

pub(crate) fn this(args: &mut Args) -> Result<AccountId, Refusal> {
    let object = args.any();
    let id = object
        .as_userdata()
        .and_then(|object| object.borrow::<Account>().ok().map(|this| this.id.clone()));
    id.ok_or_else(|| args.refuse("call it with a colon, as in wharf.account(\"sales\"):send(chat, text)"))
}

/// The address of a chat.
pub(crate) fn chat(args: &mut Args) -> Result<String, Refusal> {
    let to = args.text("the chat")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '@' | '.' | '-' | '_' | '+' | ':');
    if to.is_empty() || to.len() > MAX_ADDRESS || !to.chars().all(plain) {
        return Err(args.refuse("the chat must be a chat id such as 49170@c.us, or a phone number"));
    }
    Ok(to)
}

/// Whether the script may do this with the account, and the account is there.
pub(crate) fn may(caller: &Caller, account: &AccountId, action: &str) -> Result<(), Refusal> {
    let permissions = caller.desk.permissions();
    if !permissions.action(action) {
        return Err(not_permitted(format!(
            "plugin.toml does not declare the action '{action}'"
        )));
    }
    reachable(caller, account)
}

fn reachable(caller: &Caller, account: &AccountId) -> Result<(), Refusal> {
    if !caller.desk.permissions().account(account.as_str()) {
        return Err(not_permitted(format!(
            "plugin.toml does not declare the account '{account}'"
        )));
    }
    if caller.desk.world().account(account.as_str()).is_none() {
        return Err(Refusal::Failed(Failure {
            kind: FailureKind::NoAccount,
            message: format!("there is no account '{account}'"),
            account: Some(account.clone()),
        }));
    }
    Ok(())
}

async fn send(caller: Caller, mut args: Args) -> Result<Value, Refusal> {
    let id = this(&mut args)?;
    let run = Rc::clone(caller.run()?);
    let to = chat(&mut args)?;
    let what = args.any();
    let content = content(&args, &what, None)?;
    if !caller.desk.permissions().action("send") {
        return Err(not_permitted(
            "plugin.toml does not declare the action 'send'".to_owned(),
        ));
    }
    deliver(&caller, &run, id, to, content).await
}

/// Sends through the run, after the checks that concern the account.
pub(crate) async fn deliver(
    caller: &Caller,
    run: &Rc<Run>,
    account: AccountId,
    to: String,
    content: Content,
) -> Result<Value, Refusal> {
    reachable(caller, &account)?;
    let sent = run.send(&caller.current()?.branch, account, to, content).await?;
    let table = (|| -> mlua::Result<Table> {
        let table = caller.lua.create_table()?;
        match sent {
            Some(sent) => {
                table.raw_set("id", sent.id)?;
                table.raw_set(
                    "status",
                    match sent.status {
                        crate::action::Status::Sent => "sent",
                        crate::action::Status::Unknown => "unknown",
                    },
                )?;
            }
            None => table.raw_set("status", "queued")?,
        }
        Ok(table)
    })();
    table
        .map(Value::Table)
        .map_err(|error| Refusal::Misuse(error.to_string()))
}

/// What a script wants said: a text, or a table with the text and more. `answers` is the message that `quote = true` means.
pub(crate) fn content(args: &Args, what: &Value, answers: Option<&str>) -> Result<Content, Refusal> {
    let Value::Table(table) = what else {
        return checked(args, args.as_text("the text", what)?, None, Vec::new());
    };
    args.only(table, &["text", "quote", "mentions"])?;
    let text = args.as_text("text", &args.field(Some(table), "text")?)?;
    let quote = match args.field(Some(table), "quote")? {
        Value::Nil | Value::Boolean(false) => None,
        Value::Boolean(true) => match answers {
            Some(id) => Some(id.to_owned()),
            None => return Err(args.refuse("quote must be the id of a message")),
        },
        other => Some(args.as_text("quote", &other)?),
    };
    if quote.as_ref().is_some_and(|id| id.len() > MAX_ID) {
        return Err(args.refuse(&format!("quote is longer than {MAX_ID} bytes")));
    }
    let mentions = match args.json_within("mentions", &args.field(Some(table), "mentions")?, MAX_MENTIONS)? {
        serde_json::Value::Null => Vec::new(),
        list => serde_json::from_value(list).map_err(|_| args.refuse("mentions must be a list of ids"))?,
    };
    checked(args, text, quote, mentions)
}

fn checked(args: &Args, text: String, quote: Option<String>, mentions: Vec<String>) -> Result<Content, Refusal> {
    fits(args, &text)?;
    Ok(text_content(text, quote, mentions))
}

/// Whether WhatsApp takes a text of this length.
pub(crate) fn fits(args: &Args, text: &str) -> Result<(), Refusal> {
    if text.is_empty() {
        return Err(args.refuse("the text is empty"));
    }
    let length = text.encode_utf16().count();
    if length > MAX_TEXT {
        return Err(args.refuse(&format!("the text has {length} characters; at most {MAX_TEXT} fit")));
    }
    Ok(())
}

fn state(caller: &Caller, mut args: Args) -> Result<Value, Refusal> {
    let id = this(&mut args)?;
    if !caller.desk.permissions().account(id.as_str()) {
        return Err(not_permitted(format!(
            "plugin.toml does not declare the account '{id}'"
        )));
    }
    let Some(state) = caller.desk.world().account(id.as_str()) else {
        return Ok(Value::Nil);
    };
    let table = (|| -> mlua::Result<Table> {
        let table = caller.lua.create_table()?;
        table.raw_set("state", state.state.as_str())?;
        table.raw_set("reason", state.reason)?;
        table.raw_set("since", state.since as f64)?;
        table.raw_set("proof_age", state.proof_age.map(|age| age as f64))?;
        Ok(table)
    })();
    table.map(Value::Table).map_err(|error| args.refuse(&error.to_string()))
}
