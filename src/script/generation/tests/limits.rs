//! What a script may use: time, memory, and what one run may do.

use super::*;
use crate::script::run::MAX_POSTS;

#[tokio::test(flavor = "current_thread")]
async fn limits_of_a_run_are_clear_errors() {
    let world = Rc::new(Small::default());
    let fault = ran("for i = 1, 65 do wharf.kv.set('k' .. i, i) end", &world)
        .await
        .unwrap_err();
    assert_eq!(fault.message, "kv: more than 64 keys written in one run");
    let fault = ran("for i = 1, 17 do wharf.webhook.post('crm', 'x') end", &world)
        .await
        .unwrap_err();
    assert_eq!(
        fault.message,
        format!("webhook.post: more than {MAX_POSTS} deliveries in one run")
    );
    let fault = ran("wharf.kv.set('k', ('x'):rep(49152))", &world).await.unwrap_err();
    assert_eq!(
        fault.message,
        "kv.set: the value of 'k' has 49154 bytes as JSON; at most 49152 fit"
    );
    let fault = ran("wharf.webhook.post('crm', ('x'):rep(262145))", &world)
        .await
        .unwrap_err();
    assert!(fault.message.contains("at most 262144 fit"), "{fault:?}");
    let fault = ran("for i = 1, 100 do msg:reply('x') end", &world).await.unwrap_err();
    assert_eq!(fault.message, "more than 64 messages sent in one run");
    assert_eq!(world.sends.take().len(), 64);
    let fault = ran("wharf.webhook.post('cmr', 'x')", &world).await.unwrap_err();
    assert_eq!(fault.message, "webhook.post: there is no [endpoint.cmr] in config.toml");
}

