//! The other end of the control socket: how `wharf` commands reach a running host.
//!
//! In: the socket's path. Out: answers of the router. Must not open the store: the host that answers has it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, header};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::keys::Listed;
use crate::event::Event;
use crate::script::{DeadView, Typed};
use crate::store::backup::Summary;

/// Time for one question and its answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Time for a text that a person typed: it may wait for an account, as long as scripts may.
const TYPED: Duration = Duration::from_secs(15 * 60);

/// A backup with the profiles of some dozen accounts takes minutes.
const BACKED_UP: Duration = Duration::from_secs(60 * 60);

/// The largest answer, in bytes.
const ANSWER: usize = 4 << 20;

/// Why a running host gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be reached, or stopped while it was asked.
    #[error("the running host does not answer on {0}")]
    Silent(PathBuf),
    /// It refused.
    #[error("the running host refused: {message}")]
    Refused {
        /// The status code.
        status: u16,
        /// What it says.
        message: String,
    },
    /// Its answer has another form; it may be of another version.
    #[error("the running host answered what this version of wharf does not understand")]
    Unclear,
}

/// A running host, as reached by its control socket.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// Reaches the host that runs on this socket; `None` if none does.
    pub async fn connect(socket: &Path) -> Option<Self> {
        let client = Self {
            socket: socket.to_owned(),
        };
        client
            .ask(Method::GET, "/healthz", None)
            .await
            .is_ok()
            .then_some(client)
    }

    /// Asks one thing.
    ///
    /// # Errors
    ///
    /// Every [`Error`]. An answer that is not 2xx is one.
    pub async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, Error> {
        self.ask_within(PATIENCE, method, path, body).await
    }

    async fn ask_within(
        &self,
        time: Duration,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value, Error> {
        let exchange = timeout(time, self.exchange(method, path, body));
        let (status, bytes) = exchange
            .await
            .ok()
            .flatten()
            .ok_or_else(|| Error::Silent(self.socket.clone()))?;
        if bytes.is_empty() && (200..300).contains(&status) {
            return Ok(Value::Null);
        }
        let answer: Value = serde_json::from_slice(&bytes).map_err(|_| Error::Unclear)?;
        if (200..300).contains(&status) {
            return Ok(answer);
        }
        let message = answer
            .get("error")
            .and_then(Value::as_str)
            .unwrap_or("no reason given")
            .to_owned();
        Err(Error::Refused { status, message })
    }

    async fn exchange(&self, method: Method, path: &str, body: Option<Value>) -> Option<(u16, axum::body::Bytes)> {
        let stream = UnixStream::connect(&self.socket).await.ok()?;
        let (mut sender, connection) = http1::handshake::<_, Body>(TokioIo::new(stream)).await.ok()?;
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "localhost")
            .header(header::CONTENT_TYPE, "application/json")
            .body(body)
            .ok()?;
        let answer = async move {
            let response = sender.send_request(request).await.ok()?;
            let status = response.status().as_u16();
            let bytes = axum::body::to_bytes(Body::new(response.into_body()), ANSWER)
                .await
                .ok()?;
            Some((status, bytes))
        };
        // The connection is driven beside the answer and ends with it.
        let (answer, _) = tokio::join!(answer, connection);
        answer
    }

    /// Makes a key.
    ///
    /// # Errors
    ///
    /// Every [`Error`].
    pub async fn make_key(&self, name: Option<String>, scopes: Vec<String>) -> Result<String, Error> {
        let answer = self
            .ask(Method::POST, "/api/keys", Some(json!({"name": name, "scopes": scopes})))
            .await?;
        read(answer, "key")
    }

    /// Runs a text in a script.
    ///
    /// # Errors
    ///
    /// Every [`Error`].
    pub async fn type_in(&self, name: &str, code: &str) -> Result<Typed, Error> {
        // A name that a path cannot hold is nobody's.
        let name: String = name
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || "_-".contains(c) {
                    c
                } else {
                    '_'
                }
            })
            .collect();
        let body = Some(json!({"code": code}));
        let path = format!("/api/scripts/{name}/repl");
        let answer = self.ask_within(TYPED, Method::POST, &path, body).await?;
        serde_json::from_value(answer).map_err(|_| Error::Unclear)
    }

    /// Lists the dead runs of all scripts.
    ///
    /// # Errors
    ///
    /// Every [`Error`].
    pub async fn dead_runs(&self) -> Result<Vec<DeadView>, Error> {
        read(self.ask(Method::GET, "/api/scripts/dead", None).await?, "runs")
    }

    /// The last events of the journal, of these names or of any.
    ///
    /// # Errors
    ///
    /// Every [`Error`].
    pub async fn last_events(&self, last: u16, names: &[String]) -> Result<Vec<Event>, Error> {
        // A name that an address cannot hold is no event's.
        let plain = |name: &&String| name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
        let names: Vec<&str> = names.iter().filter(plain).map(String::as_str).collect();
        let path = format!("/api/journal/last?last={last}&events={}", names.join(","));
        read(self.ask(Method::GET, &path, None).await?, "events")
    }

    /// Has the host write a backup to this absolute path, with its accounts' profiles or without.
    ///
    /// # Errors
    ///
    /// Every [`Error`].
    pub async fn back_up(&self, file: &Path, profiles: bool) -> Result<Summary, Error> {
        let body = Some(json!({"file": file, "profiles": profiles}));
        let answer = self.ask_within(BACKED_UP, Method::POST, "/api/backup", body).await?;
        serde_json::from_value(answer).map_err(|_| Error::Unclear)
    }

    /// How the store is, and how the last backup went.
    ///
    /// # Errors
    ///
    /// Every [`Error`].
    pub async fn store(&self) -> Result<Value, Error> {
        self.ask(Method::GET, "/api/store", None).await
    }

    /// Starts a dead run again and waits for its end.
    ///
    /// # Errors
    ///
    /// Every [`Error`].
    pub async fn run_dead(&self, id: &str) -> Result<(), Error> {
        let plain: String = id.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        let path = format!("/api/scripts/dead/{plain}/run");
        self.ask_within(TYPED, Method::POST, &path, None).await.map(|_| ())
    }

    /// Lists the keys.
    ///
    /// # Errors
    ///
    /// Every [`Error`].
    pub async fn list_keys(&self) -> Result<Vec<Listed>, Error> {
        read(self.ask(Method::GET, "/api/keys", None).await?, "keys")
    }

    /// Takes a key out of use; answers whether there was one.
    ///
    /// # Errors
    ///
    /// Every [`Error`].
    pub async fn revoke_key(&self, id: &str) -> Result<bool, Error> {
        if !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) || id.is_empty() {
            return Ok(false);
        }
        match self.ask(Method::DELETE, &format!("/api/keys/{id}"), None).await {
            Ok(_) => Ok(true),
            Err(Error::Refused { status: 404, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn read<T: DeserializeOwned>(mut answer: Value, field: &str) -> Result<T, Error> {
    let value = answer.get_mut(field).map(Value::take).ok_or(Error::Unclear)?;
    serde_json::from_value(value).map_err(|_| Error::Unclear)
}
