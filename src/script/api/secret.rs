//! `wharf.secret`: values of `[secrets]` that a script uses and does not see.
//!
//! In: a name. Out: an object that shows `***`. It goes into headers of `http`, keys of `crypto.hmac_sha256`,
//! `crypto.base64_encode` and `crypto.equal`, and a text joined with it is such an object again. Must not become a text that a
//! script can read, send, keep or log.

use mlua::{Lua, LuaString, MetaMethod, UserData, UserDataMethods, Value};

use crate::script::permissions::List;
use crate::script::run::Refusal;

use super::args::Args;
use super::{Body, Caller, Row};

/// What is shown in its place.
pub(crate) const SHOWN: &str = "***";
/// Bytes of a text that is joined with secrets.
const MAX_JOINED: usize = 64 * 1024;

/// `secret`
pub(crate) const ROWS: &[Row] = &[Row {
    name: "secret",
    signature: "(name: string) -> secret",
    doc: "A value of `[secrets]` in config.toml, shown as `***`: for headers of `http` and keys of `crypto`; `\"Bearer \" .. secret` is one as well.",
    permission: Some("secrets"),
    body: Body::Now(secret),
}];

/// A text that is not shown. It lies in the VM, so that its memory is counted, and no function of the VM leads to it.
pub(crate) struct Hidden(LuaString);

impl Hidden {
    /// Hides a text.
    pub(crate) fn object(lua: &Lua, text: impl AsRef<[u8]>) -> mlua::Result<Value> {
        let hidden = Self(lua.create_string(text)?);
        lua.create_userdata(hidden).map(Value::UserData)
    }

    /// What a value hides, if it does; the name makes every use stand out in review.
    pub(crate) fn reveal(value: &Value) -> Option<LuaString> {
        let hidden = value.as_userdata()?.borrow::<Self>().ok()?;
        Some(hidden.0.clone())
    }
}

impl UserData for Hidden {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_meta_method(MetaMethod::ToString, |_, _, ()| Ok(SHOWN));
        methods.add_meta_function(MetaMethod::Concat, |lua, (a, b): (Value, Value)| {
            let part = |value: &Value| match value {
                Value::String(text) => Ok(text.as_bytes().to_vec()),
                Value::Integer(_) | Value::Number(_) => Ok(value.to_string()?.into_bytes()),
                other => Self::reveal(other)
                    .map(|text| text.as_bytes().to_vec())
                    .ok_or_else(|| mlua::Error::runtime("a secret is joined with texts and numbers only")),
            };
            let mut joined = part(&a)?;
            joined.extend(part(&b)?);
            if joined.len() > MAX_JOINED {
                return Err(mlua::Error::runtime(format!(
                    "a text joined with a secret has at most {MAX_JOINED} bytes"
                )));
            }
            Self::object(lua, joined)
        });
    }
}

fn secret(caller: &Caller, mut args: Args) -> Result<Value, Refusal> {
    let name = args.text("the name")?;
    caller.must_declare(List::Secrets, &name)?;
    let Some(secret) = caller.desk.world().secret(&name) else {
        return Err(args.refuse(&format!("there is no '{name}' in [secrets] of config.toml")));
    };
    Hidden::object(&caller.lua, secret.reveal()).map_err(|error| args.refuse(&error.to_string()))
}
