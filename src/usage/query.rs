//! A usage query: a number of days, a time zone, and the columns that rows are grouped by.
//!
//! Parses the values of both the command line and the HTTP parameters, so that they agree.
//! Invariant: no clock; the caller passes the time. A time zone is an offset, without a database.

use std::ops::RangeInclusive;

use jiff::Timestamp;

/// The default number of days.
pub(crate) const DEFAULT_DAYS: u32 = 30;

/// This many days or more: all.
pub(crate) const MAX_DAYS: u32 = 3650;

/// The largest offset of a time zone from UTC. In use are -12:00 to +14:00.
const MAX_OFFSET_MINUTES: i32 = 18 * 60;

const DAY_MS: i64 = 86_400_000;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Query {
    /// Today and the days before it, from 1 to [`MAX_DAYS`].
    pub(crate) days: u32,
    pub(crate) zone: Zone,
    pub(crate) by: By,
}

impl Default for Query {
    fn default() -> Query {
        let by = By { day: true, ..By::default() };
        Query { days: DEFAULT_DAYS, zone: Zone::default(), by }
    }
}

/// A time zone, by its offset from UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Zone {
    minutes: i32,
}

/// The columns that rows are grouped by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct By {
    pub(crate) day: bool,
    pub(crate) project: bool,
    pub(crate) model: bool,
    pub(crate) session: bool,
}

/// A day, counted from 1970-01-01.
pub(super) type Day = i64;

impl Query {
    /// Returns the requested days; absent if all are.
    pub(super) fn range(&self, now: Timestamp) -> Option<RangeInclusive<Day>> {
        let today = self.zone.day(now.as_millisecond());
        (self.days < MAX_DAYS).then(|| today + 1 - Day::from(self.days)..=today)
    }
}

/// Parses a number of days, clamped to [`MAX_DAYS`].
pub(crate) fn days(text: &str) -> Result<u32, &'static str> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // More digits than fit mean more days than there are.
    let days = text.parse().unwrap_or(MAX_DAYS);
    if !is_number || days == 0 {
        return Err("a number of days, 1 or more; 3650 for all");
    }
    Ok(days.min(MAX_DAYS))
}

impl Zone {
    /// Parses `UTC`, `Z` or an offset such as `+02:00`.
    pub(crate) fn parse(text: &str) -> Result<Zone, &'static str> {
        if matches!(text, "UTC" | "Z") {
            return Ok(Zone::default());
        }
        Zone::offset(text).ok_or("`UTC` or an offset such as `+02:00`")
    }

    fn offset(text: &str) -> Option<Zone> {
        let digits = text.strip_prefix(['+', '-'])?;
        let (hours, minutes) = digits.split_once(':')?;
        let number = |text: &str| {
            let is_number = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
            if is_number { text.parse::<i32>().ok() } else { None }
        };
        let minutes = number(hours)? * 60 + number(minutes).filter(|minutes| *minutes < 60)?;
        let sign = if text.starts_with('-') { -1 } else { 1 };
        (minutes <= MAX_OFFSET_MINUTES).then_some(Zone { minutes: sign * minutes })
    }

    /// Returns `UTC`, or the offset as [`Zone::parse`] takes it.
    pub(crate) fn name(self) -> String {
        let (hours, minutes) = (self.minutes.abs() / 60, self.minutes.abs() % 60);
        match self.minutes {
            0 => "UTC".to_owned(),
            1.. => format!("+{hours:02}:{minutes:02}"),
            _ => format!("-{hours:02}:{minutes:02}"),
        }
    }

    /// Returns the day of a time.
    pub(super) fn day(self, ms: i64) -> Day {
        ms.saturating_add(i64::from(self.minutes) * 60_000).div_euclid(DAY_MS)
    }
}

/// Returns a day as `2026-01-31`.
pub(super) fn print_day(day: Day) -> String {
    let start = Timestamp::from_millisecond(day.saturating_mul(DAY_MS)).unwrap_or(Timestamp::MAX);
    start.to_string()[..10].to_owned()
}

