//! Accounts that write down what they are asked to send, and places where a script's thread can be made to stand still.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::{Notify, watch};
use wharf::action::{Content, Failure, FailureKind, SendOrder, Sent, State, Status};
use wharf::script::{AccountState, Host};
use wharf::store::{Batch, Intent, Store};

use super::bench::{PATIENCE, now};

/// A message that was sent.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sending {
    pub(super) key: String,
    pub(super) to: String,
    pub(super) text: String,
}

/// Accounts that keep the promise of [`Host::send`]: one message for each key, its answer in the store.
pub(super) struct Recorder {
    store: Store,
    sent: watch::Sender<Vec<Sending>>,
    asked: watch::Sender<Vec<String>>,
    /// Texts that are held until they are let go.
    called: Mutex<Vec<String>>,
    held: Mutex<HashMap<String, Arc<Notify>>>,
    /// Texts that are refused.
    refused: Mutex<Vec<String>>,
    /// Endpoints of these names are not answered about until that is allowed: the script's thread stands still.
    stops: Mutex<HashMap<String, Arc<Stop>>>,
}

/// A place where a script's thread stands still.
#[derive(Default)]
pub(super) struct Stop {
    arrived: watch::Sender<usize>,
    allowed: Mutex<usize>,
    changed: Condvar,
}

impl Stop {
    fn stand(&self) {
        self.arrived.send_modify(|arrived| *arrived += 1);
        let mut allowed = self.allowed.lock().unwrap();
        while *allowed == 0 {
            allowed = self.changed.wait(allowed).unwrap();
        }
        *allowed -= 1;
    }

    /// Waits until a thread has come here so often.
    pub(super) async fn until_arrived(&self, times: usize) {
        let mut arrived = self.arrived.subscribe();
        let found = tokio::time::timeout(PATIENCE, arrived.wait_for(|arrived| *arrived >= times)).await;
        assert!(found.is_ok(), "no thread came");
    }

    /// Lets so many go on, also those that come later.
    pub(super) fn allow(&self, times: usize) {
        *self.allowed.lock().unwrap() += times;
        self.changed.notify_all();
    }
}

impl Recorder {
    pub(super) fn new(store: &Store) -> Arc<Self> {
        Arc::new(Self {
            store: store.clone(),
            sent: watch::Sender::default(),
            asked: watch::Sender::default(),
            called: Mutex::default(),
            held: Mutex::default(),
            refused: Mutex::default(),
            stops: Mutex::default(),
        })
    }

    /// Holds the answer to sends of this text.
    pub(super) fn hold(&self, text: &str) -> Arc<Notify> {
        Arc::clone(self.held.lock().unwrap().entry(text.to_owned()).or_default())
    }

    pub(super) fn refuse(&self, text: &str) {
        self.refused.lock().unwrap().push(text.to_owned());
    }

    /// Makes threads stand still that ask for this endpoint.
    pub(super) fn stop_at(&self, endpoint: &str) -> Arc<Stop> {
        Arc::clone(self.stops.lock().unwrap().entry(endpoint.to_owned()).or_default())
    }

    /// Calls of services: method, address, idempotency key.
    pub(super) fn called(&self) -> Vec<String> {
        self.called.lock().unwrap().clone()
    }

    pub(super) fn sent(&self) -> Vec<Sending> {
        self.sent.borrow().clone()
    }

    pub(super) fn texts(&self) -> Vec<String> {
        self.sent().into_iter().map(|sending| sending.text).collect()
    }

    /// Keys of all orders, also of those that were not sent.
    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.borrow().clone()
    }

    pub(super) async fn until_sent(&self, enough: impl Fn(&[Sending]) -> bool) -> Vec<Sending> {
        let mut sent = self.sent.subscribe();
        let found = tokio::time::timeout(PATIENCE, sent.wait_for(|sent| enough(sent))).await;
        found
            .unwrap_or_else(|_| panic!("not sent in time; sent: {:?}", self.sent()))
            .unwrap()
            .clone()
    }

    pub(super) async fn until_text(&self, text: &str) {
        self.until_sent(|sent| sent.iter().any(|sending| sending.text == text))
            .await;
    }

    pub(super) async fn until_asked(&self, count: usize) {
        let mut asked = self.asked.subscribe();
        let found = tokio::time::timeout(PATIENCE, asked.wait_for(|asked| asked.len() >= count)).await;
        assert!(found.is_ok(), "not asked in time: {:?}", self.asked());
    }
}

impl Host for Recorder {
    fn send(&self, order: SendOrder) -> BoxFuture<'static, Result<Sent, Failure>> {
        let Content::Text { text, .. } = order.content.clone() else {
            panic!("{:?}", order.content)
        };
        self.asked.send_modify(|asked| asked.push(order.key.clone()));
        let held = self.held.lock().unwrap().get(&text).cloned();
        let refused = self.refused.lock().unwrap().contains(&text);
        let (store, sent) = (self.store.clone(), self.sent.clone());
        async move {
            if let Some(answer) = store.intent(&order.key).await.unwrap().and_then(|intent| intent.answer) {
                return Ok(answer);
            }
            if let Some(held) = held {
                held.notified().await;
            }
            if refused {
                let message = format!("account '{}' refused", order.account);
                return Err(Failure {
                    kind: FailureKind::Refused,
                    message,
                    account: Some(order.account),
                });
            }
            let answer = Sent {
                id: format!("m{}", sent.borrow().len()),
                status: Status::Sent,
            };
            let intent = Intent {
                key: order.key.clone(),
                account: order.account,
                chat: Some(order.to.clone()),
                message_id: Some(answer.id.clone()),
                page_id: Some("page".into()),
                to: order.to.clone(),
                content: order.content,
                source: order.source,
                made_at: now(),
                answer: Some(answer.clone()),
                keep_until: None,
            };
            let batch = Batch {
                intents: vec![(order.key.clone(), Some(intent))],
                ..Batch::default()
            };
            store.commit(batch).await.unwrap();
            sent.send_modify(|sent| {
                sent.push(Sending {
                    key: order.key,
                    to: order.to,
                    text,
                })
            });
            Ok(answer)
        }
        .boxed()
    }

    fn account(&self, id: &str) -> Option<AccountState> {
        (id == "sales").then_some(AccountState {
            state: State::Ready,
            reason: None,
            since: 1,
            proof_age: Some(0),
            phone: None,
        })
    }

    fn http(
        &self,
        method: hyper::Method,
        request: wharf::http::Request,
    ) -> BoxFuture<'static, Result<wharf::http::Response, wharf::http::Error>> {
        let key = request.headers.iter().find(|(name, _)| name == "idempotency-key");
        let call = format!("{method} {} {}", request.url, key.map_or("", |(_, key)| key));
        self.called.lock().unwrap().push(call);
        Box::pin(async move {
            Ok(wharf::http::Response {
                status: 200,
                headers: hyper::HeaderMap::new(),
                body: request.body,
                cut: false,
            })
        })
    }

    fn has_endpoint(&self, name: &str) -> bool {
        assert_ne!(name, "panic", "as a test wants it");
        let stop = self.stops.lock().unwrap().get(name).cloned();
        if let Some(stop) = stop {
            stop.stand();
        }
        name == "crm"
    }
}
