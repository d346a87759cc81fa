//! Numbers and durations as Go reads and writes them.

use masthead_store::labels::quote;

use crate::go_float::{self, Fault, underscores_are_fine};

/// Nanoseconds in a second.
const SECOND: u64 = 1_000_000_000;

/// Units of durations, largest first, in nanoseconds (prometheus/common model/time.go).
const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 24 * 3600 * SECOND),
    ("w", 7 * 24 * 3600 * SECOND),
    ("d", 24 * 3600 * SECOND),
    ("h", 3600 * SECOND),
    ("m", 60 * SECOND),
    ("s", SECOND),
    ("ms", SECOND / 1000),
];

/// The value of a number token: Go's `ParseInt` with base 0, else its `ParseFloat`. The error is Go's.
pub(super) fn parse_number(text: &str) -> Result<f64, String> {
    if let Some(integer) = parse_integer(text) {
        return Ok(integer as f64);
    }
    go_float::parse(text).map_err(|fault| {
        let reason = match fault {
            Fault::Syntax => "invalid syntax",
            Fault::Range => "value out of range",
        };
        format!("strconv.ParseFloat: parsing {}: {reason}", quote(text))
    })
}

/// `strconv.ParseInt(text, 0, 64)`; None where that fails.
fn parse_integer(text: &str) -> Option<i64> {
    let prefix = text.get(..2).unwrap_or("").to_ascii_lowercase();
    let (digits, base) = match prefix.as_str() {
        "0x" => (&text[2..], 16),
        "0b" => (&text[2..], 2),
        "0o" => (&text[2..], 8),
        _ if text.len() > 1 && text.starts_with('0') => (&text[1..], 8),
        _ => (text, 10),
    };
    let digits = if digits.contains('_') {
        if !underscores_are_fine(text) {
            return None;
        }
        &digits.replace('_', "")
    } else {
        digits
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    i64::from_str_radix(digits, base).ok()
}

/// The value of a duration token, in seconds. The error is upstream's (prometheus/common model/time.go, ParseDuration).
pub(super) fn parse_duration(text: &str) -> Result<f64, String> {
    let invalid = || format!("not a valid duration string: {}", quote(text));
    let mut total = 0u64;
    let mut rest = text;
    let mut smaller = UNITS.as_slice();
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let count: u64 = rest[..digits].parse().map_err(|_| invalid())?;
        rest = &rest[digits..];
        let length = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = &rest[..length];
        rest = &rest[length..];
        if unit.is_empty() {
            return Err(invalid());
        }
        if !UNITS.iter().any(|(name, _)| *name == unit) {
            return Err(format!("unknown unit {} in duration {}", quote(unit), quote(text)));
        }
        let Some(at) = smaller.iter().position(|(name, _)| *name == unit) else { return Err(invalid()) };
        let nanoseconds = count.checked_mul(smaller[at].1).filter(|product| *product <= 1 << 63);
        total = nanoseconds
            .and_then(|product| total.checked_add(product))
            .filter(|total| *total <= i64::MAX as u64)
            .ok_or("duration out of range")?;
        smaller = &smaller[at + 1..];
    }
    // Go's Duration.Seconds: whole seconds and the rest apart.
    Ok((total / SECOND) as f64 + (total % SECOND) as f64 / 1e9)
}

/// A duration of `nanoseconds` as upstream prints it: `1h30m`. Parts of a millisecond are left out.
pub(super) fn format_duration(nanoseconds: i64) -> String {
    let mut left = nanoseconds.unsigned_abs() / (SECOND / 1000);
    if left == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    if nanoseconds < 0 {
        out.push('-');
    }
    for (name, unit) in UNITS {
        let unit = unit / (SECOND / 1000);
        // Years and weeks only where nothing remains: 90d reads better than 12w6d.
        let whole_only = matches!(name, "y" | "w");
        if left >= unit && (!whole_only || left.is_multiple_of(unit)) {
            out.push_str(&format!("{}{name}", left / unit));
            left %= unit;
        }
    }
    out
}

/// Seconds to nanoseconds, rounded, as upstream keeps constant durations. Out of range as Go on amd64.
pub(super) fn to_nanoseconds(seconds: f64) -> i64 {
    to_i64((seconds * 1e9).round())
}

/// Go's conversion on amd64: what does not fit becomes the smallest number.
pub(super) fn to_i64(value: f64) -> i64 {
    if value >= -(2f64.powi(63)) && value < 2f64.powi(63) { value as i64 } else { i64::MIN }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_go() {
        for (text, value) in [
            ("1", 1.0),
            ("0755", 493.0),
            ("08", 8.0),
            ("0x1F", 31.0),
            ("0x_1F", 31.0),
            ("0b11", 3.0),
            ("0o17", 15.0),
            ("1_000_000", 1e6),
            ("1_000.5", 1000.5),
            ("5.", 5.0),
            (".5", 0.5),
            ("9223372036854775808", 9223372036854775808.0),
            ("1e-400", 0.0),
            ("Inf", f64::INFINITY),
            ("iNf", f64::INFINITY),
        ] {
            assert_eq!(parse_number(text), Ok(value), "{text}");
        }
        assert!(parse_number("NaN").is_ok_and(f64::is_nan));
        for (text, reason) in [
            ("1e1000", "value out of range"),
            ("1__0", "invalid syntax"),
            ("1_", "invalid syntax"),
            ("0x", "invalid syntax"),
            ("0x1e+5", "invalid syntax"),
            ("1e", "invalid syntax"),
        ] {
            let error = format!("strconv.ParseFloat: parsing \"{text}\": {reason}");
            assert_eq!(parse_number(text), Err(error), "{text}");
        }
    }

    #[test]
    fn durations_are_read_and_printed() {
        for (text, seconds, printed) in [
            ("5m", 300.0, "5m"),
            ("1h30m", 5400.0, "1h30m"),
            ("90m", 5400.0, "1h30m"),
            ("1d", 86400.0, "1d"),
            ("7d", 604800.0, "1w"),
            ("8d", 691200.0, "8d"),
            ("1y1ms", 31536000.001, "365d1ms"),
            ("1s5ms", 1.005, "1s5ms"),
            ("0s", 0.0, "0s"),
            ("292y", 9208512000.0, "292y"),
        ] {
            assert_eq!(parse_duration(text), Ok(seconds), "{text}");
            assert_eq!(format_duration(to_nanoseconds(seconds)), printed);
        }
        for (text, error) in [
            ("5m1h", "not a valid duration string: \"5m1h\""),
            ("5m1m", "not a valid duration string: \"5m1m\""),
            ("1hs", "unknown unit \"hs\" in duration \"1hs\""),
            ("293y", "duration out of range"),
            ("292y52w", "duration out of range"),
            ("99999999999999999999s", "not a valid duration string: \"99999999999999999999s\""),
        ] {
            assert_eq!(parse_duration(text), Err(error.to_owned()), "{text}");
        }
        assert_eq!(format_duration(-300 * SECOND as i64), "-5m");
    }
}
