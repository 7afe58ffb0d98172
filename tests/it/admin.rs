//! The admin over real sockets, with a real store, real sessions without a browser, and real scripts.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use hyper::Method;
use hyper::header::HeaderMap;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wharf::action::{Failure, SendOrder, Sent};
use wharf::admin::{self, Need, control, keys};
use wharf::config::resolved::Egress;
use wharf::config::{Config, Sources};
use wharf::http::{Client, Request};
use wharf::script::{self, AccountState, Scripts};
use wharf::session::{self, Sessions};
use wharf::store::{Batch, OutboxChange, Post, Store};

const PATIENCE: Duration = Duration::from_secs(20);

/// A host without browsers: its accounts end up `failed`, which is all that the admin needs of them here.
struct Host {
    addr: SocketAddr,
    store: Store,
    sessions: Sessions,
    scripts: Scripts,
    config: watch::Sender<Arc<Config>>,
    client: Client,
    key: String,
    tracker: TaskTracker,
    stop: CancellationToken,
    folder: TempDir,
}

struct ScriptHost(Sessions);

impl script::Host for ScriptHost {
    fn send(&self, order: SendOrder) -> BoxFuture<'static, Result<Sent, Failure>> {
        let sessions = self.0.clone();
        async move { sessions.send(order).await }.boxed()
    }

    fn account(&self, id: &str) -> Option<AccountState> {
        let view = self.0.get(&id.parse().ok()?)?;
        Some(AccountState {
            state: view.state,
            reason: view.reason,
            since: view.since,
        })
    }

    fn has_endpoint(&self, _: &str) -> bool {
        false
    }
}

fn read(folder: &Path, more: &str) -> Config {
    let file = folder.join("config.toml");
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("node_modules/@wppconnect/wa-js/dist/wppconnect-wa.js");
    let text = format!(
        "[data]\ndir = \"data\"\n[whatsapp]\nlibrary = {library:?}\n[browser]\nexecutable = \"/nowhere/chromium\"\n[plugins.webhook]\nenabled = false\n{more}"
    );
    std::fs::write(&file, text).unwrap();
    Sources {
        file: Some(file),
        ..Sources::default()
    }
    .load()
    .unwrap()
}

