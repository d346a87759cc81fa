//! What stands behind an operand: ranges, subqueries, `offset`, `@`, `anchored`, `smoothed`.

use super::super::ast::{At, DurationExpr, Expr, ExprKind, MatrixSelector, RangeExtension, Span, Subquery};
use super::super::number::to_i64;
use super::super::token::{Kind, Token};
use super::duration::DURATION_WORDS;
use super::{Node, Parsed, Parser, Stop, fault};
use crate::go_float;

impl Parser<'_> {
    /// `node` with all the modifiers that follow it.
    #[inline(never)]
    pub(super) fn modified(&mut self, mut node: Node) -> Parsed<Node> {
        loop {
            let token = self.peek()?;
            match token.kind {
                Kind::LeftBracket => {
                    self.next()?;
                    node = self.bracket(node, token)?;
                }
                Kind::Offset => {
                    self.next()?;
                    let offset = self.offset_duration();
                    let offset = self.naming(offset, "offset", DURATION_WORDS)?;
                    self.set_offset(&mut node.expr, offset)?;
                }
                Kind::At => {
                    self.next()?;
                    let at = self.at(node.expr.span);
                    let at = self.naming(at, "@", "timestamp")?;
                    self.set_at(&mut node.expr, at)?;
                }
                Kind::Anchored => self.extend(&mut node.expr, RangeExtension::Anchored)?,
                Kind::Smoothed => self.extend(&mut node.expr, RangeExtension::Smoothed)?,
                _ => return Ok(node),
            }
        }
    }

    /// A range or a subquery behind the bracket `open`.
    fn bracket(&mut self, node: Node, open: Token) -> Parsed<Node> {
        let range = self.positive_duration();
        let (range, height) = self.naming(range, "subquery or range selector", DURATION_WORDS)?;
        match self.peek()?.kind {
            Kind::RightBracket => {
                let close = self.next()?;
                self.range(node, range, open.span.to(close.span))
            }
            Kind::Colon => {
                self.next()?;
                self.subquery(node, (range, height))
            }
            _ => self.naming(Err(Stop::Unexpected), "subquery or range", "\":\" or \"]\""),
        }
    }

    fn range(&mut self, node: Node, range: DurationExpr, brackets: Span) -> Parsed<Node> {
        let Expr { kind, span: vector_span } = *node.expr;
        let vector = match kind {
            ExprKind::Vector(vector) => vector,
            _ => return Err(fault(brackets, "ranges only allowed for vector selectors")),
        };
        if vector.offset.is_some() {
            return Err(fault(brackets, "no offset modifiers allowed before range"));
        }
        if vector.at.is_some() {
            return Err(fault(brackets, "no @ modifiers allowed before range"));
        }
        let span = vector_span.to(brackets);
        self.node(ExprKind::Matrix(MatrixSelector { vector, vector_span, range }), span, node.height)
    }

    /// The rest of a subquery behind its colon.
    fn subquery(&mut self, node: Node, range: (DurationExpr, usize)) -> Parsed<Node> {
        let place = "subquery selector";
        let (range, range_height) = range;
        let (mut step, mut step_height) = (None, 0);
        if self.peek()?.kind != Kind::RightBracket {
            let parsed = self.positive_duration();
            let (expr, height) = self.naming(parsed, place, "number, duration, step(), range(), or \"]\"")?;
            (step, step_height) = (Some(expr), height);
        }
        let close = self.expect(Kind::RightBracket);
        let close = self.naming(close, place, "\"]\"")?;
        let span = node.expr.span.to(close.span);
        let below = node.height.max(range_height).max(step_height);
        let subquery = Subquery { expr: *node.expr, range, step, offset: None, at: None };
        self.node(ExprKind::Subquery(Box::new(subquery)), span, below)
    }

    fn set_offset(&mut self, expr: &mut Expr, offset: Option<DurationExpr>) -> Parsed<()> {
        let slot = match &mut expr.kind {
            ExprKind::Vector(vector) => &mut vector.offset,
            ExprKind::Matrix(matrix) => &mut matrix.vector.offset,
            ExprKind::Subquery(subquery) => &mut subquery.offset,
            _ => return Err(misplaced(expr.span, "offset modifier")),
        };
        if slot.is_some() {
            return Err(fault(expr.span, "offset may not be set multiple times"));
        }
        *slot = offset;
        expr.span.end = self.last_closing;
        Ok(())
    }

    fn set_at(&mut self, expr: &mut Expr, at: At) -> Parsed<()> {
        let slot = match &mut expr.kind {
            ExprKind::Vector(vector) => &mut vector.at,
            ExprKind::Matrix(matrix) => &mut matrix.vector.at,
            ExprKind::Subquery(subquery) => &mut subquery.at,
            _ => return Err(misplaced(expr.span, "@ modifier")),
        };
        if slot.is_some() {
            return Err(fault(expr.span, "@ <timestamp> may not be set multiple times"));
        }
        *slot = Some(at);
        expr.span.end = self.last_closing;
        Ok(())
    }

    /// What stands behind `@`; `expr` is the place of what stands before it.
    fn at(&mut self, expr: Span) -> Parsed<At> {
        let token = self.peek()?;
        let end = match token.kind {
            Kind::Start => At::Start,
            Kind::End => At::End,
            _ => return self.time(expr),
        };
        self.next()?;
        self.expect(Kind::LeftParen)?;
        self.expect(Kind::RightParen)?;
        Ok(end)
    }

    fn time(&mut self, expr: Span) -> Parsed<At> {
        let value = self.signed_number()?;
        if value.is_nan() || value.abs() >= 2f64.powi(63) {
            let shown = if value.is_finite() { format!("{value:.6}") } else { go_float::plain(value) };
            return Err(fault(expr, format!("timestamp out of bounds for @ modifier: {shown}")));
        }
        Ok(At::Time(to_i64((value * 1000.0).round())))
    }

    fn extend(&mut self, expr: &mut Expr, extension: RangeExtension) -> Parsed<()> {
        self.next()?;
        let word = extension.as_str();
        if !self.features.extended_range_selectors {
            return Err(fault(expr.span, format!("{word} modifier is experimental and not enabled")));
        }
        let slot = match &mut expr.kind {
            ExprKind::Vector(vector) => &mut vector.extension,
            ExprKind::Matrix(matrix) => &mut matrix.vector.extension,
            ExprKind::Subquery(_) => {
                return Err(fault(expr.span, format!("{word} modifier is not supported for subqueries")));
            }
            _ => return Err(fault(expr.span, format!("{word} modifier not implemented"))),
        };
        if slot.is_some_and(|other| other != extension) {
            return Err(fault(expr.span, "anchored and smoothed modifiers cannot be used together"));
        }
        *slot = Some(extension);
        Ok(())
    }
}

fn misplaced(span: Span, modifier: &str) -> Stop {
    let places = "an instant vector selector or range vector selector or a subquery";
    fault(span, format!("{modifier} must be preceded by {places}"))
}
