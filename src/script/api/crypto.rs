//! `wharf.crypto`: digests, signatures, encodings, ids.
//!
//! In: texts and bytes, secrets among them. Out: texts and bytes. Must not keep a key, and must not show a secret.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use mlua::{LuaString, Value};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::script::error::suggestion;
use crate::script::run::Refusal;

use super::args::Args;
use super::secret::Hidden;
use super::{Body, Caller, Row, convert};

/// `crypto.*`
pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "crypto.sha256",
        signature: "(data: string, encoding: string?) -> string",
        doc: "The SHA-256 of bytes: as `\"hex\"` if not said, `\"base64\"`, `\"base64url\"` or `\"raw\"`.",
        permission: None,
        body: Body::Now(sha256),
    },
    Row {
        name: "crypto.hmac_sha256",
        signature: "(key: string | secret, data: string, encoding: string?) -> string",
        doc: "The HMAC-SHA-256 of bytes under a key, encoded as for `sha256`.",
        permission: None,
        body: Body::Now(hmac_sha256),
    },
    Row {
        name: "crypto.base64_encode",
        signature: "(data: string | secret, encoding: string?) -> string | secret",
        doc: "Bytes as Base64; with `\"base64url\"` in the alphabet of URLs, without padding.",
        permission: None,
        body: Body::Now(base64_encode),
    },
    Row {
        name: "crypto.base64_decode",
        signature: "(text: string, encoding: string?) -> string?",
        doc: "The bytes of Base64; nil if it is none.",
        permission: None,
        body: Body::Now(base64_decode),
    },
    Row {
        name: "crypto.hex_encode",
        signature: "(data: string) -> string",
        doc: "Bytes as hexadecimal digits, in small letters.",
        permission: None,
        body: Body::Now(hex_encode),
    },
    Row {
        name: "crypto.hex_decode",
        signature: "(text: string) -> string?",
        doc: "The bytes of hexadecimal digits; nil if there is anything else.",
        permission: None,
        body: Body::Now(hex_decode),
    },
    Row {
        name: "crypto.uuid",
        signature: "() -> string",
        doc: "A new random UUID (version 4).",
        permission: None,
        body: Body::Now(uuid),
    },
    Row {
        name: "crypto.equal",
        signature: "(a: string | secret, b: string | secret) -> boolean",
        doc: "Whether two texts are the same, in a time that does not tell where they differ: for signatures and tokens.",
        permission: None,
        body: Body::Now(equal),
    },
];

/// How bytes are written.
enum Encoding {
    Hex,
    Base64,
    Base64Url,
    Raw,
}

const ENCODINGS: &[&str] = &["hex", "base64", "base64url", "raw"];

fn encoding(args: &mut Args, default: Encoding) -> Result<Encoding, Refusal> {
    let name = match args.any() {
        Value::Nil => return Ok(default),
        value => args.as_text("the encoding", &value)?,
    };
    match name.as_str() {
        "hex" => Ok(Encoding::Hex),
        "base64" => Ok(Encoding::Base64),
        "base64url" => Ok(Encoding::Base64Url),
        "raw" => Ok(Encoding::Raw),
        other => {
            let hint = suggestion(other, ENCODINGS.iter().copied());
            Err(args.refuse(&format!("no encoding '{other}'{hint}")))
        }
    }
}

fn text(caller: &Caller, args: &Args, bytes: impl AsRef<[u8]>) -> Result<Value, Refusal> {
    let text = caller.lua.create_string(bytes);
    text.map(Value::String).map_err(|error| args.refuse(&error.to_string()))
}

fn encoded(caller: &Caller, args: &Args, bytes: &[u8], encoding: &Encoding) -> Result<Value, Refusal> {
    match encoding {
        Encoding::Hex => text(caller, args, hex(bytes)),
        Encoding::Base64 => text(caller, args, STANDARD.encode(bytes)),
        Encoding::Base64Url => text(caller, args, URL_SAFE_NO_PAD.encode(bytes)),
        Encoding::Raw => text(caller, args, bytes),
    }
}

fn sha256(caller: &Caller, mut args: Args) -> Result<Value, Refusal> {
    let data = args.bytes("the data")?;
    let encoding = encoding(&mut args, Encoding::Hex)?;
    encoded(caller, &args, &Sha256::digest(data.as_bytes()), &encoding)
}

fn hmac_sha256(caller: &Caller, mut args: Args) -> Result<Value, Refusal> {
    let (key, _) = args.bytes_or_secret("the key")?;
    let data = args.bytes("the data")?;
    let encoding = encoding(&mut args, Encoding::Hex)?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key.as_bytes()).map_err(|_| args.refuse("the key cannot be used"))?;
    mac.update(&data.as_bytes());
    encoded(caller, &args, &mac.finalize().into_bytes(), &encoding)
}

fn base64_encode(caller: &Caller, mut args: Args) -> Result<Value, Refusal> {
    let (data, hidden) = args.bytes_or_secret("the data")?;
    let encoding = encoding(&mut args, Encoding::Base64)?;
    match encoded(caller, &args, &data.as_bytes(), &encoding)? {
        Value::String(text) if hidden => {
            Hidden::object(&caller.lua, text.as_bytes()).map_err(|error| args.refuse(&error.to_string()))
        }
        value => Ok(value),
    }
}

fn base64_decode(caller: &Caller, mut args: Args) -> Result<Value, Refusal> {
    let data = args.bytes("the text")?;
    let decoded = match encoding(&mut args, Encoding::Base64)? {
        Encoding::Base64Url => URL_SAFE_NO_PAD.decode(data.as_bytes()),
        _ => STANDARD.decode(data.as_bytes()),
    };
    decoded.map_or(Ok(Value::Nil), |bytes| text(caller, &args, bytes))
}

fn hex_encode(caller: &Caller, mut args: Args) -> Result<Value, Refusal> {
    let data: LuaString = args.bytes("the data")?;
    text(caller, &args, hex(&data.as_bytes()))
}

fn hex_decode(caller: &Caller, mut args: Args) -> Result<Value, Refusal> {
    let data = args.bytes("the text")?;
    unhex(&data.as_bytes()).map_or(Ok(Value::Nil), |bytes| text(caller, &args, bytes))
}

#[expect(clippy::needless_pass_by_value, reason = "the form of every function of a row")]
fn uuid(caller: &Caller, args: Args) -> Result<Value, Refusal> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| args.refuse(&format!("the system gives no randomness: {error}")))?;
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let mut id = hex(&bytes);
    for at in [20, 16, 12, 8] {
        id.insert(at, '-');
    }
    text(caller, &args, id)
}

fn equal(_: &Caller, mut args: Args) -> Result<Value, Refusal> {
    let (a, _) = args.bytes_or_secret("the first text")?;
    let (b, _) = args.bytes_or_secret("the second text")?;
    let same: bool = a.as_bytes().ct_eq(&b.as_bytes()).into();
    Ok(Value::Boolean(same))
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string does not fail.
        write!(text, "{byte:02x}").ok();
    }
    text
}

fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: &u8| {
        char::from(*byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let (pairs, rest) = text.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs
        .iter()
        .map(|[high, low]| Some(digit(high)? << 4 | digit(low)?))
        .collect()
}

const _: () = assert!(
    convert::MAX_BYTES <= 1 << 20,
    "what is hashed at once without asking the meter"
);
