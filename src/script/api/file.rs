//! Files that messages carry, in the hands of a script: a name for bytes that stay outside of the VM.
//!
//! In: ids of messages, or a table that makes a file. Out: an object with `mimetype`, `filename`, `size` and `sha256`, which `send`,
//! `reply` and `http` take. Must not bring the bytes into the VM.

use std::rc::Rc;

use hyper::body::Bytes;
use mlua::{AnyUserData, MetaMethod, UserData, UserDataMethods, Value};

use crate::action::File;
use crate::script::Made;
use crate::script::error::suggestion;
use crate::script::run::{Refusal, Run};

use super::args::{Args, kind};
use super::{Body, Caller, Row, account, acts, event};

/// Longest type, and name, of a file, in bytes.
const MAX_NAME: usize = 255;
/// Bytes of a file that a script makes, whatever `[media] max` says: as many as an answer of `http` has.
const MAX_MADE: usize = 10 * 1024 * 1024;

/// Methods of a message and of an account.
pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "message:download",
        signature: "(message) -> file",
        doc: "Fetches the file that the message carries; `send`, `reply` and `http` take it. It has `mimetype`, `filename`, `size`, `sha256`.",
        permission: Some("actions = [\"download\"]"),
        body: Body::Later(|caller, args| Box::pin(of_message(caller, args))),
    },
    Row {
        name: "account:download",
        signature: "(account, message: string) -> file",
        doc: "Fetches the file of the message of this id.",
        permission: Some("actions = [\"download\"]"),
        body: Body::Later(|caller, args| Box::pin(of_account(caller, args))),
    },
];

/// A file in a VM.
pub(crate) struct FileObject(File);

impl FileObject {
    /// The file behind an object, if it is one.
    pub(crate) fn of(object: &AnyUserData) -> Option<File> {
        object.borrow::<FileObject>().ok().map(|this| this.0.clone())
    }
}

const FIELDS: &[&str] = &["mimetype", "filename", "size", "sha256"];

impl UserData for FileObject {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_meta_method(MetaMethod::Index, |lua, this, name: mlua::LuaString| {
            let name = name.to_string_lossy();
            let text = |text: &str| lua.create_string(text).map(Value::String);
            match name.as_str() {
                "mimetype" => text(&this.0.mimetype),
                "sha256" => text(&this.0.sha256),
                // At most 100 MiB.
                "size" => Ok(Value::Number(this.0.size as f64)),
                "filename" => this.0.filename.as_deref().map_or(Ok(Value::Nil), text),
                other => Err(mlua::Error::runtime(format!(
                    "a file has no field '{other}'{}",
                    suggestion(other, FIELDS.iter().copied())
                ))),
            }
        });
        methods.add_meta_method(MetaMethod::ToString, |_, this, ()| {
            let File {
                filename,
                mimetype,
                size,
                ..
            } = &this.0;
            Ok(match filename {
                Some(name) => format!("file {name} ({mimetype}, {size} bytes)"),
                None => format!("file ({mimetype}, {size} bytes)"),
            })
        });
    }
}

async fn of_message(caller: Caller, mut args: Args) -> Result<Value, Refusal> {
    let event = event::this(&mut args)?;
    let (Some(account), Some(id)) = (event.account.clone(), event.text("id")) else {
        return Err(args.refuse("this event is no message"));
    };
    if !event.data.get("media").is_some_and(serde_json::Value::is_object) {
        return Err(args.refuse("the message carries no file: ask `if msg.media` before"));
    }
    download(&caller, &args, account, id.to_owned()).await
}

async fn of_account(caller: Caller, mut args: Args) -> Result<Value, Refusal> {
    let account = account::this(&mut args)?;
    let id = acts::message_id(&mut args)?;
    download(&caller, &args, account, id).await
}

async fn download(
    caller: &Caller,
    args: &Args,
    account: crate::event::AccountId,
    message: String,
) -> Result<Value, Refusal> {
    let run = Rc::clone(caller.run()?);
    account::may(caller, &account, "download")?;
    let file = run.download(account, message).await?;
    let object = caller.lua.create_userdata(FileObject(file));
    object
        .map(Value::UserData)
        .map_err(|error| args.refuse(&error.to_string()))
}

/// The file that a script gives: one that was downloaded, or a table with `body`, `mimetype` and `filename`, which is kept first.
pub(crate) async fn taken(run: &Run, args: &Args, given: &Value) -> Result<File, Refusal> {
    let table = match given {
        Value::UserData(object) => {
            return FileObject::of(object).ok_or_else(|| args.refuse("file must be a file, not another object"));
        }
        Value::Table(table) => table,
        other => {
            return Err(args.refuse(&format!(
                "file must be one that was downloaded, or {{ body =, mimetype =, filename = }}, not {}",
                kind(other)
            )));
        }
    };
    args.only(table, &["body", "mimetype", "filename"])?;
    let bytes = match args.field(Some(table), "body")? {
        Value::String(bytes) if bytes.as_bytes().len() <= MAX_MADE => Bytes::copy_from_slice(&bytes.as_bytes()),
        Value::String(_) => return Err(args.refuse(&format!("file.body has more than {MAX_MADE} bytes"))),
        other => return Err(args.refuse(&format!("file.body must be a string, not {}", kind(&other)))),
    };
    let mimetype = args.as_text("file.mimetype", &args.field(Some(table), "mimetype")?)?;
    let is_type = |text: &str| {
        text.len() <= MAX_NAME && text.contains('/') && text.bytes().all(|c| c.is_ascii_graphic() || c == b' ')
    };
    if !is_type(&mimetype) {
        return Err(args.refuse("file.mimetype must be a type such as \"image/png\""));
    }
    let filename = match args.field(Some(table), "filename")? {
        Value::Nil => None,
        name => Some(args.as_text("file.filename", &name)?),
    };
    let is_name = |name: &String| !name.is_empty() && name.len() <= MAX_NAME && !name.contains(['/', '\\', '\0']);
    if !filename.as_ref().is_none_or(is_name) {
        return Err(args.refuse("file.filename must be a name of at most 255 bytes without slashes"));
    }
    let made = Made {
        bytes,
        mimetype,
        filename,
    };
    run.keep(made).await
}
