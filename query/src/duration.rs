//! Durations and byte sizes as operators write them: in flags, in the configuration file and in API parameters.

use std::time::Duration;

use masthead_store::labels::quote;

/// Units of a Prometheus duration in the order in which they may come, with their length in ms.
const UNITS: [(&str, u64); 7] = [
    ("y", 31_536_000_000),
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Parses a Prometheus duration (`1h30m`, `500ms`, `0`) as ms; units descend and come once each (model.ParseDuration in
/// prometheus/common).
pub fn parse_ms(text: &str) -> Result<u64, String> {
    let invalid = || format!("not a valid duration string: {}", quote(text));
    match text {
        "" => return Err("empty duration string".to_owned()),
        "0" => return Ok(0),
        _ => {}
    }
    let mut rest = text;
    let mut next_unit = 0;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let letters = rest[digits..].bytes().take_while(|b| !b.is_ascii_digit()).count();
        let number = &rest[..digits];
        let unit = rest.get(digits..digits + letters).ok_or_else(invalid)?;
        rest = rest.get(digits + letters..).ok_or_else(invalid)?;
        let Some(at) = UNITS.iter().position(|(name, _)| *name == unit) else {
            return Err(if digits == 0 || unit.is_empty() {
                invalid()
            } else {
                format!("unknown unit {} in duration {}", quote(unit), quote(text))
            });
        };
        if digits == 0 || at < next_unit {
            return Err(invalid());
        }
        next_unit = at + 1;
        let out_of_range = || "duration out of range".to_owned();
        let number: u64 = number.parse().map_err(|_| out_of_range())?;
        total = number.checked_mul(UNITS[at].1).and_then(|ms| total.checked_add(ms)).ok_or_else(out_of_range)?;
        // Go's durations are nanoseconds in an int64.
        if total > i64::MAX as u64 / 1_000_000 {
            return Err(out_of_range());
        }
    }
    Ok(total)
}

/// Parses a Prometheus duration.
pub fn parse(text: &str) -> Result<Duration, String> {
    parse_ms(text).map(Duration::from_millis)
}

/// Writes a duration as Prometheus does: `1h30m`, `500ms`, `0s`. Weeks and years are used only where they are exact.
pub fn format(duration: Duration) -> String {
    let mut ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if ms == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    for (unit, length) in UNITS {
        let exact_only = matches!(unit, "y" | "w");
        if ms >= length && (!exact_only || ms.is_multiple_of(length)) {
            out.push_str(&format!("{}{unit}", ms / length));
            ms %= length;
        }
    }
    out
}

/// Parses a number of bytes: `1048576`, `512KiB`, `16MiB`, `2GiB`; also `KB`, `MB` and `GB` by thousands.
pub fn parse_bytes(text: &str) -> Result<usize, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor: usize = match unit {
        "" | "B" => 1,
        "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(format!("not a number of bytes: {} (such as 512KiB, 16MiB, 2GiB)", quote(text))),
    };
    number
        .parse::<usize>()
        .ok()
        .and_then(|n| n.checked_mul(factor))
        .ok_or_else(|| format!("not a number of bytes: {} (such as 512KiB, 16MiB, 2GiB)", quote(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_parse_as_prometheus_does() {
        for (text, expected) in [
            ("0", Ok(0)),
            ("0s", Ok(0)),
            ("5m", Ok(300_000)),
            ("1h30m", Ok(5_400_000)),
            ("1y2w3d4h5m6s7ms", Ok(33_019_506_007)),
            ("500ms", Ok(500)),
            ("", Err("empty duration string")),
            ("5", Err("not a valid duration string: \"5\"")),
            ("m", Err("not a valid duration string: \"m\"")),
            ("-5m", Err("not a valid duration string: \"-5m\"")),
            ("1m1h", Err("not a valid duration string: \"1m1h\"")),
            ("1m1m", Err("not a valid duration string: \"1m1m\"")),
            ("1.5h", Err("unknown unit \".\" in duration \"1.5h\"")),
            ("5q", Err("unknown unit \"q\" in duration \"5q\"")),
            ("5é", Err("unknown unit \"é\" in duration \"5é\"")),
            ("294y", Err("duration out of range")),
            ("99999999999999999999s", Err("duration out of range")),
        ] {
            assert_eq!(parse_ms(text), expected.map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn durations_print_as_they_are_written() {
        for text in ["0s", "5m", "1h30m", "2d3h", "500ms", "1y", "2w", "1m500ms", "30s"] {
            assert_eq!(format(parse(text).unwrap()), text);
        }
        assert_eq!(format(parse("1y1d").unwrap()), "366d");
    }

    #[test]
    fn byte_sizes() {
        assert_eq!(parse_bytes("1048576"), Ok(1 << 20));
        assert_eq!(parse_bytes("512KiB"), Ok(512 << 10));
        assert_eq!(parse_bytes("2GB"), Ok(2_000_000_000));
        for text in ["", "KiB", "1.5GiB", "-1", "5 MiB", "99999999999999999999"] {
            assert!(parse_bytes(text).unwrap_err().contains("not a number of bytes"), "{text}");
        }
    }
}
