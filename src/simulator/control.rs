//! The control API: what a person does with a phone, done by a program.
//!
//! In: JSON requests. Out: JSON; errors are `{"error_code","error"}`. Must not hold rules of the model.
//!
//! | route, below `/control` | body | answers |
//! |---|---|---|
//! | `GET /state` | | phones with devices and chats, groups, codes that are shown, faults |
//! | `GET /changes` | | server-sent events: one whenever something has changed |
//! | `POST /phones` | `{number, name?}` | 201, the phone |
//! | `GET /phones/{number}` | | the phone |
//! | `PATCH /phones/{number}` | `{online}` | the phone |
//! | `POST /phones/{number}/scan` | `{qr}`, the text of a code, or `{ref}` | `{device}` |
//! | `POST /phones/{number}/messages` | `{to, text, quote?, mentions?, timestamp?, id?, encrypted?, media?}`; `media` is `{data, mimetype, filename?}`, in base64 | 201, the message |
//! | `POST /phones/{number}/messages/{id}/change` | `{chat, kind}`: `react` with `emoji`, `edit` with `body`, `revoke` | |
//! | `POST /phones/{number}/messages/{id}/keys` | | makes what it wrote `encrypted` readable for linked devices |
//! | `GET /phones/{number}/messages` | `?chat=&limit=` | its messages, oldest first |
//! | `POST /phones/{number}/read` | `{chat}` | `{read}`, how many |
//! | `DELETE /phones/{number}/devices`, `…/devices/{id}` | | `{removed}`, how many |
//! | `POST /groups` | `{name, members}` | 201, `{id}` |
//! | `DELETE /files` | | forgets every file that messages carry |
//! | `POST /faults` | [`Faults`]; `{}` clears | the faults |
//! | `POST /followed` | | said by a page that has followed a link, under the fault `follow_links` |

use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, Path, Query, Request, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::stream::{self, Stream, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::Error;
use super::post::Draft;
use super::protocol::{Change, Medium};
use super::server::{Server, now};
use super::view;
use super::world::{Faults, World, digits};

type Shared = State<Arc<Server>>;
type Answer<T> = Result<T, Error>;

/// The routes.
pub(super) fn routes() -> Router<Arc<Server>> {
    Router::new()
        .route("/state", get(state))
        .route("/changes", get(changes))
        .route("/phones", post(add_phone))
        .route("/phones/{number}", get(phone).patch(change_phone))
        .route("/phones/{number}/scan", post(scan))
        .route("/phones/{number}/messages", post(write).get(messages))
        .route("/phones/{number}/messages/{id}/keys", post(send_keys))
        .route("/phones/{number}/messages/{id}/change", post(change))
        .route("/phones/{number}/read", post(read))
        .route("/files", delete(forget_files))
        .route("/phones/{number}/devices", delete(unlink_all))
        .route("/phones/{number}/devices/{id}", delete(unlink))
        .route("/groups", post(add_group))
        .route("/faults", post(set_faults))
        .route("/followed", post(followed))
        .fallback(|| async { StatusCode::NOT_FOUND })
}

/// A JSON body, whatever its content type says: these requests are written by hand, too.
struct Body<T>(T);

impl<T: serde::de::DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let bytes = axum::body::Bytes::from_request(request, state)
            .await
            .map_err(IntoResponse::into_response)?;
        match Json::<T>::from_bytes(&bytes) {
            Ok(Json(body)) => Ok(Self(body)),
            Err(rejection) => Err(bad_body(&rejection)),
        }
    }
}

