//! The tab of the fake world.
//!
//! In: the calls of a session. Out: the world's answers, and its faults. Must keep to what `page::Tab` promises.

use std::path::PathBuf;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use hyper::body::Bytes;
use tokio::sync::mpsc;

use super::{Fate, Shared};
use crate::action::{Act, Content, Found, Look};
use crate::event::{AccountId, Message};
use crate::page::{Begun, ChatSummary, Error, Fetched, Format, Ordered, PageEvent, PageStatus, Resolved};
use crate::session::tab::{Opened, Opener, Tab, Wanted};

struct FakeTab {
    account: AccountId,
    world: Shared,
}

impl FakeTab {
    fn changed(&self) -> Error {
        Error::DocumentChanged {
            account: self.account.clone(),
            step: "send a message",
        }
    }

    async fn carry_out(&self, id: &str, chat: &str, content: &Content) -> Result<Ordered, Error> {
        let text = match content {
            Content::Text { text, .. } => text.clone(),
            Content::File { caption, .. } => {
                // As the page: what was not put there cannot be sent.
                let bytes = self.world.lock().document.files.remove(id);
                let bytes = bytes.ok_or_else(|| Error::Page {
                    account: self.account.clone(),
                    step: "send a message",
                    message: "its file is not in the page".to_owned(),
                })?;
                format!(
                    "{}{}",
                    caption.clone().unwrap_or_default(),
                    String::from_utf8_lossy(&bytes)
                )
            }
        };
        let fate = {
            let mut world = self.world.lock();
            match world.document.table.get(id) {
                Some(Some(answer)) => return Ok(answer.clone()),
                Some(None) => Some(Fate::Hangs),
                None => world.fates.pop_front(),
            }
        };
        let deliver = |kept: Option<i64>| {
            let mut world = self.world.lock();
            world.delivered.push((id.to_owned(), chat.to_owned(), text.clone()));
            kept.map(|ack| world.kept.insert(id.to_owned(), ack));
            world
                .document
                .table
                .insert(id.to_owned(), Some(Ordered::Sent { ack: 1 }));
        };
        match fate {
            None => {
                deliver(Some(1));
                Ok(Ordered::Sent { ack: 1 })
            }
            Some(Fate::Refused) => {
                let refused = Ordered::Refused {
                    reason: "ERROR_NETWORK".to_owned(),
                };
                self.world
                    .lock()
                    .document
                    .table
                    .insert(id.to_owned(), Some(refused.clone()));
                Ok(refused)
            }
            Some(Fate::Thrown) => {
                let (account, step) = (self.account.clone(), "send a message");
                Err(Error::Page {
                    account,
                    step,
                    message: "it is too long".to_owned(),
                })
            }
            Some(Fate::LostBefore) => {
                self.world.lock().new_document();
                Err(self.changed())
            }
            Some(Fate::LostAfter(kept)) => {
                deliver(kept);
                self.world.lock().new_document();
                Err(self.changed())
            }
            Some(Fate::Mute) => {
                deliver(Some(1));
                std::future::pending().await
            }
            Some(Fate::Hangs) => {
                self.world.lock().document.table.insert(id.to_owned(), None);
                std::future::pending().await
            }
        }
    }
}

type Answer<'a, T> = BoxFuture<'a, Result<T, Error>>;

fn now<'a, T: Send + 'a>(answer: T) -> Answer<'a, T> {
    std::future::ready(Ok(answer)).boxed()
}

impl Tab for FakeTab {
    fn ack<'a>(&'a self, page_id: &'a str, page_seq: u64) -> Answer<'a, ()> {
        let mut world = self.world.lock();
        world.acked.push((page_id.to_owned(), page_seq));
        if world.page_id() == page_id && !world.deaf {
            world.document.ring.retain(|(seq, _)| *seq > page_seq);
        }
        now(())
    }

