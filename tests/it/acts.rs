//! What a script does beside answering, all the way: the real program, a real browser, the real library, a phone at the end.

mod browser {
    use serde_json::{Value, json};

    use crate::support::host::{Home, Host};
    use crate::support::phones::Phones;

    const SHOP: &str = "491700000001";
    const ANNA: &str = "491700000002";
    const BOB: &str = "491700000003";
    const DOT: &str =
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";

    const SCRIPT: &str = r#"
        wharf.on("message", { type = "image" }, function(msg)
          msg:react("👀")
          local file = msg:download()
          msg:reply{ file = file, text = file.size .. " bytes", quote = true }
          msg:forward(msg.account, "BOB@c.us")
          msg:read()
        end)

        wharf.on("message", { match = "order" }, function(msg)
          local shop = wharf.account(msg.account)
          local sent = msg:reply("tne")
          shop:edit(sent.id, "ten")
          local wrong = msg:reply("for " .. shop:contact(msg.from).name)
          shop:revoke(wrong.id)
          local large = { body = ("x"):rep(1024 * 1024), mimetype = "text/csv", filename = "sums.csv" }
          msg:reply{ file = large, text = #shop:history(msg.chat, { limit = 2 }) .. " of " .. #shop:chats() }
        end)
    "#;

    async fn held(phones: &Phones, number: &str, what: impl Fn(&Value) -> bool) -> Value {
        let since = std::time::Instant::now();
        loop {
            let all = phones.messages(number).await;
            if let Some(found) = all.iter().find(|message| what(message)) {
                return found.clone();
            }
            assert!(
                since.elapsed() < crate::support::host::PATIENCE,
                "{number} holds {all:?}"
            );
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_script_reacts_edits_takes_back_and_sends_files_that_it_got_and_made() {
        let phones = Phones::start().await;
        for (number, name) in [(SHOP, "Shop"), (ANNA, "Anna"), (BOB, "Bob")] {
            phones.add(number, name).await;
        }
        let home = Home::new(&phones.url, "[pacing]\nenabled = false\n");
        home.script("acts.lua", &SCRIPT.replace("BOB", BOB));
        let host = Host::start(&home).await;
        let qr = host.create_account("shop").await;
        phones.scan(SHOP, &qr).await;
        host.state("shop", "ready").await;

        let picture = json!({ "data": DOT, "mimetype": "image/png" });
        phones
            .send(ANNA, json!({ "to": SHOP, "text": "look", "media": picture }))
            .await;
        let own = held(&phones, ANNA, |message| {
            message["text"] == "look" && message["ack"] == 3
        })
        .await;
        assert_eq!(own["reactions"], json!({ format!("{SHOP}@c.us"): "👀" }));
        let back = held(&phones, ANNA, |message| message["text"] == "70 bytes").await;
        assert_eq!((&back["type"], &back["media"]["size"]), (&json!("image"), &json!(70)));
        assert_eq!(back["quoted"]["id"], own["id"]);
        let forwarded = held(&phones, BOB, |message| message["type"] == "image").await;
        assert_eq!(forwarded["text"], "look");
        assert_eq!(forwarded["media"]["url"], own["media"]["url"], "the same bytes");

        phones.write(ANNA, SHOP, "order").await;
        let edited = held(&phones, ANNA, |message| message["text"] == "ten").await;
        assert_eq!(edited["edited"], true);
        held(&phones, ANNA, |message| message["type"] == "revoked").await;
        assert!(!phones.texts(ANNA).await.iter().any(|text| text.starts_with("for ")));
        let made = held(&phones, ANNA, |message| message["type"] == "document").await;
        assert_eq!(made["text"], "2 of 2");
        assert_eq!(
            (&made["media"]["filename"], &made["media"]["size"]),
            (&json!("sums.csv"), &json!(1 << 20))
        );
        assert_eq!(host.stop().await, Some(0));
    }
}