fn bad_body(rejection: &JsonRejection) -> Response {
    let body = json!({"error_code": "BAD_REQUEST", "error": rejection.body_text()});
    (StatusCode::BAD_REQUEST, Json(body)).into_response()
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, code) = match &self {
            Error::Listen { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL"),
            Error::Malformed { .. } => (StatusCode::BAD_REQUEST, "BAD_REQUEST"),
            Error::PhoneExists(_) => (StatusCode::CONFLICT, "PHONE_EXISTS"),
            Error::NoPhone(_) => (StatusCode::NOT_FOUND, "PHONE_NOT_FOUND"),
            Error::Offline(_) => (StatusCode::CONFLICT, "PHONE_OFFLINE"),
            Error::NoSuchCode => (StatusCode::GONE, "CODE_EXPIRED"),
            Error::TooManyDevices { .. } => (StatusCode::CONFLICT, "TOO_MANY_DEVICES"),
            Error::NoDevice { .. } => (StatusCode::NOT_FOUND, "DEVICE_NOT_FOUND"),
            Error::NoSuchChat(_) => (StatusCode::NOT_FOUND, "CHAT_NOT_FOUND"),
            Error::NoSuchMessage(_) => (StatusCode::NOT_FOUND, "MESSAGE_NOT_FOUND"),
            Error::NotAMember { .. } => (StatusCode::FORBIDDEN, "NOT_A_MEMBER"),
        };
        (status, Json(json!({"error_code": code, "error": self.to_string()}))).into_response()
    }
}

async fn state(State(server): Shared) -> Json<view::State> {
    Json(server.world().state(now()))
}

