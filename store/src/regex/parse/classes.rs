//! Classes and escapes: what stands behind a backslash or in brackets.

use super::super::class::{self, ClassUnicode};
use super::{Parser, failure};

/// Lowest and highest code point that has another case (regexp/syntax/parse.go, minFold and maxFold).
const FOLDABLE: (u32, u32) = (0x41, 0x1e943);

impl Parser<'_> {
    /// `\pN`, `\p{Greek}`, `\d` and their kin, inside of a class or out of it.
    pub(super) fn named_class(&mut self) -> Result<Option<ClassUnicode>, String> {
        if self.byte(0) != Some(b'\\') {
            return Ok(None);
        }
        match self.byte(1) {
            Some(letter @ (b'p' | b'P')) => self.unicode_class(letter == b'P').map(Some),
            Some(letter) => {
                let found = class::perl(letter, self.flags.fold);
                self.at += if found.is_some() { 2 } else { 0 };
                Ok(found)
            }
            None => Ok(None),
        }
    }

    fn unicode_class(&mut self, negated: bool) -> Result<ClassUnicode, String> {
        let start = self.at;
        self.at += 2;
        let name = if self.byte(0) == Some(b'{') {
            let Some(end) = self.rest().find('}') else {
                return Err(failure("invalid character class range", &self.text[start..]));
            };
            let name = &self.rest()[1..end];
            self.at += end + 1;
            name
        } else {
            self.next_char();
            &self.text[start + 2..self.at]
        };
        let (negated, name) = match name.strip_prefix('^') {
            Some(name) => (!negated, name),
            None => (negated, name),
        };
        match class::unicode(name, self.flags.fold, negated) {
            Some(class) => {
                self.charge(class.ranges().len())?;
                Ok(class)
            }
            None => self.fail("invalid character class range", start),
        }
    }

    /// A single-character escape; the parser is on the backslash.
    pub(super) fn escape(&mut self) -> Result<u32, String> {
        let start = self.at;
        self.at += 1;
        let Some(c) = self.next_char() else {
            return Err(failure("trailing backslash at end of expression", ""));
        };
        let code = match c {
            '0' => Some(self.octal(0)),
            '1'..='7' if matches!(self.byte(0), Some(b'0'..=b'7')) => Some(self.octal(u32::from(c) - u32::from('0'))),
            'x' => self.hexadecimal(),
            'a' => Some(0x07),
            'f' => Some(0x0c),
            'n' => Some(0x0a),
            'r' => Some(0x0d),
            't' => Some(0x09),
            'v' => Some(0x0b),
            _ if c.is_ascii() && !c.is_ascii_alphanumeric() => Some(u32::from(c)),
            _ => None,
        };
        match code {
            Some(code) => Ok(code),
            None => self.fail("invalid escape sequence", start),
        }
    }

    /// At most two more octal digits.
    fn octal(&mut self, first: u32) -> u32 {
        let mut code = first;
        for _ in 0..2 {
            let Some(digit @ b'0'..=b'7') = self.byte(0) else { break };
            code = code * 8 + u32::from(digit - b'0');
            self.at += 1;
        }
        code
    }

    /// `x7F` or `x{10FFFF}`, behind the `x`.
    fn hexadecimal(&mut self) -> Option<u32> {
        let first = self.next_char()?;
        if first != '{' {
            let second = self.next_char();
            return Some(first.to_digit(16)? * 16 + second?.to_digit(16)?);
        }
        let mut code = None;
        loop {
            let c = self.next_char()?;
            if c == '}' {
                return code;
            }
            let longer = code.unwrap_or(0) * 16 + c.to_digit(16)?;
            if longer > u32::from(char::MAX) {
                return None;
            }
            code = Some(longer);
        }
    }

    /// A class in brackets; the parser is on the opening one.
    pub(super) fn class(&mut self) -> Result<ClassUnicode, String> {
        let start = self.at;
        self.at += 1;
        let negated = self.byte(0) == Some(b'^');
        self.at += usize::from(negated);
        let mut whole = ClassUnicode::empty();
        let mut ranges = Vec::new();
        let mut first = true;
        while first || self.byte(0) != Some(b']') {
            first = false;
            if let Some(class) = self.posix_class()? {
                whole.union(&class);
                continue;
            }
            if let Some(class) = self.named_class()? {
                whole.union(&class);
                continue;
            }
            let range_start = self.at;
            let low = self.class_char(start)?;
            let mut high = low;
            if self.byte(0) == Some(b'-') && self.byte(1).is_some_and(|b| b != b']') {
                self.at += 1;
                high = self.class_char(start)?;
                if high < low {
                    return self.fail("invalid character class range", range_start);
                }
            }
            ranges.push((low, high));
        }
        self.at += 1;
        whole.union(&self.folded(&ranges)?);
        if negated {
            whole.negate();
        }
        Ok(whole)
    }

    /// `[:alpha:]` inside of a class.
    fn posix_class(&mut self) -> Result<Option<ClassUnicode>, String> {
        let Some(inner) = self.rest().strip_prefix("[:").filter(|_| !self.posix_ended) else { return Ok(None) };
        let Some(end) = inner.find(":]") else {
            self.posix_ended = true;
            return Ok(None);
        };
        let start = self.at;
        self.at += end + 4;
        match class::posix(&inner[..end], self.flags.fold) {
            Some(class) => Ok(Some(class)),
            None => self.fail("invalid character class range", start),
        }
    }

    /// The class of these code points, in all their cases if they count.
    fn folded(&mut self, ranges: &[(u32, u32)]) -> Result<ClassUnicode, String> {
        let mut class = class::of(ranges);
        let full = ranges.iter().any(|&(low, high)| low <= FOLDABLE.0 && high >= FOLDABLE.1);
        if self.flags.fold && !full {
            let folded: usize = class.ranges().iter().map(|range| range.len()).sum();
            self.charge(folded / 64)?;
            class.case_fold_simple();
        }
        Ok(class)
    }

    fn class_char(&mut self, class_start: usize) -> Result<u32, String> {
        if self.byte(0) == Some(b'\\') {
            return self.escape();
        }
        match self.next_char() {
            Some(c) => Ok(u32::from(c)),
            None => Err(failure("missing closing ]", &self.text[class_start..])),
        }
    }
}
