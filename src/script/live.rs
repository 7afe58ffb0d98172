//! The world of a running script: the store, the accounts, the log.
//!
//! In: what the API asks. Out: the same, from the rest of the program. Everything that waits is done on the program's own
//! runtime, and ends when the run that asked ends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use hyper::Method;
use hyper::body::Bytes;
use jiff::tz::TimeZone;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::action::{ActOrder, DownloadOrder, Failure, FailureKind, File, Found, LookOrder, SendOrder, Sent};
use crate::config::Config;
use crate::config::resolved::Secret;
use crate::http::{self, Request};
use crate::store::{self, Store};

use super::flood::{Flood, Line, MAX_LINES, WINDOW};
use super::past::{Past, Query, past};
use super::world::{Answer, Kept, Level, LogLine, World};
use super::{AccountState, Host, Made};

/// What stands behind the API of one generation.
#[derive(Clone)]
pub(crate) struct Live {
    /// The script's name, also the space of its keys.
    pub(crate) script: Arc<str>,
    /// Which version of it.
    pub(crate) generation: u64,
    /// The store.
    pub(crate) store: Store,
    /// The configuration in force.
    pub(crate) config: watch::Receiver<Arc<Config>>,
    /// The accounts.
    pub(crate) host: Arc<dyn Host>,
    /// Where its tasks run.
    pub(crate) tracker: TaskTracker,
    /// On which runtime.
    pub(crate) runtime: Handle,
    /// Counts its lines.
    pub(crate) flood: Arc<Flood>,
    /// Held while a list is read: the store answers it whole, which can be 48 MB.
    pub(crate) listing: Arc<Semaphore>,
    /// Held by each call of `http`: its answer, of up to 10 MiB, lies outside the memory of the VM.
    pub(crate) calling: Arc<Semaphore>,
}

/// Bytes of all values of one `kv.list`, as JSON.
const MAX_LISTED: usize = 1024 * 1024;

impl Live {
    /// Says at the end of the second how many lines were not logged.
    fn tell_dropped(&self) {
        let (flood, script, generation) = (Arc::clone(&self.flood), Arc::clone(&self.script), self.generation);
        let tell = async move {
            tokio::time::sleep(WINDOW).await;
            let dropped = flood.dropped();
            tracing::warn!(target: "wharf::script", script = &*script, generation, dropped, "{dropped} lines were dropped: a script logs at most {MAX_LINES} in a second");
        };
        self.tracker.spawn_on(tell, &self.runtime);
    }

    fn ask<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> LocalBoxFuture<'static, Result<T, Failure>> {
        let task = AbortOnDropHandle::new(self.tracker.spawn_on(work, &self.runtime));
        async move { task.await.unwrap_or_else(|_| Err(internal("the host is stopping"))) }.boxed_local()
    }
}

fn internal(message: &str) -> Failure {
    Failure {
        kind: FailureKind::Internal,
        message: message.to_owned(),
        account: None,
    }
}

fn refused(message: &str) -> Failure {
    Failure {
        kind: FailureKind::Refused,
        message: message.to_owned(),
        account: None,
    }
}

/// Scripts are the owner's, and are told why: but not by an address, which may hold a secret.
fn of_http(error: &http::Error) -> Failure {
    let kind = match error {
        http::Error::Timeout => FailureKind::Timeout,
        http::Error::Url(_) | http::Error::Header(_) | http::Error::Blocked(_) => FailureKind::Refused,
        _ => FailureKind::NotConnected,
    };
    let message = match error {
        http::Error::Blocked(_) => "http: [egress] in config.toml does not allow this address".to_owned(),
        error => format!("http: {error}"),
    };
    Failure {
        kind,
        message,
        account: None,
    }
}

fn of_store(error: &store::Error) -> Failure {
    internal(&format!("the store did not answer: {error}"))
}

fn kept(entry: &store::KvEntry) -> Result<Kept, Failure> {
    let value = serde_json::from_slice(&entry.value)
        .map_err(|error| internal(&format!("a stored value is not JSON: {error}")))?;
    Ok(Kept {
        value,
        version: entry.version,
        expires_at: entry.expires_at,
    })
}

/// The wall clock, in milliseconds since 1970.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

impl World for Live {
    fn now(&self) -> i64 {
        now()
    }

    fn zone(&self) -> TimeZone {
        TimeZone::system()
    }

