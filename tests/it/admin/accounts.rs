//! Accounts, what is wrong with a request about one, and their webhooks.

use serde_json::{Value, json};

use super::rig::Host;

#[tokio::test]
async fn accounts_are_made_up_to_the_limit_and_a_delete_frees_the_slot() {
    let host = Host::start_with("[admin]\nlisten = \"127.0.0.1:0\"\n[accounts]\nmax = 2\n").await;
    let made = host
        .post("/api/accounts", json!({"id": "sales", "name": " Sales <b> "}))
        .await;
    assert_eq!(made.status, 201);
    let view = made.json();
    assert_eq!(
        (view["id"].as_str(), view["name"].as_str()),
        (Some("sales"), Some("Sales <b>"))
    );
    for field in ["state", "reason", "since", "phone", "webhook_url", "proof_age_ms"] {
        assert!(view.get(field).is_some(), "{field}");
    }
    assert_eq!(
        host.post("/api/accounts", json!({"id": "sales"})).await.code(),
        "ACCOUNT_EXISTS"
    );
    let unnamed = host.with(&host.key, "POST", "/api/accounts", None).await;
    assert_eq!(unnamed.status, 201, "id and name may be left out: {}", unnamed.text);

    let refused = host.post("/api/accounts", json!({"id": "third"})).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (429, "MAX_ACCOUNT_LIMIT_REACHED")
    );
    assert_eq!(
        (&refused.json()["current"], &refused.json()["max"]),
        (&json!(2), &json!(2))
    );
    let listed = host.get("/api/accounts").await.json();
    assert_eq!(
        (listed["accounts"].as_array().unwrap().len(), &listed["max"]),
        (2, &json!(2))
    );

    assert_eq!(
        host.with(&host.key, "DELETE", "/api/accounts/sales", None).await.status,
        204
    );
    assert_eq!(host.get("/api/accounts/sales").await.code(), "NO_ACCOUNT");
    assert_eq!(host.post("/api/accounts", json!({"id": "third"})).await.status, 201);
    assert_eq!(host.post("/api/accounts", json!({"id": "fourth"})).await.status, 429);
    host.change_config("[admin]\nlisten = \"127.0.0.1:0\"\n[accounts]\nmax = 3\n");
    assert_eq!(
        host.post("/api/accounts", json!({"id": "fourth"})).await.status,
        201,
        "the limit is live"
    );
    host.close().await;
}

#[tokio::test]
async fn bad_ids_bodies_and_names_are_refused() {
    let host = Host::start().await;
    let long = "a".repeat(200);
    for id in ["../x", "..", "A", "a b", "-a", "", long.as_str(), "a/b", "a\u{0}"] {
        let answer = host.post("/api/accounts", json!({"id": id})).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "BAD_ACCOUNT_ID"), "{id}");
    }
    for path in ["..%2Fx", "%2e%2e%2fetc", "A", long.as_str(), "a%00"] {
        for (method, rest) in [
            ("GET", ""),
            ("DELETE", ""),
            ("POST", "/start"),
            ("GET", "/qr"),
            ("GET", "/snapshot"),
        ] {
            let answer = host
                .with(&host.key, method, &format!("/api/accounts/{path}{rest}"), None)
                .await;
            assert_eq!(
                (answer.status, answer.code().as_str()),
                (400, "BAD_ACCOUNT_ID"),
                "{method} {path}{rest}"
            );
        }
    }
    for body in ["{", "[]", "7", "{\"nme\":\"x\"}", "{\"id\":7}"] {
        let bearer = format!("Bearer {}", host.key);
        let answer = host
            .ask("POST", "/api/accounts", &[("authorization", &bearer)], body)
            .await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "BAD_REQUEST"), "{body}");
    }
    assert_eq!(
        host.post("/api/accounts", json!({"name": "a\nb"})).await.code(),
        "BAD_NAME"
    );
    assert!(host.sessions.list().is_empty());
    host.close().await;
}

