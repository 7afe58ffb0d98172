//! kill -9 of the whole host, again and again, at every step from the page to the endpoint: each event that was acknowledged
//! arrives, none that nobody knows, the first tries of a chat in order.
//!
//! In most rounds the host runs in this program, started anew, with all its rooms and a page that this test plays (`page`);
//! in some it is the real program with a real browser. `WHARF_KILL_ROUNDS` and `WHARF_KILL_BROWSER_ROUNDS` say how many.

mod host;
mod oracle;
mod page;
mod receiver;
mod tab;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::host::Home;

use host::{Child, LINES, PLACE};
use oracle::Told;
use page::Page;
use receiver::Receiver;

/// Rounds without and with a browser that `make test` takes.
const ROUNDS: usize = 20;
const BROWSER_ROUNDS: usize = 2;
/// Between two messages.
const PACE: Duration = Duration::from_millis(20);
const CHATS: usize = 12;
/// The latest moment of a kill at no particular place.
const ANY_TIME: usize = 1_500;

/// Where a host is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Anywhere, while it starts or works.
    AnyTime,
    /// The page has told of a message, nothing is journaled.
    Reported,
    /// The page was told that a message is journaled, and has not yet heard it.
    Acknowledged,
    /// The endpoint has a request and has not answered.
    Requested,
    /// The endpoint has answered, the host may not have written it down.
    Answered,
    /// A thread of the host has come to this line.
    Line(&'static str),
    /// The same, the next time after the endpoint has answered: the commit of what became of a delivery.
    LineAfterAnswer(&'static str),
}

const PLACES: [Place; 13] = [
    Place::AnyTime,
    Place::Reported,
    Place::Line("message in commit"),
    Place::Line("rows before the sync"),
    Place::Line("rows synced"),
    Place::Acknowledged,
    Place::Line("message in handler"),
    Place::Line("run in commit"),
    Place::Line("run committed"),
    Place::Requested,
    Place::Answered,
    Place::LineAfterAnswer("rows before the sync"),
    Place::LineAfterAnswer("rows synced"),
];

/// Kills a process when something has happened so many times; set anew for each round.
#[derive(Clone, Default)]
struct Trap(Arc<Mutex<Option<Set>>>);

struct Set {
    place: Place,
    left: usize,
    pid: rustix::process::Pid,
}

impl Trap {
    fn set(&self, place: Place, times: usize, pid: u32) {
        let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
        *self.0.lock().unwrap() = Some(Set {
            place,
            left: times,
            pid,
        });
    }

    fn clear(&self) {
        *self.0.lock().unwrap() = None;
    }

    /// What has happened; whether it was the time. One that is about the host's own lines kills nobody.
    fn come(&self, happened: Place) -> bool {
        let mut set = self.0.lock().unwrap();
        let Some(trap) = set.as_mut() else { return false };
        let same =
            trap.place == happened || (happened == Place::Answered && matches!(trap.place, Place::LineAfterAnswer(_)));
        if !same {
            return false;
        }
        trap.left = trap.left.saturating_sub(1);
        if trap.left == 0 && trap.place == happened {
            rustix::process::kill_process(trap.pid, rustix::process::Signal::KILL).ok();
            *set = None;
            return true;
        }
        trap.left == 0
    }
}

fn told(name: &str) -> Option<usize> {
    #[allow(clippy::disallowed_methods, reason = "how a person asks for more than the usual")]
    std::env::var(name).ok()?.parse().ok()
}

fn chance(below: usize) -> usize {
    getrandom::u32().unwrap() as usize % below
}

/// A script that counts in the same commit as it posts.
const COUNT: &str = "wharf.on('message', function(msg)
    wharf.kv.incr('count')
    wharf.webhook.post('second', msg:json())
end)";

