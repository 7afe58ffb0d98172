//! The page of one account: the code to scan, how it stands, its picture, its webhook.
//!
//! In: an account. Out: the page, with only those parts that the caller's scopes allow. Must not put the code's text into the
//! page: its picture is asked for by itself, from a route that needs the scope `qr`.

use std::sync::Arc;

use axum::extract::{Extension, Path, State};
use axum::response::Response;

use super::super::api;
use super::super::auth::Caller;
use super::super::keys::Scope;
use super::super::server::Context;
use super::overview::reason;
use super::states::words;
use super::{Place, Text, ago, button, page, problem, span};
use crate::action::State as Stand;
use crate::session::AccountView;

/// `GET /accounts/{id}`
pub(in super::super) async fn show(
    State(context): State<Arc<Context>>,
    Extension(caller): Extension<Caller>,
    id: Path<String>,
) -> Response {
    let found = api::account_id(id).and_then(|id| api::account(&context, &id));
    let account = match found {
        Ok(account) => account,
        Err(refusal) => return problem(&refusal),
    };
    let id = account.id.as_str();
    let title = account.name.as_deref().unwrap_or(id);
    let declared = context
        .config
        .borrow()
        .account
        .get(&account.id)
        .is_some_and(|table| table.webhook_url.is_some());
    let body = format!(
        "<p class=\"crumb\"><a href=\"/\">Accounts</a></p>\
         <section class=\"columns\"><div class=\"card\"><h1>{}</h1><div data-live=\"state\">{}{}</div></div>\
         <div data-live=\"side\">{}</div></section><div data-live=\"send\">{}</div>{}",
        Text(title),
        standing(&account),
        acts(&account, &caller),
        if account.state == Stand::Qr {
            scan(&context, &account, &caller)
        } else {
            picture(&account)
        },
        send(&account, &caller),
        webhook(&account, &caller, declared)
    );
    page(title, Place::Accounts, &caller, &body)
}

fn standing(account: &AccountView) -> String {
    let words = words(account);
    let mut facts = vec![("Id", format!("<code>{}</code>", account.id))];
    if let Some(phone) = &account.phone {
        facts.push(("Phone", format!("+{}", Text(phone))));
    }
    if let Some(at) = account.linked_at {
        facts.push(("Linked", ago(at)));
    }
    if let Some(age) = account.proof_age_ms {
        let age = span(i64::try_from(age).unwrap_or(i64::MAX));
        facts.push((
            "Last proof",
            format!("{age} ago <span class=\"hint\">(a round trip through the page)</span>"),
        ));
    }
    facts.push(("Created", ago(account.created_at)));
    let facts: String = facts
        .into_iter()
        .map(|(name, value)| format!("<dt>{name}</dt><dd>{value}</dd>"))
        .collect();
    format!(
        "<p><span class=\"badge {}\">{}</span> <span class=\"hint\">for {}</span></p><p>{}</p>{}<dl>{facts}</dl>",
        words.tone.class(),
        words.name,
        span(jiff::Timestamp::now().as_millisecond() - account.since),
        words.next,
        reason(account)
    )
}

fn acts(account: &AccountView, caller: &Caller) -> String {
    if !caller.scopes.allow(Scope::Admin) {
        return String::new();
    }
    let id = account.id.as_str();
    let ask = |what: &str| format!("POST /api/accounts/{id}/{what}");
    let mut acts = Vec::new();
    match account.state {
        Stand::Stopped | Stand::Unpaired | Stand::LoggedOut | Stand::Blocked | Stand::Failed => {
            acts.push(button(&ask("start"), "Start", "main", None, None));
        }
        _ => acts.push(button(&ask("stop"), "Stop", "", None, None)),
    }
    if matches!(account.state, Stand::Ready | Stand::Disconnected | Stand::Syncing) {
        let question = "Unlink this account from its phone? It must be scanned again to come back.";
        acts.push(button(&ask("logout"), "Log out", "", Some(question), None));
    }
    let question = format!("Delete the account {id} with its browser profile? This cannot be undone.");
    acts.push(button(
        &format!("DELETE /api/accounts/{id}"),
        "Delete",
        "danger",
        Some(&question),
        Some("/"),
    ));
    format!("<div class=\"acts\">{}</div>", acts.concat())
}

