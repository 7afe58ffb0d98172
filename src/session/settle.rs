//! What became of a send that was cut off between its intent and its answer.
//!
//! In: an intent with the id that a page made for it. Out: its answer. Must not order an id that may have been ordered: only the
//! table of the document that made the id can say that it was not.

use std::time::Duration;

use tokio::time::Instant;

use crate::action::Status;
use crate::page::{Begun, Ordered};
use crate::store::Intent;

use super::send::{Delivery, Step};

/// How often a send that is still under way is asked about.
const ASK_EVERY: Duration = Duration::from_millis(500);

impl Delivery {
    /// With the same document its table answers; with a new one the message is looked for.
    pub(super) async fn settle(&self, intent: Intent) -> Step {
        let (Some(page_id), Some(message_id)) = (&intent.page_id, &intent.message_id) else {
            return Step::Again("the intent has no id".to_owned());
        };
        let until = Instant::now() + self.room.tempo.settle;
        loop {
            match self.tab.ask(page_id, message_id).await {
                Ok(Begun::NeverOrdered) => return self.order(intent).await,
                Ok(Begun::Answered(Ordered::Sent { ack: 1.. })) => return self.answer(intent, Status::Sent).await,
                // It is in WhatsApp Web's own queue.
                Ok(Begun::Answered(Ordered::Sent { .. })) => return self.search(intent).await,
                Ok(Begun::Answered(Ordered::Refused { reason })) => return self.refuse(intent, &reason).await,
                Ok(Begun::OtherDocument) => return self.search(intent).await,
                Ok(Begun::Running) if Instant::now() < until => tokio::time::sleep(ASK_EVERY).await,
                Ok(Begun::Running) => return Step::Again("the page still has no answer from WhatsApp".to_owned()),
                Err(error) => return Step::Again(error.to_string()),
            }
        }
    }

    /// Its document is gone, or did not wait for WhatsApp. What WhatsApp Web has kept, it sends itself, so that is waited for as
    /// long as the order's patience lasts; what it has not kept may have been sent or not.
    pub(super) async fn search(&self, intent: Intent) -> Step {
        let (Some(chat), Some(message_id)) = (&intent.chat, &intent.message_id) else {
            return Step::Again("the intent has no id".to_owned());
        };
        let until = Instant::now() + self.room.tempo.settle;
        loop {
            match self.tab.find_message(chat, message_id).await {
                Ok(Some(1..)) => return self.answer(intent, Status::Sent).await,
                Ok(Some(0)) if Instant::now() < until => tokio::time::sleep(ASK_EVERY).await,
                Ok(Some(0)) => return Step::Again("WhatsApp Web has not sent it yet".to_owned()),
                Ok(None) => return self.answer(intent, Status::Unknown).await,
                Ok(Some(_)) => {
                    return self
                        .refuse(intent, "WhatsApp refused it after the page was reloaded")
                        .await;
                }
                Err(error) => return Step::Again(error.to_string()),
            }
        }
    }
}
