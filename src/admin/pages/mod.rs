//! The pages for people.
//!
//! In: requests that have passed the gate, as a rule from a signed-in page. Out: HTML made here, complete without script; our
//! own script (`assets/wharf.js`) keeps the parts marked `data-live` fresh by asking for the same page again, and sends the
//! forms marked `data-api` to the routes for programs. Must not do anything that a program could not: a page changes things
//! through the API only.

pub(super) mod account;
pub(super) mod assets;
pub(super) mod overview;
pub(super) mod scripts;
pub(super) mod sign_in;
mod states;

use std::fmt::{self, Write as _};

use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};

use super::auth::Caller;
use super::refusal::Refusal;

/// A text from outside, made safe for HTML, in elements and in quoted attributes.
struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            other => f.write_char(other),
        })
    }
}

/// Which entry of the navigation a page belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Accounts,
    Scripts,
}

/// A whole page of somebody who is signed in.
fn page(title: &str, place: Place, caller: &Caller, body: &str) -> Response {
    let link = |to: &str, name: &str, here: Place| {
        let current = if here == place { " aria-current=\"page\"" } else { "" };
        format!("<a href=\"{to}\"{current}>{name}</a>")
    };
    let token = caller.ticket.as_ref().map_or("", |ticket| ticket.token.as_str());
    let sign_out = if caller.ticket.is_some() {
        "<form data-api=\"POST /sign-out\" data-then=\"/\"><button class=\"quiet\">Sign out</button></form>"
    } else {
        ""
    };
    let navigation = format!(
        "<nav>{}{}</nav>{sign_out}",
        link("/", "Accounts", Place::Accounts),
        link("/scripts", "Scripts", Place::Scripts)
    );
    document(StatusCode::OK, title, token, &navigation, body)
}

fn document(status: StatusCode, title: &str, token: &str, navigation: &str, body: &str) -> Response {
    let html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"wharf-token\" content=\"{}\">\n\
         <title>{} · wharf</title>\n<link rel=\"icon\" href=\"/assets/icon.svg\">\n\
         <link rel=\"stylesheet\" href=\"/assets/wharf.css\">\n<script src=\"/assets/wharf.js\" defer></script>\n</head>\n\
         <body>\n<header><a class=\"mark\" href=\"/\"><img src=\"/assets/icon.svg\" alt=\"\">wharf</a>{navigation}</header>\n\
         <main>\n{body}\n</main>\n</body>\n</html>\n",
        Text(token),
        Text(title)
    );
    (status, Html(html)).into_response()
}

/// A page that says why there is none.
pub(super) fn problem(refusal: &Refusal) -> Response {
    let body = format!(
        "<section class=\"card narrow\"><h1>{}</h1><p>{}</p><p><a href=\"/\">Back to the accounts</a></p></section>",
        if refusal.status == StatusCode::NOT_FOUND {
            "Not here"
        } else {
            "That did not work"
        },
        Text(&refusal.message)
    );
    document(refusal.status, "Not here", "", "", &body)
}

/// A span of time in words, from milliseconds.
fn span(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    match seconds {
        0..=90 => format!("{seconds} s"),
        91..=5_400 => format!("{} min", (seconds + 30) / 60),
        5_401..=172_800 => format!("{} h", (seconds + 1_800) / 3_600),
        _ => format!("{} days", (seconds + 43_200) / 86_400),
    }
}

/// How long ago a time was, with the time itself on request.
fn ago(at: i64) -> String {
    let now = jiff::Timestamp::now().as_millisecond();
    let exact = jiff::Timestamp::from_millisecond(at)
        .map(|at| format!("{at:.0}"))
        .unwrap_or_default();
    format!(
        "<time datetime=\"{exact}\" title=\"{exact}\">{} ago</time>",
        span(now - at)
    )
}

/// A button that asks the API for something, as a form of its own.
fn button(request: &str, label: &str, class: &str, confirm: Option<&str>, then: Option<&str>) -> String {
    let mut html = format!("<form data-api=\"{}\"", Text(request));
    // Writing to a String cannot fail.
    if let Some(question) = confirm {
        html.extend([" data-confirm=\"", &Text(question).to_string(), "\""]);
    }
    if let Some(place) = then {
        html.extend([" data-then=\"", &Text(place).to_string(), "\""]);
    }
    html.extend([
        "><button class=\"",
        class,
        "\">",
        &Text(label).to_string(),
        "</button><output></output></form>",
    ]);
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_cannot_leave_its_place() {
        let text = Text("<script>\"x\" & 'y'</script>").to_string();
        assert_eq!(text, "&lt;script&gt;&quot;x&quot; &amp; &#39;y&#39;&lt;/script&gt;");
    }

    #[test]
    fn spans_are_said_as_people_say_them() {
        let spans = [
            (-5, "0 s"),
            (61_000, "61 s"),
            (120_000, "2 min"),
            (7_200_000, "2 h"),
            (259_200_000, "3 days"),
        ];
        assert!(spans.iter().all(|(ms, words)| span(*ms) == *words));
    }
}
