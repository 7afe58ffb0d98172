//! What an account does beside sending, and what it is asked.
//!
//! In: an [`ActOrder`] or a [`LookOrder`]. Out: that it was done, or what was found. All of it may be done twice, so nothing is
//! kept: where the page goes while it is asked, it is asked again, until the patience ends. Must not send a message.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::action::{ActOrder, DownloadOrder, Failure, FailureKind, File, Found, LookOrder};
use crate::{media, page};

use super::Room;
use super::account::Account;
use super::send::{RETRY, failure, ready, timeout};

/// Longest patience that is counted with; above it, sums with a clock could overflow.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Does it, in turn with the sends of its chat where others get something of it.
pub(super) async fn act(room: &Arc<Room>, account: &Arc<Account>, order: ActOrder) -> Result<(), Failure> {
    let until = Instant::now() + order.patience.min(LONGEST);
    loop {
        let tab = ready(room, account, until).await?;
        let turn = match order.act.is_sent() {
            // A number and its chat's id are the same lane.
            true => {
                let turn = account.pacing.turn(order.act.chat().trim_end_matches("@c.us"), false);
                let turn = timeout_at(until, turn).await;
                Some(turn.map_err(|_| timeout(&account.id, "its turn under [pacing] did not come"))?)
            }
            false => None,
        };
        if !account.live.borrow().is_ready_with(&tab) {
            continue;
        }
        let done = timeout_at(until, tab.act(&order.act)).await;
        drop(turn);
        match answer(account, done) {
            Err(Again(why)) => again(account, until, &why).await?,
            Ok(answer) => return answer,
        }
    }
}

/// Looks it up.
pub(super) async fn look(room: &Arc<Room>, account: &Arc<Account>, order: LookOrder) -> Result<Found, Failure> {
    let until = Instant::now() + order.patience.min(LONGEST);
    loop {
        let tab = ready(room, account, until).await?;
        let found = timeout_at(until, tab.look(&order.look)).await;
        match answer(account, found) {
            Err(Again(why)) => again(account, until, &why).await?,
            Ok(answer) => return answer,
        }
    }
}

/// Fetches the file of a message, and keeps it with the host.
pub(super) async fn download(room: &Arc<Room>, account: &Arc<Account>, order: DownloadOrder) -> Result<File, Failure> {
    let until = Instant::now() + order.patience.min(LONGEST);
    let fetched = loop {
        let tab = ready(room, account, until).await?;
        let fetch = async {
            // Never closed.
            let _one = account.files.acquire().await.ok();
            tab.fetch(&order.message, room.media.max()).await
        };
        let fetched = timeout_at(until, fetch).await;
        match answer(account, fetched) {
            Err(Again(why)) => again(account, until, &why).await?,
            Ok(answer) => break answer?,
        }
    };
    let kept = room.media.keep(fetched.bytes, fetched.mimetype, fetched.filename).await;
    kept.map_err(|error| {
        let kind = match error {
            media::Error::Disk { .. } => FailureKind::Internal,
            media::Error::TooLarge { .. } | media::Error::Gone { .. } => FailureKind::Refused,
        };
        failure(&account.id, kind, &error.to_string())
    })
}

/// The page failed before there was an answer; why.
struct Again(String);

/// What the page said, or that it has to be asked again.
fn answer<T>(
    account: &Account,
    said: Result<Result<T, page::Error>, tokio::time::error::Elapsed>,
) -> Result<Result<T, Failure>, Again> {
    let id = &account.id;
    match said {
        Ok(Ok(answer)) => Ok(Ok(answer)),
        Ok(Err(error @ page::Error::NotSupported { .. })) => {
            Ok(Err(failure(id, FailureKind::NotSupported, &error.to_string())))
        }
        Ok(Err(error @ (page::Error::NoChat { .. } | page::Error::Page { .. }))) => {
            Ok(Err(failure(id, FailureKind::Refused, &error.to_string())))
        }
        Ok(Err(error)) => Err(Again(error.to_string())),
        Err(_) => Ok(Err(timeout(id, "the page does not answer"))),
    }
}

async fn again(account: &Account, until: Instant, why: &str) -> Result<(), Failure> {
    tracing::debug!(account = %account.id, why, "the page is asked again");
    if Instant::now() + RETRY >= until {
        return Err(timeout(&account.id, why));
    }
    tokio::time::sleep(RETRY).await;
    Ok(())
}
