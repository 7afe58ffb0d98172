//! How accounts come, stand and go.

use std::sync::Arc;
use std::time::Duration;

use crate::action::State;
use crate::config::Secret;
use crate::page::{self, Format, PageEvent};
use crate::session::Error;
use crate::session::fake::{Host, Shared, one};
use crate::store::{Batch, Desired, Webhook};

fn new() -> (tempfile::TempDir, Shared) {
    (tempfile::tempdir().unwrap(), Shared::linked())
}

fn state(host: &Host) -> State {
    host.sessions.get(&one()).unwrap().state
}

fn reason(host: &Host) -> String {
    host.sessions.get(&one()).unwrap().reason.unwrap_or_default()
}

fn folders(data: &std::path::Path) -> usize {
    std::fs::read_dir(data.join("profiles")).unwrap().count()
}

#[test]
fn a_code_is_shown_but_stands_in_no_event() {
    let (data, world) = (tempfile::tempdir().unwrap(), Shared::default());
    let host = Host::start(data.path(), &world);
    host.run(host.sessions.create(Some(one()), None)).unwrap();
    let events = host.wait_for("account.qr", 1);
    assert_eq!(events[0].data["attempt"], 1);
    assert_eq!(state(&host), State::Qr);
    assert_eq!(host.sessions.qr(&one()).unwrap().text, "2@the-secret-code,a,b,c");
    world.report(PageEvent::Qr(Some("2@another-secret".to_owned())));
    host.wait_for("account.qr", 2);
    world.scan();
    host.wait_ready();
    assert!(matches!(
        host.sessions.qr(&one()),
        Err(Error::NoQr {
            state: State::Ready,
            ..
        })
    ));
    assert!(!serde_json::to_string(&host.events()).unwrap().contains("secret"));
}

#[test]
fn ready_is_told_with_a_proof_and_withdrawn_without() {
    let (data, world) = new();
    let host = Host::start(data.path(), &world).with_ready_account();
    assert!(host.sessions.get(&one()).unwrap().proof_age_ms.is_some());
    assert_eq!(host.named("account.ready")[0].text("phone"), Some("491"));
    world.lock().offline = true;
    let events = host.wait_for("account.disconnected", 1);
    assert_eq!(events[0].text("state"), Some("disconnected"));
    assert_eq!(reason(&host), "offline");
}

#[test]
fn a_page_that_does_not_answer_is_not_asked_twice_at_a_time_and_its_proof_ages() {
    let (data, world) = new();
    let host = Host::start(data.path(), &world).with_ready_account();
    world.lock().hung = true;
    let age = || host.sessions.get(&one()).unwrap().proof_age_ms.unwrap();
    host.until(|| age() > 1000);
    assert_eq!(state(&host), State::Ready, "45 s are not over");
    world.lock().hung = false;
    host.until(|| age() < 500);
}

#[test]
fn a_browser_that_dies_is_replaced_and_the_account_is_ready_again() {
    let (data, world) = new();
    let host = Host::start(data.path(), &world).with_ready_account();
    world.crash("exit status 9");
    host.wait_for("account.ready", 2);
    let world = world.lock();
    assert_eq!((world.opened, world.closed), (2, 1));
    let gone = &host.wait_for("account.disconnected", 1)[0];
    assert_eq!(
        (gone.text("state"), gone.text("reason")),
        (Some("starting"), Some("browser_gone: exit status 9"))
    );
}

#[test]
fn a_browser_that_cannot_be_opened_for_good_is_a_failure_with_the_text_of_the_error() {
    let (data, world) = new();
    world.lock().refusals.push_back(page::Error::NoBrowser {
        looked_for: "chromium".to_owned(),
    });
    let host = Host::start(data.path(), &world);
    host.run(host.sessions.create(Some(one()), None)).unwrap();
    host.until(|| state(&host) == State::Failed);
    assert!(reason(&host).contains("Debian package"), "{}", reason(&host));
    assert_eq!(host.run(host.sessions.start(&one())).unwrap().state, State::Starting);
    host.wait_ready();
}

#[test]
fn a_browser_that_fails_to_come_up_is_tried_again() {
    let (data, world) = new();
    let problem = "it exited".to_owned();
    world.lock().refusals.push_back(page::Error::Start {
        account: one(),
        problem,
    });
    let host = Host::start(data.path(), &world).with_ready_account();
    assert_eq!(host.wait_for("account.status", 1)[0].text("state"), Some("starting"));
}

