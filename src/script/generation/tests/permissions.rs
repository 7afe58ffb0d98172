//! What a plugin sees and may do is what its manifest declares.

use super::*;
use crate::event::Draft;
use crate::script::permissions::Declared;
use crate::store::Job;

fn plugin(text: &str, declared: Declared, world: &Rc<Small>) -> Result<Generation, LoadError> {
    let mut setup = setup(world);
    setup.permissions = Permissions::Declared(declared);
    let source = Source {
        name: "bot".into(),
        file: "plugins/bot/main.lua".into(),
        text: text.into(),
        libraries: Libraries::new(),
    };
    load(&source, setup)
}

fn event_of(account: Option<&str>) -> Arc<Event> {
    let mut event = (*message("hello")).clone();
    event.account = account.map(|id| id.parse().unwrap());
    Arc::new(event)
}

#[tokio::test(flavor = "current_thread")]
async fn a_plugin_sees_events_of_its_accounts_and_of_none_and_no_others() {
    let world = Rc::new(Small::default());
    let declared = |accounts: &[&str]| Declared {
        events: vec!["*".into()],
        accounts: accounts.iter().map(|id| (*id).to_owned()).collect(),
        ..Default::default()
    };
    let text = "wharf.on('message', function(msg) print(msg.account or 'none') end)
        wharf.gate('message', function() return wharf.stop end)";
    for (accounts, account, sees) in [
        (&["sales"][..], Some("sales"), true),
        (&["sales"], Some("office"), false),
        (&["sales"], None, true),
        (&["sal*"], Some("sales"), true),
        (&["*"], Some("office"), true),
        (&[], Some("sales"), false),
        (&[], None, true),
    ] {
        let generation = plugin(text, declared(accounts), &world).unwrap();
        let event = event_of(account);
        assert_eq!(
            generation.outline().wants(&event, NOW, true),
            sees,
            "{accounts:?} {account:?}"
        );
        assert_eq!(
            generation.outline().gates_for(&event, NOW).is_empty(),
            !sees,
            "{accounts:?} {account:?}"
        );
        generation.run(&event, true, Place::free()).await.unwrap();
        assert_eq!(world.lines.take().len(), usize::from(sees), "{accounts:?} {account:?}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn jobs_come_to_a_plugin_unless_they_are_of_an_account_that_it_does_not_declare() {
    let world = Rc::new(Small::default());
    let declared = Declared {
        accounts: vec!["sales".into()],
        ..Default::default()
    };
    let generation = plugin("wharf.on('job.remind', print)", declared, &world).unwrap();
    let job = Job {
        id: "job_1".into(),
        script: "bot".into(),
        name: "remind".into(),
        due: NOW,
        data: Map::new(),
    };
    let Draft { event, data, .. } = crate::script::jobs::event(&job);
    let mut job = (*event_of(None)).clone();
    (job.event, job.data) = (event, data);
    assert!(generation.outline().wants(&job, NOW, false));
    job.account = Some("office".parse().unwrap());
    assert!(!generation.outline().wants(&job, NOW, false));
}

#[tokio::test(flavor = "current_thread")]
async fn what_is_not_declared_is_refused_with_the_line_to_add() {
    let world = Rc::new(Small::default());
    let declared = || Declared {
        events: vec!["message".into()],
        accounts: vec!["*".into()],
        endpoints: vec!["crm".into()],
        http: vec!["a.example".into()],
        ..Default::default()
    };
    for (call, line) in [
        ("wharf.webhook.post('other', 'x')", r#"endpoints = ["crm", "other"]"#),
        (
            "wharf.http.get('https://b.example/')",
            r#"http = ["a.example", "b.example"]"#,
        ),
        ("wharf.secret('llm')", r#"secrets = ["llm"]"#),
        ("msg:forward('sales', '49170@c.us')", r#"actions = ["forward"]"#),
    ] {
        let text = format!(
            "wharf.on('message', function(msg) local ok, e = pcall(function() {call} end) print(e.kind, e.message) end)"
        );
        let generation = plugin(&text, declared(), &world).unwrap();
        generation.run(&message("x"), false, Place::free()).await.unwrap();
        let said = world.lines.take().remove(0).text;
        assert!(
            said.starts_with("not_permitted\tplugin.toml does not declare the "),
            "{said}"
        );
        assert!(
            said.ends_with(&format!("; add to plugin.toml, [permissions]: {line}")),
            "{said}"
        );
    }
    let refused = plugin("wharf.on('message.any', print)", declared(), &world)
        .err()
        .unwrap();
    assert_eq!(
        refused.headline(),
        "plugins/bot/main.lua:1: plugin.toml does not declare the event 'message.any'; \
         add to plugin.toml, [permissions]: events = [\"message\", \"message.any\"]"
    );
}
