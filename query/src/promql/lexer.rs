//! Text to tokens, one at a time and in one pass: each character is read a bounded number of times.
//!
//! Follows promql/parser/lex.go in what it accepts, in its error texts and in where it notices an error, oddities included:
//! behind a number in brackets, for example, the rules of the top level hold again.

use super::ast::{BinaryOp, Span};
use super::error::Fault;
use super::quote::quote_char;
use super::token::{Kind, Token, keyword};

mod number;
mod string;
mod values;

/// What the lexer reads next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The top level, and brackets behind their first number.
    Statement,
    /// Between `{` and `}`.
    Braces,
    /// Brackets up to a number.
    Duration,
    /// Values of a series description.
    Values,
    /// Between `{{` and `}}`.
    Histogram,
    /// Between `[` and `]` in a histogram.
    Buckets,
    /// The number behind a `-` in buckets.
    BucketNumber,
}

/// The lexer.
pub(super) struct Lexer<'a> {
    text: &'a str,
    state: State,
    /// First byte of the token being read.
    start: usize,
    /// Next byte to read.
    at: usize,
    /// Open parentheses.
    parens: usize,
    in_bracket: bool,
    colon_seen: bool,
    duration_seen: bool,
    /// A series description: names are followed by values.
    series: bool,
    /// Characters looked at.
    steps: u64,
}

/// A token, nothing (a blank, a comment) or an error.
type Lexed = Result<Option<Token>, Fault>;

