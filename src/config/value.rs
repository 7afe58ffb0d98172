//! Values with a unit, as people write them: durations, sizes, secrets by reference.
//!
//! In: TOML scalars. Out: typed values; the parser adds file and line to the error. Reads the environment and secret files
//! only through [`SecretText::resolve`].

use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};

use super::resolved::Secret;

/// A duration such as `"30s"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span(pub(super) Duration);

/// A size such as `"64MiB"`, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size(pub(super) u64);

/// A rate such as `"50/s"`: how many, and in which time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate(pub(super) u32, pub(super) Duration);

/// A secret as written: literal, `env:NAME` or `file:/path`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(super) struct SecretText(String);

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl SecretText {
    /// The secret's value; the error does not contain it.
    pub(super) fn resolve(&self) -> Result<Secret, String> {
        if let Some(name) = self.0.strip_prefix("env:") {
            #[allow(
                clippy::disallowed_methods,
                reason = "the configuration is the place that reads the environment"
            )]
            return std::env::var(name)
                .map(|text| Secret::new(text.trim().to_owned()))
                .map_err(|_| format!("the environment variable {name} is not set"));
        }
        let Some(path) = self.0.strip_prefix("file:") else {
            return Ok(Secret::new(self.0.clone()));
        };
        refuse_open_file(Path::new(path))?;
        std::fs::read_to_string(path)
            .map(|text| Secret::new(text.trim().to_owned()))
            .map_err(|error| format!("cannot read the secret file {path}: {error}"))
    }
}

/// A secret that others may read is none.
fn refuse_open_file(path: &Path) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path)
        .map_err(|error| format!("cannot read the secret file {}: {error}", path.display()))?
        .permissions()
        .mode();
    if mode & 0o077 == 0 {
        Ok(())
    } else {
        Err(format!(
            "the secret file {0} can be read by others; run `chmod 600 {0}`",
            path.display()
        ))
    }
}

const SPANS: &[(&str, u64)] = &[
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

const SIZES: &[(&str, u64)] = &[
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
];

/// Splits `"30s"` into number and unit and multiplies; decimals are allowed (`"1.5s"`).
fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(split);
    let number: f64 = number.parse().ok()?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim())?;
    let value = number * *factor as f64;
    // Beyond 2^53 a float is not exact, and no setting is that large.
    (value.is_finite() && value < 9.0e15).then_some(value as u64)
}

/// Reads a duration as people write it; scripts use the same spelling.
///
/// # Errors
/// `None` for anything but a number and one of `ms`, `s`, `m`, `h`, `d`.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    with_unit(text, SPANS).map(Duration::from_millis)
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Span;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as \"30s\", \"500ms\" or \"2h\"")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
                parse_duration(text)
                    .map(Span)
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        from.deserialize_str(Text)
    }
}

/// Reads `"50/s"`, `"100/m"`, `"1000/h"`.
fn parse_rate(text: &str) -> Option<Rate> {
    let (count, unit) = text.split_once('/')?;
    let count = count.trim().parse().ok().filter(|count| *count > 0)?;
    let seconds = match unit.trim() {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return None,
    };
    Some(Rate(count, Duration::from_secs(seconds)))
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Rate;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a rate such as \"50/s\", \"100/m\" or \"1000/h\"")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Rate, E> {
                parse_rate(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        from.deserialize_str(Text)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Size;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as \"64MiB\" or \"10MB\"")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
                with_unit(text, SIZES)
                    .map(Size)
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        from.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_read_as_people_write_them() {
        assert_eq!(parse_duration("50ms"), Some(Duration::from_millis(50)));
        assert_eq!(parse_duration("1.5s"), Some(Duration::from_millis(1500)));
        assert_eq!(parse_duration("3d"), Some(Duration::from_secs(259_200)));
        for wrong in ["", "5", "s", "5 weeks", "-3s", "1e9999s"] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
        assert_eq!(parse_rate("50/s"), Some(Rate(50, Duration::from_secs(1))));
        assert_eq!(parse_rate("100 / m"), Some(Rate(100, Duration::from_secs(60))));
        for wrong in ["", "50", "0/s", "-1/s", "1.5/s", "5/d", "/s"] {
            assert_eq!(parse_rate(wrong), None, "{wrong}");
        }
        assert_eq!(with_unit("64MiB", SIZES), Some(64 << 20));
        assert_eq!(with_unit("10MB", SIZES), Some(10_000_000));
    }

    #[test]
    fn a_secret_file_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "hush\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let text = SecretText(format!("file:{}", path.display()));
        assert!(text.resolve().unwrap_err().contains("chmod 600"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(text.resolve().unwrap().reveal(), "hush");
    }
}
