//! Runs: one commit each, in order within a chat, never twice.

use serde_json::json;
use wharf::store::Position;

use super::bench::{Bench, message, now};

const ANSWER: &str = "wharf.on('message', function(msg) msg:reply('re ' .. msg.body) end)";

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_goes_out_once_and_its_intent_goes_with_the_run() {
    let bench = Bench::with(&[("bot", ANSWER)]).await;
    let event = bench.message("49170@c.us", "hello").await;
    bench.host.until_text("re hello").await;
    bench.until_finished("bot").await;
    let sent = bench.host.sent();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].to, "49170@c.us");
    assert_eq!(sent[0].key, format!("bot/{}/main/send/sales/49170@c.us/1", event.id));
    assert!(bench.store.intents_with_prefix("bot/").await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_run_is_tried_again_without_sending_again() {
    let bench = Bench::with(&[(
        "bot",
        "local tries = 0
        wharf.on('message', function(msg)
            tries += 1
            wharf.kv.set('try' .. tries, true)
            msg:reply('first')
            if tries < 2 then error('not yet') end
            msg:reply('second')
        end)",
    )])
    .await;
    bench.message("49170@c.us", "hello").await;
    let failed = bench.until_event("script.error", |_| true).await;
    assert_eq!(failed.text("script"), Some("bot"));
    assert_eq!(failed.data["line"], json!(6));
    assert_eq!(failed.text("message"), Some("not yet"));
    let tries = bench.store.tries("bot").await.unwrap();
    assert_eq!((tries[0].0, tries[0].1.tries), (0, 1));
    assert_eq!(bench.kv("bot", "try1").await, None);
    bench.host.until_text("second").await;
    bench.until_finished("bot").await;
    assert_eq!(bench.host.texts(), ["first", "second"]);
    // Both tries asked, with the same key.
    assert_eq!(bench.host.asked()[0], bench.host.asked()[1]);
    assert!(bench.store.tries("bot").await.unwrap().is_empty());
    assert_eq!(
        bench.kv("bot", "try1").await,
        None,
        "nothing is kept of a run that failed"
    );
    assert_eq!(bench.kv("bot", "try2").await, Some(json!(true)));
    assert_eq!(
        bench.view("bot").unwrap().last_error.unwrap().headline(),
        "scripts/bot.lua:6: not yet"
    );
    let cause = json!({ "id": failed.data["event"], "name": "message", "account": "sales", "chat": "49170@c.us" });
    assert_eq!(failed.data["cause"], cause);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_deliveries_are_committed_with_the_run_and_not_before() {
    let bench = Bench::with(&[(
        "bot",
        "wharf.on('message', function(msg)
            wharf.kv.set('seen', msg.body)
            wharf.webhook.post('crm', msg:json())
            msg:reply('held')
        end)",
    )])
    .await;
    let held = bench.host.hold("held");
    let mut outbox = bench.store.outbox_changed();
    let event = bench.message("49170@c.us", "hello").await;
    bench.host.until_asked(1).await;
    assert_eq!(bench.kv("bot", "seen").await, None);
    assert!(bench.store.deliveries(10).await.unwrap().is_empty());
    held.notify_one();
    outbox.changed().await.unwrap();
    assert_eq!(bench.kv("bot", "seen").await, Some(json!("hello")));
    let delivery = bench.store.deliveries(10).await.unwrap().remove(0);
    assert_eq!(
        (delivery.endpoint.as_str(), delivery.event_id.as_deref()),
        ("crm", Some(event.id.as_str()))
    );
    let body = bench.store.delivery_body(&delivery.body).await.unwrap().unwrap();
    let posted: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(posted, serde_json::to_value(&*event).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_of_one_chat_follow_one_another_and_those_of_others_do_not_wait() {
    let bench = Bench::with(&[("bot", ANSWER)]).await;
    let held = bench.host.hold("re one");
    bench.message("a@c.us", "one").await;
    bench.message("a@c.us", "two").await;
    bench.message("b@c.us", "other").await;
    bench.host.until_text("re other").await;
    assert_eq!(bench.host.texts(), ["re other"]);
    assert_eq!(bench.host.asked().len(), 2, "the second of the chat has not begun");
    held.notify_one();
    bench.host.until_text("re two").await;
    assert_eq!(bench.host.texts(), ["re other", "re one", "re two"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_that_wait_for_an_account_do_not_take_the_places_of_others() {
    let bench = Bench::with(&[("bot", ANSWER)]).await;
    let _held = bench.host.hold("re wait");
    let waiting = (0..100)
        .map(|chat| message(&format!("{chat}@c.us"), "wait", now()))
        .collect::<Vec<_>>();
    for part in waiting.chunks(40) {
        bench.journal(part.to_vec()).await;
    }
    bench.host.until_asked(100).await;
    bench.message("z@c.us", "quick").await;
    bench.host.until_text("re quick").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_that_read_and_wrote_the_same_key_lose_no_count() {
    let bench = Bench::with(&[(
        "bot",
        "wharf.on('message', function(msg)
            local n = wharf.kv.get('n') or 0
            msg:reply('counting')
            wharf.kv.set('n', n + 1)
            wharf.kv.incr('m')
        end)",
    )])
    .await;
    let held = bench.host.hold("counting");
    bench.message("a@c.us", "x").await;
    bench.message("b@c.us", "x").await;
    bench.host.until_asked(2).await;
    held.notify_one();
    held.notify_one();
    bench.host.until_sent(|sent| !sent.is_empty()).await;
    held.notify_one();
    bench.until_finished("bot").await;
    assert_eq!(bench.kv("bot", "n").await, Some(json!(2)));
    assert_eq!(bench.kv("bot", "m").await, Some(json!(2)));
    assert_eq!(bench.host.sent().len(), 2, "the repeated run sends nothing new");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_is_applied_to_the_newest_value_and_its_run_is_not_run_again() {
    let bench = Bench::with(&[(
        "bot",
        "local runs = 0
        wharf.on('message', function(msg)
            runs += 1
            print(runs)
            wharf.kv.update('n', function(n) return (n or 0) + 1 end)
            wharf.kv.incr('runs')
            wharf.kv.set('run' .. runs, true)
            msg:reply('counting')
        end)",
    )])
    .await;
    let held = bench.host.hold("counting");
    bench.message("a@c.us", "x").await;
    bench.message("b@c.us", "x").await;
    bench.message("c@c.us", "x").await;
    bench.host.until_asked(3).await;
    for count in 1..=3 {
        held.notify_one();
        bench.host.until_sent(move |sent| sent.len() >= count).await;
    }
    bench.until_finished("bot").await;
    assert_eq!(bench.kv("bot", "n").await, Some(json!(3)));
    assert_eq!(bench.kv("bot", "runs").await, Some(json!(3)));
    assert_eq!(bench.kv("bot", "run4").await, None, "no run was run again");
    assert_eq!(bench.host.asked().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_older_than_ten_minutes_come_only_to_filters_that_say_so() {
    let bench = Bench::with(&[
        (
            "young",
            "wharf.on('message', function(msg) msg:reply('young ' .. msg.body) end)",
        ),
        (
            "any",
            "wharf.on('message', { max_age = 'any' }, function(msg) msg:reply('any ' .. msg.body) end)",
        ),
    ])
    .await;
    bench.message_of("a@c.us", "old", now() - 11 * 60_000).await;
    bench.message("a@c.us", "new").await;
    bench.host.until_sent(|sent| sent.len() == 3).await;
    let mut texts = bench.host.texts();
    texts.sort();
    assert_eq!(texts, ["any new", "any old", "young new"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_starts_again_goes_on_where_it_was() {
    let mut bench = Bench::with(&[("bot", ANSWER)]).await;
    bench.message("a@c.us", "one").await;
    bench.host.until_text("re one").await;
    bench.stop().await;
    bench.message("a@c.us", "two").await;
    bench.start().await;
    bench.message("a@c.us", "three").await;
    bench.host.until_text("re three").await;
    assert_eq!(bench.host.texts(), ["re one", "re two", "re three"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_script_starts_at_the_end_of_the_journal_and_its_position_is_kept_at_once() {
    let mut bench = Bench::empty();
    bench.message("a@c.us", "before").await;
    bench.write("bot", ANSWER);
    bench.start().await;
    assert_eq!(bench.store.position("bot").await.unwrap(), Some(Position::start(1)));
    bench.message("a@c.us", "after").await;
    bench.host.until_text("re after").await;
    assert_eq!(bench.host.texts(), ["re after"]);
}

#[test]
fn a_host_that_dies_in_a_run_repeats_it_with_the_same_key() {
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap()
    };
    let first = runtime();
    let mut bench = first.block_on(Bench::with(&[(
        "bot",
        "wharf.on('message', function(msg) msg:reply('one') wharf.kv.incr('runs') msg:reply('two') end)",
    )]));
    let held = bench.host.hold("two");
    first.block_on(async {
        bench.message("a@c.us", "x").await;
        bench.host.until_asked(2).await;
    });
    // Dropped in the middle of the second send, without a word to the scripts.
    first.shutdown_background();
    assert_eq!(bench.host.texts(), ["one"]);
    let second = runtime();
    second.block_on(async {
        bench.start().await;
        bench.host.until_asked(4).await;
        held.notify_one();
        bench.until_finished("bot").await;
        assert_eq!(bench.host.texts(), ["one", "two"]);
        let asked = bench.host.asked();
        assert_eq!(asked[..2], asked[2..], "the repeat asks with the same keys");
        assert_eq!(bench.kv("bot", "runs").await, Some(json!(1)));
        assert!(bench.store.intents_with_prefix("bot/").await.unwrap().is_empty());
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_begun_is_not_asked_for_its_age_again() {
    let mut bench = Bench::empty();
    bench.write(
        "bot",
        "wharf.on('message', function(msg) msg:reply('re ' .. msg.body) end)",
    );
    bench.start().await;
    bench.stop().await;
    let begun = bench.message_of("a@c.us", "begun", now() - 11 * 60_000).await;
    bench.message_of("b@c.us", "fresh", now() - 11 * 60_000).await;
    // What a host that died after the send of its run leaves behind.
    let intent = wharf::store::Intent {
        key: format!("bot/{}/main/send/sales/a@c.us/1", begun.id),
        account: "sales".parse().unwrap(),
        chat: None,
        message_id: None,
        page_id: None,
        to: "a@c.us".into(),
        content: wharf::action::Content::Text {
            text: "re begun".into(),
            quote: None,
            mentions: vec![],
        },
        source: wharf::event::Source::Script,
        made_at: now(),
        answer: None,
        keep_until: None,
    };
    let intents = vec![(intent.key.clone(), Some(intent))];
    bench
        .store
        .commit(wharf::store::Batch {
            intents,
            ..Default::default()
        })
        .await
        .unwrap();
    bench.start().await;
    bench.host.until_text("re begun").await;
    bench.message("c@c.us", "last").await;
    bench.host.until_text("re last").await;
    assert_eq!(bench.host.texts(), ["re begun", "re last"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_handler_of_a_script_event_makes_no_further_event() {
    let bench = Bench::with(&[
        ("bad", "wharf.on('message', function() error('x') end)"),
        (
            "watcher",
            "wharf.on('script.error', function(event) error('watcher too') end)",
        ),
    ])
    .await;
    bench.message("a@c.us", "x").await;
    bench.until_view("watcher", |view| view.last_error.is_some()).await;
    bench
        .until_event("script.error", |event| event.data["try"] == json!(2))
        .await;
    let events = bench.store.events(0, 100).await.unwrap();
    assert!(events.iter().all(|(_, event)| event.text("script") != Some("watcher")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_a_repeated_run_is_made_again_with_the_same_key() {
    let bench = Bench::with(&[(
        "bot",
        "local tries = 0
        wharf.on('message', function(msg)
            tries += 1
            local answer = wharf.http.post('https://api.example/', { json = { n = 1 } })
            if tries < 2 then error('not yet') end
            msg:reply('said ' .. answer.json.n)
        end)",
    )])
    .await;
    bench.message("49170@c.us", "hello").await;
    bench.host.until_text("said 1").await;
    let called = bench.host.called();
    assert_eq!(called.len(), 2);
    assert_eq!(called[0], called[1]);
    let key = called[0].strip_prefix("POST https://api.example/ ").unwrap();
    assert_eq!(key.len(), 32, "{called:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_text_is_whole_for_a_handler_and_cut_in_what_it_posts_of_the_event() {
    let bench = Bench::with(&[(
        "post",
        "wharf.on('message', function(msg)
            wharf.webhook.post('crm', msg:json())
            wharf.webhook.post('crm', msg)
            msg:reply(#msg.body .. ' ' .. tostring(msg:json().data.truncated))
        end)",
    )])
    .await;
    let event = bench.message("a@c.us", &"ü".repeat(110_000)).await;
    bench.host.until_text("220000 true").await;
    bench.until_finished("post").await;
    let posts = bench.store.deliveries(10).await.unwrap();
    assert_eq!(posts.len(), 2);
    for post in posts {
        let body = bench.store.delivery_body(&post.body).await.unwrap().unwrap();
        assert_eq!(String::from_utf8(body.to_vec()).unwrap(), event.json());
        assert!(body.len() < 256 << 10, "{}", body.len());
    }
}
