//! The plugin `webhook` as it is shipped: routes that begin in the past, and formats of the owner's own.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use wharf::store::Store;

use super::bench::{Bench, PATIENCE, message, now};
use super::recorder::Recorder;

/// The name of the plugin here: `webhook` is switched off in the rig.
const NAME: &str = "hooks";

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(path, target).unwrap();
        }
    }
}

/// A host with the shipped plugin, the owner's own, without routes.
pub(super) async fn with_plugin() -> Bench {
    let mut bench = Bench::empty();
    let folder = bench.dir.path().join("plugins").join(NAME);
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins/webhook"), &folder);
    let manifest = folder.join("plugin.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(
        &manifest,
        text.replace("name = \"webhook\"", &format!("name = \"{NAME}\"")),
    )
    .unwrap();
    std::fs::write(
        bench.dir.path().join("plugins/plugins.lock"),
        format!("[{NAME}]\nown = true\n"),
    )
    .unwrap();
    bench.route("");
    bench.start().await;
    bench.until_view(NAME, |view| view.state == "running").await;
    bench
}

impl Bench {
    /// Puts these routes in force.
    pub(super) fn route(&self, routes: &str) {
        self.configure(&format!("[plugins.{NAME}]\nroutes = [{routes}]\n"));
    }

    /// Messages of several chats; their ids.
    async fn messages(&self, count: usize) -> Vec<String> {
        let mut ids = Vec::new();
        for from in (0..count).step_by(20) {
            let drafts = (from..count.min(from + 20)).map(|number| {
                let chat = format!("4917{}@c.us", number % 7);
                message(&chat, &format!("message {number}"), now())
            });
            let made = self.journal(drafts.collect()).await;
            ids.extend(made.into_iter().map(|event| event.id.clone()));
        }
        ids
    }

