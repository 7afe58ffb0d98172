//! Wires the rooms together; the only file that knows all of them.
//!
//! In: where the configuration is. Out: a running host, and an orderly end. Must not do any room's work.

mod script_host;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{self, Config, Live, Outcome, Sources};
use crate::event::{Draft, Kind, Origin};
use crate::script::Scripts;
use crate::session::Sessions;
use crate::store::backup::Backups;
use crate::store::{self, Batch, NewEvent, Store};
use crate::telemetry::{self, Telemetry};
use crate::watch::{Folder, Folders};
use crate::{admin, http, page, script, session, webhook};
use script_host::ScriptHost;

/// Longest time that the tasks of the rooms get to end after the browsers are closed.
const LAST_TASKS: Duration = Duration::from_secs(10);

/// Why the host cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration, or a file that it names.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// The data folder.
    #[error("cannot prepare the data folder {path}: {source}")]
    Data {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Browser or library.
    #[error(transparent)]
    Page(#[from] page::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The accounts.
    #[error(transparent)]
    Session(#[from] session::Error),
    /// The scripts.
    #[error(transparent)]
    Script(#[from] script::Error),
    /// The outbound client.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// The admin server.
    #[error(transparent)]
    Admin(#[from] admin::Error),
    /// The configuration's folder cannot be watched.
    #[error(transparent)]
    Watch(#[from] crate::watch::Error),
}

/// A running host.
pub struct App {
    /// Its store.
    pub store: Store,
    /// Its accounts.
    pub sessions: Sessions,
    /// Where the admin listens; `None` when only the control socket does.
    pub admin: Option<SocketAddr>,
    /// The configuration in force.
    pub config: Arc<Live>,
    running: Running,
    _config_folder: Option<Folders>,
}

impl App {
    /// Starts every room; accounts whose wish is to run come up behind it. Where one cannot start, those before it end in
    /// order, so that no browser is left.
    ///
    /// # Errors
    /// What must be there before anything can work: configuration, library, browser, data folder, port.
    pub async fn start(sources: Sources) -> Result<Self, Error> {
        Self::start_on(sources, None).await
    }

    /// The same with tabs of another kind than real browsers, if given; then neither browser nor library is looked for.
    ///
    /// # Errors
    /// As [`App::start`].
    pub async fn start_on(sources: Sources, tabs: Option<Arc<dyn session::Opener>>) -> Result<Self, Error> {
        let live = Arc::new(Live::start(sources)?);
        let config = live.current();
        let telemetry = telemetry::start(&config.log);
        if tabs.is_none() {
            page::Library::read(&config.whatsapp.library)?;
            page::find_browser(&config.browser)?;
        }
        prepare(&config.data.dir)?;

        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        let store = open_store(&config).await?;
        // Before the first browser: a port that is taken is the commonest reason why a host cannot start.
        let doors = admin::open(&config).await?;
        let deps = session::Deps {
            store: store.clone(),
            config: live.subscribe(),
            tracker: tracker.clone(),
            stop: stop.clone(),
        };
        let sessions = match tabs {
            Some(tabs) => Sessions::open_on(deps, tabs).await?,
            None => Sessions::open(deps).await?,
        };
        let mut running = Running {
            store,
            sessions,
            scripts: None,
            tracker,
            stop,
        };
        match Self::start_above(&mut running, &live, telemetry, doors).await {
            Ok((admin, folder)) => Ok(Self {
                store: running.store.clone(),
                sessions: running.sessions.clone(),
                admin,
                config: live,
                running,
                _config_folder: folder,
            }),
            Err(error) => {
                running.end().await;
                Err(error)
            }
        }
    }

    /// What stands on store and sessions.
    async fn start_above(
        running: &mut Running,
        live: &Arc<Live>,
        telemetry: Telemetry,
        doors: admin::Doors,
    ) -> Result<(Option<SocketAddr>, Option<Folders>), Error> {
        let config = live.current();
        let Running {
            store,
            sessions,
            scripts: kept,
            tracker,
            stop,
        } = running;
        let (store, sessions, tracker, stop) = (&*store, &*sessions, &*tracker, &*stop);
        // One for all, so that a changed [egress] holds for all.
        let client = http::Client::new(&config.egress)?;
        let host = Arc::new(ScriptHost {
            client: client.clone(),
            sessions: sessions.clone(),
            config: live.subscribe(),
        });
        let scripts = Scripts::open(script::Deps {
            store: store.clone(),
            config: live.subscribe(),
            host,
            tracker: tracker.clone(),
            stop: stop.clone(),
        })
        .await?;
        *kept = Some(scripts.clone());
        let deliveries = webhook::run(webhook::Deps {
            store: store.clone(),
            config: live.subscribe(),
            client,
            clock: webhook::Clock::default(),
            tracker: tracker.clone(),
            stop: stop.clone(),
        });
        let backups = Backups::start(store, live.subscribe(), tracker, stop.clone());
        let addr = doors.addr();
        let deps = admin::Deps {
            backups,
            sessions: sessions.clone(),
            scripts: scripts.clone(),
            deliveries,
            store: store.clone(),
            config: live.subscribe(),
            stop: stop.clone(),
            tracker: tracker.clone(),
            data_dir: config.data.dir.clone(),
        };
        admin::serve(deps, doors);
        let folder = follow_config(live, store, telemetry, tracker, stop)?;
        tracing::info!(data = %config.data.dir.display(), "wharf {} is up", env!("CARGO_PKG_VERSION"));
        Ok((addr, folder))
    }

    /// Ends it in order: scripts, deliveries, browsers, store.
    pub async fn stop(self) {
        tracing::info!("stopping: scripts finish, then browsers are asked to close");
        self.running.end().await;
    }
}

/// What has to be ended, in order, when the host ends or cannot start whole.
struct Running {
    store: Store,
    sessions: Sessions,
    scripts: Option<Scripts>,
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Running {
    async fn end(self) {
        if let Some(scripts) = self.scripts {
            scripts.close().await;
        }
        self.stop.cancel();
        self.sessions.close().await;
        self.tracker.close();
        if tokio::time::timeout(LAST_TASKS, self.tracker.wait()).await.is_err() {
            tracing::warn!(tasks = self.tracker.len(), "some tasks did not end in time");
        }
        if let Err(error) = self.store.close().await {
            tracing::error!(%error, "the store did not close cleanly; what was acknowledged is kept");
        }
    }
}

/// Makes the data folder and closes it to others: it holds credentials.
///
/// # Errors
/// [`Error::Data`].
pub(crate) fn prepare(dir: &Path) -> Result<(), Error> {
    let failed = |source| Error::Data {
        path: dir.to_owned(),
        source,
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(failed)?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).map_err(failed)
}

async fn open_store(config: &Config) -> Result<Store, Error> {
    let dir = config.data.dir.clone();
    let options = store::Options {
        ballast: true,
        ..store_options(config)
    };
    let opened = tokio::task::spawn_blocking(move || Store::open_with(&dir, &options)).await;
    Ok(opened.expect("opening the store does not panic, and nothing cancels it")?)
}

/// How the store of this configuration is opened.
pub(crate) fn store_options(config: &Config) -> store::Options {
    store::Options {
        cache_bytes: config.data.cache,
        limits: limits(config),
        ..store::Options::default()
    }
}

/// How much of the journal is kept.
fn limits(config: &Config) -> store::Limits {
    store::Limits {
        keep: config.data.journal_keep,
        bytes: config.data.journal_max,
    }
}

/// Follows the configuration's file; `None` where there is none.
fn follow_config(
    live: &Arc<Live>,
    store: &Store,
    telemetry: Telemetry,
    tracker: &TaskTracker,
    stop: &CancellationToken,
) -> Result<Option<Folders>, Error> {
    let Some(file) = live.file() else {
        return Ok(None);
    };
    let folder = file
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let quiet = live.current().scripts.quiet;
    let (folders, mut changed) = Folders::watch(&[Folder::Flat(folder.to_owned())], quiet, tracker, stop.clone())?;
    let (live, store, stop) = (Arc::clone(live), store.clone(), stop.clone());
    tracker.spawn(async move {
        // The first look is for what was saved after the file was read and before the watch stood.
        let mut woken = Some(());
        while woken.is_some() {
            match live.reload() {
                Outcome::Unchanged => {}
                Outcome::Refused(error) => tracing::error!("{error}; the configuration in force stays"),
                Outcome::Changed(sections) => {
                    tracing::info!(?sections, "a new configuration is in force");
                    telemetry.follow(&live.current().log);
                    store.follow_limits(limits(&live.current()));
                    report_change(&store, &sections).await;
                }
            }
            woken = stop.run_until_cancelled(changed.recv()).await.flatten();
        }
    });
    Ok(Some(folders))
}

async fn report_change(store: &Store, sections: &[&'static str]) {
    let draft = Draft {
        event: Kind::parse("config.changed").expect("it is in the list of events"),
        account: None,
        timestamp: jiff::Timestamp::now().as_millisecond(),
        origin: Origin::Live,
        data: Map::from_iter([("sections".to_owned(), Value::from(sections.to_vec()))]),
    };
    let batch = Batch {
        events: vec![NewEvent { draft, once: None }],
        ..Batch::default()
    };
    if let Err(error) = store.commit(batch).await {
        tracing::warn!(%error, "the change of configuration is in force, but not in the journal");
    }
}
