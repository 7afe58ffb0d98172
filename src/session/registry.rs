//! Which accounts there are, by id, and the calls that others make on them.
//!
//! In: the records of the store, the `[account.ID]` tables as they change, calls of the admin and of scripts. Out: views,
//! answers. Must not touch a tab itself, but for a picture.

use std::collections::BTreeMap;
use std::os::unix::fs::DirBuilderExt;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::{Mutex, mpsc, oneshot};

use crate::action::{ActOrder, DownloadOrder, Failure, FailureKind, File, Found, LookOrder, SendOrder, Sent, State};
use crate::event::AccountId;
use crate::media::Media;
use crate::page::Format;
use crate::store::{AccountRecord, Batch, Desired, Webhook};

use super::account::Account;
use super::actor::{Actor, COMMANDS, Command};
use super::tab::{Browsers, Opener};
use super::{AccountView, Deps, Error, PROFILES, Qr, Room, Snapshot, Tempo, acts, send};

/// The sessions of all accounts. A cheap handle: all clones are the same.
#[derive(Clone)]
pub struct Sessions(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) room: Arc<Room>,
    pub(super) accounts: RwLock<BTreeMap<AccountId, Arc<Account>>>,
    /// Making, deleting and declaring happen one after another: the limit is counted then.
    pub(super) changing: Mutex<()>,
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.list().iter().map(|view| (view.id.clone(), view.state)))
            .finish()
    }
}

impl Sessions {
    /// Reads the accounts, finishes deletes that were cut off, makes the accounts that `[account.ID]` declares, and starts
    /// those that are to run. Follows the configuration from here on.
    ///
    /// # Errors
    /// [`Error::Open`] if the store cannot be read, [`Error::Profiles`] and [`Error::Media`] if their folders cannot be made.
    pub async fn open(deps: Deps) -> Result<Sessions, Error> {
        let opener = Arc::new(Browsers {
            tracker: deps.tracker.clone(),
        });
        Self::open_with(deps, opener, Tempo::default()).await
    }

