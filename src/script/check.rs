//! `wharf check`: finds mistakes in scripts and plugins before an event does.
//!
//! In: files, the configuration. Out: a [`Report`]: the handlers of each file, or what is wrong with it, as `file:line`. The
//! top level is run against a world in which nothing is there and nothing happens. Must not touch the store or the network.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use hyper::Method;
use hyper::body::Bytes;
use jiff::tz::TimeZone;

use crate::action::{ActOrder, DownloadOrder, Failure, FailureKind, File, Found, LookOrder, SendOrder, Sent};
use crate::config::Config;
use crate::config::resolved::Secret;
use crate::http::Request;

use super::generation::{self, LoadError, Setup};
use super::listing;
use super::vm::Limits;
use super::world::{Answer, Kept, LogLine, World};
use super::{AccountState, Made};

/// What the check found.
#[derive(Debug, Default)]
pub struct Report {
    files: Vec<Checked>,
}

#[derive(Debug)]
struct Checked {
    file: String,
    outcome: Result<Vec<String>, LoadError>,
}

impl Report {
    /// How many files have a mistake.
    #[must_use]
    pub fn findings(&self) -> usize {
        self.files.iter().filter(|checked| checked.outcome.is_err()).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Checked { file, outcome } in &self.files {
            match outcome {
                Ok(handlers) => {
                    writeln!(f, "ok       {file}")?;
                    for handler in handlers {
                        writeln!(f, "           {handler}")?;
                    }
                }
                Err(error) => writeln!(f, "MISTAKE  {error}")?,
            }
        }
        if self.files.is_empty() {
            return write!(f, "there are no scripts and no plugins to check");
        }
        write!(f, "{} checked, {} with a mistake", self.files.len(), self.findings())
    }
}

/// Checks the files in `paths`, or in the folders of the configuration if there are none. Blocks.
#[must_use]
pub fn check(paths: &[PathBuf], config: &Config) -> Report {
    let (files, missing) = listing::scripts(paths, &config.scripts);
    let mut report = Report::default();
    for path in missing {
        let (file, message) = (path.display().to_string(), "there is no such file or folder".to_owned());
        report.files.push(Checked {
            file: file.clone(),
            outcome: Err(LoadError {
                file,
                line: None,
                message,
            }),
        });
    }
    for path in files {
        // A thread for each: its VM ends with it.
        let checked = std::thread::scope(|scope| scope.spawn(|| check_file(&path, config)).join());
        let file = listing::shown(&path);
        let outcome = checked.unwrap_or_else(|_| {
            let message = "the check crashed; please report this".to_owned();
            Err(LoadError {
                file: file.clone(),
                line: None,
                message,
            })
        });
        report.files.push(Checked { file, outcome });
    }
    report
}

fn check_file(path: &Path, config: &Config) -> Result<Vec<String>, LoadError> {
    let plan = listing::plan(path, &Limits::of(&config.scripts), |is_plugin, name| {
        let tables = if is_plugin { &config.plugins } else { &config.script };
        tables.get(name).cloned().unwrap_or_default()
    })?;
    let endpoints = config.endpoint.keys().cloned().collect();
    let setup = Setup {
        limits: plan.limits,
        config: plan.config,
        permissions: plan.permissions,
        world: Rc::new(Dry {
            endpoints,
            secrets: config.secrets.clone(),
        }),
    };
    generation::load(&plan.source, setup).map(|generation| generation.outline().describe())
}

/// A world in which nothing happens; only what a top level may ask for is answered.
struct Dry {
    endpoints: BTreeSet<String>,
    secrets: BTreeMap<String, Secret>,
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
