//! Times of day on screen: in the zone of this machine or in UTC, always with their offset. Files keep UTC.

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};

/// Zone of the times on screen: `clock` of the user's configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clock {
    /// The zone of this machine.
    #[default]
    Local,
    /// UTC.
    Utc,
}

impl Clock {
    /// The names in the configuration.
    pub const NAMES: [&str; 2] = ["local", "utc"];

    /// The value of a name.
    pub fn named(name: &str) -> Option<Self> {
        let at = Self::NAMES.iter().position(|known| *known == name)?;
        Some([Self::Local, Self::Utc][at])
    }

    /// Its name in the configuration.
    pub const fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// The zone, where `local` is that of this machine.
    pub(crate) fn zone(self, local: &TimeZone) -> TimeZone {
        match self {
            Self::Local => local.clone(),
            Self::Utc => TimeZone::UTC,
        }
    }
}

/// The offset of a zone at an RFC 3339 time; zero for other text.
pub(crate) fn offset_at(ts: &str, zone: &TimeZone) -> Offset {
    ts.parse::<Timestamp>().map_or(Offset::UTC, |at| zone.to_offset(at))
}

/// `UTC`, `UTC+2`, `UTC-3:30`.
pub(crate) fn offset_label(offset: Offset) -> String {
    let seconds = offset.seconds();
    let sign = if seconds < 0 { '-' } else { '+' };
    match (seconds.abs() / 3_600, seconds.abs() % 3_600 / 60) {
        (0, 0) => "UTC".to_owned(),
        (hours, 0) => format!("UTC{sign}{hours}"),
        (hours, minutes) => format!("UTC{sign}{hours}:{minutes:02}"),
    }
}

/// `11:38:12`: the time of day of an RFC 3339 time at an offset; other text unchanged.
pub(crate) fn time_of_day(ts: &str, offset: Offset) -> String {
    ts.parse::<Timestamp>().map_or_else(|_| ts.to_owned(), |at| offset.to_datetime(at).strftime("%H:%M:%S").to_string())
}

/// `2026-03-01 11:38:12 UTC+2` of an RFC 3339 time; in UTC, and for other text, the text itself.
pub(crate) fn date_time(ts: &str, zone: &TimeZone) -> String {
    match ts.parse::<Timestamp>() {
        Ok(at) if *zone != TimeZone::UTC => {
            let offset = zone.to_offset(at);
            format!("{} {}", offset.to_datetime(at).strftime("%Y-%m-%d %H:%M:%S"), offset_label(offset))
        }
        _ => ts.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_offset_of_their_zone() {
        let india = TimeZone::fixed(Offset::from_seconds(19_800).unwrap());
        let ts = "2026-03-01T21:38:12.345Z";
        let offset = offset_at(ts, &india);
        assert_eq!((time_of_day(ts, offset).as_str(), offset_label(offset).as_str()), ("03:08:12", "UTC+5:30"));
        assert_eq!(date_time(ts, &india), "2026-03-02 03:08:12 UTC+5:30", "the date is that of the zone, too");
        assert_eq!(date_time(ts, &TimeZone::UTC), ts);
        assert_eq!(offset_label(Offset::from_seconds(-12_600).unwrap()), "UTC-3:30");
        assert_eq!(offset_label(Offset::from_seconds(7_200).unwrap()), "UTC+2");
        assert_eq!((date_time("–", &india), time_of_day("–", offset)), ("–".into(), "–".into()));
    }

    #[test]
    fn the_offset_follows_summer_time() {
        let rule = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        assert_eq!(date_time("2026-07-01T12:00:00Z", &rule), "2026-07-01 14:00:00 UTC+2");
        assert_eq!(date_time("2026-12-01T12:00:00Z", &rule), "2026-12-01 13:00:00 UTC+1");
    }
}
