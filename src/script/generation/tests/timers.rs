//! Timers: made by the file or a run, called one by one.

use super::*;
use crate::script::timer::MAX_TIMERS;

fn only(text: &str) -> (Generation, Rc<Small>) {
    let world = Rc::new(Small::default());
    let generation = loaded(text, &world).unwrap();
    generation.timers().arm_file(NOW);
    (generation, world)
}

#[tokio::test(flavor = "current_thread")]
async fn a_file_with_nothing_but_a_timer_is_a_script() {
    let (generation, world) = only("wharf.every('5m', function() print('tick') wharf.kv.set('n', 1) end)");
    assert_eq!(generation.outline().describe(), ["every 300s"]);
    assert!(generation.timers().take(NOW + 299_999).is_none());
    let due = generation.timers().take(NOW + 300_000).unwrap();
    assert!(
        generation.timers().take(NOW + 900_000).is_none(),
        "not while it is at work"
    );
    let (effects, _) = generation.fire(&due.timer, "timer_1").await.unwrap();
    assert_eq!((world.lines.borrow().len(), effects.writes.len()), (1, 1));
    // It took eleven minutes: two times are left out.
    generation.timers().again(due, NOW + 960_000);
    assert_eq!(generation.timers().next(), Some(NOW + 1_260_000));
}

#[tokio::test(flavor = "current_thread")]
async fn a_timer_of_a_run_is_armed_when_the_run_is_committed() {
    let (generation, world) =
        only("wharf.on('message', function(msg) wharf.after('30s', function() print('late') end) end)");
    let (_, run) = generation
        .run_to_commit(&message("x"), false, Place::free())
        .await
        .unwrap();
    assert_eq!(generation.timers().next(), None);
    assert!(run.is_awaited());
    generation.committed(&run);
    assert_eq!(generation.timers().next(), Some(NOW + 30_000));
    let due = generation.timers().take(NOW + 30_000).unwrap();
    generation.fire(&due.timer, "timer_1").await.unwrap();
    generation.timers().again(due, NOW + 30_000);
    assert_eq!(generation.timers().next(), None, "once is once");
    assert_eq!(world.lines.take()[0].text, "late");
}

#[tokio::test(flavor = "current_thread")]
async fn the_sends_of_a_timer_have_the_key_of_its_call() {
    let (generation, world) = only("wharf.after(0, function() wharf.account('sales'):send('49170@c.us', 'x') end)");
    let due = generation.timers().take(NOW).unwrap();
    generation.fire(&due.timer, "timer_7").await.unwrap();
    assert_eq!(world.sends.take()[0].key, "bot/timer_7/main/send/sales/49170@c.us/1");
}

#[tokio::test(flavor = "current_thread")]
async fn nothing_is_armed_any_more_once_the_generation_is_retired() {
    let (generation, _) =
        only("wharf.on('message', function(msg) wharf.after('30s', print) end) wharf.every('1m', print)");
    let (_, run) = generation
        .run_to_commit(&message("x"), false, Place::free())
        .await
        .unwrap();
    generation.timers().close();
    generation.committed(&run);
    assert_eq!(generation.timers().next(), None);
}

#[tokio::test(flavor = "current_thread")]
async fn what_is_no_timer_is_refused_with_its_line() {
    let world = Rc::new(Small::default());
    for (call, words) in [
        (
            "wharf.every('10ms', print)",
            "every: the time must be at least a second",
        ),
        ("wharf.after('2h')", "after: what is called must be a function, not nil"),
        (
            "wharf.cron('61 * * * *', print)",
            "cron: '61 * * * *' is not a cron pattern",
        ),
        ("wharf.cron('0 0 30 2 *', print)", "names no time that will ever come"),
        (
            "wharf.cron('0 9 * * *', print, { zone = 'Mars' })",
            "cron: there is no time zone 'Mars'",
        ),
    ] {
        let error = loaded(&format!("\n{call}"), &world).err().unwrap();
        assert_eq!(error.line, Some(2), "{call}");
        assert!(error.message.contains(words), "{call}: {}", error.message);
    }
    let text = format!("for _ = 1, {MAX_TIMERS} do wharf.after('1h', print) end");
    let (generation, _) = only(&text);
    assert_eq!(generation.outline().timers.len(), MAX_TIMERS);
    let error = loaded(&format!("{text}\nwharf.after('1h', print)"), &world)
        .err()
        .unwrap();
    assert_eq!(
        error.headline(),
        "scripts/bot.lua:2: after: more than 1000 timers in one script"
    );
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn sleep_waits_within_the_time_of_the_handler() {
    let world = Rc::new(Small::default());
    let began = tokio::time::Instant::now();
    ran("wharf.sleep('2s')", &world).await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 2);
    let fault = ran("wharf.sleep('2m')", &world).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Killed);
}
