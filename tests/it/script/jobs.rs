//! Jobs: kept with the run, told when due, to the script that made them alone.

use serde_json::json;

use super::bench::Bench;

const FOLLOW: &str = "wharf.on('message', { match = 'ask' }, function(msg)
        wharf.later(WAIT, 'follow_up', { chat = msg.chat, n = 1 })
    end)
    wharf.on('job.follow_up', function(job)
        wharf.account('sales'):send(job.chat, 'still there? ' .. job.n .. ' ' .. job.event)
    end)";

#[tokio::test(flavor = "multi_thread")]
async fn a_job_arrives_once_at_the_script_that_made_it_and_at_no_other() {
    let other = "wharf.on('job.follow_up', function() wharf.kv.set('heard', true) end)
        wharf.on('message.any', function(msg) if msg.body == 'last' then msg:reply('other is through') end end)";
    let bench = Bench::with(&[("bot", &FOLLOW.replace("WAIT", "0")), ("other", other)]).await;
    bench.message("49170@c.us", "ask").await;
    bench.host.until_text("still there? 1 job.follow_up").await;
    bench.until_finished("bot").await;
    assert!(bench.store.jobs(10).await.unwrap().is_empty());
    bench.message("49171@c.us", "last").await;
    bench.host.until_text("other is through").await;
    bench.until_finished("other").await;
    assert_eq!(bench.kv("other", "heard").await, None);
    let job = bench.until_event("job.follow_up", |_| true).await;
    assert_eq!(job.data["script"], json!("bot"));
    assert_eq!(
        bench
            .host
            .texts()
            .iter()
            .filter(|text| text.starts_with("still"))
            .count(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_became_due_while_the_host_was_down_is_told_when_it_is_back() {
    let mut bench = Bench::with(&[("bot", &FOLLOW.replace("WAIT", "'1s'"))]).await;
    bench.message("49170@c.us", "ask").await;
    bench.until_finished("bot").await;
    // Jobs are seen when they are durable, a moment after the position.
    let look = async {
        loop {
            let kept = bench.store.jobs(10).await.unwrap();
            if !kept.is_empty() {
                return kept;
            }
            tokio::task::yield_now().await;
        }
    };
    let kept = tokio::time::timeout(std::time::Duration::from_secs(20), look)
        .await
        .unwrap();
    assert_eq!(
        (kept.len(), kept[0].script.as_str(), kept[0].name.as_str()),
        (1, "bot", "follow_up")
    );
    bench.stop().await;
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    bench.start().await;
    bench.host.until_text("still there? 1 job.follow_up").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_kept_of_the_jobs_of_a_run_that_fails_and_too_many_are_refused() {
    let bench = Bench::with(&[(
        "bot",
        "wharf.on('message', function(msg)
            for n = 1, 17 do wharf.later('1h', 'n') end
        end)",
    )])
    .await;
    bench.message("49170@c.us", "x").await;
    let failed = bench.until_event("script.error", |_| true).await;
    assert_eq!(failed.text("message"), Some("later: more than 16 jobs in one run"));
    assert!(bench.store.jobs(10).await.unwrap().is_empty());
}
