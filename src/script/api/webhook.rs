//! `wharf.webhook`: posts into the outbox.
//!
//! In: an endpoint's name and a body. Out: a delivery, committed with the run. Must not connect anywhere itself.

use mlua::Value;

use crate::script::permissions::List;
use crate::script::run::{Refusal, body_fits};

use super::args::Args;
use super::{Body, Caller, Row};

/// `webhook.*`
pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "webhook.post",
        signature: "(endpoint: string, body: any) -> ()",
        doc: "Puts a delivery into the durable outbox: a table or an event as JSON, a string as it is.",
        permission: Some("endpoints"),
        body: Body::Now(post),
    },
    Row {
        name: "webhook.has",
        signature: "(endpoint: string) -> boolean",
        doc: "Whether there is such an endpoint; `account:ID` is one if the account has a webhook.",
        permission: None,
        body: Body::Now(has),
    },
];

fn has(caller: &Caller, mut args: Args) -> Result<Value, Refusal> {
    let endpoint = args.text("the endpoint")?;
    let may = caller.desk.permissions().allows(List::Endpoints, &endpoint);
    Ok(Value::Boolean(may && caller.desk.world().has_endpoint(&endpoint)))
}

fn post(caller: &Caller, mut args: Args) -> Result<Value, Refusal> {
    let run = caller.run()?;
    let endpoint = args.text("the endpoint")?;
    let body = match args.any() {
        Value::Nil => return Err(args.refuse("there is no body")),
        Value::String(text) => {
            // Before it is copied out of the VM.
            body_fits(text.as_bytes().len())?;
            text.as_bytes().to_vec()
        }
        other => args.json("the body", &other)?.to_string().into_bytes(),
    };
    caller.must_declare(List::Endpoints, &endpoint)?;
    run.post(endpoint, body)?;
    Ok(Value::Nil)
}
