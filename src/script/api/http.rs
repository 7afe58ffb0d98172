//! `wharf.http`: calls of other services.
//!
//! In: an address and what to say. Out: the answer, of any status; it raises only when none came. Everything goes through the
//! program's one client, with its limits and its guard of addresses. Must not connect anywhere itself.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use hyper::Method;
use mlua::{MetaMethod, UserData, UserDataMethods, Value};
use sha2::{Digest as _, Sha256};

use crate::http::Request;
use crate::script::error::suggestion;
use crate::script::permissions::List;
use crate::script::run::{Refusal, Run};
use crate::script::world::Answer;

use super::args::{Args, kind};
use super::file::FileObject;
use super::secret::Hidden;
use super::{Body, Caller, Row, convert};

/// Bytes of an answer.
const MAX_ANSWER: usize = 10 * 1024 * 1024;
/// Bytes of an address, and of a header with its name.
const MAX_TEXT: usize = 8 * 1024;
/// Headers of one call.
const MAX_HEADERS: usize = 64;
/// Time for a call that says nothing else.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Headers that belong to the client.
const OWN: &[&str] = &["host", "content-length", "transfer-encoding", "connection", "upgrade"];

const OPTIONS: &[&str] = &["headers", "json", "body", "form", "timeout"];

/// `http.*`
pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "http.get",
        signature: "(url: string, options: { headers: table?, json: any, body: any, form: table?, timeout: (string | number)? }?) -> answer",
        doc: "Asks a service and answers what it says, whatever the status; `json` is the body read as JSON. Raises when no answer came.",
        permission: Some("http"),
        body: Body::Later(|caller, args| Box::pin(call(caller, args, Method::GET))),
    },
    Row {
        name: "http.post",
        signature: "(url: string, options: { headers: table?, json: any, body: any, form: table?, timeout: (string | number)? }?) -> answer",
        doc: "Posts a table as JSON (`json`), a form (`form`), a text or a file (`body`), with the same `Idempotency-Key` when the run is repeated.",
        permission: Some("http"),
        body: Body::Later(|caller, args| Box::pin(call(caller, args, Method::POST))),
    },
    Row {
        name: "http.put",
        signature: "(url: string, options: { headers: table?, json: any, body: any, form: table?, timeout: (string | number)? }?) -> answer",
        doc: "As `post`, with PUT.",
        permission: Some("http"),
        body: Body::Later(|caller, args| Box::pin(call(caller, args, Method::PUT))),
    },
    Row {
        name: "http.delete",
        signature: "(url: string, options: { headers: table?, json: any, body: any, form: table?, timeout: (string | number)? }?) -> answer",
        doc: "As `post`, with DELETE.",
        permission: Some("http"),
        body: Body::Later(|caller, args| Box::pin(call(caller, args, Method::DELETE))),
    },
];

async fn call(caller: Caller, mut args: Args, method: Method) -> Result<Value, Refusal> {
    let current = caller.current()?.clone();
    let url = args.any();
    let url = text(&args, "the address", &url)?;
    let options = args.options(OPTIONS)?;
    let mut headers = Vec::new();
    let body = body(&current.run, &args, options.as_ref(), &mut headers).await?;
    let timeout = args.duration("timeout", &args.field(options.as_ref(), "timeout")?)?;
    own_headers(&args, args.field(options.as_ref(), "headers")?, &mut headers)?;
    permitted(&caller, &args, &url)?;
    let id = current.run.http(&current.branch)?;
    if method != Method::GET && !headers.iter().any(|(name, _)| name == "idempotency-key") {
        let digest = Sha256::digest(id.as_bytes());
        let key: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        headers.push(("idempotency-key".to_owned(), key));
    }
    let request = Request {
        url,
        headers,
        body: body.into(),
        timeout: timeout.unwrap_or(TIMEOUT),
        response_limit: MAX_ANSWER,
    };
    let answer = current.run.world().http(method, request).await?;
    let answer = Answered {
        answer: Rc::new(answer),
        json: RefCell::default(),
    };
    let object = caller.lua.create_userdata(answer);
    object
        .map(Value::UserData)
        .map_err(|error| args.refuse(&error.to_string()))
}

/// A text that may be a secret.
fn text(args: &Args, what: &str, value: &Value) -> Result<String, Refusal> {
    let text = match Hidden::reveal(value) {
        Some(hidden) => hidden.to_string_lossy(),
        None => args.as_text(what, value)?,
    };
    if text.len() > MAX_TEXT {
        return Err(args.refuse(&format!("{what} has more than {MAX_TEXT} bytes")));
    }
    Ok(text)
}

