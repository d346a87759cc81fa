//! Days of the proleptic Gregorian calendar, in UTC: for the functions of time in the language, and for times as text.

/// Seconds of a day.
pub(crate) const DAY: i64 = 86_400;

/// Days from 0000-03-01 to 1970-01-01.
const TO_EPOCH: i64 = 719_468;
const DAYS_OF_400_YEARS: i64 = 146_097;

/// Days before each month of a year that is no leap year.
const DAYS_BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];

/// A day of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Date {
    pub(crate) year: i64,
    /// 1 to 12.
    pub(crate) month: i64,
    /// 1 to 31.
    pub(crate) day: i64,
}

impl Date {
    /// The day in which a time lies, seconds since 1970. Years are counted from March, so that the leap day ends them.
    pub(crate) fn of(seconds: i64) -> Self {
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

    /// Where the day begins, seconds since 1970.
    pub(crate) fn seconds(&self) -> i64 {
        let year = self.year - i64::from(self.month <= 2);
        let (cycle, of_cycle) = (year.div_euclid(400), year.rem_euclid(400));
        let day_of_year = (153 * ((self.month + 9) % 12) + 2) / 5 + self.day - 1;
        let days = cycle * DAYS_OF_400_YEARS + of_cycle * 365 + of_cycle / 4 - of_cycle / 100 + day_of_year;
        (days - TO_EPOCH) * DAY
    }

    /// The number of the day within its year, from 1.
    pub(crate) fn day_of_year(&self) -> i64 {
        self.before_month(self.month) + self.day
    }

    /// Days of the month in which it lies.
    pub(crate) fn days_in_month(&self) -> i64 {
        if self.month == 12 { 31 } else { self.before_month(self.month + 1) - self.before_month(self.month) }
    }

    fn is_leap(&self) -> bool {
        self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0)
    }

    fn before_month(&self, month: i64) -> i64 {
        DAYS_BEFORE[(month - 1) as usize] + i64::from(self.is_leap() && month > 2)
    }
}

/// `2023-11-14T22:13:20Z`, of whole seconds since 1970; `fraction`, as `.123`, comes before the Z.
pub(crate) fn rfc3339(seconds: i64, fraction: &str) -> String {
    let Date { year, month, day } = Date::of(seconds);
    let rest = seconds.rem_euclid(DAY);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_follows_the_one_before() {
        let mut last = Date::of(-800 * 365 * DAY);
        for day in -800 * 365 + 1..800 * 365 {
            let date = Date::of(day * DAY);
            let expected = match (last.day == last.days_in_month(), last.month) {
                (false, month) => (last.year, month, last.day + 1),
                (true, 12) => (last.year + 1, 1, 1),
                (true, month) => (last.year, month + 1, 1),
            };
            assert_eq!((date.year, date.month, date.day), expected);
            assert_eq!(date.seconds(), day * DAY);
            last = date;
        }
    }

    #[test]
    fn times_print() {
        assert_eq!(rfc3339(1_700_001_693, ""), "2023-11-14T22:41:33Z");
        assert_eq!(rfc3339(1_709_164_800, ".007"), "2024-02-29T00:00:00.007Z");
        assert_eq!(rfc3339(-1, ".999"), "1969-12-31T23:59:59.999Z");
        assert_eq!(rfc3339(-86_400, ""), "1969-12-31T00:00:00Z");
    }
}
