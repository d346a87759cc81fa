//! Floats in texts, as Go reads and writes them.
//!
//! Rust and Go give the same digits but where the float lies midway between two texts of that length: Rust takes the
//! upper one, Go the even one (internal/strconv/ftoadbox.go). Go's digits are in every answer, so they are ours.

mod parse;

use std::io::Write as _;

pub use parse::{Fault, parse, underscores_are_fine};

/// Most decimals of a float that is midway between two shortest texts: what has more has more digits than any of them.
const DECIMALS_MAX: u32 = 25;
/// Least digits, as an integer, of such a float: below, no shorter text reads back as the same float.
const DIGITS_MIN: u64 = 1_000_000_000_000_000;

/// Appends a finite float without an exponent, as Go's `strconv.FormatFloat(value, 'f', -1, 64)`.
pub fn push_plain(out: &mut Vec<u8>, value: f64) {
    // Where no exponent is needed, zmij writes the same digits several times as fast as the standard library.
    if (1e-4..1e15).contains(&value.abs()) && !may_be_midway(value) {
        let mut buffer = zmij::Buffer::new();
        let text = buffer.format_finite(value);
        out.extend_from_slice(text.strip_suffix(".0").unwrap_or(text).as_bytes());
        return;
    }
    let start = out.len();
    let _ = write!(out, "{value}");
    if may_be_midway(value) {
        let decimals = out[start..].iter().rev().position(|byte| *byte == b'.').unwrap_or(0);
        let even = format!("{value:.decimals$}");
        if even.parse() == Ok(value) {
            out.truncate(start);
            out.extend_from_slice(even.as_bytes());
        }
    }
}

/// Go's `strconv.FormatFloat(value, 'f', -1, 64)`: the shortest digits that read back the same, never an exponent.
pub fn plain(value: f64) -> String {
    special(value).unwrap_or_else(|| {
        let mut out = Vec::new();
        push_plain(&mut out, value);
        out.into_iter().map(char::from).collect()
    })
}

/// Go's `%g` and `%v`: the shortest digits that read back the same, with an exponent below 1e-4 and from 1e6 on
/// (strconv/ftoa.go, formatDigits).
pub fn shortest(value: f64) -> String {
    if let Some(text) = special(value) {
        return text;
    }
    let (digits, exponent) = scientific(value);
    if (-4..6).contains(&exponent) { plain(value) } else { format!("{digits}e{}", two_digits(exponent)) }
}

/// The digits of a finite float with a point behind the first of several, and the power of ten that they are times.
pub fn scientific(value: f64) -> (String, i32) {
    let mut text = format!("{value:e}");
    if may_be_midway(value) {
        let decimals = text.find('e').zip(text.find('.')).map_or(0, |(end, point)| end - point - 1);
        let even = format!("{value:.decimals$e}");
        if even.parse() == Ok(value) {
            text = even;
        }
    }
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    (digits.to_owned(), exponent.parse().unwrap_or(0))
}

/// Go's `%f`: six decimals.
pub fn fixed(value: f64) -> String {
    special(value).unwrap_or_else(|| format!("{value:.6}"))
}

/// Go's `%.2g`.
pub fn two_significant(value: f64) -> String {
    if let Some(text) = special(value) {
        return text;
    }
    let text = format!("{value:.1e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let short = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if (-4..2).contains(&exponent) {
        let decimals = usize::try_from(1 - exponent).unwrap_or(0);
        return short(&format!("{value:.decimals$}"));
    }
    format!("{}e{}", short(digits), two_digits(exponent))
}

/// As a label of `histogram_quantiles` has it: `shortest`, with `.0` where it would look like an integer
/// (model/labels/float.go, FormatOpenMetricsFloat).
pub fn open_metrics(value: f64) -> String {
    let text = shortest(value);
    let looks_whole = value.is_finite() && !text.contains(['.', 'e']);
    if value == 0.0 {
        "0.0".into()
    } else if looks_whole {
        text + ".0"
    } else {
        text
    }
}

fn special(value: f64) -> Option<String> {
    if value.is_nan() {
        return Some("NaN".into());
    }
    value.is_infinite().then(|| if value > 0.0 { "+Inf".into() } else { "-Inf".into() })
}

