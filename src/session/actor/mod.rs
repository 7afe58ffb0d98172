//! The actor of one account: it alone opens and closes the browser and says how the account stands.
//!
//! In: [`Command`]s of the registry, [`Notice`]s of the tab, round trips through the page, deadlines. Out: the published status,
//! the tab for sends and pictures, the `account.*` events. What follows from what is the machine's; here it is carried out.
//! Must not end before its browser has.

mod heard;
mod publish;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use crate::page::{self, PageStatus};
use crate::store::NewEvent;

use crate::session::Room;
use crate::session::account::Account;
use crate::session::ingest::Notice;
use crate::session::machine::{Effect, Machine, Millis, Moment, OPENING, Seen};
use crate::session::open_tab::OpenTab;
use crate::session::qr::Codes;
use crate::session::tab::{Opened, Wanted};

/// Commands that may wait; with more the caller waits.
pub(super) const COMMANDS: usize = 16;
/// Events that wait for the store to come back; with more the oldest are given up, the status stays true.
const UNSAVED: usize = 64;

/// What the registry asks of an actor.
#[derive(Debug)]
pub(super) enum Command {
    /// To run.
    Start(oneshot::Sender<()>),
    /// To stop.
    Stop(oneshot::Sender<()>),
    /// To rest without a browser until [`Command::Start`], although it is wished to run.
    Pause(oneshot::Sender<()>),
    /// To remove this device from the account.
    Logout(oneshot::Sender<Result<(), page::Error>>),
    /// To end the browser and itself: the account is deleted, its link need not be kept.
    Delete,
}

type Opening = BoxFuture<'static, Result<Opened, page::Error>>;
type Probing = BoxFuture<'static, Result<PageStatus, page::Error>>;

/// The actor.
pub(super) struct Actor {
    room: Arc<Room>,
    account: Arc<Account>,
    commands: mpsc::Receiver<Command>,
    machine: Machine,
    started: Instant,
    opening: Option<Opening>,
    tab: Option<OpenTab>,
    probing: Option<Probing>,
    next_probe: Instant,
    codes: Codes,
    /// When the page showed a code last, in milliseconds since 1970: a link is younger than that.
    unlinked_at: Option<i64>,
    unsaved: VecDeque<NewEvent>,
}

/// What the loop waits for.
enum Turn {
    Command(Option<Command>),
    Closing,
    Opened(Result<Opened, page::Error>),
    Notice(Option<Notice>),
    Probed(Box<Result<PageStatus, page::Error>>),
    Probe,
    Due,
    Save,
}

impl Actor {
    pub(super) fn new(room: Arc<Room>, account: Arc<Account>, commands: mpsc::Receiver<Command>) -> Self {
        Self {
            room,
            account,
            commands,
            machine: Machine::new(),
            started: Instant::now(),
            opening: None,
            tab: None,
            probing: None,
            next_probe: Instant::now(),
            codes: Codes::default(),
            unlinked_at: None,
            unsaved: VecDeque::new(),
        }
    }