impl<'a> Lexer<'a> {
    /// A lexer of an expression or a selector.
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            state: State::Statement,
            start: 0,
            at: 0,
            parens: 0,
            in_bracket: false,
            colon_seen: false,
            duration_seen: false,
            series: false,
            steps: 0,
        }
    }

    /// A lexer of a series description.
    pub(super) fn series(text: &'a str) -> Self {
        Self { series: true, ..Self::new(text) }
    }

    /// Characters looked at so far: the measure of work.
    pub(super) fn steps(&self) -> u64 {
        self.steps
    }

    /// The next token; at the end of the text [`Kind::Eof`] for ever.
    pub(super) fn next_token(&mut self) -> Result<Token, Fault> {
        loop {
            let lexed = match self.state {
                State::Statement => self.statement()?,
                State::Braces => self.braces()?,
                State::Duration => self.duration()?,
                State::Values => self.values()?,
                State::Histogram => self.histogram()?,
                State::Buckets => self.buckets()?,
                State::BucketNumber => {
                    self.state = State::Buckets;
                    self.plain_number()?
                }
            };
            if let Some(token) = lexed {
                return Ok(token);
            }
        }
    }

    fn peek(&mut self) -> Option<char> {
        self.steps += 1;
        match self.text.as_bytes().get(self.at) {
            Some(byte) if byte.is_ascii() => Some(char::from(*byte)),
            Some(_) => self.text[self.at..].chars().next(),
            None => None,
        }
    }

    fn bump(&mut self) -> Option<char> {
        let next = self.peek();
        self.at += next.map_or(0, char::len_utf8);
        next
    }

    /// Reads the next character if `wanted` holds for it.
    fn accept(&mut self, wanted: impl Fn(char) -> bool) -> bool {
        let found = self.peek().is_some_and(wanted);
        if found {
            self.bump();
        }
        found
    }

    fn accept_run(&mut self, wanted: impl Fn(char) -> bool) {
        while self.accept(&wanted) {}
    }

    fn word(&self) -> &'a str {
        &self.text[self.start..self.at]
    }

    /// The token that ends here.
    fn token(&mut self, kind: Kind) -> Lexed {
        let span = Span { start: self.start as u32, end: self.at as u32 };
        self.start = self.at;
        Ok(Some(Token { kind, span }))
    }

    /// Leaves out what was read since the last token.
    fn skip(&mut self) -> Lexed {
        self.start = self.at;
        Ok(None)
    }

    fn spaces(&mut self) -> Lexed {
        self.accept_run(is_space);
        self.skip()
    }

    /// An error of the token being read.
    fn fault<T>(&self, message: String) -> Result<T, Fault> {
        Err(Fault { span: Span { start: self.start as u32, end: self.text.len() as u32 }, message })
    }

    /// An error noticed behind the token just read.
    fn fault_behind<T>(&mut self, message: String) -> Result<T, Fault> {
        self.start = self.at;
        self.fault(message)
    }

    fn statement(&mut self) -> Lexed {
        let Some(c) = self.bump() else {
            return match (self.parens, self.in_bracket) {
                (0, false) => self.token(Kind::Eof),
                (0, true) => self.fault("unclosed left bracket".to_owned()),
                _ => self.fault("unclosed left parenthesis".to_owned()),
            };
        };
        match c {
            '#' => self.comment(),
            ',' => self.token(Kind::Comma),
            '@' => self.token(Kind::At),
            '=' | '!' | '<' | '>' => self.comparison(c),
            '"' | '\'' => self.string(c),
            '`' => self.raw_string(),
            '(' | ')' => self.paren(c),
            '{' => {
                self.state = State::Braces;
                self.token(Kind::LeftBrace)
            }
            '[' if self.in_bracket => self.fault("unexpected left bracket '['".to_owned()),
            '[' => self.open_bracket(),
            ']' if !self.in_bracket => self.fault("unexpected right bracket ']'".to_owned()),
            ']' => {
                self.in_bracket = false;
                self.token(Kind::RightBracket)
            }
            c if is_space(c) => self.spaces(),
            c if arithmetic(c).is_some() => self.operator(c),
            c if c.is_ascii_digit() || c == '.' && self.peek().is_some_and(|c| c.is_ascii_digit()) => {
                self.number_or_duration()
            }
            c if (is_alpha(c) || c == ':') && self.in_bracket => self.word_in_bracket(c),
            c if is_alpha(c) || c == ':' => self.keyword_or_identifier(),
            c => self.fault(format!("unexpected character: {}", quote_char(Some(c)))),
        }
    }

    fn operator(&mut self, c: char) -> Lexed {
        match arithmetic(c) {
            Some(op) => self.token(Kind::Operator(op)),
            None => self.fault(format!("unexpected character: {}", quote_char(Some(c)))),
        }
    }

    fn comparison(&mut self, first: char) -> Lexed {
        let next = self.peek();
        let (op, length) = match (first, next) {
            ('=', Some('=')) => (BinaryOp::Equal, 1),
            ('=', Some('~')) => return self.fault("unexpected character after '=': '~'".to_owned()),
            ('=', _) => return self.token(Kind::Assign),
            ('!', Some('=')) => (BinaryOp::NotEqual, 1),
            ('!', _) => return self.fault(format!("unexpected character after '!': {}", quote_char(next))),
            ('<', Some('=')) => (BinaryOp::LessEqual, 1),
            ('<', Some('/')) => (BinaryOp::TrimUpper, 1),
            ('<', _) => (BinaryOp::Less, 0),
            (_, Some('=')) => (BinaryOp::GreaterEqual, 1),
            (_, Some('/')) => (BinaryOp::TrimLower, 1),
            _ => (BinaryOp::Greater, 0),
        };
        self.at += length;
        self.token(Kind::Operator(op))
    }

    fn paren(&mut self, c: char) -> Lexed {
        if c == '(' {
            self.parens += 1;
            return self.token(Kind::LeftParen);
        }
        match self.parens.checked_sub(1) {
            Some(parens) => self.parens = parens,
            None => return self.fault_behind("unexpected right parenthesis ')'".to_owned()),
        }
        self.token(Kind::RightParen)
    }

    fn open_bracket(&mut self) -> Lexed {
        self.in_bracket = true;
        self.colon_seen = false;
        self.state = State::Duration;
        self.token(Kind::LeftBracket)
    }

    /// Behind a number in brackets: a colon or a duration's keyword.
    fn word_in_bracket(&mut self, first: char) -> Lexed {
        if first == ':' {
            if self.colon_seen {
                return self.fault("unexpected colon ':'".to_owned());
            }
            self.colon_seen = true;
            return self.token(Kind::Colon);
        }
        match self.duration_keyword(first) {
            Some(kind) => self.token(kind),
            None => self.fault(format!("unexpected character: {}, expected ':'", quote_char(Some(first)))),
        }
    }

    fn duration_keyword(&mut self, first: char) -> Option<Kind> {
        if !matches!(first.to_ascii_lowercase(), 's' | 'r' | 'm') {
            return None;
        }
        self.accept_run(is_alpha);
        keyword(self.word()).filter(|kind| matches!(kind, Kind::Step | Kind::Range | Kind::MaxOf | Kind::MinOf))
    }

    fn duration(&mut self) -> Lexed {
        let Some(c) = self.bump() else {
            return self.fault("unexpected end of input in duration expression".to_owned());
        };
        match c {
            ']' => {
                self.in_bracket = false;
                self.colon_seen = false;
                self.state = State::Statement;
                self.token(Kind::RightBracket)
            }
            ':' if !self.duration_seen => {
                self.fault_behind("unexpected colon before duration in duration expression".to_owned())
            }
            ':' if self.colon_seen => self.fault_behind("unexpected repeated colon in duration expression".to_owned()),
            ':' => {
                self.colon_seen = true;
                self.token(Kind::Colon)
            }
            '(' | ')' => self.paren(c),
            ',' => self.token(Kind::Comma),
            c if is_space(c) => self.spaces(),
            c if arithmetic(c).is_some() => self.operator(c),
            c if c.is_ascii_digit() || c == '.' && self.peek().is_some_and(|c| c.is_ascii_digit()) => {
                self.duration_seen = true;
                self.state = State::Statement;
                self.number_or_duration()
            }
            c => match self.duration_keyword(c) {
                Some(kind) => self.token(kind),
                None => self.fault(format!("unexpected character in duration expression: {}", quote_char(Some(c)))),
            },
        }
    }

    fn braces(&mut self) -> Lexed {
        let Some(c) = self.bump() else {
            return self.fault("unexpected end of input inside braces".to_owned());
        };
        match c {
            '#' => self.comment(),
            ',' => self.token(Kind::Comma),
            '"' | '\'' => self.string(c),
            '`' => self.raw_string(),
            '=' if self.accept(|c| c == '~') => self.token(Kind::Matches),
            '=' => self.token(Kind::Assign),
            '!' => match self.bump() {
                Some('~') => self.token(Kind::MatchesNot),
                Some('=') => self.token(Kind::Operator(BinaryOp::NotEqual)),
                other => self.fault(format!("unexpected character after '!' inside braces: {}", quote_char(other))),
            },
            '{' => self.fault("unexpected left brace '{'".to_owned()),
            '}' => {
                self.state = if self.series { State::Values } else { State::Statement };
                self.token(Kind::RightBrace)
            }
            c if is_space(c) => self.spaces(),
            c if is_alpha(c) => {
                self.accept_run(is_alphanumeric);
                self.token(Kind::Identifier)
            }
            c => self.fault(format!("unexpected character inside braces: {}", quote_char(Some(c)))),
        }
    }

    fn comment(&mut self) -> Lexed {
        self.accept_run(|c| c != '\n' && c != '\r');
        self.skip()
    }

    fn keyword_or_identifier(&mut self) -> Lexed {
        self.accept_run(|c| is_alphanumeric(c) || c == ':');
        let word = self.word();
        let kind = match keyword(word) {
            Some(Kind::Fill | Kind::FillLeft | Kind::FillRight) if !self.paren_follows() => Kind::Identifier,
            Some(kind) => kind,
            None if word.contains(':') => Kind::MetricIdentifier,
            None => Kind::Identifier,
        };
        if self.series {
            self.state = if self.peek() == Some('{') { State::Statement } else { State::Values };
        }
        self.token(kind)
    }

    /// Whether the next thing but blanks is `(`: only then the fill modifiers are keywords.
    fn paren_follows(&mut self) -> bool {
        let rest = self.text[self.at..].bytes();
        let blanks = rest.take_while(|b| is_space(char::from(*b))).count();
        self.steps += blanks as u64;
        self.text.as_bytes().get(self.at + blanks) == Some(&b'(')
    }
}

fn arithmetic(c: char) -> Option<BinaryOp> {
    Some(match c {
        '+' => BinaryOp::Add,
        '-' => BinaryOp::Sub,
        '*' => BinaryOp::Mul,
        '/' => BinaryOp::Div,
        '%' => BinaryOp::Mod,
        '^' => BinaryOp::Pow,
        _ => return None,
    })
}

/// The blanks of PromQL.
pub(super) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

fn is_alpha(c: char) -> bool {
    c == '_' || c.is_ascii_alphabetic()
}

fn is_alphanumeric(c: char) -> bool {
    is_alpha(c) || c.is_ascii_digit()
}