/// An answer, read whole.
struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    fn code(&self) -> String {
        self.json()["error_code"].as_str().unwrap_or_default().to_owned()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Host {
    async fn start() -> Self {
        Self::start_with("[admin]\nlisten = \"127.0.0.1:0\"\n").await
    }

    async fn start_with(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("scripts")).unwrap();
        let config = watch::Sender::new(Arc::new(read(folder.path(), more)));
        let data_dir = config.borrow().data.dir.clone();
        std::fs::create_dir(&data_dir).unwrap();
        let store = Store::open(&data_dir.join("store"), 1 << 20).unwrap();
        let doors = admin::open(&config.borrow().clone()).await.unwrap();
        let addr = doors.addr().unwrap();
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        let sessions = Sessions::open(session::Deps {
            store: store.clone(),
            config: config.subscribe(),
            tracker: tracker.clone(),
            stop: stop.clone(),
        })
        .await
        .unwrap();
        let scripts = Scripts::open(script::Deps {
            store: store.clone(),
            config: config.subscribe(),
            host: Arc::new(ScriptHost(sessions.clone())),
            tracker: tracker.clone(),
            stop: stop.clone(),
        })
        .await
        .unwrap();
        let deps = admin::Deps {
            sessions: sessions.clone(),
            scripts: scripts.clone(),
            store: store.clone(),
            config: config.subscribe(),
            stop: stop.clone(),
            tracker: tracker.clone(),
            data_dir,
        };
        admin::serve(deps, doors);
        let client = Client::new(&Egress {
            allow: vec!["127.0.0.0/8".parse().unwrap()],
        })
        .unwrap();
        let key = keys::make(&store, None, vec!["admin".to_owned()]).await.unwrap();
        Self {
            addr,
            store,
            sessions,
            scripts,
            config,
            client,
            key,
            tracker,
            stop,
            folder,
        }
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let request = Request {
            url: format!("http://{}{path}", self.addr),
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            body: body.to_owned().into(),
            timeout: PATIENCE,
            response_limit: 4 << 20,
        };
        let answer = self.client.send(method.parse().unwrap(), request).await.unwrap();
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        Answer {
            status: answer.status,
            headers: answer.headers,
            text,
        }
    }

    /// Asks with a key.
    async fn with(&self, key: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
        let bearer = format!("Bearer {key}");
        self.ask(
            method,
            path,
            &[("authorization", &bearer)],
            &body.map_or(String::new(), |body| body.to_string()),
        )
        .await
    }

    async fn get(&self, path: &str) -> Answer {
        self.with(&self.key, "GET", path, None).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.with(&self.key, "POST", path, Some(body)).await
    }

    async fn key_for(&self, scopes: &[&str]) -> String {
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        keys::make(&self.store, None, scopes).await.unwrap()
    }

    async fn control(&self) -> control::Client {
        control::Client::connect(&self.socket())
            .await
            .expect("the control socket answers")
    }

    fn socket(&self) -> std::path::PathBuf {
        self.config.borrow().data.dir.join(admin::SOCKET)
    }

    /// Waits for an account's state.
    async fn until(&self, id: &str, state: &str) -> Value {
        let reached = async {
            loop {
                let view = self.get(&format!("/api/accounts/{id}")).await.json();
                if view["state"] == state {
                    return view;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, reached)
            .await
            .expect("the state is reached")
    }

    fn change_config(&self, more: &str) {
        self.config.send_replace(Arc::new(read(self.folder.path(), more)));
    }

    async fn close(self) {
        self.scripts.close().await;
        self.stop.cancel();
        self.sessions.close().await;
        self.tracker.close();
        tokio::time::timeout(PATIENCE, self.tracker.wait())
            .await
            .expect("everything ends");
        self.store.close().await.unwrap();
    }
}

fn filled(path: &str) -> String {
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

#[tokio::test]
async fn the_control_socket_is_private_and_makes_keys_while_the_host_runs() {
    let host = Host::start().await;
    let mode = std::fs::metadata(host.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let control = host.control().await;
    let key = control
        .make_key(Some("crm".to_owned()), vec!["read".to_owned()])
        .await
        .unwrap();
    assert_eq!(host.with(&key, "GET", "/api/accounts", None).await.status, 200);
    let listed = control.list_keys().await.unwrap();
    let crm = listed
        .iter()
        .find(|listed| listed.name.as_deref() == Some("crm"))
        .unwrap();
    assert_eq!(
        (key.split('_').nth(1), crm.scopes.as_slice()),
        (Some(crm.id.as_str()), &["read".to_owned()][..])
    );
    assert!(control.revoke_key(&crm.id).await.unwrap());
    assert!(!control.revoke_key(&crm.id).await.unwrap());
    assert_eq!(host.with(&key, "GET", "/api/accounts", None).await.status, 401);
    let wrong = control.make_key(None, vec!["root".to_owned()]).await.unwrap_err();
    assert!(wrong.to_string().contains("root"), "{wrong}");
    let made = control
        .ask(Method::POST, "/api/accounts", Some(json!({"id": "sales"})))
        .await
        .unwrap();
    assert_eq!(made["id"], "sales", "the same router, with scope admin");
    let socket = host.socket();
    host.close().await;
    assert!(!socket.exists());
    assert!(control::Client::connect(&socket).await.is_none());
}

#[tokio::test]
async fn scripts_are_shown_with_their_handlers_and_a_mistake_with_its_line() {
    let host = Host::start().await;
    let scripts = host.folder.path().join("scripts");
    std::fs::write(
        scripts.join("good.lua"),
        "wharf.on(\"message\", { is_group = false }, function(msg) end)\n",
    )
    .unwrap();
    std::fs::write(
        scripts.join("bad.lua"),
        "wharf.on(\"message\", function(msg)\n  local x = = 1\nend)\n",
    )
    .unwrap();
    let both = async {
        loop {
            let answer = host.get("/api/scripts").await.json();
            let find = |name: &str| {
                let all = answer["scripts"].as_array().unwrap();
                all.iter()
                    .find(|script| script["name"] == name)
                    .cloned()
                    .unwrap_or_default()
            };
            let (good, bad) = (find("good"), find("bad"));
            if good["state"] == "running" && bad["state"] == "refused" {
                return (good, bad);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let (good, bad) = tokio::time::timeout(PATIENCE, both).await.expect("both are read");
    assert!(good["handlers"][0].as_str().unwrap().contains("message"), "{good}");
    assert_eq!(good["generation"], 1);
    assert!(
        bad["refused"]["file"].as_str().unwrap().ends_with("bad.lua") && bad["refused"]["line"] == 2,
        "{bad}"
    );
    let page = host.get("/scripts").await;
    assert!(page.text.contains("bad.lua:2:"), "{}", page.text);
    assert!(host.get("/").await.text.contains("bad.lua:2:"));
    host.close().await;
}

#[tokio::test]
async fn the_outbox_shows_what_waits_and_what_was_given_up_without_bodies() {
    let host = Host::start().await;
    let post = |endpoint: &str| Post {
        endpoint: endpoint.to_owned(),
        chat_key: "sales/1".to_owned(),
        body: b"private words".to_vec(),
        script: Some("webhook".to_owned()),
        event_id: None,
    };
    let batch = Batch {
        posts: vec![post("crm"), post("crm")],
        ..Batch::default()
    };
    let ids = host.store.commit(batch).await.unwrap().deliveries;
    let dead = OutboxChange::Dead {
        id: ids[0].clone(),
        reason: "blocked".to_owned(),
    };
    host.store
        .commit(Batch {
            outbox: vec![dead],
            ..Batch::default()
        })
        .await
        .unwrap();
    let waiting = host.get("/api/outbox").await;
    let row = &waiting.json()["deliveries"][0];
    assert_eq!(
        (row["id"].as_str(), row["sequence"].as_u64(), row["tries"].as_u64()),
        (Some(ids[1].as_str()), Some(2), Some(0))
    );
    let dead = host.get("/api/outbox/dead?limit=5").await;
    let row = &dead.json()["deliveries"][0];
    assert_eq!(
        (row["id"].as_str(), row["reason"].as_str()),
        (Some(ids[0].as_str()), Some("blocked"))
    );
    assert!(!waiting.text.contains("private") && !dead.text.contains("private"));
    assert_eq!(host.get("/api/outbox?limit=x").await.code(), "BAD_REQUEST");
    host.close().await;
}

#[tokio::test]
async fn health_is_for_everybody_and_says_no_more() {
    let host = Host::start().await;
    assert_eq!(
        host.ask("GET", "/healthz", &[], "").await.json(),
        json!({"status": "ok"})
    );
    assert_eq!(
        host.ask("GET", "/readyz", &[], "").await.json(),
        json!({"status": "ready"})
    );
    host.close().await;
}

#[tokio::test]
async fn requests_over_the_limits_are_refused() {
    let host = Host::start().await;
    let bearer = format!("Bearer {}", host.key);
    let large = host
        .ask(
            "POST",
            "/api/accounts",
            &[("authorization", &bearer)],
            &"x".repeat((1 << 20) + 1),
        )
        .await;
    assert_eq!((large.status, large.code().as_str()), (413, "BODY_TOO_LARGE"));
    let raw = async |request: String| {
        let mut stream = TcpStream::connect(host.addr).await.unwrap();
        // The server may answer and close before it has read all.
        stream.write_all(request.as_bytes()).await.ok();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok();
        String::from_utf8_lossy(&answer).into_owned()
    };
    let head = |fields: &str| format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{fields}\r\n");
    assert!(raw(head("")).await.starts_with("HTTP/1.1 200"));
    assert!(
        raw(head(&format!("x: {}\r\n", "y".repeat(17 * 1024))))
            .await
            .starts_with("HTTP/1.1 431")
    );
    assert!(raw(head(&"x: y\r\n".repeat(70))).await.starts_with("HTTP/1.1 431"));
    assert!(
        raw("GET /healthz HTTP/1.1\r\nconnection: close\r\n\r\n".to_owned())
            .await
            .starts_with("HTTP/1.1 421")
    );
    host.close().await;
}

#[tokio::test]
async fn the_listener_follows_the_configuration() {
    let mut host = Host::start().await;
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let before = host.addr;
    host.change_config(&format!("[admin]\nlisten = \"{free}\"\n"));
    let moved = async {
        while TcpStream::connect(free).await.is_err() || TcpStream::connect(before).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, moved).await.expect("it moves");
    host.addr = free;
    assert_eq!(host.get("/api/accounts").await.status, 200);
    host.change_config("[admin]\nenabled = false\n");
    let gone = async {
        while TcpStream::connect(free).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("it goes");
    assert!(
        host.control().await.list_keys().await.is_ok(),
        "the control socket stays"
    );
    host.close().await;
}

#[test]
fn every_route_is_documented() {
    let page = include_str!("../../docs/http-api.md");
    for (method, path, _) in admin::routes() {
        if path.starts_with("/api") || path.ends_with("z") {
            assert!(
                page.contains(&format!("{method} {path}")),
                "docs/http-api.md lacks `{method} {path}`"
            );
        }
    }
}
