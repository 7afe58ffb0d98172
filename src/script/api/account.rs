//! `wharf.account(id)`: acts on an account.
//!
//! In: calls of a script. Out: sends through the run, states of the world. A send looks synchronous and raises on failure.

use std::rc::Rc;

use mlua::{Lua, MetaMethod, Table, UserData, UserDataMethods, Value};

use crate::action::{Content, Failure, FailureKind};
use crate::event::AccountId;
use crate::script::error::suggestion;
use crate::script::permissions::List;
use crate::script::run::{Refusal, Run};

use super::args::Args;
use super::content;
use super::{Body, Caller, Desk, Row, methods_of};

/// Longest address of a chat, in bytes.
pub(crate) const MAX_ADDRESS: usize = 128;
/// Longest id of a message that is quoted, in bytes.
pub(crate) const MAX_ID: usize = 256;

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
        signature: "(account, chat: string, text: string | { text: string?, file: (file | { body: string, mimetype: string, filename: string? })?, as: string?, quote: string?, mentions: {string}? }) -> { id: string?, status: string }",
        doc: "Sends a text, or a file with a text beside it, to a chat id or a phone number. `quote` is the id of a message; `file` is one that was downloaded, or `{ body =, mimetype =, filename = }`; `as` is `image`, `video`, `audio`, `voice`, `document` or `sticker`, by the type if it is not given.",
        permission: Some("actions = [\"send\"]"),
        body: Body::Later(|caller, args| Box::pin(send(caller, args))),
    },
    Row {
        name: "account:state",
        signature: "(account) -> { state: string, reason: string?, since: number, proof_age: number?, phone: string? }?",
        doc: "How the account stands; nil if there is none of that id. `since` is a time in ms, `proof_age` how many ms ago a round trip through the page was proven, `phone` its own number.",
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
    caller.must_declare(List::Actions, action)?;
    reachable(caller, account)
}

fn reachable(caller: &Caller, account: &AccountId) -> Result<(), Refusal> {
    caller.must_declare(List::Accounts, account.as_str())?;
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
    may(&caller, &id, "send")?;
    let content = content::content(&run, &args, &what, None).await?;
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

fn state(caller: &Caller, mut args: Args) -> Result<Value, Refusal> {
    let id = this(&mut args)?;
    caller.must_declare(List::Accounts, id.as_str())?;
    let Some(state) = caller.desk.world().account(id.as_str()) else {
        return Ok(Value::Nil);
    };
    let table = (|| -> mlua::Result<Table> {
        let table = caller.lua.create_table()?;
        table.raw_set("state", state.state.as_str())?;
        table.raw_set("reason", state.reason)?;
        table.raw_set("since", state.since as f64)?;
        table.raw_set("proof_age", state.proof_age.map(|age| age as f64))?;
        table.raw_set("phone", state.phone)?;
        Ok(table)
    })();
    table.map(Value::Table).map_err(|error| args.refuse(&error.to_string()))
}
