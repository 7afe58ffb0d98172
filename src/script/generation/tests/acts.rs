//! What a script does with messages and chats beside sending, and what it looks up.

use super::*;
use crate::action::{Act, Chat, Contact, Look};
use crate::script::permissions::Declared;

const OWN: &str = "local own = 'true_49170@c.us_3EB0'\nlocal sales = wharf.account('sales')\n";

#[tokio::test(flavor = "current_thread")]
async fn a_message_is_reacted_to_edited_taken_back_read_and_typed_under() {
    let world = Rc::new(Small::default());
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    ran(
        "msg:react('👍') msg:react('') msg:edit('new') msg:revoke() msg:read() msg:typing(3)",
        &world,
    )
    .await
    .unwrap();
    let (message, chat) = ("m1".to_owned(), "49170@c.us".to_owned());
    let expected = [
        Act::React {
            message: message.clone(),
            emoji: "👍".into(),
        },
        Act::React {
            message: message.clone(),
            emoji: String::new(),
        },
        Act::Edit {
            message: message.clone(),
            text: "new".into(),
        },
        Act::Revoke { message },
        Act::Read { chat: chat.clone() },
        Act::Typing { chat, millis: 3_000 },
    ];
    let acts = world.acts.take();
    assert!(acts.iter().map(|order| &order.act).eq(&expected), "{acts:?}");
    assert!(acts.iter().all(|order| order.patience == limits().patience));
    assert_eq!(begun.elapsed().as_secs(), 3, "typing waits as long");
}

#[tokio::test(flavor = "current_thread")]
async fn an_account_does_the_same_by_the_ids_that_send_answers() {
    let world = Rc::new(Small::default());
    let body = format!(
        "{OWN}sales:react(own, '👀') sales:edit(own, 'new') sales:revoke(own) sales:read('49170@c.us') sales:typing('49170@c.us', '1s')"
    );
    tokio::time::pause();
    ran(&body, &world).await.unwrap();
    assert_eq!(world.acts.borrow().len(), 5);
    let body = format!("{OWN}print(pcall(sales.edit, sales, 'm1', 'new'))");
    ran(&body, &world).await.unwrap();
    let line = world.lines.take().remove(0).text;
    assert!(
        line.contains("account:edit: the message must be named by its id"),
        "{line}"
    );
}

#[tokio::test(flavor = "current_thread")]
async fn a_wrong_call_is_refused_before_anything_is_done() {
    let world = Rc::new(Small::default());
    for (call, says) in [
        (
            "msg:react('ok')",
            "message:react: the reaction must be one emoji, or \"\" to take it away",
        ),
        ("msg:edit('')", "message:edit: the text is empty"),
        (
            "msg:typing(60)",
            "message:typing: the time must be more than nothing and at most 25 seconds",
        ),
        (
            "wharf.account('sales'):chats{ limit = 0 }",
            "account:chats: limit must be a whole number from 1 to 1000",
        ),
        (
            "wharf.account('sales'):chats{ unraed = true }",
            "account:chats: no option 'unraed'; did you mean 'unread'?",
        ),
        (
            "wharf.account('sales'):history('49@c.us', { before = 'x' })",
            "account:history: before must be the id of a message, as msg.id is",
        ),
        (
            "for _ = 1, 65 do msg:read() end",
            "more than 64 reactions, edits, looks and the like in one run",
        ),
    ] {
        let fault = ran(call, &world).await.unwrap_err();
        assert_eq!(fault.message, says, "{call}");
    }
    assert_eq!(world.acts.take().len(), 64);
    assert!(world.looks.take().is_empty());
}

#[tokio::test(flavor = "current_thread")]
async fn what_the_page_cannot_do_is_raised_as_not_supported() {
    let world = Rc::new(Small::default());
    *world.fail.borrow_mut() = Some(FailureKind::NotSupported);
    ran("local ok, e = pcall(msg.edit, msg, 'new') print(ok, e.kind)", &world)
        .await
        .unwrap();
    assert_eq!(world.lines.take()[0].text, "false\tnot_supported");
}

