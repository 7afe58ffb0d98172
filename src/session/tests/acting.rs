//! What is done beside sending, and what is looked up.

use std::time::Duration;

use crate::action::{Act, ActOrder, Failure, FailureKind, Found, Look, LookOrder};
use crate::page::Error;
use crate::session::fake::{Host, Shared, one};

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
