//! What is done beside sending, and what is looked up.

use std::time::Duration;

use hyper::body::Bytes;

use crate::action::{
    Act, ActOrder, Content, DownloadOrder, Failure, FailureKind, File, Found, Look, LookOrder, SendOrder, Shape, Status,
};
use crate::page::Error;
use crate::session::fake::{Fate, Host, Shared, one, order};

fn start() -> (tempfile::TempDir, Shared, Host) {
    let (data, world) = (tempfile::tempdir().unwrap(), Shared::linked());
    let host = Host::start(data.path(), &world).with_ready_account();
    (data, world, host)
}

fn react() -> ActOrder {
    let act = Act::React {
        message: "false_492@c.us_A".to_owned(),
        emoji: "👍".to_owned(),
    };
    ActOrder {
        account: one(),
        act,
        patience: Duration::from_secs(10),
    }
}

fn gone() -> Error {
    Error::DocumentChanged {
        account: one(),
        step: "react to a message",
    }
}

#[test]
fn what_was_cut_off_is_done_again() {
    let (_data, world, host) = start();
    world.lock().troubles.extend([gone(), gone()]);
    host.run(host.sessions.act(react())).unwrap();
    assert_eq!(world.lock().acts, [react().act]);
    world.lock().troubles.push_back(gone());
    let order = LookOrder {
        account: one(),
        look: Look::Contact { id: "492".to_owned() },
        patience: Duration::from_secs(10),
    };
    assert_eq!(host.run(host.sessions.look(order)).unwrap(), Found::Contact(None));
}

#[test]
fn it_waits_for_the_account_and_fails_when_its_patience_ends() {
    let (_data, world, host) = start();
    world.lock().offline = true;
    host.wait_for("account.disconnected", 1);
    let impatient = ActOrder {
        patience: Duration::ZERO,
        ..react()
    };
    let refused = host.run(host.sessions.act(impatient)).unwrap_err();
    assert_eq!(refused.kind, FailureKind::NotConnected);
    let sessions = host.sessions.clone();
    host.spawn(async move { sessions.act(react()).await.unwrap() });
    world.lock().offline = false;
    host.until(|| world.lock().acts.len() == 1);
}

#[test]
fn what_the_page_says_is_told_apart() {
    let (_data, world, host) = start();
    let (account, step) = (one(), "edit a message");
    let problem = "the in-page library has no chat.editMessage".to_owned();
    let (message, to, reason) = ("too late".to_owned(), "492@c.us".to_owned(), "gone".to_owned());
    let refusals = [
        (
            Error::NotSupported {
                account: account.clone(),
                step,
                problem,
            },
            FailureKind::NotSupported,
        ),
        (
            Error::Page {
                account: account.clone(),
                step,
                message,
            },
            FailureKind::Refused,
        ),
        (Error::NoChat { account, to, reason }, FailureKind::Refused),
    ];
    for (error, kind) in refusals {
        world.lock().troubles.push_back(error);
        let Failure { kind: found, .. } = host.run(host.sessions.act(react())).unwrap_err();
        assert_eq!(found, kind);
    }
    assert!(world.lock().acts.is_empty());
    let nobody = ActOrder {
        account: "nobody".parse().unwrap(),
        ..react()
    };
    assert_eq!(
        host.run(host.sessions.act(nobody)).unwrap_err().kind,
        FailureKind::NoAccount
    );
}

fn with_file(key: &str, file: File) -> SendOrder {
    SendOrder {
        content: Content::File {
            file: Box::new(file),
            shape: Shape::Document,
            caption: Some("the sums: ".to_owned()),
            quote: None,
        },
        ..order(key, "")
    }
}

#[test]
fn a_file_is_put_into_the_page_before_it_is_sent_and_again_where_the_document_was_lost() {
    let (data, world, host) = start();
    let keep = host.sessions.media().keep(
        Bytes::from_static(b"1;2"),
        "text/csv".to_owned(),
        Some("sums.csv".to_owned()),
    );
    let file = host.run(keep).unwrap();
    let sent = host.run(host.sessions.send(with_file("a", file.clone()))).unwrap();
    assert_eq!(
        (sent.status, world.texts()),
        (Status::Sent, vec!["the sums: 1;2".to_owned()])
    );
    world.lock().fates.push_back(Fate::LostBefore);
    let unknown = host.run(host.sessions.send(with_file("b", file.clone()))).unwrap();
    assert_eq!(unknown.status, Status::Unknown, "another document cannot know it");
    // Who has removed it meanwhile gets a refusal, and nothing is sent.
    std::fs::remove_dir_all(data.path().join("media")).unwrap();
    let refused = host.run(host.sessions.send(with_file("c", file))).unwrap_err();
    assert_eq!(refused.kind, FailureKind::Refused);
    assert!(refused.message.contains("sums.csv is not kept any more"), "{refused}");
    assert_eq!(world.texts().len(), 1);
}

#[test]
fn a_downloaded_file_is_kept_with_the_host() {
    let (_data, world, host) = start();
    world.lock().troubles.push_back(gone());
    let download = DownloadOrder {
        account: one(),
        message: "false_492@c.us_A".to_owned(),
        patience: Duration::from_secs(10),
    };
    let file = host.run(host.sessions.download(download)).unwrap();
    assert_eq!((file.size, file.mimetype.as_str()), (9, "image/png"));
    assert_eq!(host.run(host.sessions.media().read(&file)).unwrap(), "a picture");
}
