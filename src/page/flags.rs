//! How Chromium is started: the flags, each kind's own, and the limit of the tab's network.
//!
//! In: the browser, the configured page, the profile. Out: the arguments. Must not start anything.

use std::path::Path;

use super::Error;
use super::executable::Executable;

/// Features that cost memory or traffic and that one tab does not need. Without the first three a browser keeps two
/// renderers more.
const WITHOUT: &[&str] = &[
    "SpareRendererForSitePerProcess",
    "WebUIOmniboxPopup",
    "WebUIOmniboxAimPopup",
    "WebUIOmniboxFullPopup",
    "PreloadTopChromeWebUI",
    "Translate",
    "MediaRouter",
    "OptimizationHints",
    "BackForwardCache",
    "Prerender2",
    "SegmentationPlatform",
    "AutofillServerCommunication",
    "DialMediaRouteProvider",
];

const ALWAYS: &[&str] = &[
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-default-apps",
    "--disable-component-extensions-with-background-pages",
    "--disable-breakpad",
    "--disable-crash-reporter",
    // Minidumps hold the page's memory; the other two switches do not stop them.
    "--disable-crashpad-for-testing",
    "--metrics-recording-only",
    // A keyring of the desktop would make the profile unreadable in another session.
    "--password-store=basic",
    "--use-mock-keychain",
    "--mute-audio",
    "--hide-scrollbars",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    "--disable-ipc-flooding-protection",
    "--disable-hang-monitor",
    "--disable-dev-shm-usage",
    "--disable-client-side-phishing-detection",
    "--disable-domain-reliability",
    "--no-pings",
    "--disable-print-preview",
    "--disable-speech-api",
    "--enable-features=NetworkServiceInProcess2",
    "--in-process-gpu",
    "--disable-software-rasterizer",
    "--num-raster-threads=1",
    "--js-flags=--optimize-for-size --max-semi-space-size=1",
    "--window-size=1280,800",
    // Only what ends the browser is written; it goes to a file that nobody rotates.
    "--log-level=3",
    // A proxy is asked for names itself, so the resolver rules would not hold.
    "--no-proxy-server",
    // Calls would send UDP to any address, which the resolver rules do not see.
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--remote-debugging-port=0",
];

/// WhatsApp's own, with all hosts below.
const SITES: [&str; 2] = ["whatsapp.com", "whatsapp.net"];

fn is_of(host: &str, site: &str) -> bool {
    host.strip_suffix(site)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// The page a tab is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    host: String,
    port: u16,
}

impl Target {
    /// Takes the origin out of the configured address.
    pub(super) fn parse(url: &str) -> Result<Target, Error> {
        let bad = |problem| Error::BadUrl {
            url: url.to_owned(),
            problem,
        };
        let parsed: hyper::Uri = url.parse().map_err(|_| bad("it is no address"))?;
        let usual = match parsed.scheme_str() {
            Some("http") => 80,
            Some("https") => 443,
            _ => return Err(bad("it does not start with http: or https:")),
        };
        let host = parsed
            .host()
            .ok_or_else(|| bad("it names no host"))?
            .to_ascii_lowercase();
        let port = parsed.port_u16().unwrap_or(usual);
        // Rules are separated by commas and blanks and match with stars.
        if host.is_empty() || host.contains([',', '*', ' ']) {
            return Err(bad("its host name is none"));
        }
        Ok(Target { host, port })
    }

    fn is_whatsapp(&self) -> bool {
        self.port == 443 && is_of(&self.host, "whatsapp.com")
    }

    /// Whether an address is of this page's site, so that a tab may go there.
    pub(super) fn has(&self, url: &str) -> bool {
        let is_whatsapp = |host: &str| SITES.iter().any(|site| is_of(host, site));
        match Target::parse(url) {
            Ok(other) if self.is_whatsapp() => is_whatsapp(&other.host),
            Ok(other) => other == *self,
            Err(_) => false,
        }
    }

