//! Points in time and durations as API parameters carry them, with Go's arithmetic where it shows.

use std::cmp::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use masthead_store::Millis;
use masthead_store::facts::Moment;
use masthead_store::labels::quote;

use crate::calendar::{self, Date};
use crate::{duration, go_float};

/// Seconds between year 1, where Go's `time.Time` counts from, and 1970.
const GO_EPOCH: i64 = 62_135_596_800;
/// As Prometheus' API prints its earliest time (MinTime in web/api/v1/api.go).
const MIN_TEXT: &str = "-292273086-05-16T16:47:06Z";
/// As Prometheus' API prints its latest time.
const MAX_TEXT: &str = "292277025-08-18T07:12:54.999999999Z";

/// A point in time as Go's `time.Time` holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Time {
    /// Seconds since 1970.
    secs: i64,
    /// Nanoseconds, below 1e9.
    nanos: i64,
}

impl Time {
    /// Where an optional range starts (MinTime in web/api/v1/api.go).
    pub(crate) const MIN: Time = Time { secs: i64::MIN / 1000 + GO_EPOCH + 1, nanos: 0 };
    /// Where an optional range ends (MaxTime in web/api/v1/api.go).
    pub(crate) const MAX: Time = Time { secs: i64::MAX / 1000 - GO_EPOCH - 1, nanos: 999_999_999 };

    /// The time of a clock.
    pub(crate) fn from_clock(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self { secs: since.as_secs() as i64, nanos: i64::from(since.subsec_nanos()) }
    }

    /// The engine's ms: by way of int64 nanoseconds, so that times far outside wrap around (timeMilliseconds in
    /// promql/engine.go).
    pub(crate) fn engine_ms(self) -> Millis {
        self.secs.wrapping_mul(1_000_000_000).wrapping_add(self.nanos) / 1_000_000
    }

    /// The storage's ms (FromTime in model/timestamp).
    pub(crate) fn storage_ms(self) -> Millis {
        self.secs.wrapping_mul(1000).wrapping_add(self.nanos / 1_000_000)
    }

    /// Nanoseconds from `earlier` to this, cut at the ends of int64 as Go's `Sub` does.
    pub(crate) fn since(self, earlier: Time) -> i64 {
        let secs = |time: Time| i128::from(time.secs.wrapping_add(GO_EPOCH));
        let nanos = (secs(self) - secs(earlier)) * 1_000_000_000 + i128::from(self.nanos - earlier.nanos);
        nanos.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
    }
}

impl PartialOrd for Time {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// As Go compares: seconds since year 1, which wrap.
impl Ord for Time {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |t: &Time| (t.secs.wrapping_add(GO_EPOCH), t.nanos);
        key(self).cmp(&key(other))
    }
}

/// Parses float seconds, rounded to ms, or RFC 3339 (parseTime in web/api/v1/api.go).
pub(crate) fn parse_time(text: &str) -> Result<Time, String> {
    if let Ok(seconds) = go_float::parse(text) {
        let whole = seconds.trunc();
        let ms = ((seconds - whole) * 1000.0).round() / 1000.0;
        let nanos = go_int64(ms * 1e9);
        let secs = go_int64(whole).wrapping_add(nanos.div_euclid(1_000_000_000));
        return Ok(Time { secs, nanos: nanos.rem_euclid(1_000_000_000) });
    }
    if let Some(time) = parse_rfc3339(text) {
        return Ok(time);
    }
    match text.strip_prefix('+').unwrap_or(text) {
        MIN_TEXT => Ok(Time::MIN),
        MAX_TEXT => Ok(Time::MAX),
        _ => Err(format!("cannot parse {} to a valid timestamp", quote(text))),
    }
}

