//! Functions of a time in seconds since the Unix epoch, by name. All is UTC, in the proleptic Gregorian calendar.

use masthead_store::Millis;

/// A row of the table.
pub(super) struct TimeFunction {
    /// Name in PromQL.
    pub(super) name: &'static str,
    /// What it does with a time in seconds.
    pub(super) kernel: fn(f64) -> f64,
}

/// All functions, by name.
pub(super) static TIME_FUNCTIONS: &[TimeFunction] = &[
    TimeFunction { name: "day_of_month", kernel: |time| Civil::of(seconds(time)).day as f64 },
    TimeFunction { name: "day_of_week", kernel: |time| (seconds(time).div_euclid(DAY) + 4).rem_euclid(7) as f64 },
    TimeFunction { name: "day_of_year", kernel: |time| Civil::of(seconds(time)).day_of_year() as f64 },
    TimeFunction { name: "days_in_month", kernel: |time| Civil::of(seconds(time)).days_in_month() as f64 },
    TimeFunction { name: "hour", kernel: |time| (seconds(time).rem_euclid(DAY) / 3600) as f64 },
    TimeFunction { name: "minute", kernel: |time| (seconds(time).rem_euclid(3600) / 60) as f64 },
    TimeFunction { name: "month", kernel: |time| Civil::of(seconds(time)).month as f64 },
    TimeFunction { name: "year", kernel: |time| Civil::of(seconds(time)).year as f64 },
];

/// The function of this name.
pub(super) fn find(name: &str) -> Option<fn(f64) -> f64> {
    TIME_FUNCTIONS.iter().find(|function| function.name == name).map(|function| function.kernel)
}

const DAY: i64 = 86_400;

/// Whole seconds, towards zero. What no int64 can hold, NaN too, becomes a time at the end of the world, where Go's calendar
/// on amd64 puts it as well: `year(vector(NaN))` is 292277026596.
fn seconds(time: f64) -> i64 {
    if (i64::MIN as f64..i64::MAX as f64).contains(&time) { time as i64 } else { i64::MAX }
}

/// Seconds since the epoch of `millis`, as RFC 3339 in UTC. Division rounds towards zero, as Go's.
pub(super) fn rfc3339(millis: Millis) -> String {
    let seconds = millis / 1000;
    let (Civil { year, month, day }, rest) = (Civil::of(seconds), seconds.rem_euclid(DAY));
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

/// A day of the calendar.
struct Civil {
    year: i64,
    /// 1 to 12.
    month: i64,
    /// 1 to 31.
    day: i64,
}

/// Days before each month of a year that is no leap year.
const DAYS_BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];

impl Civil {
    /// The day that a time lies in. Years are counted from March, so that the leap day ends them.
    fn of(seconds: i64) -> Self {
        /// Days from 0000-03-01 to 1970-01-01.
        const TO_EPOCH: i64 = 719_468;
        const DAYS_OF_400_YEARS: i64 = 146_097;
        let days = seconds.div_euclid(DAY) + TO_EPOCH;
        let (cycle, day) = (days.div_euclid(DAYS_OF_400_YEARS), days.rem_euclid(DAYS_OF_400_YEARS));
        // Leap days before `day`: one in 4 years, none in 100, one in 400.
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day_of_year = day - (365 * year + year / 4 - year / 100);
        // Months from March on have 153 days in five.
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let late = month >= 10;
        Self { year: cycle * 400 + year + i64::from(late), month: if late { month - 9 } else { month + 3 }, day }
    }

    fn is_leap(&self) -> bool {
        self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0)
    }

    fn before_month(&self, month: i64) -> i64 {
        DAYS_BEFORE[(month - 1) as usize] + i64::from(self.is_leap() && month > 2)
    }

    fn day_of_year(&self) -> i64 {
        self.before_month(self.month) + self.day
    }

    fn days_in_month(&self) -> i64 {
        if self.month == 12 { 31 } else { self.before_month(self.month + 1) - self.before_month(self.month) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows: a time, then what the functions give in the order of the table (as `date -u` prints it).
    #[test]
    fn times_fall_on_the_right_days() {
        let rows: &[(f64, [f64; 8])] = &[
            (0.0, [1.0, 4.0, 1.0, 31.0, 0.0, 0.0, 1.0, 1970.0]),
            (-1.0, [31.0, 3.0, 365.0, 31.0, 23.0, 59.0, 12.0, 1969.0]),
            (-0.5, [1.0, 4.0, 1.0, 31.0, 0.0, 0.0, 1.0, 1970.0]),
            (951_827_696.9, [29.0, 2.0, 60.0, 29.0, 12.0, 34.0, 2.0, 2000.0]),
            (1_136_239_445.0, [2.0, 1.0, 2.0, 31.0, 22.0, 4.0, 1.0, 2006.0]),
            (1_230_768_000.0, [1.0, 4.0, 1.0, 31.0, 0.0, 0.0, 1.0, 2009.0]),
            (1_709_164_800.0, [29.0, 4.0, 60.0, 29.0, 0.0, 0.0, 2.0, 2024.0]),
            (1_735_689_599.0, [31.0, 2.0, 366.0, 31.0, 23.0, 59.0, 12.0, 2024.0]),
            (4_107_542_400.0, [1.0, 1.0, 60.0, 31.0, 0.0, 0.0, 3.0, 2100.0]),
            (-2_203_891_200.0, [1.0, 4.0, 60.0, 31.0, 0.0, 0.0, 3.0, 1900.0]),
            (-62_135_596_801.0, [31.0, 0.0, 366.0, 31.0, 23.0, 59.0, 12.0, 0.0]),
            (f64::NAN, [4.0, 0.0, 339.0, 31.0, 15.0, 30.0, 12.0, 292_277_026_596.0]),
            (-1e300, [4.0, 0.0, 339.0, 31.0, 15.0, 30.0, 12.0, 292_277_026_596.0]),
        ];
        for (time, expected) in rows {
            let got: Vec<f64> = TIME_FUNCTIONS.iter().map(|function| (function.kernel)(*time)).collect();
            assert_eq!(got, expected, "{time}");
        }
    }

    #[test]
    fn dates_print() {
        assert_eq!(rfc3339(1_700_001_693_000), "2023-11-14T22:41:33Z");
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(-86_400_000), "1969-12-31T00:00:00Z");
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut last = Civil::of(-800 * 365 * DAY);
        for day in -800 * 365 + 1..800 * 365 {
            let civil = Civil::of(day * DAY);
            let expected = match (last.day == last.days_in_month(), last.month) {
                (false, month) => (last.year, month, last.day + 1),
                (true, 12) => (last.year + 1, 1, 1),
                (true, month) => (last.year, month + 1, 1),
            };
            assert_eq!((civil.year, civil.month, civil.day), expected);
            last = civil;
        }
    }

    /// What is no time gives some number, and no panic.
    #[test]
    fn what_is_no_time_gives_something() {
        for time in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, -1e300, 9.3e18, -9.2e18] {
            assert!(TIME_FUNCTIONS.iter().all(|function| (function.kernel)(time).is_finite()), "{time}");
        }
    }
}
