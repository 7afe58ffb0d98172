//! The CDP connection to one browser, and the page wharf is attached to.
//!
//! In: the browser's address. Out: an [`Attached`] page, set up before its first document. Every call has a deadline
//! of its own: chromiumoxide's do not fire on a quiet connection, and a crashed page never answers. Must not know what
//! the agent can do.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chromiumoxide::cdp::browser_protocol::browser::CloseParams;
use chromiumoxide::cdp::browser_protocol::emulation::{
    SetUserAgentOverrideParams, UserAgentBrandVersion, UserAgentMetadata,
};
use chromiumoxide::cdp::browser_protocol::inspector::EventTargetCrashed;
use chromiumoxide::cdp::browser_protocol::page::{
    AddScriptToEvaluateOnNewDocumentParams, GetFrameTreeParams, NavigateParams,
};
use chromiumoxide::cdp::browser_protocol::target::{GetTargetsParams, SetAutoAttachParams};
use chromiumoxide::cdp::browser_protocol::{log, network, performance};
use chromiumoxide::cdp::js_protocol::runtime::{AddBindingParams, EvaluateParams, EventBindingCalled};
use chromiumoxide::error::CdpError;
use chromiumoxide::handler::HandlerConfig;
use chromiumoxide::listeners::EventStream;
use chromiumoxide::{Browser, Command, Page};
use futures::StreamExt;
use serde::Deserialize;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::executable::Executable;
use super::process::Process;
use super::{Error, Library, script};
use crate::event::AccountId;

/// For a command that the browser answers by itself.
const STEP: Duration = Duration::from_secs(10);
/// How long a document may load before wharf goes on without waiting for it.
const LOAD: Duration = Duration::from_secs(15);
/// Longer than any deadline here; what chromiumoxide would do at it helps nobody.
const NEVER: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_millis(10);

/// A connection to a browser; clones are the same.
#[derive(Clone)]
pub(super) struct Connection {
    account: AccountId,
    browser: Arc<Browser>,
    /// Set when nothing can be asked any more.
    lost: CancellationToken,
}

impl Connection {
    /// Connects, and drives the connection on `tracker` until `closing` or until it breaks.
    pub(super) async fn open(
        account: &AccountId,
        process: &Process,
        closing: CancellationToken,
        tracker: &TaskTracker,
    ) -> Result<Connection, Error> {
        let config = HandlerConfig {
            // True would switch off the checks of certificates.
            ignore_https_errors: false,
            // Anything else lays a size over every page; captures hang under it.
            viewport: None,
            request_timeout: NEVER,
            ..HandlerConfig::default()
        };
        let connect = Box::pin(Browser::connect_with_config(process.address(), config));
        let (browser, mut handler) = within(account, "connect to the browser", STEP, connect).await?;
        let lost = CancellationToken::new();
        // Also when the handler panics: it has a path that does.
        let guard = lost.clone().drop_guard();
        let (name, mut exited) = (account.clone(), process.exited());
        tracker.spawn(async move {
            let _guard = guard;
            loop {
                let event = tokio::select! {
                    () = closing.cancelled() => break tokio::select! {
                        // A connection that was closed cleanly does not end the stream.
                        _ = exited.wait_for(Option::is_some) => {}
                        () = drain(handler) => {}
                    },
                    event = handler.next() => event,
                };
                match event {
                    Some(Ok(()) | Err(CdpError::InvalidMessage(..))) => {}
                    Some(Err(error)) => {
                        break tracing::debug!(account = %name, %error, "the connection to the browser broke");
                    }
                    None => break,
                }
            }
        });
        Ok(Connection {
            account: account.clone(),
            browser: Arc::new(browser),
            lost,
        })
    }

    pub(super) fn lost(&self) -> CancellationToken {
        self.lost.clone()
    }

    /// Attaches to the browser's first page and sets it up: user agent and client hints, binding, scripts.
    pub(super) async fn attach(&self, found: &Executable, library: &Library) -> Result<Attached, Error> {
        let page = Box::pin(self.first_page()).await?;
        let attached = Attached {
            account: self.account.clone(),
            page,
            lost: self.lost.clone(),
            load_error: Arc::new(Mutex::new(None)),
        };
        attached.be_quiet().await?;
        attached.name_itself(found).await?;
        attached
            .execute("add the binding", AddBindingParams::new(script::BINDING))
            .await?;
        for source in script::on_new_document(library) {
            let script = AddScriptToEvaluateOnNewDocumentParams::new(source);
            attached.execute("add the scripts", script).await?;
        }
        Ok(attached)
    }

