//! What the invented accounts do beside sending, and what they know.
//!
//! In: acts and looks of the script, contacts, chats and messages that the test says there are. Out: the same answers as a page
//! gives, and a record of what was done. Must not wait.

use std::collections::BTreeMap;

use hyper::body::Bytes;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::action::{
    Act, ActOrder, Chat, Contact, DownloadOrder, Failure, FailureKind, File, Found, Look, LookOrder, Shape,
};
use crate::event::Message;
use crate::script::Made;
use crate::script::error::suggestion;

use super::bot::{Bot, wrong};
use super::expect;
use super::world::Invented;

/// Something that was done.
pub(super) struct Done {
    account: String,
    act: Act,
}

/// What the test says that every account knows.
#[derive(Default)]
pub(super) struct Known {
    contacts: Vec<Contact>,
    chats: Vec<Chat>,
    history: BTreeMap<String, Vec<Message>>,
    /// By the ids of messages.
    pub(super) files: BTreeMap<String, File>,
}

impl Invented {
    pub(super) fn perform(&self, order: ActOrder) -> Result<(), Failure> {
        if let Some(failure) = self.failure(order.act.name(), &order.account) {
            return Err(failure);
        }
        let account = order.account.as_str().to_owned();
        self.done.borrow_mut().push_back(Done {
            account,
            act: order.act,
        });
        Ok(())
    }

    pub(super) fn find(&self, order: &LookOrder) -> Result<Found, Failure> {
        if let Some(failure) = self.failure(order.look.name(), &order.account) {
            return Err(failure);
        }
        let known = self.known.borrow();
        Ok(match &order.look {
            Look::Contact { id } => {
                let digits = id.trim_start_matches('+').trim_end_matches("@c.us");
                let is = |contact: &&Contact| {
                    contact.id == *id || contact.lid.as_ref() == Some(id) || contact.phone.as_deref() == Some(digits)
                };
                Found::Contact(known.contacts.iter().find(is).cloned())
            }
            Look::Chats { unread, groups, limit } => {
                let fits = |chat: &&Chat| {
                    (!unread || chat.unread != 0) && groups.is_none_or(|groups| chat.id.ends_with("@g.us") == groups)
                };
                Found::Chats(known.chats.iter().filter(fits).take(*limit).cloned().collect())
            }
            Look::History { chat, limit, before } => {
                let all = known.history.get(chat).ok_or_else(|| Failure {
                    kind: FailureKind::Refused,
                    message: format!("account {}: no chat for `{chat}`", order.account),
                    account: Some(order.account.clone()),
                })?;
                let end = before
                    .as_ref()
                    .and_then(|id| all.iter().position(|message| message.id == *id));
                let all = all.get(..end.unwrap_or(all.len())).unwrap_or_default();
                let from = all.len().saturating_sub(*limit);
                Found::History(all.get(from..).unwrap_or_default().to_vec())
            }
        })
    }
}

impl Invented {
    /// The file that the test has given a message.
    pub(super) fn fetch(&self, order: &DownloadOrder) -> Result<File, Failure> {
        if let Some(failure) = self.failure("download", &order.account) {
            return Err(failure);
        }
        let known = self.known.borrow();
        known.files.get(&order.message).cloned().ok_or_else(|| Failure {
            kind: FailureKind::Refused,
            message: format!(
                "the test has no file for it: bot:message {{ id = \"{}\", file = {{ … }} }}",
                order.message
            ),
            account: Some(order.account.clone()),
        })
    }

    pub(super) fn keep_file(&self, file: Made) -> File {
        let digest = Sha256::digest(&file.bytes);
        let sha256: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let kept = File {
            sha256: sha256.clone(),
            size: file.bytes.len() as u64,
            mimetype: file.mimetype,
            filename: file.filename,
        };
        self.files.borrow_mut().insert(sha256, file.bytes);
        kept
    }

    pub(super) fn bytes_of(&self, file: &File) -> Result<Bytes, Failure> {
        let bytes = self.files.borrow().get(&file.sha256).cloned();
        bytes.ok_or_else(|| Failure {
            kind: FailureKind::Refused,
            message: "the file is not kept any more".to_owned(),
            account: None,
        })
    }
}

