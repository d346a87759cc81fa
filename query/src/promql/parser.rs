//! Tokens to tree: recursive descent, with binary operators by precedence.
//!
//! One token of lookahead, and the first error ends it. A token is read exactly when upstream's generated parser reads it, so
//! that of two errors the same one comes first. An unexpected token is reported by the innermost construct that has words for
//! it ([`Parser::naming`]), which is how upstream's error productions work (promql/parser/generated_parser.y).
//!
//! Functions that do not recurse are kept out of the frames of those that do (`inline(never)`), so that a level of depth costs
//! little stack. Every recursion is counted against the limit on depth, and so is the height of what is built: a chain of 500
//! operators is 500 deep. Whoever walks the tree may therefore recurse.

use std::collections::HashMap;

use masthead_store::Matcher;
use masthead_store::labels::quote;

use super::ast::{
    Aggregate, AggregateOp, Binary, BinaryOp, Call, Expr, ExprKind, Matching, NumberLiteral, Span, UnaryOp,
};
use super::error::Fault;
use super::functions::{self, Function};
use super::lexer::Lexer;
use super::number::{parse_duration, parse_number};
use super::quote::{into_text, unquote};
use super::token::{Kind, Token};
use super::{Features, Limits, ParseOptions, Steps};

mod duration;
mod matching;
mod modifiers;
mod selector;
mod series;

/// Why parsing ended.
pub(super) enum Stop {
    /// The newest token does not fit, and nobody has worded that yet.
    Unexpected,
    /// An error with its text.
    Fault(Box<Fault>),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Stop::Fault(Box::new(fault))
    }
}

pub(super) type Parsed<T> = Result<T, Stop>;

/// Labels of a grouping, and whether it is `without`.
type AggregateModifier = (Vec<Box<str>>, bool);

/// An expression and the height of its tree. Boxed, so that deep recursion needs little stack.
pub(super) struct Node {
    expr: Box<Expr>,
    height: usize,
}

/// The parser.
pub(super) struct Parser<'a> {
    query: &'a str,
    lexer: Lexer<'a>,
    ahead: Option<Token>,
    /// The newest token that was read.
    last: Token,
    /// End of the newest token that can close an expression. Upstream takes ends of spans from it, although it may belong to
    /// the token behind the expression: `(x offset (1m))` ends the selector at the last parenthesis.
    last_closing: u32,
    features: Features,
    limits: Limits,
    nesting: usize,
    tokens: u64,
    shared: Shared,
}

/// What counts for all texts that are parsed together.
#[derive(Default)]
pub(super) struct Shared {
    terms: usize,
    /// A matcher by each regular expression so far.
    compiled: HashMap<String, Matcher>,
    compiled_bytes: usize,
}

impl<'a> Parser<'a> {
    /// A parser of an expression or a selector. Refuses texts beyond the limit on bytes.
    pub(super) fn new(query: &'a str, options: &ParseOptions) -> Result<Self, Fault> {
        Self::with_lexer(query, Lexer::new(query), options)
    }

    /// A parser of a series description.
    pub(super) fn series(query: &'a str, options: &ParseOptions) -> Result<Self, Fault> {
        Self::with_lexer(query, Lexer::series(query), options)
    }

    fn with_lexer(query: &'a str, lexer: Lexer<'a>, options: &ParseOptions) -> Result<Self, Fault> {
        let limit = options.limits.bytes.min(u32::MAX as usize);
        if query.len() > limit {
            let message = format!("the query has {} bytes, the limit is {limit} bytes", query.len());
            return Err(Fault { span: Span::default(), message });
        }
        Ok(Self {
            query,
            lexer,
            ahead: None,
            last: Token { kind: Kind::Eof, span: Span::default() },
            last_closing: 0,
            features: options.features,
            limits: Limits { depth: options.limits.depth.min(Limits::DEPTH_MAX), ..options.limits },
            nesting: 0,
            tokens: 0,
            shared: Shared::default(),
        })
    }

    /// Goes on with what other texts have used, and gives back what it has.
    pub(super) fn resume(&mut self, shared: &mut Shared) {
        std::mem::swap(&mut self.shared, shared);
    }

    /// Work done so far.
    pub(super) fn steps(&self) -> Steps {
        Steps { lexer: self.lexer.steps(), parser: self.tokens + self.shared.terms as u64 }
    }