    fn status(&self) -> Answer<'_, PageStatus> {
        let world = self.world.lock();
        if world.hung {
            std::future::pending().boxed()
        } else {
            now(world.status())
        }
    }

    fn resolve<'a>(&'a self, to: &'a str) -> Answer<'a, Resolved> {
        let mut world = self.world.lock();
        if to == "nobody" {
            let (account, to, reason) = (self.account.clone(), to.to_owned(), "not on WhatsApp".to_owned());
            return std::future::ready(Err(Error::NoChat { account, to, reason })).boxed();
        }
        world.ids += 1;
        let chat = if to.contains('@') {
            to.to_owned()
        } else {
            format!("{to}@c.us")
        };
        let message_id = format!("true_{chat}_3EB0{:04}", world.ids);
        now(Resolved {
            chat,
            message_id,
            page_id: world.page_id(),
        })
    }

    fn order<'a>(&'a self, message_id: &'a str, chat: &'a str, content: &'a Content) -> Answer<'a, Ordered> {
        self.carry_out(message_id, chat, content).boxed()
    }

    fn put<'a>(&'a self, message_id: &'a str, bytes: &'a Bytes) -> Answer<'a, ()> {
        let mut world = self.world.lock();
        world.document.files.insert(message_id.to_owned(), bytes.clone());
        now(())
    }

    fn fetch<'a>(&'a self, _message_id: &'a str, most: u64) -> Answer<'a, Fetched> {
        let mut world = self.world.lock();
        if let Some(error) = world.troubles.pop_front() {
            return std::future::ready(Err(error)).boxed();
        }
        assert!(most > 0);
        now(Fetched {
            bytes: Bytes::from_static(b"a picture"),
            mimetype: "image/png".to_owned(),
            filename: None,
        })
    }

    fn ask<'a>(&'a self, page_id: &'a str, message_id: &'a str) -> Answer<'a, Begun> {
        let world = self.world.lock();
        now(match world.document.table.get(message_id) {
            _ if world.page_id() != page_id => Begun::OtherDocument,
            None => Begun::NeverOrdered,
            Some(None) => Begun::Running,
            Some(Some(answer)) => Begun::Answered(answer.clone()),
        })
    }

    fn find_message<'a>(&'a self, _chat: &'a str, message_id: &'a str) -> Answer<'a, Option<i64>> {
        now(self.world.lock().kept.get(message_id).copied())
    }

    fn chats(&self, limit: usize) -> Answer<'_, Vec<ChatSummary>> {
        let world = self.world.lock();
        let newest = |messages: &Vec<Message>| {
            messages
                .iter()
                .map(|message| message.timestamp)
                .max()
                .unwrap_or_default()
        };
        let mut chats: Vec<ChatSummary> = world
            .chats
            .iter()
            .map(|(id, messages)| ChatSummary {
                id: id.clone(),
                canonical: world.canonical(id),
                timestamp_ms: newest(messages),
                unread: 0,
            })
            .collect();
        chats.sort_by_key(|chat| std::cmp::Reverse(chat.timestamp_ms));
        chats.truncate(limit);
        now(chats)
    }

    fn history<'a>(&'a self, chat: &'a str, until_ms: i64, limit: usize) -> Answer<'a, Vec<Message>> {
        let world = self.world.lock();
        if world.unreadable.as_deref() == Some(chat) {
            let (account, step, message) = (self.account.clone(), "read a chat", "it chokes".to_owned());
            return std::future::ready(Err(Error::Page { account, step, message })).boxed();
        }
        let mut found: Vec<Message> = world.chats[chat]
            .iter()
            .filter(|message| message.timestamp > until_ms)
            .cloned()
            .collect();
        found.sort_by_key(|message| message.timestamp);
        now(found.split_off(found.len().saturating_sub(limit)))
    }

    fn act<'a>(&'a self, act: &'a Act) -> Answer<'a, ()> {
        let mut world = self.world.lock();
        if let Some(error) = world.troubles.pop_front() {
            return std::future::ready(Err(error)).boxed();
        }
        world.acts.push(act.clone());
        now(())
    }

    fn look<'a>(&'a self, _look: &'a Look) -> Answer<'a, Found> {
        match self.world.lock().troubles.pop_front() {
            Some(error) => std::future::ready(Err(error)).boxed(),
            None => now(Found::Contact(None)),
        }
    }

    fn refresh_qr(&self) -> Answer<'_, ()> {
        self.world.lock().refreshed += 1;
        now(())
    }

    fn snapshot(&self, _format: Format) -> Answer<'_, Vec<u8>> {
        let mut world = self.world.lock();
        world.pictures += 1;
        now(vec![u8::try_from(world.pictures).unwrap()])
    }

    fn reload(&self) -> Answer<'_, ()> {
        self.world.lock().new_document();
        now(())
    }

    fn logout(&self) -> Answer<'_, ()> {
        self.world.lock().linked = false;
        self.world.report(PageEvent::LoggedOut { reason: None });
        now(())
    }

    fn close(&self) -> Answer<'_, ()> {
        let mut world = self.world.lock();
        world.closed += 1;
        world.reports = None;
        now(())
    }
}

impl Opener for Shared {
    fn open(&self, wanted: Wanted) -> BoxFuture<'static, Result<Opened, Error>> {
        let shared = self.clone();
        async move {
            let mut world = shared.lock();
            if let Some(refusal) = world.refusals.pop_front() {
                return Err(refusal);
            }
            world.opened += 1;
            std::fs::create_dir_all(wanted.profile.join("Default")).unwrap();
            let (sender, receiver) = mpsc::channel(1024);
            world.reports = Some(sender);
            if std::mem::take(&mut world.outlives) {
                world.drain();
            } else {
                world.new_document();
            }
            drop(world);
            Ok((
                Arc::new(FakeTab {
                    account: wanted.account,
                    world: shared,
                }) as Arc<dyn Tab>,
                receiver,
            ))
        }
        .boxed()
    }

    fn clear(&self, _account: AccountId, _profile: PathBuf) -> BoxFuture<'static, Result<(), Error>> {
        now(())
    }
}
