//! One message, all the way: the real program, a real browser, the real library, real sockets, and a phone at the end.

mod browser {
    use serde_json::{Value, json};

    use crate::support::host::{Home, Host};
    use crate::support::phones::Phones;
    use crate::support::receiver::{Received, Receiver};

    const SHOP: &str = "491700000001";
    const ANNA: &str = "491700000002";
    const SECRET: &str = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

    const PRICE: &str = r#"
        wharf.on("message", { match = "price" }, function(msg)
          msg:reply("ANSWER")
        end)
    "#;

    /// Asks another service, over the one way out that there is.
    const ASK: &str = r#"
        wharf.on("message", { match = "ask" }, function(msg)
          local res = wharf.http.post("http://HOOK/ask", { json = { question = msg.body } })
          msg:reply(res.json.answer)
        end)
    "#;

    /// Dark pixels in the row of the picture that has most of them: a bar of block characters stands out from any text.
    fn darkest_row(png: &[u8]) -> usize {
        let picture = image::load_from_memory(png).unwrap().to_rgb8();
        let dark = |pixel: &image::Rgb<u8>| pixel.0.iter().all(|part| *part < 90);
        picture
            .rows()
            .map(|row| row.filter(|pixel| dark(pixel)).count())
            .max()
            .unwrap_or_default()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_message_goes_from_the_phone_to_a_script_and_a_webhook_and_back() {
        let phones = Phones::start().await;
        phones.add(SHOP, "Shop").await;
        phones.add(ANNA, "Anna").await;
        let (receiver, hook) = Receiver::start().await;
        let extra = format!(
            "[endpoint.crm]\nurl = \"http://{hook}/in\"\nsecret = \"{SECRET}\"\n\
             [plugins.webhook]\nroutes = [{{ endpoint = \"crm\", events = [\"message\"] }}]\n"
        );
        let home = Home::new(&phones.url, &extra);
        home.script("price.lua", &PRICE.replace("ANSWER", "40 EUR"));

        let mut host = Host::start(&home).await;
        let qr = host.create_account("shop").await;
        phones.scan(SHOP, &qr).await;
        let account = host.state("shop", "ready").await;
        assert_eq!(account["phone"], SHOP);
        assert_eq!(host.get("/api/accounts/shop/qr").await.json["error_code"], "NO_QR");

        phones.write(ANNA, SHOP, "price?").await;
        phones.until_text(ANNA, "40 EUR").await;

        let delivered = host
            .until("the delivery", || async { receiver.received() }, |all| !all.is_empty())
            .await
            .remove(0);
        standardwebhooks::Webhook::new(SECRET)
            .unwrap()
            .verify(&delivered.body, &delivered.headers)
            .unwrap();
        assert_eq!(delivered.json["schema"], "wharf.v1");
        assert_eq!(delivered.json["event"], "message");
        assert_eq!(delivered.json["account"], "shop");
        assert_eq!(delivered.json["data"]["body"], "price?");
        assert_eq!(delivered.json["data"]["sender"]["phone"], ANNA);

        // A webhook of the account's own, set while it is at work: the session does not notice.
        let since = host.get("/api/accounts/shop").await.json["since"].clone();
        let own = host
            .put(
                "/api/accounts/shop/webhook",
                json!({ "webhook_url": format!("http://{hook}/own") }),
            )
            .await;
        let secret = own.json["secret"].as_str().expect("a secret, shown once").to_owned();
        phones.write(ANNA, SHOP, "hello").await;
        let told = host
            .until(
                "a delivery to the account's own webhook",
                || async {
                    let mine = |one: &Received| one.path == "/own" && one.json["data"]["body"] == "hello";
                    receiver.received().into_iter().find(mine)
                },
                Option::is_some,
            )
            .await
            .unwrap();
        standardwebhooks::Webhook::new(&secret)
            .unwrap()
            .verify(&told.body, &told.headers)
            .unwrap();
        let after = host.get("/api/accounts/shop").await.json;
        assert_eq!((&after["state"], &after["since"]), (&json!("ready"), &since));

        let from = host.logged();
        home.script("ask.lua", &ASK.replace("HOOK", &hook.to_string()));
        host.line(from, "ask").await;
        phones.write(ANNA, SHOP, "ask?").await;
        phones.until_text(ANNA, "from outside").await;
        let asked = receiver.received().into_iter().find(|one| one.path == "/ask").unwrap();
        assert_eq!(asked.json, json!({ "question": "ask?" }));

        let from = host.logged();
        home.script("price.lua", &PRICE.replace("ANSWER", "45 EUR"));
        host.line(from, "price").await;
        phones.write(ANNA, SHOP, "price now?").await;
        phones.until_text(ANNA, "45 EUR").await;

        let broken = host.logged();
        home.script("price.lua", "wharf.on(\"message\", function(msg)\n  msg:reply(\nend)");
        host.line(broken, "price.lua:3").await;
        phones.write(ANNA, SHOP, "price again?").await;
        phones.until_count(ANNA, "45 EUR", 2).await;
        let scripts = host.get("/api/scripts").await.json;
        let price = scripts["scripts"]
            .as_array()
            .unwrap()
            .iter()
            .find(|script| script["name"] == "price")
            .unwrap();
        assert_eq!(
            (&price["generation"], &price["refused"]["line"]),
            (&json!(2), &json!(3)),
            "{price}"
        );
        home.script("price.lua", &PRICE.replace("ANSWER", "45 EUR"));

        let before = host.get("/api/accounts/shop/snapshot").await;
        assert_eq!(before.headers["content-type"], "image/png");
        let bar = "\u{2588}".repeat(24);
        phones.write(ANNA, SHOP, &bar).await;
        host.until(
            "a picture that holds the bar",
            || host.get("/api/accounts/shop/snapshot"),
            |now| darkest_row(&now.bytes) > darkest_row(&before.bytes) + 100,
        )
        .await;

        assert_eq!(host.stop().await, Some(0));
        assert_eq!(home.browsers(), Vec::<u32>::new());

        let host = Host::start(&home).await;
        host.state("shop", "ready").await;
        phones.write(ANNA, SHOP, "price once more?").await;
        phones.until_count(ANNA, "45 EUR", 3).await;

        assert_eq!(host.delete("/api/accounts/shop").await.status, 204);
        assert_eq!(home.browsers(), Vec::<u32>::new());
        assert_eq!(
            home.profiles(),
            0,
            "the profile is a credential and goes with the account"
        );
        assert_eq!(host.get("/api/accounts").await.json["accounts"], json!([]));
        assert_eq!(host.stop().await, Some(0));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn two_accounts_write_to_each_other_and_what_came_while_away_is_answered_once() {
        const BEN: &str = "491700000003";
        let phones = Phones::start().await;
        for (number, name) in [(SHOP, "Shop"), (ANNA, "Anna"), (BEN, "Ben")] {
            phones.add(number, name).await;
        }
        // Unread when the account is linked: it must never be answered.
        phones.write(ANNA, SHOP, "ping before linking").await;

        let home = Home::new(&phones.url, "");
        home.script(
            "echo.lua",
            r#"
            wharf.on("message", { account = "shop", match = "ping" }, function(msg)
              msg:reply("pong " .. msg.body)
            end)
            wharf.on("message", { account = "ben", match = "pong" }, function(msg)
              msg:reply("thanks for " .. msg.body)
            end)
            "#,
        );
        let host = Host::start(&home).await;
        for (id, number) in [("shop", SHOP), ("ben", BEN)] {
            let qr = host.create_account(id).await;
            phones.scan(number, &qr).await;
            host.state(id, "ready").await;
        }

        let sent = host
            .post(
                "/api/accounts/ben/messages/send",
                json!({ "to": SHOP, "message": "ping 1" }),
            )
            .await;
        assert!(sent.status < 300, "{sent:?}");
        phones.until_text(BEN, "pong ping 1").await;
        phones.until_text(SHOP, "thanks for pong ping 1").await;

        assert_eq!(host.stop().await, Some(0));
        phones.write(ANNA, SHOP, "ping while away").await;
        let host = Host::start(&home).await;
        host.state("shop", "ready").await;
        phones.until_text(ANNA, "pong ping while away").await;
        phones.write(ANNA, SHOP, "ping last").await;
        phones.until_text(ANNA, "pong ping last").await;
        assert_eq!(host.stop().await, Some(0));

        let answers: Vec<String> = phones
            .texts(ANNA)
            .await
            .into_iter()
            .filter(|text| text.starts_with("pong"))
            .collect();
        assert_eq!(answers, ["pong ping while away", "pong ping last"]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn bad_input_is_refused_with_the_place_and_the_remedy() {
        let phones = Phones::start().await;
        let home = Home::new(&phones.url, "[acounts]\nmax = 3\n");
        let run = || {
            home.command(&["run"])
                .env("WHARF_LOG__LEVEL", "error")
                .output()
                .unwrap()
        };
        let refused = run();
        assert_eq!(refused.status.code(), Some(78));
        let text = String::from_utf8(refused.stderr).unwrap();
        assert!(
            text.contains("config.toml:") && text.contains("did you mean `account"),
            "{text}"
        );

        home.configure(&phones.url, "");
        let missing = home
            .command(&["run"])
            .env("WHARF_WHATSAPP__LIBRARY", "/nowhere/wa.js")
            .output()
            .unwrap();
        let text = String::from_utf8(missing.stderr).unwrap();
        assert!(text.contains("npm ci") && text.contains("/nowhere/wa.js"), "{text}");
        assert_eq!(text.matches("os error 2").count(), 1, "a cause is told once: {text}");

        let missing = home
            .command(&["run"])
            .env("WHARF_BROWSER__EXECUTABLE", "/nowhere/chromium")
            .output()
            .unwrap();
        let text = String::from_utf8(missing.stderr).unwrap();
        assert!(text.contains("chromium-headless-shell"), "{text}");

        let host = Host::start(&home).await;
        let second = run();
        assert_eq!(second.status.code(), Some(1));
        let text = String::from_utf8(second.stderr).unwrap();
        assert!(text.contains("data"), "{text}");
        for id in ["../../etc", &"a".repeat(200), "A b"] {
            let made = host.post("/api/accounts", json!({ "id": id })).await;
            assert_eq!(made.status, 400, "{made:?}");
        }

        phones.fault(json!({ "unrecognised_page": "login" })).await;
        let made = host.post("/api/accounts", json!({ "id": "lost" })).await;
        assert!(made.status < 300, "{made:?}");
        let failed: Value = host.state("lost", "failed").await;
        assert_eq!(failed["reason"], "page_not_recognised");
        assert_eq!(host.stop().await, Some(0));
    }
}