    /// The page that the browser opened by itself, or a new one.
    async fn first_page(&self) -> Result<Page, Error> {
        let step = "find the tab";
        let account = &self.account;
        let asked = self.browser.execute(GetTargetsParams::default());
        let targets = within(account, step, STEP, asked).await?.result.target_infos;
        let Some(target) = targets.into_iter().find(|target| target.r#type == "page") else {
            return within(
                account,
                "open a tab",
                STEP,
                Box::pin(self.browser.new_page("about:blank")),
            )
            .await;
        };
        // Not there before chromiumoxide has attached to it.
        let page = async {
            loop {
                match self.browser.get_page(target.target_id.clone()).await {
                    Err(CdpError::NotFound) => sleep(LOOK).await,
                    other => return other,
                }
            }
        };
        within(account, step, STEP, page).await
    }

    /// Asks the browser to close; false if it did not answer. What comes of it is seen at its process.
    pub(super) async fn ask_to_close(&self) -> bool {
        let asked = self.browser.execute(CloseParams::default());
        match within(&self.account, "close the browser", STEP, asked).await {
            Ok(_) => true,
            Err(error) => {
                tracing::debug!(account = %self.account, %error, "the browser did not answer that it closes");
                false
            }
        }
    }
}

/// A page that wharf is attached to.
#[derive(Clone)]
pub(super) struct Attached {
    account: AccountId,
    page: Page,
    lost: CancellationToken,
    load_error: Arc<Mutex<Option<String>>>,
}

impl Attached {
    /// The calls of the binding.
    pub(super) async fn calls(&self) -> Result<EventStream<EventBindingCalled>, Error> {
        self.events("listen to the agent").await
    }

    /// A report when the page's process dies.
    pub(super) async fn crashes(&self) -> Result<EventStream<EventTargetCrashed>, Error> {
        self.events("listen for a crash").await
    }

    async fn events<T: chromiumoxide::cdp::IntoEventKind>(&self, step: &'static str) -> Result<EventStream<T>, Error> {
        within(&self.account, step, STEP, self.page.event_listener::<T>()).await
    }

    /// A command, within the usual deadline.
    pub(super) async fn execute<C: Command>(&self, step: &'static str, command: C) -> Result<C::Response, Error> {
        self.execute_within(step, command, STEP).await
    }

    /// A command, within a deadline; ends at once when the tab is gone.
    pub(super) async fn execute_within<C: Command>(
        &self,
        step: &'static str,
        command: C,
        deadline: Duration,
    ) -> Result<C::Response, Error> {
        let asked = within(&self.account, step, deadline, Box::pin(self.page.execute(command)));
        tokio::select! {
            biased;
            () = self.lost.cancelled() => Err(Error::Gone { account: self.account.clone(), step }),
            answer = asked => answer.map(|answer| answer.result),
        }
    }

    /// Runs an expression in the page and waits for the text that it comes to.
    pub(super) async fn evaluate(
        &self,
        step: &'static str,
        expression: &str,
        deadline: Duration,
    ) -> Result<String, Error> {
        let mut asked = EvaluateParams::new(expression);
        asked.await_promise = Some(true);
        asked.return_by_value = Some(true);
        let answer = self.execute_within(step, asked, deadline).await?;
        if let Some(thrown) = answer.exception_details {
            let what = thrown
                .exception
                .and_then(|object| object.description)
                .unwrap_or(thrown.text);
            return Err(self.failed(step, &what));
        }
        match answer.result.value {
            Some(serde_json::Value::String(text)) => Ok(text),
            _ => Err(self.failed(step, "the page answered nothing")),
        }
    }

    /// The page did not do it.
    pub(super) fn failed(&self, step: &'static str, message: &str) -> Error {
        Error::Page {
            account: self.account.clone(),
            step,
            message: message.chars().take(500).collect(),
        }
    }

