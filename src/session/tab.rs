//! The seam to the page room: what a session asks of a tab, and how one is opened.
//!
//! In: calls of the actor, of sends and of the sweep. Out: `page::Tab`, called. A trait only because the order of crashes and
//! commits in a send has to be tested without a browser. Must not add anything of its own.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use hyper::body::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::action::{Act, Content, Found, Look};
use crate::config::Config;
use crate::event::{AccountId, Message};
use crate::page::{
    self, Begun, ChatSummary, Error, Fetched, Format, Launch, Library, Ordered, PageStatus, Report, Resolved,
};

/// How long a profile may still be locked after its tab was closed, and how often to look: a call to a page has at most 25 s.
const LOCKED: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(200);

/// What a call of a tab answers.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, Error>>;

/// An open tab; each call is that of [`page::Tab`] with its name.
#[expect(missing_docs, reason = "see above")]
pub trait Tab: Send + Sync {
    fn ack<'a>(&'a self, page_id: &'a str, page_seq: u64) -> Answer<'a, ()>;
    fn status(&self) -> Answer<'_, PageStatus>;
    fn resolve<'a>(&'a self, to: &'a str) -> Answer<'a, Resolved>;
    fn order<'a>(&'a self, message_id: &'a str, chat: &'a str, content: &'a Content) -> Answer<'a, Ordered>;
    fn put<'a>(&'a self, message_id: &'a str, bytes: &'a Bytes) -> Answer<'a, ()>;
    fn fetch<'a>(&'a self, message_id: &'a str, most: u64) -> Answer<'a, Fetched>;
    fn ask<'a>(&'a self, page_id: &'a str, message_id: &'a str) -> Answer<'a, Begun>;
    fn find_message<'a>(&'a self, chat: &'a str, message_id: &'a str) -> Answer<'a, Option<i64>>;
    fn chats(&self, limit: usize) -> Answer<'_, Vec<ChatSummary>>;
    fn history<'a>(&'a self, chat: &'a str, until_ms: i64, limit: usize) -> Answer<'a, Vec<Message>>;
    fn act<'a>(&'a self, act: &'a Act) -> Answer<'a, ()>;
    fn look<'a>(&'a self, look: &'a Look) -> Answer<'a, Found>;
    fn refresh_qr(&self) -> Answer<'_, ()>;
    fn snapshot(&self, format: Format) -> Answer<'_, Vec<u8>>;
    fn reload(&self) -> Answer<'_, ()>;
    fn logout(&self) -> Answer<'_, ()>;
    fn close(&self) -> Answer<'_, ()>;
}

/// Which tab to open.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Whose.
    pub account: AccountId,
    /// The folder of its profile.
    pub profile: PathBuf,
    /// The configuration in force.
    pub config: Arc<Config>,
}

/// An open tab and what it reports.
pub type Opened = (Arc<dyn Tab>, mpsc::Receiver<Report>);

/// Opens tabs.
pub trait Opener: Send + Sync {
    /// Opens one; its last report is `Gone`, or its reports just end after `Tab::close`.
    fn open(&self, wanted: Wanted) -> BoxFuture<'static, Result<Opened, Error>>;

    /// Ends what an earlier host left running on a profile.
    fn clear(&self, account: AccountId, profile: PathBuf) -> BoxFuture<'static, Result<(), Error>>;
}

/// Opens real browsers.
pub(super) struct Browsers {
    pub(super) tracker: TaskTracker,
}

