//! Values of series descriptions, histograms among them, as tokens.

use masthead_store::labels::quote;

use super::super::ast::BinaryOp;
use super::super::quote::quote_char;
use super::super::token::{Kind, histogram_key, keyword, reset_hint};
use super::{Lexed, Lexer, State, is_alpha, is_space};

impl Lexer<'_> {
    pub(super) fn values(&mut self) -> Lexed {
        let Some(c) = self.bump() else {
            self.state = State::Statement;
            return Ok(None);
        };
        match c {
            '{' if self.peek() == Some('{') => {
                self.bump();
                self.state = State::Histogram;
                self.token(Kind::OpenHistogram)
            }
            '+' => self.token(Kind::Operator(BinaryOp::Add)),
            '-' => self.token(Kind::Operator(BinaryOp::Sub)),
            'x' => self.token(Kind::Times),
            '_' => self.token(Kind::Blank),
            c if is_space(c) => self.space(),
            c if c.is_ascii_digit() || c == '.' && self.peek().is_some_and(|c| c.is_ascii_digit()) => {
                self.at = self.start;
                self.plain_number()
            }
            c if is_alpha(c) => self.keyword_or_identifier(),
            c => self.fault(format!("unexpected character in series sequence: {}", quote_char(Some(c)))),
        }
    }

    /// A run of blanks, which separates values; its token is the first of them.
    fn space(&mut self) -> Lexed {
        let token = self.token(Kind::Space);
        self.spaces()?;
        token
    }

    pub(super) fn histogram(&mut self) -> Lexed {
        let c = self.bump();
        match c {
            Some(c) if is_space(c) => self.space(),
            Some(c) if is_alpha(c) => self.histogram_word(),
            Some(':') => self.token(Kind::Colon),
            Some('-') => self.token(Kind::Operator(BinaryOp::Sub)),
            Some(c) if c.is_ascii_digit() => {
                self.at = self.start;
                self.plain_number()
            }
            Some('[') => {
                self.state = State::Buckets;
                self.token(Kind::LeftBracket)
            }
            Some('}') if self.accept(|c| c == '}') => {
                self.state = State::Values;
                self.token(Kind::CloseHistogram)
            }
            c => self.fault(format!("histogram description incomplete unexpected: {}", quote_char(c))),
        }
    }

    fn histogram_word(&mut self) -> Lexed {
        self.accept_run(is_alpha);
        let word = self.word();
        if let Some(key) = histogram_key(word) {
            if self.peek() != Some(':') {
                return self.fault("missing `:` for histogram descriptor".to_owned());
            }
            return self.token(Kind::HistogramKey(key));
        }
        if keyword(word) == Some(Kind::Number) {
            return self.token(Kind::Number);
        }
        match reset_hint(word) {
            Some(hint) => self.token(Kind::ResetHint(hint)),
            None => self.fault(format!("bad histogram descriptor found: {}", quote(word))),
        }
    }

    pub(super) fn buckets(&mut self) -> Lexed {
        let c = self.bump();
        match c {
            Some(c) if is_space(c) => self.space(),
            Some('-') => {
                self.state = State::BucketNumber;
                self.token(Kind::Operator(BinaryOp::Sub))
            }
            Some(c) if c.is_ascii_digit() => {
                self.at -= 1;
                self.plain_number()
            }
            Some(']') => {
                self.state = State::Histogram;
                self.token(Kind::RightBracket)
            }
            // A word grows letter by letter until it is `Inf` or `NaN`.
            Some(c) if is_alpha(c) => match keyword(self.word()) {
                Some(Kind::Number) => self.token(Kind::Number),
                _ => Ok(None),
            },
            c => self.fault(format!("invalid character in buckets description: {}", quote_char(c))),
        }
    }
}
