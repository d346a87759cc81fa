//! Groupings, and what stands between a binary operator and its right side.

use super::super::ast::{Cardinality, Matching};
use super::super::quote::{into_text, is_label_name, quote_literal, unquote};
use super::super::token::Kind;
use super::{Parsed, Parser, Stop, fault};

impl Parser<'_> {
    /// Label names in parentheses.
    pub(super) fn grouping(&mut self) -> Parsed<Vec<Box<str>>> {
        let place = "grouping opts";
        let mut labels = Vec::new();
        let open = self.expect(Kind::LeftParen);
        self.naming(open, place, "\"(\"")?;
        loop {
            if self.accept(Kind::RightParen)? {
                return Ok(labels);
            }
            let label = self.grouping_label();
            labels.push(self.naming(label, place, "label")?);
            if !self.accept(Kind::Comma)? {
                let close = self.expect(Kind::RightParen);
                self.naming(close, place, "\",\" or \")\"")?;
                return Ok(labels);
            }
        }
    }

    fn grouping_label(&mut self) -> Parsed<Box<str>> {
        let token = self.peek()?;
        let text = self.text(token);
        let label = match token.kind {
            Kind::String => {
                let label = into_text(unquote(text));
                if !is_label_name(&label) {
                    let shown = quote_literal(&label);
                    return Err(fault(token.span, format!("invalid label name for grouping: {shown}")));
                }
                label.into()
            }
            kind if kind.is_label_name() => text.into(),
            _ => return Err(Stop::Unexpected),
        };
        self.next()?;
        self.count_terms(1, token.span)?;
        Ok(label)
    }

    /// What stands between a binary operator and its right side: whether `bool`, and the matching.
    #[inline(never)]
    pub(super) fn matching(&mut self) -> Parsed<(bool, Matching)> {
        let mut matching = Matching {
            cardinality: Cardinality::OneToOne,
            on: false,
            labels: Vec::new(),
            include: Vec::new(),
            fill_left: None,
            fill_right: None,
        };
        let return_bool = self.accept(Kind::Bool)?;
        let kind = self.peek()?.kind;
        if matches!(kind, Kind::On | Kind::Ignoring) {
            self.next()?;
            matching.on = kind == Kind::On;
            matching.labels = self.grouping()?;
            self.group_side(&mut matching)?;
        }
        self.fill(&mut matching)?;
        Ok((return_bool, matching))
    }

    fn group_side(&mut self, matching: &mut Matching) -> Parsed<()> {
        matching.cardinality = match self.peek()?.kind {
            Kind::GroupLeft => Cardinality::ManyToOne,
            Kind::GroupRight => Cardinality::OneToMany,
            _ => return Ok(()),
        };
        self.next()?;
        let follows = self.peek()?.kind;
        if follows == Kind::LeftParen || !follows.begins_expression() {
            matching.include = self.grouping()?;
        }
        Ok(())
    }

    fn fill(&mut self, matching: &mut Matching) -> Parsed<()> {
        match self.peek()?.kind {
            Kind::Fill => {
                let value = self.fill_value()?;
                (matching.fill_left, matching.fill_right) = (Some(value), Some(value));
            }
            Kind::FillLeft => {
                matching.fill_left = Some(self.fill_value()?);
                if self.peek()?.kind == Kind::FillRight {
                    matching.fill_right = Some(self.fill_value()?);
                }
            }
            Kind::FillRight => {
                matching.fill_right = Some(self.fill_value()?);
                if self.peek()?.kind == Kind::FillLeft {
                    matching.fill_left = Some(self.fill_value()?);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The number in parentheses behind a fill modifier, which is read first.
    fn fill_value(&mut self) -> Parsed<f64> {
        self.next()?;
        self.expect(Kind::LeftParen)?;
        let value = self.signed_number()?;
        self.expect(Kind::RightParen)?;
        Ok(value)
    }
}
