//! Processes, as `/proc` shows them.
//!
//! In: process ids. Out: what is needed to prove whose a process is and to know when a group has ended. Must not
//! signal anything.

use std::fs;

/// What `/proc/PID/stat` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    /// One letter; `Z` and `X` are dead.
    state: char,
    /// The process group.
    group: i32,
    /// When it started, in clock ticks since boot.
    pub(super) start: u64,
}

impl Stat {
    /// Ended, perhaps not yet collected by its parent.
    pub(super) fn is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }
}

/// Of a process; `None` if there is none.
pub(super) fn stat(pid: i32) -> Option<Stat> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The second field is the name in parentheses and may hold anything, so the others are counted from the last
/// parenthesis.
fn parse(line: &str) -> Option<Stat> {
    let (_, rest) = line.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    Some(Stat {
        state: fields.first()?.chars().next()?,
        group: fields.get(2)?.parse().ok()?,
        start: fields.get(19)?.parse().ok()?,
    })
}

/// The arguments a process was started with; empty if there is none.
pub(super) fn arguments(pid: i32) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    bytes
        .split(|byte| *byte == 0)
        .filter(|part| !part.is_empty())
        .map(|part| String::from_utf8_lossy(part).into_owned())
        // Chromium may rewrite its arguments into one line.
        .flat_map(|part| {
            if part.contains(" --") {
                part.split(" --").map(again).collect()
            } else {
                vec![part]
            }
        })
        .collect()
}

fn again(part: &str) -> String {
    if part.starts_with('/') || part.starts_with("--") {
        part.to_owned()
    } else {
        format!("--{part}")
    }
}

/// All processes.
fn all() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// Living processes of a group.
pub(super) fn group(group: i32) -> Vec<i32> {
    all()
        .filter(|pid| stat(*pid).is_some_and(|stat| stat.group == group && !stat.is_dead()))
        .collect()
}

/// Living browsers (not their helpers) that were started with this argument.
pub(super) fn browsers_with(argument: &str) -> Vec<i32> {
    all()
        .filter(|pid| {
            let arguments = arguments(*pid);
            arguments.iter().any(|given| given == argument)
                && !arguments.iter().any(|given| given.starts_with("--type="))
                && stat(*pid).is_some_and(|stat| !stat.is_dead())
        })
        .collect()
}

/// Names this boot: start times count from it.
pub(super) fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .unwrap_or_default()
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_blanks_does_not_shift_the_fields() {
        let line = "77 (a) b (c) S 1 70 70 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4242 0 0";
        assert_eq!(
            parse(line),
            Some(Stat {
                state: 'S',
                group: 70,
                start: 4242
            })
        );
    }

    #[test]
    fn the_own_process_is_found_with_its_arguments() {
        let pid = i32::try_from(std::process::id()).unwrap();
        assert!(!stat(pid).unwrap().is_dead());
        assert!(!arguments(pid).is_empty());
        assert_eq!(stat(-1), None);
    }
}