#[test]
fn stop_and_start_are_kept_over_a_restart() {
    let (data, world) = new();
    let host = Host::start(data.path(), &world).with_ready_account();
    assert_eq!(host.run(host.sessions.stop(&one())).unwrap().state, State::Stopped);
    assert_eq!(world.lock().closed, 1);
    host.kill();
    let host = Host::start(data.path(), &world);
    assert_eq!((state(&host), world.lock().opened), (State::Stopped, 1));
    host.run(host.sessions.start(&one())).unwrap();
    host.wait_ready();
    host.kill();
    let host = Host::start(data.path(), &world);
    host.wait_ready();
}

#[test]
fn a_fresh_link_keeps_its_browser_until_it_is_on_disk() {
    let (data, world) = (tempfile::tempdir().unwrap(), Shared::default());
    let host = Host::start(data.path(), &world);
    host.run(host.sessions.create(Some(one()), None)).unwrap();
    host.wait_for("account.qr", 1);
    let account = host.sessions.find(&one()).unwrap();
    assert!(account.linked_for().is_none());
    world.scan();
    host.wait_ready();
    assert!(account.linked_for().is_some());
    host.run(host.sessions.stop(&one())).unwrap();
    assert!(
        account.linked_for().unwrap() >= Duration::from_millis(10),
        "the tempo of these tests"
    );
}

#[test]
fn a_logout_ends_as_logged_out_and_a_start_begins_anew() {
    let (data, world) = new();
    let host = Host::start(data.path(), &world).with_ready_account();
    host.run(host.sessions.logout(&one())).unwrap();
    host.until(|| state(&host) == State::LoggedOut && world.lock().closed == 1);
    host.run(host.sessions.start(&one())).unwrap();
    host.wait_for("account.qr", 1);
}

#[test]
fn closing_ends_every_browser_and_says_so() {
    let (data, world) = new();
    let host = Host::start(data.path(), &world).with_ready_account();
    host.run(host.sessions.close());
    assert_eq!(
        (state(&host), reason(&host).as_str(), world.lock().closed),
        (State::Stopped, "host_closing", 1)
    );
    assert_eq!(host.named("account.disconnected").len(), 1);
    assert_eq!(host.run(host.store.accounts()).unwrap()[0].desired, Desired::Running);
}

#[test]
fn the_limit_holds_is_live_and_a_delete_frees_a_place() {
    let (data, world) = new();
    let host = Host::start_with(data.path(), &world, |config| config.accounts.max = 1).with_ready_account();
    let create = || host.run(host.sessions.create(None, Some("Second".to_owned())));
    assert!(matches!(create(), Err(Error::Limit { current: 1, max: 1 })));
    assert_eq!(folders(data.path()), 1);
    assert!(matches!(
        host.run(host.sessions.create(Some(one()), None)),
        Err(Error::Exists { .. })
    ));
    host.run(host.sessions.delete(&one())).unwrap();
    assert_eq!((folders(data.path()), world.lock().closed), (0, 1));
    assert!(host.sessions.get(&one()).is_none());
    let second = create().unwrap();
    assert_eq!(second.name.as_deref(), Some("Second"));
    let mut config = crate::config::Config::clone(&host.config.borrow());
    config.accounts.max = 2;
    host.config.send_replace(Arc::new(config));
    create().unwrap();
    assert_eq!(host.sessions.list().len(), 2);
}

#[test]
fn a_delete_that_was_cut_off_is_finished_at_the_next_start() {
    let (data, world) = new();
    let host = Host::start(data.path(), &world).with_ready_account();
    let mut record = host.run(host.store.accounts()).unwrap().remove(0);
    record.desired = Desired::Deleting;
    let batch = Batch {
        accounts: vec![(one(), Some(record))],
        ..Batch::default()
    };
    host.run(host.store.commit(batch)).unwrap();
    host.kill();
    assert_eq!(folders(data.path()), 1);
    let host = Host::start(data.path(), &world);
    assert_eq!((host.sessions.list().len(), folders(data.path())), (0, 0));
    assert!(host.run(host.store.accounts()).unwrap().is_empty());
}