#[tokio::test(flavor = "current_thread")]
async fn a_memory_bomb_is_told_from_an_error() {
    let world = Rc::new(Small::default());
    let fault = ran("local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1000) .. i end", &world)
        .await
        .unwrap_err();
    assert_eq!(fault.kind, FaultKind::Memory, "{fault:?}");
    let fault = ran("local ok, e = pcall(string.rep, 'x', 1e9) error(e, 0)", &world)
        .await
        .unwrap_err();
    assert_eq!(fault.kind, FaultKind::Memory, "{fault:?}");
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn waiting_in_a_send_is_not_counted_and_waiting_elsewhere_is() {
    let world = Rc::new(Small::default());
    *world.delay.borrow_mut() = Duration::from_secs(300);
    ran("msg:reply('x')", &world).await.unwrap();
    *world.delay.borrow_mut() = Duration::from_secs(1);
    let gates = loaded(
        "wharf.gate('message', function(msg) msg:reply('closed') return wharf.stop end)",
        &world,
    )
    .unwrap();
    world.sends.take();
    let (stopped, effects) = gates.gate(&message("hello"), 0).await.unwrap();
    assert!(stopped);
    assert_eq!(effects.queued[0].key, "bot/evt_1/gate0/send/sales/49170@c.us/1");
    assert!(world.sends.take().is_empty(), "a send of a gate is queued");
}

#[tokio::test(flavor = "current_thread")]
async fn a_gate_queues_no_more_than_is_kept_in_one_commit() {
    let world = Rc::new(Small::default());
    let gate = |text: &str| loaded(&format!("wharf.gate('message', function(msg) {text} end)"), &world).unwrap();
    let many = gate("for i = 1, 65 do msg:reply('x') end");
    let fault = many.gate(&message("hello"), 0).await.unwrap_err();
    assert_eq!(fault.message, "more than 64 messages sent in one run");
    let large = gate("for i = 1, 17 do msg:reply(('x'):rep(65536)) end");
    let fault = large.gate(&message("hello"), 0).await.unwrap_err();
    assert_eq!(
        fault.message,
        "a gate may queue messages of at most 1048576 bytes in all"
    );
}

#[tokio::test(flavor = "current_thread")]
async fn what_leaves_the_vm_is_measured_before_it_is_copied() {
    let world = Rc::new(Small::default());
    let big = "local s = ('x'):rep(2000000) local list = {} for i = 1, 30 do list[i] = s end ";
    for (case, refused) in [
        (
            "wharf.json.encode(list)",
            "json.encode: the value: more than 1048576 bytes of text",
        ),
        (
            "wharf.kv.set('k', list)",
            "kv.set: the value: more than 1048576 bytes of text",
        ),
        (
            "wharf.json.encode({ [s] = 1 })",
            "json.encode: the value: more than 1048576 bytes of text",
        ),
        (
            "wharf.json.decode(s)",
            "json.decode: the text has 2000000 bytes; at most 1048576 fit",
        ),
        (
            "wharf.log.info('x', { s = s })",
            "log.info: the fields: more than 65536 bytes of text",
        ),
        (
            "wharf.webhook.post('crm', s)",
            "webhook.post: the body has 2000000 bytes; at most 262144 fit",
        ),
        (
            "msg:reply({ text = 'x', quote = s:sub(1, 300) })",
            "message:reply: quote is longer than 256 bytes",
        ),
    ] {
        let fault = ran(&format!("{big}{case}"), &world).await.unwrap_err();
        assert_eq!(fault.message, refused);
    }
    let text = "wharf.on('message', function(msg) wharf.json.encode({ msg, msg, msg, msg, msg, msg }) end)";
    let large = loaded(text, &world).unwrap();
    let fault = large
        .run(&message(&"x".repeat(200_000)), false, Place::free())
        .await
        .unwrap_err();
    assert!(fault.message.ends_with("more than 1048576 bytes of text"), "{fault:?}");
    let fault = ran(&format!("{big}error(s)"), &world).await.unwrap_err();
    assert!(fault.message.len() < 5000, "{}", fault.message.len());
    let fault = ran(&format!("{big}return wharf[s]"), &world).await.unwrap_err();
    assert!(fault.message.len() < 5000, "{}", fault.message.len());
    world.lines.take();
    ran(&format!("{big}print(s, s, s) wharf.log.info(s)"), &world)
        .await
        .unwrap();
    assert!(world.lines.take().iter().all(|line| line.text.len() == 8192));
}

#[tokio::test(flavor = "current_thread")]
async fn names_that_decoding_kept_count_when_they_are_encoded() {
    let world = Rc::new(Small::default());
    // An object of nulls is an empty table; the names lie beside it, and each reference brings them again.
    let fault = ran(
        "local names = {} for i = 1, 1000 do names[i] = '\"' .. ('n'):rep(90) .. i .. '\":null' end
        local nulls = wharf.json.decode('{' .. table.concat(names, ',') .. '}')
        local list = {} for i = 1, 1000 do list[i] = nulls end wharf.json.encode(list)",
        &world,
    )
    .await
    .unwrap_err();
    assert_eq!(fault.message, "json.encode: the value: more than 1048576 bytes of text");
}

#[tokio::test(flavor = "current_thread")]
async fn a_script_has_no_more_handlers_than_can_be_asked() {
    let world = Rc::new(Small::default());
    let refused = loaded("for i = 1, 1001 do wharf.on('message', print) end", &world)
        .err()
        .unwrap();
    assert_eq!(refused.message, "on: more than 1000 handlers in one script");
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn a_handler_has_a_minute_and_a_gate_two_seconds() {
    let world = Rc::new(Small::default());
    let text = "wharf.on('message', function() for i = 1, 6 do wharf.kv.get('k') end end)
        wharf.gate('message', function() wharf.kv.get('k') end)";
    let generation = loaded(text, &world).unwrap();
    let delay = |seconds: f64| *world.slow_keys.borrow_mut() = Duration::from_secs_f64(seconds);
    delay(9.9);
    generation.run(&message("x"), false, Place::free()).await.unwrap();
    delay(10.1);
    let fault = generation.run(&message("x"), false, Place::free()).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Killed);
    assert_eq!(fault.message, "stopped: not done after 60s");
    delay(1.9);
    generation.gate(&message("x"), 0).await.unwrap();
    delay(2.1);
    let fault = generation.gate(&message("x"), 0).await.unwrap_err();
    assert_eq!(fault.message, "stopped: not done after 2s");
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn each_handler_of_a_run_has_its_own_time() {
    let world = Rc::new(Small::default());
    *world.slow_keys.borrow_mut() = Duration::from_secs(40);
    let slow = "wharf.on('message', function() wharf.kv.get('k') end)\n".repeat(3);
    let generation = loaded(&slow, &world).unwrap();
    generation.run(&message("x"), false, Place::free()).await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn a_run_remembers_so_many_keys_and_no_more() {
    let world = Rc::new(Small::default());
    let mut setup = setup(&world);
    // It is about the keys, and they take time.
    setup.limits.cpu = Duration::from_secs(60);
    let source = Source {
        name: "bot".into(),
        file: "scripts/bot.lua".into(),
        text: "wharf.on('message', function() for i = 1, 5000 do wharf.kv.get('k' .. i) end end)".into(),
        libraries: Libraries::new(),
    };
    let generation = load(&source, setup).unwrap();
    let fault = generation.run(&message("x"), false, Place::free()).await.unwrap_err();
    assert_eq!(fault.message, "kv: more than 4000 keys read in one run");
}
