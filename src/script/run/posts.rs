//! What a run asks of the world beside messages: deliveries, calls, jobs. Each is counted before anything is done.
//!
//! In: the calls of the API. Out: entries of the run's effects. Must not do anything itself.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::store::JOB_MAX;

use super::super::jobs::OWNER;
use super::{Later, MAX_BODY, MAX_CALLS, MAX_JOBS, MAX_POSTS, Posted, Refusal, Run, misuse};

impl Run {
    /// `webhook.post`
    pub(crate) fn post(&self, endpoint: String, body: Vec<u8>) -> Result<(), Refusal> {
        self.still_open()?;
        body_fits(body.len())?;
        if !self.world.has_endpoint(&endpoint) {
            return misuse(match endpoint.strip_prefix("account:") {
                Some(account) => format!("webhook.post: account '{account}' has no webhook"),
                None => format!("webhook.post: there is no [endpoint.{endpoint}] in config.toml"),
            });
        }
        let mut posts = self.posts.borrow_mut();
        if posts.len() == MAX_POSTS {
            return misuse(format!("webhook.post: more than {MAX_POSTS} deliveries in one run"));
        }
        posts.push(Posted { endpoint, body });
        Ok(())
    }

    /// `http`: counts a call, and answers its name: the same when the run is repeated.
    pub(crate) fn http(&self, branch: &str) -> Result<String, Refusal> {
        self.still_open()?;
        let mut calls = self.calls.borrow_mut();
        if calls.values().sum::<u64>() == MAX_CALLS {
            return misuse(format!("more than {MAX_CALLS} calls of http in one run"));
        }
        let n = calls.entry(branch.to_owned()).or_default();
        *n += 1;
        Ok(format!("{}/{}/{branch}/http/{n}", self.script, self.id()))
    }

    /// `later`
    pub(crate) fn later(&self, wait: Duration, name: String, mut data: Map<String, Value>) -> Result<(), Refusal> {
        self.still_open()?;
        if data.insert(OWNER.to_owned(), Value::Null).is_some() {
            return misuse(format!(
                "later: the data cannot have '{OWNER}', which names this script in the event"
            ));
        }
        data.remove(OWNER);
        let size = serde_json::to_string(&data).map_or(0, |text| text.len());
        if size > JOB_MAX {
            return misuse(format!(
                "later: the data has {size} bytes as JSON; at most {JOB_MAX} fit"
            ));
        }
        let mut jobs = self.jobs.borrow_mut();
        if jobs.len() == MAX_JOBS {
            return misuse(format!("later: more than {MAX_JOBS} jobs in one run"));
        }
        let wait = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        let due = self.world.now().saturating_add(wait);
        jobs.push(Later { name, due, data });
        Ok(())
    }
}

/// Whether a delivery's body of so many bytes is small enough.
///
/// # Errors
/// A sentence, if it is not.
pub(crate) fn body_fits(bytes: usize) -> Result<(), Refusal> {
    if bytes > MAX_BODY {
        return misuse(format!(
            "webhook.post: the body has {bytes} bytes; at most {MAX_BODY} fit"
        ));
    }
    Ok(())
}
