//! Go's `strconv.ParseFloat`.

/// Go's NaN, which is not Rust's.
const NAN: f64 = f64::from_bits(0x7ff8_0000_0000_0001);

/// Why a text is no float.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It does not read as one.
    Syntax,
    /// It is beyond the greatest one.
    Range,
}

/// Reads a decimal or hexadecimal float, an infinity or NaN. Hexadecimal ones want an exponent; underscores may stand
/// between digits.
pub fn parse(text: &str) -> Result<f64, Fault> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let signed = |size: f64| if text.starts_with('-') { -size } else { size };
    let lower = unsigned.to_ascii_lowercase();
    match lower.as_str() {
        "inf" | "infinity" => return Ok(signed(f64::INFINITY)),
        // No sign before this one.
        "nan" if unsigned.len() == text.len() => return Ok(NAN),
        _ if !lower.starts_with(|c: char| c.is_ascii_digit() || c == '.') || !underscores_are_fine(&lower) => {
            return Err(Fault::Syntax);
        }
        _ => {}
    }
    let digits = lower.replace('_', "");
    let size = match digits.strip_prefix("0x") {
        Some(hexadecimal) => parse_hexadecimal(hexadecimal).ok_or(Fault::Syntax)?,
        None => digits.parse().map_err(|_| Fault::Syntax)?,
    };
    if size == f64::INFINITY { Err(Fault::Range) } else { Ok(signed(size)) }
}

/// The float behind `0x`, infinite where it is out of range. None where it is none.
fn parse_hexadecimal(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once('p')?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut value = Scaled { mantissa: 0, exponent: 0, inexact: false };
    for (digits, place) in [(whole, 0), (fraction, -4)] {
        for digit in digits.chars() {
            value.push(digit.to_digit(16)?, place);
        }
    }
    let unsigned = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if unsigned.is_empty() || !unsigned.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // What is beyond this is out of range with any mantissa that fits into memory.
    let size = unsigned.parse().unwrap_or(i64::MAX).min(1 << 40);
    value.exponent += if exponent.starts_with('-') { -size } else { size };
    Some(value.round())
}

/// `mantissa * 2^exponent`, and a little more if `inexact`.
struct Scaled {
    mantissa: u64,
    exponent: i64,
    inexact: bool,
}

impl Scaled {
    /// Appends a hexadecimal digit that moves the exponent by `place`.
    fn push(&mut self, digit: u32, place: i64) {
        if self.mantissa >> 58 == 0 {
            self.mantissa = self.mantissa << 4 | u64::from(digit);
            self.exponent += place;
        } else {
            self.inexact |= digit != 0;
            self.exponent += place + 4;
        }
    }

    /// The nearest float, of two the even one.
    fn round(self) -> f64 {
        /// Of the least float, 2^-1074.
        const EXPONENT_MIN: i64 = -1074;
        let length = i64::from(64 - self.mantissa.leading_zeros());
        if length == 0 {
            return 0.0;
        }
        // So many bits do not fit: a float has 53, fewer near zero.
        let cut = (length - 53).max(EXPONENT_MIN - self.exponent);
        if cut > length + 1 {
            return 0.0;
        }
        let (mut kept, exponent) = match u32::try_from(cut) {
            Ok(cut) => (self.mantissa.checked_shr(cut).unwrap_or(0), self.exponent + i64::from(cut)),
            Err(_) => (self.mantissa, self.exponent),
        };
        if cut > 0 {
            let rest = u128::from(self.mantissa) - (u128::from(kept) << cut);
            let half = 1u128 << (cut - 1);
            let up = rest > half || rest == half && (self.inexact || kept % 2 == 1);
            kept += u64::from(up);
        }
        // Exact: at most 53 bits, and the result is no smaller than the least float. In two parts, since a power of two
        // alone may be out of range.
        let exponent = exponent.clamp(EXPONENT_MIN, 1100) as i32;
        kept as f64 * 2f64.powi(exponent / 2) * 2f64.powi(exponent - exponent / 2)
    }
}

/// Go's rule for underscores: only between digits, where a base prefix counts as one (strconv, underscoreOK).
pub fn underscores_are_fine(text: &str) -> bool {
    if !text.contains('_') {
        return true;
    }
    let bytes = text.as_bytes();
    let prefixed = bytes[0] == b'0' && bytes.get(1).is_some_and(|b| b"bBoOxX".contains(b));
    let hexadecimal = prefixed && matches!(bytes[1], b'x' | b'X');
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What Go 1.26 answers.
    #[test]
    fn texts_are_read_as_go_reads_them() {
        for (text, value) in [
            ("1_000", 1000.0),
            ("5.", 5.0),
            (".5", 0.5),
            ("+.5e1", 5.0),
            ("-0", -0.0),
            ("1e5_0", 1e50),
            ("0_1", 1.0),
            ("1.5_0", 1.5),
            ("1e-400", 0.0),
            ("0e99999999999999999999", 0.0),
            ("+Inf", f64::INFINITY),
            ("-Infinity", f64::NEG_INFINITY),
            ("iNfinity", f64::INFINITY),
            ("0x1p-1", 0.5),
            ("0x_1p2", 4.0),
            ("0x1_0p0", 16.0),
            ("0x.8p0", 0.5),
            ("0x1.p0", 1.0),
            ("-0X1P+3", -8.0),
            ("0x1p1_0", 1024.0),
            ("0x1.fffffffffffffp0", 2.0 - f64::EPSILON),
            ("0x1.fffffffffffff8p0", 2.0),
            ("0x1.fffffffffffff7p0", 2.0 - f64::EPSILON),
            ("0x1.ffffffffffffe8p0", 2.0 - 2.0 * f64::EPSILON),
            ("0x1.ffffffffffffe80000000000000001p0", 2.0 - f64::EPSILON),
            ("0x123456789abcdef123p0", 335_812_727_670_730_326_016.0),
            ("0x0.0000000000001p-1022", 5e-324),
            ("0x1p-1074", 5e-324),
            ("0x1p-1075", 0.0),
            ("0x1.8p-1075", 5e-324),
            ("0x3p-1075", 1e-323),
            ("0x1p-99999999999999999999", 0.0),
            ("0x0p99999999999", 0.0),
            ("0x1.fffffffffffffp1023", f64::MAX),
            ("0x1p-1022", f64::MIN_POSITIVE),
        ] {
            assert_eq!(parse(text).map(f64::to_bits), Ok(value.to_bits()), "{text}");
        }
        assert!(["nan", "NaN"].iter().all(|text| parse(text).map(f64::to_bits) == Ok(NAN.to_bits())));
        for text in
            ["1e400", "-1e400", "0x1p5000", "0x1p99999999999999999999", "0x1.fffffffffffff8p1023", "1e99999999999"]
        {
            assert_eq!(parse(text), Err(Fault::Range), "{text}");
        }
        for text in [
            "",
            ".",
            "1__0",
            "+nan",
            "-nan",
            "infin",
            "infinit",
            "0x1",
            "0x1e5",
            "1e",
            "1e+",
            "0x1p",
            " 1",
            "1 ",
            "0b1",
            "0o7",
            "1_",
            "_1",
            "1_e5",
            "1e_5",
            "0e",
            "1._5",
            "1_.5",
            "0xp0",
            "--1",
            "+-1",
            "1f",
            "0x1p++1",
            "0x1.2.3p0",
            "é",
        ] {
            assert_eq!(parse(text), Err(Fault::Syntax), "{text}");
        }
    }
}