/// Parses float seconds or a Prometheus duration as ns (parseDuration in web/api/v1/api.go).
pub(crate) fn parse_duration(text: &str) -> Result<i64, String> {
    if let Ok(seconds) = go_float::parse(text) {
        let nanos = seconds * 1e9;
        if nanos > i64::MAX as f64 || nanos < i64::MIN as f64 {
            return Err(format!("cannot parse {} to a valid duration. It overflows int64", quote(text)));
        }
        return Ok(go_int64(nanos));
    }
    match duration::parse_ms(text) {
        Ok(ms) => Ok(ms as i64 * 1_000_000),
        Err(_) => Err(format!("cannot parse {} to a valid duration", quote(text))),
    }
}

/// Go's conversion of a float to int64 on amd64: what does not fit, NaN too, becomes the smallest number.
fn go_int64(value: f64) -> i64 {
    if value >= i64::MIN as f64 && value < i64::MAX as f64 { value as i64 } else { i64::MIN }
}

/// Parses `2023-11-14T22:13:20.5Z` and forms with an offset, as Go's `time.Parse(time.RFC3339Nano, ..)`, which takes an hour
/// of one digit.
fn parse_rfc3339(text: &str) -> Option<Time> {
    let padded;
    let bytes = match text.as_bytes() {
        bytes if bytes.get(12) == Some(&b':') => {
            padded = [&bytes[..11], b"0", &bytes[11..]].concat();
            &padded
        }
        bytes => bytes,
    };
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = bytes.get(from..to)?;
        digits.iter().all(u8::is_ascii_digit).then(|| digits.iter().fold(0, |n, d| n * 10 + i64::from(d - b'0')))
    };
    let is = |at: usize, c: u8| bytes.get(at) == Some(&c);
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !(is(4, b'-') && is(7, b'-') && is(10, b'T') && is(13, b':') && is(16, b':')) {
        return None;
    }
    if !(1..=12).contains(&month) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let date = Date { year, month, day };
    if !(1..=date.days_in_month()).contains(&day) {
        return None;
    }
    let mut at = 19;
    let mut nanos = 0;
    if is(at, b'.') || is(at, b',') {
        let digits = bytes[at + 1..].iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        nanos = (0..9).fold(0, |n, i| n * 10 + if i < digits { i64::from(bytes[at + 1 + i] - b'0') } else { 0 });
        at += 1 + digits;
    }
    let offset = match bytes.get(at)? {
        b'Z' if bytes.len() == at + 1 => 0,
        sign @ (b'+' | b'-') if bytes.len() == at + 6 && is(at + 3, b':') => {
            let (hours, minutes) = (number(at + 1, at + 3)?, number(at + 4, at + 6)?);
            if hours > 24 || minutes > 60 {
                return None;
            }
            (hours * 3600 + minutes * 60) * if *sign == b'+' { 1 } else { -1 }
        }
        _ => return None,
    };
    let secs = date.seconds() + hour * 3600 + minute * 60 + second - offset;
    Some(Time { secs, nanos })
}

/// `2023-11-14T22:13:20Z`, with ms where they are not 0.
pub fn rfc3339(time: SystemTime) -> String {
    let ms = match time.duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_millis() as i64,
        Err(before) => -(before.duration().as_millis() as i64),
    };
    rfc3339_ms(ms)
}

/// `2023-11-14T22:13:20Z` of ms since 1970, with ms where they are not 0.
pub fn rfc3339_ms(ms: Millis) -> String {
    let (secs, fraction) = (ms.div_euclid(1000), ms.rem_euclid(1000));
    let fraction = if fraction == 0 { String::new() } else { format!(".{fraction:03}") };
    calendar::rfc3339(secs, &fraction)
}