    /// A whole expression.
    pub(super) fn parse_expression(&mut self) -> Result<Expr, Fault> {
        let parsed = self.whole_expression();
        self.finish(parsed)
    }

    fn whole_expression(&mut self) -> Parsed<Expr> {
        if self.peek()?.kind == Kind::Eof {
            return Err(fault(Span::default(), "no expression found in input"));
        }
        let node = self.expression(0)?;
        self.expect(Kind::Eof)?;
        Ok(*node.expr)
    }

    /// Words an error that no construct had words for.
    fn finish<T>(&self, parsed: Parsed<T>) -> Result<T, Fault> {
        match parsed {
            Ok(value) => Ok(value),
            Err(Stop::Fault(fault)) => Err(*fault),
            Err(Stop::Unexpected) => {
                let message = format!("unexpected {}", self.last.describe(self.query));
                Err(Fault { span: self.last.span, message })
            }
        }
    }

    /// Has `place` word an unexpected token of `parsed`: `unexpected … in PLACE, expected EXPECTED`.
    #[inline(never)]
    fn naming<T>(&self, parsed: Parsed<T>, place: &str, expected: &str) -> Parsed<T> {
        match parsed {
            Err(Stop::Unexpected) => {
                let comma = if expected.is_empty() { "" } else { ", expected " };
                let token = self.last.describe(self.query);
                Err(fault(self.last.span, format!("unexpected {token} in {place}{comma}{expected}")))
            }
            parsed => parsed,
        }
    }

    fn peek(&mut self) -> Parsed<Token> {
        if let Some(token) = self.ahead {
            return Ok(token);
        }
        let token = self.lexer.next_token()?;
        self.tokens += 1;
        if matches!(
            token.kind,
            Kind::RightBrace | Kind::RightParen | Kind::RightBracket | Kind::Duration | Kind::Number
        ) {
            self.last_closing = token.span.end;
        }
        self.last = token;
        self.ahead = Some(token);
        Ok(token)
    }

    fn next(&mut self) -> Parsed<Token> {
        let token = self.peek()?;
        self.ahead = None;
        Ok(token)
    }

    fn accept(&mut self, kind: Kind) -> Parsed<bool> {
        let found = self.peek()?.kind == kind;
        if found {
            self.ahead = None;
        }
        Ok(found)
    }

    fn expect(&mut self, kind: Kind) -> Parsed<Token> {
        let token = self.peek()?;
        if token.kind != kind {
            return Err(Stop::Unexpected);
        }
        self.next()
    }

