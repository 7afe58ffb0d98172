//! Several things at a time inside a run.

use super::*;

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn spawned_functions_go_on_together_and_the_run_ends_with_the_last() {
    let world = Rc::new(Small::default());
    *world.delay.borrow_mut() = Duration::from_secs(10);
    let began = tokio::time::Instant::now();
    ran(
        "for n = 1, 3 do wharf.spawn(function() msg:reply('n' .. n) print('done') end) end
        print('handler')",
        &world,
    )
    .await
    .unwrap();
    // On a clock that only moves when all wait: three that wait together take as long as one.
    assert_eq!(began.elapsed().as_secs(), 10);
    let texts: Vec<_> = world.lines.take().into_iter().map(|line| line.text).collect();
    assert_eq!(texts, ["handler", "done", "done", "done"]);
}

#[tokio::test(flavor = "current_thread")]
async fn the_branch_is_part_of_the_key_of_a_send() {
    let world = Rc::new(Small::default());
    ran(
        "msg:reply('0')
        wharf.all { function() msg:reply('1') wharf.spawn(function() msg:reply('1.1') end) end, function() msg:reply('2') end }
        msg:reply('0 again')",
        &world,
    )
    .await
    .unwrap();
    let mut sends: Vec<_> = world
        .sends
        .take()
        .into_iter()
        .map(|order| {
            let Content::Text { text, .. } = order.content else {
                panic!()
            };
            (text, order.key)
        })
        .collect();
    sends.sort();
    let key = |branch: &str, n: u32| format!("bot/evt_1/{branch}/send/sales/49170@c.us/{n}");
    assert_eq!(
        sends,
        [
            ("0".to_owned(), key("main", 1)),
            ("0 again".to_owned(), key("main", 2)),
            ("1".to_owned(), key("main.1", 1)),
            ("1.1".to_owned(), key("main.1.1", 1)),
            ("2".to_owned(), key("main.2", 1)),
        ]
    );
}

#[tokio::test(flavor = "current_thread")]
async fn all_answers_what_each_returned_in_the_order_of_the_list() {
    assert_eq!(
        lines(
            "local r = wharf.all { function() wharf.kv.get('x') return 'a' end, function() end, function() return 'c' end }
            print(r[1], r[2], r[3], #wharf.all {})"
        )
        .await,
        ["a\tnil\tc\t0"]
    );
}

#[tokio::test(flavor = "current_thread")]
async fn what_a_branch_raises_fails_the_run_with_its_own_line() {
    let world = Rc::new(Small::default());
    let fault = ran(
        "wharf.spawn(function()\nlocal x = nil\nreturn x.y end)\nmsg:reply('x')",
        &world,
    )
    .await
    .unwrap_err();
    assert_eq!(fault.headline(), "scripts/bot.lua:4: attempt to index nil with 'y'");
    let fault = ran(
        "wharf.all {\nfunction() error('one') end,\nfunction() error('two') end }",
        &world,
    )
    .await
    .unwrap_err();
    assert_eq!(fault.headline(), "scripts/bot.lua:3: one");
    assert_eq!(
        lines("local ok, e = pcall(wharf.all, { function() error({ code = 7 }) end }) print(ok, e.code)").await,
        ["false\t7"]
    );
}

#[tokio::test(flavor = "current_thread")]
async fn branches_share_the_limits_of_their_run() {
    let world = Rc::new(Small::default());
    let fault = ran("wharf.spawn(function() while true do end end)", &world)
        .await
        .unwrap_err();
    assert_eq!(fault.kind, FaultKind::Killed);
    let fault = ran("wharf.all { function() while true do pcall(error) end end }", &world)
        .await
        .unwrap_err();
    assert_eq!(fault.kind, FaultKind::Killed);
    let fault = ran("for _ = 1, 65 do wharf.spawn(function() end) end", &world)
        .await
        .unwrap_err();
    assert_eq!(fault.message, "more than 64 functions spawned in one run");
    let fault = ran("local function again() wharf.spawn(again) end again()", &world)
        .await
        .unwrap_err();
    assert_eq!(fault.message, "more than 64 functions spawned in one run");
}
