//! Tests that start a browser.

use std::path::Path;

use serde_json::{Value, json};
use tokio_util::task::TaskTracker;
use wharf::action::Content;
use wharf::config::resolved::BrowserKind;
use wharf::page::{Begun, Error, Format, Ordered, PageEvent, Report, Tab};

use super::rig::{Opened, Simulator, launch, look, processes};
use super::stranger::{Forbidden, Stranger};

fn text(text: &str) -> Content {
    Content::Text {
        text: text.to_owned(),
        quote: None,
        mentions: Vec::new(),
    }
}

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_that_ends_at_once_is_an_error_with_its_last_words() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("chromium");
    let script =
        "#!/bin/sh\n[ \"$1\" = --version ] && echo Chromium 156.0.0.0 && exit\necho FATAL no luck >&2\nexit 3\n";
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut wanted = launch(&folder.path().join("profile"), "http://127.0.0.1:9/", BrowserKind::Auto);
    wanted.browser.executable = Some(program);
    let error = Box::pin(Tab::open(wanted, &TaskTracker::new()))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("no luck") && error.contains("account one"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_profile_has_one_tab_at_a_time() {
    let profile = tempfile::tempdir().unwrap();
    let page = Stranger::start("<!doctype html>", "").await;
    let opened = Opened::open(profile.path(), &page.url()).await;
    let second = Box::pin(Tab::open(
        launch(profile.path(), &page.url(), BrowserKind::Auto),
        &TaskTracker::new(),
    ))
    .await;
    assert!(matches!(second, Err(Error::ProfileInUse { .. })), "{second:?}");
    assert!(opened.tab.status().await.is_ok());
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_browser_is_reported_once_and_ends_what_is_asked_of_it() {
    let profile = tempfile::tempdir().unwrap();
    let page = Stranger::start("<!doctype html>", "").await;
    let mut opened = Opened::open(profile.path(), &page.url()).await;
    let pid = rustix::process::Pid::from_raw(opened.tab.pid()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let Some(Report::Gone(reason)) = opened.next().await else {
        panic!("no Gone")
    };
    assert!(reason.contains("signal: 9"), "{reason}");
    assert_eq!(opened.next().await, None);
    let error = opened.tab.status().await.unwrap_err();
    assert!(error.is_gone(), "{error}");
    opened.close().await;
    assert_eq!(processes(profile.path()), Vec::<i32>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crashed_tab_is_reported_and_ends_what_is_asked_of_it() {
    let profile = tempfile::tempdir().unwrap();
    let page = Stranger::start("<!doctype html>", "").await;
    let mut opened = Opened::open(profile.path(), &page.url()).await;
    let renderer = renderer(profile.path(), opened.tab.pid());
    let pid = rustix::process::Pid::from_raw(renderer).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let Some(Report::Gone(reason)) = opened.next().await else {
        panic!("no Gone")
    };
    assert!(reason.contains("crashed"), "{reason}");
    assert!(opened.tab.status().await.unwrap_err().is_gone());
    opened.close().await;
    assert_eq!(processes(profile.path()), Vec::<i32>::new());
}

/// The one process of the group that renders.
fn renderer(_profile: &Path, group: i32) -> i32 {
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<i32>().ok())
        .find(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let of_group = stat
                .rsplit_once(')')
                .is_some_and(|(_, rest)| rest.split_whitespace().nth(2) == Some(&group.to_string()));
            of_group && String::from_utf8_lossy(&line).contains("--type=renderer")
        })
        .expect("a renderer")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fresh_profile_shows_a_code_and_a_linked_one_does_not_in_the_shell() {
    linked_once(BrowserKind::Shell).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fresh_profile_shows_a_code_and_a_linked_one_does_not_in_chromium() {
    linked_once(BrowserKind::Chromium).await;
}

async fn linked_once(kind: BrowserKind) {
    let profile = tempfile::tempdir().unwrap();
    let simulator = Simulator::start().await;
    simulator.phone("491700000001", "Ada").await;
    let mut opened = Opened::open_kind(profile.path(), &simulator.url(), kind).await;
    let status = opened.status(|status| status.full_ready && status.qr.is_some()).await;
    assert!(
        status.recognised && !status.authenticated && !status.is_usable(),
        "{status:?}"
    );
    assert_eq!(status.mode.as_deref(), Some("QR"));

    let png = opened.tab.snapshot(Format::Png).await.unwrap();
    let picture = image::load_from_memory(&png).unwrap();
    assert_eq!((picture.width(), picture.height()), (1280, 800));
    let first = picture.to_rgb8().get_pixel(0, 0).to_owned();
    assert!(
        picture.to_rgb8().pixels().any(|pixel| *pixel != first),
        "the picture shows nothing"
    );
    let jpeg = opened.tab.snapshot(Format::Jpeg).await.unwrap();
    assert!(jpeg.starts_with(&[0xff, 0xd8, 0xff]) && jpeg.ends_with(&[0xff, 0xd9]));

    let status = opened.link(&simulator, "491700000001").await;
    let me = status.me.unwrap();
    assert_eq!(
        (me.id.as_str(), me.phone.as_deref()),
        ("491700000001@c.us", Some("491700000001"))
    );
    opened
        .event(|event| matches!(event, PageEvent::Authenticated).then_some(()))
        .await;
    opened.close().await;
    assert_eq!(processes(profile.path()), Vec::<i32>::new());

    let opened = Opened::open_kind(profile.path(), &simulator.url(), kind).await;
    let status = opened.status(wharf::page::PageStatus::is_usable).await;
    assert_eq!(status.me.unwrap().phone.as_deref(), Some("491700000001"));
    opened.close().await;
}

#[test]
fn a_browser_that_outlived_its_host_is_closed_so_that_its_profile_stays_linked_even_if_it_does_not_answer() {
    let profile = tempfile::tempdir().unwrap();
    let world = tokio::runtime::Runtime::new().unwrap();
    let simulator = world.block_on(async {
        let simulator = Simulator::start().await;
        simulator.phone("491700000001", "Ada").await;
        simulator
    });
    let host = tokio::runtime::Runtime::new().unwrap();
    let opened = host.block_on(async {
        let mut opened = Opened::open(profile.path(), &simulator.url()).await;
        opened.link(&simulator, "491700000001").await;
        opened
    });
    // Killed at once after linking: only a browser that is asked to close writes out all of the login.
    let left = opened.tab.pid();
    host.shutdown_background();
    drop(opened);

    let host = tokio::runtime::Runtime::new().unwrap();
    let opened = host.block_on(async {
        let opened = Opened::open(profile.path(), &simulator.url()).await;
        opened.status(wharf::page::PageStatus::is_usable).await;
        opened
    });
    assert!(!processes(profile.path()).contains(&left));
    let left = opened.tab.pid();
    host.shutdown_background();
    drop(opened);

    // One that cannot answer any more is ended in the end.
    let pid = rustix::process::Pid::from_raw(left).unwrap();
    rustix::process::kill_process_group(pid, rustix::process::Signal::STOP).unwrap();
    world.block_on(async {
        let quiet = Stranger::start("<!doctype html>", "").await;
        let opened = Opened::open(profile.path(), &quiet.url()).await;
        assert!(!processes(profile.path()).contains(&left));
        opened.close().await;
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_stay_in_the_ring_until_they_are_acknowledged() {
    let profile = tempfile::tempdir().unwrap();
    let simulator = Simulator::start().await;
    simulator.phone("491700000001", "Ada").await;
    simulator.phone("491700000002", "Bob").await;
    let mut opened = Opened::open(profile.path(), &simulator.url()).await;
    opened.link(&simulator, "491700000001").await;

    simulator.write("491700000002", "491700000001", "first").await;
    let (first, message) = opened.message("first").await;
    assert!(
        !message.from_me && message.timestamp > 0 && message.kind == "chat",
        "{message:?}"
    );
    assert_eq!(message.sender.phone.as_deref(), Some("491700000002"));
    assert_eq!(message.sender.name.as_deref(), Some("Bob"));

    // Not acknowledged, so it comes again; as when an acknowledgement is lost.
    opened.tab.drain().await.unwrap();
    let (again, same) = opened.message("first").await;
    assert_eq!((again, &same), (first, &message));

    // Of another document: nothing is dropped.
    opened.tab.ack("another", first).await.unwrap();
    opened.tab.drain().await.unwrap();
    assert_eq!(opened.message("first").await.0, first);

    let page = opened.page_id.clone();
    opened.tab.ack(&page, first).await.unwrap();
    simulator.write("491700000002", "491700000001", "second").await;
    let (second, _) = opened.message("second").await;
    opened.tab.drain().await.unwrap();
    let Some(Report::Event { page_seq, .. }) = opened.next().await else {
        panic!("no event")
    };
    assert!(page_seq > first && page_seq <= second, "{first} {page_seq} {second}");

    // A new document has a ring of its own.
    opened.tab.reload().await.unwrap();
    opened.status(wharf::page::PageStatus::is_usable).await;
    simulator.write("491700000002", "491700000001", "third").await;
    opened.message("third").await;
    assert_ne!(opened.page_id, page);
    opened.close().await;
}

/// Messages as the library would report them, made in the page.
const MADE: &str = "const made = (n, type, body) => ({ id: { fromMe: false, remote: '49@c.us', id: 'N' + n, \
     toString: () => 'false_49@c.us_N' + n }, from: '49@c.us', to: '50@c.us', type, body, t: 1, isNewMsg: true, ack: 1 });";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_ring_drops_the_oldest_and_says_how_many() {
    let profile = tempfile::tempdir().unwrap();
    let simulator = Simulator::start().await;
    let mut opened = Opened::open(profile.path(), &simulator.url()).await;
    opened.status(|status| status.full_ready).await;
    let flood =
        format!("{MADE} for (let n = 0; n < 12000; n++) WPP.emit('chat.new_message', made(n, 'chat', 'x' + n)); 0");
    look(profile.path(), &flood).await;
    let mut numbers = Vec::new();
    let (mut last, mut dropped, mut unacknowledged) = (0, 0, 0);
    while numbers.last() != Some(&11_999) {
        let Some(Report::Event {
            page_id,
            page_seq,
            event,
        }) = opened.next().await
        else {
            panic!("no event")
        };
        match event {
            PageEvent::Message { message, .. } => {
                numbers.push(message.body.unwrap().trim_start_matches('x').parse::<u64>().unwrap())
            }
            PageEvent::Gap { dropped: many } => {
                assert_eq!(
                    page_seq,
                    last + many,
                    "a gap has the number of the last that was dropped"
                );
                dropped += many;
            }
            _ => {}
        }
        last = page_seq;
        unacknowledged += 1;
        // At most so many come without an acknowledgement.
        assert!(unacknowledged <= 512);
        if unacknowledged == 512 {
            opened.tab.ack(&page_id, page_seq).await.unwrap();
            unacknowledged = 0;
        }
    }
    assert!((2_000..2_600).contains(&dropped), "{dropped}");
    assert_eq!(numbers.len() as u64 + dropped, 12_000);
    assert!(numbers.is_sorted());
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_still_encrypted_is_reported_when_it_can_be_read() {
    let profile = tempfile::tempdir().unwrap();
    let simulator = Simulator::start().await;
    let mut opened = Opened::open(profile.path(), &simulator.url()).await;
    opened.status(|status| status.full_ready).await;
    let script = format!(
        "{MADE} const tell = (model) => WPP.emit('chat.new_message', model);
         tell(made(1, 'ciphertext', null)); tell(made(2, 'chat', 'after it')); tell(made(1, 'chat', 'readable'));
         tell(made(3, 'e2e_notification', '')); tell(made(4, 'image', 'base64 of a thumbnail')); 0"
    );
    look(profile.path(), &script).await;
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let (_, message) = opened
            .event(|event| match event {
                PageEvent::Message { message, .. } => Some(message.clone()),
                _ => None,
            })
            .await;
        seen.push((message.kind, message.body));
    }
    let chat = |body: &str| ("chat".to_owned(), Some(body.to_owned()));
    assert_eq!(seen, [chat("after it"), chat("readable"), ("image".to_owned(), None)]);
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_order_for_an_id_gets_the_first_answer_and_nothing_is_sent_twice() {
    let profile = tempfile::tempdir().unwrap();
    let simulator = Simulator::start().await;
    let forbidden = Forbidden::start().await;
    simulator.phone("491700000001", "Ada").await;
    simulator.phone("491700000002", "Bob").await;
    let mut opened = Opened::open(profile.path(), &simulator.url()).await;
    opened.link(&simulator, "491700000001").await;
    let tab = opened.tab.clone();

    let to = tab.resolve("491700000002").await.unwrap();
    assert_eq!(tab.ask(&to.page_id, &to.message_id).await.unwrap(), Begun::NeverOrdered);
    assert_eq!(tab.find_message(&to.chat, &to.message_id).await.unwrap(), None);

    let link = format!("see http://{}/secret?a=b", forbidden.addr);
    let content = text(&link);
    let (one, two) = tokio::join!(
        tab.order(&to.message_id, &to.chat, &content),
        tab.order(&to.message_id, &to.chat, &content)
    );
    let (one, two) = (one.unwrap(), two.unwrap());
    assert!(matches!(one, Ordered::Sent { ack: 1.. }), "{one:?}");
    assert_eq!(
        (&two, tab.order(&to.message_id, &to.chat, &text("other")).await.unwrap()),
        (&one, one.clone())
    );
    assert_eq!(
        tab.ask(&to.page_id, &to.message_id).await.unwrap(),
        Begun::Answered(one)
    );
    assert_eq!(tab.ask("another", &to.message_id).await.unwrap(), Begun::OtherDocument);
    assert!(tab.find_message(&to.chat, &to.message_id).await.unwrap() >= Some(1));

    // The phone's report of a later message shows that no other copy of the first is on its way.
    let later = tab.resolve(&to.chat).await.unwrap();
    tab.order(&later.message_id, &later.chat, &text("later")).await.unwrap();
    let (_, own) = opened.message("later").await;
    assert!(
        own.from_me && own.id == later.message_id && own.chat == to.chat,
        "{own:?}"
    );
    assert_eq!(simulator.count("491700000002", &link).await, 1);
    assert_eq!(simulator.count("491700000002", "later").await, 1);
    let ids = opened
        .event(|event| match event {
            PageEvent::Ack { ids, ack: 2, .. } => Some(ids.clone()),
            _ => None,
        })
        .await
        .1;
    assert!(
        ids.contains(&to.message_id) || ids.contains(&later.message_id),
        "{ids:?}"
    );
    assert_eq!(forbidden.visits().await, 0, "a link in a message was visited");

    // What the phone wrote to us is not marked read, and quoting it works.
    let written = simulator.write("491700000002", "491700000001", "question").await;
    let (_, question) = opened.message("question").await;
    let answer = tab.resolve(&question.chat).await.unwrap();
    let content = Content::Text {
        text: "answer".to_owned(),
        quote: Some(question.id.clone()),
        mentions: Vec::new(),
    };
    assert!(matches!(
        tab.order(&answer.message_id, &answer.chat, &content).await.unwrap(),
        Ordered::Sent { .. }
    ));
    let sent = simulator
        .control("GET", "phones/491700000002/messages", &Value::Null)
        .await;
    let find = |text: &str| {
        sent.as_array()
            .unwrap()
            .iter()
            .find(|message| message["text"] == text)
            .unwrap()
            .clone()
    };
    assert_ne!(find("question")["ack"], 3, "{written}");
    assert!(find("answer").to_string().contains("question"), "{}", find("answer"));

    opened.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_an_unknown_number_and_an_answer_that_does_not_come_are_told_apart() {
    let profile = tempfile::tempdir().unwrap();
    let simulator = Simulator::start().await;
    simulator.phone("491700000001", "Ada").await;
    simulator.phone("491700000002", "Bob").await;
    let mut opened = Opened::open(profile.path(), &simulator.url()).await;
    opened.link(&simulator, "491700000001").await;
    let tab = opened.tab.clone();

    for nobody in ["491700000099", "12", "+49 170", "nobody"] {
        let error = tab.resolve(nobody).await.unwrap_err();
        assert!(matches!(error, Error::NoChat { .. }), "{nobody}: {error:?}");
    }

    simulator
        .control("POST", "faults", &json!({"refuse_sends": "ERROR_NETWORK"}))
        .await;
    let to = tab.resolve("491700000002").await.unwrap();
    let answer = tab.order(&to.message_id, &to.chat, &text("refused")).await.unwrap();
    let Ordered::Refused { reason } = &answer else {
        panic!("{answer:?}")
    };
    assert!(reason.contains("ERROR_NETWORK"), "{reason}");
    assert_eq!(
        tab.ask(&to.page_id, &to.message_id).await.unwrap(),
        Begun::Answered(answer)
    );

    simulator
        .control("POST", "faults", &json!({"mute_answers": true}))
        .await;
    let to = tab.resolve("491700000002").await.unwrap();
    let order = {
        let (tab, to) = (tab.clone(), to.clone());
        TaskTracker::new().spawn(async move { tab.order(&to.message_id, &to.chat, &text("muted")).await })
    };
    while simulator.count("491700000002", "muted").await == 0 {
        assert!(!order.is_finished(), "it was answered");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(tab.ask(&to.page_id, &to.message_id).await.unwrap(), Begun::Running);
    // The document goes: the order cannot be known any more, and another document knows nothing of it.
    simulator.control("POST", "faults", &json!({})).await;
    tab.reload().await.unwrap();
    let error = order.await.unwrap().unwrap_err();
    assert!(error.is_uncertain(), "{error}");
    opened.status(wharf::page::PageStatus::is_usable).await;
    assert_eq!(
        tab.ask(&to.page_id, &to.message_id).await.unwrap(),
        Begun::OtherDocument
    );
    assert!(tab.find_message(&to.chat, &to.message_id).await.unwrap().is_some());
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_finds_the_chats_and_their_messages_in_order() {
    let profile = tempfile::tempdir().unwrap();
    let simulator = Simulator::start().await;
    for (number, name) in [
        ("491700000001", "Ada"),
        ("491700000002", "Bob"),
        ("491700000003", "Cem"),
    ] {
        simulator.phone(number, name).await;
    }
    let group = simulator
        .control(
            "POST",
            "groups",
            &json!({"name": "all", "members": ["491700000001", "491700000002", "491700000003"]}),
        )
        .await;
    let group = group["id"].as_str().unwrap().to_owned();
    for n in 0..120 {
        simulator
            .write("491700000002", "491700000001", &format!("old {n}"))
            .await;
    }
    simulator.write("491700000003", &group, "to all").await;
    let mut opened = Opened::open(profile.path(), &simulator.url()).await;
    opened.link(&simulator, "491700000001").await;
    let chats = opened.tab.chats(10).await.unwrap();
    assert!(
        chats.is_sorted_by(|one, other| one.timestamp_ms >= other.timestamp_ms),
        "{chats:?}"
    );
    assert!(chats.iter().any(|chat| chat.id == group), "{chats:?}");
    assert_eq!(opened.tab.chats(1).await.unwrap().len(), 1);
    let bob = chats
        .iter()
        .find(|chat| chat.id != group && chat.unread == 120)
        .unwrap_or_else(|| panic!("{chats:?}"));

    let all = opened.tab.history(&bob.id, 0, 1000).await.unwrap();
    let bodies: Vec<_> = all.iter().filter_map(|message| message.body.clone()).collect();
    let expected: Vec<_> = (0..120).map(|n| format!("old {n}")).collect();
    assert_eq!(bodies, expected);
    let newest = opened.tab.history(&bob.id, 0, 7).await.unwrap();
    assert_eq!(newest.last().unwrap().body.as_deref(), Some("old 119"));
    assert_eq!(newest.len(), 7);
    assert_eq!(
        opened
            .tab
            .history(&bob.id, all.last().unwrap().timestamp, 1000)
            .await
            .unwrap(),
        []
    );

    let said = opened.tab.history(&group, 0, 10).await.unwrap();
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!(said[0].chat, group);
    assert_eq!(said[0].sender.phone.as_deref(), Some("491700000003"), "{:?}", said[0]);
    assert!(said[0].author.is_some());
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobodys_presence_is_asked_for_and_no_receipt_of_reading_is_sent() {
    let profile = tempfile::tempdir().unwrap();
    let simulator = Simulator::start().await;
    simulator.phone("491700000001", "Ada").await;
    simulator.phone("491700000002", "Bob").await;
    simulator.write("491700000002", "491700000001", "hello").await;
    let mut opened = Opened::open(profile.path(), &simulator.url()).await;
    opened.link(&simulator, "491700000001").await;
    // Restored with its chats there: now the library would subscribe to each.
    opened.tab.reload().await.unwrap();
    opened
        .status(|status| status.is_usable() && status.page_id != opened.page_id)
        .await;
    let asked = look(
        profile.path(),
        "JSON.stringify(WPP.whatsapp.ChatStore.getModelsArray().map((chat) => chat.presence.subscriptions))",
    )
    .await;
    let asked: Vec<u64> = serde_json::from_str(asked.as_str().unwrap()).unwrap();
    assert!(!asked.is_empty() && asked.iter().all(|count| *count == 0), "{asked:?}");
    // Only kept quiet, not broken.
    let later = look(
        profile.path(),
        "(() => { const it = WPP.whatsapp.ChatStore.getModelsArray()[0].presence; it.subscribe(); return it.subscriptions; })()",
    )
    .await;
    assert_eq!(later, 1);
    let settings = look(
        profile.path(),
        "JSON.stringify([WPPConfig.disableGoogleAnalytics, WPPConfig.linkPreviewApiServers])",
    )
    .await;
    assert_eq!(settings, "[true,[]]");
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_library_does_not_find_in_the_page_is_named() {
    let profile = tempfile::tempdir().unwrap();
    let simulator = Simulator::start().await;
    simulator.phone("491700000001", "Ada").await;
    let mut opened = Opened::open(profile.path(), &simulator.url()).await;
    opened.status(|status| status.full_ready).await;
    look(
        profile.path(),
        "importNamespace('WAWebFindChatAction').findOrCreateLatestChat = undefined; 0",
    )
    .await;
    opened.link(&simulator, "491700000001").await;
    let status = opened.status(|status| !status.missing.is_empty()).await;
    assert_eq!(status.missing, ["whatsapp.functions.findOrCreateLatestChat"]);
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_logout_is_reported_and_shows_a_code_again() {
    let profile = tempfile::tempdir().unwrap();
    let simulator = Simulator::start().await;
    simulator.phone("491700000001", "Ada").await;
    let mut opened = Opened::open(profile.path(), &simulator.url()).await;
    opened.link(&simulator, "491700000001").await;
    let tab = opened.tab.clone();
    let asked = TaskTracker::new().spawn(async move { tab.logout().await });
    opened
        .event(|event| matches!(event, PageEvent::LoggedOut { .. }).then_some(()))
        .await;
    // The page loads itself anew at once, so the answer may be cut off; the event is what counts.
    if let Err(error) = asked.await.unwrap() {
        assert!(matches!(error, Error::DocumentChanged { .. }), "{error}");
    }
    opened.qr().await;
    opened.close().await;
}
