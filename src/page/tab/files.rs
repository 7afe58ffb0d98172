//! Files on their way into the page and out of it, in pieces.
//!
//! In: bytes for a message that will be ordered, the id of a message that carries a file. Out: the file. Must not keep anything
//! on disk.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::body::Bytes;
use serde::Deserialize;
use serde_json::json;

use super::acts::told;
use super::{QUICK, SLOW, Tab};
use crate::page::{Error, Fetched};

/// Bytes of one piece: as text small enough that acknowledgements and proofs of life pass in between.
const PIECE: usize = 384 * 1024;

impl Tab {
    /// Puts the file into the page that the message of this id will carry: before [`Tab::order`], and before each repeat of it.
    ///
    /// # Errors
    /// As any call; nothing was sent.
    pub async fn put(&self, message_id: &str, bytes: &Bytes) -> Result<(), Error> {
        let step = "put a file into the page";
        if bytes.is_empty() {
            let arguments = json!([message_id, 0, ""]);
            return self.ask_agent(step, "put", &arguments, QUICK).await;
        }
        let mut at = 0;
        for piece in bytes.chunks(PIECE) {
            let arguments = json!([message_id, at, STANDARD.encode(piece)]);
            self.ask_agent::<()>(step, "put", &arguments, QUICK).await?;
            at += piece.len();
        }
        Ok(())
    }

    /// Fetches the file that a message carries, of at most `most` bytes.
    ///
    /// # Errors
    /// [`Error::Page`] also if it is larger, or if WhatsApp has it no more; else as [`Tab::act`].
    pub async fn fetch(&self, message_id: &str, most: u64) -> Result<Fetched, Error> {
        #[derive(Deserialize)]
        struct Ready {
            token: u64,
            size: usize,
            mimetype: String,
            filename: Option<String>,
        }
        let step = "fetch a file";
        let ready: Result<Ready, Error> = self.ask_agent(step, "fetch", &json!([message_id, most]), SLOW).await;
        let ready = ready.map_err(|error| told(error, message_id))?;
        let mut bytes = Vec::with_capacity(ready.size);
        while bytes.len() < ready.size {
            let arguments = json!([ready.token, bytes.len(), PIECE]);
            let piece: String = self.ask_agent(step, "take", &arguments, QUICK).await?;
            let piece = STANDARD.decode(piece).ok().filter(|piece| !piece.is_empty());
            let Some(piece) = piece else {
                return Err(Error::Page {
                    account: self.0.account.clone(),
                    step,
                    message: "the page gave a piece that is none".to_owned(),
                });
            };
            bytes.extend(piece);
        }
        Ok(Fetched {
            bytes: bytes.into(),
            mimetype: ready.mimetype,
            filename: ready.filename,
        })
    }
}
