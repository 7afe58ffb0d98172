//! `wharf repl` beside a running host. No page is opened, but a host wants its browser to be there.

mod browser {
    use std::io::Write as _;
    use std::process::Stdio;

    use crate::support::host::{Home, Host};

    const NOWHERE: &str = "http://127.0.0.1:9/";

    /// Pipes lines into `wharf repl NAME`: its exit code, stdout and stderr.
    fn repl(home: &Home, name: &str, lines: &str) -> (Option<i32>, String, String) {
        let mut command = home.command(&["repl", name]);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // One that has ended already takes no more.
        child.stdin.take().unwrap().write_all(lines.as_bytes()).ok();
        let ended = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (ended.status.code(), text(ended.stdout), text(ended.stderr))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_typed_runs_in_the_script_and_is_committed() {
        let home = Home::new(NOWHERE, "");
        home.script(
            "bot.lua",
            "counter = 41\nfunction twice(x) return 2 * x end\n\
             wharf.on('job.ask', function(job) wharf.kv.set('asked', job.who) end)\n",
        );
        home.script("other.lua", "wharf.on('message', function() end)");
        let host = Host::start(&home).await;
        let (code, said, errors) = repl(&home, "bot", "counter + 1\ntwice(4), 'a'\n");
        assert_eq!((code, said.as_str(), errors.as_str()), (Some(0), "42\n8, \"a\"\n", ""));

        let statements = "wharf.kv.set('cart', { chairs = 2, names = { 'x', 'y' } })\n\
                          for i = 1, 3 do\n  wharf.kv.incr('n', i)\nend\n\
                          counter = counter + 1\n";
        let (code, said, errors) = repl(&home, "bot", statements);
        assert_eq!((code, said.as_str(), errors.as_str()), (Some(0), "nil\n", ""));
        let (_, said, errors) = repl(
            &home,
            "bot",
            "wharf.kv.get('cart')\nwharf.kv.get('n')\ncounter\nexit\n1\n",
        );
        assert_eq!(said, "{ chairs = 2, names = { \"x\", \"y\" } }\n6\n42\n", "{errors}");
        assert_eq!(
            repl(&home, "other", "wharf.kv.get('n')").1,
            "nil\n",
            "its keys are its own"
        );

        repl(&home, "bot", "wharf.later('10ms', 'ask', { who = 'me' })\n");
        let asked = async || repl(&home, "bot", "wharf.kv.get('asked')\n").1;
        host.until("the job of a typed text", asked, |said| said == "\"me\"\n")
            .await;
        assert_eq!(host.stop().await, Some(0));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_goes_wrong_is_said_with_its_place_and_nothing_of_it_is_kept() {
        let home = Home::new(NOWHERE, "");
        home.script(
            "bot.lua",
            "function fall()\n  error('on purpose')\nend\nwharf.on('message', function() end)\n",
        );
        let host = Host::start(&home).await;
        for (typed, says) in [
            ("wharf.kv.set('a', 1) fall()", "repl:1: scripts/bot.lua:2: on purpose"),
            ("x y\n", "repl:1: "),
            (
                "do\n  wharf.logg.info('x')\nend\n",
                "repl:2: wharf has no 'logg'; did you mean 'log'?",
            ),
            ("while true do end", "repl:1: stopped: "),
            (
                "wharf.account('none'):send('1@c.us', 'x')",
                "there is no account 'none'",
            ),
            ("wharf.on('message', function() end)", "not later"),
            ("wharf.kv.get(", "the last text is not complete"),
        ] {
            let (code, said, errors) = repl(&home, "bot", typed);
            assert_eq!(code, Some(1), "{typed}: {said}{errors}");
            assert!(errors.contains(says), "{typed}: {errors}");
        }
        assert_eq!(repl(&home, "bot", "wharf.kv.get('a')").1, "nil\n");
        for _ in 0..12 {
            repl(&home, "bot", "while true do end");
        }
        assert_eq!(
            repl(&home, "bot", "1 + 1").1,
            "2\n",
            "it is not the script that was stopped"
        );
        let (code, _, errors) = repl(&home, "bott", "1");
        let says = "no script or plugin 'bott'; did you mean 'bot'?";
        assert!(code == Some(1) && errors.contains(says), "{errors}");
        assert_eq!(host.stop().await, Some(0));
        let (code, _, errors) = repl(&home, "bot", "1");
        assert!(code == Some(1) && errors.contains("no host runs"), "{errors}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_plugin_may_do_no_more_when_it_is_typed_into() {
        let home = Home::new(NOWHERE, "[plugins.webhook]\n[secrets]\nllm = \"x\"\n");
        let host = Host::start(&home).await;
        let (code, _, errors) = repl(&home, "webhook", "wharf.secret('llm')");
        assert!(
            code == Some(1) && errors.contains("plugin.toml does not declare"),
            "{errors}"
        );
        assert_eq!(host.stop().await, Some(0));
    }
}
