//! Configuration: as written (`file`), resolved (`resolved`), live (`live`).
//!
//! In: `config.toml`, `WHARF_SECTION__KEY`, `--data`. Out: [`Config`] through a watch channel, each room taking its own
//! section. Must not import another room; is the only room that reads the environment.

mod endpoint;
mod file;
pub mod live;
mod resolve;
pub mod resolved;
mod value;

use std::fmt;
use std::path::PathBuf;

pub use live::{Live, Outcome, Sources};
pub use resolved::{Config, Secret};
pub use value::parse_duration;

/// Where in the configuration something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, or `environment/NAME`.
    pub file: PathBuf,
    /// Counted from 1.
    pub line: Option<usize>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}", self.file.display()),
            None => write!(f, "{}", self.file.display()),
        }
    }
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Something in it is wrong.
    #[error("{place}: {message}")]
    Invalid {
        /// Where.
        place: Place,
        /// What, and what to do.
        message: String,
    },
    /// Relative paths have no start.
    #[error("the current folder cannot be found: {0}")]
    CurrentFolder(std::io::Error),
}

/// The variables of this process that set something.
#[must_use]
pub fn environment() -> Vec<(String, String)> {
    std::env::vars()
        .filter(|(name, _)| name.starts_with("WHARF_"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, text).unwrap();
        Sources {
            file: Some(path),
            ..Sources::default()
        }
        .load()
    }

    fn refusal(text: &str) -> String {
        let message = load(text).unwrap_err().to_string();
        format!("config.toml{}", message.split_once("/config.toml").unwrap().1)
    }

    #[test]
    fn the_shipped_file_is_the_default() {
        let shipped = load(live::DEFAULTS).unwrap();
        assert_eq!(shipped.accounts.max, 5);
        assert_eq!(shipped.scripts.enabled, ["webhook"]);
        let empty = load("").unwrap();
        assert_eq!(shipped.scripts.cpu, empty.scripts.cpu);
    }

    #[test]
    fn a_misspelt_key_is_refused_with_line_and_suggestion() {
        assert_eq!(
            refusal("[admin]\nlisten = \"127.0.0.1:1\"\n[accounts]\nmaks = 3"),
            "config.toml:4: no key `maks`; did you mean `max`?"
        );
        assert!(refusal("[acounts]\n").contains("did you mean `account"));
    }

    #[test]
    fn a_wrong_type_and_an_impossible_value_are_refused_with_their_line() {
        assert_eq!(
            refusal("[accounts]\nmax = \"many\""),
            "config.toml:2: invalid type: string \"many\", expected a whole number"
        );
        assert!(refusal("\n[scripts]\ncpu = \"0s\"").starts_with("config.toml:3: must be longer"));
        assert!(refusal("[admin]\nlisten = \"0.0.0.0:80\"").contains("loopback"));
        assert!(refusal("[account.\"../x\"]\n").contains("is not an account id"));
        assert!(refusal("[endpoint.a]\nurl = \"ftp://x\"").starts_with("config.toml:2: not an address"));
        assert!(
            refusal("[endpoint.a]\nurl = \"http://x\"\nsecret = \"whsec_c2hvcnQ=\"")
                .contains("config.toml:3: a signing")
        );
        assert!(refusal("[scripts]\nwall = 60").contains("a duration such as"));
    }

    #[test]
    fn a_refused_secret_is_not_printed() {
        let text = "[endpoint.a]\nurl = \"http://x\"\nsecret = \"whsec_very-private\"";
        assert!(!format!("{:?}", load(text).unwrap_err()).contains("very-private"));
    }

    #[test]
    fn the_environment_is_stronger_than_the_file() {
        let sources = |name: &str, value: &str| Sources {
            environment: vec![(name.to_owned(), value.to_owned())],
            ..Sources::default()
        };
        assert_eq!(sources("WHARF_ACCOUNTS__MAX", "9").load().unwrap().accounts.max, 9);
        assert_eq!(sources("WHARF_LOG__LEVEL", "debug").load().unwrap().log.level, "debug");
        let wrong = sources("WHARF_ACCOUNTS__MAXX", "9").load().unwrap_err().to_string();
        assert_eq!(
            wrong,
            "environment/WHARF_ACCOUNTS__MAXX: no key `maxx`; did you mean `max`?"
        );
    }

    fn with_environment(text: &str, variables: &[(&str, &str)]) -> Result<Config, Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, text).unwrap();
        let environment = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let file = Some(path);
        Sources {
            file,
            environment,
            data: None,
        }
        .load()
    }

    #[test]
    fn a_variable_of_an_endpoint_or_account_leaves_its_other_keys_as_the_file_has_them() {
        let secret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        let text = format!(
            "[endpoint.crm]\nurl = \"http://a/\"\nsecret = \"{secret}\"\nheaders = {{ Authorization = \"a\", x-shop = \"1\" }}\n\
             [account.sales]\nname = \"Sales\"\nwebhook_url = \"http://a/\"\npacing = {{ per_minute = 7, waiting = 3 }}\n"
        );
        let config = with_environment(
            &text,
            &[
                ("WHARF_ENDPOINT__CRM__URL", "http://b/"),
                ("WHARF_ENDPOINT__CRM__HEADERS__AUTHORIZATION", "b"),
                ("WHARF_ACCOUNT__SALES__WEBHOOK_SECRET", secret),
                ("WHARF_ACCOUNT__SALES__PACING__WAITING", "4"),
            ],
        )
        .unwrap();
        let crm = &config.endpoint["crm"];
        assert_eq!(
            (crm.url.as_str(), crm.secret.as_ref().unwrap().reveal()),
            ("http://b/", secret)
        );
        let headers: Vec<(&str, &str)> = crm
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.reveal()))
            .collect();
        assert_eq!(headers, [("authorization", "b"), ("x-shop", "1")]);
        let sales = &config.account[&"sales".parse().unwrap()];
        assert_eq!(
            (sales.name.as_deref(), sales.webhook_url.as_deref()),
            (Some("Sales"), Some("http://a/"))
        );
        assert_eq!(sales.webhook_secret.as_ref().unwrap().reveal(), secret);
        let pacing = sales.pacing.as_ref().unwrap();
        assert_eq!((pacing.per_minute, pacing.waiting), (7, 4));

        let alone = [("WHARF_ENDPOINT__CRM__SECRET", secret)];
        assert!(with_environment("[endpoint.crm]\nurl = \"http://a/\"", &alone).is_ok());
        let refused = with_environment("", &alone).unwrap_err().to_string();
        assert!(
            refused.starts_with("environment/WHARF_ENDPOINT__CRM__SECRET: [endpoint.crm] has no `url`"),
            "{refused}"
        );
        assert!(
            refusal("\n[endpoint.crm]\ntimeout = \"5s\"").starts_with("config.toml:2: [endpoint.crm] has no `url`")
        );
    }

    #[test]
    fn a_header_that_no_delivery_could_have_is_refused() {
        let header = |line: &str| {
            refusal(&format!(
                "[endpoint.a]\nurl = \"http://x\"\n[endpoint.a.headers]\n{line}"
            ))
        };
        for name in [
            "webhook-id",
            "Webhook-Signature",
            "user-agent",
            "Content-Type",
            "host",
            "wharf-attempt",
        ] {
            let text = header(&format!("{name} = \"x\""));
            assert!(
                text.starts_with("config.toml:4: wharf sets the header") && text.contains("remove it"),
                "{text}"
            );
        }
        assert!(header("\"a b\" = \"x\"").starts_with("config.toml:4: `a b` is not the name of a header"));
        let text = header("authorization = \"hush\\nx: y\"");
        assert!(
            text.starts_with("config.toml:4: the value") && !text.contains("hush"),
            "{text}"
        );
    }

    #[test]
    fn a_switch_that_is_a_text_and_a_host_that_no_browser_sends_are_refused() {
        assert_eq!(
            refusal("[plugins.webhook]\nenabled = \"false\""),
            "config.toml:2: `enabled` is true or false, without quotes"
        );
        let host = |text: &str| refusal(&format!("[admin]\nhosts = [\"localhost\",\n  \"{text}\"]"));
        for (text, meant) in [
            ("https://wharf.example.com/", "wharf.example.com"),
            ("wharf.example.com/admin", "wharf.example.com"),
            ("https://wharf.example.com:8443", "wharf.example.com:8443"),
            ("b\u{fc}cher.example", "xn--bcher-kva.example"),
        ] {
            assert_eq!(
                host(text),
                format!("config.toml:3: not a host name; did you mean `{meant}`?")
            );
        }
        for text in ["", "*.example.com", "a b"] {
            assert!(
                host(text).starts_with("config.toml:3: not a host name; write"),
                "{text}"
            );
        }
        assert!(load("[admin]\nhosts = [\"Wharf.example.com\", \"other:8443\", \"10.0.0.1\"]").is_ok());
    }

    #[test]
    fn a_plugin_runs_unless_its_table_says_no() {
        let config = load("[plugins.autoreply]\nenabled = true\nrules = []").unwrap();
        assert_eq!(config.scripts.enabled, ["autoreply", "webhook"]);
        assert!(!config.plugins["autoreply"].contains_key("enabled"));
    }

    #[test]
    fn a_data_folder_that_was_changed_waits_for_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, "[data]\ndir = \"one\"").unwrap();
        let live = Live::start(Sources {
            file: Some(path.clone()),
            ..Sources::default()
        })
        .unwrap();
        std::fs::write(&path, "[data]\ndir = \"two\"\n[accounts]\nmax = 8").unwrap();
        assert!(matches!(live.reload(), Outcome::Changed(sections) if sections == ["accounts"]));
        assert_eq!(live.current().data.dir, folder.path().join("one"));
        assert!(matches!(live.reload(), Outcome::Unchanged));
    }

    #[test]
    fn a_reload_with_a_mistake_keeps_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, "[accounts]\nmax = 7").unwrap();
        let live = Live::start(Sources {
            file: Some(path.clone()),
            ..Sources::default()
        })
        .unwrap();
        std::fs::write(&path, "[accounts]\nmax = -7").unwrap();
        assert!(matches!(live.reload(), Outcome::Refused(_)));
        assert_eq!(live.current().accounts.max, 7);
        std::fs::write(&path, "[accounts]\nmax = 8").unwrap();
        assert!(matches!(live.reload(), Outcome::Changed(sections) if sections == ["accounts"]));
        assert_eq!(live.subscribe().borrow().accounts.max, 8);
        assert!(matches!(live.reload(), Outcome::Unchanged));
    }
}
