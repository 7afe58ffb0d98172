//! `kv.update`: a change that is made of whatever value is there.

use super::*;
use crate::script::run::Change;

fn with(key: &str, value: serde_json::Value, version: u64) -> Rc<Small> {
    let world = Rc::new(Small::default());
    put(&world, key, value, version);
    world
}

fn put(world: &Small, key: &str, value: serde_json::Value, version: u64) {
    let kept = Kept {
        value,
        version,
        expires_at: Some(NOW + 1000),
    };
    let mut all = world.kept.borrow_mut();
    all.retain(|(known, _)| known != key);
    all.push((key.into(), kept));
}

async fn ended(body: &str, world: &Rc<Small>) -> (Generation, Effects, Rc<Run>) {
    let text = format!("wharf.on('message', function(msg)\n{body}\nend)");
    let generation = loaded(&text, world).unwrap();
    let event = message("hello");
    let (effects, run) = generation.run_to_commit(&event, false, Place::free()).await.unwrap();
    (generation, effects, run)
}

#[tokio::test(flavor = "current_thread")]
async fn an_update_puts_what_its_function_makes_of_the_value_in_its_place() {
    let world = with("list", json!([1]), 7);
    let (_, effects, _) = ended(
        "local new = wharf.kv.update('list', function(list) table.insert(list, 2) return list end)
        print(#new, #wharf.kv.get('list'), #wharf.kv.list()[1].value)",
        &world,
    )
    .await;
    assert_eq!(world.lines.take()[0].text, "2\t2\t2");
    let write = &effects.writes[0];
    assert_eq!(write.change, Change::Update(Some(json!([1, 2]))));
    assert_eq!(write.expect, Some(Some(7)));
    assert_eq!(write.expires_at, Some(NOW + 1000), "it ends as it would have ended");
}

#[tokio::test(flavor = "current_thread")]
async fn all_updates_of_a_key_are_made_again_of_a_newer_value() {
    let world = with("n", json!(1), 7);
    let (generation, effects, run) = ended(
        "local kv = wharf.kv
        kv.incr('n', 10)
        kv.update('n', function(n) return n * 2 end)
        kv.incr('n', 5)
        print(kv.update('n', function(n) return n * 3 end))",
        &world,
    )
    .await;
    assert_eq!(world.lines.take()[0].text, "81");
    assert_eq!(effects.writes[0].change, Change::Update(Some(json!(81))));
    put(&world, "n", json!(2), 9);
    let again = generation.update_again(&run, "n").await.unwrap();
    assert_eq!(again.change, Change::Update(Some(json!(87))));
    assert_eq!(again.expect, Some(Some(9)));
}

#[tokio::test(flavor = "current_thread")]
async fn an_update_of_what_the_run_itself_set_is_a_set() {
    let world = with("n", json!(1), 7);
    let (_, effects, run) = ended(
        "wharf.kv.set('n', 3) wharf.kv.update('n', function(n) return n + 1 end)
        wharf.kv.update('gone', function(old) assert(old == nil) return nil end)",
        &world,
    )
    .await;
    let change = |key: &str| &effects.writes.iter().find(|write| write.key == key).unwrap().change;
    assert_eq!(change("n"), &Change::Set(json!(4)));
    assert_eq!(change("gone"), &Change::Update(None));
    assert!(run.has_updates());
}

#[tokio::test(flavor = "current_thread")]
async fn the_function_of_an_update_can_neither_wait_nor_write() {
    let world = Rc::new(Small::default());
    for (call, name) in [
        ("msg:reply('x')", "message:reply"),
        ("wharf.kv.get('x')", "kv.get"),
        ("wharf.kv.set('x', 1)", "kv.set"),
        ("wharf.webhook.post('crm', 'x')", "webhook.post"),
    ] {
        let body = format!("wharf.kv.update('n', function(n)\n{call}\nreturn 1 end)");
        let fault = ran(&body, &world).await.unwrap_err();
        assert_eq!(
            fault.headline(),
            format!("scripts/bot.lua:3: {name} does not work in the function of kv.update, which may run again")
        );
    }
    assert!(world.sends.borrow().is_empty());
}

#[tokio::test(flavor = "current_thread")]
async fn what_the_function_of_an_update_raises_is_raised_as_it_is() {
    let world = with("n", json!(1), 7);
    let fault = ran("\nwharf.kv.update('n', function(n)\nreturn n.x.y end)", &world)
        .await
        .unwrap_err();
    assert_eq!((fault.line, fault.kind), (Some(4), FaultKind::Raised), "{fault:?}");
    ran(
        "local ok, e = pcall(wharf.kv.update, 'n', function() error({ code = 5 }) end) print(ok, e.code)",
        &world,
    )
    .await
    .unwrap();
    assert_eq!(world.lines.take()[0].text, "false\t5");
    let fault = ran("wharf.kv.update('n', function() while true do end end)", &world)
        .await
        .unwrap_err();
    assert_eq!(fault.kind, FaultKind::Killed);
}

#[tokio::test(flavor = "current_thread")]
async fn everything_in_the_table_is_installed_and_nothing_else() {
    let world = Rc::new(Small::default());
    let generation = loaded("wharf.on('message', print)", &world).unwrap();
    let mut installed = crate::script::api::installed(&generation.lua, &generation.desk).unwrap();
    let mut rows: Vec<String> = crate::script::api::rows().map(|row| row.name.to_owned()).collect();
    installed.sort();
    rows.sort();
    assert_eq!(installed, rows);
}
