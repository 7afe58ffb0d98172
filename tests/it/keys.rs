//! `wharf key`, without a host and beside one, and what else a host does without an account. No page is opened, but a host
//! wants its browser to be there.

mod browser {
    use std::process::Output;

    use serde_json::{Value, json};

    use crate::support::client::Client;
    use crate::support::host::{Home, Host};

    const NOWHERE: &str = "http://127.0.0.1:9/";

    fn key(home: &Home, arguments: &[&str]) -> (Option<i32>, String, String) {
        let arguments: Vec<&str> = ["key"].iter().chain(arguments).copied().collect();
        let Output { status, stdout, stderr } = home.command(&arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code(), text(stdout), text(stderr))
    }

    fn id(key: &str) -> &str {
        key.split('_').nth(1).unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn keys_are_listed_and_revoked_without_a_host_and_beside_one() {
        use std::os::unix::fs::PermissionsExt as _;
        let home = Home::new(NOWHERE, "");
        let (first, second) = (home.key(&["read", "send"]), home.key(&["admin"]));
        let mode = std::fs::metadata(home.data()).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "the data folder is its owner's from the first key on");
        let (code, listed, _) = key(&home, &["list"]);
        assert_eq!(code, Some(0));
        assert!(listed.contains(&format!("{}\tread,send\t", id(&first))), "{listed}");
        assert!(listed.contains(id(&second)) && !listed.contains(&first) && !listed.contains(&second));
        assert_eq!(key(&home, &["revoke", id(&first)]).0, Some(0));
        let (code, _, said) = key(&home, &["revoke", id(&first)]);
        assert!(code == Some(1) && said.contains("there is no key"), "{said}");
        assert!(!key(&home, &["list"]).1.contains(id(&first)));

        let host = Host::start(&home).await;
        let with = |key: &str| Client::new(host.client().base(), Some(key));
        assert_eq!(with(&first).get("/api/accounts").await.status, 401);
        assert_eq!(with(&second).get("/api/accounts").await.status, 200);
        assert!(key(&home, &["list"]).1.contains(id(&second)));
        assert_eq!(key(&home, &["revoke", id(&second)]).0, Some(0));
        assert_eq!(
            with(&second).get("/api/accounts").await.status,
            401,
            "at once, while the host runs"
        );
        assert_eq!(host.stop().await, Some(0));
    }

    #[test]
    fn a_secret_of_the_environment_may_end_with_a_line_break() {
        let crm = "[endpoint.crm]\nurl = \"http://a/\"\nheaders = { authorization = \"env:CRM_TOKEN\" }\n";
        let home = Home::new(NOWHERE, crm);
        let list = |token: &str| home.command(&["key", "list"]).env("CRM_TOKEN", token).output().unwrap();
        assert_eq!(list("Bearer crm\n").status.code(), Some(0));
        let refused = list("Bearer\ncrm");
        assert_eq!(refused.status.code(), Some(78));
        assert!(!String::from_utf8(refused.stderr).unwrap().contains("Bearer"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_saved_configuration_is_in_force_and_told_and_one_with_a_mistake_is_not() {
        let home = Home::new(NOWHERE, "");
        home.script(
            "told.lua",
            "wharf.on('config.changed', function(event)\n  wharf.log.info('told of ' .. table.concat(event.sections, '+'))\nend)\n",
        );
        let mut host = Host::start(&home).await;
        let max = async |host: &Host| host.get("/api/accounts").await.json["max"].clone();
        assert_eq!(max(&host).await, json!(5));
        let from = host.logged();
        home.configure(NOWHERE, "[accounts]\nmax = 7\n");
        host.line(from, "told of accounts").await;
        assert_eq!(max(&host).await, json!(7));
        let from = host.logged();
        home.configure(NOWHERE, "[accounts]\nmaks = 9\n");
        let refusal = host.line(from, "did you mean `max`").await;
        assert!(refusal.contains("config.toml:"), "{refusal}");
        assert_eq!(max(&host).await, json!(7), "the last good one stays");
        assert_eq!(host.stop().await, Some(0));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_last_error_of_a_script_is_shown_with_its_line() {
        let home = Home::new(NOWHERE, "");
        home.script(
            "falls.lua",
            "wharf.on('config.changed', function()\n  error('on purpose')\nend)\n",
        );
        let host = Host::start(&home).await;
        home.configure(NOWHERE, "[accounts]\nmax = 6\n");
        let find = |answer: &Value| {
            let all = answer["scripts"].as_array().unwrap();
            all.iter()
                .find(|script| script["name"] == "falls")
                .cloned()
                .unwrap_or_default()
        };
        let answer = host
            .until(
                "the error",
                || host.get("/api/scripts"),
                |answer| !find(&answer.json)["last_error"].is_null(),
            )
            .await;
        let error = &find(&answer.json)["last_error"];
        assert_eq!(error["line"], 2, "{error}");
        assert!(error["message"].as_str().unwrap().contains("on purpose"), "{error}");
        assert_eq!(host.stop().await, Some(0));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_taken_port_and_a_file_that_is_not_the_library_are_refused_with_the_remedy() {
        let home = Home::new(NOWHERE, "");
        let refused = |name: &str, value: &str| {
            let output = home.command(&["run"]).env(name, value).output().unwrap();
            assert_eq!(output.status.code(), Some(1));
            String::from_utf8(output.stderr).unwrap()
        };
        let other = home.path().join("other.js");
        std::fs::write(&other, "console.log('not it')").unwrap();
        let said = refused("WHARF_WHATSAPP__LIBRARY", other.to_str().unwrap());
        assert!(
            said.contains("npm ci") && said.contains(other.to_str().unwrap()),
            "{said}"
        );
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = taken.local_addr().unwrap().to_string();
        let said = refused("WHARF_ADMIN__LISTEN", &at);
        assert!(said.contains(&at) && said.contains("[admin] listen"), "{said}");
        assert!(!home.data().join("wharf.sock").exists());
    }
}