    fn log(&self, line: LogLine) {
        match self.flood.line(Instant::now()) {
            Line::Logged => {}
            Line::Dropped => return,
            Line::FirstDropped => return self.tell_dropped(),
        }
        let LogLine {
            level,
            text,
            fields,
            event,
        } = line;
        let (event, chat) = event.map_or((None, None), |(event, chat)| (Some(event), chat));
        let fields = (!fields.is_empty()).then(|| serde_json::Value::Object(fields).to_string());
        let (script, generation) = (&*self.script, self.generation);
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(target: "wharf::script", script, generation, event, chat, fields, "{text}")
            };
        }
        match level {
            Level::Debug => line!(debug),
            Level::Info => line!(info),
            Level::Warn => line!(warn),
            Level::Error => line!(error),
        }
    }

    fn account(&self, id: &str) -> Option<AccountState> {
        self.host.account(id)
    }

    fn has_endpoint(&self, name: &str) -> bool {
        self.host.has_endpoint(name)
    }

    fn kv_get(&self, key: String) -> LocalBoxFuture<'static, Result<Option<Kept>, Failure>> {
        let (store, space) = (self.store.clone(), Arc::clone(&self.script));
        self.ask(async move {
            let entry = store.kv_get(&space, &key).await.map_err(|error| of_store(&error))?;
            entry.as_ref().map(kept).transpose()
        })
    }

    fn kv_list(&self, prefix: String, limit: usize) -> LocalBoxFuture<'static, Result<Vec<(String, Kept)>, Failure>> {
        let (store, space) = (self.store.clone(), Arc::clone(&self.script));
        let listing = Arc::clone(&self.listing);
        self.ask(async move {
            // Never closed.
            let _one = listing.acquire_owned().await;
            let entries = store
                .kv_list(&space, &prefix, limit)
                .await
                .map_err(|error| of_store(&error))?;
            let size: usize = entries.iter().map(|(_, entry)| entry.value.len()).sum();
            if size > MAX_LISTED {
                let message =
                    format!("kv.list: the values under '{prefix}' have {size} bytes; at most {MAX_LISTED} fit");
                return Err(Failure {
                    kind: FailureKind::Refused,
                    message,
                    account: None,
                });
            }
            entries
                .into_iter()
                .map(|(key, entry)| Ok((key, kept(&entry)?)))
                .collect()
        })
    }

    fn journal(&self, query: Query) -> LocalBoxFuture<'static, Result<Past, Failure>> {
        let (store, listing) = (self.store.clone(), Arc::clone(&self.listing));
        self.ask(async move {
            // Never closed.
            let _one = listing.acquire_owned().await;
            past(&store, &query).await.map_err(|error| of_store(&error))
        })
    }

    fn http(&self, method: Method, request: Request) -> LocalBoxFuture<'static, Result<Answer, Failure>> {
        let (host, calling) = (Arc::clone(&self.host), Arc::clone(&self.calling));
        self.ask(async move {
            // Never closed.
            let _one = calling.acquire_owned().await;
            let answer = host.http(method, request).await.map_err(|error| of_http(&error))?;
            if answer.cut {
                return Err(refused("the answer is too large: more than 10 MiB"));
            }
            let mut headers = BTreeMap::new();
            for (name, value) in &answer.headers {
                let value = String::from_utf8_lossy(value.as_bytes());
                let entry: &mut String = headers.entry(name.as_str().to_owned()).or_default();
                if !entry.is_empty() {
                    entry.push_str(", ");
                }
                entry.push_str(&value);
            }
            Ok(Answer {
                status: answer.status,
                headers,
                body: answer.body,
            })
        })
    }

    fn secret(&self, name: &str) -> Option<Secret> {
        self.config.borrow().secrets.get(name).cloned()
    }

    fn sleep(&self, time: Duration) -> LocalBoxFuture<'static, ()> {
        tokio::time::sleep(time).boxed_local()
    }

    fn send(&self, order: SendOrder) -> LocalBoxFuture<'static, Result<Sent, Failure>> {
        let host = Arc::clone(&self.host);
        self.ask(async move { host.send(order).await })
    }

    fn act(&self, order: ActOrder) -> LocalBoxFuture<'static, Result<(), Failure>> {
        let host = Arc::clone(&self.host);
        self.ask(async move { host.act(order).await })
    }

    fn look(&self, order: LookOrder) -> LocalBoxFuture<'static, Result<Found, Failure>> {
        let host = Arc::clone(&self.host);
        self.ask(async move { host.look(order).await })
    }

    fn download(&self, order: DownloadOrder) -> LocalBoxFuture<'static, Result<File, Failure>> {
        let host = Arc::clone(&self.host);
        self.ask(async move { host.download(order).await })
    }

    fn keep(&self, file: Made) -> LocalBoxFuture<'static, Result<File, Failure>> {
        let host = Arc::clone(&self.host);
        self.ask(async move { host.keep(file).await })
    }

    fn read(&self, file: File) -> LocalBoxFuture<'static, Result<Bytes, Failure>> {
        let host = Arc::clone(&self.host);
        self.ask(async move { host.read(file).await })
    }
}
