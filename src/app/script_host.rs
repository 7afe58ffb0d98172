//! What scripts ask of the rest of the host, handed on to the rooms that do it.
//!
//! In: calls of the script room. Out: answers of sessions, media and the outbound client. Must not do any room's work.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use hyper::body::Bytes;
use tokio::sync::watch;

use crate::action::{ActOrder, DownloadOrder, Failure, FailureKind, File, Found, LookOrder, SendOrder, Sent};
use crate::config::Config;
use crate::event::AccountId;
use crate::script::{self, AccountState, Made};
use crate::session::Sessions;
use crate::{http, media};

/// The host as scripts see it.
pub(super) struct ScriptHost {
    pub(super) client: http::Client,
    pub(super) sessions: Sessions,
    pub(super) config: watch::Receiver<Arc<Config>>,
}

fn of_media(error: &media::Error) -> Failure {
    Failure {
        kind: match error {
            media::Error::Disk { .. } => FailureKind::Internal,
            media::Error::TooLarge { .. } | media::Error::Gone { .. } => FailureKind::Refused,
        },
        message: error.to_string(),
        account: None,
    }
}

impl script::Host for ScriptHost {
    fn send(&self, order: SendOrder) -> BoxFuture<'static, Result<Sent, Failure>> {
        let sessions = self.sessions.clone();
        async move { sessions.send(order).await }.boxed()
    }

    fn act(&self, order: ActOrder) -> BoxFuture<'static, Result<(), Failure>> {
        let sessions = self.sessions.clone();
        async move { sessions.act(order).await }.boxed()
    }

    fn look(&self, order: LookOrder) -> BoxFuture<'static, Result<Found, Failure>> {
        let sessions = self.sessions.clone();
        async move { sessions.look(order).await }.boxed()
    }

    fn download(&self, order: DownloadOrder) -> BoxFuture<'static, Result<File, Failure>> {
        let sessions = self.sessions.clone();
        async move { sessions.download(order).await }.boxed()
    }

    fn keep(&self, file: Made) -> BoxFuture<'static, Result<File, Failure>> {
        let media = self.sessions.media().clone();
        async move {
            let kept = media.keep(file.bytes, file.mimetype, file.filename).await;
            kept.map_err(|error| of_media(&error))
        }
        .boxed()
    }

    fn read(&self, file: File) -> BoxFuture<'static, Result<Bytes, Failure>> {
        let media = self.sessions.media().clone();
        async move { media.read(&file).await.map_err(|error| of_media(&error)) }.boxed()
    }

    fn account(&self, id: &str) -> Option<AccountState> {
        let id: AccountId = id.parse().ok()?;
        let view = self.sessions.get(&id)?;
        Some(AccountState {
            state: view.state,
            reason: view.reason,
            since: view.since,
            proof_age: view.proof_age_ms,
        })
    }

    fn http(
        &self,
        method: hyper::Method,
        request: http::Request,
    ) -> BoxFuture<'static, Result<http::Response, http::Error>> {
        let client = self.client.clone();
        async move { client.send(method, request).await }.boxed()
    }

    fn has_endpoint(&self, name: &str) -> bool {
        let Some(account) = name.strip_prefix("account:") else {
            return self.config.borrow().endpoint.contains_key(name);
        };
        let id = account.parse::<AccountId>().ok();
        id.and_then(|id| self.sessions.get(&id))
            .is_some_and(|view| view.webhook_url.is_some())
    }
}
