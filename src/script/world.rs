//! The seam between the Lua API and what stands behind it.
//!
//! In: what the functions of `api/` ask for. Out: the store and the host (a running script), nothing (`wharf check`), or
//! an invented world (`wharf test`). Values only, no Lua. What a run writes is not here: it is kept in [`super::run::Run`]
//! until the run ends, and whoever drives the run commits it.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::LocalBoxFuture;
use hyper::Method;
use hyper::body::Bytes;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use crate::action::{ActOrder, DownloadOrder, Failure, File, Found, LookOrder, SendOrder, Sent};
use crate::config::resolved::Secret;
use crate::http::Request;

use super::past::{Past, Query};
use super::{AccountState, Made};

/// What a script can see of the world, for one generation of it.
pub(crate) trait World {
    /// The time, in milliseconds since 1970.
    fn now(&self) -> i64;

    /// The time zone of `wharf.time.now()` without an argument.
    fn zone(&self) -> TimeZone;

    /// Takes a line of `wharf.log` or `print`.
    fn log(&self, line: LogLine);

    /// How an account stands; `None` if there is none of that id.
    fn account(&self, id: &str) -> Option<AccountState>;

    /// Whether `[endpoint.NAME]` exists, or the account of `account:ID` has a webhook.
    fn has_endpoint(&self, name: &str) -> bool;

    /// A committed entry of the script's own keys; expired ones are not there.
    fn kv_get(&self, key: String) -> LocalBoxFuture<'static, Result<Option<Kept>, Failure>>;

    /// Committed entries whose key starts with `prefix`, in order of keys, at most `limit`.
    fn kv_list(&self, prefix: String, limit: usize) -> LocalBoxFuture<'static, Result<Vec<(String, Kept)>, Failure>>;

    /// A page of the journal.
    fn journal(&self, query: Query) -> LocalBoxFuture<'static, Result<Past, Failure>>;

    /// A value of `[secrets]`.
    fn secret(&self, name: &str) -> Option<Secret>;

    /// Calls a service.
    fn http(&self, method: Method, request: Request) -> LocalBoxFuture<'static, Result<Answer, Failure>>;

    /// Waits for a time of this world.
    fn sleep(&self, time: Duration) -> LocalBoxFuture<'static, ()>;

    /// Sends a message. May take up to the order's patience; the caller does not count that as time of the run.
    fn send(&self, order: SendOrder) -> LocalBoxFuture<'static, Result<Sent, Failure>>;

    /// Does something that may be done twice. Waits as [`World::send`] does.
    fn act(&self, order: ActOrder) -> LocalBoxFuture<'static, Result<(), Failure>>;

    /// Looks something up in an account. Waits as [`World::send`] does.
    fn look(&self, order: LookOrder) -> LocalBoxFuture<'static, Result<Found, Failure>>;

    /// Fetches the file of a message. Waits as [`World::send`] does.
    fn download(&self, order: DownloadOrder) -> LocalBoxFuture<'static, Result<File, Failure>>;

    /// Keeps a file that the script has made.
    fn keep(&self, file: Made) -> LocalBoxFuture<'static, Result<File, Failure>>;

    /// The bytes of a file.
    fn read(&self, file: File) -> LocalBoxFuture<'static, Result<Bytes, Failure>>;
}

/// A committed entry of a script's keys.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Kept {
    /// The value.
    pub(crate) value: Value,
    /// The commit that wrote it: another one means that somebody wrote in between.
    pub(crate) version: u64,
    /// When it ends, in milliseconds since 1970.
    pub(crate) expires_at: Option<i64>,
}

/// What a service answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: u16,
    /// Headers, by names in small letters.
    pub(crate) headers: BTreeMap<String, String>,
    /// The body.
    pub(crate) body: Bytes,
}

/// A line that a script logs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LogLine {
    /// How grave.
    pub(crate) level: Level,
    /// The text.
    pub(crate) text: String,
    /// The fields beside it.
    pub(crate) fields: Map<String, Value>,
    /// The event at work (or the call of a timer) and its chat; `None` while the file loads.
    pub(crate) event: Option<(String, Option<String>)>,
}

/// How grave a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// `wharf.log.debug`
    Debug,
    /// `wharf.log.info` and `print`
    Info,
    /// `wharf.log.warn`
    Warn,
    /// `wharf.log.error`
    Error,
}
