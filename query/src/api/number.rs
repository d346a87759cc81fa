//! Numbers and times as Prometheus' JSON has them.

use std::io::Write as _;

use masthead_store::Millis;

use crate::go_float;

/// A sample's time: seconds, with exactly three decimals where the ms are not 0 (MarshalTimestamp in util/jsonutil).
pub(crate) fn push_timestamp(out: &mut Vec<u8>, time: Millis) {
    if time < 0 {
        out.push(b'-');
    }
    let ms = time.unsigned_abs();
    push_integer(out, ms / 1000);
    let fraction = ms % 1000;
    if fraction != 0 {
        out.extend_from_slice(&[
            b'.',
            b'0' + (fraction / 100) as u8,
            b'0' + (fraction / 10 % 10) as u8,
            b'0' + (fraction % 10) as u8,
        ]);
    }
}

/// The time of a scalar or string result: seconds as an ordinary float (promql.Scalar's MarshalJSON).
pub(crate) fn push_scalar_timestamp(out: &mut Vec<u8>, time: Millis) {
    push_plain_float(out, time as f64 / 1000.0);
}

/// A value in quotes: shortest digits that read back the same, an exponent of at least two digits below 1e-6 and from 1e21
/// on (MarshalFloat in util/jsonutil).
pub(crate) fn push_value(out: &mut Vec<u8>, value: f64) {
    out.push(b'"');
    let size = value.abs();
    if size.is_finite() && size != 0.0 && !(1e-6..1e21).contains(&size) {
        push_exponent(out, value);
    } else {
        push_plain_float(out, value);
    }
    out.push(b'"');
}

/// The value of a scalar result in quotes, which never has an exponent.
pub(crate) fn push_scalar_value(out: &mut Vec<u8>, value: f64) {
    out.push(b'"');
    push_plain_float(out, value);
    out.push(b'"');
}

/// Go's `strconv.FormatFloat(value, 'f', -1, 64)`.
fn push_plain_float(out: &mut Vec<u8>, value: f64) {
    // Most counters are whole: their digits need no search for the shortest form.
    const WHOLE_MAX: u64 = 9_000_000_000_000_000;
    let whole = value as i64;
    if whole as f64 == value && whole.unsigned_abs() < WHOLE_MAX && (whole != 0 || value.is_sign_positive()) {
        if whole < 0 {
            out.push(b'-');
        }
        push_integer(out, whole.unsigned_abs());
    } else if value.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"+Inf" } else { b"-Inf" });
    } else {
        go_float::push_plain(out, value);
    }
}

/// Go's `strconv.FormatFloat(value, 'e', -1, 64)`: the exponent is signed and has at least two digits.
fn push_exponent(out: &mut Vec<u8>, value: f64) {
    let (digits, exponent) = go_float::scientific(value);
    let sign = if exponent < 0 { '-' } else { '+' };
    let _ = write!(out, "{digits}e{sign}{:02}", exponent.unsigned_abs());
}

/// A number as Go's JSON has it: an exponent without padding below 1e-6 and from 1e21 on. What is no number, which Go
/// refuses, is 0.
pub(crate) fn push_json_float(out: &mut Vec<u8>, value: f64) {
    let size = value.abs();
    if !size.is_finite() {
        out.push(b'0');
    } else if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let (digits, exponent) = go_float::scientific(value);
        let sign = if exponent < 0 { '-' } else { '+' };
        let _ = write!(out, "{digits}e{sign}{}", exponent.unsigned_abs());
    } else {
        push_plain_float(out, value);
    }
}

/// A whole number with its sign.
pub(crate) fn push_signed(out: &mut Vec<u8>, number: i64) {
    if number < 0 {
        out.push(b'-');
    }
    push_integer(out, number.unsigned_abs());
}

