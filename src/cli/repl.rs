//! `wharf repl NAME`: a conversation with a running script.
//!
//! In: lines of stdin, of a person or a pipe. Out: what each text answers on stdout, what is wrong with it on stderr. A text
//! that is not complete goes on in the next line. Must not know Lua.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;

use crate::admin::control;
use crate::config::Config;
use crate::script::Typed;

/// Talks until `exit` or the end of stdin. Of a pipe, exits with 1 if anything failed.
pub(super) async fn run(name: &str, config: &Config) -> anyhow::Result<ExitCode> {
    let socket = config.data.dir.join("wharf.sock");
    let Some(client) = control::Client::connect(&socket).await else {
        anyhow::bail!(
            "no host runs with the data in {}; start it with `wharf run`",
            config.data.dir.display()
        );
    };
    // Whether there is such a script is said before anything is typed.
    client.type_in(name, "nil").await?;
    let person = std::io::stdin().is_terminal();
    if person {
        eprintln!("wharf: this is `{name}`, live; an expression or statements, `exit` or ctrl-D to leave");
    }
    let (mut code, mut failed) = (String::new(), false);
    loop {
        if person {
            let prompt = if code.is_empty() {
                format!("{name}> ")
            } else {
                "... ".to_owned()
            };
            eprint!("{prompt}");
            std::io::stderr().flush().ok();
        }
        let line = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            std::io::stdin()
                .lock()
                .read_line(&mut line)
                .map(|read| (read > 0).then_some(line))
        });
        let Some(line) = line.await?? else { break };
        if code.is_empty() && matches!(line.trim(), "exit" | "quit") {
            return Ok(end(person, failed));
        }
        code.push_str(&line);
        if code.trim().is_empty() {
            code.clear();
            continue;
        }
        // An empty line ends what cannot be completed.
        let given_up = person && line.trim().is_empty();
        match client.type_in(name, code.trim_end()).await? {
            Typed::Incomplete if !given_up => continue,
            Typed::Incomplete => eprintln!("wharf: it is not complete, and was left"),
            Typed::Answer(Some(text)) => println!("{text}"),
            Typed::Answer(None) => {}
            Typed::Error(text) => {
                failed = true;
                eprintln!("{text}");
            }
        }
        code.clear();
    }
    if person {
        eprintln!();
    }
    if !code.trim().is_empty() {
        failed = true;
        eprintln!(
            "wharf: the last text is not complete: {}",
            code.lines().next().unwrap_or_default()
        );
    }
    Ok(end(person, failed))
}

fn end(person: bool, failed: bool) -> ExitCode {
    if failed && !person {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
