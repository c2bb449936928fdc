//! `strftime` for templates that tell the model the date.

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// A moment, and how far the local clock is ahead of UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalTime {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub unix_seconds: i64,
    /// Minutes that the local clock is ahead of UTC: `-new Date().getTimezoneOffset()` in JavaScript.
    pub utc_offset_minutes: i32,
}

impl LocalTime {
    /// The current time in UTC: the standard library knows no time zones.
    pub(super) fn now_utc() -> Self {
        let unix_seconds = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |elapsed| i64::try_from(elapsed.as_secs()).unwrap_or(0));
        Self { unix_seconds, utc_offset_minutes: 0 }
    }

    /// Formats the local time in the C locale. Directives that are not known stay as they are.
    pub(super) fn format(self, format: &str) -> String {
        let fields = Fields::of(self);
        let mut out = String::with_capacity(format.len() * 2);
        let mut characters = format.chars();
        while let Some(character) = characters.next() {
            if character != '%' {
                out.push(character);
                continue;
            }
            match characters.next() {
                // `%-d` is `%d` without padding.
                Some('-') => match characters.next() {
                    Some(directive) => {
                        let mut padded = String::new();
                        fields.write(&mut padded, directive);
                        let number = padded.trim_start_matches('0');
                        out.push_str(if number.is_empty() { "0" } else { number });
                    }
                    None => out.push_str("%-"),
                },
                Some(directive) => fields.write(&mut out, directive),
                None => out.push('%'),
            }
        }
        out
    }
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

struct Fields {
    year: i64,
    /// From 0.
    month: usize,
    day: i64,
    /// From 0 on Sunday.
    weekday: usize,
    /// From 1.
    day_of_year: i64,
    hour: i64,
    minute: i64,
    second: i64,
    unix_seconds: i64,
    utc_offset_minutes: i32,
}

impl Fields {
    fn of(time: LocalTime) -> Self {
        // Years beyond four digits are no dates that a template could mean; the clamp keeps the arithmetic in range.
        let local = time
            .unix_seconds
            .saturating_add(i64::from(time.utc_offset_minutes) * 60)
            .clamp(-62_135_596_800, 253_402_300_799);
        let (days, seconds) = (local.div_euclid(86_400), local.rem_euclid(86_400));
        // Days to civil date: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms". Years start in March here.
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_from_march = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_from_march + 2) / 153;
        let day = day_from_march - (153 * month_from_march + 2) / 5 + 1;
        let month = (month_from_march + 2) % 12;
        let year = year_of_era + era * 400 + i64::from(month < 2);
        let leap = i64::from(year % 4 == 0 && (year % 100 != 0 || year % 400 == 0));
        // 1 March is day 60, or 61 in leap years.
        let day_of_year = if month < 2 { day_from_march - 305 } else { day_from_march + 60 + leap };
        let index = |value: i64| usize::try_from(value).unwrap_or(0);
        Self {
            year,
            month: index(month),
            day,
            weekday: index((days + 4).rem_euclid(7)),
            day_of_year,
            hour: seconds / 3600,
            minute: seconds / 60 % 60,
            second: seconds % 60,
            unix_seconds: time.unix_seconds,
            utc_offset_minutes: time.utc_offset_minutes,
        }
    }

    fn write(&self, out: &mut String, directive: char) {
        let half_day = if self.hour % 12 == 0 { 12 } else { self.hour % 12 };
        let composed = |out: &mut String, directives: &str| {
            for directive in directives.chars() {
                if directive.is_ascii_alphabetic() {
                    self.write(out, directive);
                } else {
                    out.push(directive);
                }
            }
        };
        // Writing to a string cannot fail.
        let _ = match directive {
            'Y' => write!(out, "{:04}", self.year),
            'y' => write!(out, "{:02}", self.year % 100),
            'm' => write!(out, "{:02}", self.month + 1),
            'B' => write!(out, "{}", MONTHS[self.month]),
            'b' | 'h' => write!(out, "{:.3}", MONTHS[self.month]),
            'd' => write!(out, "{:02}", self.day),
            'e' => write!(out, "{:2}", self.day),
            'j' => write!(out, "{:03}", self.day_of_year),
            'A' => write!(out, "{}", WEEKDAYS[self.weekday]),
            'a' => write!(out, "{:.3}", WEEKDAYS[self.weekday]),
            'w' => write!(out, "{}", self.weekday),
            'u' => write!(out, "{}", if self.weekday == 0 { 7 } else { self.weekday }),
            'H' => write!(out, "{:02}", self.hour),
            'I' => write!(out, "{half_day:02}"),
            'M' => write!(out, "{:02}", self.minute),
            'S' => write!(out, "{:02}", self.second),
            'p' => write!(out, "{}", if self.hour < 12 { "AM" } else { "PM" }),
            's' => write!(out, "{}", self.unix_seconds),
            'z' => {
                let (sign, ahead) = (
                    if self.utc_offset_minutes < 0 { '-' } else { '+' },
                    self.utc_offset_minutes.unsigned_abs(),
                );
                write!(out, "{sign}{:02}{:02}", ahead / 60, ahead % 60)
            }
            'Z' if self.utc_offset_minutes == 0 => write!(out, "UTC"),
            // A naive Python datetime has no name for its zone either.
            'Z' => Ok(()),
            'F' => return composed(out, "Y-m-d"),
            'T' | 'X' => return composed(out, "H:M:S"),
            'R' => return composed(out, "H:M"),
            'D' | 'x' => return composed(out, "m/d/y"),
            'c' => return composed(out, "a b e H:M:S Y"),
            '%' => write!(out, "%"),
            'n' => writeln!(out),
            't' => write!(out, "\t"),
            other => write!(out, "%{other}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(unix_seconds: i64, utc_offset_minutes: i32, format: &str) -> String {
        LocalTime { unix_seconds, utc_offset_minutes }.format(format)
    }

    /// Expected values from Python's `datetime.strftime`.
    #[test]
    fn dates_are_those_of_python() {
        let all = "%Y-%m-%d %H:%M:%S %j %A %a %B %b %d %-d %-m %y %I %p %w %u %%";
        assert_eq!(
            format(0, 0, all),
            "1970-01-01 00:00:00 001 Thursday Thu January Jan 01 1 1 70 12 AM 4 4 %"
        );
        assert_eq!(
            format(951_782_400, 0, all),
            "2000-02-29 00:00:00 060 Tuesday Tue February Feb 29 29 2 00 12 AM 2 2 %"
        );
        assert_eq!(
            format(1_735_689_599, 0, all),
            "2024-12-31 23:59:59 366 Tuesday Tue December Dec 31 31 12 24 11 PM 2 2 %"
        );
        assert_eq!(
            format(1_740_787_200, 0, all),
            "2025-03-01 00:00:00 060 Saturday Sat March Mar 01 1 3 25 12 AM 6 6 %"
        );
        assert_eq!(
            format(0, -90, "%F %T %z|%c"),
            "1969-12-31 22:30:00 -0130|Wed Dec 31 22:30:00 1969"
        );
        assert_eq!(format(0, 60, "%R%Z%q%"), "01:00%q%");
    }

    #[test]
    fn no_moment_is_out_of_range() {
        for unix_seconds in [i64::MIN, i64::MAX, -1, 253_402_300_799] {
            assert!(!format(unix_seconds, i32::MAX, "%c").is_empty());
        }
    }
}