/// `2023-11-14T22:13:20.1234Z` of a moment, with as many decimals as it has.
pub(crate) fn rfc3339_nanos(moment: Moment) -> String {
    let fraction = match moment.nanos() {
        0 => String::new(),
        nanos => format!(".{nanos:09}").trim_end_matches('0').to_owned(),
    };
    calendar::rfc3339(moment.seconds(), &fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_parse_as_prometheus_parses_them() {
        for (text, ms) in [
            ("0", 0),
            ("4", 4_000),
            ("1700006400.5", 1_700_006_400_500),
            ("1700006400.0004", 1_700_006_400_000),
            ("1700006400.0006", 1_700_006_400_001),
            ("-0.5", -500),
            ("1.7e9", 1_700_000_000_000),
            ("+5", 5_000),
            ("1_000", 1_000_000),
            ("0x10p0", 16_000),
            ("0x.8p1", 1_000),
            ("2023-11-14T22:13:20Z", 1_700_000_000_000),
            ("2023-11-14T22:13:20.123456Z", 1_700_000_000_123),
            ("2023-11-14T23:13:20+01:00", 1_700_000_000_000),
            ("2023-11-15T1:00:00Z", 1_700_010_000_000),
            ("2023-11-15T1:00:00.5+01:00", 1_700_006_400_500),
            ("2024-02-29T00:00:00Z", 1_709_164_800_000),
            ("1969-12-31T23:59:59.5Z", -500),
            // Times far outside wrap around in int64 nanoseconds.
            ("-62135596800", -6_795_364_578_871),
        ] {
            assert_eq!(parse_time(text).unwrap().engine_ms(), ms, "{text}");
        }
        for text in
            ["", "x", "5m", "1e400", "2023-02-29T00:00:00Z", "2023-11-14 22:13:20Z", "_1", "1__0", "+nan", "0x1"]
        {
            assert_eq!(parse_time(text).unwrap_err(), format!("cannot parse {} to a valid timestamp", quote(text)));
        }
    }

    #[test]
    fn the_ends_of_time_keep_their_order() {
        assert_eq!(parse_time("-292273086-05-16T16:47:06Z").unwrap(), Time::MIN);
        assert_eq!(parse_time("+292277025-08-18T07:12:54.999999999Z").unwrap(), Time::MAX);
        assert!(Time::MIN < Time::MAX);
        assert_eq!(Time::MIN.storage_ms(), -9_223_309_901_257_974_000);
        assert_eq!(Time::MAX.storage_ms(), 9_223_309_901_257_974_999);
        assert_eq!(Time::MAX.since(Time::MIN), i64::MAX);
        // Milliseconds given for seconds: the year 50,000 and later neither fail nor overflow.
        assert_eq!(parse_time("1700000000000").unwrap().storage_ms(), 1_700_000_000_000_000);
    }

    #[test]
    fn durations_parse_as_prometheus_parses_them() {
        for (text, expected) in [
            ("60", Ok(60_000_000_000)),
            ("0.5", Ok(500_000_000)),
            ("5m", Ok(300_000_000_000)),
            ("-1", Ok(-1_000_000_000)),
            ("NaN", Ok(i64::MIN)),
            ("1e10", Err("cannot parse \"1e10\" to a valid duration. It overflows int64")),
            ("x", Err("cannot parse \"x\" to a valid duration")),
            ("", Err("cannot parse \"\" to a valid duration")),
        ] {
            assert_eq!(parse_duration(text), expected.map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn dates_print() {
        assert_eq!(rfc3339_ms(1_700_000_000_000), "2023-11-14T22:13:20Z");
        assert_eq!(rfc3339_ms(1_709_164_800_007), "2024-02-29T00:00:00.007Z");
        assert_eq!(rfc3339_ms(-1), "1969-12-31T23:59:59.999Z");
        assert_eq!(rfc3339_nanos(Moment::NEVER), "0001-01-01T00:00:00Z");
        assert_eq!(rfc3339_nanos(Moment::new(1_700_000_000, 120_000_000)), "2023-11-14T22:13:20.12Z");
        assert_eq!(rfc3339_nanos(Moment::new(1_700_000_000, 1)), "2023-11-14T22:13:20.000000001Z");
    }
}
