//! The listeners: TCP as `[admin]` says, and the control socket.
//!
//! In: a router. Out: connections that it serves, each in a task of its own. Must not know routes.
//!
//! Limits: 10 s for the head of a request, 16 KiB and 64 fields in it, 1,024 connections on TCP and 64 on the control socket;
//! the next one waits in the system's queue until one ends. At the end, requests under way get ten seconds.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::{Extension, Router};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::Error;
use super::auth::Via;
use crate::config::Config;

const HEAD_TIME: Duration = Duration::from_secs(10);
const HEAD_BYTES: usize = 16 * 1024;
const HEAD_FIELDS: usize = 64;
const CONNECTIONS: usize = 1_024;
/// Counted by itself: whoever fills the TCP listener must not lock the owner out of the machine's own way in.
const CONTROL_CONNECTIONS: usize = 64;

/// Time that requests under way get at the end.
const LAST_REQUESTS: Duration = Duration::from_secs(10);

/// Pause after a failed accept: most often the process has no file descriptors left, and a retry at once would spin.
const AFTER_FAILURE: Duration = Duration::from_millis(200);

/// Cuts the connection that a request came by, also where the other side stands still: what has no other end, an answer that
/// goes on and on, ends so.
#[derive(Clone, Debug)]
pub(super) struct HangUp(pub(super) CancellationToken);

/// Serves a router over both ways in.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) router: Router,
    pub(super) tracker: TaskTracker,
    pub(super) stop: CancellationToken,
    connections: Arc<Semaphore>,
    control: Arc<Semaphore>,
}

impl Server {
    pub(super) fn new(router: Router, tracker: TaskTracker, stop: CancellationToken) -> Self {
        Self {
            router,
            tracker,
            stop,
            connections: Arc::new(Semaphore::new(CONNECTIONS)),
            control: Arc::new(Semaphore::new(CONTROL_CONNECTIONS)),
        }
    }

    /// Serves what comes in by both doors, and follows `[admin]` when it changes.
    pub(super) fn enter(&self, doors: Doors, config: watch::Receiver<Arc<Config>>) {
        let Doors { control, file, tcp } = doors;
        self.control(control, file);
        self.tcp(tcp, config);
    }

    fn control(&self, listener: UnixListener, file: RemoveAtEnd) {
        let server = self.clone();
        self.tracker.spawn(async move {
            let _file = file;
            while let Some(permit) = server.permit(&server.control).await {
                match server.stop.run_until_cancelled(listener.accept()).await {
                    None => break,
                    Some(Ok((stream, _))) => server.serve(stream, Via::Control, permit),
                    Some(Err(error)) => pause_after(&error).await,
                }
            }
        });
    }

    fn tcp(&self, door: Option<Door>, mut config: watch::Receiver<Arc<Config>>) {
        // As it was when the door was opened; what has changed since is followed at once.
        let mut wanted = door.as_ref().map(|door| door.wanted);
        let mut open = door.map(|door| self.open(door));
        config.mark_changed();
        let server = self.clone();
        self.tracker.spawn(async move {
            while let Some(Ok(())) = server.stop.run_until_cancelled(config.changed()).await {
                let now = address(&config.borrow_and_update());
                if now == wanted {
                    continue;
                }
                let next = match now {
                    None => Ok(None),
                    Some(at) => Door::open(at).await.map(|door| Some(server.open(door))),
                };
                match next {
                    Ok(next) => {
                        tracing::info!(listen = ?next.as_ref().map(|open| open.at), "the admin has moved");
                        (open, wanted) = (next, now);
                    }
                    Err(error) => tracing::error!(%error, "the admin stays where it is"),
                }
            }
            drop(open);
        });
    }

    fn open(&self, door: Door) -> Open {
        let Door { bound, listener, .. } = door;
        let (server, end) = (self.clone(), self.stop.child_token());
        let open = Open {
            at: bound,
            end: end.clone(),
        };
        self.tracker.spawn(async move {
            while let Some(Some(permit)) = end.run_until_cancelled(server.permit(&server.connections)).await {
                match end.run_until_cancelled(listener.accept()).await {
                    None => break,
                    Some(Ok((stream, from))) => {
                        // Answers are small and wait for nothing; without this the last packet of one may be held back.
                        drop(stream.set_nodelay(true));
                        server.serve(stream, Via::Tcp(from), permit);
                    }
                    Some(Err(error)) => pause_after(&error).await,
                }
            }
        });
        open
    }