    pub(super) async fn posts(&self) -> Vec<Value> {
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let page = self.store.deliveries_after(after.as_deref(), 500).await.unwrap();
            let Some(last) = page.last() else { return found };
            after = Some(last.id.clone());
            for delivery in page {
                let body = self.store.delivery_body(&delivery.body).await.unwrap().unwrap();
                found.push(serde_json::from_slice(&body).unwrap());
            }
        }
    }

    pub(super) async fn until_posted(&self, count: usize) {
        let mut changed = self.store.outbox_changed();
        let posted = async {
            while self.store.deliveries_after(None, count).await.unwrap().len() < count {
                changed.changed().await.unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, posted).await.expect("it is posted");
    }

    /// Waits until all is posted, `count` in all: what the outbox shows is durable, what `kv` shows a moment before that.
    async fn until_caught_up(&self, since: &str, count: usize) {
        let key = format!("since/crm/{since}");
        let caught_up = async {
            while self.kv(NAME, &key).await.is_none_or(|state| state["done"] != true) {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(3 * PATIENCE, caught_up)
            .await
            .expect("it catches up");
        self.until_finished(NAME).await;
        self.until_posted(count).await;
    }

    /// The host is gone in the middle of what it did, and another one goes on with what is on the disk.
    async fn crash(&mut self) {
        self.store.close().await.unwrap();
        self.stop().await;
        self.store = Store::open(&self.dir.path().join("data"), 16 << 20).unwrap();
        self.host = Recorder::new(&self.store);
        self.start().await;
    }
}

/// How often each id was posted.
fn counted(posts: &[Value]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for post in posts {
        *counts.entry(post["id"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    counts
}

fn once<'a>(ids: impl IntoIterator<Item = &'a String>) -> BTreeMap<String, usize> {
    ids.into_iter().map(|id| (id.clone(), 1)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_is_added_with_since_gets_the_past_and_the_present_each_once_over_crashes() {
    let mut bench = with_plugin().await;
    let mut ids = bench.messages(500).await;
    bench.until_finished(NAME).await;
    let since = ids[99].clone();
    let head = *bench.store.head().borrow();
    bench.route(&format!("{{ endpoint = 'crm', since = '{since}' }}"));
    // Some of these are handled by the old version, some stand on each side of the boundary.
    ids.extend(bench.messages(60).await);
    for posted in [30, 140] {
        bench.until_posted(posted).await;
        bench.crash().await;
        ids.extend(bench.messages(40).await);
    }
    bench.until_posted(250).await;
    bench.stop().await;
    ids.extend(bench.messages(40).await);
    bench.start().await;
    bench.until_caught_up(&since, ids.len() - 100).await;
    let posts = bench.posts().await;
    assert_eq!(counted(&posts), once(&ids[100..]));
    let first = bench.store.find_event(&ids[100]).await.unwrap().unwrap().1;
    assert!(
        posts.contains(&serde_json::to_value(&*first).unwrap()),
        "as any webhook gets it"
    );
    // It was the old ones' turn beside the new ones, in their order.
    let old: Vec<&String> = ids[100..500].iter().collect();
    let caught: Vec<&str> = posts.iter().map(|post| post["id"].as_str().unwrap()).collect();
    let caught: Vec<&&str> = caught.iter().filter(|id| old.iter().any(|old| old == *id)).collect();
    assert!(caught.is_sorted(), "the past comes in its order");
    assert!(*bench.store.head().borrow() > head);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_since_begins_anew_and_a_route_that_is_gone_is_forgotten() {
    let bench = with_plugin().await;
    let ids = bench.messages(40).await;
    bench.until_finished(NAME).await;
    bench.route(&format!("{{ endpoint = 'crm', since = '{}' }}", ids[29]));
    bench.until_caught_up(&ids[29], 10).await;
    assert_eq!(counted(&bench.posts().await), once(&ids[30..]));
    bench.route(&format!("{{ endpoint = 'crm', since = '{}' }}", ids[34]));
    bench.until_caught_up(&ids[34], 15).await;
    let mut twice = once(&ids[30..]);
    ids[35..].iter().for_each(|id| *twice.get_mut(id).unwrap() = 2);
    assert_eq!(counted(&bench.posts().await), twice);
    assert_eq!(bench.kv(NAME, &format!("since/crm/{}", ids[29])).await, None);
    // What is the same stays so, also in a new version of the script.
    bench.route(&format!(
        "{{ endpoint = 'crm', since = '{}' }}, {{ endpoint = 'crm', events = ['message.ack'] }}",
        ids[34]
    ));
    bench.until_view(NAME, |view| view.generation == 4).await;
    let new = bench.messages(1).await;
    bench.until_finished(NAME).await;
    bench.until_posted(16).await;
    twice.insert(new[0].clone(), 1);
    assert_eq!(counted(&bench.posts().await), twice);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_format_of_the_owners_own_is_a_file_in_formats_and_live() {
    let bench = with_plugin().await;
    bench.route("{ endpoint = 'crm', format = 'short' }");
    let refused = bench
        .until_view(NAME, |view| view.refused.is_some())
        .await
        .refused
        .unwrap();
    assert!(
        refused.message.contains("there is no format 'short'"),
        "{}",
        refused.message
    );
    let file = bench.dir.path().join("plugins").join(NAME).join("formats/short.lua");
    std::fs::write(&file, "return { events = { 'message' } }").unwrap();
    let says = "formats/short.lua returns no { events = ..., make = ... }";
    bench
        .until_view(NAME, |view| {
            view.refused
                .as_ref()
                .is_some_and(|refused| refused.message.contains(says))
        })
        .await;
    std::fs::write(
        file,
        "return { events = { 'message' }, make = function(event) return { text = event.data.body } end }",
    )
    .unwrap();
    bench.until_view(NAME, |view| view.refused.is_none()).await;
    bench.message("a@c.us", "hello").await;
    bench.until_posted(1).await;
    assert_eq!(bench.posts().await, [json!({"text": "hello"})]);
}
