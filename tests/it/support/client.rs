//! A plain HTTP client for the tests.

use std::time::Duration;

use serde_json::Value;

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) bytes: Vec<u8>,
    /// `null` where the body is not JSON.
    pub(crate) json: Value,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} with {} bytes: {}", self.status, self.bytes.len(), self.json)
    }
}

pub(crate) struct Client {
    base: String,
    key: Option<String>,
    inner: reqwest::Client,
}

impl Client {
    pub(crate) fn new(base: &str, key: Option<&str>) -> Self {
        // Another test of this process may have done it.
        rustls::crypto::ring::default_provider().install_default().ok();
        #[allow(
            clippy::disallowed_methods,
            reason = "the guard of addresses is for the host, not for its tests"
        )]
        let inner = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(60))
            .build()
            .unwrap();
        Self {
            base: base.to_owned(),
            key: key.map(str::to_owned),
            inner,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.request(reqwest::Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.request(reqwest::Method::POST, path, Some(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.request(reqwest::Method::PUT, path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.request(reqwest::Method::DELETE, path, None).await
    }

    pub(crate) async fn request(&self, method: reqwest::Method, path: &str, body: Option<Value>) -> Answer {
        self.with(method, path, &[], body).await
    }

    /// Where it asks, without a path.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// A request with headers of its own.
    pub(crate) async fn with(
        &self,
        method: reqwest::Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Answer {
        let mut request = self.inner.request(method, format!("{}{path}", self.base));
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await.unwrap().to_vec();
        let json = serde_json::from_slice(&bytes).unwrap_or_default();
        Answer {
            status,
            headers,
            bytes,
            json,
        }
    }
}
