//! Functions of a time in seconds since the Unix epoch, by name. All is UTC, in the proleptic Gregorian calendar.

use crate::calendar::{DAY, Date};

/// A row of the table.
pub(super) struct TimeFunction {
    /// Name in PromQL.
    pub(super) name: &'static str,
    /// What it does with a time in seconds.
    pub(super) kernel: fn(f64) -> f64,
}

/// All functions, by name.
pub(super) static TIME_FUNCTIONS: &[TimeFunction] = &[
    TimeFunction { name: "day_of_month", kernel: |time| Date::of(seconds(time)).day as f64 },
    TimeFunction { name: "day_of_week", kernel: |time| (seconds(time).div_euclid(DAY) + 4).rem_euclid(7) as f64 },
    TimeFunction { name: "day_of_year", kernel: |time| Date::of(seconds(time)).day_of_year() as f64 },
    TimeFunction { name: "days_in_month", kernel: |time| Date::of(seconds(time)).days_in_month() as f64 },
    TimeFunction { name: "hour", kernel: |time| (seconds(time).rem_euclid(DAY) / 3600) as f64 },
    TimeFunction { name: "minute", kernel: |time| (seconds(time).rem_euclid(3600) / 60) as f64 },
    TimeFunction { name: "month", kernel: |time| Date::of(seconds(time)).month as f64 },
    TimeFunction { name: "year", kernel: |time| Date::of(seconds(time)).year as f64 },
];

/// The function of this name.
pub(super) fn find(name: &str) -> Option<fn(f64) -> f64> {
    TIME_FUNCTIONS.iter().find(|function| function.name == name).map(|function| function.kernel)
}

/// Whole seconds, towards zero. What no int64 can hold, NaN too, becomes a time at the end of the world, where Go's calendar
/// on amd64 puts it as well: `year(vector(NaN))` is 292277026596.
fn seconds(time: f64) -> i64 {
    if (i64::MIN as f64..i64::MAX as f64).contains(&time) { time as i64 } else { i64::MAX }
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

    /// What is no time gives some number, and no panic.
    #[test]
    fn what_is_no_time_gives_something() {
        for time in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, -1e300, 9.3e18, -9.2e18] {
            assert!(TIME_FUNCTIONS.iter().all(|function| (function.kernel)(time).is_finite()), "{time}");
        }
    }
}
