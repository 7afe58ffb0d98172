//! What `wharf plugin` does: shows what a plugin is and may do, takes it in, lists and removes.
//!
//! In: the folder of a plugin, the configuration. Out: an [`Offer`] to be shown, and `plugins.lock` as it is then. Blocks. Must
//! not ask anybody, and must not run anything of a plugin.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::resolved::Scripts;

use super::folder::{is_name, read, shown};
use super::manifest::Manifest;
use super::pins::{Content, FILE, Pin, Pins, named};

/// Why a plugin was not added or removed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What lies there is no plugin.
    #[error("{0} is no plugin: {1}")]
    NoPlugin(String, String),
    /// Another one of the same name is there.
    #[error("{0} holds something else; say --yes to put this plugin in its place")]
    Other(String),
    /// There is none of this name.
    #[error("no plugin '{0}' was added; see `wharf plugin list`")]
    Unknown(String),
    /// What was accepted before cannot be read.
    #[error("{0} {1}")]
    Lock(String, String),
    /// The system refused.
    #[error("{0}: {1}")]
    Io(String, io::Error),
}

/// A plugin as it would be added.
#[derive(Debug)]
pub struct Offer {
    plugins: PathBuf,
    from: PathBuf,
    manifest: Manifest,
    content: Content,
    /// What is new since it was accepted; `None` if it never was.
    changes: Option<Vec<String>>,
    /// Whether it must be copied.
    copies: bool,
    /// Whether something else lies where it must be copied to.
    replaces: bool,
    enabled: bool,
}

/// Looks at the plugin in a folder, or at one of the plugins' folder by its name.
///
/// # Errors
/// If it is none, or if what was accepted before cannot be read.
pub fn offer(path: &Path, scripts: &Scripts) -> Result<Offer, Error> {
    let plugins = scripts.plugins.clone();
    let from = find(path, &plugins);
    let no = |message: String| Error::NoPlugin(shown(&from), message);
    let text = read(&from.join("plugin.toml")).map_err(|error| no(format!("plugin.toml cannot be read: {error}")))?;
    let name = toml::from_str::<toml::Table>(&text).ok();
    let name = name.and_then(|table| table.get("name")?.as_str().map(str::to_owned));
    let name = name.unwrap_or_default();
    let manifest = Manifest::parse(&text, &name).map_err(|error| {
        let line = error.line.map_or_else(String::new, |line| format!(":{line}"));
        no(format!("plugin.toml{line}: {}", error.message))
    })?;
    if !is_name(&name) {
        return Err(no("its name must have 1 to 64 letters, digits, `_` and `-`".to_owned()));
    }
    read(&from.join("main.lua")).map_err(|error| no(format!("main.lua cannot be read: {error}")))?;
    let content = Content::read(&from).map_err(no)?;
    let pins = pins(&plugins)?;
    let place = plugins.join(&name);
    let copies = match (from.canonicalize(), place.canonicalize()) {
        (Ok(from), Ok(place)) => from != place,
        _ => true,
    };
    let there = match copies && place.exists() {
        true => Some(Content::read(&place)),
        false => None,
    };
    Ok(Offer {
        changes: match pins.0.get(&name) {
            // What was in it before is not known.
            None | Some(Pin::Own { .. }) => None,
            Some(pin) => Some(pin.changes(&content)),
        },
        replaces: there.is_some_and(|there| there.as_ref() != Ok(&content)),
        enabled: scripts.enabled.contains(&name),
        plugins,
        from,
        manifest,
        content,
        copies,
    })
}

/// A path as it is; or, from elsewhere, the folder of that name among the plugins.
fn find(path: &Path, plugins: &Path) -> PathBuf {
    let inside = path.file_name().map(|name| plugins.join(name));
    let parent = path.parent().and_then(Path::file_name);
    let means_inside = parent.is_none() || parent == plugins.file_name();
    match inside {
        Some(inside) if !path.is_dir() && means_inside && inside.is_dir() => inside,
        _ => path.to_owned(),
    }
}

fn pins(plugins: &Path) -> Result<Pins, Error> {
    Pins::read(plugins).map_err(|error| Error::Lock(shown(&plugins.join(FILE)), error))
}

impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |text: &str| -> String {
            // It is shown on a terminal, and another's.
            text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
        };
        let Manifest {
            name,
            version,
            description,
            permissions,
            ..
        } = &self.manifest;
        writeln!(
            f,
            "{} {}  ({})",
            plain(name),
            plain(version),
            plain(&self.from.display().to_string())
        )?;
        if !description.is_empty() {
            writeln!(f, "{}", plain(description))?;
        }
        match self.changes.as_deref() {
            None => {}
            Some([]) => writeln!(f, "It is what was added before.")?,
            Some(changes) => writeln!(f, "Changed since it was added: {}", plain(&named(changes)))?,
        }
        let may = permissions.words();
        if may.is_empty() {
            return write!(f, "It may do nothing but work with its own keys.");
        }
        writeln!(f, "It may")?;
        for words in may {
            writeln!(f, "  {}", plain(&words))?;
        }
        write!(f, "and nothing else.")
    }
}