/// The body, and the header that says what it is.
async fn body(
    run: &Run,
    args: &Args,
    options: Option<&mlua::Table>,
    headers: &mut Vec<(String, String)>,
) -> Result<Vec<u8>, Refusal> {
    let mut bodies = Vec::new();
    let mut says = |kind: &str| headers.push(("content-type".to_owned(), kind.to_owned()));
    let json = args.field(options, "json")?;
    if !json.is_nil() {
        says("application/json");
        bodies.push(args.json("json", &json)?.to_string().into_bytes());
    }
    let form = args.field(options, "form")?;
    if !form.is_nil() {
        says("application/x-www-form-urlencoded");
        let serde_json::Value::Object(fields) = args.json("form", &form)? else {
            return Err(args.refuse("form must be a table with names"));
        };
        let mut encoded = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in fields {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            encoded.append_pair(&name, &value);
        }
        bodies.push(encoded.finish().into_bytes());
    }
    match args.field(options, "body")? {
        Value::Nil => {}
        Value::String(text) if text.as_bytes().len() <= convert::MAX_BYTES => bodies.push(text.as_bytes().to_vec()),
        Value::String(_) => return Err(args.refuse(&format!("body has more than {} bytes", convert::MAX_BYTES))),
        Value::UserData(object) => {
            let file = FileObject::of(&object).ok_or_else(|| args.refuse("body must be a string or a file"))?;
            says(&file.mimetype);
            let bytes = run.read(file).await?;
            bodies.push(bytes.to_vec());
        }
        other => return Err(args.refuse(&format!("body must be a string or a file, not {}", kind(&other)))),
    }
    if bodies.len() > 1 {
        return Err(args.refuse("one of json, form and body, not several"));
    }
    Ok(bodies.pop().unwrap_or_default())
}

/// The script's own headers; they hold over those that follow from the body.
fn own_headers(args: &Args, given: Value, headers: &mut Vec<(String, String)>) -> Result<(), Refusal> {
    let table = match given {
        Value::Nil => return Ok(()),
        Value::Table(table) => table,
        other => return Err(args.refuse(&format!("headers must be a table, not {}", kind(&other)))),
    };
    for pair in table.pairs::<Value, Value>() {
        let (name, value) = pair.map_err(|error| args.refuse(&error.to_string()))?;
        let name = args.as_text("the name of a header", &name)?.to_ascii_lowercase();
        let value = text(args, "a header", &value)?;
        if OWN.contains(&name.as_str()) {
            return Err(args.refuse(&format!("the header '{name}' is made by the program")));
        }
        headers.retain(|(known, _)| *known != name);
        headers.push((name, value));
        if headers.len() > MAX_HEADERS {
            return Err(args.refuse(&format!("more than {MAX_HEADERS} headers")));
        }
    }
    Ok(())
}

fn permitted(caller: &Caller, args: &Args, url: &str) -> Result<(), Refusal> {
    let host = url::Url::parse(url)
        .ok()
        .and_then(|url| url.host_str().map(str::to_owned));
    let host = host.ok_or_else(|| args.refuse("the address must be one such as \"https://api.example.com/v1\""))?;
    caller.must_declare(List::Http, &host)
}

/// An answer in the hands of a script; its JSON is read when it is asked for.
struct Answered {
    answer: Rc<Answer>,
    json: RefCell<Option<Value>>,
}

const FIELDS: &[&str] = &["status", "headers", "body", "json"];

impl UserData for Answered {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_meta_method(MetaMethod::Index, |lua, this, name: mlua::LuaString| {
            let name = name.to_string_lossy();
            match name.as_str() {
                "status" => Ok(Value::Number(this.answer.status.into())),
                "headers" => {
                    let table = lua.create_table()?;
                    for (name, value) in &this.answer.headers {
                        table.raw_set(name.as_str(), value.as_str())?;
                    }
                    Ok(Value::Table(table))
                }
                "body" => lua.create_string(&this.answer.body).map(Value::String),
                "json" => {
                    if let Some(json) = &*this.json.borrow() {
                        return Ok(json.clone());
                    }
                    let body = &this.answer.body;
                    let json = match body.len() > convert::MAX_BYTES {
                        true => None,
                        false => serde_json::from_slice::<serde_json::Value>(body).ok(),
                    };
                    let value = match json {
                        Some(json) => convert::to_lua(lua, &json, false)?,
                        None => Value::Nil,
                    };
                    this.json.replace(Some(value.clone()));
                    Ok(value)
                }
                other => Err(mlua::Error::runtime(format!(
                    "an answer has no field '{other}'{}",
                    suggestion(other, FIELDS.iter().copied())
                ))),
            }
        });
        methods.add_meta_method(MetaMethod::ToString, |_, this, ()| {
            Ok(format!("answer {}", this.answer.status))
        });
    }
}
