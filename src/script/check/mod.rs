//! `wharf check`: finds mistakes in scripts and plugins before an event does.
//!
//! In: files, the configuration. Out: a [`Report`]: the handlers of each file, or what is wrong with it, a line for each mistake:
//! `file:line:column: what; what to do`. The top level is run against a world in which nothing is there and nothing happens
//! (`dry`); what lies in functions is read from the syntax tree (`tree`, `facts`) and held against the API (`meaning`, `names`,
//! `literals`, `needs`). Must not touch the store or the network.

mod dry;
mod facts;
mod finding;
mod lacks;
mod literals;
mod meaning;
mod names;
mod needs;
mod source;
mod tree;

use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::config::Config;

use super::generation::{self, LoadError, Setup};
use super::listing;
use super::permissions::Permissions;
use super::vm::Limits;

use dry::Dry;
use finding::Finding;

/// Bytes of the stack of a check: the parser goes as deep as the source does.
const STACK: usize = 64 << 20;

/// What the check found.
#[derive(Debug, Default)]
pub struct Report {
    files: Vec<Checked>,
}

/// What is to be said of a file.
#[derive(Debug, Default)]
struct Checked {
    file: String,
    handlers: Vec<String>,
    findings: Vec<Finding>,
    /// Worth knowing, and no mistake.
    notes: Vec<Finding>,
}

impl Report {
    /// How many mistakes there are.
    #[must_use]
    pub fn findings(&self) -> usize {
        self.files.iter().map(|checked| checked.findings.len()).sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Checked {
            file,
            handlers,
            findings,
            notes,
        } in &self.files
        {
            if findings.is_empty() {
                writeln!(f, "ok       {file}")?;
                for handler in handlers {
                    writeln!(f, "           {handler}")?;
                }
            } else {
                writeln!(f, "MISTAKE  {file}")?;
            }
            for finding in findings {
                writeln!(f, "  {finding}")?;
            }
            for note in notes {
                writeln!(f, "  note: {note}")?;
            }
        }
        if self.files.is_empty() {
            return write!(f, "there are no scripts and no plugins to check");
        }
        let wrong = self.files.iter().filter(|checked| !checked.findings.is_empty()).count();
        write!(f, "{} checked, {wrong} with a mistake", self.files.len())
    }
}

/// Checks the files in `paths`, or in the folders of the configuration if there are none. Blocks.
#[must_use]
pub fn check(paths: &[PathBuf], config: &Config) -> Report {
    let (files, missing) = listing::scripts(paths, &config.scripts);
    let mut report = Report::default();
    let failed = |file: String, message: &str| {
        let finding = Finding {
            file: file.clone(),
            line: None,
            column: None,
            message: message.to_owned(),
        };
        Checked {
            file,
            findings: vec![finding],
            ..Checked::default()
        }
    };
    for path in missing {
        let file = path.display().to_string();
        report.files.push(failed(file, "there is no such file or folder"));
    }
    for path in files {
        // A thread for each: its VM ends with it.
        let checked = std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(STACK);
            let thread = thread.spawn_scoped(scope, || check_file(&path, config));
            thread.ok().and_then(|thread| thread.join().ok())
        });
        let crashed = || failed(listing::shown(&path), "the check crashed; please report this");
        report.files.push(checked.unwrap_or_else(crashed));
    }
    report
}

fn check_file(path: &Path, config: &Config) -> Checked {
    let plan = listing::plan(path, &Limits::of(&config.scripts), |is_plugin, name| {
        let tables = if is_plugin { &config.plugins } else { &config.script };
        tables.get(name).cloned().unwrap_or_default()
    });
    let manifest_path = path.with_file_name("plugin.toml");
    let manifest = std::fs::read_to_string(&manifest_path).ok();
    let mut checked = Checked {
        file: listing::shown(path),
        ..Checked::default()
    };
    let plan = match plan {
        Ok(plan) => plan,
        Err(error) => {
            let text = manifest.as_deref().filter(|_| error.file.ends_with("plugin.toml"));
            checked.findings.push(Finding::of_load(&error, text));
            return checked;
        }
    };
    let world = Rc::new(Dry {
        endpoints: config.endpoint.keys().cloned().collect(),
        secrets: config.secrets.clone(),
    });
    let setup = Setup {
        limits: plan.limits.clone(),
        config: plan.config,
        permissions: plan.permissions.clone(),
        world,
    };
    let manifest_name = listing::shown(&manifest_path);
    let declared = match (&plan.permissions, &manifest) {
        (Permissions::Declared(declared), Some(text)) => Some((declared, manifest_name.as_str(), text.as_str())),
        _ => None,
    };
    let read = source::look(&plan.source, &plan.limits, declared);
    (checked.findings, checked.notes) = read;
    match generation::load(&plan.source, setup) {
        Ok(generation) => checked.handlers = generation.outline().describe(),
        Err(error) => {
            // The same mistake, found without running the file, has its column and its way round.
            let known = |finding: &Finding| finding.file == error.file && finding.line == error.line;
            if !checked.findings.iter().any(known) {
                checked.findings.push(of_source(&error, &plan.source.text));
            }
        }
    }
    checked.findings.sort_by_key(|finding| {
        (
            finding.file != checked.file,
            finding.file.clone(),
            finding.line,
            finding.column,
        )
    });
    checked
}

fn of_source(error: &LoadError, text: &str) -> Finding {
    Finding::of_load(error, Some(text))
}
