//! What is left when a tab cannot be opened in time.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::config::resolved::{Browser, BrowserKind};
use crate::page::{Library, procfs};

#[tokio::test]
async fn a_browser_that_does_not_get_ready_in_time_is_ended_with_its_helpers() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("chromium");
    let pid = folder.path().join("pid");
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = --version ] && echo Chromium 156.0.0.0 && exit\n\
         sleep 600 &\necho $$ > {0}.new && /bin/mv {0}.new {0}\nwait\n",
        pid.display()
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let library = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/node_modules/@wppconnect/wa-js/dist/wppconnect-wa.js"
    );
    let launch = Launch {
        account: "one".parse().unwrap(),
        profile: folder.path().join("profile"),
        browser: Browser {
            executable: Some(program),
            kind: BrowserKind::Shell,
            sandbox: false,
            snapshot_interval: Default::default(),
        },
        kind: BrowserKind::Shell,
        url: "http://127.0.0.1:9/".to_owned(),
        library: Library::read(Path::new(library)).unwrap(),
    };
    let tracker = TaskTracker::new();
    let error = Tab::open_within(Duration::from_secs(3), launch, &tracker)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Deadline { .. }), "{error}");
    let group = std::fs::read_to_string(pid).unwrap().trim().parse().unwrap();
    assert_eq!(procfs::group(group), [0; 0]);
    // Nothing that the opening started goes on.
    tracker.close();
    timeout(OPEN, tracker.wait()).await.unwrap();
}