    pub(super) async fn open_with(deps: Deps, opener: Arc<dyn Opener>, tempo: Tempo) -> Result<Sessions, Error> {
        let Deps {
            store,
            config,
            tracker,
            stop,
        } = deps;
        let profiles = config.borrow().data.dir.join(PROFILES);
        // For the owner alone: profiles are credentials.
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&profiles);
        made.map_err(|source| Error::Profiles { path: profiles, source })?;
        let records = store.accounts().await.map_err(Error::Open)?;
        let closing = stop.child_token();
        let media = Media::open(config.clone())?;
        tracker.spawn(media.clone().clean(closing.clone()));
        let room = Arc::new(Room {
            store,
            config,
            tracker,
            closing,
            opener,
            media,
            tempo,
        });
        let sessions = Sessions(Arc::new(Inner {
            room,
            accounts: RwLock::default(),
            changing: Mutex::default(),
        }));
        for record in records {
            let account = sessions.add(record);
            if account.record().desired == Desired::Deleting {
                tracing::info!(account = %account.id, "finishing a delete that was cut off");
                if let Err(error) = sessions.finish_delete(&account).await {
                    tracing::error!(%error, "the delete is tried again at the next start");
                }
            }
        }
        sessions.declare(None).await;
        for account in sessions.all() {
            if account.record().desired == Desired::Running {
                sessions.command(&account, Command::Start).await.ok();
            }
        }
        let following = sessions.clone();
        sessions
            .0
            .room
            .tracker
            .spawn(async move { following.follow_config().await });
        Ok(sessions)
    }

    /// All accounts, by id.
    #[must_use]
    pub fn list(&self) -> Vec<AccountView> {
        let config = self.0.room.config.borrow().clone();
        self.all().iter().map(|account| account.view(&config)).collect()
    }

    /// One account.
    #[must_use]
    pub fn get(&self, id: &AccountId) -> Option<AccountView> {
        self.find(id)
            .ok()
            .map(|account| account.view(&self.0.room.config.borrow()))
    }

    /// Starts it, also at the next starts of the host. One that is `unpaired`, `logged_out`, `blocked` or `failed` begins anew.
    ///
    /// # Errors
    /// [`Error::NoAccount`]; [`Error::Store`] if the wish cannot be kept.
    pub async fn start(&self, id: &AccountId) -> Result<AccountView, Error> {
        self.wish(id, Desired::Running, Command::Start).await
    }

    /// Ends its browser, and does not start it with the host. Returns when the browser has ended, which takes up to 10 s more
    /// after a fresh link.
    ///
    /// # Errors
    /// As [`Sessions::start`].
    pub async fn stop(&self, id: &AccountId) -> Result<AccountView, Error> {
        self.wish(id, Desired::Stopped, Command::Stop).await
    }

    async fn wish(
        &self,
        id: &AccountId,
        desired: Desired,
        command: impl FnOnce(oneshot::Sender<()>) -> Command,
    ) -> Result<AccountView, Error> {
        let account = self.find(id)?;
        if account.record().desired != desired {
            self.write(&account, "keep the wish", |record| record.desired = desired)
                .await?;
        }
        self.command(&account, command).await?;
        Ok(account.view(&self.0.room.config.borrow()))
    }

    /// Removes this device from the WhatsApp account. The state follows when the page has said so.
    ///
    /// # Errors
    /// [`Error::NoAccount`]; [`Error::NotRunning`] without an open page; [`Error::Page`] if the page did not do it.
    pub async fn logout(&self, id: &AccountId) -> Result<(), Error> {
        let account = self.find(id)?;
        if account.tab().is_none() {
            return Err(not_running(&account));
        }
        self.command(&account, Command::Logout).await?.map_err(Error::Page)
    }

    /// The code that waits to be scanned.
    ///
    /// # Errors
    /// [`Error::NoAccount`]; [`Error::NoQr`] if none waits.
    pub fn qr(&self, id: &AccountId) -> Result<Qr, Error> {
        let account = self.find(id)?;
        let state = account.status.borrow().state;
        account.with_qr(|qr| qr.clone()).ok_or(Error::NoQr {
            account: account.id.clone(),
            state,
        })
    }

    /// A picture of its page, taken now or, within a random time of `[browser] snapshot_interval`, the last one. Whoever passes
    /// it on looks at [`Snapshot::may_show_code`] first.
    ///
    /// # Errors
    /// [`Error::NoAccount`]; [`Error::NotRunning`] without an open page; [`Error::Page`] if the page gave none.
    pub async fn snapshot(&self, id: &AccountId, format: Format) -> Result<Snapshot, Error> {
        let account = self.find(id)?;
        let tab = account.tab().ok_or_else(|| not_running(&account))?;
        let interval = self.0.room.config.borrow().browser.snapshot_interval;
        let state = || account.status.borrow().state;
        Ok(account.pictures.take(tab.as_ref(), format, interval, state).await?)
    }

    /// Sets or removes its own webhook. The session does not notice.
    ///
    /// # Errors
    /// [`Error::NoAccount`]; [`Error::Declared`] if `[account.ID]` has one; [`Error::Store`] if it cannot be kept.
    pub async fn set_webhook(&self, id: &AccountId, webhook: Option<Webhook>) -> Result<(), Error> {
        let account = self.find(id)?;
        let is_declared = self
            .0
            .room
            .config
            .borrow()
            .account
            .get(id)
            .is_some_and(|declared| declared.webhook_url.is_some());
        if is_declared {
            return Err(Error::Declared {
                account: account.id.clone(),
            });
        }
        self.write(&account, "keep the webhook", |record| record.webhook = webhook)
            .await
    }

    /// Sends a message once: waits for the account and its turn up to the order's patience, and answers a second order with
    /// the key as the first one. Dropped while it waits it leaves nothing; later it goes on by itself.
    ///
    /// # Errors
    /// `no_account`; `not_connected` if the account did not become ready in time; `timeout` if its turn or the page's answer
    /// did not come in time; `rate_limited` if too many orders of the HTTP API wait; `refused`; `internal` if the store
    /// failed. After `timeout` and `internal` it may have been sent: an order with the same key finds out.
    pub async fn send(&self, order: SendOrder) -> Result<Sent, Failure> {
        let account = self.known(&order.account)?;
        Box::pin(send::send(&self.0.room, &account, order)).await
    }

    /// Does something that may be done twice, such as a reaction.
    ///
    /// # Errors
    /// As [`Sessions::send`], and `not_supported` where the page cannot do it at all.
    pub async fn act(&self, order: ActOrder) -> Result<(), Failure> {
        let account = self.known(&order.account)?;
        Box::pin(acts::act(&self.0.room, &account, order)).await
    }

    /// Looks something up in an account.
    ///
    /// # Errors
    /// As [`Sessions::act`].
    pub async fn look(&self, order: LookOrder) -> Result<Found, Failure> {
        let account = self.known(&order.account)?;
        Box::pin(acts::look(&self.0.room, &account, order)).await
    }

    /// The files that messages carry.
    #[must_use]
    pub fn media(&self) -> &Media {
        &self.0.room.media
    }

    /// Fetches the file that a message carries, and keeps it.
    ///
    /// # Errors
    /// As [`Sessions::act`]; `refused` also if it is too large, or if WhatsApp has it no more.
    pub async fn download(&self, order: DownloadOrder) -> Result<File, Failure> {
        let account = self.known(&order.account)?;
        Box::pin(acts::download(&self.0.room, &account, order)).await
    }

    fn known(&self, id: &AccountId) -> Result<Arc<Account>, Failure> {
        self.find(id).map_err(|error| Failure {
            kind: FailureKind::NoAccount,
            message: error.to_string(),
            account: Some(id.clone()),
        })
    }

    /// Ends every browser politely and waits for it.
    pub async fn close(&self) {
        self.0.room.closing.cancel();
        for account in self.all() {
            account.ended.cancelled().await;
        }
    }

    pub(super) fn all(&self) -> Vec<Arc<Account>> {
        self.0
            .accounts
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }

    pub(super) fn find(&self, id: &AccountId) -> Result<Arc<Account>, Error> {
        let accounts = self.0.accounts.read().unwrap_or_else(PoisonError::into_inner);
        accounts
            .get(id)
            .cloned()
            .ok_or_else(|| Error::NoAccount { account: id.clone() })
    }

    /// Takes an account in, stopped, with its actor at work.
    pub(super) fn add(&self, record: AccountRecord) -> Arc<Account> {
        let room = &self.0.room;
        let (sender, commands) = mpsc::channel(COMMANDS);
        let account = Arc::new(Account::new(record, &room.config, sender));
        let actor = Actor::new(Arc::clone(room), Arc::clone(&account), commands);
        room.tracker.spawn(actor.run());
        let mut accounts = self.0.accounts.write().unwrap_or_else(PoisonError::into_inner);
        accounts.insert(account.id.clone(), Arc::clone(&account));
        account
    }

    /// `[data]`, in force.
    pub(super) fn data(&self) -> crate::config::resolved::Data {
        self.0.room.config.borrow().data.clone()
    }

    /// Asks the actor and waits for its answer.
    pub(super) async fn command<T>(
        &self,
        account: &Account,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, Error> {
        let (done, answer) = oneshot::channel();
        let closing = || Error::Closing {
            account: account.id.clone(),
        };
        account.commands.send(command(done)).await.map_err(|_| closing())?;
        answer.await.map_err(|_| closing())
    }

    pub(super) async fn write(
        &self,
        account: &Account,
        step: &'static str,
        change: impl FnOnce(&mut AccountRecord) + Send,
    ) -> Result<(), Error> {
        let kept = account.commit(&self.0.room.store, Batch::default(), change).await;
        kept.map(|_| ()).map_err(|source| Error::Store {
            account: account.id.clone(),
            step,
            source,
        })
    }
}

fn not_running(account: &Account) -> Error {
    let state: State = account.status.borrow().state;
    Error::NotRunning {
        account: account.id.clone(),
        state,
    }
}
