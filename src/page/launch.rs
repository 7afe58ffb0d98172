//! What is needed to open a tab.
//!
//! In: the configuration's values. Out: [`Launch`]. Must not do anything.

use std::path::PathBuf;
use std::sync::Arc;

use super::Library;
use crate::config::resolved::{Browser, BrowserKind};
use crate::event::AccountId;

/// What is needed to open a tab.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Whose tab.
    pub account: AccountId,
    /// The profile folder; made, with mode 0700, if it is not there. Its parent has to exist.
    pub profile: PathBuf,
    /// `[browser]`
    pub browser: Browser,
    /// `[account.ID] browser`, else `[browser] kind`.
    pub kind: BrowserKind,
    /// `[whatsapp] url`
    pub url: String,
    /// The library, read once for all accounts.
    pub library: Arc<Library>,
}