fn two_digits(exponent: i32) -> String {
    format!("{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

/// Whether a float, written out in full, has as many digits as one midway between two shortest texts. With the number
/// of decimals given, Rust rounds the full digits, and to even.
fn may_be_midway(value: f64) -> bool {
    let bits = value.to_bits();
    let (exponent, fraction) = ((bits >> 52) as i32 & 0x7ff, bits & ((1 << 52) - 1));
    let mantissa = if exponent == 0 { fraction } else { fraction | (1 << 52) };
    if mantissa == 0 {
        return false;
    }
    let zeros = mantissa.trailing_zeros();
    // The float is an odd number over 2^decimals, so its digits are that number times 5^decimals.
    match u32::try_from(1075 - exponent.max(1) - zeros as i32) {
        Ok(decimals @ 2..=DECIMALS_MAX) => {
            5u64.pow(decimals).checked_mul(mantissa >> zeros).is_some_and(|digits| digits >= DIGITS_MIN)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_read_as_go_writes_them() {
        for (value, expected) in [
            (1e21, "1000000000000000000000"),
            (1e-7, "0.0000001"),
            (-0.0, "-0"),
            (6_104_252_345_610_425.0 / 4.0, "1526063086402606.2"),
        ] {
            assert_eq!(plain(value), expected);
        }
        for (value, expected) in [
            (1e30, "1e+30"),
            (0.5, "0.5"),
            (-1.0, "-1"),
            (1e20, "1e+20"),
            (999_999.0, "999999"),
            (1e6, "1e+06"),
            (123_456_789.0, "1.23456789e+08"),
            (1e-4, "0.0001"),
            (1.5e-5, "1.5e-05"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(shortest(value), expected, "{value}");
        }
        for (value, expected) in
            [(3.0, "3"), (12.34, "12"), (123.0, "1.2e+02"), (0.012_3, "0.012"), (1.25e-7, "1.2e-07"), (100.0, "1e+02")]
        {
            assert_eq!(two_significant(value), expected, "{value}");
        }
        for (value, expected) in
            [(1.0, "1.0"), (0.0, "0.0"), (0.99, "0.99"), (5.0, "5.0"), (1e9, "1e+09"), (f64::NAN, "NaN")]
        {
            assert_eq!(open_metrics(value), expected);
        }
    }

    /// Go's texts.
    #[test]
    fn between_two_texts_the_even_one_is_taken() {
        for (value, expected) in [
            (6_104_252_345_610_425.0 / 4.0, "1526063086402606.2"),
            (6_104_252_345_610_427.0 / 4.0, "1526063086402606.8"),
            (-6_104_252_345_610_425.0 / 4.0, "-1526063086402606.2"),
            (1_499_125_291_598_393.0 / 8.0, "187390661449799.12"),
            (1_499_125_291_598_395.0 / 8.0, "187390661449799.38"),
            (140_737_488_355_345.0 / 16.0, "8796093022209.062"),
            // 2^-25; 2^-24, whose even text reads back as another float; 2^-23.
            (2.9802322387695312e-8, "0.000000029802322387695312"),
            (5.960464477539063e-8, "0.00000005960464477539063"),
            (1.1920928955078125e-7, "0.00000011920928955078125"),
            (0.1, "0.1"),
            (1234.5625, "1234.5625"),
            (0.30000000000000004, "0.30000000000000004"),
            (1e22, "10000000000000000000000"),
            (0.0, "0"),
            (-0.0, "-0"),
        ] {
            assert_eq!(plain(value), expected);
        }
        assert_eq!(scientific(2f64.powi(-25)), ("2.9802322387695312".to_owned(), -8));
        assert_eq!(scientific(2f64.powi(-24)), ("5.960464477539063".to_owned(), -8));
        assert_eq!(scientific(6_104_252_345_610_425.0 / 4.0), ("1.5260630864026062".to_owned(), 15));
        assert_eq!(scientific(-5e-324), ("-5".to_owned(), -324));
    }

    /// The digits are as few as Rust's, read back as the same float, and end even where the next ones would be "5"
    /// alone.
    #[test]
    fn digits_are_the_nearest_of_the_shortest() {
        let mut seed: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut midway = 0;
        for round in 0..60_000u32 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            // Half of them with few enough binary places that they can lie midway.
            let value = match round % 2 {
                0 => f64::from_bits(seed & !(1 << 62)),
                _ => ((seed >> 11) | 1) as f64 / f64::from(1 << (round % 26)),
            };
            let ((digits, _), rust) = (scientific(value), format!("{value:e}"));
            let text = plain(value);
            assert_eq!(text.parse(), Ok(value));
            assert_eq!(digits.len(), rust.find('e').unwrap(), "{rust}");
            assert_eq!(text.len(), format!("{value}").len(), "{rust}");
            let full = format!("{value:.1100}");
            let rest = full.get(text.len()..).unwrap_or("").trim_end_matches('0');
            if text.contains('.') && rest == "5" {
                midway += 1;
                assert!(text.ends_with(['0', '2', '4', '6', '8']), "{text} for {full}");
            }
        }
        assert!(midway > 300, "{midway}");
    }
}
