//! The functions of tests, as rows: for the files for editors.
//!
//! In: nothing. Out: names, signatures in the notation of the API's rows, one line each. A test holds them against what a test's
//! VM has. Must not do anything.

/// A name, a signature, what it does.
pub(crate) type TestRow = (&'static str, &'static str, &'static str);

/// `wharf.case` and `wharf.test`, and the methods of what the latter answers.
pub(crate) const ROWS: &[TestRow] = &[
    ("case", "(name: string, fn: () -> ()) -> ()", "A case of a test file."),
    (
        "test",
        "(file: string, options: { config: table?, now: string?, zone: string?, accounts: { string }?, endpoints: { string }?, secrets: table? }?) -> bot",
        "Loads a script into an invented world.",
    ),
    (
        "bot:message",
        "(bot, fields: table?) -> ()",
        "A message arrives; `age` such as \"3d\".",
    ),
    (
        "bot:event",
        "(bot, name: string, data: table?) -> ()",
        "Any other event happens.",
    ),
    (
        "bot:replay",
        "(bot, file: string) -> ()",
        "The events of a file that `wharf record` wrote happen, now.",
    ),
    (
        "bot:advance",
        "(bot, time: string) -> ()",
        "Lets time pass, and with it what becomes due.",
    ),
    (
        "bot:fail",
        "(bot, what: string, kind: string?, times: (number | string)?) -> ()",
        "The next send (or react, edit, contact, …) fails, or so many, or \"always\"; without a kind they work again.",
    ),
    (
        "bot:http",
        "(bot, call: string, answer: table) -> ()",
        "What a service answers from now on.",
    ),
    (
        "bot:knows",
        "(bot, known: table) -> ()",
        "What the accounts know: contacts, chats, history.",
    ),
    (
        "bot:expect_http",
        "(bot, call: string, expected: table?) -> ()",
        "The next call of a service.",
    ),
    (
        "bot:expect_done",
        "(bot, act: string, expected: table?) -> ()",
        "The next act beside sending.",
    ),
    (
        "bot:expect_sent",
        "(bot, expected: { account: string?, chat: string?, text: string?, quote: string?, file: string? }?) -> ()",
        "The next message that it sent.",
    ),
    (
        "bot:expect_webhook",
        "(bot, expected: { endpoint: string?, body: any }?) -> ()",
        "The next delivery.",
    ),
    (
        "bot:expect_kv",
        "(bot, key: string, value: any) -> ()",
        "What it remembers.",
    ),
    ("bot:expect_stopped", "(bot) -> ()", "A gate stopped the last event."),
    ("bot:expect_passed", "(bot) -> ()", "Its gates let the last event pass."),
    (
        "bot:expect_error",
        "(bot, part: string) -> ()",
        "A handler or gate failed.",
    ),
    ("bot:expect_nothing", "(bot) -> ()", "It sent and posted nothing more."),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::script::signature;

    #[test]
    fn every_method_of_a_bot_has_a_row_and_no_other() {
        let source = include_str!("handle.rs");
        let parts = source.split("method(\"").skip(1);
        let made: BTreeSet<&str> = parts.filter_map(|rest| rest.split('"').next()).collect();
        assert!(made.len() > 10, "the methods were not found");
        let rows: BTreeSet<&str> = ROWS.iter().filter_map(|(name, ..)| name.strip_prefix("bot:")).collect();
        assert_eq!(made, rows);
        for (name, signature, _) in ROWS {
            assert!(signature::parse(signature).is_some(), "{name}");
        }
    }
}