impl By {
    /// Parses names, separated by commas, in any order.
    pub(crate) fn parse(text: &str) -> Result<By, &'static str> {
        let mut by = By::default();
        for name in text.split(',') {
            let column = match name {
                "day" => &mut by.day,
                "project" => &mut by.project,
                "model" => &mut by.model,
                "session" => &mut by.session,
                _ => {
                    return Err("one or more of day, project, model, session, separated by commas");
                }
            };
            *column = true;
        }
        Ok(by)
    }

    /// Returns the names of the columns that are set.
    pub(crate) fn names(self) -> Vec<&'static str> {
        let columns = [
            ("day", self.day),
            ("project", self.project),
            ("model", self.model),
            ("session", self.session),
        ];
        columns.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_one_or_more() {
        assert_eq!([days("1"), days("30"), days("3651")], [Ok(1), Ok(30), Ok(MAX_DAYS)]);
        assert_eq!(days("99999999999999999999"), Ok(MAX_DAYS));
        for bad in ["", "0", "00", "-1", "+1", "1.5", "x", " 1"] {
            assert_eq!(days(bad), Err("a number of days, 1 or more; 3650 for all"), "{bad}");
        }
    }

    #[test]
    fn a_zone_is_an_offset() {
        for name in ["UTC", "+02:00", "-05:30", "+14:00", "-12:00", "+05:45"] {
            assert_eq!(Zone::parse(name).map(Zone::name).as_deref(), Ok(name));
        }
        assert_eq!(Zone::parse("Z"), Ok(Zone::default()));
        assert_eq!(Zone::parse("-00:00").map(Zone::name).as_deref(), Ok("UTC"));
        for bad in
            ["", "2", "+2:00", "+02:60", "+0200", "02:00", "+19:00", "Europe/Berlin", "+é:00"]
        {
            assert_eq!(Zone::parse(bad), Err("`UTC` or an offset such as `+02:00`"), "{bad}");
        }
    }

    #[test]
    fn a_day_begins_at_midnight_of_its_zone() {
        let ms = |text: &str| text.parse::<Timestamp>().unwrap().as_millisecond();
        let day = |zone, time| print_day(Zone::parse(zone).unwrap().day(ms(time)));
        assert_eq!(day("UTC", "2026-03-01T00:00:00Z"), "2026-03-01");
        assert_eq!(day("UTC", "2026-02-28T23:59:59.999Z"), "2026-02-28");
        assert_eq!(day("+02:00", "2026-02-28T22:00:00Z"), "2026-03-01");
        assert_eq!(day("-05:30", "2026-03-01T05:29:59Z"), "2026-02-28");
        assert_eq!(day("UTC", "1969-12-31T23:00:00Z"), "1969-12-31");
    }

    #[test]
    fn the_days_end_today() {
        let now = "2026-03-01T23:30:00Z".parse().unwrap();
        let range = |days, zone| {
            let query = Query { days, zone: Zone::parse(zone).unwrap(), ..Query::default() };
            query.range(now).map(|days| [*days.start(), *days.end()].map(print_day))
        };
        let days = |first: &str, last: &str| Some([first.to_owned(), last.to_owned()]);
        assert_eq!(range(1, "UTC"), days("2026-03-01", "2026-03-01"));
        assert_eq!(range(1, "+01:00"), days("2026-03-02", "2026-03-02"));
        assert_eq!(range(30, "UTC"), days("2026-01-31", "2026-03-01"));
        assert_eq!(range(MAX_DAYS, "UTC"), None);
    }

    #[test]
    fn columns_are_named_in_any_order() {
        let names = |text| By::parse(text).map(By::names);
        assert_eq!(names("day"), Ok(vec!["day"]));
        assert_eq!(names("session,day,session"), Ok(vec!["day", "session"]));
        for bad in ["", "day,", "days", "Day", "day session"] {
            assert!(names(bad).is_err_and(|expected| expected.starts_with("one or more")), "{bad}");
        }
    }
}
