//! The start page: all accounts, how they stand, what to do next.
//!
//! In: the accounts, scripts and deliveries as they are. Out: the page. Must not show anything of a chat.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::response::Response;

use super::super::auth::Caller;
use super::super::keys::Scope;
use super::super::server::Context;
use super::states::words;
use super::{Place, Text, ago, button, page};
use crate::session::AccountView;
use crate::store::Level;

/// Deliveries that are counted; more are shown as "more than".
const COUNTED: usize = 100;

/// `GET /`
pub(in super::super) async fn show(
    State(context): State<Arc<Context>>,
    Extension(caller): Extension<Caller>,
) -> Response {
    let accounts = context.sessions.list();
    let max = context.config.borrow().accounts.max;
    let may = caller.scopes.allow(Scope::Admin);
    let cards: String = accounts.iter().map(|account| card(account, may)).collect();
    let empty = if accounts.is_empty() {
        "<p class=\"empty\">No account yet. Create one; its QR code comes up in a few seconds.</p>"
    } else {
        ""
    };
    let body = format!(
        "<section data-live=\"head\" class=\"head\"><h1>Accounts</h1><p class=\"hint\">{} of at most {max}</p></section>\
         <section data-live=\"notices\">{}</section>\
         <section data-live=\"accounts\" class=\"cards\">{cards}{empty}</section>{}",
        accounts.len(),
        notices(&context).await,
        if may { CREATE } else { "" }
    );
    page("Accounts", Place::Accounts, &caller, &body)
}

const CREATE: &str = "<section class=\"card\"><h2>New account</h2>\
    <form data-api=\"POST /api/accounts\" data-then=\"/accounts/{id}\" class=\"row\">\
    <label>Id <input name=\"id\" pattern=\"[a-z0-9][a-z0-9_\\-]{0,63}\" maxlength=\"64\" placeholder=\"made for you\" \
    autocomplete=\"off\" title=\"a-z, 0-9, _ and -; up to 64\"></label>\
    <label>Name <input name=\"name\" maxlength=\"100\" placeholder=\"for people\" autocomplete=\"off\"></label>\
    <button class=\"main\">Create</button><output></output></form></section>";

fn card(account: &AccountView, may: bool) -> String {
    let words = words(account);
    let id = account.id.as_str();
    let title = account.name.as_deref().unwrap_or(id);
    let phone = account
        .phone
        .as_deref()
        .map(|phone| format!(" · +{}", Text(phone)))
        .unwrap_or_default();
    let reason = reason(account);
    let running = !matches!(
        account.state.as_str(),
        "stopped" | "unpaired" | "logged_out" | "blocked" | "failed"
    );
    let act = match (may, running) {
        (false, _) => String::new(),
        (true, true) => button(&format!("POST /api/accounts/{id}/stop"), "Stop", "quiet", None, None),
        (true, false) => button(&format!("POST /api/accounts/{id}/start"), "Start", "quiet", None, None),
    };
    format!(
        "<article class=\"card account {tone}\"><div><h2><a href=\"/accounts/{id}\">{}</a></h2>\
         <p class=\"hint\"><code>{id}</code>{phone}</p></div>\
         <div><p><span class=\"badge {tone}\">{}</span> <span class=\"hint\">for {}</span></p><p>{}</p>{reason}</div>\
         <div class=\"acts\"><a class=\"button{}\" href=\"/accounts/{id}\">{}</a>{act}</div></article>",
        Text(title),
        words.name,
        super::span(jiff::Timestamp::now().as_millisecond() - account.since),
        words.next,
        if account.state.as_str() == "qr" { " main" } else { "" },
        if account.state.as_str() == "qr" {
            "Show the code"
        } else {
            "Open"
        },
        tone = words.tone.class(),
    )
}

/// The reason as wharf calls it, for searching in logs and scripts.
pub(super) fn reason(account: &AccountView) -> String {
    let missing = if account.degraded.is_empty() {
        String::new()
    } else {
        format!("missing: {}", account.degraded.join(", "))
    };
    let all = [account.reason.clone().unwrap_or_default(), missing];
    let shown: Vec<String> = all
        .iter()
        .filter(|text| !text.is_empty())
        .map(|text| Text(text).to_string())
        .collect();
    if shown.is_empty() {
        String::new()
    } else {
        format!("<p class=\"reason\">{}</p>", shown.join("<br>"))
    }
}

/// What is wrong with the store: one line each for its disk and its last backup.
fn store_notices(context: &Context) -> Vec<String> {
    let health = context.store.health();
    let room = |what: &str| {
        format!(
            "The disk {what}: {} MiB are free, and below {} MiB no new work is taken. Make room; wharf goes on by itself.",
            health.free >> 20,
            health.kept_free >> 20
        )
    };
    let store = match (&health.down, health.level) {
        (Some(why), _) => Some(("bad", format!("{}. It is tried again by itself.", Text(why)))),
        (None, Level::Full) => Some(("bad", room("is almost full"))),
        (None, Level::Low) => Some(("", room("is getting full"))),
        (None, Level::Enough) => None,
    };
    let backup = context.backups.last().and_then(|last| {
        let why = last.error?;
        Some((
            "bad",
            format!("The last backup failed {}: {}", ago(last.at), Text(&why)),
        ))
    });
    let all = store.into_iter().chain(backup);
    all.map(|(tone, text)| format!("<p class=\"notice {tone}\">{text}</p>"))
        .collect()
}

/// What else wants to be known: scripts that were refused, deliveries that wait or were given up.
async fn notices(context: &Context) -> String {
    let scripts = context.scripts.list();
    let mut lines = store_notices(context);
    for script in scripts {
        if let Some(problem) = &script.refused {
            lines.push(format!(
                "<p class=\"notice bad\"><a href=\"/scripts\">{} {}</a> was refused {}: {}</p>",
                script.kind,
                Text(&script.name),
                ago(problem.at),
                Text(&problem.headline())
            ));
        }
    }
    let count = |rows: usize, what: &str| match rows {
        0 => None,
        1 => Some(format!("<p class=\"notice\">1 delivery {what}.</p>")),
        rows if rows >= COUNTED => Some(format!("<p class=\"notice\">{COUNTED} deliveries or more {what}.</p>")),
        rows => Some(format!("<p class=\"notice\">{rows} deliveries {what}.</p>")),
    };
    if let Ok(waiting) = context.store.deliveries(COUNTED).await {
        let tried: Vec<_> = waiting.iter().filter(|delivery| delivery.tries > 0).collect();
        lines.extend(count(tried.len(), "to webhooks failed and will be tried again"));
    }
    if let Ok(dead) = context.store.dead_letters(COUNTED).await {
        lines.extend(count(
            dead.len(),
            "to webhooks given up (<code>GET /api/outbox/dead</code>)",
        ));
    }
    lines.concat()
}
