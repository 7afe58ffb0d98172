//! `wharf record`, without a host and beside one, and the fixture played in a test. No page is opened, but a host wants its
//! browser to be there.

mod browser {
    use serde_json::{Value, json};
    use wharf::event::{Draft, Kind, Origin};
    use wharf::store::{Batch, NewEvent, Store};

    use crate::support::host::{Home, Host};

    const NOWHERE: &str = "http://127.0.0.1:9/";

    fn wharf(home: &Home, arguments: &[&str]) -> (Option<i32>, String, String) {
        let ran = home.command(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (ran.status.code(), text(ran.stdout), text(ran.stderr))
    }

    fn message(number: &str, name: &str, body: &str) -> NewEvent {
        let chat = format!("{number}@c.us");
        let data = json!({
            "id": format!("false_{chat}_3EB0"), "chat": chat, "from": chat, "to": "491700000001@c.us", "author": null,
            "sender": { "id": chat, "lid": null, "phone": number, "name": name },
            "from_me": false, "source": null, "type": "chat", "body": body, "caption": null, "media": null,
            "quoted": null, "mentions": [], "timestamp": 1_600_000_000_000_i64, "ack": 1,
        });
        NewEvent::from(Draft {
            event: Kind::MESSAGE,
            account: Some("shop".parse().unwrap()),
            timestamp: 1_600_000_000_000,
            origin: Origin::Live,
            data: data.as_object().cloned().unwrap(),
        })
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_happened_is_recorded_without_numbers_and_names_and_plays_in_a_test() {
        let home = Home::new(NOWHERE, "");
        home.script(
            "prices.lua",
            "wharf.on('message', { match = 'price' }, function(msg) msg:reply('40 EUR, ' .. msg.sender.name) end)",
        );
        std::fs::create_dir_all(home.data()).unwrap();
        let store = Store::open(&home.data(), 1 << 20).unwrap();
        let events = vec![
            message("491761111111", "Ann Miller", "price?"),
            message("491762222222", "Bo Diaz", "hello from 491761111111"),
        ];
        let batch = Batch {
            events,
            ..Batch::default()
        };
        store.commit(batch).await.unwrap();
        store.close().await.unwrap();

        let (code, said, errors) = wharf(&home, &["record", "orders", "--event", "message"]);
        assert_eq!(code, Some(0), "{errors}");
        let file = said.trim();
        assert!(
            file.ends_with("scripts/fixtures/orders.json") && errors.contains("2 events"),
            "{said}{errors}"
        );
        let text = std::fs::read_to_string(file).unwrap();
        assert!(
            !text.contains("49176") && !text.contains("Miller") && !text.contains("Diaz"),
            "{text}"
        );
        let recorded: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(recorded[0]["data"]["body"], "price?");
        let number = recorded[0]["data"]["sender"]["phone"].as_str().unwrap();
        assert_eq!(recorded[1]["data"]["body"], format!("hello from {number}"));

        let (code, _, errors) = wharf(&home, &["record", "orders"]);
        assert!(code == Some(1) && errors.contains("is there already"), "{errors}");
        let (code, _, errors) = wharf(&home, &["record", "../x"]);
        assert!(code == Some(1) && errors.contains("no name of a fixture"), "{errors}");

        // Beside a host, whose store is its own.
        let host = Host::start(&home).await;
        let (code, said, errors) = wharf(&home, &["record", "last", "--last", "1", "--event", "message"]);
        assert_eq!(code, Some(0), "{errors}");
        let text = std::fs::read_to_string(said.trim()).unwrap();
        let recorded: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (
                recorded.as_array().unwrap().len(),
                &recorded[0]["data"]["sender"]["name"]
            ),
            (1, &json!("Person 1"))
        );
        assert_eq!(host.stop().await, Some(0));

        home.script(
            "prices_test.lua",
            "wharf.case('what was asked is answered', function()
                local bot = wharf.test('prices.lua')
                bot:replay('fixtures/orders.json')
                bot:expect_sent { text = '40 EUR, Person 1' }
                bot:expect_nothing()
            end)
            wharf.case('only fixtures of this folder', function()
                local bot = wharf.test('prices.lua')
                local fine, failure = pcall(bot.replay, bot, '../config.toml')
                assert(not fine and tostring(failure):find('is not in the folder of the script'), tostring(failure))
            end)",
        );
        let (code, said, errors) = wharf(&home, &["test"]);
        assert_eq!(code, Some(0), "{said}{errors}");
        for case in ["what was asked is answered", "only fixtures of this folder"] {
            assert!(said.contains(&format!("ok      {case}")), "{said}");
        }
    }
}
