//! The page of scripts and plugins: which version runs, what it listens to, what is wrong with it.
//!
//! In: the scripts as they stand. Out: the page. Must not show a script's source or settings, which may hold secrets.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::response::Response;

use super::super::auth::Caller;
use super::super::server::Context;
use super::{Place, Text, ago, page};
use crate::script::{Problem, ScriptView};

/// `GET /scripts`
pub(in super::super) async fn show(
    State(context): State<Arc<Context>>,
    Extension(caller): Extension<Caller>,
) -> Response {
    let scripts = context.scripts.list();
    let config = context.config.borrow().clone();
    let empty = if scripts.is_empty() {
        format!(
            "<p class=\"empty\">No scripts yet. Save one to <code>{}</code>: it is in force at once.</p>",
            Text(&config.scripts.dir.display().to_string())
        )
    } else {
        String::new()
    };
    let cards: String = scripts.iter().map(card).collect();
    let body = format!(
        "<section class=\"head\"><h1>Scripts and plugins</h1><p class=\"hint\">Saved files are in force at once; a file with \
         a mistake is refused and the version before it goes on.</p></section>\
         <section data-live=\"scripts\" class=\"cards\">{cards}{empty}</section>"
    );
    page("Scripts", Place::Scripts, &caller, &body)
}

fn card(script: &ScriptView) -> String {
    let (tone, word) = match (script.state, &script.refused) {
        ("running", None) => ("good", "Running"),
        ("running", Some(_)) => ("bad", "Running the version before"),
        ("loading", _) => ("busy", "Loading"),
        ("suspended", _) => ("bad", "Suspended until its file changes"),
        ("refused", _) => ("bad", "Refused"),
        (other, _) => ("idle", other),
    };
    let handlers: String = script
        .handlers
        .iter()
        .map(|handler| format!("<li><code>{}</code></li>", Text(handler)))
        .collect();
    let handlers = if handlers.is_empty() {
        String::new()
    } else {
        format!("<ul class=\"handlers\">{handlers}</ul>")
    };
    format!(
        "<article class=\"card {tone}\"><h2>{} <span class=\"hint\">{}</span></h2>\
         <p><span class=\"badge {tone}\">{}</span> <span class=\"hint\">generation {}</span></p>{handlers}{}{}</article>",
        Text(&script.name),
        script.kind,
        Text(word),
        script.generation,
        problem("The newest version of the file was refused", script.refused.as_ref()),
        problem("A handler failed", script.last_error.as_ref())
    )
}

fn problem(what: &str, problem: Option<&Problem>) -> String {
    let Some(problem) = problem else { return String::new() };
    let advice = problem.advice.as_ref().map(|advice| format!("<p>{}</p>", Text(advice)));
    let excerpt = problem.excerpt.as_ref().map(|excerpt| format!("\n{}", Text(excerpt)));
    let often = match problem.count {
        1 => String::new(),
        count => format!(", {count} times since it was loaded, first {}", ago(problem.first_at)),
    };
    let event = problem.event.as_ref().map(|event| {
        let account = event.account.as_ref().map(|id| format!(" of {}", Text(id)));
        let chat = event
            .chat
            .as_ref()
            .map(|chat| format!(", chat <code>{}</code>", Text(chat)));
        format!(
            "<p class=\"hint\">at <code>{}</code>{}{}: <code>{}</code></p>",
            Text(&event.name),
            account.unwrap_or_default(),
            chat.unwrap_or_default(),
            Text(&event.id)
        )
    });
    format!(
        "<div class=\"problem\"><p>{what} {}{often}:</p><pre><code>{}{}</code></pre>{}{}</div>",
        ago(problem.at),
        Text(&problem.headline()),
        excerpt.unwrap_or_default(),
        advice.unwrap_or_default(),
        event.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::Cause;

    #[test]
    fn a_problem_is_shown_with_its_lines_its_event_and_what_to_do() {
        let shown = Problem {
            file: "scripts/bot.lua".into(),
            line: Some(2),
            message: "attempt to <b>".into(),
            advice: Some("`t` is nil".into()),
            excerpt: Some(">    2 | t.x()".into()),
            event: Some(Cause {
                id: "evt_1".into(),
                name: "message".into(),
                account: Some("sales".into()),
                chat: Some("49170@c.us".into()),
            }),
            count: 7,
            first_at: 0,
            at: 0,
        };
        let html = problem("A handler failed", Some(&shown));
        for part in [
            "scripts/bot.lua:2: attempt to &lt;b&gt;\n&gt;    2 | t.x()</code>",
            "<p>`t` is nil</p>",
            ", 7 times since it was loaded, first <time",
            "at <code>message</code> of sales, chat <code>49170@c.us</code>: <code>evt_1</code>",
        ] {
            assert!(html.contains(part), "{html}");
        }
    }
}
