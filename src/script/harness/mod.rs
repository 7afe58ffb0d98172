//! `wharf test`: runs `*_test.lua` files against scripts and plugins in an invented world.
//!
//! In: test files, the limits of the configuration. Out: a [`Report`] of cases. A test file is Lua in a VM of its own with
//! `wharf.case(name, fn)` and `wharf.test(file, options)`; what a bot can do is in `bot`, what stands behind the script it
//! tests is in `world`. Nothing leaves the process, and time passes only when a test says so.

mod accounts;
mod asked;
mod bot;
mod compare;
mod expect;
mod failing;
mod handle;
mod replay;
pub(crate) mod rows;
mod world;

use std::cell::RefCell;
use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use mlua::{Function, Lua, Value};
use tokio::runtime::Builder;

use crate::config::Config;

use super::error::Fault;
use super::generation::Source;
use super::library::Libraries;
use super::listing;
use super::meter::{Meter, Tally};
use super::vm::{self, Limits};

use bot::Bot;

/// CPU and wall time of a whole test file: generous, since it holds many cases, but no test runs for ever.
const FILE_TIME: Duration = Duration::from_secs(30);

/// What the tests came to.
#[derive(Debug, Default)]
pub struct Report {
    cases: Vec<Case>,
}

/// One case.
#[derive(Debug)]
struct Case {
    file: String,
    name: String,
    failure: Option<String>,
}

impl Report {
    /// How many cases failed.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.cases.iter().filter(|case| case.failure.is_some()).count()
    }

    /// How many cases passed.
    #[must_use]
    pub fn passed(&self) -> usize {
        self.cases.len() - self.failed()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = "";
        for case in &self.cases {
            if case.file != last {
                writeln!(f, "{}", case.file)?;
                last = &case.file;
            }
            match &case.failure {
                None => writeln!(f, "  ok      {}", case.name)?,
                Some(text) => {
                    writeln!(f, "  FAILED  {}", case.name)?;
                    for line in text.lines() {
                        writeln!(f, "          {line}")?;
                    }
                }
            }
        }
        if self.cases.is_empty() {
            writeln!(f, "no tests were found: they are in files that end in _test.lua")?;
        }
        write!(f, "{} passed, {} failed", self.passed(), self.failed())
    }
}

/// Runs the tests in `paths`, or in the folders of the configuration if there are none. Blocks.
#[must_use]
pub fn test(paths: &[PathBuf], config: &Config) -> Report {
    let mut report = Report::default();
    let (files, missing) = listing::tests(paths, &config.scripts);
    for path in missing {
        report.cases.push(Case {
            file: path.display().to_string(),
            name: "the file".to_owned(),
            failure: Some("there is no such file or folder".to_owned()),
        });
    }
    for file in files {
        let limits = Limits::of(&config.scripts);
        let config = config.clone();
        // A thread for each file: its VM and all that it holds end with it.
        let shown = listing::shown(&file);
        let ran = std::thread::spawn(move || run_file(&file, &limits, &config)).join();
        report.cases.extend(ran.unwrap_or_else(|_| {
            let failure = Some("the test crashed; please report this".to_owned());
            vec![Case {
                file: shown,
                name: "the file".to_owned(),
                failure,
            }]
        }));
    }
    report
}

/// What the functions of one test file share.
pub(super) struct Stage {
    /// Where the file is, for relative names.
    folder: PathBuf,
    limits: Limits,
    config: Config,
    file: String,
    cases: RefCell<Vec<Case>>,
    /// Bots of the case at work: what none of them was asked about is looked at when it ends.
    bots: RefCell<Vec<Rc<Bot>>>,
}

fn run_file(path: &Path, limits: &Limits, config: &Config) -> Vec<Case> {
    let shown = listing::shown(path);
    let whole = |failure| Case {
        file: shown.clone(),
        name: "the file".to_owned(),
        failure,
    };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return vec![whole(Some(format!("cannot be read: {error}")))],
    };
    let source = Source {
        name: shown.clone(),
        file: shown.clone(),
        text,
        libraries: Libraries::new(),
    };
    let stage = Rc::new(Stage {
        folder: path.parent().map(Path::to_owned).unwrap_or_default(),
        limits: limits.clone(),
        config: config.clone(),
        file: shown.clone(),
        cases: RefCell::default(),
        bots: RefCell::default(),
    });
    let failure = match Builder::new_current_thread().enable_time().build() {
        Ok(runtime) => runtime.block_on(run_source(&source, &stage)).err(),
        Err(error) => Some(format!("no runtime for it: {error}")),
    };
    let failure = failure.or_else(|| stage.leftovers());
    let mut cases = stage.cases.take();
    // A file without cases is one case; one with cases is named only if something outside of them failed.
    if cases.is_empty() || failure.is_some() {
        cases.push(whole(failure));
    }
    cases
}

async fn run_source(source: &Source, stage: &Rc<Stage>) -> Result<(), String> {
    let meter = Rc::new(Meter::default());
    let lua = vm::build(&stage.limits, &meter, |lua| install(lua, stage))
        .map_err(|error| format!("the VM cannot be made: {error}"))?;
    let says = |error: &mlua::Error| Fault::of(error, source).render(&source.text);
    let chunk = vm::chunk(&lua, &source.text, &source.file);
    let chunk = chunk.into_function().map_err(|error| says(&error))?;
    let tally = Tally::new(FILE_TIME);
    match meter.watch(&tally, FILE_TIME, chunk.call_async::<()>(())).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(says(&error)),
        Err(kill) => Err(Fault::killed(kill, &tally.place(), source).render(&source.text)),
    }
}

impl Stage {
    /// What the bots of the case that ends were not asked about.
    fn leftovers(&self) -> Option<String> {
        self.bots.take().iter().find_map(|bot| bot.unasked())
    }
}

/// Puts `wharf.case` and `wharf.test` into the test's VM.
fn install(lua: &Lua, stage: &Rc<Stage>) -> mlua::Result<()> {
    handle::prepare(lua)?;
    let wharf = lua.create_table()?;
    let at = Rc::clone(stage);
    let case = lua.create_async_function(move |_, (name, body): (String, Function)| {
        let stage = Rc::clone(&at);
        async move {
            stage.bots.take();
            let failure = match body.call_async::<()>(()).await {
                Ok(()) => stage.leftovers(),
                Err(error) => {
                    let source = Source {
                        name: stage.file.clone(),
                        file: stage.file.clone(),
                        text: String::new(),
                        libraries: Libraries::new(),
                    };
                    Some(Fault::of(&error, &source).headline())
                }
            };
            stage.cases.borrow_mut().push(Case {
                file: stage.file.clone(),
                name,
                failure,
            });
            Ok(())
        }
    })?;
    wharf.raw_set("case", case)?;
    let at = Rc::clone(stage);
    let test = lua.create_function(move |lua, (file, options): (String, Value)| {
        let bot = Bot::start(&at.folder.join(&file), &options, &at.limits, &at.config)?;
        at.bots.borrow_mut().push(Rc::clone(&bot));
        handle::object(lua, bot)
    })?;
    wharf.raw_set("test", test)?;
    wharf.set_readonly(true);
    lua.globals().raw_set("wharf", wharf)
}
