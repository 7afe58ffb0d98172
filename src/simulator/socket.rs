//! A page's socket: carries frames between the page and the world.
//!
//! In: the WebSocket of a page. Out: its frames to the world, and what the world has for it. Must not decide anything.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tokio::time::timeout;

use super::protocol::ToServer;
use super::server::{Server, now};

/// A page that takes a frame no faster than this is gone.
const WRITE: Duration = Duration::from_secs(10);

/// The longest frame of a page: a text of 65,536 characters with all its escapes fits.
const LONGEST: usize = 1024 * 1024;

/// Open sockets; one more is turned away.
const SOCKETS: usize = 1000;

/// `GET /ws`
pub(super) async fn open(State(server): State<Arc<Server>>, upgrade: WebSocketUpgrade) -> Response {
    {
        let world = server.world();
        if world.faults.refuse_sockets || world.lines.len() >= SOCKETS {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
    }
    upgrade
        .max_message_size(LONGEST)
        .on_upgrade(move |socket| carry(server, socket))
}

async fn carry(server: Arc<Server>, mut socket: WebSocket) {
    let mut changed = server.world().watch();
    let line = server.world().connect();
    talk(&server, &mut socket, line, &mut changed).await;
    server.world().disconnect(line);
    // The page may be gone already, and then there is nobody to say goodbye to.
    drop(timeout(WRITE, socket.send(Message::Close(None))).await);
}

/// Talks until one of the two ends it.
async fn talk(server: &Server, socket: &mut WebSocket, line: u64, changed: &mut tokio::sync::watch::Receiver<u64>) {
    loop {
        changed.mark_unchanged();
        let (outgoing, delay) = {
            let mut world = server.world();
            (world.take(line), world.faults.delay_ms.min(60_000))
        };
        let wrote_some = !outgoing.frames.is_empty();
        for frame in outgoing.frames {
            if delay > 0 {
                tokio::time::sleep(Duration::from_millis(delay)).await;
            }
            let text = serde_json::to_string(&frame).expect("frames have no maps with keys that are not text");
            if !matches!(
                timeout(WRITE, socket.send(Message::Text(text.into()))).await,
                Ok(Ok(()))
            ) {
                return;
            }
        }
        if outgoing.close {
            return;
        }
        if wrote_some {
            continue;
        }
        let rotation = server
            .world()
            .code_ends(line)
            .map(|end| end.saturating_sub(now()).max(0).unsigned_abs());
        let rotation = async move {
            match rotation {
                Some(wait) => tokio::time::sleep(Duration::from_millis(wait)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = server.stop.cancelled() => return,
            () = rotation => server.world().rotate(line, now()),
            // The world, and with it the sender, outlives its sockets.
            _ = changed.changed() => {}
            frame = socket.recv() => match frame {
                Some(Ok(Message::Text(text))) => match serde_json::from_str::<ToServer>(&text) {
                    Ok(frame) => server.world().receive(line, frame, now()),
                    Err(error) => {
                        tracing::warn!(line, %error, "a page sent a frame that is not of the protocol");
                        return;
                    }
                },
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Binary(_) | Message::Close(_)) | Err(_)) | None => return,
            },
        }
    }
}