impl Bot {
    /// `bot:knows { contacts = {…}, chats = {…}, history = { ["49170@c.us"] = {…} } }`
    pub(super) fn knows(&self, said: &Map<String, Value>) -> mlua::Result<()> {
        const PARTS: &[&str] = &["contacts", "chats", "history"];
        let mut known = self.world.known.borrow_mut();
        for (part, value) in said {
            match part.as_str() {
                "contacts" => known.contacts = each(value, "id", contact)?,
                "chats" => known.chats = each(value, "id", chat)?,
                "history" => {
                    for (chat, messages) in value.as_object().into_iter().flatten() {
                        let messages = each(messages, "body", |fields| message(chat, fields))?;
                        known.history.insert(chat.clone(), messages);
                    }
                }
                other => {
                    let hint = suggestion(other, PARTS.iter().copied());
                    return Err(wrong(format!("bot:knows has no '{other}'{hint}")));
                }
            }
        }
        Ok(())
    }

    /// Lets a message carry a file: `file = { body =, mimetype =, filename = }`.
    pub(super) fn attach(&self, file: &Value, data: &mut Value) -> mlua::Result<()> {
        let text = |name: &str| file.get(name).and_then(Value::as_str).map(str::to_owned);
        let (Some(body), Some(mimetype)) = (text("body"), text("mimetype")) else {
            return Err(wrong("the file of a message is { body =, mimetype =, filename = }"));
        };
        let made = Made {
            bytes: body.into(),
            mimetype,
            filename: text("filename"),
        };
        let file = self.world.keep_file(made);
        let kind = Shape::ALL.iter().find(|(_, shape)| *shape == Shape::of(&file.mimetype));
        data["type"] = Value::from(kind.map_or("document", |(word, _)| *word));
        data["media"] = serde_json::json!({
            "id": null, "mimetype": file.mimetype, "filename": file.filename, "size": file.size, "sha256": null, "status": "remote",
        });
        let id = data["id"].as_str().unwrap_or_default().to_owned();
        self.world.known.borrow_mut().files.insert(id, file);
        Ok(())
    }

    /// `bot:expect_done("react", { emoji = "👍" })`: the next act.
    pub(super) fn expect_done(&self, what: &str, expected: &Map<String, Value>) -> mlua::Result<()> {
        let Some(done) = self.world.done.borrow_mut().pop_front() else {
            self.still_fine()?;
            return Err(wrong(format!("expected '{what}', but nothing was done")));
        };
        let found = serde_json::to_value(&done.act).unwrap_or_default();
        let mut fields = found.as_object().cloned().unwrap_or_default();
        fields.insert("account".to_owned(), done.account.into());
        if let Some(millis) = fields.remove("millis").and_then(|millis| millis.as_f64()) {
            fields.insert("seconds".to_owned(), (millis / 1000.0).into());
        }
        let kind = fields.remove("kind").unwrap_or_default();
        expect::done(what, kind.as_str().unwrap_or_default(), expected, &fields).map_err(wrong)
    }
}

/// A list of tables, or of texts that stand for their first field.
fn each<T>(
    list: &Value,
    first: &str,
    read: impl Fn(&Map<String, Value>) -> Result<T, serde_json::Error>,
) -> mlua::Result<Vec<T>> {
    let items = list.as_array().ok_or_else(|| wrong("bot:knows takes lists"))?;
    let fields = items.iter().map(|item| match item {
        Value::Object(fields) => fields.clone(),
        other => Map::from_iter([(first.to_owned(), other.clone())]),
    });
    fields
        .map(|fields| read(&fields).map_err(|error| wrong(format!("bot:knows: {error}"))))
        .collect()
}

fn with(defaults: Value, fields: &Map<String, Value>) -> Value {
    let mut all = defaults;
    if let Some(object) = all.as_object_mut() {
        object.extend(fields.clone());
    }
    all
}

fn contact(fields: &Map<String, Value>) -> Result<Contact, serde_json::Error> {
    let id = fields.get("id").and_then(Value::as_str).unwrap_or_default();
    let phone = id.strip_suffix("@c.us");
    serde_json::from_value(with(serde_json::json!({ "phone": phone, "business": false }), fields))
}

fn chat(fields: &Map<String, Value>) -> Result<Chat, serde_json::Error> {
    serde_json::from_value(with(serde_json::json!({ "unread": 0, "last": 0 }), fields))
}

fn message(chat: &str, fields: &Map<String, Value>) -> Result<Message, serde_json::Error> {
    let from_me = fields.get("from_me").and_then(Value::as_bool).unwrap_or_default();
    let body = fields.get("body").and_then(Value::as_str).unwrap_or_default();
    let defaults = serde_json::json!({
        "id": format!("{from_me}_{chat}_{:X}", body.len()), "chat": chat, "from": chat, "to": "me@c.us", "sender": { "id": chat },
        "from_me": from_me, "type": "chat", "timestamp": 0, "ack": 0,
    });
    serde_json::from_value(with(defaults, fields))
}