#[tokio::test]
async fn an_account_that_is_not_ready_says_so() {
    let host = Host::start().await;
    host.post("/api/accounts", json!({"id": "sales"})).await;
    let view = host.until("sales", "failed").await;
    assert!(view["reason"].as_str().unwrap().contains("/nowhere/chromium"), "{view}");
    let path = |rest: &str| format!("/api/accounts/sales/{rest}");
    for rest in ["qr", "qr.png", "qr.svg"] {
        let answer = host.get(&path(rest)).await;
        assert_eq!((answer.status, answer.code().as_str()), (409, "NO_QR"), "{rest}");
    }
    assert_eq!(host.get(&path("snapshot")).await.code(), "ACCOUNT_NOT_RUNNING");
    assert_eq!(host.get(&path("snapshot?format=gif")).await.code(), "BAD_FORMAT");
    let send = async |body: Value| host.post(&path("messages/send"), body).await;
    let answer = send(json!({"to": "491700000002", "message": "hello"})).await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "ACCOUNT_NOT_READY"));
    assert_eq!(
        send(json!({"to": "anna", "message": "hello"})).await.code(),
        "BAD_RECIPIENT"
    );
    assert_eq!(
        send(json!({"to": "491700000002", "message": " "})).await.code(),
        "BAD_MESSAGE"
    );
    assert_eq!(send(json!({"to": "491700000002"})).await.code(), "BAD_REQUEST");
    assert_eq!(
        host.post(
            "/api/accounts/nobody/messages/send",
            json!({"to": "49170000000", "message": "x"})
        )
        .await
        .status,
        404
    );
    let stopped = host.with(&host.key, "POST", &path("stop"), None).await;
    assert_eq!(
        (stopped.status, stopped.json()["state"].as_str()),
        (200, Some("stopped"))
    );
    host.with(&host.key, "POST", &path("start"), None).await;
    host.until("sales", "failed").await;
    host.close().await;
}

#[tokio::test]
async fn a_webhooks_secret_is_shown_once_and_a_declared_webhook_stays() {
    let host = Host::start_with(
        "[admin]\nlisten = \"127.0.0.1:0\"\n[account.declared]\nwebhook_url = \"https://example.com/declared\"\n",
    )
    .await;
    host.post("/api/accounts", json!({"id": "sales"})).await;
    let put = async |id: &str, body: Value| {
        host.with(&host.key, "PUT", &format!("/api/accounts/{id}/webhook"), Some(body))
            .await
    };
    let first = put("sales", json!({"webhook_url": "https://example.com/a"})).await;
    assert_eq!(first.status, 200);
    let secret = first.json()["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("whsec_"));
    let second = put("sales", json!({"webhook_url": "https://example.com/b"})).await;
    assert_eq!(second.json(), json!({"webhook_url": "https://example.com/b"}));
    let view = host.get("/api/accounts/sales").await;
    assert_eq!(view.json()["webhook_url"], "https://example.com/b");
    assert!(!view.text.contains(&secret));
    let record = host
        .store
        .accounts()
        .await
        .unwrap()
        .into_iter()
        .find(|record| record.id.as_str() == "sales")
        .unwrap();
    assert_eq!(
        record.webhook.unwrap().secret.reveal(),
        secret,
        "a new address keeps the secret"
    );

    let given = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let own = put(
        "sales",
        json!({"webhook_url": "https://example.com/b", "secret": given}),
    )
    .await;
    assert!(
        own.status == 200 && !own.text.contains("secret"),
        "a secret that was given is not said back"
    );
    for (body, code) in [
        (json!({"webhook_url": "ftp://example.com"}), "BAD_URL"),
        (json!({"webhook_url": "nonsense"}), "BAD_URL"),
        (
            json!({"webhook_url": "https://example.com", "secret": "short"}),
            "BAD_SECRET",
        ),
        (json!({"url": "https://example.com"}), "BAD_REQUEST"),
        (json!({}), "BAD_REQUEST"),
        (json!({"secret": given}), "BAD_REQUEST"),
        (json!({"webhook_url": ""}), "BAD_URL"),
    ] {
        assert_eq!(put("sales", body.clone()).await.code(), code, "{body}");
    }
    assert_eq!(
        put("sales", json!({"webhook_url": null})).await.json(),
        json!({"webhook_url": null})
    );
    assert_eq!(host.get("/api/accounts/sales").await.json()["webhook_url"], Value::Null);
    let declared = put("declared", json!({"webhook_url": "https://example.com/x"})).await;
    assert_eq!((declared.status, declared.code().as_str()), (409, "DECLARED_IN_CONFIG"));
    assert_eq!(
        put("nobody", json!({"webhook_url": "https://example.com/x"}))
            .await
            .status,
        404
    );
    host.close().await;
}

#[tokio::test]
async fn accounts_that_are_made_at_the_same_time_stop_at_the_limit() {
    let host = Host::start_with("[admin]\nlisten = \"127.0.0.1:0\"\n[accounts]\nmax = 3\n").await;
    let made = futures::future::join_all((0..8).map(|_| host.post("/api/accounts", json!({})))).await;
    let count = |status: u16| made.iter().filter(|answer| answer.status == status).count();
    assert_eq!((count(201), count(429)), (3, 5));
    assert_eq!(
        host.get("/api/accounts").await.json()["accounts"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    host.close().await;
}
