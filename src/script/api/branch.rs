//! `wharf.spawn` and `wharf.all`: several things at a time inside one run.
//!
//! In: functions of a script. Out: *branches* of the run, which go on while others wait; the run ends when all have returned,
//! and fails when one raises. Must not outlive the call of the handler that began them.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::Poll;

use futures::StreamExt as _;
use futures::future::{LocalBoxFuture, join_all};
use futures::stream::FuturesUnordered;
use mlua::{Function, MultiValue, Value};

use crate::script::run::{Refusal, Run};

use super::args::{Args, kind};
use super::{Body, Caller, Row};

/// `spawn`, `all`
pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "spawn",
        signature: "(fn: () -> ()) -> ()",
        doc: "Begins a function beside the handler and goes on at once; the run ends when both have returned.",
        permission: None,
        body: Body::Now(spawn),
    },
    Row {
        name: "all",
        signature: "(functions: { () -> any }) -> { any }",
        doc: "Runs functions at the same time and answers what each returned; raises what the first of the list raised, once all have ended.",
        permission: None,
        body: Body::Later(|caller, args| Box::pin(all(caller, args))),
    },
];

/// Where a piece of Lua belongs: its run, its branch of it, and who sees spawned branches through.
#[derive(Clone)]
pub(crate) struct Current {
    /// The run.
    pub(crate) run: Rc<Run>,
    /// The branch, as it stands in the keys of sends: `main`, `main.1`.
    pub(crate) branch: Rc<str>,
    spawned: Spawned,
}

/// Branches that were spawned and not yet looked at.
type Spawned = Rc<RefCell<Vec<LocalBoxFuture<'static, mlua::Result<()>>>>>;

impl Current {
    /// The first branch of a run.
    pub(crate) fn of(run: &Rc<Run>) -> Self {
        Self {
            run: Rc::clone(run),
            branch: run.first_branch().into(),
            spawned: Spawned::default(),
        }
    }

    fn next(&self) -> Result<Self, Refusal> {
        let branch = self.run.next_branch(&self.branch)?;
        Ok(Self {
            branch: branch.into(),
            ..self.clone()
        })
    }

    /// Sees `work` through and all that it spawns; the first failure ends them all.
    pub(crate) async fn through<T>(&self, work: impl Future<Output = mlua::Result<T>>) -> mlua::Result<T> {
        let mut work = Box::pin(work);
        let mut answer = None;
        let mut branches = FuturesUnordered::new();
        std::future::poll_fn(move |cx| {
            if answer.is_none()
                && let Poll::Ready(value) = work.as_mut().poll(cx)
            {
                answer = Some(value?);
            }
            loop {
                branches.extend(self.spawned.take());
                while let Poll::Ready(Some(ended)) = branches.poll_next_unpin(cx) {
                    ended?;
                }
                if self.spawned.borrow().is_empty() {
                    break;
                }
            }
            match (branches.is_empty(), answer.take()) {
                (true, Some(value)) => Poll::Ready(Ok(value)),
                (_, kept) => {
                    answer = kept;
                    Poll::Pending
                }
            }
        })
        .await
    }
}

fn spawn(caller: &Caller, mut args: Args) -> Result<Value, Refusal> {
    caller.run()?;
    let function = args.function("what is spawned")?;
    let current = caller.current()?;
    let branch = current.next()?;
    let work = function.call_async::<()>(());
    let spawned = Rc::clone(&branch.spawned);
    spawned.borrow_mut().push(Box::pin(caller.desk.within(&branch, work)));
    Ok(Value::Nil)
}

async fn all(caller: Caller, mut args: Args) -> Result<Value, Refusal> {
    caller.run()?;
    let Value::Table(list) = args.any() else {
        return Err(args.refuse("a list of functions comes first, as in wharf.all { f, g }"));
    };
    let mut functions: Vec<Function> = Vec::new();
    for at in 1..=list.raw_len() {
        match list
            .raw_get::<Value>(at)
            .map_err(|error| args.refuse(&error.to_string()))?
        {
            Value::Function(function) => functions.push(function),
            other => return Err(args.refuse(&format!("item {at} must be a function, not {}", kind(&other)))),
        }
    }
    let current = caller.current()?;
    let mut branches = Vec::new();
    for function in functions {
        let branch = current.next()?;
        // Through the language's own, so that what is raised is passed on as it is.
        let work = caller.desk.pcall()?.call_async::<(bool, MultiValue)>(function);
        branches.push(caller.desk.within(&branch, work));
    }
    let results = caller
        .lua
        .create_table()
        .map_err(|error| args.refuse(&error.to_string()))?;
    for (at, ended) in join_all(branches).await.into_iter().enumerate() {
        let (fine, mut values) = ended.map_err(|error| args.refuse(&error.to_string()))?;
        let value = values.pop_front().unwrap_or(Value::Nil);
        if !fine {
            return Err(Refusal::Raised(value));
        }
        let kept = results.raw_set(at + 1, value);
        kept.map_err(|error| args.refuse(&error.to_string()))?;
    }
    Ok(Value::Table(results))
}
