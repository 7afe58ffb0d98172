//! The configuration in force, replaced while wharf runs; the last good one stays when a new one has a mistake.
//!
//! In: a path, overrides, and a call when the file may have changed. Out: a watch channel of [`Config`]. Must not watch
//! files itself: `app` does and calls [`Live::reload`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;

use super::resolve::{Layer, resolve};
use super::{Config, Error, Place};

/// The defaults and their documentation, in one file.
pub const DEFAULTS: &str = include_str!("../../config.toml");

/// Where the configuration comes from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file; without one, the defaults alone hold.
    pub file: Option<PathBuf>,
    /// `WHARF_SECTION__KEY` variables, by name.
    pub environment: Vec<(String, String)>,
    /// `--data`, which is stronger than all others.
    pub data: Option<PathBuf>,
}

impl Sources {
    /// Reads and checks everything.
    ///
    /// # Errors
    /// The file cannot be read, or something in it cannot be used; the error names file and line.
    pub fn load(&self) -> Result<Config, Error> {
        let defaults = Path::new("built-in config.toml");
        let mut layers = self.environment_layers()?;
        let mut base = std::env::current_dir().map_err(Error::CurrentFolder)?;
        if let Some(path) = &self.file {
            let text = std::fs::read_to_string(path).map_err(|source| Error::Read {
                path: path.clone(),
                source,
            })?;
            layers.push(Layer::parse(path, text)?);
            if let Some(parent) = path.parent() {
                base = base.join(parent);
            }
        }
        layers.push(Layer::parse(defaults, DEFAULTS.to_owned())?);
        let mut config = resolve(&layers, &base)?;
        if let Some(dir) = &self.data {
            config.data.dir = std::path::absolute(dir).map_err(Error::CurrentFolder)?;
        }
        Ok(config)
    }

    /// A layer for each variable, so that an error can name it.
    fn environment_layers(&self) -> Result<Vec<Layer>, Error> {
        let layer = |(name, value): &(String, String)| {
            let keys: Vec<String> = name
                .strip_prefix("WHARF_")?
                .split("__")
                .map(str::to_lowercase)
                .collect();
            if keys.len() < 2 {
                // WHARF_SOMETHING without a section belongs to somebody else.
                return None;
            }
            let path = Path::new("environment").join(name);
            let as_text = || Layer::parse(&path, assignment(&keys, &quoted(value)));
            // A number or a list is meant as such; a bare word is text.
            let layer = Layer::parse(&path, assignment(&keys, value)).or_else(|plain| as_text().map_err(|_| plain));
            Some(layer.map(|layer| Layer {
                has_lines: false,
                ..layer
            }))
        };
        self.environment
            .iter()
            .filter_map(layer)
            .collect::<Result<_, _>>()
            .map_err(without_line)
    }
}

/// A variable has one line, so its number says nothing.
fn without_line(error: Error) -> Error {
    match error {
        Error::Invalid { place, message } => Error::Invalid {
            place: Place { line: None, ..place },
            message,
        },
        other => other,
    }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn assignment(keys: &[String], value: &str) -> String {
    let path: Vec<String> = keys.iter().map(|key| quoted(key)).collect();
    format!("{} = {value}", path.join("."))
}

/// What a reload came to.
#[derive(Debug)]
pub enum Outcome {
    /// Nothing is different.
    Unchanged,
    /// The new one is in force; the names of the sections that differ.
    Changed(Vec<&'static str>),
    /// It has a mistake; the old one stays.
    Refused(Error),
}

/// The configuration in force.
#[derive(Debug)]
pub struct Live {
    sources: Sources,
    current: watch::Sender<Arc<Config>>,
}

impl Live {
    /// Loads it for the first time.
    ///
    /// # Errors
    /// As [`Sources::load`].
    pub fn start(sources: Sources) -> Result<Self, Error> {
        let config = Arc::new(sources.load()?);
        Ok(Self {
            sources,
            current: watch::Sender::new(config),
        })
    }

    /// Follows changes.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<Config>> {
        self.current.subscribe()
    }

    /// The one in force now.
    #[must_use]
    pub fn current(&self) -> Arc<Config> {
        Arc::clone(&self.current.borrow())
    }

    /// The file, if there is one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.sources.file.as_deref()
    }

    /// Looks at the file again and applies it whole, or not at all.
    pub fn reload(&self) -> Outcome {
        let mut new = match self.sources.load() {
            Ok(new) => new,
            Err(error) => return Outcome::Refused(error),
        };
        let old = self.current();
        if (&old.data.dir, old.data.cache) != (&new.data.dir, new.data.cache) {
            // The store is open there and cannot move; rooms that look it up must go on finding it.
            tracing::warn!("[data] dir and cache are fixed while wharf runs; their change waits for the next start");
            new.data.dir.clone_from(&old.data.dir);
            new.data.cache = old.data.cache;
        }
        if *old == new {
            return Outcome::Unchanged;
        }
        let changed = new.differs_from(&old);
        self.current.send_replace(Arc::new(new));
        Outcome::Changed(changed)
    }
}
