//! What waits for the linked devices, and what is written to a line next.
//!
//! In: items for an account, confirmations of its devices. Out: frames, in order. Must not decide who gets what.

use super::protocol::{Item, ToPage};
use super::world::{Parcel, Stage, Waiting, World};

/// Items that wait for a device; see [`super::world::Linked::queue`].
pub(super) const QUEUE: usize = 50_000;

/// Frames that are taken from a queue at once.
const BATCH: usize = 256;

/// What is to be written to a line now.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Outgoing {
    /// In this order.
    pub(super) frames: Vec<ToPage>,
    /// The socket is closed after them.
    pub(super) close: bool,
}

impl World {
    /// Puts an item into the queue of every device of an account but `except`.
    pub(super) fn queue(&mut self, number: &str, except: Option<&str>, item: &Item) {
        let mut lost = Vec::new();
        for (id, linked) in self.devices.iter_mut().filter(|(_, linked)| linked.number == number) {
            if except == Some(id.as_str()) {
                continue;
            }
            if linked.queue.len() >= QUEUE {
                lost.push(id.clone());
                continue;
            }
            let mut item = item.clone();
            if let Item::Message { offline, .. } = &mut item {
                *offline = linked.line.is_none();
            }
            linked.last += 1;
            linked.queue.push_back(Waiting {
                n: linked.last,
                what: Parcel::Item(item),
            });
        }
        for id in lost {
            self.unlink_device(&id);
        }
    }

    /// A device has stored an item. A message it has counts as delivered, also when the phone is away
    /// (assumed of WhatsApp's multi-device, as in `deliver`).
    pub(super) fn got(&mut self, line: u64, n: u64, now: i64) {
        let Some((device, number)) = self.device_on(line) else {
            return;
        };
        let Some(linked) = self.devices.get_mut(&device) else {
            return;
        };
        let Ok(at) = linked.queue.binary_search_by_key(&n, |waiting| waiting.n) else {
            return;
        };
        if let Some(Waiting {
            what: Parcel::Item(Item::Message { message, .. }),
            ..
        }) = linked.queue.remove(at)
            && !message.from_me
        {
            self.deliver(&number, &message.chat, Some(&message.id), now);
        }
    }

    /// What is to be written to a line now: answers first, then items, with `synced` after the last one that waited.
    pub(super) fn take(&mut self, line: u64) -> Outgoing {
        // A line that is not in the world any more is closed.
        let Some(line) = self.lines.get_mut(&line) else {
            return Outgoing {
                frames: Vec::new(),
                close: true,
            };
        };
        let mut frames: Vec<ToPage> = line.out.drain(..).collect();
        if let Stage::Linked {
            device,
            written,
            catching_up,
        } = &mut line.stage
        {
            // A queue is in order of its numbers.
            let queue = self.devices.get(device).map(|linked| &linked.queue);
            let next = queue
                .into_iter()
                .flat_map(|queue| queue.range(queue.partition_point(|waiting| waiting.n <= *written)..));
            let next: Vec<&Waiting> = next.take(BATCH).collect();
            let full = next.len() == BATCH;
            for waiting in next {
                if catching_up.is_some_and(|last| waiting.n > last) {
                    *catching_up = None;
                    frames.push(ToPage::Synced);
                }
                *written = waiting.n;
                frames.push(waiting.frame());
            }
            if !full && catching_up.take().is_some() {
                frames.push(ToPage::Synced);
            }
        }
        Outgoing {
            frames,
            close: line.closing,
        }
    }
}

impl Waiting {
    fn frame(&self) -> ToPage {
        match &self.what {
            Parcel::History(chats) => ToPage::History {
                n: self.n,
                chats: chats.clone(),
            },
            Parcel::Item(item) => ToPage::Item {
                n: self.n,
                item: item.clone(),
            },
        }
    }

    /// It has waited while the device was away.
    pub(super) fn mark_offline(&mut self) {
        if let Parcel::Item(Item::Message { offline, .. }) = &mut self.what {
            *offline = true;
        }
    }
}
