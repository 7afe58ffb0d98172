//! The routes for programs, a file per thing; all answer JSON, pictures aside.
//!
//! In: requests that have passed the gate. Out: answers, or a `Refusal`. Must not check keys or scopes: the table of routes
//! says what each needs.

pub(super) mod accounts;
mod body;
pub(super) mod dead_runs;
pub(super) mod endpoints;
pub(super) mod health;
pub(super) mod journal;
pub(super) mod keys;
pub(super) mod messages;
pub(super) mod outbox;
pub(super) mod qr;
pub(super) mod scripts;
pub(super) mod snapshot;
pub(super) mod store;
pub(super) mod webhook;

pub(super) use body::TIME as BODY_TIME;

use axum::extract::Path;

use super::refusal::Refusal;
use super::server::Context;
use crate::event::AccountId;
use crate::session::AccountView;

/// Reads an account's id from a path. Only a well-formed id gets any further, so no path piece ever names a file.
pub(super) fn account_id(Path(id): Path<String>) -> Result<AccountId, Refusal> {
    id.parse()
        .map_err(|error: crate::event::BadAccountId| Refusal::bad_request("BAD_ACCOUNT_ID", error.to_string()))
}

/// The account that a path names.
pub(super) fn account(context: &Context, id: &AccountId) -> Result<AccountView, Refusal> {
    context.sessions.get(id).ok_or_else(|| Refusal::no_account(id.as_str()))
}

/// Does a piece of work to its end, even if the caller goes away in the middle.
async fn to_the_end<T: Send + 'static>(
    context: &Context,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, Refusal> {
    context
        .tracker
        .spawn(work)
        .await
        .map_err(|error| Refusal::defect(&error))
}
