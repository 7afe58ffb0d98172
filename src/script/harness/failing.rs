//! What a test lets fail: sends, and what else is asked of an account.
//!
//! In: `bot:fail`. Out: how the next call fails, if it does. Must not know what a call does.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};

use crate::action::FailureKind;

/// What can fail.
pub(super) const CALLS: &[&str] = &[
    "send", "react", "edit", "revoke", "read", "typing", "contact", "chats", "history", "download",
];

/// What fails, by call.
#[derive(Default)]
pub(super) struct Failing(RefCell<BTreeMap<String, Ways>>);

#[derive(Default)]
struct Ways {
    next: VecDeque<FailureKind>,
    always: Option<FailureKind>,
}

impl Failing {
    /// The next calls fail so.
    pub(super) fn times(&self, call: &str, kind: FailureKind, times: u64) {
        let mut all = self.0.borrow_mut();
        let ways = all.entry(call.to_owned()).or_default();
        ways.next.extend((0..times).map(|_| kind));
    }

    /// All calls fail so, until told otherwise.
    pub(super) fn always(&self, call: &str, kind: FailureKind) {
        self.0.borrow_mut().entry(call.to_owned()).or_default().always = Some(kind);
    }

    /// They work again.
    pub(super) fn no_more(&self, call: &str) {
        self.0.borrow_mut().remove(call);
    }

    /// How this call fails, if it does.
    pub(super) fn next(&self, call: &str) -> Option<FailureKind> {
        let mut all = self.0.borrow_mut();
        let ways = all.get_mut(call)?;
        ways.next.pop_front().or(ways.always)
    }
}
