//! The files of both pages, as they are served: path, media type, content. A new file of a page is a row here.
//!
//! In: a path. Out: the file. Must not read the disk: the files are in the binary, so that it can be moved alone.

/// A file of a page.
#[derive(Debug)]
pub(super) struct Asset {
    /// Below its page's folder.
    pub(super) path: &'static str,
    /// Its `Content-Type`.
    pub(super) mime: &'static str,
    /// What is in it.
    pub(super) text: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

macro_rules! assets {
    ($folder:literal: $($path:literal $mime:expr),* $(,)?) => {
        &[$(Asset { path: $path, mime: $mime, text: include_str!(concat!($folder, "/", $path)) }),*]
    };
}

/// The WhatsApp Web page, at `/`.
pub(super) const WEB: &[Asset] = assets![
    "web":
    "index.html" HTML,
    "account.js" JS,
    "chat.js" JS,
    "collection.js" JS,
    "connection.js" JS,
    "contact.js" JS,
    "deeds.js" JS,
    "enums.js" JS,
    "events.js" JS,
    "find.js" JS,
    "follow.js" JS,
    "group.js" JS,
    "inbox.js" JS,
    "lid.js" JS,
    "loader.js" JS,
    "media.js" JS,
    "model.js" JS,
    "msg.js" JS,
    "msgkey.js" JS,
    "presence.js" JS,
    "preview.js" JS,
    "receipts.js" JS,
    "sending.js" JS,
    "session.js" JS,
    "socket.js" JS,
    "start.js" JS,
    "storage.js" JS,
    "style.css" CSS,
    "view.js" JS,
    "wid.js" JS,
];

/// The page for people, at `/phones`.
pub(super) const PHONES: &[Asset] = assets![
    "phones":
    "index.html" HTML,
    "card.js" JS,
    "dialogs.js" JS,
    "elements.js" JS,
    "live.js" JS,
    "phones.css" CSS,
    "phones.js" JS,
];

/// A file of a page; the page itself for the empty path.
pub(super) fn find(page: &'static [Asset], path: &str) -> Option<&'static Asset> {
    let path = if path.is_empty() { "index.html" } else { path };
    page.iter().find(|asset| asset.path == path)
}