#[test]
fn a_declared_account_exists_after_a_reload_and_its_table_decides_its_webhook() {
    let (data, world) = new();
    let host = Host::start(data.path(), &world);
    let declare = |url: Option<&str>| {
        let mut config = crate::config::Config::clone(&host.config.borrow());
        let declared = crate::config::resolved::Account {
            name: Some("Sales".to_owned()),
            webhook_url: url.map(ToOwned::to_owned),
            ..crate::config::resolved::Account::default()
        };
        config.account.insert(one(), declared);
        host.config.send_replace(Arc::new(config));
    };
    let webhook = || Webhook {
        url: "http://a/".to_owned(),
        secret: Secret::new("whsec_x".to_owned()),
    };
    declare(None);
    host.until(|| host.sessions.get(&one()).is_some());
    host.wait_ready();
    host.run(host.sessions.set_webhook(&one(), Some(webhook()))).unwrap();
    assert_eq!(
        host.sessions.get(&one()).unwrap().webhook_url.as_deref(),
        Some("http://a/")
    );
    declare(Some("http://b/"));
    let view = host.sessions.get(&one()).unwrap();
    assert_eq!(
        (view.webhook_url.as_deref(), view.name.as_deref()),
        (Some("http://b/"), Some("Sales"))
    );
    assert!(matches!(
        host.run(host.sessions.set_webhook(&one(), None)),
        Err(Error::Declared { .. })
    ));
    assert!(matches!(
        host.run(host.sessions.delete(&one())),
        Err(Error::Declared { .. })
    ));
    assert_eq!(
        (state(&host), world.lock().opened),
        (State::Ready, 1),
        "the session does not notice"
    );
    let mut config = crate::config::Config::clone(&host.config.borrow());
    config.account.clear();
    host.config.send_replace(Arc::new(config));
    host.until(|| state(&host) == State::Stopped);
    assert_eq!(folders(data.path()), 1);
    declare(None);
    host.wait_ready();
}

#[test]
fn pictures_are_not_taken_more_often_than_the_interval_says() {
    let (data, world) = new();
    let long = Duration::from_secs(3600);
    let host = Host::start_with(data.path(), &world, |config| {
        config.browser.snapshot_interval = (long, long)
    });
    let host = host.with_ready_account();
    let take = |format| host.run(host.sessions.snapshot(&one(), format)).unwrap();
    let first = take(Format::Png);
    assert!(!first.throttled);
    let second = take(Format::Jpeg);
    assert_eq!(
        (second.throttled, second.format, second.taken_at),
        (true, Format::Png, first.taken_at)
    );
    assert_eq!(world.lock().pictures, 1);
    host.run(host.sessions.stop(&one())).unwrap();
    let stopped = host.run(host.sessions.snapshot(&one(), Format::Png));
    assert!(matches!(stopped, Err(Error::NotRunning { .. })));
}

#[test]
fn a_picture_of_the_code_says_so_and_is_not_shown_again_once_the_account_is_linked() {
    let (data, world) = (tempfile::tempdir().unwrap(), Shared::default());
    let long = Duration::from_secs(3600);
    let host = Host::start_with(data.path(), &world, |config| {
        config.browser.snapshot_interval = (long, long)
    });
    host.run(host.sessions.create(Some(one()), None)).unwrap();
    host.wait_for("account.qr", 1);
    let take = || host.run(host.sessions.snapshot(&one(), Format::Png)).unwrap();
    assert!(take().may_show_code);
    let again = take();
    assert!(again.throttled && again.may_show_code, "{again:?}");
    world.scan();
    host.wait_ready();
    let linked = take();
    assert!(!linked.throttled && !linked.may_show_code, "{linked:?}");
    // Unlinked on the phone: the page shows a code before the session has heard of it.
    world.lock().linked = false;
    host.sessions
        .find(&one())
        .unwrap()
        .status
        .send_modify(|status| status.state = State::Syncing);
    assert!(take().may_show_code);
}

#[test]
fn what_the_library_lacks_is_told_once_and_shown() {
    let (data, world) = new();
    let host = Host::start(data.path(), &world).with_ready_account();
    assert!(host.named("account.degraded").is_empty());
    world.lock().missing = vec!["chat.list".to_owned()];
    let events = host.wait_for("account.degraded", 1);
    assert_eq!(events[0].data["missing"], serde_json::json!(["chat.list"]));
    assert_eq!(host.sessions.get(&one()).unwrap().degraded, ["chat.list"]);
    let proof = host.sessions.get(&one()).unwrap().proof_age_ms;
    host.until(|| host.sessions.get(&one()).unwrap().proof_age_ms < proof);
    assert_eq!(host.named("account.degraded").len(), 1);
}