    /// The right to one more connection; `None` when the end has come.
    async fn permit(&self, of: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
        let permit = Arc::clone(of).acquire_owned();
        self.stop.run_until_cancelled(permit).await.and_then(Result::ok)
    }

    fn serve(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        via: Via,
        permit: OwnedSemaphorePermit,
    ) {
        let hang_up = CancellationToken::new();
        let router = self
            .router
            .clone()
            .layer(Extension(via))
            .layer(Extension(HangUp(hang_up.clone())));
        let stop = self.stop.clone();
        self.tracker.spawn(async move {
            let _permit = permit;
            let service = hyper::service::service_fn(move |request: Request<Incoming>| router.clone().oneshot(request));
            let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
            builder
                .http1()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIME)
                .max_buf_size(HEAD_BYTES)
                .max_headers(HEAD_FIELDS);
            let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
            let served = async {
                tokio::select! {
                    ended = &mut connection => ended,
                    () = stop.cancelled() => {
                        connection.as_mut().graceful_shutdown();
                        timeout(LAST_REQUESTS, connection).await.unwrap_or(Ok(()))
                    }
                }
            };
            if let Some(Err(error)) = hang_up.run_until_cancelled(served).await {
                // The other side went away, or sent what is not HTTP: nothing that the owner could do about.
                tracing::debug!(%error, "a connection to the admin ended");
            }
        });
    }
}

/// Both ways in, opened and not served yet: a port that is taken is found out before anything else is started. What
/// connects meanwhile waits in the system's queue.
#[derive(Debug)]
pub struct Doors {
    control: UnixListener,
    file: RemoveAtEnd,
    tcp: Option<Door>,
}

impl Doors {
    /// Opens the control socket, with mode 0600 before anybody can reach it, and TCP as `[admin]` says.
    pub(super) async fn open(config: &Config, socket: &Path) -> Result<Self, Error> {
        let tcp = match address(config) {
            Some(at) => Some(Door::open(at).await?),
            None => None,
        };
        let control = private_socket(socket).map_err(|source| Error::Socket {
            path: socket.to_owned(),
            source,
        })?;
        let file = RemoveAtEnd(socket.to_owned());
        Ok(Self { control, file, tcp })
    }

    /// Where it listens on TCP, if it does.
    #[must_use]
    pub fn addr(&self) -> Option<SocketAddr> {
        self.tcp.as_ref().map(|door| door.bound)
    }
}

/// One TCP address.
#[derive(Debug)]
struct Door {
    wanted: SocketAddr,
    bound: SocketAddr,
    listener: TcpListener,
}

impl Door {
    async fn open(wanted: SocketAddr) -> Result<Self, Error> {
        let failed = |source| Error::Listen { at: wanted, source };
        let listener = TcpListener::bind(wanted).await.map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        Ok(Self {
            wanted,
            bound,
            listener,
        })
    }
}

/// A listener that ends when this is dropped; its connections go on.
struct Open {
    at: SocketAddr,
    end: CancellationToken,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

fn address(config: &Config) -> Option<SocketAddr> {
    config.admin.enabled.then_some(config.admin.listen)
}

/// Binds beside the name, closes the mode, then takes the name: nobody can connect in between, and the socket that a host
/// left behind when it died is replaced. Two hosts at once cannot meet here, the store's lock keeps them apart.
fn private_socket(path: &Path) -> io::Result<UnixListener> {
    let new = path.with_extension("sock.new");
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&new)?;
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&new, path)?;
    Ok(listener)
}

#[derive(Debug)]
struct RemoveAtEnd(PathBuf);

impl Drop for RemoveAtEnd {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::debug!(%error, "the control socket was gone already");
        }
    }
}

async fn pause_after(error: &io::Error) {
    tracing::warn!(%error, "a connection to the admin could not be accepted");
    sleep(AFTER_FAILURE).await;
}