    /// Runs until the account is deleted or the host closes; the browser has ended then.
    pub(super) async fn run(mut self) {
        // Also if it panics: who waits for its end must not wait for ever.
        let _ended = self.account.ended.clone().drop_guard();
        loop {
            match self.next().await {
                Turn::Command(Some(Command::Start(done))) => {
                    self.codes = Codes::default();
                    self.see(Seen::Start).await;
                    // Whoever asked may have gone.
                    done.send(()).ok();
                }
                Turn::Command(Some(Command::Stop(done))) => {
                    self.see(Seen::Stop("by_wish")).await;
                    done.send(()).ok();
                }
                Turn::Command(Some(Command::Pause(done))) => {
                    self.see(Seen::Stop("backup")).await;
                    done.send(()).ok();
                }
                Turn::Command(Some(Command::Logout(done))) => self.logout(done),
                Turn::Command(None | Some(Command::Delete)) => {
                    *self
                        .account
                        .linked
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner) = None;
                    self.end("deleted").await;
                    break;
                }
                Turn::Closing => {
                    self.end("host_closing").await;
                    break;
                }
                Turn::Opened(opened) => self.opened(opened).await,
                Turn::Notice(Some(notice)) => self.notice(notice).await,
                Turn::Notice(None) => self.gone("its reports ended".to_owned()).await,
                Turn::Probed(answer) => self.probed(*answer).await,
                Turn::Probe => self.probe(),
                Turn::Due => self.see(Seen::Due).await,
                Turn::Save => self.save(Vec::new()).await,
            }
        }
    }

    async fn next(&mut self) -> Turn {
        let due = self
            .machine
            .deadline()
            .map(|at| self.started + Duration::from_millis(at));
        let save = (!self.unsaved.is_empty()).then_some(self.room.tempo.save_again);
        let may_probe = self.tab.is_some() && self.probing.is_none();
        tokio::select! {
            command = self.commands.recv() => Turn::Command(command),
            () = self.room.closing.cancelled() => Turn::Closing,
            opened = pending_or(&mut self.opening) => { self.opening = None; Turn::Opened(opened) }
            notice = notice_of(&mut self.tab) => Turn::Notice(notice),
            answer = pending_or(&mut self.probing) => { self.probing = None; Turn::Probed(Box::new(answer)) }
            () = sleep_until(self.next_probe), if may_probe => Turn::Probe,
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => Turn::Due,
            () = tokio::time::sleep(save.unwrap_or_default()), if save.is_some() => Turn::Save,
        }
    }

    /// Shows an observation to the machine, publishes what changed, and does what follows.
    async fn see(&mut self, seen: Seen) {
        let before = (self.machine.state(), self.machine.reason().map(ToOwned::to_owned));
        let now = Millis::try_from(self.started.elapsed().as_millis()).unwrap_or(Millis::MAX);
        let effects = self.machine.see(
            seen,
            Moment {
                now,
                luck: 0.8 + 0.4 * crate::session::chance(),
            },
        );
        self.publish(before).await;
        for effect in effects {
            match effect {
                Effect::Open => self.open(),
                Effect::Close => self.close().await,
                Effect::Probe => self.next_probe = Instant::now(),
                Effect::Reload => {
                    self.in_background("reload the page", |tab| async move { tab.reload().await }.boxed())
                }
                Effect::RefreshQr => {
                    self.in_background("ask for a QR code", |tab| async move { tab.refresh_qr().await }.boxed());
                }
            }
        }
    }

    fn open(&mut self) {
        let config = self.room.config.borrow().clone();
        let profile = self.account.profile(&config.data);
        let wanted = Wanted {
            account: self.account.id.clone(),
            profile,
            config,
        };
        let opening = self.room.opener.open(wanted);
        let account = self.account.id.clone();
        // The opener has a shorter deadline of its own, at which it ends what it has started. Should it not come back at
        // all, this one goes on without it.
        self.opening = Some(
            async move {
                let after = Duration::from_millis(OPENING);
                let late = page::Error::Deadline {
                    account,
                    step: "open a browser",
                    after,
                };
                timeout(after, opening).await.unwrap_or(Err(late))
            }
            .boxed(),
        );
    }

    async fn opened(&mut self, opened: Result<Opened, page::Error>) {
        match opened {
            Ok((tab, reports)) => {
                self.tab = Some(OpenTab::new(&self.room, &self.account, tab, reports));
                self.next_probe = Instant::now();
                self.show_tab();
                self.see(Seen::Opened).await;
            }
            Err(error) => {
                tracing::warn!(account = %self.account.id, %error, "the browser could not be opened");
                let lasting = is_lasting(&error);
                self.see(Seen::NotOpened {
                    reason: error.to_string(),
                    lasting,
                })
                .await;
            }
        }
    }

    async fn close(&mut self) {
        // A link that was just made is lost with a browser that ends before it has written it out.
        let rest = self
            .account
            .linked_for()
            .and_then(|age| self.room.tempo.link_kept.checked_sub(age));
        self.end_tab(rest.unwrap_or_default()).await;
    }

    /// The browser ended by itself. What is left of it is ended too, so that nothing holds the profile.
    async fn gone(&mut self, how: String) {
        self.end_tab(Duration::ZERO).await;
        self.see(Seen::Gone(how)).await;
    }

    async fn end_tab(&mut self, wait: Duration) {
        self.probing = None;
        let Some(open) = self.tab.take() else { return };
        self.show_tab();
        self.account.status.send_modify(|status| status.proof = None);
        open.close(&self.account, wait).await;
    }

    async fn end(&mut self, why: &'static str) {
        self.see(Seen::Stop(why)).await;
        if let Some(opening) = self.opening.take() {
            let opened = opening.await;
            self.opened(opened).await;
        }
    }

    fn logout(&self, done: oneshot::Sender<Result<(), page::Error>>) {
        let Some(open) = &self.tab else {
            let gone = page::Error::Gone {
                account: self.account.id.clone(),
                step: "log out",
            };
            done.send(Err(gone)).ok();
            return;
        };
        let tab = Arc::clone(&open.tab);
        self.room
            .tracker
            .spawn(async move { done.send(tab.logout().await).ok() });
    }

    /// Asks something of the page that has its own deadline and is followed by a notice if it worked.
    fn in_background(
        &self,
        step: &'static str,
        ask: impl FnOnce(Arc<dyn crate::session::tab::Tab>) -> BoxFuture<'static, Result<(), page::Error>>,
    ) {
        let Some(open) = &self.tab else { return };
        let (asked, account) = (ask(Arc::clone(&open.tab)), self.account.id.clone());
        self.room.tracker.spawn(async move {
            if let Err(error) = asked.await {
                tracing::warn!(%account, %error, "cannot {step}");
            }
        });
    }
}

/// Another try would end the same until a person changes something.
fn is_lasting(error: &page::Error) -> bool {
    use page::Error::{
        BadBrowser, BadUrl, LibraryMissing, NoBrowser, NotTheLibrary, Orphan, Profile, ProfileInUse, SandboxAsRoot,
    };
    matches!(
        error,
        LibraryMissing { .. }
            | NotTheLibrary { .. }
            | NoBrowser { .. }
            | BadBrowser { .. }
            | SandboxAsRoot
            | BadUrl { .. }
            | Profile { .. }
            | ProfileInUse { .. }
            | Orphan { .. }
    )
}

async fn pending_or<T>(future: &mut Option<BoxFuture<'static, T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

async fn notice_of(tab: &mut Option<OpenTab>) -> Option<Notice> {
    match tab {
        Some(open) => open.notices.recv().await,
        None => std::future::pending().await,
    }
}
