//! An account's own webhook.
//!
//! In: an address, and a secret or none. Out: the address, and once the secret if one was made here. It has no effect on
//! the session. Must not show a secret that it did not just make.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::refusal::Refusal;
use super::super::server::Context;
use super::body::Body;
use super::{account, account_id, to_the_end};
use crate::config::Secret;
use crate::http;
use crate::store::Webhook;
use crate::webhook::sign;

/// Bytes of an address.
const URL: usize = 2_048;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Wish {
    /// `null` takes the webhook away. It must be there: who forgets it has not asked for that.
    #[serde(deserialize_with = "Option::deserialize")]
    webhook_url: Option<String>,
    secret: Option<String>,
}

/// `PUT /api/accounts/{id}/webhook`
pub(in super::super) async fn set(
    State(context): State<Arc<Context>>,
    id: Path<String>,
    Body(wish): Body<Wish>,
) -> Result<Json<Value>, Refusal> {
    let id = account_id(id)?;
    account(&context, &id)?;
    let url = wish.webhook_url.map(|url| url.trim().to_owned());
    let mut made = None;
    let webhook = match url.clone() {
        None => None,
        Some(url) => {
            if url.len() > URL {
                return Err(Refusal::bad_request(
                    "BAD_URL",
                    format!("an address has at most {URL} bytes"),
                ));
            }
            http::check_url(&url).map_err(|error| Refusal::bad_request("BAD_URL", error.detail()))?;
            let secret = match wish.secret {
                Some(given) => Secret::new(given),
                None => match kept(&context, &id).await? {
                    Some(kept) => kept,
                    None => {
                        let new = sign::new_secret().map_err(|error| Refusal::defect(&error))?;
                        made = Some(new.reveal().to_owned());
                        new
                    }
                },
            };
            sign::Key::parse(&secret).map_err(|error| Refusal::bad_request("BAD_SECRET", error.to_string()))?;
            Some(Webhook { url, secret })
        }
    };
    let (sessions, which) = (context.sessions.clone(), id.clone());
    to_the_end(&context, async move { sessions.set_webhook(&which, webhook).await }).await??;
    let mut answer = json!({"webhook_url": url});
    if let Some(secret) = made {
        answer["secret"] = Value::from(secret);
    }
    Ok(Json(answer))
}

/// The secret that the account has: a changed address does not change it.
async fn kept(context: &Context, id: &crate::event::AccountId) -> Result<Option<Secret>, Refusal> {
    let records = context.store.accounts().await?;
    let record = records.into_iter().find(|record| record.id == *id);
    Ok(record.and_then(|record| record.webhook).map(|webhook| webhook.secret))
}
