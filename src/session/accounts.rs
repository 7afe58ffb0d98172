//! Making and deleting accounts, and those that the configuration declares.
//!
//! In: calls of the admin, `[account.ID]` tables. Out: records in the store, profile folders on disk. A delete is written down first
//! and finished at the next start if it was cut off. Must not remove a folder that a browser still uses.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use crate::config::Config;
use crate::event::AccountId;
use crate::store::{AccountRecord, Batch, Desired, KvOp, KvWrite};

use super::account::{Account, Live};
use super::actor::Command;
use super::registry::Sessions;
use super::{AccountView, Error};

impl Sessions {
    /// Makes an account and starts it; without an id, with one made up.
    ///
    /// # Errors
    /// [`Error::Limit`] if there are as many as `[accounts] max`; [`Error::Exists`]; [`Error::Store`].
    pub async fn create(&self, id: Option<AccountId>, name: Option<String>) -> Result<AccountView, Error> {
        let account = {
            let _changing = self.0.changing.lock().await;
            let id = id.unwrap_or_else(made_up);
            self.make(id, name).await?
        };
        self.command(&account, Command::Start).await?;
        Ok(account.view(&self.0.room.config.borrow()))
    }

    /// Deletes an account: ends its browser, removes profile and record, frees its place. What was begun and not finished is
    /// finished by another call, or at the next start.
    ///
    /// # Errors
    /// [`Error::NoAccount`]; [`Error::Declared`] while `[account.ID]` stands in the configuration, which would make it again;
    /// [`Error::Page`] if its browser does not end; [`Error::Folder`]; [`Error::Store`].
    pub async fn delete(&self, id: &AccountId) -> Result<(), Error> {
        let _changing = self.0.changing.lock().await;
        let account = self.find(id)?;
        if self.0.room.config.borrow().account.contains_key(id) {
            return Err(Error::Declared { account: id.clone() });
        }
        self.write(&account, "write down the delete", |record| record.desired = Desired::Deleting).await?;
        self.finish_delete(&account).await
    }

    /// Everything of a delete but the note that it is wanted.
    pub(super) async fn finish_delete(&self, account: &Arc<Account>) -> Result<(), Error> {
        let id = &account.id;
        // An actor that has ended already does not hear it.
        account.commands.send(Command::Delete).await.ok();
        account.ended.cancelled().await;
        account.live.send_replace(Live::Deleted);
        account.pictures.forget().await;
        let profile = account.profile(&self.0.room.config.borrow().data);
        self.0.room.opener.clear(id.clone(), profile.clone()).await?;
        match tokio::fs::remove_dir_all(&profile).await {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::Folder { account: id.clone(), step: "remove the profile", path: profile, source });
            }
            _ => {}
        }
        self.forget(id).await.map_err(|source| Error::Store { account: id.clone(), step: "remove the record", source })?;
        self.0.accounts.write().unwrap_or_else(PoisonError::into_inner).remove(id);
        tracing::info!(account = %id, "deleted, with its profile");
        Ok(())
    }

    /// Removes the record and what the room keeps of the account. Who sent which message expires by itself.
    async fn forget(&self, id: &AccountId) -> Result<(), crate::store::Error> {
        let store = &self.0.room.store;
        let space = super::session_space(id);
        let kept = store.kv_list(&space, "", 100).await?;
        let delete = |key: String| KvWrite { space: space.clone(), key, op: KvOp::Delete, expires_at: None };
        let kv = kept.into_iter().map(|(key, _)| delete(key)).collect();
        let batch = Batch { accounts: vec![(id.clone(), None)], kv, ..Batch::default() };
        store.commit(batch).await.map(|_| ())
    }

    /// Makes the accounts that `[account.ID]` declares and that are not there, and stops those whose table was removed since
    /// `before`.
    pub(super) async fn declare(&self, before: Option<&Config>) {
        let _changing = self.0.changing.lock().await;
        let config = self.0.room.config.borrow().clone();
        for id in config.account.keys() {
            if self.find(id).is_ok() {
                continue;
            }
            match self.make(id.clone(), None).await {
                Ok(account) => {
                    self.command(&account, Command::Start).await.ok();
                }
                Err(error) => tracing::error!(account = %id, %error, "[account.{id}] declares an account that cannot be made"),
            }
        }
        let none = BTreeMap::new();
        for id in before.map_or(&none, |before| &before.account).keys() {
            if !config.account.contains_key(id) && self.find(id).is_ok() {
                tracing::info!(account = %id, "its table was removed from the configuration: stopping it, nothing is deleted");
                if let Err(error) = self.stop(id).await {
                    tracing::error!(account = %id, %error, "it could not be stopped");
                }
            }
        }
    }

    /// Follows the `[account.ID]` tables until the room closes.
    pub(super) async fn follow_config(&self) {
        let mut changes = self.0.room.config.clone();
        let mut before = changes.borrow_and_update().clone();
        // What changed before this task came to it.
        self.declare(None).await;
        loop {
            tokio::select! {
                () = self.0.room.closing.cancelled() => return,
                changed = changes.changed() => if changed.is_err() { return },
            }
            let now = changes.borrow_and_update().clone();
            if now.account != before.account || now.accounts != before.accounts {
                self.declare(Some(&before)).await;
            }
            before = now;
        }
    }

    /// Makes the record and takes the account in. The caller holds `changing`.
    async fn make(&self, id: AccountId, name: Option<String>) -> Result<Arc<Account>, Error> {
        let room = &self.0.room;
        if self.find(&id).is_ok() {
            return Err(Error::Exists { account: id });
        }
        let (current, config) = (self.all().len(), room.config.borrow().clone());
        if current >= config.accounts.max {
            return Err(Error::Limit { current, max: config.accounts.max });
        }
        let record = AccountRecord {
            id: id.clone(),
            name,
            folder: ulid::Ulid::generate().to_string(),
            created_at: super::now(),
            linked_at: None,
            phone: None,
            desired: Desired::Running,
            webhook: None,
        };
        let batch = Batch { accounts: vec![(id.clone(), Some(record.clone()))], ..Batch::default() };
        let kept = room.store.commit(batch).await;
        kept.map_err(|source| Error::Store { account: id, step: "keep the account", source })?;
        Ok(self.add(record))
    }
}

/// An id for an account that was made without one.
fn made_up() -> AccountId {
    let id = ulid::Ulid::generate().to_string().to_lowercase();
    id.parse().expect("a ULID in small letters is letters and digits")
}