impl Opener for Browsers {
    fn open(&self, wanted: Wanted) -> BoxFuture<'static, Result<Opened, Error>> {
        let tracker = self.tracker.clone();
        async move {
            let Wanted {
                account,
                profile,
                config,
            } = wanted;
            let path = config.whatsapp.library.clone();
            // Read at each start, so that a newer build that was dropped in is used without a restart of the host.
            let read = tokio::task::spawn_blocking(move || Library::read(&path));
            let library = read
                .await
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
            let own = config.account.get(&account).and_then(|own| own.browser);
            let launch = Launch {
                account,
                profile,
                kind: own.unwrap_or(config.browser.kind),
                browser: config.browser.clone(),
                url: config.whatsapp.url.clone(),
                library,
            };
            let (tab, reports) = once_free(|| page::Tab::open(launch.clone(), &tracker)).await?;
            Ok((Arc::new(tab) as Arc<dyn Tab>, reports))
        }
        .boxed()
    }

    fn clear(&self, account: AccountId, profile: PathBuf) -> BoxFuture<'static, Result<(), Error>> {
        async move { once_free(|| page::Tab::end_leftover(&account, &profile)).await }.boxed()
    }
}

/// A profile is locked as long as anybody has a handle on its last tab: a send, say, that is just learning that it is gone.
async fn once_free<T, F: Future<Output = Result<T, Error>>>(attempt: impl Fn() -> F) -> Result<T, Error> {
    let until = Instant::now() + LOCKED;
    loop {
        match attempt().await {
            Err(Error::ProfileInUse { .. }) if Instant::now() < until => tokio::time::sleep(LOOK).await,
            other => return other,
        }
    }
}

impl Tab for page::Tab {
    fn ack<'a>(&'a self, page_id: &'a str, page_seq: u64) -> Answer<'a, ()> {
        page::Tab::ack(self, page_id, page_seq).boxed()
    }

    fn status(&self) -> Answer<'_, PageStatus> {
        page::Tab::status(self).boxed()
    }

    fn resolve<'a>(&'a self, to: &'a str) -> Answer<'a, Resolved> {
        page::Tab::resolve(self, to).boxed()
    }

    fn order<'a>(&'a self, message_id: &'a str, chat: &'a str, content: &'a Content) -> Answer<'a, Ordered> {
        page::Tab::order(self, message_id, chat, content).boxed()
    }

    fn put<'a>(&'a self, message_id: &'a str, bytes: &'a Bytes) -> Answer<'a, ()> {
        page::Tab::put(self, message_id, bytes).boxed()
    }

    fn fetch<'a>(&'a self, message_id: &'a str, most: u64) -> Answer<'a, Fetched> {
        page::Tab::fetch(self, message_id, most).boxed()
    }

    fn ask<'a>(&'a self, page_id: &'a str, message_id: &'a str) -> Answer<'a, Begun> {
        page::Tab::ask(self, page_id, message_id).boxed()
    }

    fn find_message<'a>(&'a self, chat: &'a str, message_id: &'a str) -> Answer<'a, Option<i64>> {
        page::Tab::find_message(self, chat, message_id).boxed()
    }

    fn chats(&self, limit: usize) -> Answer<'_, Vec<ChatSummary>> {
        page::Tab::chats(self, limit).boxed()
    }

    fn history<'a>(&'a self, chat: &'a str, until_ms: i64, limit: usize) -> Answer<'a, Vec<Message>> {
        page::Tab::history(self, chat, until_ms, limit).boxed()
    }

    fn act<'a>(&'a self, act: &'a Act) -> Answer<'a, ()> {
        page::Tab::act(self, act).boxed()
    }

    fn look<'a>(&'a self, look: &'a Look) -> Answer<'a, Found> {
        page::Tab::look(self, look).boxed()
    }

    fn refresh_qr(&self) -> Answer<'_, ()> {
        page::Tab::refresh_qr(self).boxed()
    }

    fn snapshot(&self, format: Format) -> Answer<'_, Vec<u8>> {
        page::Tab::snapshot(self, format).boxed()
    }

    fn reload(&self) -> Answer<'_, ()> {
        page::Tab::reload(self).boxed()
    }

    fn logout(&self) -> Answer<'_, ()> {
        page::Tab::logout(self).boxed()
    }

    fn close(&self) -> Answer<'_, ()> {
        page::Tab::close(self).boxed()
    }
}
