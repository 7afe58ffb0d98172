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
use crate::store::{self, backup::Summary};

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
        let turn = this.backups.begin()?;
        let copies = this.backups.copies();
        let folders = if wanted.profiles {
            this.sessions.copy_profiles(&copies).await
        } else {
            Ok(Vec::new())
        };
        let made = match folders {
            Ok(folders) => this
                .backups
                .make(&turn, &wanted.file, folders)
                .await
                .map_err(Into::into),
            Err(error) => {
                this.backups.failed(&wanted.file, &error);
                Err(NotMade(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
            }
        };
        if wanted.profiles {
            store::backup::remove_copies(&copies).await;
        }
        made
    });
    made.await?
        .map(Json)
        .map_err(|NotMade(status, why)| Refusal::new(status, "NO_BACKUP", why))
}

/// Why there is no backup.
struct NotMade(StatusCode, String);

impl From<store::Error> for NotMade {
    fn from(error: store::Error) -> Self {
        let status = match error {
            store::Error::Busy { .. } => StatusCode::CONFLICT,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self(status, error.to_string())
    }
}
