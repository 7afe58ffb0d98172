//! Cron patterns in a time zone.
//!
//! In: a pattern such as `0 9 * * 1-5`. Out: the next time that it names. Must not keep a clock.

use std::cmp::Ordering;

use croner::errors::CronError;
use croner::time::{CivilDateTime, CronDateTime, Resolution, Weekday};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp, ZonedDateTime};

/// Bytes that a pattern may have.
const MAX_PATTERN: usize = 256;

/// A pattern and its zone.
#[derive(Clone)]
pub(crate) struct Cron {
    pattern: croner::Cron,
    zone: TimeZone,
}

impl Cron {
    /// Reads a pattern of five fields (minute, hour, day, month, weekday), or six with the second in front.
    ///
    /// # Errors
    /// A sentence.
    pub(crate) fn parse(text: &str, zone: TimeZone) -> Result<Self, String> {
        if text.len() > MAX_PATTERN {
            return Err(format!("a cron pattern has at most {MAX_PATTERN} bytes"));
        }
        let pattern = text
            .parse()
            .map_err(|error: CronError| format!("'{text}' is not a cron pattern: {error}"))?;
        Ok(Self { pattern, zone })
    }

    /// The first time after `ms` that it names, in milliseconds since 1970; `None` if there is none.
    pub(crate) fn after(&self, ms: i64) -> Option<i64> {
        let now = Timestamp::from_millisecond(ms)
            .ok()?
            .to_zoned_datetime(self.zone.clone());
        let next = self.pattern.find_next_occurrence(&Moment(now), false).ok()?;
        Some(next.0.timestamp().as_millisecond())
    }
}

/// A time with its zone, as the search needs it.
#[derive(Clone)]
struct Moment(ZonedDateTime);

impl CronDateTime for Moment {
    fn to_civil(&self) -> CivilDateTime {
        let at = self.0.datetime();
        let part = |part: i8| part.unsigned_abs().into();
        // Of a time that the calendar has, every part is in its range.
        CivilDateTime::from_ymd_hms_opt(
            at.year().into(),
            part(at.month()),
            part(at.day()),
            part(at.hour()),
            part(at.minute()),
            part(at.second()),
        )
        .unwrap_or_else(|| {
            CivilDateTime::new(
                croner::time::CivilDate::from_parts_unchecked(1970, 1, 1),
                croner::time::CivilTime::from_parts_unchecked(0, 0, 0),
            )
        })
    }

    fn civil_weekday(&self) -> Weekday {
        let days = self.0.weekday().to_sunday_zero_offset();
        Weekday::from_days_from_sunday(days.unsigned_abs().into())
    }

    fn resolve_civil(&self, civil: CivilDateTime) -> Result<Resolution<Self>, CronError> {
        let part = |part: u32| i8::try_from(part).map_err(|_| CronError::InvalidDate);
        let year = i16::try_from(civil.year()).map_err(|_| CronError::InvalidDate)?;
        let at = DateTime::new(
            year,
            part(civil.month())?,
            part(civil.day())?,
            part(civil.hour())?,
            part(civil.minute())?,
            part(civil.second())?,
            0,
        )
        .map_err(|_| CronError::InvalidDate)?;
        let found = self.0.time_zone().to_ambiguous_zoned_datetime(at);
        let wrong = |_| CronError::InvalidTime;
        Ok(match found.offset() {
            AmbiguousOffset::Unambiguous { .. } => Resolution::Single(Moment(found.unambiguous().map_err(wrong)?)),
            AmbiguousOffset::Fold { .. } => Resolution::Ambiguous(
                Moment(found.clone().earlier().map_err(wrong)?),
                Moment(found.later().map_err(wrong)?),
            ),
            AmbiguousOffset::Gap { .. } => Resolution::Gap,
        })
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Self> {
        self.0.checked_add(SignedDuration::from_secs(seconds)).ok().map(Moment)
    }

    fn cmp_instant(&self, other: &Self) -> Ordering {
        self.0.timestamp().cmp(&other.0.timestamp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(pattern: &str, from: &str) -> String {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let from: Timestamp = from.parse().unwrap();
        let next = Cron::parse(pattern, zone).unwrap().after(from.as_millisecond());
        Timestamp::from_millisecond(next.unwrap()).unwrap().to_string()
    }

    #[test]
    fn a_pattern_is_of_its_zone_also_when_the_clocks_change() {
        // A Friday: the next working day is Monday.
        assert_eq!(next("0 9 * * 1-5", "2026-01-09T08:00:00Z"), "2026-01-12T08:00:00Z");
        assert_eq!(next("0 9 * * 1-5", "2026-07-10T07:00:00Z"), "2026-07-13T07:00:00Z");
        // Half past two does not exist on the night of the change to summer time.
        let night = next("30 2 * * *", "2026-03-28T12:00:00Z");
        assert!(
            night.starts_with("2026-03-29T01:00") || night.starts_with("2026-03-30T00:30"),
            "{night}"
        );
    }

    #[test]
    fn what_is_no_pattern_and_what_never_comes_is_told() {
        assert!(
            Cron::parse("0 25 * * *", TimeZone::UTC)
                .is_err_and(|error| error.contains("'0 25 * * *' is not a cron pattern"))
        );
        assert_eq!(
            Cron::parse("0 0 30 2 *", TimeZone::UTC)
                .ok()
                .and_then(|cron| cron.after(0)),
            None
        );
    }
}
