//! ULIDs, the names of blocks: 48 bits of time and 80 bits of chance in Crockford's base 32.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const LENGTH: usize = 26;

/// The name of a block. The order is that of the texts, and of the times.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ulid(u128);

impl Ulid {
    /// The ULID of `time_ms` (since 1970; 48 bits are kept) whose 80 other bits follow from `seed` alone.
    pub fn new(time_ms: u64, seed: u64) -> Self {
        let chance = u128::from(mix(seed)) << 64 | u128::from(mix(seed ^ 0x5851_f42d_4c95_7f2d));
        Self(u128::from(time_ms & ((1 << 48) - 1)) << 80 | chance >> 48)
    }

    /// When it was made, ms since 1970.
    pub fn time_ms(self) -> u64 {
        (self.0 >> 80) as u64
    }
}

/// The finaliser of splitmix64 (Steele, Lea, Flood): near seeds give far numbers.
fn mix(seed: u64) -> u64 {
    let mut x = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

impl FromStr for Ulid {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != LENGTH {
            return Err("a ULID has 26 digits");
        }
        let mut value: u128 = 0;
        for (i, byte) in text.bytes().enumerate() {
            let digit = DIGITS.iter().position(|d| *d == byte.to_ascii_uppercase()).ok_or("no digit of a ULID")?;
            if i == 0 && digit > 7 {
                return Err("a ULID has 128 bits");
            }
            value = value << 5 | digit as u128;
        }
        Ok(Self(value))
    }
}

impl fmt::Display for Ulid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: String = (0..LENGTH).rev().map(|i| DIGITS[(self.0 >> (5 * i)) as usize & 31] as char).collect();
        f.pad(&text)
    }
}

impl fmt::Debug for Ulid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Ulid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Ulid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_and_times_show() {
        for text in ["01M7YKKWVFTK6TBV308GNKETXH", "00000000000000000000000000", "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"] {
            assert_eq!(text.parse::<Ulid>().unwrap().to_string(), text);
        }
        for text in ["", "01M7YKKWVFTK6TBV308GNKETX", "8ZZZZZZZZZZZZZZZZZZZZZZZZZ", "01M7YKKWVFTK6TBV308GNKETXU"] {
            assert!(text.parse::<Ulid>().is_err(), "{text}");
        }
        let early = Ulid::new(1_700_000_000_000, 1);
        assert_eq!(early.time_ms(), 1_700_000_000_000);
        assert!(early < Ulid::new(1_700_000_000_001, 0));
        assert_ne!(early, Ulid::new(1_700_000_000_000, 2));
        assert_eq!(early, Ulid::new(1_700_000_000_000, 1));
    }
}
