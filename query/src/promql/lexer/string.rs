//! Strings as tokens. Their escapes are checked here and decoded by the parser.

use super::super::error::Fault;
use super::super::quote::unicode_name;
use super::super::token::Kind;
use super::{Lexed, Lexer};

impl Lexer<'_> {
    pub(super) fn string(&mut self, quote: char) -> Lexed {
        loop {
            match self.bump() {
                Some('\\') => self.escape(quote)?,
                // Go decodes an invalid byte to this character, and upstream takes the character itself for one.
                Some('\u{fffd}') => return self.fault("invalid UTF-8 rune".to_owned()),
                None | Some('\n') => return self.fault("unterminated quoted string".to_owned()),
                Some(c) if c == quote => return self.token(Kind::String),
                Some(_) => {}
            }
        }
    }

    pub(super) fn raw_string(&mut self) -> Lexed {
        loop {
            match self.bump() {
                Some('\u{fffd}') => return self.fault("invalid UTF-8 rune".to_owned()),
                None => return self.fault("unterminated raw string".to_owned()),
                Some('`') => return self.token(Kind::String),
                Some(_) => {}
            }
        }
    }

    /// Checks what stands behind a backslash; the parser decodes it.
    fn escape(&mut self, quote: char) -> Result<(), Fault> {
        let unterminated = "escape sequence not terminated";
        let Some(c) = self.bump() else { return self.fault(unterminated.to_owned()) };
        let (digits, base, max) = match c {
            'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' => return Ok(()),
            c if c == quote => return Ok(()),
            '0'..='7' => (3, 8, 255),
            'x' => (2, 16, 255),
            'u' => (4, 16, u32::from(char::MAX)),
            'U' => (8, 16, u32::from(char::MAX)),
            c => return self.fault(format!("unknown escape sequence {}", unicode_name(c))),
        };
        let mut next = if base == 8 { Some(c) } else { self.bump() };
        let mut value = 0u32;
        for left in (0..digits).rev() {
            let Some(c) = next else { return self.fault(unterminated.to_owned()) };
            let Some(digit) = c.to_digit(base) else {
                return self.fault(format!("illegal character {} in escape sequence", unicode_name(c)));
            };
            value = value.wrapping_mul(base).wrapping_add(digit);
            if left > 0 {
                next = self.bump();
            }
        }
        if value > max || (0xd800..0xe000).contains(&value) {
            return self.fault("escape sequence is an invalid Unicode code point".to_owned());
        }
        Ok(())
    }
}
