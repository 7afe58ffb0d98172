//! A world in which nothing happens.
//!
//! In: calls of a top level. Out: answers as if nothing were there; only what a top level may ask for is answered. Must not
//! touch the store or the network.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use hyper::Method;
use hyper::body::Bytes;
use jiff::tz::TimeZone;

use crate::action::{ActOrder, DownloadOrder, Failure, FailureKind, File, Found, LookOrder, SendOrder, Sent};
use crate::config::resolved::Secret;
use crate::http::Request;
use crate::script::past::{Past, Query};
use crate::script::world::{Answer, Kept, LogLine, World};
use crate::script::{AccountState, Made};

/// See the module.
#[derive(Default)]
pub(super) struct Dry {
    pub(super) endpoints: BTreeSet<String>,
    pub(super) secrets: BTreeMap<String, Secret>,
}

fn nothing<T: 'static>() -> LocalBoxFuture<'static, Result<T, Failure>> {
    let message = "a check does nothing".to_owned();
    async move {
        Err(Failure {
            kind: FailureKind::NotSupported,
            message,
            account: None,
        })
    }
    .boxed_local()
}

impl World for Dry {
    fn now(&self) -> i64 {
        jiff::Timestamp::now().as_millisecond()
    }

    fn zone(&self) -> TimeZone {
        TimeZone::system()
    }

    fn log(&self, _: LogLine) {}

    fn account(&self, _: &str) -> Option<AccountState> {
        None
    }

    fn has_endpoint(&self, name: &str) -> bool {
        self.endpoints.contains(name)
    }

    fn kv_get(&self, _: String) -> LocalBoxFuture<'static, Result<Option<Kept>, Failure>> {
        nothing()
    }

    fn kv_list(&self, _: String, _: usize) -> LocalBoxFuture<'static, Result<Vec<(String, Kept)>, Failure>> {
        nothing()
    }

    fn journal(&self, _: Query) -> LocalBoxFuture<'static, Result<Past, Failure>> {
        nothing()
    }

    fn http(&self, _: Method, _: Request) -> LocalBoxFuture<'static, Result<Answer, Failure>> {
        nothing()
    }

    fn secret(&self, name: &str) -> Option<Secret> {
        self.secrets.get(name).cloned()
    }

    fn sleep(&self, _: Duration) -> LocalBoxFuture<'static, ()> {
        async {}.boxed_local()
    }

    fn send(&self, _: SendOrder) -> LocalBoxFuture<'static, Result<Sent, Failure>> {
        nothing()
    }

    fn act(&self, _: ActOrder) -> LocalBoxFuture<'static, Result<(), Failure>> {
        nothing()
    }

    fn look(&self, _: LookOrder) -> LocalBoxFuture<'static, Result<Found, Failure>> {
        nothing()
    }

    fn download(&self, _: DownloadOrder) -> LocalBoxFuture<'static, Result<File, Failure>> {
        nothing()
    }

    fn keep(&self, _: Made) -> LocalBoxFuture<'static, Result<File, Failure>> {
        nothing()
    }

    fn read(&self, _: File) -> LocalBoxFuture<'static, Result<Bytes, Failure>> {
        nothing()
    }
}