/// A whole number, two digits at a time.
pub(crate) fn push_integer(out: &mut Vec<u8>, mut number: u64) {
    const PAIRS: [[u8; 2]; 100] = {
        let mut pairs = [[0; 2]; 100];
        let mut i = 0;
        while i < 100 {
            pairs[i] = [b'0' + (i / 10) as u8, b'0' + (i % 10) as u8];
            i += 1;
        }
        pairs
    };
    let mut digits = [0; 20];
    let mut at = digits.len();
    while number >= 10 {
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[(number % 100) as usize]);
        number /= 100;
    }
    if number > 0 || at == digits.len() {
        at -= 1;
        digits[at] = b'0' + number as u8;
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(push: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        push(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_of_json() {
        for (value, expected) in [
            (0.0, "0"),
            (60.0, "60"),
            (0.000123456, "0.000123456"),
            (1.5e-7, "1.5e-7"),
            (1e21, "1e+21"),
            (-0.5, "-0.5"),
            (f64::NAN, "0"),
            (f64::NEG_INFINITY, "0"),
        ] {
            assert_eq!(text(|out| push_json_float(out, value)), expected);
        }
        assert_eq!(text(|out| push_signed(out, i64::MIN)), "-9223372036854775808");
    }

    #[test]
    fn times_have_three_decimals_or_none() {
        for (time, expected) in [
            (1_435_781_451_781, "1435781451.781"),
            (1_435_781_451_000, "1435781451"),
            (1_700_006_400_500, "1700006400.500"),
            (-500, "-0.500"),
            (-1_001, "-1.001"),
            (7, "0.007"),
            (0, "0"),
            (i64::MAX, "9223372036854775.807"),
            (i64::MIN, "-9223372036854775.808"),
        ] {
            assert_eq!(text(|out| push_timestamp(out, time)), expected);
        }
        assert_eq!(text(|out| push_scalar_timestamp(out, 1_700_006_400_500)), "1700006400.5");
        assert_eq!(text(|out| push_scalar_timestamp(out, 4_000)), "4");
    }

    #[test]
    fn values_print_as_go_prints_them() {
        for (value, vector, scalar) in [
            (0.0, "0", "0"),
            (-0.0, "-0", "-0"),
            (1.0, "1", "1"),
            (-17.0, "-17", "-17"),
            (0.1, "0.1", "0.1"),
            (1e-6, "0.000001", "0.000001"),
            (9.999e-7, "9.999e-07", "0.0000009999"),
            (1e-7, "1e-07", "0.0000001"),
            (-1e-7, "-1e-07", "-0.0000001"),
            (1e20, "100000000000000000000", "100000000000000000000"),
            (1e21, "1e+21", "1000000000000000000000"),
            (-1.5e300, "-1.5e+300", &format!("-15{}", "0".repeat(299))),
            (5e-324, "5e-324", &format!("0.{}5", "0".repeat(323))),
            (f64::NAN, "NaN", "NaN"),
            (-f64::NAN, "NaN", "NaN"),
            (f64::INFINITY, "+Inf", "+Inf"),
            (f64::NEG_INFINITY, "-Inf", "-Inf"),
            (9_007_199_254_740_993.0, "9007199254740992", "9007199254740992"),
            (123_456.789, "123456.789", "123456.789"),
            (1_499_125_291_598_393.0 / 8.0, "187390661449799.12", "187390661449799.12"),
            (2f64.powi(-25), "2.9802322387695312e-08", "0.000000029802322387695312"),
            (0.30000000000000004, "0.30000000000000004", "0.30000000000000004"),
        ] {
            assert_eq!(text(|out| push_value(out, value)), format!("\"{vector}\""));
            assert_eq!(text(|out| push_scalar_value(out, value)), format!("\"{scalar}\""));
        }
    }

    #[test]
    fn digits_read_back_as_the_same_bits() {
        let mut bits: u64 = 0x9e37_79b9_7f4a_7c15;
        for _ in 0..20_000 {
            bits ^= bits << 13;
            bits ^= bits >> 7;
            bits ^= bits << 17;
            let value = f64::from_bits(bits);
            let printed = text(|out| push_value(out, value));
            let read: f64 = printed.trim_matches('"').parse().unwrap();
            assert!(read.to_bits() == bits || value.is_nan(), "{bits:x} {printed}");
        }
    }
}
