//! What is done with messages and chats beside sending: methods of a message, and the same of an account by id.
//!
//! In: calls of a script. Out: acts through the run, which raise on failure and may be done again when the run is repeated.
//! Must not send anything, but for `forward`, which is a send.

use std::rc::Rc;
use std::time::Duration;

use mlua::Value;

use crate::action::{Act, Failure, FailureKind};
use crate::event::AccountId;
use crate::script::permissions::List;
use crate::script::run::Refusal;

use super::account::{self, MAX_ADDRESS, MAX_ID};
use super::args::Args;
use super::{Body, Caller, Row};
use super::{content, event};

/// Bytes of a reaction: the longest emoji, a family with skin tones, has 41.
const MAX_EMOJI: usize = 64;
/// Longest time for which `typing` shows and waits; WhatsApp shows it for 25 s at most.
const MAX_TYPING: Duration = Duration::from_secs(25);

/// Methods of a message, then those of an account.
pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "message:react",
        signature: "(message, emoji: string) -> ()",
        doc: "Puts a reaction on the message; \"\" takes it away.",
        permission: Some("actions = [\"react\"]"),
        body: Body::Later(|caller, args| Box::pin(of_message(caller, args, "react"))),
    },
    Row {
        name: "message:forward",
        signature: "(message, account: string, chat: string) -> { id: string?, status: string }",
        doc: "Sends the same content to another chat, also of another account.",
        permission: Some("actions = [\"forward\"]"),
        body: Body::Later(|caller, args| Box::pin(forward(caller, args))),
    },
    Row {
        name: "message:edit",
        signature: "(message, text: string) -> ()",
        doc: "Writes an own message anew; WhatsApp allows it for 15 minutes.",
        permission: Some("actions = [\"edit\"]"),
        body: Body::Later(|caller, args| Box::pin(of_message(caller, args, "edit"))),
    },
    Row {
        name: "message:revoke",
        signature: "(message) -> ()",
        doc: "Takes the message back for everybody: an own one, or as an admin any of a group.",
        permission: Some("actions = [\"revoke\"]"),
        body: Body::Later(|caller, args| Box::pin(of_message(caller, args, "revoke"))),
    },
    Row {
        name: "message:read",
        signature: "(message) -> ()",
        doc: "Marks the message's chat as read: its writer may see two blue ticks.",
        permission: Some("actions = [\"read\"]"),
        body: Body::Later(|caller, args| Box::pin(of_message(caller, args, "read"))),
    },
    Row {
        name: "message:typing",
        signature: "(message, seconds: string | number) -> ()",
        doc: "Shows in the chat that the account is typing, for at most 25 s, and waits as long.",
        permission: Some("actions = [\"typing\"]"),
        body: Body::Later(|caller, args| Box::pin(of_message(caller, args, "typing"))),
    },
    Row {
        name: "account:react",
        signature: "(account, message: string, emoji: string) -> ()",
        doc: "Puts a reaction on the message of this id.",
        permission: Some("actions = [\"react\"]"),
        body: Body::Later(|caller, args| Box::pin(of_account(caller, args, "react"))),
    },
    Row {
        name: "account:edit",
        signature: "(account, message: string, text: string) -> ()",
        doc: "Writes an own message anew, by the id that `send` answered.",
        permission: Some("actions = [\"edit\"]"),
        body: Body::Later(|caller, args| Box::pin(of_account(caller, args, "edit"))),
    },
    Row {
        name: "account:revoke",
        signature: "(account, message: string) -> ()",
        doc: "Takes a message back for everybody, by its id.",
        permission: Some("actions = [\"revoke\"]"),
        body: Body::Later(|caller, args| Box::pin(of_account(caller, args, "revoke"))),
    },
    Row {
        name: "account:read",
        signature: "(account, chat: string) -> ()",
        doc: "Marks a chat as read.",
        permission: Some("actions = [\"read\"]"),
        body: Body::Later(|caller, args| Box::pin(of_account(caller, args, "read"))),
    },
    Row {
        name: "account:typing",
        signature: "(account, chat: string, seconds: string | number) -> ()",
        doc: "Shows in a chat that the account is typing, and waits as long.",
        permission: Some("actions = [\"typing\"]"),
        body: Body::Later(|caller, args| Box::pin(of_account(caller, args, "typing"))),
    },
];