    /// What the tab may look up and reach. Held by the browser itself, so it also holds for workers and while no host
    /// is attached. `EXCLUDE` would open every port of a host, so an origin that is not WhatsApp's own is mapped to
    /// itself.
    fn resolver_rules(&self) -> String {
        if self.is_whatsapp() {
            // A star with a dot does not stand for the bare name.
            let mut rules = "MAP * ~NOTFOUND".to_owned();
            for site in SITES {
                rules.push_str(&format!(", EXCLUDE {site}, EXCLUDE *.{site}"));
            }
            rules
        } else {
            let Target { host, port } = self;
            format!("MAP {host}:{port} {host}:{port}, MAP * ~NOTFOUND")
        }
    }
}

/// All arguments, the first page last.
pub(super) fn arguments(found: &Executable, target: &Target, sandbox: bool, profile: &Path) -> Vec<String> {
    let mut arguments: Vec<String> = ALWAYS.iter().map(|flag| (*flag).to_owned()).collect();
    if !found.is_shell {
        arguments.push("--headless=new".to_owned());
    }
    if !sandbox {
        arguments.push("--no-sandbox".to_owned());
    }
    arguments.push(format!("--disable-features={}", WITHOUT.join(",")));
    arguments.push(format!("--user-agent={}", found.user_agent()));
    arguments.push(format!("--host-resolver-rules={}", target.resolver_rules()));
    arguments.push(format!("--user-data-dir={}", profile.display()));
    // The shell opens no page by itself.
    arguments.push("about:blank".to_owned());
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(url: &str) -> String {
        Target::parse(url).unwrap().resolver_rules()
    }

    #[test]
    fn only_whatsapps_own_hosts_are_let_through_on_the_real_page() {
        assert_eq!(
            rules("https://web.whatsapp.com/"),
            "MAP * ~NOTFOUND, EXCLUDE whatsapp.com, EXCLUDE *.whatsapp.com, EXCLUDE whatsapp.net, EXCLUDE *.whatsapp.net"
        );
        assert_eq!(rules("https://whatsapp.com"), rules("https://web.whatsapp.com/"));
    }

    #[test]
    fn another_page_is_let_through_with_its_port_alone() {
        assert_eq!(
            rules("http://127.0.0.1:8123/x"),
            "MAP 127.0.0.1:8123 127.0.0.1:8123, MAP * ~NOTFOUND"
        );
        assert_eq!(rules("http://[::1]:81/"), "MAP [::1]:81 [::1]:81, MAP * ~NOTFOUND");
        // Looks like WhatsApp's, is not.
        assert_eq!(
            rules("https://whatsapp.com.evil.test/"),
            "MAP whatsapp.com.evil.test:443 whatsapp.com.evil.test:443, MAP * ~NOTFOUND"
        );
        assert!(rules("https://evilwhatsapp.com/").starts_with("MAP evilwhatsapp.com:443 "));
        assert!(rules("http://web.whatsapp.com:8080/").starts_with("MAP web.whatsapp.com:8080 "));
    }

    #[test]
    fn an_address_is_of_the_page_if_a_tab_may_go_there() {
        let has = |url: &str, other: &str| Target::parse(url).unwrap().has(other);
        assert!(has("http://127.0.0.1:81/", "http://127.0.0.1:81/x?y"));
        for other in ["http://127.0.0.1/", "http://portal.test:81/", "about:blank"] {
            assert!(!has("http://127.0.0.1:81/", other), "{other}");
        }
        assert!(has("https://web.whatsapp.com/", "https://www.whatsapp.com/"));
        assert!(!has("https://web.whatsapp.com/", "https://whatsapp.com.evil.test/"));
    }

    #[test]
    fn an_address_that_is_no_web_page_is_refused() {
        for url in ["", "web.whatsapp.com", "file:///etc/passwd", "http://"] {
            assert!(matches!(Target::parse(url), Err(Error::BadUrl { .. })), "{url}");
        }
    }
}