#[tokio::test(flavor = "current_thread")]
async fn contacts_chats_and_messages_are_plain_tables() {
    let world = Rc::new(Small::default());
    let ann = Contact {
        id: "49170@c.us".into(),
        phone: Some("49170".into()),
        name: Some("Ann".into()),
        ..Contact::default()
    };
    *world.found.borrow_mut() = Some(Found::Contact(Some(ann)));
    ran(
        "local c = wharf.account('sales'):contact('+49170') print(c.id, c.name, c.lid, c.business)",
        &world,
    )
    .await
    .unwrap();
    assert_eq!(world.lines.take()[0].text, "49170@c.us\tAnn\tnil\tfalse");
    ran("print(wharf.account('sales'):contact('49171'))", &world)
        .await
        .unwrap();
    assert_eq!(world.lines.take()[0].text, "nil");
    let lunch = Chat {
        id: "1@g.us".into(),
        unread: 2,
        last: NOW,
        ..Chat::default()
    };
    *world.found.borrow_mut() = Some(Found::Chats(vec![lunch]));
    ran("local all = wharf.account('sales'):chats{ groups = true, unread = true, limit = 5 } print(#all, all[1].id, all[1].unread)", &world)
        .await
        .unwrap();
    assert_eq!(world.lines.take()[0].text, "1\t1@g.us\t2");
    let written: crate::event::Message = serde_json::from_value(message("old").data.clone().into()).unwrap();
    *world.found.borrow_mut() = Some(Found::History(vec![written]));
    ran("local all = wharf.account('sales'):history(msg.chat, { limit = 3, before = 'true_49170@c.us_1' }) print(#all, all[1].body, all[1].sender.name)", &world)
        .await
        .unwrap();
    assert_eq!(world.lines.take()[0].text, "1\told\tAnn");
    let looks: Vec<Look> = world.looks.take().into_iter().map(|order| order.look).collect();
    assert_eq!(
        looks[2..],
        [
            Look::Chats {
                unread: true,
                groups: Some(true),
                limit: 5
            },
            Look::History {
                chat: "49170@c.us".into(),
                limit: 3,
                before: Some("true_49170@c.us_1".into())
            },
        ]
    );
}

#[tokio::test(flavor = "current_thread")]
async fn a_forward_is_a_send_to_another_account_and_chat() {
    let world = Rc::new(Small::default());
    ran("print(msg:forward('sales', '1@g.us').status)", &world)
        .await
        .unwrap();
    let sends = world.sends.take();
    assert_eq!(
        (sends[0].to.as_str(), sends[0].key.as_str()),
        ("1@g.us", "bot/evt_1/main/send/sales/1@g.us/1")
    );
    let fault = ran("msg:forward('office', '1@g.us')", &world).await.unwrap_err();
    assert_eq!(fault.message, "there is no account 'office'");
}

#[tokio::test(flavor = "current_thread")]
async fn a_plugin_does_only_the_acts_that_it_declares() {
    let world = Rc::new(Small::default());
    let declared = Declared {
        events: vec!["message".into()],
        accounts: vec!["*".into()],
        actions: vec!["react".into()],
        ..Declared::default()
    };
    let source = Source {
        name: "bot".into(),
        file: "plugins/bot/main.lua".into(),
        text: "wharf.on('message', function(msg)\nmsg:react('👍')\nfor _, name in { 'edit', 'read', 'forward', 'typing' } do\nlocal ok, e = pcall(msg[name], msg, 1, 'x')\nprint(name, ok, e.kind)\nend\nlocal a = wharf.account('sales')\nfor _, name in { 'contact', 'chats', 'history' } do\nlocal arg = name ~= 'chats' and '49170' or nil\nlocal ok, e = pcall(a[name], a, arg)\nprint(name, ok, e.kind)\nend\nend)".into(),
        libraries: Libraries::new(),
    };
    let setup = Setup {
        permissions: Permissions::Declared(declared),
        ..setup(&world)
    };
    load(&source, setup)
        .unwrap()
        .run(&message("hello"), false, Place::free())
        .await
        .unwrap();
    let lines: Vec<String> = world.lines.take().into_iter().map(|line| line.text).collect();
    let refused = |name: &str| format!("{name}\tfalse\tnot_permitted");
    let names = ["edit", "read", "forward", "typing", "contact", "chats", "history"];
    assert_eq!(lines, names.map(refused));
    assert_eq!(world.acts.take().len(), 1);
    assert!(world.looks.take().is_empty());
}
