//! Numbers and durations as Go reads and writes them.

use masthead_store::labels::quote;

use crate::go_float;

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

/// Go's NaN, which is not Rust's.
const NAN: f64 = f64::from_bits(0x7ff8_0000_0000_0001);

/// The value of a number token: Go's `ParseInt` with base 0, else its `ParseFloat`. The error is Go's.
pub(super) fn parse_number(text: &str) -> Result<f64, String> {
    if let Some(integer) = parse_integer(text) {
        return Ok(integer as f64);
    }
    let fault = |reason: &str| Err(format!("strconv.ParseFloat: parsing {}: {reason}", quote(text)));
    if !underscores_are_fine(text) {
        return fault("invalid syntax");
    }
    let plain = text.replace('_', "");
    if is_hexadecimal(&plain) {
        // Go wants an exponent `p` here, and the lexer takes none.
        return fault("invalid syntax");
    }
    match plain.parse::<f64>() {
        Ok(value) if value.is_infinite() && plain.contains(|c: char| c.is_ascii_digit()) => fault("value out of range"),
        Ok(value) if value.is_nan() => Ok(NAN),
        Ok(value) => Ok(value),
        Err(_) => fault("invalid syntax"),
    }
}

fn is_hexadecimal(text: &str) -> bool {
    text.starts_with("0x") || text.starts_with("0X")
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

/// Go's rule for underscores: only between digits, where a base prefix counts as one (strconv, underscoreOK).
fn underscores_are_fine(text: &str) -> bool {
    if !text.contains('_') {
        return true;
    }
    let bytes = text.as_bytes();
    let prefixed = bytes[0] == b'0' && bytes.get(1).is_some_and(|b| b"bBoOxX".contains(b));
    let hexadecimal = prefixed && is_hexadecimal(text);
    // What stood before: '0' a digit, '_' an underscore, '!' anything else.
    let mut before = if prefixed { b'0' } else { b'^' };
    for byte in &bytes[if prefixed { 2 } else { 0 }..] {
        if byte.is_ascii_digit() || hexadecimal && byte.is_ascii_hexdigit() {
            before = b'0';
        } else if *byte == b'_' {
            if before != b'0' {
                return false;
            }
            before = b'_';
        } else {
            if before == b'_' {
                return false;
            }
            before = b'!';
        }
    }
    before != b'_'
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

/// A float as Go's `FormatFloat(v, 'f', -1, 64)`.
pub(super) fn format_float(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    if value.is_nan() { "NaN".to_owned() } else { go_float::plain(value) }
}

/// A float as Go's `%v`: shortest, with an exponent below 1e-4 and from 1e6 on.
pub(super) fn format_shortest(value: f64) -> String {
    if value == 0.0 || !value.is_finite() || (1e-4..1e6).contains(&value.abs()) {
        return format_float(value);
    }
    let (digits, exponent) = go_float::scientific(value);
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
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

    #[test]
    fn floats_are_printed_as_go_does() {
        for (value, fixed, shortest) in [
            (1.0, "1", "1"),
            (0.5, "0.5", "0.5"),
            (1e21, "1000000000000000000000", "1e+21"),
            (123456.0, "123456", "123456"),
            (1234567.5, "1234567.5", "1.2345675e+06"),
            (1.5e-7, "0.00000015", "1.5e-07"),
            (1_499_125_291_598_393.0 / 8.0, "187390661449799.12", "1.8739066144979912e+14"),
            (f64::INFINITY, "+Inf", "+Inf"),
            (f64::NEG_INFINITY, "-Inf", "-Inf"),
            (f64::NAN, "NaN", "NaN"),
            (-0.0, "-0", "-0"),
        ] {
            assert_eq!((format_float(value).as_str(), format_shortest(value).as_str()), (fixed, shortest));
        }
    }
}
