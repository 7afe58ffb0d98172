//! What the page says is untrusted: a call of the binding with any text is a report, or nothing.

use wharf::event::AccountId;
use wharf::page::{PageEvent, Report, read_call};

/// Reads the bytes as what the agent sends.
pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let account: AccountId = "fuzz".parse().expect("it is an id");
    let mut malformed = 0;
    let report = read_call(&account, text, &mut malformed);
    assert_eq!(
        report,
        read_call(&account, text, &mut 0),
        "the same call is read in two ways"
    );
    match report {
        // What cannot be read is a gap, which makes the session look for what it may have been.
        Some(Report::Event {
            event: PageEvent::Gap { dropped: 1 },
            ..
        }) => {}
        Some(Report::Event { .. }) => assert_eq!(malformed, 0, "a report that is also malformed"),
        Some(Report::Gone(_)) => panic!("a page cannot say that it is gone"),
        None => {}
    }
}