async fn of_message(caller: Caller, mut args: Args, what: &'static str) -> Result<Value, Refusal> {
    let event = event::this(&mut args)?;
    let (Some(account), Some(chat), Some(id)) = (event.account.clone(), event.chat(), event.text("id")) else {
        return Err(args.refuse("this event is no message"));
    };
    let on = match what {
        "read" | "typing" => chat,
        _ => id,
    };
    act(&caller, args, what, account, on.to_owned()).await
}

async fn of_account(caller: Caller, mut args: Args, what: &'static str) -> Result<Value, Refusal> {
    let account = account::this(&mut args)?;
    let on = match what {
        "read" | "typing" => account::chat(&mut args)?,
        _ => message_id(&mut args)?,
    };
    act(&caller, args, what, account, on).await
}

/// `on` is the id of the message, or the chat.
async fn act(
    caller: &Caller,
    mut args: Args,
    what: &'static str,
    account: AccountId,
    on: String,
) -> Result<Value, Refusal> {
    let run = Rc::clone(caller.run()?);
    let mut wait = None;
    let act = match what {
        "react" => {
            let emoji = args.text("the emoji")?;
            if emoji.len() > MAX_EMOJI || emoji.chars().any(char::is_alphanumeric) {
                return Err(args.refuse("the reaction must be one emoji, or \"\" to take it away"));
            }
            Act::React { message: on, emoji }
        }
        "edit" => {
            let text = args.text("the text")?;
            content::fits(&args, &text)?;
            Act::Edit { message: on, text }
        }
        "revoke" => Act::Revoke { message: on },
        "read" => Act::Read { chat: on },
        _ => {
            let seconds = args.any();
            let time = args.duration("the time", &seconds)?;
            let time = time.filter(|time| !time.is_zero() && *time <= MAX_TYPING);
            let time = time.ok_or_else(|| args.refuse("the time must be more than nothing and at most 25 seconds"))?;
            wait = Some(time);
            let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            Act::Typing { chat: on, millis }
        }
    };
    account::may(caller, &account, what)?;
    run.act(account, act).await?;
    if let Some(time) = wait {
        run.world().sleep(time).await;
    }
    Ok(Value::Nil)
}

async fn forward(caller: Caller, mut args: Args) -> Result<Value, Refusal> {
    let event = event::this(&mut args)?;
    let run = Rc::clone(caller.run()?);
    let to: AccountId = args
        .text("the account")?
        .parse()
        .map_err(|error| args.refuse(&format!("{error}")))?;
    let chat = account::chat(&mut args)?;
    caller.must_declare(List::Actions, "forward")?;
    let content = match (event.text("body"), event.text("id"), event.data.get("media")) {
        (Some(text), _, _) => content::text(text.to_owned(), None, Vec::new()),
        (None, Some(id), Some(media)) if media.is_object() => {
            let from = event.account.clone();
            let from = from.ok_or_else(|| args.refuse("this event is of no account"))?;
            let file = run.download(from, id.to_owned()).await?;
            let caption = event.text("caption").map(str::to_owned);
            content::forwarded(file, event.text("type").unwrap_or_default(), caption)
        }
        _ => {
            let kind = event.text("type").unwrap_or("other");
            return Err(Refusal::Failed(Failure {
                kind: FailureKind::NotSupported,
                message: format!("forward: a message of type '{kind}' has nothing that wharf can send on"),
                account: event.account.clone(),
            }));
        }
    };
    account::deliver(&caller, &run, to, chat, content).await
}

/// The id of a message, as `msg.id` and `send(…).id` are.
pub(crate) fn message_id(args: &mut Args) -> Result<String, Refusal> {
    let id = args.text("the message's id")?;
    let well_formed = id.len() <= MAX_ID && (id.starts_with("true_") || id.starts_with("false_"));
    match well_formed && id.split('_').nth(1).is_some_and(|chat| chat.len() <= MAX_ADDRESS) {
        true => Ok(id),
        false => Err(args.refuse("the message must be named by its id, as msg.id and send(…).id are")),
    }
}
