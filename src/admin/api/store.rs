//! How the store is, and a backup of it.
//!
//! In: nothing, or a file's name. Out: room, sizes and the last backup; a backup that was made, by the control socket only, because
//! it writes where it is told. Must not show rows.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::refusal::Refusal;
use super::super::server::Context;
use crate::store::backup::Summary;

/// Where copies of profiles lie while a backup is made.
const COPIES: &str = "backup.copies";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Wanted {
    file: PathBuf,
    #[serde(default)]
    profiles: bool,
}

/// `GET /api/store`
pub(in super::super) async fn show(State(context): State<Arc<Context>>) -> Json<Value> {
    Json(json!({"store": context.store.health(), "last_backup": context.backups.last()}))
}

/// `POST /api/backup`
pub(in super::super) async fn back_up(
    State(context): State<Arc<Context>>,
    wanted: Result<Json<Wanted>, JsonRejection>,
) -> Result<Json<Summary>, Refusal> {
    let Json(wanted) = wanted.map_err(|error| Refusal::bad_request("BAD_REQUEST", error.body_text()))?;
    if !wanted.file.is_absolute() {
        return Err(Refusal::bad_request("BAD_REQUEST", "`file` is not an absolute path"));
    }
    let this = Arc::clone(&context);
    // To its end, also if the caller goes away: an account may be resting for it.
    let made = super::to_the_end(&context, async move {
        let copies = this.config.borrow().data.dir.join(COPIES);
        let folders = if wanted.profiles {
            this.sessions.copy_profiles(&copies).await?
        } else {
            Vec::new()
        };
        let made = this.backups.make(&wanted.file, folders).await;
        if wanted.profiles {
            // What stays is removed by the next one.
            tokio::fs::remove_dir_all(&copies).await.ok();
        }
        Ok::<_, crate::session::Error>(made)
    });
    made.await??
        .map(Json)
        .map_err(|error| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "NO_BACKUP", error.to_string()))
}