impl Offer {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.manifest.name
    }

    /// Whether it runs, or would only with a table in `config.toml`.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Whether something else lies where it would be copied to.
    ///
    /// # Errors
    /// That it does.
    pub fn check_place(&self) -> Result<(), Error> {
        match self.replaces {
            true => Err(Error::Other(shown(&self.plugins.join(self.name())))),
            false => Ok(()),
        }
    }

    /// Takes it in: copies it if it lies elsewhere, in place of what is there, and notes what was accepted; `own`: whatever
    /// will be in its folder.
    ///
    /// # Errors
    /// If the system refuses, or if it has changed since it was offered.
    pub fn accept(self, own: bool) -> Result<(), Error> {
        let place = self.plugins.join(self.name());
        let says = |error: io::Error| Error::Io(shown(&place), error);
        std::fs::create_dir_all(&self.plugins).map_err(says)?;
        let mut pins = pins(&self.plugins)?;
        let new = self.plugins.join(format!(".{}.new", self.name()));
        let accepted = match self.copies {
            true => {
                remove(&new).map_err(says)?;
                copy(&self.from, &new, &self.content).map_err(says)?;
                Content::read(&new)
            }
            false => Content::read(&self.from),
        };
        if accepted.as_ref() != Ok(&self.content) {
            remove(&new).map_err(says)?;
            return Err(Error::NoPlugin(
                shown(&self.from),
                "it changed while you looked at it".to_owned(),
            ));
        }
        if self.copies {
            let old = self.plugins.join(format!(".{}.old", self.name()));
            remove(&old).map_err(says)?;
            if place.exists() {
                std::fs::rename(&place, &old).map_err(says)?;
            }
            std::fs::rename(&new, &place).map_err(says)?;
            remove(&old).map_err(says)?;
        }
        let pin = if own { Pin::OWN } else { Pin::of(&self.content) };
        pins.0.insert(self.name().to_owned(), pin);
        pins.write(&self.plugins).map_err(says)
    }
}

fn remove(folder: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn copy(from: &Path, to: &Path, content: &Content) -> io::Result<()> {
    for name in content.files() {
        let file = to.join(name);
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::copy(from.join(name), file)?;
    }
    Ok(())
}

/// A plugin as `wharf plugin list` shows it.
#[derive(Debug)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// As its author counts; empty if its manifest cannot be read.
    pub version: String,
    /// How it stands, in words.
    pub stands: String,
}

/// All plugins that lie in the folder, were added, or are named in the configuration.
///
/// # Errors
/// If what was accepted cannot be read.
pub fn list(scripts: &Scripts) -> Result<Vec<Listed>, Error> {
    let pins = pins(&scripts.plugins)?;
    let mut names: Vec<String> = pins.0.keys().chain(&scripts.enabled).cloned().collect();
    for entry in std::fs::read_dir(&scripts.plugins).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_name(&name) && entry.path().join("plugin.toml").is_file() {
            names.push(name);
        }
    }
    names.sort();
    names.dedup();
    Ok(names.into_iter().map(|name| listed(name, &pins, scripts)).collect())
}

fn listed(name: String, pins: &Pins, scripts: &Scripts) -> Listed {
    let folder = scripts.plugins.join(&name);
    let manifest = read(&folder.join("plugin.toml")).ok();
    let manifest = manifest.and_then(|text| Manifest::parse(&text, &name).ok());
    let command = format!("`wharf plugin add {}`", shown(&folder));
    let mut stands = match (pins.0.get(&name), Content::read(&folder)) {
        _ if !folder.is_dir() => "its folder is not there".to_owned(),
        (None, _) => format!("not added, so it does not run; run {command} to see what it may do and let it run"),
        (Some(Pin::Own { .. }), _) => "your own: what you change is in force at once".to_owned(),
        (Some(_), Err(error)) => error,
        (Some(pin), Ok(content)) => match pin.changes(&content) {
            changes if changes.is_empty() => "as it was added".to_owned(),
            changes => format!(
                "changed since it was added: {}; run {command} to look at it and accept it",
                named(&changes)
            ),
        },
    };
    if !scripts.enabled.contains(&name) {
        stands.push_str(&format!("; [plugins.{name}] in config.toml would turn it on"));
    }
    Listed {
        version: manifest.map(|manifest| manifest.version).unwrap_or_default(),
        name,
        stands,
    }
}

/// Takes back that a plugin may run. Its folder is left.
///
/// # Errors
/// If it was not added, or if the system refuses.
pub fn remove_pin(name: &str, scripts: &Scripts) -> Result<(), Error> {
    let mut pins = pins(&scripts.plugins)?;
    if pins.0.remove(name).is_none() {
        return Err(Error::Unknown(name.to_owned()));
    }
    pins.write(&scripts.plugins)
        .map_err(|error| Error::Io(shown(&scripts.plugins.join(FILE)), error))
}
