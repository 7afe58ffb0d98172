//! Scripts that do not end by themselves, or take all they can get: each is stopped, or ends with a clear error.
//!
//! The scripts are in `runaways.txt`, which the test of the whole host runs as well.

use super::*;
use crate::script::meter::Kill;

/// Name, what the handler does, how it ends.
fn cases() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let lines = include_str!("runaways.txt")
        .lines()
        .filter(|line| !line.starts_with('#'));
    lines.map(|line| {
        let mut parts = line.split(" :: ");
        let mut next = || parts.next().unwrap_or_else(|| panic!("no case: {line}"));
        (next(), next(), next())
    })
}

fn with_then(source: &str, limits: Limits, world: &Rc<Small>) -> Generation {
    let source = Source {
        name: "bot".into(),
        file: "scripts/bot.lua".into(),
        text: format!(
            "wharf.on('message', {{ match = 'hello' }}, function(msg)\n{source}\nend)
            wharf.on('message', {{ match = 'then' }}, function(msg) msg:reply('well') end)"
        ),
        libraries: Libraries::new(),
    };
    let mut setup = setup(world);
    setup.limits = limits;
    load(&source, setup).unwrap()
}

/// Runs the cases that end like this; what takes memory, or ends by itself, has time enough also on a slow machine.
async fn all_that(ends: impl Fn(&str) -> bool, cpu: Duration, says: impl Fn(&str) -> (FaultKind, String)) {
    let mut count = 0;
    for (name, source, end) in cases().filter(|(_, _, end)| ends(end)) {
        count += 1;
        let world = Rc::new(Small::default());
        let generation = with_then(source, Limits { cpu, ..limits() }, &world);
        let fault = generation.run(&message("hello"), false, Place::free()).await.err();
        let fault = fault.unwrap_or_else(|| panic!("{name}: it ended well"));
        let (kind, text) = says(end);
        assert_eq!(fault.kind, kind, "{name}: {fault:?}");
        assert!(fault.message.starts_with(&text), "{name}: {fault:?}");
        assert!(
            !fault.message.contains('\n') && !fault.message.contains("0x"),
            "{name}: {fault:?}"
        );
        world.sends.take();
        generation.run(&message("then"), false, Place::free()).await.unwrap();
        assert_eq!(world.sends.take().len(), 1, "{name}: the VM does not go on");
    }
    assert!(count >= 5, "{count} cases");
}

#[test]
fn there_are_runaways_of_every_kind() {
    let mut names: Vec<_> = cases().map(|(name, ..)| name).collect();
    assert!(names.len() > 100, "{}", names.len());
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), cases().count(), "two have the same name");
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn what_takes_time_is_stopped_and_the_vm_goes_on() {
    let cpu = limits().cpu;
    all_that(
        |end| end == "cpu",
        cpu,
        |_| (FaultKind::Killed, Kill::Cpu(cpu).to_string()),
    )
    .await;
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn what_waits_for_ever_is_stopped_and_the_vm_goes_on() {
    let says = |_: &str| (FaultKind::Killed, "stopped: not done after 60s".to_owned());
    all_that(|end| end == "wall", Duration::from_secs(60), says).await;
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn what_takes_memory_is_stopped_and_the_vm_goes_on() {
    let says = |_: &str| {
        (
            FaultKind::Memory,
            "stopped: the memory of the script is used up".to_owned(),
        )
    };
    all_that(|end| end == "memory", Duration::from_secs(60), says).await;
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn what_asks_for_too_much_gets_a_clear_error_and_the_vm_goes_on() {
    let ends = |end: &str| !matches!(end, "cpu" | "wall" | "memory");
    all_that(ends, Duration::from_secs(60), |end| (FaultKind::Raised, end.to_owned())).await;
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn a_kill_holds_for_its_whole_run() {
    let world = Rc::new(Small::default());
    let text = "turns = 0
        wharf.on('message', { match = 'hello' }, function(msg)
            pcall(function()
                while true do pcall(function() while true do end end) turns += 1 end
            end)
            turns += 100
            pcall(wharf.kv.set, 'k', 1)
            pcall(wharf.sleep, 1)
            pcall(msg.reply, msg, 'still here')
        end)
        wharf.on('message', { match = 'then' }, function(msg) print(turns) end)";
    let generation = loaded(text, &world).unwrap();
    let fault = generation
        .run(&message("hello"), false, Place::free())
        .await
        .unwrap_err();
    assert_eq!(fault.kind, FaultKind::Killed, "{fault:?}");
    assert!(world.sends.take().is_empty());
    generation.run(&message("then"), false, Place::free()).await.unwrap();
    let turns: u32 = world.lines.take()[0].text.parse().unwrap();
    assert!(turns <= 101, "it went on for {turns} turns");
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn a_kill_does_no_harm_to_another_run_that_waits_in_the_same_vm() {
    let world = Rc::new(Small::default());
    let text = "wharf.on('message', { match = 'hello' }, function() while true do pcall(function() while true do end end) end end)
        wharf.on('message', { match = 'wait' }, function(msg)
            for i = 1, 5 do wharf.sleep(1) wharf.kv.set('k' .. i, i) end
            msg:reply('waited')
        end)";
    let generation = loaded(text, &world).unwrap();
    let (wait, hello) = (message("wait"), message("hello"));
    let killed = async {
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(1500)).await;
            let fault = generation.run(&hello, false, Place::free()).await.unwrap_err();
            assert_eq!(fault.kind, FaultKind::Killed, "{fault:?}");
        }
    };
    let (waited, ()) = tokio::join!(generation.run(&wait, false, Place::free()), killed);
    assert_eq!(waited.unwrap().writes.len(), 5);
    assert_eq!(world.sends.take().len(), 1);
}
