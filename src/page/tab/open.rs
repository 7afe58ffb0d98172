//! Opening a tab: profile, browser, connection, page, in this order, within one deadline.
//!
//! In: a [`Launch`]. Out: a [`Tab`] and its reports, or an error and nothing left running. Must not ask the page anything.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Inner, Tab};
use crate::event::AccountId;
use crate::page::connection::Connection;
use crate::page::process::Process;
use crate::page::profile::Profile;
use crate::page::report::{REPORTS, Report};
use crate::page::{Error, Launch, bridge, executable, flags, orphan, process};

/// For all of opening: shorter than a session waits, because who gives up on it half way would leave a browser behind.
const OPEN: Duration = Duration::from_secs(90);

impl Tab {
    /// Opens the tab: closes what an earlier host left on the profile, starts a browser, puts everything in place and
    /// goes to the page. Takes 1 to 2 s, at most 2 minutes. That the page could be loaded is not part of it: see
    /// `PageStatus::load_error`. The tab's tasks run on `tracker`.
    ///
    /// # Errors
    /// Any of [`Error`] that concerns profile, browser and connection. Nothing is left running then.
    pub async fn open(launch: Launch, tracker: &TaskTracker) -> Result<(Tab, mpsc::Receiver<Report>), Error> {
        Tab::open_within(OPEN, launch, tracker).await
    }

    async fn open_within(
        after: Duration,
        launch: Launch,
        tracker: &TaskTracker,
    ) -> Result<(Tab, mpsc::Receiver<Report>), Error> {
        let started = process::Started::default();
        let opening = Box::pin(Tab::opening(&launch, &started, tracker));
        if let Ok(opened) = timeout(after, opening).await {
            return opened;
        }
        if let Some(group) = started.group() {
            process::end_group(group, false).await;
        }
        Err(Error::Deadline {
            account: launch.account,
            step: "open a browser",
            after,
        })
    }

    async fn opening(
        launch: &Launch,
        started: &process::Started,
        tracker: &TaskTracker,
    ) -> Result<(Tab, mpsc::Receiver<Report>), Error> {
        let target = flags::Target::parse(&launch.url)?;
        let profile = Profile::open(&launch.account, &launch.profile)?;
        let found = executable::find(
            launch.browser.executable.as_deref(),
            launch.kind,
            launch.browser.sandbox,
        )
        .await?;
        orphan::reap(&launch.account, &profile).await?;
        let arguments = flags::arguments(&found, &target, launch.browser.sandbox, profile.path());
        let process = process::start(&launch.account, &found, &arguments, &profile, started, tracker).await?;
        match Box::pin(Tab::attach(launch, &found, target, process.clone(), profile, tracker)).await {
            Ok(opened) => Ok(opened),
            Err(error) => {
                // A browser that is not asked may not have written all it knows.
                let asked = orphan::ask(process.address()).await;
                process.end(asked).await;
                Err(error)
            }
        }
    }

    /// Ends a browser that an earlier host left on a profile, so that the folder can be removed. Without such a folder there is
    /// nothing to do.
    ///
    /// # Errors
    /// [`Error::ProfileInUse`], [`Error::Profile`]; [`Error::Orphan`] if the browser does not end.
    pub async fn end_leftover(account: &AccountId, profile: &Path) -> Result<(), Error> {
        if !profile.exists() {
            return Ok(());
        }
        let profile = Profile::open(account, profile)?;
        orphan::reap(account, &profile).await
    }

    async fn attach(
        launch: &Launch,
        found: &executable::Executable,
        target: flags::Target,
        process: Process,
        profile: Profile,
        tracker: &TaskTracker,
    ) -> Result<(Tab, mpsc::Receiver<Report>), Error> {
        let closing = CancellationToken::new();
        let connection = Connection::open(&launch.account, &process, closing.clone(), tracker).await?;
        let attached = connection.attach(found, &launch.library).await?;
        let (sender, receiver) = mpsc::channel(REPORTS);
        bridge::run(
            bridge::Sources {
                account: launch.account.clone(),
                calls: attached.calls().await?,
                crashes: attached.crashes().await?,
                exited: process.exited(),
                lost: connection.lost(),
                closing: closing.clone(),
            },
            sender,
            tracker,
        );
        let tab = Tab(Arc::new(Inner {
            account: launch.account.clone(),
            url: launch.url.clone(),
            target,
            attached,
            connection,
            process,
            closing,
            ending: tokio::sync::Mutex::new(()),
            profile,
        }));
        tab.0.attached.navigate(&tab.0.url).await?;
        Ok((tab, receiver))
    }
}

#[cfg(test)]
mod tests;