/// Changes that come together are told together, and only those that the listener was fast enough for: it asks for the
/// state anyway.
async fn changes(State(server): Shared) -> Sse<impl Stream<Item = Result<Event, std::convert::Infallible>>> {
    let stop = server.stop.clone().cancelled_owned();
    let receiver = server.world().watch();
    let stream = stream::unfold((receiver, true), |(mut receiver, first)| async move {
        if !first {
            receiver.changed().await.ok()?;
        }
        let count = *receiver.borrow_and_update();
        Some((Ok(Event::default().data(count.to_string())), (receiver, false)))
    });
    Sse::new(stream.take_until(stop)).keep_alive(KeepAlive::default())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPhone {
    number: String,
    #[serde(default)]
    name: String,
}

async fn add_phone(State(server): Shared, Body(new): Body<NewPhone>) -> Answer<(StatusCode, Json<view::PhoneView>)> {
    let mut world = server.world();
    world.add_phone(&new.number, &new.name)?;
    let phone = world.phone(&digits(&new.number)?)?;
    Ok((StatusCode::CREATED, Json(world.phone_view(phone))))
}

async fn phone(State(server): Shared, Path(number): Path<String>) -> Answer<Json<view::PhoneView>> {
    let world = server.world();
    let phone = world.phone(&digits(&number)?)?;
    Ok(Json(world.phone_view(phone)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PhoneChange {
    online: bool,
}

async fn change_phone(
    State(server): Shared,
    Path(number): Path<String>,
    Body(change): Body<PhoneChange>,
) -> Answer<Json<view::PhoneView>> {
    let number = digits(&number)?;
    let mut world = server.world();
    world.set_online(&number, change.online, now())?;
    Ok(Json(world.phone_view(world.phone(&number)?)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scan {
    #[serde(alias = "ref")]
    qr: String,
}

async fn scan(State(server): Shared, Path(number): Path<String>, Body(scan): Body<Scan>) -> Answer<Json<Value>> {
    let device = server.world().scan(&digits(&number)?, &scan.qr, now())?;
    Ok(Json(json!({"device": device})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewMessage {
    to: String,
    text: String,
    quote: Option<String>,
    #[serde(default)]
    mentions: Vec<String>,
    timestamp: Option<i64>,
    id: Option<String>,
    #[serde(default)]
    encrypted: bool,
    media: Option<NewFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewFile {
    data: String,
    mimetype: String,
    filename: Option<String>,
}

async fn write(
    State(server): Shared,
    Path(number): Path<String>,
    Body(new): Body<NewMessage>,
) -> Answer<(StatusCode, Json<Option<view::MessageView>>)> {
    let number = digits(&number)?;
    let mut world = server.world();
    let media = match new.media {
        None => None,
        Some(file) => Some(medium(&mut world, file)?),
    };
    let draft = Draft {
        media,
        to: new.to,
        text: new.text,
        quote: new.quote,
        mentions: new.mentions,
        at: new.timestamp,
        id: new.id,
        encrypted: new.encrypted,
    };
    let (chat, id) = world.write(&number, draft, now())?;
    let message = world.message(world.phone(&number)?, &chat, &id);
    Ok((StatusCode::CREATED, Json(message)))
}

fn medium(world: &mut World, file: NewFile) -> Answer<Medium> {
    let bytes = STANDARD.decode(&file.data).map_err(|_| Error::Malformed {
        what: "the data of a file",
        why: "is base64",
    })?;
    let (size, filehash) = (bytes.len() as u64, STANDARD.encode(Sha256::digest(&bytes)));
    Ok(Medium {
        reference: world.files.keep(bytes),
        mimetype: file.mimetype,
        filename: file.filename,
        size,
        filehash,
    })
}

#[derive(Deserialize)]
struct NewChange {
    chat: String,
    #[serde(flatten)]
    change: Change,
}

async fn change(
    State(server): Shared,
    Path((number, id)): Path<(String, String)>,
    Body(new): Body<NewChange>,
) -> Answer<StatusCode> {
    let mut world = server.world();
    world.change(&digits(&number)?, None, &new.chat, &id, &new.change, now())?;
    Ok(StatusCode::NO_CONTENT)
}

async fn forget_files(State(server): Shared) {
    server.world().files.forget_all();
}

async fn send_keys(State(server): Shared, Path((number, id)): Path<(String, String)>) -> Answer<StatusCode> {
    server.world().send_keys(&digits(&number)?, &id)?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
struct Which {
    chat: Option<String>,
    limit: Option<usize>,
}

async fn messages(
    State(server): Shared,
    Path(number): Path<String>,
    Query(which): Query<Which>,
) -> Answer<Json<Vec<view::MessageView>>> {
    let world = server.world();
    let phone = world.phone(&digits(&number)?)?;
    Ok(Json(world.messages(
        phone,
        which.chat.as_deref(),
        which.limit.unwrap_or(usize::MAX),
    )))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reading {
    chat: String,
}

async fn read(State(server): Shared, Path(number): Path<String>, Body(reading): Body<Reading>) -> Answer<Json<Value>> {
    let number = digits(&number)?;
    let mut world = server.world();
    let chat = address(&world, &reading.chat)?;
    if !world.phone(&number)?.online {
        return Err(Error::Offline(number));
    }
    let read = world.read(&number, &chat, None, now());
    Ok(Json(json!({"read": read})))
}

async fn unlink_all(State(server): Shared, Path(number): Path<String>) -> Answer<Json<Value>> {
    let removed = server.world().unlink(&digits(&number)?, None)?;
    Ok(Json(json!({"removed": removed})))
}

async fn unlink(State(server): Shared, Path((number, id)): Path<(String, String)>) -> Answer<Json<Value>> {
    let removed = server.world().unlink(&digits(&number)?, Some(&id))?;
    Ok(Json(json!({"removed": removed})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewGroup {
    name: String,
    members: Vec<String>,
}

async fn add_group(State(server): Shared, Body(new): Body<NewGroup>) -> Answer<(StatusCode, Json<Value>)> {
    let id = server.world().add_group(&new.name, &new.members, now())?;
    Ok((StatusCode::CREATED, Json(json!({"id": id}))))
}

async fn set_faults(State(server): Shared, Body(faults): Body<Faults>) -> Json<Faults> {
    server.world().set_faults(faults.clone());
    Json(faults)
}

async fn followed(State(server): Shared) {
    server.world().followed += 1;
}

fn address(world: &World, to: &str) -> Answer<String> {
    world.address(to).ok_or_else(|| Error::NoSuchChat(to.to_owned()))
}
