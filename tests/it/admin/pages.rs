//! The pages for people.

use serde_json::json;
use wharf::admin::keys;

use super::rig::Host;

#[tokio::test]
async fn a_person_signs_in_with_a_key_and_changes_need_the_pages_token() {
    let host = Host::start().await;
    let origin = format!("http://{}", host.addr);
    let form = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("origin", origin.as_str()),
    ];
    let wrong = host.ask("POST", "/sign-in", &form, "key=wharf_x_y&next=/scripts").await;
    assert!(wrong.status == 401 && wrong.text.contains("not a key") && wrong.header("set-cookie").is_empty());
    let foreign = host
        .ask(
            "POST",
            "/sign-in",
            &[form[0], ("origin", "https://evil.example")],
            "key=x",
        )
        .await;
    assert_eq!(foreign.status, 403);
    let signed_in = host
        .ask("POST", "/sign-in", &form, &format!("key={}&next=/scripts", host.key))
        .await;
    assert_eq!((signed_in.status, signed_in.header("location")), (303, "/scripts"));
    let set = signed_in.header("set-cookie").to_owned();
    assert!(
        set.contains("HttpOnly") && set.contains("SameSite=Strict") && !set.contains(&host.key),
        "{set}"
    );
    let cookie = set.split(';').next().unwrap().to_owned();

    let page = host.ask("GET", "/", &[("cookie", &cookie)], "").await;
    assert!(page.status == 200 && page.text.contains("New account") && !page.text.contains(&host.key));
    for refused in [
        vec![("cookie", cookie.as_str())],
        vec![("cookie", cookie.as_str()), ("x-wharf-token", "guess")],
    ] {
        let answer = host.ask("POST", "/api/accounts", &refused, "{}").await;
        assert_eq!((answer.status, answer.code().as_str()), (403, "BAD_PAGE_TOKEN"));
    }
    let token = page
        .text
        .split("name=\"wharf-token\" content=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let signed = [
        ("cookie", cookie.as_str()),
        ("x-wharf-token", token),
        ("origin", origin.as_str()),
    ];
    let made = host
        .ask(
            "POST",
            "/api/accounts",
            &signed,
            "{\"id\":\"sales\",\"name\":\"<b>Sales</b>\"}",
        )
        .await;
    assert_eq!(made.status, 201, "{}", made.text);
    let page = host.ask("GET", "/accounts/sales", &[("cookie", &cookie)], "").await;
    assert!(page.text.contains("&lt;b&gt;Sales&lt;/b&gt;") && !page.text.contains("<b>Sales"));
    assert_eq!(
        host.ask("GET", "/accounts/nobody", &[("cookie", &cookie)], "")
            .await
            .status,
        404
    );

    assert_eq!(host.ask("POST", "/sign-out", &signed, "").await.status, 204);
    assert_eq!(host.ask("GET", "/", &[("cookie", &cookie)], "").await.status, 401);
    host.close().await;
}

#[tokio::test]
async fn a_revoked_key_ends_its_pages() {
    let host = Host::start().await;
    let key = host.key_for(&["read"]).await;
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let signed_in = host.ask("POST", "/sign-in", &form, &format!("key={key}")).await;
    let cookie = signed_in.header("set-cookie").split(';').next().unwrap().to_owned();
    let page = host.ask("GET", "/", &[("cookie", &cookie)], "").await;
    assert!(
        page.status == 200 && !page.text.contains("New account"),
        "a reader is offered no changes"
    );
    keys::revoke(&host.store, key.split('_').nth(1).unwrap()).await.unwrap();
    assert_eq!(host.ask("GET", "/", &[("cookie", &cookie)], "").await.status, 401);
    host.close().await;
}

#[tokio::test]
async fn pages_run_nothing_but_their_own_files() {
    let host = Host::start().await;
    host.post("/api/accounts", json!({"id": "sales"})).await;
    for path in ["/", "/accounts/sales", "/scripts"] {
        let page = host.get(path).await;
        assert_eq!(page.status, 200, "{path}");
        let policy = page.header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe"));
        assert_eq!(
            (page.header("x-content-type-options"), page.header("cache-control")),
            ("nosniff", "no-store")
        );
        let scripts: Vec<&str> = page.text.split("<script").skip(1).collect();
        assert!(
            scripts.len() == 1 && scripts[0].starts_with(" src=\"/assets/wharf.js\""),
            "{path}"
        );
        assert!(!page.text.contains("style=") && !page.text.contains(" onclick") && !page.text.contains("http://"));
    }
    for (name, kind) in [
        ("wharf.js", "text/javascript"),
        ("wharf.css", "text/css"),
        ("icon.svg", "image/svg+xml"),
    ] {
        let file = host.ask("GET", &format!("/assets/{name}"), &[], "").await;
        assert!(file.status == 200 && file.header("content-type").starts_with(kind));
    }
    assert_eq!(host.ask("GET", "/assets/..%2fwharf.rs", &[], "").await.status, 404);
    host.close().await;
}
