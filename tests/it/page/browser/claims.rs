//! What a tab says of itself and where it can go; pages that are not WhatsApp Web.

use wharf::config::resolved::BrowserKind;
use wharf::page::Error;

use crate::page::rig::{Opened, processes};
use crate::page::stranger::{Forbidden, Stranger};

/// Says who the browser claims to be, in the page and in a worker.
const WHO: &str = "<!doctype html><title>x</title><script>
navigator.serviceWorker.register('/service.js');
const hints = ['architecture', 'bitness', 'fullVersionList', 'model', 'platformVersion', 'uaFullVersion'];
const say = (body) => fetch('/say', { method: 'POST', body });
navigator.userAgentData.getHighEntropyValues(hints).then((found) => say('page ' + navigator.userAgent + JSON.stringify(found)));
new Worker('/worker.js').onmessage = (event) => say('worker ' + event.data);
</script>";
const WHO_WORKER: &str = "fetch('/say', { method: 'POST', body: 'said by a worker' })
.then(() => postMessage(navigator.userAgent + JSON.stringify(navigator.userAgentData)))";

async fn nothing_says_headless(kind: BrowserKind) {
    let profile = tempfile::tempdir().unwrap();
    let page = Stranger::start(WHO, WHO_WORKER).await;
    let opened = Opened::open_kind(profile.path(), &page.url(), kind).await;
    let said = page.posts(4).await;
    assert!(said.iter().any(|words| words.starts_with("service ")), "{said:?}");
    let headers = page.headers();
    assert!(headers.len() >= 7, "{headers:?}");
    for words in said
        .iter()
        .cloned()
        .chain(headers.iter().map(|headers| format!("{headers:?}")))
    {
        assert!(!words.contains("Headless"), "{words}");
    }
    let mine = said.iter().find(|words| words.starts_with("page ")).unwrap();
    assert!(
        mine.contains(" Chrome/") && mine.contains("\"Chromium\"") && mine.contains("\"Linux\""),
        "{mine}"
    );
    assert!(headers[0]["sec-ch-ua"].to_str().unwrap().contains("\"Chromium\""));
    // The host's environment, which may hold secrets, is not the browser's.
    let environment = std::fs::read(format!("/proc/{}/environ", opened.tab.pid())).unwrap();
    assert!(!String::from_utf8_lossy(&environment).contains("CARGO"));
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shell_says_nowhere_that_it_is_headless() {
    nothing_says_headless(BrowserKind::Shell).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chromium_says_nowhere_that_it_is_headless() {
    nothing_says_headless(BrowserKind::Chromium).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_is_not_whatsapp_web_is_not_recognised_and_one_that_cannot_be_loaded_says_why() {
    let profile = tempfile::tempdir().unwrap();
    let page = Stranger::start("<!doctype html><h1>Sign in to this network</h1>", "").await;
    let opened = Opened::open(profile.path(), &page.url()).await;
    let status = opened.tab.status().await.unwrap();
    assert!(
        !status.recognised && !status.injected && status.load_error.is_none(),
        "{status:?}"
    );
    assert_eq!(status.url, page.url());
    let error = opened.tab.resolve("491700000001").await.unwrap_err();
    assert!(!error.is_uncertain(), "{error}");
    opened.close().await;

    let gone = Forbidden::start().await.addr;
    let opened = Opened::open(profile.path(), &format!("http://{gone}/")).await;
    let status = opened.status(|status| status.load_error.is_some()).await;
    assert!(!status.recognised, "{status:?}");
    assert!(matches!(
        opened.tab.resolve("1").await,
        Err(Error::NoAgent { .. } | Error::Page { .. })
    ));
    opened.close().await;
}

/// Tries every way out that a page has, again and again, and says so at the allowed place.
fn escaping(forbidden: &Forbidden) -> (String, String) {
    let port = forbidden.addr.port();
    let tries = format!(
        "const ways = ['http://127.0.0.1:{port}/', 'http://localhost:{port}/', 'http://[::1]:{port}/', 'http://wharf.test:{port}/'];
         const out = () => Promise.allSettled(ways.map((way) => fetch(way, {{ mode: 'no-cors' }})));"
    );
    let html = format!(
        "<!doctype html><link rel=preconnect href='http://127.0.0.1:{port}'><link rel=dns-prefetch href='http://wharf.test'>
         <img src='http://127.0.0.1:{port}/i.png'><script>{tries}
         const worker = new Worker('/worker.js');
         async function round() {{
           for (const way of ways) {{ try {{ new WebSocket(way.replace('http', 'ws')); new Image().src = way; }} catch {{}} }}
           await out();
           worker.postMessage(0);
         }}
         worker.onmessage = async () => {{ await fetch('/say', {{ method: 'POST', body: 'tried' }}); setTimeout(round, 100); }};
         round();</script>"
    );
    (
        html,
        format!("{tries} onmessage = () => out().then(() => postMessage(0));"),
    )
}

#[test]
fn a_tab_reaches_the_configured_origin_only_also_while_no_host_is_attached_and_the_next_host_closes_what_is_left() {
    let profile = tempfile::tempdir().unwrap();
    let watching = tokio::runtime::Runtime::new().unwrap();
    let (page, forbidden) = watching.block_on(async {
        let forbidden = Forbidden::start().await;
        let (html, worker) = escaping(&forbidden);
        (Stranger::start(&html, &worker).await, forbidden)
    });

    let host = tokio::runtime::Runtime::new().unwrap();
    let opened = host.block_on(Opened::open(profile.path(), &page.url()));
    let left = opened.tab.pid();
    let tried = watching.block_on(page.posts(3)).len();
    assert_eq!(watching.block_on(forbidden.visits()), 0, "with a host");

    // As when a host is killed: nothing of it runs on, nothing is said to the browser.
    host.shutdown_background();
    drop(opened);
    watching.block_on(page.posts(tried + 5));
    assert_eq!(watching.block_on(forbidden.visits()), 0, "without a host");
    assert!(processes(profile.path()).contains(&left));

    let quiet = watching.block_on(Stranger::start("<!doctype html>", ""));
    let opened = watching.block_on(Opened::open(profile.path(), &quiet.url()));
    let now = processes(profile.path());
    assert!(
        !now.contains(&left) && now.contains(&opened.tab.pid()),
        "{left} in {now:?}"
    );
    watching.block_on(opened.close());
    assert_eq!(processes(profile.path()), Vec::<i32>::new());
}
