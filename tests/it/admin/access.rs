//! Who gets in: keys, scopes, names, sites.

use std::collections::BTreeSet;

use wharf::admin::{self, Need, keys};

use super::rig::Host;

fn filled(path: &str) -> String {
    if path == "/api/events" {
        // Once let in, it would go on and on.
        return format!("{path}?since=nothing");
    }
    path.replace("{id}", "nobody").replace("{name}", "wharf.css")
}

#[tokio::test]
async fn every_route_but_health_and_the_way_in_refuses_who_has_no_key() {
    let host = Host::start().await;
    let mut open = BTreeSet::new();
    for (method, path, need) in admin::routes() {
        let answer = host.ask(&method, &filled(path), &[], "").await;
        if need == Need::Open {
            open.insert(path);
            continue;
        }
        assert_eq!(answer.status, 401, "{method} {path}");
        let page = matches!(need, Need::Page(_)) && method == "GET";
        assert!(
            if page {
                answer.text.contains("Sign in")
            } else {
                answer.code() == "UNAUTHENTICATED"
            },
            "{method} {path}"
        );
    }
    assert_eq!(
        open,
        BTreeSet::from(["/healthz", "/readyz", "/sign-in", "/assets/{name}"])
    );
    assert_eq!(host.ask("GET", "/nothing", &[], "").await.code(), "NO_ROUTE");
    assert_eq!(host.ask("PATCH", "/api/accounts", &[], "").await.status, 405);
    host.close().await;
}

#[tokio::test]
async fn a_key_opens_what_its_scopes_allow_and_nothing_else() {
    let host = Host::start().await;
    let keys = [
        ("read", host.key_for(&["read"]).await),
        ("send", host.key_for(&["send"]).await),
        ("qr", host.key_for(&["qr"]).await),
    ];
    for (method, path, need) in admin::routes() {
        let needed = match need {
            Need::Scope(scope) | Need::Page(scope) => scope.as_str(),
            Need::Control => "control",
            Need::Open => continue,
        };
        for (scope, key) in &keys {
            let answer = host.with(key, &method, &filled(path), None).await;
            assert_eq!(
                answer.status == 403,
                *scope != needed,
                "{scope} on {method} {path}: {}",
                answer.text
            );
        }
        let answer = host.with(&host.key, &method, &filled(path), None).await;
        assert_eq!(
            answer.status == 403,
            needed == "control",
            "admin on {method} {path}: {}",
            answer.text
        );
    }
    assert_eq!(
        host.with(&keys[0].1, "POST", "/api/accounts", None).await.code(),
        "MISSING_SCOPE"
    );
    assert_eq!(
        host.with(&host.key, "POST", "/api/keys", None).await.code(),
        "CONTROL_SOCKET_ONLY"
    );
    host.close().await;
}

#[tokio::test]
async fn wrong_and_revoked_keys_are_refused_and_many_wrong_ones_throttled() {
    let host = Host::start().await;
    let revoked = host.key_for(&["admin"]).await;
    let id = revoked.split('_').nth(1).unwrap().to_owned();
    assert_eq!(host.with(&revoked, "GET", "/api/accounts", None).await.status, 200);
    assert!(keys::revoke(&host.store, &id).await.unwrap());
    for wrong in ["", "x", &revoked, &format!("{}x", host.key)] {
        let answer = host.with(wrong, "GET", "/api/accounts", None).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (401, "UNAUTHENTICATED"),
            "{wrong}"
        );
        assert_eq!(answer.header("www-authenticate"), "Bearer");
    }
    let basic = host
        .ask(
            "GET",
            "/api/accounts",
            &[("authorization", &format!("Basic {}", host.key))],
            "",
        )
        .await;
    assert_eq!(basic.status, 401);
    for _ in 0..5 {
        assert_eq!(host.with("wrong", "GET", "/api/accounts", None).await.status, 401);
    }
    let answer = host.with("wrong", "GET", "/api/accounts", None).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (429, "TOO_MANY_FAILED_SIGN_INS")
    );
    assert!(answer.header("retry-after").parse::<u64>().unwrap() <= 60);
    assert_eq!(
        host.get("/api/accounts").await.status,
        200,
        "a right key is not turned away"
    );
    host.close().await;
}

#[tokio::test]
async fn foreign_names_and_foreign_sites_are_refused() {
    let host = Host::start().await;
    let bearer = format!("Bearer {}", host.key);
    let with = async |headers: &[(&str, &str)]| {
        let mut all = vec![("authorization", bearer.as_str())];
        all.extend(headers);
        host.ask("GET", "/api/accounts", &all, "").await
    };
    assert_eq!(with(&[("host", "evil.example")]).await.code(), "WRONG_HOST");
    assert_eq!(
        host.ask("GET", "/healthz", &[("host", "evil.example")], "")
            .await
            .status,
        421
    );
    assert_eq!(with(&[("host", "localhost:7380")]).await.status, 200);
    assert_eq!(with(&[("origin", "https://evil.example")]).await.code(), "WRONG_ORIGIN");
    assert_eq!(with(&[("origin", "null")]).await.status, 403);
    assert_eq!(with(&[("origin", &format!("http://{}", host.addr))]).await.status, 200);
    assert_eq!(with(&[("host", "wharf.example.com")]).await.status, 421);
    host.change_config("[admin]\nlisten = \"127.0.0.1:0\"\nhosts = [\"wharf.example.com\"]\n");
    assert_eq!(
        with(&[("host", "wharf.example.com")]).await.status,
        200,
        "a saved configuration is in force"
    );
    host.close().await;
}