    /// Goes to an address. That it cannot be loaded is not an error, but kept for [`Attached::load_error`].
    pub(super) async fn navigate(&self, url: &str) -> Result<(), Error> {
        let step = "open the page";
        self.keep_load_error(None);
        match self.execute_within(step, NavigateParams::new(url), LOAD).await {
            Ok(answer) => self.keep_load_error(answer.error_text),
            // It goes on loading; the status shows how far it is.
            Err(Error::Deadline { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Why a document at this address is only the browser's own word that it could not be loaded.
    pub(super) fn load_error(&self, url: &str) -> Option<String> {
        let kept = self.load_error.lock().unwrap_or_else(PoisonError::into_inner).clone();
        kept.or_else(|| {
            url.starts_with("chrome-error:")
                .then(|| "the page could not be loaded".to_owned())
        })
    }

    /// The address of the document that could not be loaded, while the browser shows its own word for that.
    pub(super) async fn unreachable(&self) -> Result<Option<String>, Error> {
        let answer = self
            .execute("ask where the page is", GetFrameTreeParams::default())
            .await?;
        Ok(answer.frame_tree.frame.unreachable_url)
    }

    fn keep_load_error(&self, error: Option<String>) {
        *self.load_error.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }

    /// chromiumoxide does more than wharf wants. It listens to the network: each frame of each WebSocket would be copied to
    /// the host. And it attaches to each worker, halts it, and leaves a service worker again at once: then its
    /// registration is aborted or never ends.
    async fn be_quiet(&self) -> Result<(), Error> {
        let step = "switch off what is not used";
        let mut nothing = SetAutoAttachParams::new(false, false);
        nothing.flatten = Some(true);
        self.execute(step, nothing).await?;
        self.execute(step, network::DisableParams::default()).await?;
        self.execute(step, performance::DisableParams::default()).await?;
        self.execute(step, log::DisableParams::default()).await?;
        Ok(())
    }

    /// User agent and client hints of the same version without the word Headless. The command line has the first already,
    /// for workers and for the time without a host. The second hold while wharf is attached, in all requests and in the
    /// page; not in what a service worker's own script could read, whose requests carry none.
    async fn name_itself(&self, found: &Executable) -> Result<(), Error> {
        #[derive(Deserialize)]
        struct Brand {
            brand: String,
            version: String,
        }
        // Hints are shown to secure pages only, and this is the nearest one.
        let step = "ask for the client hints";
        self.execute_within(step, NavigateParams::new("file:///dev/null"), STEP)
            .await?;
        let asked = "JSON.stringify(navigator.userAgentData ? navigator.userAgentData.brands : [])";
        let text = self.evaluate(step, asked, STEP).await?;
        let mut brands: Vec<Brand> = serde_json::from_str(&text).unwrap_or_default();
        brands.retain(|brand| !brand.brand.contains("Headless"));
        if brands.is_empty() {
            brands.push(Brand {
                brand: "Chromium".to_owned(),
                version: found.major().to_owned(),
            });
        }
        let named = |brand: &Brand, version: String| UserAgentBrandVersion {
            brand: brand.brand.clone(),
            version,
        };
        let full = |brand: &Brand| {
            if brand.version == found.major() {
                found.version.clone()
            } else {
                format!("{}.0.0.0", brand.version)
            }
        };
        let metadata = UserAgentMetadata {
            brands: Some(brands.iter().map(|brand| named(brand, brand.version.clone())).collect()),
            full_version_list: Some(brands.iter().map(|brand| named(brand, full(brand))).collect()),
            platform: "Linux".to_owned(),
            platform_version: String::new(),
            architecture: if cfg!(target_arch = "aarch64") { "arm" } else { "x86" }.to_owned(),
            model: String::new(),
            mobile: false,
            bitness: Some("64".to_owned()),
            wow64: Some(false),
            form_factors: Some(vec!["Desktop".to_owned()]),
        };
        let mut named = SetUserAgentOverrideParams::new(found.user_agent());
        named.user_agent_metadata = Some(metadata);
        self.execute("set the user agent", named).await?;
        Ok(())
    }
}

/// A browser that closes still answers that it does; without somebody who reads, it would wait for that.
async fn drain(mut handler: chromiumoxide::Handler) {
    while let Some(Ok(()) | Err(CdpError::InvalidMessage(..))) = handler.next().await {}
}

/// Puts a deadline on a call and names what went wrong.
async fn within<T>(
    account: &AccountId,
    step: &'static str,
    after: Duration,
    asked: impl Future<Output = Result<T, CdpError>>,
) -> Result<T, Error> {
    match timeout(after, asked).await {
        Ok(Ok(answer)) => Ok(answer),
        Err(_) | Ok(Err(CdpError::Timeout)) => Err(Error::Deadline {
            account: account.clone(),
            step,
            after,
        }),
        Ok(Err(error)) => Err(named(account.clone(), step, &error)),
    }
}

fn named(account: AccountId, step: &'static str, error: &CdpError) -> Error {
    let message = error.to_string();
    let said = |parts: &[&str]| parts.iter().any(|part| message.contains(part));
    match error {
        CdpError::Ws(_) | CdpError::Io(_) | CdpError::ChannelSendError(_) | CdpError::NoResponse => {
            Error::Gone { account, step }
        }
        CdpError::Chrome(_)
            if said(&[
                "context was destroyed",
                "Cannot find",
                "Promise was collected",
                "navigated",
            ]) =>
        {
            Error::DocumentChanged { account, step }
        }
        CdpError::Chrome(_) if said(&["Session with given id", "Target closed", "crashed"]) => {
            Error::Gone { account, step }
        }
        _ => Error::Page { account, step, message },
    }
}