fn scan(context: &Context, account: &AccountView, caller: &Caller) -> String {
    if !caller.scopes.allow(Scope::Qr) {
        return "<div class=\"card\"><h2>A code waits to be scanned</h2><p>Showing it needs a key with the scope \
                <code>qr</code>.</p></div>"
            .to_owned();
    }
    let id = account.id.as_str();
    let Ok(qr) = context.sessions.qr(&account.id) else {
        return "<div class=\"card\"><h2>The next code is on its way</h2><p>It shows up here by itself.</p></div>"
            .to_owned();
    };
    let left = qr.expires_at - jiff::Timestamp::now().as_millisecond();
    let fresh = if left > 0 {
        format!("new code in {}", span(left))
    } else {
        "a new code is on its way".to_owned()
    };
    format!(
        "<div class=\"card scan\"><h2>Link this account</h2>\
         <img class=\"qr\" src=\"/api/accounts/{id}/qr.svg?attempt={n}\" alt=\"QR code to scan with WhatsApp\" width=\"300\" \
         height=\"300\"><p class=\"hint\">Code {n}, {fresh}</p>\
         <ol><li>Open WhatsApp on the phone.</li><li>Go to <b>Settings</b>, then <b>Linked devices</b>.</li>\
         <li>Tap <b>Link a device</b> and point the phone at this code.</li></ol>\
         <p class=\"hint\">The code renews itself, and this page with it.</p></div>",
        n = qr.attempt,
    )
}

fn picture(account: &AccountView) -> String {
    let has_page = matches!(
        account.state,
        Stand::Starting | Stand::Pairing | Stand::Syncing | Stand::Ready | Stand::Disconnected
    );
    if !has_page {
        return "<div class=\"card\"><h2>Its page</h2><p class=\"empty\">No browser runs for it now.</p></div>"
            .to_owned();
    }
    format!(
        "<div class=\"card\"><h2>Its page</h2><img class=\"snapshot\" data-snapshot=\"/api/accounts/{}/snapshot\" \
         alt=\"Picture of the account's WhatsApp Web\" hidden><p class=\"hint\" data-snapshot-age>A picture is being taken.</p>\
         </div>",
        account.id
    )
}

fn webhook(account: &AccountView, caller: &Caller, declared: bool) -> String {
    let url = account.webhook_url.as_deref().unwrap_or_default();
    let intro = "<h2>Webhook</h2><p>The webhook plugin sends this account's events here, signed by Standard Webhooks; what \
                 fails is tried again for three days.</p>";
    if declared || !caller.scopes.allow(Scope::Admin) {
        let shown = if url.is_empty() {
            "none".to_owned()
        } else {
            format!("<code>{}</code>", Text(url))
        };
        let note = if declared {
            format!(" (declared in <code>[account.{}]</code>, changed there)", account.id)
        } else {
            String::new()
        };
        return format!("<section class=\"card\">{intro}<p>Now: {shown}{note}</p></section>");
    }
    format!(
        "<section class=\"card\">{intro}<form data-api=\"PUT /api/accounts/{}/webhook\" class=\"row\">\
         <label class=\"wide\">Address <input name=\"webhook_url\" type=\"url\" value=\"{}\" maxlength=\"2048\" \
         placeholder=\"https://example.com/hook\" autocomplete=\"off\"></label><button>Save</button><output></output></form>\
         <div data-secret hidden><p>The signing secret. It is shown this once:</p><pre><code></code></pre></div></section>",
        account.id,
        Text(url)
    )
}

fn send(account: &AccountView, caller: &Caller) -> String {
    if account.state != Stand::Ready || !caller.scopes.allow(Scope::Send) {
        return String::new();
    }
    format!(
        "<section class=\"card\"><h2>Send a message</h2>\
         <form data-api=\"POST /api/accounts/{}/messages/send\" data-said=\"Sent.\" class=\"row\">\
         <label>To <input name=\"to\" required placeholder=\"491700000002\" autocomplete=\"off\"></label>\
         <label class=\"wide\">Message <input name=\"message\" required maxlength=\"4000\" autocomplete=\"off\"></label>\
         <button>Send</button><output></output></form></section>",
        account.id
    )
}
