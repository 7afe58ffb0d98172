//! Why an outbound request has no answer.
//!
//! In: reqwest's errors. Out: [`Error`]. Must not print an address or a cause by `Display`: that text reaches events and
//! callers, to whom it would tell what there is in the network.

use std::error::Error as _;

/// Why there is no answer. What it prints may be shown to anybody: addresses and causes are in [`Error::detail`] only.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client could not be built.
    #[error("the outbound client could not be built: {0}")]
    Build(String),
    /// Not a URL, or neither http nor https.
    #[error("not an http or https URL")]
    Url(String),
    /// A header that HTTP does not allow.
    #[error("the header `{0}` is not valid")]
    Header(String),
    /// The place may not be reached; see `[egress]`.
    #[error("blocked")]
    Blocked(String),
    /// It took longer than the request allows.
    #[error("no answer in time")]
    Timeout,
    /// The other side refused the connection or cut it before it answered.
    #[error("the connection was refused or cut")]
    Cut(String),
    /// Anything else between us and the answer: a name that is not known, TLS, a protocol error.
    #[error("no connection")]
    Failed(String),
}

impl Error {
    /// What happened in full, for the log and the owner only.
    #[must_use]
    pub fn detail(&self) -> String {
        match self {
            Self::Url(why) | Self::Blocked(why) | Self::Cut(why) | Self::Failed(why) => format!("{self}: {why}"),
            Self::Build(_) | Self::Header(_) | Self::Timeout => self.to_string(),
        }
    }

    /// Whether the same request can never succeed while URL and configuration stay as they are.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Url(_) | Self::Blocked(_) | Self::Header(_))
    }
}

/// The mark by which a refusal is found again under reqwest's own error.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refused(pub(super) String);

/// Sorts reqwest's error into ours by the causes under it.
pub(super) fn sorted(error: &reqwest::Error) -> Error {
    if error.is_timeout() {
        return Error::Timeout;
    }
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(refused) = inner.downcast_ref::<Refused>() {
            return Error::Blocked(refused.to_string());
        }
        let reset = inner.downcast_ref::<std::io::Error>().is_some_and(|io| {
            use std::io::ErrorKind as Kind;
            matches!(
                io.kind(),
                Kind::ConnectionReset
                    | Kind::ConnectionRefused
                    | Kind::ConnectionAborted
                    | Kind::BrokenPipe
                    | Kind::UnexpectedEof
            )
        });
        let unfinished = inner
            .downcast_ref::<hyper::Error>()
            .is_some_and(hyper::Error::is_incomplete_message);
        if reset || unfinished {
            return Error::Cut(causes(error));
        }
        cause = inner.source();
    }
    Error::Failed(causes(error))
}

/// An error with all that lies under it, without the URL, which may hold a secret.
pub(super) fn causes(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut cause = error.source();
    while let Some(inner) = cause {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    if text.is_empty() {
        "no cause given".to_owned()
    } else {
        text
    }
}
