//! What a source says, without running it: which names it reads and sets, what it calls with which literals.
//!
//! In: nothing; `tree` fills it. Out: [`Facts`], in which an expression is a [`Term`] as far as it can be followed. Must not know
//! the API.

use std::collections::BTreeSet;
use std::rc::Rc;

/// A place in a source, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spot {
    pub(super) line: u32,
    pub(super) column: u32,
}

/// What an expression is, as far as the text alone tells.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Term {
    /// It cannot be told.
    Unknown,
    /// A literal text.
    Text(Rc<str>),
    /// Something that begins with a literal text.
    Starts(Rc<str>),
    /// A literal number.
    Number(f64),
    /// `true` or `false`.
    Boolean(bool),
    /// A table as it is written.
    Table(Rc<[Entry]>),
    /// A function as it is written, by its place in [`Facts::functions`].
    Function(usize),
    /// A parameter of a function, counted from 0.
    Parameter(usize, usize),
    /// A local variable, by its place in [`Facts::locals`].
    Local(usize),
    /// A global variable.
    Global(Rc<str>),
    /// A field of something.
    Member(Rc<Term>, Rc<str>),
    /// What a call answers, and its first argument if that is a literal text.
    Answer(Rc<Term>, Option<Rc<str>>),
    /// What a call of a method answers.
    MethodAnswer(Rc<Term>, Rc<str>),
}

/// An entry of a table.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    /// Its name; `None` for elements of lists and computed keys.
    pub(super) key: Option<Rc<str>>,
    pub(super) value: Term,
    pub(super) spot: Spot,
}

/// A local variable or a parameter.
#[derive(Debug)]
pub(super) struct Local {
    /// What it is made with.
    pub(super) value: Term,
    /// Whether it ever gets another value.
    pub(super) assigned: bool,
    /// How often it is read.
    pub(super) reads: usize,
}

/// How a member is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// Its value is taken.
    Read,
    /// It is called: `a.b(…)`; with how many arguments.
    Call,
    /// It is called as a method: `a:b(…)`.
    Method,
    /// It is set.
    Write,
}

/// A use of a member.
#[derive(Debug)]
pub(super) struct Use {
    pub(super) of: Term,
    pub(super) name: Rc<str>,
    pub(super) how: How,
    pub(super) spot: Spot,
}

/// A call.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) of: Term,
    /// The method, if it is one.
    pub(super) method: Option<Rc<str>>,
    pub(super) arguments: Vec<(Term, Spot)>,
    pub(super) spot: Spot,
    /// The functions that it stands in, the outermost first.
    pub(super) within: Vec<usize>,
}

/// A global that is read.
#[derive(Debug)]
pub(super) struct GlobalRead {
    pub(super) name: Rc<str>,
    pub(super) spot: Spot,
    /// Local names that could have been meant.
    pub(super) near: Vec<Rc<str>>,
}

/// What a source says.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) locals: Vec<Local>,
    /// How many functions there are.
    pub(super) functions: usize,
    pub(super) uses: Vec<Use>,
    pub(super) calls: Vec<Call>,
    pub(super) globals: Vec<GlobalRead>,
    /// Globals that are set somewhere.
    pub(super) set: BTreeSet<Rc<str>>,
}
