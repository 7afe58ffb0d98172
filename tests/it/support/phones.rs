//! A simulated WhatsApp in this process and its phones, driven over its control API.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use wharf::simulator;

use super::client::Client;
use super::host::PATIENCE;

pub(crate) struct Phones {
    pub(crate) url: String,
    client: Client,
    stop: CancellationToken,
}

impl Phones {
    /// Starts it on a free port.
    pub(crate) async fn start() -> Self {
        let stop = CancellationToken::new();
        let options = simulator::Options::new("127.0.0.1:0".parse().unwrap());
        let running = simulator::serve(options, stop.clone()).await.unwrap();
        let base = format!("http://{}", running.addr);
        Self {
            url: format!("{base}/"),
            client: Client::new(&base, None),
            stop,
        }
    }

    pub(crate) async fn add(&self, number: &str, name: &str) {
        let answer = self
            .client
            .post("/control/phones", json!({ "number": number, "name": name }))
            .await;
        assert!(answer.status < 300, "{answer:?}");
    }

    pub(crate) async fn scan(&self, number: &str, qr: &str) {
        let answer = self
            .client
            .post(&format!("/control/phones/{number}/scan"), json!({ "qr": qr }))
            .await;
        assert!(answer.status < 300, "{answer:?}");
    }

    /// Removes every linked device of a phone.
    pub(crate) async fn unlink(&self, number: &str) {
        let answer = self.client.delete(&format!("/control/phones/{number}/devices")).await;
        assert!(answer.status < 300, "{answer:?}");
    }

    /// Writes from one phone to a number or a chat.
    pub(crate) async fn write(&self, from: &str, to: &str, text: &str) {
        self.send(from, json!({ "to": to, "text": text })).await;
    }

    pub(crate) async fn send(&self, from: &str, message: Value) {
        let answer = self
            .client
            .post(&format!("/control/phones/{from}/messages"), message)
            .await;
        assert!(answer.status < 300, "{answer:?}");
    }

    /// The texts that a phone holds, of every chat, oldest first.
    pub(crate) async fn texts(&self, number: &str) -> Vec<String> {
        let messages = self.messages(number).await;
        messages
            .iter()
            .map(|message| message["text"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    pub(crate) async fn messages(&self, number: &str) -> Vec<Value> {
        let answer = self.client.get(&format!("/control/phones/{number}/messages")).await;
        answer.json.as_array().unwrap().clone()
    }

    /// Waits until a phone holds the text.
    pub(crate) async fn until_text(&self, number: &str, text: &str) {
        self.until_count(number, text, 1).await;
    }

    /// Waits until a phone holds the text so many times.
    pub(crate) async fn until_count(&self, number: &str, text: &str, count: usize) {
        let since = Instant::now();
        loop {
            let texts = self.texts(number).await;
            if texts.iter().filter(|held| *held == text).count() >= count {
                return;
            }
            assert!(
                since.elapsed() < PATIENCE,
                "{number} waited for {text:?} {count} times, holds {texts:?}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn fault(&self, fault: Value) {
        let answer = self.client.post("/control/faults", fault).await;
        assert!(answer.status < 300, "{answer:?}");
    }
}

impl Drop for Phones {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
