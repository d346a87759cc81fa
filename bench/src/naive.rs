//! A plain bit-by-bit reader of XOR chunks: the yardstick for the store's decoder, and an oracle for it.

/// Reads one bit at a time, most significant first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn bit(&mut self) -> Option<u64> {
        let byte = *self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(u64::from(bit))
    }

    fn bits(&mut self, count: u32) -> Option<u64> {
        (0..count).try_fold(0, |value, _| Some(value << 1 | self.bit()?))
    }

    fn uvarint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..70).step_by(7) {
            let byte = self.bits(8)?;
            value |= (byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn signed(&mut self, count: u32) -> Option<i64> {
        let value = self.bits(count)?;
        Some(if count < 64 && value > 1 << (count - 1) { value as i64 - (1 << count) } else { value as i64 })
    }
}

/// Decodes an XOR chunk; None where its bytes break the format.
pub fn decode(data: &[u8]) -> Option<(Vec<i64>, Vec<f64>)> {
    let count = usize::from(u16::from_be_bytes([*data.first()?, *data.get(1)?]));
    let mut bits = Bits { bytes: data.get(2..)?, at: 0 };
    let (mut times, mut values) = (Vec::new(), Vec::new());
    let (mut time, mut delta, mut value) = (0i64, 0i64, 0u64);
    let (mut leading, mut trailing) = (0u32, 0u32);
    for index in 0..count {
        if index == 0 {
            let raw = bits.uvarint()?;
            time = (raw >> 1) as i64 ^ -((raw & 1) as i64);
            value = bits.bits(64)?;
        } else {
            if index == 1 {
                delta = bits.uvarint()? as i64;
            } else {
                let ones = (0..4).take_while(|_| bits.bit() == Some(1)).count();
                delta = delta.wrapping_add(match ones {
                    0 => 0,
                    1 => bits.signed(14)?,
                    2 => bits.signed(17)?,
                    3 => bits.signed(20)?,
                    _ => bits.signed(64)?,
                });
            }
            time = time.wrapping_add(delta);
            if bits.bit()? == 1 {
                if bits.bit()? == 1 {
                    leading = bits.bits(5)? as u32;
                    let significant = match bits.bits(6)? as u32 {
                        0 => 64,
                        n => n,
                    };
                    trailing = 64u32.checked_sub(leading + significant)?;
                }
                value ^= bits.bits(64 - leading - trailing)? << trailing;
            }
        }
        times.push(time);
        values.push(f64::from_bits(value));
    }
    Some((times, values))
}
