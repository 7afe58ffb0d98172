//! The page room: browser processes, the tab of each account, and the bridge to what runs in it.
//!
//! In: a [`Launch`] and orders from the session. Out: a [`Tab`], and its [`Report`]s through one bounded channel. The
//! only room that knows chromiumoxide; inside it `agent/` is the only place that names the library's `WPP`. Must not
//! decide anything about an account: states, sweeps, retries and pacing are the session's.
//!
//! What happens, in order, when a tab is opened: the profile folder is made and locked, a browser that an earlier host
//! left on it is closed ([`Tab::open`] waits for that), a browser is started in a process group of its own, wharf
//! attaches to its first page, puts user agent, binding, library and agent in place, and only then goes to WhatsApp
//! Web.
//!
//! In the document, wharf's agent is the global `wharf$agent`, and `wharf$report` is the binding through which it
//! reports.

mod bridge;
mod connection;
mod copy;
mod error;
mod executable;
mod flags;
mod launch;
mod library;
mod orphan;
mod process;
mod procfs;
mod profile;
mod report;
mod script;
mod snapshot;
mod tab;
mod trial;

pub use copy::copy_profile;
pub use error::Error;
pub use executable::find_browser;
pub use launch::Launch;
pub use library::Library;
pub use report::{Begun, ChatSummary, Fetched, Format, Me, Ordered, PageEvent, PageStatus, REPORTS, Report, Resolved};
pub use tab::Tab;
pub use trial::try_browser;
