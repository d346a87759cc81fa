//! A reader of protobuf's wire format over borrowed bytes. It knows no messages and allocates nothing.

/// Longer texts for people are cut.
const SENTENCE_BYTES_MAX: usize = 2 << 10;

/// Why bytes are no protobuf message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

/// One field's content, as its wire type has it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// Eight bytes; as an array they would be packed against the tag, and every value would be slow to move.
    Fixed64(u64),
    /// Four bytes, which no message read here has.
    Fixed32,
}

impl<'a> Value<'a> {
    /// The content of a length-delimited field.
    pub(crate) fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self {
            Value::Bytes(bytes) => Ok(bytes),
            Value::Varint(_) | Value::Fixed64(_) | Value::Fixed32 => Err(Malformed("a field has the wrong wire type")),
        }
    }

    /// A text, which proto3 wants to be UTF-8.
    ///
    /// Other bytes are refused: Prometheus refuses them on every way in, and any replacement could make two series one.
    pub(crate) fn text(self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed("a text is not UTF-8"))
    }

    /// A text for people, the begin of it: whatever a peer says goes into answers, headers and logs.
    pub(crate) fn sentence(self) -> Result<String, Malformed> {
        let bytes = self.bytes()?;
        Ok(String::from_utf8_lossy(&bytes[..bytes.len().min(SENTENCE_BYTES_MAX)]).into_owned())
    }

    /// A number.
    pub(crate) fn varint(self) -> Result<u64, Malformed> {
        match self {
            Value::Varint(number) => Ok(number),
            Value::Bytes(_) | Value::Fixed64(_) | Value::Fixed32 => Err(Malformed("a field has the wrong wire type")),
        }
    }

    /// An `int64`.
    pub(crate) fn int64(self) -> Result<i64, Malformed> {
        self.varint().map(u64::cast_signed)
    }

    /// A `double`.
    pub(crate) fn double(self) -> Result<f64, Malformed> {
        match self {
            Value::Fixed64(bits) => Ok(f64::from_bits(bits)),
            Value::Varint(_) | Value::Bytes(_) | Value::Fixed32 => Err(Malformed("a field has the wrong wire type")),
        }
    }
}

/// The fields of one message, in the order in which they come.
#[derive(Debug, Clone)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// Number and content of the next field; None at the end.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<(u64, Value<'a>)>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => {
                let mut bytes = [0; 8];
                bytes.copy_from_slice(self.take(8)?);
                Value::Fixed64(u64::from_le_bytes(bytes))
            }
            2 => {
                let length = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
                Value::Bytes(self.take(length)?)
            }
            5 => {
                self.take(4)?;
                Value::Fixed32
            }
            _ => return Err(Malformed("a field has an unknown wire type")),
        };
        Ok(Some((key >> 3, value)))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Malformed("a field ends too early"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        match *self.rest {
            [byte, ref rest @ ..] if byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Malformed> {
        let mut number = 0;
        for (i, byte) in self.rest.iter().take(10).enumerate() {
            // Bits beyond the 64th are dropped, as protobuf does.
            number |= u64::from(byte & 0x7f) << (7 * i as u32);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[i + 1..];
                return Ok(number);
            }
        }
        Err(Malformed("a number ends too early or is too long"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_unknown_fields_are_read() {
        // 1: 300, 2: "ab", 3: fixed64, 4: fixed32, 5: -1.
        let bytes = [
            &[0x08, 0xac, 0x02, 0x12, 2, b'a', b'b', 0x19, 0, 0, 0, 0, 0, 0, 0, 0, 0x25, 0, 0, 0, 0, 0x28][..],
            &[0xff; 9],
            &[1],
        ]
        .concat();
        let mut fields = Fields::new(&bytes);
        assert_eq!(fields.next(), Ok(Some((1, Value::Varint(300)))));
        assert_eq!(fields.next(), Ok(Some((2, Value::Bytes(b"ab")))));
        assert_eq!(fields.next(), Ok(Some((3, Value::Fixed64(0)))));
        assert_eq!(fields.next(), Ok(Some((4, Value::Fixed32))));
        assert_eq!(fields.next().unwrap().unwrap().1.int64(), Ok(-1));
        assert_eq!(fields.next(), Ok(None));
        assert_eq!(Value::Fixed64(1.5f64.to_bits()).double(), Ok(1.5));
        assert!(Value::Varint(1).double().is_err());
    }

    #[test]
    fn cut_and_foreign_bytes_are_errors() {
        for bytes in
            [&[0x08][..], &[0x12, 5, 1], &[0x19, 0], &[0x0b], &[0xff; 11], &[0x12, 0xff, 0xff, 0xff, 0xff, 0x0f]]
        {
            assert!(Fields::new(bytes).next().is_err(), "{bytes:x?}");
        }
    }
}
