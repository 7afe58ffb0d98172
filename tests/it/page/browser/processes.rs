//! Browsers that end, crash, or outlive their host.

use tokio_util::task::TaskTracker;
use wharf::config::resolved::BrowserKind;
use wharf::page::{Error, PageStatus, Report, Tab};

use crate::page::rig::{Opened, Simulator, close_page, launch, processes};
use crate::page::stranger::Stranger;

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
    let renderer = renderer(opened.tab.pid());
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tab_whose_page_was_closed_is_reported_as_gone() {
    let profile = tempfile::tempdir().unwrap();
    let page = Stranger::start("<!doctype html>", "").await;
    let mut opened = Opened::open(profile.path(), &page.url()).await;
    close_page(profile.path()).await;
    let last = opened.next().await;
    assert!(matches!(last, Some(Report::Gone(_))), "{last:?}");
    assert!(opened.tab.status().await.unwrap_err().is_gone());
    opened.close().await;
    assert_eq!(processes(profile.path()), Vec::<i32>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_does_not_answer_is_not_waited_for_and_its_browser_closes() {
    let profile = tempfile::tempdir().unwrap();
    let page = Stranger::start("<!doctype html><script>setTimeout(() => { for (;;); }, 0)</script>", "").await;
    let opened = Opened::open(profile.path(), &page.url()).await;
    let error = loop {
        // The first may come before the page is stuck.
        if let Err(error) = opened.tab.status().await {
            break error;
        }
    };
    assert!(
        matches!(error, Error::Deadline { .. }) && error.is_uncertain() && !error.is_gone(),
        "{error}"
    );
    opened.close().await;
    assert_eq!(processes(profile.path()), Vec::<i32>::new());
}

#[test]
fn a_browser_that_no_record_names_is_asked_to_close_as_well() {
    let profile = tempfile::tempdir().unwrap();
    let host = tokio::runtime::Runtime::new().unwrap();
    let world = tokio::runtime::Runtime::new().unwrap();
    let page = world.block_on(Stranger::start("<!doctype html>", ""));
    let opened = host.block_on(Opened::open(profile.path(), &page.url()));
    let left = opened.tab.pid();
    // As when the host is killed between the start of a browser and the note of it.
    host.shutdown_background();
    drop(opened);
    std::fs::remove_file(profile.path().join(".wharf-browser.json")).unwrap();
    world.block_on(async {
        let opened = Opened::open(profile.path(), &page.url()).await;
        assert!(!processes(profile.path()).contains(&left));
        opened.close().await;
    });
}

/// Cuts this process's connection to the browser on the profile.
fn cut(profile: &std::path::Path) {
    let file = std::fs::read_to_string(profile.join("DevToolsActivePort")).unwrap();
    let port: u16 = file.lines().next().unwrap().parse().unwrap();
    let own = rustix::process::pidfd_open(rustix::process::getpid(), rustix::process::PidfdFlags::empty()).unwrap();
    let mut cut = 0;
    for entry in std::fs::read_dir("/proc/self/fd").unwrap() {
        let Ok(number) = entry.unwrap().file_name().to_str().unwrap().parse() else {
            continue;
        };
        let Ok(copy) = rustix::process::pidfd_getfd(&own, number, rustix::process::PidfdGetfdFlags::empty()) else {
            continue;
        };
        let stream = std::net::TcpStream::from(copy);
        if stream.peer_addr().is_ok_and(|peer| peer.port() == port) {
            stream.shutdown(std::net::Shutdown::Both).unwrap();
            cut += 1;
        }
    }
    assert_eq!(cut, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_that_is_not_connected_any_more_is_asked_to_close_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (program, term, profile) = (
        folder.path().join("shell"),
        folder.path().join("term"),
        folder.path().join("p"),
    );
    // Stays above the browser and notes a SIGTERM to the group.
    let browser = "/usr/lib/chromium/chromium-headless-shell";
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = --version ] && exec {browser} --version\ntrap 'echo >{}' TERM\n{browser} \"$@\" &\nwait $!\n",
        term.display()
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let page = Stranger::start("<!doctype html>", "").await;
    let mut wanted = launch(&profile, &page.url(), BrowserKind::Shell);
    wanted.browser.executable = Some(program);
    let mut opened = Opened::open_as(wanted).await;
    cut(&profile);
    let last = opened.next().await;
    assert!(matches!(last, Some(Report::Gone(_))), "{last:?}");
    opened.close().await;
    assert_eq!(processes(&profile), Vec::<i32>::new());
    assert!(!term.exists(), "it was ended, not asked");
}

/// The one process of the group that renders.
fn renderer(group: i32) -> i32 {
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
        opened.status(PageStatus::is_usable).await;
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
