//! Numbers and durations as tokens. Whether a token is a valid number is seen when its value is taken.

use masthead_store::labels::quote;

use super::super::token::Kind;
use super::{Lexed, Lexer, is_alphanumeric};

impl Lexer<'_> {
    /// A number or a duration; its first character is read already.
    pub(super) fn number_or_duration(&mut self) -> Lexed {
        self.at = self.start;
        if self.number() {
            return self.token(Kind::Number);
        }
        if self.duration_units() {
            return self.token(Kind::Duration);
        }
        self.fault(format!("bad number or duration syntax: {}", quote(self.word())))
    }

    /// A number where no duration is possible.
    pub(super) fn plain_number(&mut self) -> Lexed {
        if self.number() {
            return self.token(Kind::Number);
        }
        self.fault(format!("bad number syntax: {}", quote(self.word())))
    }

    /// The rest of a duration behind its first digits (acceptRemainingDuration).
    fn duration_units(&mut self) -> bool {
        if !self.accept(|c| matches!(c, 's' | 'm' | 'h' | 'd' | 'w' | 'y')) {
            return false;
        }
        // For `ms`. Wrong units such as `hs` are noticed when the value is taken.
        self.accept(|c| c == 's');
        while self.accept(|c| c.is_ascii_digit()) {
            self.accept_run(|c| c.is_ascii_digit());
            if !self.accept(|c| matches!(c, 's' | 'm' | 'h' | 'd' | 'w')) {
                return false;
            }
            self.accept(|c| c == 's');
        }
        // The character that spoils it is part of upstream's error text.
        !self.accept(is_alphanumeric)
    }

    /// scanNumber: reads as far as it may be a number; false where it cannot be one.
    fn number(&mut self) -> bool {
        let begin = self.at;
        // In series descriptions `0x3` is three repetitions.
        let hexadecimal = !self.series && self.accept(|c| c == '0') && self.accept(|c| matches!(c, 'x' | 'X'));
        if hexadecimal {
            self.accept(|c| c == '_');
        }
        let digit = |c: char| if hexadecimal { c.is_ascii_hexdigit() } else { c.is_ascii_digit() };
        self.accept(|c| c == '.');
        self.accept(digit);
        let (mut dot, mut exponent) = (false, false);
        while let Some(c) = self.peek() {
            match c {
                '.' => {
                    self.bump();
                    if dot || self.accept(|c| matches!(c, '_' | '.')) || hexadecimal {
                        return false;
                    }
                    dot = true;
                }
                'e' | 'E' => {
                    self.bump();
                    if exponent {
                        return false;
                    }
                    exponent = true;
                    self.accept(|c| matches!(c, '+' | '-'));
                    if self.accept(|c| matches!(c, '.' | '_' | 'e' | 'E')) || self.peek().is_none() {
                        return false;
                    }
                }
                '_' => {
                    self.bump();
                    if self.accept(|c| matches!(c, '.' | '_' | 'e' | 'E')) || self.peek().is_none() {
                        return false;
                    }
                }
                c if digit(c) => self.accept_run(digit),
                _ => break,
            }
        }
        if self.at == begin {
            return false;
        }
        match self.peek() {
            Some('x') if self.series => true,
            Some(c) => !is_alphanumeric(c),
            None => true,
        }
    }
}
