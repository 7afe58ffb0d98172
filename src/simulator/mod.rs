//! The simulator: a WhatsApp of our own, for tests, for demonstrations and for writing scripts.
//!
//! In: an address to listen on. Out: a web server with the WhatsApp Web page at `/`, its socket at `/ws`, a page with
//! the phones at `/phones`, and a control API under `/control`. What it does, it does because of a note in the code:
//! the in-page library's source, a public issue, or "assumed". Must not import another room, and knows nothing of the
//! host that is tried against it.
//!
//! | file | holds |
//! |---|---|
//! | `protocol` | what page and server say to each other |
//! | `world`, `phone`, `log`, `link`, `post`, `deeds`, `files`, `queue` | the server model, without I/O and without a clock |
//! | `view` | the world as the control API shows it |
//! | `server`, `socket`, `control` | HTTP, WebSocket, the control API's routes |
//! | `assets` | the files of both pages |

mod assets;
mod control;
mod deeds;
mod files;
mod link;
mod log;
mod phone;
mod post;
mod protocol;
mod queue;
mod server;
mod socket;
mod token;
mod view;
mod world;

use std::net::SocketAddr;

pub use server::{Options, Running, serve};

/// Why the simulator does not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened on.
    #[error("the simulator cannot listen on {listen}: {source}")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// Something is not of the form it must have.
    #[error("{what} {why}")]
    Malformed {
        /// What was meant to be.
        what: &'static str,
        /// The form that it must have.
        why: &'static str,
    },
    /// The phone is there already.
    #[error("there is a phone with the number {0} already")]
    PhoneExists(String),
    /// There is no such phone.
    #[error("there is no phone with the number {0}; add it by POST /control/phones")]
    NoPhone(String),
    /// The phone's network is off.
    #[error("the phone {0} is offline; set it online first")]
    Offline(String),
    /// No page shows the code.
    #[error("no page shows this code now: it has run out or was used; take the one that is shown")]
    NoSuchCode,
    /// The phone has as many devices as it may have.
    #[error("the phone {number} has {max} linked devices, which is the most; unlink one")]
    TooManyDevices {
        /// The phone.
        number: String,
        /// The most.
        max: usize,
    },
    /// The phone has no such device.
    #[error("the phone {number} has no linked device {device}")]
    NoDevice {
        /// The phone.
        number: String,
        /// The device.
        device: String,
    },
    /// Nobody and no group has this address.
    #[error("there is neither a phone nor a group `{0}`")]
    NoSuchChat(String),
    /// The chat holds no such message.
    #[error("there is no message {0} in this chat")]
    NoSuchMessage(String),
    /// Who is not in a group cannot write to it.
    #[error("the phone {number} is not a member of {group}")]
    NotAMember {
        /// The phone.
        number: String,
        /// The group.
        group: String,
    },
}
