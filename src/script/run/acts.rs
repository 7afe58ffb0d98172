//! What a run does beside sending, and what it asks of an account.
//!
//! In: calls of the API. Out: the world's answers. Nothing of it belongs to the run's commit: it is done when it is called, and
//! again when the run is repeated. Must not send a message.

use std::time::Duration;

use hyper::body::Bytes;

use crate::action::{Act, ActOrder, DownloadOrder, File, Found, Look, LookOrder};
use crate::event::AccountId;

use super::{Part, Refusal, Run, misuse};
use crate::script::Made;

/// Reactions, edits, looks and the like that one run may order.
pub(crate) const MAX_ACTS: usize = 64;

/// A gate has two seconds, and the event waits for it.
const PATIENCE_OF_GATES: Duration = Duration::from_secs(1);

impl Run {
    /// Does something that may be done twice.
    pub(crate) async fn act(&self, account: AccountId, act: Act) -> Result<(), Refusal> {
        let patience = self.count_act()?;
        let order = ActOrder { account, act, patience };
        Ok(self.patiently(self.world.act(order)).await?)
    }

    /// Looks something up in an account.
    pub(crate) async fn look(&self, account: AccountId, look: Look) -> Result<Found, Refusal> {
        let patience = self.count_act()?;
        let order = LookOrder {
            account,
            look,
            patience,
        };
        Ok(self.patiently(self.world.look(order)).await?)
    }

    /// Fetches the file of a message.
    pub(crate) async fn download(&self, account: AccountId, message: String) -> Result<File, Refusal> {
        let patience = self.count_act()?;
        let order = DownloadOrder {
            account,
            message,
            patience,
        };
        Ok(self.patiently(self.world.download(order)).await?)
    }

    /// Keeps a file that the script has made.
    pub(crate) async fn keep(&self, file: Made) -> Result<File, Refusal> {
        self.count_act()?;
        Ok(self.world.keep(file).await?)
    }

    /// The bytes of a file.
    pub(crate) async fn read(&self, file: File) -> Result<Bytes, Refusal> {
        self.count_act()?;
        Ok(self.world.read(file).await?)
    }

    async fn patiently<T>(&self, wait: impl Future<Output = T>) -> T {
        match self.part {
            Part::Gate(_) => wait.await,
            Part::Handlers | Part::Timer => self.aside(wait).await,
        }
    }

    /// Counts one before it is done, and says how long it may wait.
    fn count_act(&self) -> Result<Duration, Refusal> {
        self.still_open()?;
        if self.acts_made.get() == MAX_ACTS {
            return misuse(format!(
                "more than {MAX_ACTS} reactions, edits, looks and the like in one run"
            ));
        }
        self.acts_made.set(self.acts_made.get() + 1);
        Ok(match self.part {
            Part::Gate(_) => PATIENCE_OF_GATES.min(self.limits.patience),
            Part::Handlers | Part::Timer => self.limits.patience,
        })
    }
}