fn endpoints(at: SocketAddr) -> String {
    format!(
        "[pacing]\nenabled = false\n\
         [endpoint.first]\nurl = \"http://{at}/first\"\n[endpoint.second]\nurl = \"http://{at}/second\"\n\
         [plugins.webhook]\nroutes = [{{ endpoint = \"first\", events = [\"message\"] }}]\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_killed_again_and_again_delivers_every_acknowledged_event_in_order() {
    let rounds = told("WHARF_KILL_ROUNDS").unwrap_or(ROUNDS);
    let trap = Trap::default();
    let page = Page::start(trap.clone()).await;
    let (receiver, at) = Receiver::start(trap.clone(), page.clone()).await;
    let home = Home::new("http://127.0.0.1:1/", &format!("{}[account.shop]\n", endpoints(at)));
    home.script("count.lua", COUNT);

    let mut child = Child::start(&home, page.addr(), None);
    page.until_ready().await;
    // WhatsApp counts in seconds: what comes in the second of the link could have been there before it.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let done = Arc::new(AtomicBool::new(false));
    let writer = {
        let (page, done) = (page.clone(), Arc::clone(&done));
        #[allow(clippy::disallowed_methods, reason = "joined below")]
        tokio::spawn(async move {
            let mut tick = tokio::time::interval(PACE);
            for n in 0.. {
                tick.tick().await;
                if done.load(Ordering::Relaxed) {
                    return n;
                }
                page.write(n % CHATS, n / CHATS);
            }
            unreachable!()
        })
    };
    child.kill().await;
    for round in 0..rounds {
        let place = PLACES[round % PLACES.len()];
        let times = 1 + chance(10);
        // Every second time the browser outlives its host, as far as the page knows.
        page.next_document(round % 2 == 0);
        let line = match place {
            Place::Line(line) => Some((line, times)),
            Place::LineAfterAnswer(line) => Some((line, 0)),
            _ => None,
        };
        child = Child::start(&home, page.addr(), line);
        trap.set(place, times, child.pid());
        if place == Place::AnyTime {
            tokio::time::sleep(Duration::from_millis(chance(ANY_TIME) as u64)).await;
            child.kill().await;
        } else {
            child
                .until_dead(&format!("round {round}, {place:?}, {times} times"))
                .await;
        }
        trap.clear();
    }
    child = Child::start(&home, page.addr(), None);
    done.store(true, Ordering::Relaxed);
    let written = writer.await.unwrap();
    receiver.until_all_have_arrived(&["/first", "/second"], written).await;
    child.stop().await;

    let told = Told {
        acknowledged: page.acknowledged(),
        written: page.written(),
        by_number: true,
    };
    let figures = oracle::check(&home, &receiver.received(), &["/first", "/second"], &told).await;
    eprintln!("{rounds} kills: {figures}");
}

#[test]
#[ignore = "the child of the test above, which starts it"]
fn child_that_hosts() {
    #[allow(clippy::disallowed_methods, reason = "the only way to tell a test something")]
    let told = |name: &str| std::env::var(name).ok();
    let (Some(config), Some(page)) = (told(host::CONFIG), told(host::PAGE)) else {
        return;
    };
    host::run(&config, &page, told(PLACE).as_deref());
}

mod browser {
    use std::collections::HashSet;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use super::oracle::{self, Told};
    use super::page::Page;
    use super::receiver::Receiver;
    use super::{BROWSER_ROUNDS, COUNT, LINES, Trap, chance, endpoints, told};
    use crate::support::host::{Home, Host};
    use crate::support::phones::Phones;

    const SHOP: &str = "491700000001";
    const WRITERS: [&str; 3] = ["491700000011", "491700000012", "491700000013"];
    const PACE: Duration = Duration::from_millis(100);

    #[tokio::test(flavor = "multi_thread")]
    async fn a_host_with_a_real_browser_killed_again_and_again_delivers_every_event() {
        let rounds = told("WHARF_KILL_BROWSER_ROUNDS").unwrap_or(BROWSER_ROUNDS);
        let phones = Arc::new(Phones::start().await);
        phones.add(SHOP, "Shop").await;
        for number in WRITERS {
            phones.add(number, number).await;
        }
        let trap = Trap::default();
        let (receiver, at) = Receiver::start(trap.clone(), Page::start(trap).await).await;
        let home = Home::new(&phones.url, &endpoints(at));
        home.script("count.lua", COUNT);
        let trace = "info,wharf::path=trace";
        let mut host = Host::start_logging(&home, trace).await;
        let qr = host.create_account("shop").await;
        phones.scan(SHOP, &qr).await;
        host.state("shop", "ready").await;
        // WhatsApp counts in seconds: what is found later in the second of the link could have been there before it.
        tokio::time::sleep(Duration::from_millis(1100)).await;

        let done = Arc::new(AtomicBool::new(false));
        let writer = {
            let (phones, done) = (Arc::clone(&phones), Arc::clone(&done));
            #[allow(clippy::disallowed_methods, reason = "joined below")]
            tokio::spawn(async move {
                let mut tick = tokio::time::interval(PACE);
                for n in 0.. {
                    tick.tick().await;
                    if done.load(Ordering::Relaxed) {
                        return n;
                    }
                    let of = n % WRITERS.len();
                    let text = format!("{of}-{}", n / WRITERS.len());
                    phones.write(WRITERS[of], SHOP, &text).await;
                }
                unreachable!()
            })
        };
        for round in 0..rounds {
            // From the host's start on, so that some kills come while it catches up.
            let line = LINES[chance(LINES.len())];
            for _ in 0..=chance(3) {
                let from = host.logged();
                host.line(from, line).await;
            }
            host.kill();
            eprintln!("round {round}: killed at {line:?}");
            host = Host::start_logging(&home, trace).await;
            if round % 2 == 0 {
                host.state("shop", "ready").await;
            }
        }
        host.state("shop", "ready").await;
        done.store(true, Ordering::Relaxed);
        let written = writer.await.unwrap();
        receiver.until_all_have_arrived(&["/first", "/second"], written).await;
        assert_eq!(host.stop().await, Some(0));
        assert_eq!(home.browsers(), Vec::<u32>::new());

        let told = Told {
            acknowledged: HashSet::new(),
            written: (0..written)
                .map(|n| format!("{}-{}", n % WRITERS.len(), n / WRITERS.len()))
                .collect(),
            by_number: false,
        };
        let figures = oracle::check(&home, &receiver.received(), &["/first", "/second"], &told).await;
        eprintln!("{rounds} kills with a browser: {figures}");
    }
}
