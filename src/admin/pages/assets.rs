//! The files of the pages, built into the program.
//!
//! In: a name. Out: the file. Must not read the disk.

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::super::refusal::Refusal;

const FILES: [(&str, &str, &str); 3] = [
    ("wharf.css", "text/css; charset=utf-8", include_str!("assets/wharf.css")),
    (
        "wharf.js",
        "text/javascript; charset=utf-8",
        include_str!("assets/wharf.js"),
    ),
    ("icon.svg", "image/svg+xml", include_str!("assets/icon.svg")),
];

/// `GET /assets/{name}`
pub(in super::super) async fn file(Path(name): Path<String>) -> Result<Response, Refusal> {
    let missing = || Refusal::new(StatusCode::NOT_FOUND, "NO_ROUTE", "there is no such file");
    let (_, kind, text) = FILES.iter().find(|(known, ..)| *known == name).ok_or_else(missing)?;
    // `no-cache` lets a browser keep the file but ask each time, so that a new wharf is never met by old files.
    Ok((
        [(header::CONTENT_TYPE, *kind), (header::CACHE_CONTROL, "no-cache")],
        *text,
    )
        .into_response())
}