    fn text(&self, token: Token) -> &'a str {
        &self.query[token.span.start as usize..token.span.end as usize]
    }

    /// Counts a step of recursion. What is entered is left unless an error ends everything.
    fn enter(&mut self) -> Parsed<()> {
        self.nesting += 1;
        self.check_depth(self.nesting, self.last.span)
    }

    fn leave(&mut self) {
        self.nesting -= 1;
    }

    fn check_depth(&self, depth: usize, span: Span) -> Parsed<()> {
        let limit = self.limits.depth;
        if depth > limit {
            return Err(fault(span, format!("the query nests deeper than the limit of {limit} levels")));
        }
        Ok(())
    }

    /// Counts `count` parts of the query at `span`.
    fn count_terms(&mut self, count: usize, span: Span) -> Parsed<()> {
        self.shared.terms += count;
        let limit = self.limits.terms;
        if self.shared.terms > limit {
            return Err(fault(span, format!("the query has more terms than the limit of {limit}")));
        }
        Ok(())
    }

    /// A new node over children of which the highest has `below` levels.
    #[inline(never)]
    fn node(&mut self, kind: ExprKind, span: Span, below: usize) -> Parsed<Node> {
        self.count_terms(1, span)?;
        self.check_depth(below + 1, span)?;
        Ok(Node { expr: Box::new(Expr { kind, span }), height: below + 1 })
    }

    /// An expression whose binary operators bind at least as tightly as `tightness`.
    fn expression(&mut self, tightness: u8) -> Parsed<Node> {
        self.enter()?;
        let mut left = self.operand()?;
        while let Kind::Operator(op) = self.peek()?.kind {
            if op.precedence() < tightness {
                break;
            }
            self.next()?;
            let (return_bool, matching) = self.matching()?;
            let right = self.expression(op.precedence() + u8::from(op != BinaryOp::Pow))?;
            left = self.binary(op, return_bool, matching, [left, right])?;
        }
        self.leave();
        Ok(left)
    }

    #[inline(never)]
    fn binary(&mut self, op: BinaryOp, return_bool: bool, matching: Matching, sides: [Node; 2]) -> Parsed<Node> {
        let [left, right] = sides;
        let span = left.expr.span.to(right.expr.span);
        if !self.features.fill_modifiers && (matching.fill_left.is_some() || matching.fill_right.is_some()) {
            return Err(fault(span, "binop fill modifiers are experimental and not enabled"));
        }
        let below = left.height.max(right.height);
        let (left, right) = (*left.expr, *right.expr);
        let binary = Binary { op, return_bool, left, right, matching: Some(matching) };
        self.node(ExprKind::Binary(Box::new(binary)), span, below)
    }

    /// A signed operand, or one with its modifiers.
    fn operand(&mut self) -> Parsed<Node> {
        let token = self.peek()?;
        let op = match token.kind {
            Kind::Operator(BinaryOp::Add) => UnaryOp::Plus,
            Kind::Operator(BinaryOp::Sub) => UnaryOp::Minus,
            _ => {
                let primary = self.primary()?;
                return self.modified(primary);
            }
        };
        self.next()?;
        // A sign binds like `*`, so that only `^` comes first.
        let mut node = self.expression(BinaryOp::Pow.precedence())?;
        let span = token.span.to(node.expr.span);
        if let ExprKind::Number(number) = &mut node.expr.kind {
            if op == UnaryOp::Minus {
                number.value = -number.value;
            }
            node.expr.span = span;
            return Ok(node);
        }
        self.node(ExprKind::Unary(op, node.expr), span, node.height)
    }

    fn primary(&mut self) -> Parsed<Node> {
        let token = self.peek()?;
        match token.kind {
            Kind::Number | Kind::Duration | Kind::String => self.literal(token),
            Kind::LeftParen => {
                self.next()?;
                let inner = self.expression(0)?;
                let close = self.expect(Kind::RightParen)?;
                self.node(ExprKind::Paren(inner.expr), token.span.to(close.span), inner.height)
            }
            Kind::LeftBrace => self.vector_selector(None),
            kind if kind.is_metric_name() => self.named(token),
            _ => Err(Stop::Unexpected),
        }
    }

    #[inline(never)]
    fn literal(&mut self, token: Token) -> Parsed<Node> {
        if token.kind != Kind::String {
            let number = self.number()?;
            return self.node(ExprKind::Number(number), token.span, 0);
        }
        self.next()?;
        let text = into_text(unquote(self.text(token)));
        self.node(ExprKind::String(text), token.span, 0)
    }

    /// What begins with a word: an aggregation, a call or a selector.
    fn named(&mut self, name: Token) -> Parsed<Node> {
        self.next()?;
        let follows = self.peek()?.kind;
        match name.kind {
            Kind::Aggregate(op) if matches!(follows, Kind::LeftParen | Kind::By | Kind::Without) => {
                let parsed = self.aggregate(op, name);
                self.naming(parsed, "aggregation", "")
            }
            Kind::Identifier | Kind::Start | Kind::End | Kind::Step | Kind::Range | Kind::MaxOf | Kind::MinOf
                if follows == Kind::LeftParen =>
            {
                self.call(name)
            }
            _ => self.vector_selector(Some(name)),
        }
    }

    fn call(&mut self, name: Token) -> Parsed<Node> {
        let (args, below) = self.arguments()?;
        self.build_call(name, args, below)
    }

    #[inline(never)]
    fn build_call(&mut self, name: Token, args: Vec<Expr>, below: usize) -> Parsed<Node> {
        let span = Span { start: name.span.start, end: self.last_closing };
        let function = self.function(name)?;
        self.node(ExprKind::Call(Call { function, args }), span, below)
    }

    fn function(&self, name: Token) -> Parsed<&'static Function> {
        let text = self.text(name);
        let Some(function) = functions::find(text) else {
            return Err(fault(name.span, format!("unknown function with name {}", quote(text))));
        };
        if function.experimental && !self.features.experimental_functions {
            return Err(fault(name.span, format!("function {} is not enabled", quote(text))));
        }
        Ok(function)
    }

    /// Arguments in parentheses, and the height of the highest.
    fn arguments(&mut self) -> Parsed<(Vec<Expr>, usize)> {
        let (mut args, mut below) = (Vec::new(), 0);
        self.expect(Kind::LeftParen)?;
        if self.accept(Kind::RightParen)? {
            return Ok((args, below));
        }
        loop {
            let node = self.expression(0)?;
            below = below.max(node.height);
            args.push(*node.expr);
            let token = self.peek()?;
            if token.kind != Kind::Comma {
                self.expect(Kind::RightParen)?;
                return Ok((args, below));
            }
            self.next()?;
            if !self.peek()?.kind.begins_expression() {
                return Err(fault(token.span, "trailing commas not allowed in function call args"));
            }
        }
    }

    fn aggregate(&mut self, op: AggregateOp, name: Token) -> Parsed<Node> {
        let before = self.aggregate_modifier()?;
        let (args, below) = self.arguments()?;
        self.build_aggregate((op, name.span.start), before, args, below)
    }

    /// Behind the arguments: perhaps the modifier, then the checks.
    #[inline(never)]
    fn build_aggregate(
        &mut self,
        (op, start): (AggregateOp, u32),
        before: Option<AggregateModifier>,
        mut args: Vec<Expr>,
        below: usize,
    ) -> Parsed<Node> {
        // Taken before the next token is read. Upstream reads it and searches backwards for the parenthesis.
        let mut span = Span { start, end: self.last_closing };
        let mut modifier = before;
        if modifier.is_none() {
            modifier = self.aggregate_modifier()?;
            if modifier.is_some() {
                span.end = self.last_closing;
            }
        }
        if args.is_empty() {
            return Err(fault(span, "no arguments for aggregate expression provided"));
        }
        if op.is_experimental() && !self.features.experimental_functions {
            let flag = "must be enabled with --enable-feature=promql-experimental-functions";
            return Err(fault(span, format!("{}() is experimental and {flag}", op.as_str())));
        }
        let wanted = if op.parameter().is_some() { 2 } else { 1 };
        let count = args.len();
        let (Some(expr), true) = (args.pop(), count == wanted) else {
            let what = "wrong number of arguments for aggregate expression provided";
            return Err(fault(span, format!("{what}, expected {wanted}, got {count}")));
        };
        let (grouping, without) = modifier.unwrap_or_default();
        let aggregate = Aggregate { op, expr, parameter: args.pop(), grouping, without };
        self.node(ExprKind::Aggregate(Box::new(aggregate)), span, below)
    }

    /// `by (…)` or `without (…)`, if it stands here: the labels, and whether it is `without`.
    #[inline(never)]
    fn aggregate_modifier(&mut self) -> Parsed<Option<AggregateModifier>> {
        let kind = self.peek()?.kind;
        if !matches!(kind, Kind::By | Kind::Without) {
            return Ok(None);
        }
        self.next()?;
        Ok(Some((self.grouping()?, kind == Kind::Without)))
    }

    /// A `+` or `-`, if it stands here.
    fn sign(&mut self) -> Parsed<Option<(UnaryOp, Span)>> {
        let token = self.peek()?;
        let op = match token.kind {
            Kind::Operator(BinaryOp::Add) => UnaryOp::Plus,
            Kind::Operator(BinaryOp::Sub) => UnaryOp::Minus,
            _ => return Ok(None),
        };
        self.next()?;
        Ok(Some((op, token.span)))
    }

    /// A number with or without a sign.
    fn signed_number(&mut self) -> Parsed<f64> {
        let negative = self.sign()?.is_some_and(|(op, _)| op == UnaryOp::Minus);
        let value = self.number()?.value;
        Ok(if negative { -value } else { value })
    }

    /// A number or a duration, unsigned.
    fn number(&mut self) -> Parsed<NumberLiteral> {
        let token = self.peek()?;
        let text = self.text(token);
        let (value, duration) = match token.kind {
            Kind::Number => (parse_number(text).map_err(|error| format!("error parsing number: {error}")), false),
            Kind::Duration => (parse_duration(text), true),
            _ => return Err(Stop::Unexpected),
        };
        self.next()?;
        let value = value.map_err(|message| fault(token.span, message))?;
        Ok(NumberLiteral { value, duration })
    }
}

/// An error at `span`.
#[cold]
#[inline(never)]
fn fault(span: Span, message: impl Into<String>) -> Stop {
    Stop::Fault(Box::new(Fault { span, message: message.into() }))
}
