//! kill -9 of the host at the worst moments: every message is answered, none twice.

mod browser {
    use std::collections::HashMap;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    use wharf::event::{Event, Kind};
    use wharf::store::Store;

    use crate::support::host::{Home, Host};
    use crate::support::phones::Phones;

    const SHOP: &str = "491700000001";
    const WRITERS: [&str; 4] = ["491700000011", "491700000012", "491700000013", "491700000014"];
    const ROUNDS: usize = 5;
    /// Twenty messages a second.
    const PACE: Duration = Duration::from_millis(50);

    /// Every fourth message makes the handler work for 50 ms, so that kills fall into it.
    const SCRIPT: &str = r#"
        wharf.on("message", { match = "m" }, function(msg)
          if msg.body:sub(-1) == "w" then
            local from = wharf.time.now().ms
            while wharf.time.now().ms - from < 50 do end
          end
          msg:reply("re " .. msg.body)
        end)
    "#;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_host_killed_at_every_step_answers_every_message_exactly_once() {
        let phones = Arc::new(Phones::start().await);
        phones.add(SHOP, "Shop").await;
        for number in WRITERS {
            phones.add(number, number).await;
        }
        let home = Home::new(&phones.url, "[pacing]\nenabled = false\n");
        home.script("echo.lua", SCRIPT);
        let trace = "info,wharf::path=trace";
        let mut host = Host::start_logging(&home, trace).await;
        let qr = host.create_account("shop").await;
        phones.scan(SHOP, &qr).await;
        host.state("shop", "ready").await;

        // WhatsApp counts in seconds: what is found later in the second of the link could have been there before it.
        tokio::time::sleep(Duration::from_millis(1100)).await;

        let (done, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let writer = {
            let (phones, done, count) = (Arc::clone(&phones), Arc::clone(&done), Arc::clone(&count));
            #[allow(clippy::disallowed_methods, reason = "joined below")]
            tokio::spawn(async move {
                let mut tick = tokio::time::interval(PACE);
                while !done.load(Ordering::Relaxed) {
                    tick.tick().await;
                    let n = count.fetch_add(1, Ordering::Relaxed);
                    let work = if n.is_multiple_of(4) { "w" } else { "" };
                    phones
                        .write(WRITERS[n % WRITERS.len()], SHOP, &format!("m{n}{work}"))
                        .await;
                }
            })
        };

        for round in 0..ROUNDS {
            for step in [
                "message in ring",
                "message in commit",
                "message in handler",
                "message in send",
            ] {
                let from = host.logged();
                host.line(from, step).await;
                host.kill();
                host = Host::start_logging(&home, trace).await;
                host.state("shop", "ready").await;
                eprintln!(
                    "round {round}: killed at {step:?} after {} messages",
                    count.load(Ordering::Relaxed)
                );
            }
        }
        done.store(true, Ordering::Relaxed);
        writer.await.unwrap();
        let written = count.load(Ordering::Relaxed);

        let since = Instant::now();
        let (mut last, mut still) = (0, Instant::now());
        let answers = loop {
            let mut answers: HashMap<String, usize> = HashMap::new();
            for number in WRITERS {
                for text in phones
                    .texts(number)
                    .await
                    .into_iter()
                    .filter(|text| text.starts_with("re "))
                {
                    *answers.entry(text).or_default() += 1;
                }
            }
            if answers.len() != last {
                (last, still) = (answers.len(), Instant::now());
            }
            // All are there, or nothing more comes: what is missing must then be reported as unknown.
            if answers.len() == written || still.elapsed() > Duration::from_secs(20) {
                break answers;
            }
            assert!(
                since.elapsed() < Duration::from_secs(180),
                "{} of {written} answered",
                answers.len()
            );
            tokio::time::sleep(Duration::from_millis(250)).await;
        };
        let grave = |line: &String| line.contains(" WARN ") || line.contains("ERROR");
        let complaints: Vec<String> = host.log_since(0).into_iter().filter(grave).collect();
        assert_eq!(host.stop().await, Some(0));
        assert_eq!(home.browsers(), Vec::<u32>::new());

        let doubled: Vec<_> = answers.iter().filter(|(_, count)| **count != 1).collect();
        let events = journal(&home).await;
        let story = |text: &str| -> Vec<String> {
            let of = |event: &&Arc<Event>| event.text("body").is_some_and(|body| text.ends_with(body));
            events
                .iter()
                .filter(of)
                .map(|event| serde_json::to_string(&**event).unwrap())
                .collect()
        };
        let stories: Vec<_> = doubled.iter().map(|(text, count)| (text, count, story(text))).collect();
        assert!(doubled.is_empty(), "answered more than once: {stories:#?}");
        // A send that was cut off may be reported instead: with the event whose answer it was.
        let unknown: Vec<&str> = events
            .iter()
            .filter(|event| event.event == Kind::parse("action.unknown").unwrap())
            .map(|event| event.text("event").unwrap())
            .collect();
        eprintln!(
            "{written} messages, {} answered once, {} reported as unknown",
            answers.len(),
            unknown.len()
        );
        for n in 0..written {
            let text = format!("m{n}{}", if n.is_multiple_of(4) { "w" } else { "" });
            if answers.contains_key(&format!("re {text}")) {
                continue;
            }
            let seen: Vec<&str> = events
                .iter()
                .filter(|event| event.event == Kind::MESSAGE && event.text("body") == Some(&text))
                .map(|event| event.id.as_str())
                .collect();
            assert!(
                seen.iter().any(|id| unknown.contains(id)),
                "{text} has no answer and no report; its events: {seen:?}\n{complaints:#?}"
            );
        }
        assert!(
            unknown.len() <= 4 * ROUNDS,
            "{} unknown: more than one for each kill",
            unknown.len()
        );
    }

    async fn journal(home: &Home) -> Vec<Arc<Event>> {
        let store = Store::open(&home.data(), 16 << 20).unwrap();
        let (mut from, mut all) = (0, Vec::new());
        loop {
            let events = store.events(from, 500).await.unwrap();
            let Some((last, _)) = events.last() else { break };
            from = last + 1;
            all.extend(events.into_iter().map(|(_, event)| event));
        }
        store.close().await.unwrap();
        all
    }
}
