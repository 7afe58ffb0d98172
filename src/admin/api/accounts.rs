//! Accounts: list, create, look at, delete, start, stop, log out.
//!
//! In: ids and names. Out: accounts as the session room sees them. Must not know how any of it is done.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::refusal::Refusal;
use super::super::server::Context;
use super::body::Body;
use super::{account, account_id, to_the_end};
use crate::session::AccountView;

/// Characters of a name for people.
const NAME: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Create {
    id: Option<String>,
    name: Option<String>,
}

/// `GET /api/accounts`
pub(in super::super) async fn list(State(context): State<Arc<Context>>) -> Json<Value> {
    let accounts = context.sessions.list();
    Json(json!({"accounts": accounts, "max": context.config.borrow().accounts.max}))
}

/// `POST /api/accounts`
pub(in super::super) async fn create(
    State(context): State<Arc<Context>>,
    Body(wish): Body<Create>,
) -> Result<(StatusCode, Json<AccountView>), Refusal> {
    let id = wish.id.map(|id| account_id(Path(id))).transpose()?;
    let name = wish
        .name
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty());
    if name
        .as_ref()
        .is_some_and(|name| name.chars().count() > NAME || name.chars().any(char::is_control))
    {
        return Err(Refusal::bad_request(
            "BAD_NAME",
            format!("a name has at most {NAME} characters on one line"),
        ));
    }
    let sessions = context.sessions.clone();
    let view = to_the_end(&context, async move { sessions.create(id, name).await }).await??;
    Ok((StatusCode::CREATED, Json(view)))
}

/// `GET /api/accounts/{id}`
pub(in super::super) async fn one(
    State(context): State<Arc<Context>>,
    id: Path<String>,
) -> Result<Json<AccountView>, Refusal> {
    account(&context, &account_id(id)?).map(Json)
}

/// `DELETE /api/accounts/{id}`
pub(in super::super) async fn delete(
    State(context): State<Arc<Context>>,
    id: Path<String>,
) -> Result<StatusCode, Refusal> {
    let (id, sessions) = (account_id(id)?, context.sessions.clone());
    to_the_end(&context, async move { sessions.delete(&id).await }).await??;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /api/accounts/{id}/start`
pub(in super::super) async fn start(
    State(context): State<Arc<Context>>,
    id: Path<String>,
) -> Result<Json<AccountView>, Refusal> {
    let (id, sessions) = (account_id(id)?, context.sessions.clone());
    let which = id.clone();
    to_the_end(&context, async move { sessions.start(&which).await }).await??;
    account(&context, &id).map(Json)
}

/// `POST /api/accounts/{id}/stop`
pub(in super::super) async fn stop(
    State(context): State<Arc<Context>>,
    id: Path<String>,
) -> Result<Json<AccountView>, Refusal> {
    let (id, sessions) = (account_id(id)?, context.sessions.clone());
    let which = id.clone();
    to_the_end(&context, async move { sessions.stop(&which).await }).await??;
    account(&context, &id).map(Json)
}

/// `POST /api/accounts/{id}/logout`
pub(in super::super) async fn logout(
    State(context): State<Arc<Context>>,
    id: Path<String>,
) -> Result<Json<AccountView>, Refusal> {
    let (id, sessions) = (account_id(id)?, context.sessions.clone());
    let which = id.clone();
    to_the_end(&context, async move { sessions.logout(&which).await }).await??;
    account(&context, &id).map(Json)
}
