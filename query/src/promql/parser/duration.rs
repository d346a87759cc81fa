//! Durations: in brackets, and behind `offset`.

use super::super::ast::{BinaryOp, DurationExpr, DurationKind, Span, UnaryOp};
use super::super::number::to_nanoseconds;
use super::super::token::Kind;
use super::{Parsed, Parser, Stop, fault};

/// A duration and the height of its tree.
type Tall = (DurationExpr, usize);

/// What an error text calls a duration.
pub(super) const DURATION_WORDS: &str = "number, duration, step(), or range()";

impl Parser<'_> {
    /// A range or a step in brackets. A constant must be above zero.
    pub(super) fn positive_duration(&mut self) -> Parsed<Tall> {
        let (mut expr, height) = self.duration(0)?;
        if let DurationKind::Number(number) = &mut expr.kind {
            if number.value <= 0.0 {
                return Err(fault(expr.span, "duration must be greater than 0"));
            }
            number.duration = true;
        }
        Ok((expr, height))
    }

    /// A duration whose binary operators bind at least as tightly as `tightness`.
    fn duration(&mut self, tightness: u8) -> Parsed<Tall> {
        self.enter()?;
        let operand = self.duration_operand()?;
        let expr = self.duration_operators(operand, tightness)?;
        self.leave();
        Ok(expr)
    }

    fn duration_operators(&mut self, mut left: Tall, tightness: u8) -> Parsed<Tall> {
        loop {
            let token = self.peek()?;
            let Kind::Operator(op) = token.kind else { return Ok(left) };
            if !is_arithmetic(op) || op.precedence() < tightness {
                return Ok(left);
            }
            self.next()?;
            let right = self.duration(op.precedence() + u8::from(op != BinaryOp::Pow))?;
            let by_zero = matches!(&right.0.kind, DurationKind::Number(number) if number.value == 0.0);
            match op {
                BinaryOp::Div if by_zero => return Err(fault(token.span, "division by zero")),
                BinaryOp::Mod if by_zero => return Err(fault(token.span, "modulo by zero")),
                _ => {}
            }
            let span = left.0.span.to(right.0.span);
            let below = left.1.max(right.1);
            let kind = DurationKind::Binary(op, Box::new(left.0), Box::new(right.0));
            left = self.duration_node(kind, span, below)?;
        }
    }

    fn duration_node(&mut self, kind: DurationKind, span: Span, below: usize) -> Parsed<Tall> {
        self.count_terms(1, span)?;
        self.check_depth(below + 1, span)?;
        Ok((DurationExpr { kind, span }, below + 1))
    }

    fn duration_operand(&mut self) -> Parsed<Tall> {
        let Some((op, span)) = self.sign()? else { return self.duration_primary() };
        // A sign binds like `*`, as in expressions.
        let operand = self.duration(BinaryOp::Pow.precedence())?;
        self.signed(op, span, operand)
    }

    /// A sign over a duration: taken into a number, kept over anything else unless it is `+`.
    fn signed(&mut self, op: UnaryOp, sign: Span, operand: Tall) -> Parsed<Tall> {
        let (mut expr, height) = operand;
        if let DurationKind::Number(number) = &mut expr.kind {
            if op == UnaryOp::Minus {
                number.value = -number.value;
            }
            if out_of_range(number.value) {
                return Err(fault(sign, "duration out of range"));
            }
            expr.span.start = sign.start;
            return Ok((expr, height));
        }
        if op == UnaryOp::Plus {
            return Ok((expr, height));
        }
        let span = sign.to(expr.span);
        self.duration_node(DurationKind::Unary(op, Box::new(expr)), span, height)
    }

    fn duration_primary(&mut self) -> Parsed<Tall> {
        let token = self.peek()?;
        match token.kind {
            Kind::Number | Kind::Duration => self.duration_number(token.span),
            Kind::LeftParen => {
                self.next()?;
                let inner = self.duration(0)?;
                self.expect(Kind::RightParen)?;
                self.parenthesised(inner, token.span.start)
            }
            _ => self.duration_function(),
        }
    }

    fn duration_number(&mut self, span: Span) -> Parsed<Tall> {
        let number = self.number()?;
        if out_of_range(number.value) {
            return Err(fault(span, "duration out of range"));
        }
        self.duration_node(DurationKind::Number(number), span, 0)
    }

    /// Parentheses around a duration; of several pairs one is kept. The span is upstream's, which leaves them out.
    fn parenthesised(&mut self, inner: Tall, start: u32) -> Parsed<Tall> {
        let (expr, height) = inner;
        let span = match &expr.kind {
            DurationKind::Paren(_) => return Ok((expr, height)),
            DurationKind::Number(_) => Span { start, ..expr.span },
            _ => expr.span,
        };
        self.duration_node(DurationKind::Paren(Box::new(expr)), span, height)
    }

    /// `step()`, `range()`, `min_of(a, b)` or `max_of(a, b)`.
    fn duration_function(&mut self) -> Parsed<Tall> {
        let token = self.peek()?;
        if !matches!(token.kind, Kind::Step | Kind::Range | Kind::MinOf | Kind::MaxOf) {
            return Err(Stop::Unexpected);
        }
        self.next()?;
        self.expect(Kind::LeftParen)?;
        let plain = match token.kind {
            Kind::Step => DurationKind::Step,
            Kind::Range => DurationKind::Range,
            kind => return self.duration_choice(kind),
        };
        let close = self.expect(Kind::RightParen)?;
        self.duration_node(plain, token.span.to(close.span), 0)
    }

    /// The two arguments of `min_of` or `max_of`. The span is upstream's: from the first to the second.
    fn duration_choice(&mut self, kind: Kind) -> Parsed<Tall> {
        let (left, left_height) = self.duration(0)?;
        self.expect(Kind::Comma)?;
        let (right, right_height) = self.duration(0)?;
        self.expect(Kind::RightParen)?;
        let span = left.span.to(right.span);
        let (left, right) = (Box::new(left), Box::new(right));
        let kind = match kind {
            Kind::MinOf => DurationKind::MinOf(left, right),
            _ => DurationKind::MaxOf(left, right),
        };
        self.duration_node(kind, span, left_height.max(right_height))
    }

    /// What stands behind `offset`. A number or a function ends it, so that `x offset 1m * 2` multiplies `x`; behind a
    /// parenthesis or two signs an operator goes on with the duration. None is a constant of zero, which upstream takes for
    /// no offset at all.
    pub(super) fn offset_duration(&mut self) -> Parsed<Option<DurationExpr>> {
        let sign = self.sign()?;
        let token = self.peek()?;
        let ends_here = match token.kind {
            Kind::Operator(_) => false,
            Kind::LeftParen => sign.is_some(),
            _ => true,
        };
        let operand = self.offset_operand(sign, token.kind)?;
        let (mut expr, _) = if ends_here { operand } else { self.duration_operators(operand, 0)? };
        if let DurationKind::Number(number) = &mut expr.kind {
            // Upstream lets `offset NaN` pass and goes on with what the processor makes of it.
            if number.value.is_nan() {
                return Err(fault(expr.span, "duration out of range"));
            }
            if to_nanoseconds(number.value) == 0 {
                return Ok(None);
            }
            number.duration = true;
        }
        Ok(Some(expr))
    }

    fn offset_operand(&mut self, sign: Option<(UnaryOp, Span)>, first: Kind) -> Parsed<Tall> {
        let Some((op, span)) = sign else { return self.duration_primary() };
        if matches!(first, Kind::Operator(_)) {
            let operand = self.duration(BinaryOp::Pow.precedence())?;
            return self.signed(op, span, operand);
        }
        if matches!(first, Kind::Number | Kind::Duration) {
            // Only the signed number is checked, at the sign.
            let (token, number) = (self.peek()?, self.number()?);
            let operand = self.duration_node(DurationKind::Number(number), token.span, 0)?;
            return self.signed(op, span, operand);
        }
        let operand = self.duration_primary()?;
        let mut signed = self.signed(op, span, operand)?;
        if first != Kind::LeftParen {
            signed.0.span.start = span.start;
        }
        Ok(signed)
    }
}

fn is_arithmetic(op: BinaryOp) -> bool {
    matches!(op, BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod | BinaryOp::Pow)
}

/// Whether Go's durations, 64 bits of nanoseconds, cannot hold so many seconds.
fn out_of_range(seconds: f64) -> bool {
    seconds.abs() > 2f64.powi(63) / 1e9
}
