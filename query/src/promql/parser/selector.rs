//! Vector selectors.

use masthead_store::{MatchOp, Matcher, labels::METRIC_NAME};

use super::super::ast::{BinaryOp, ExprKind, Span, VectorSelector};
use super::super::error::Fault;
use super::super::quote::{into_text, unquote};
use super::super::token::{Kind, Token};
use super::{Node, Parsed, Parser, Stop, fault};

impl Parser<'_> {
    /// A whole selector, as `match[]` takes it.
    pub(in super::super) fn parse_selector(&mut self) -> Result<Vec<Matcher>, Fault> {
        let parsed = self.whole_selector();
        self.finish(parsed)
    }

    fn whole_selector(&mut self) -> Parsed<Vec<Matcher>> {
        let token = self.peek()?;
        let name = if token.kind.is_metric_name() { Some(self.next()?) } else { None };
        if name.is_none() && token.kind != Kind::LeftBrace {
            return Err(Stop::Unexpected);
        }
        let node = self.vector_selector(name)?;
        self.expect(Kind::Eof)?;
        match node.expr.kind {
            ExprKind::Vector(vector) => Ok(vector.matchers),
            _ => Err(Stop::Unexpected),
        }
    }

    /// The rest of a selector behind its name, or one without a name.
    #[inline(never)]
    pub(super) fn vector_selector(&mut self, name: Option<Token>) -> Parsed<Node> {
        let mut span = name.map_or(self.last.span, |name| name.span);
        let mut matchers = Vec::new();
        if self.peek()?.kind == Kind::LeftBrace {
            let braces;
            (matchers, braces) = self.label_matchers()?;
            span.end = braces.end;
        }
        let name: Option<Box<str>> = name.map(|name| self.text(name).into());
        if let Some(name) = &name {
            matchers.push(Matcher::equal(METRIC_NAME, name));
        }
        let vector = VectorSelector {
            name,
            matchers,
            offset: None,
            at: None,
            extension: None,
            bypass_empty_matcher_check: false,
        };
        self.node(ExprKind::Vector(vector), span, 0)
    }

    /// Matchers in braces, and the place of the braces.
    fn label_matchers(&mut self) -> Parsed<(Vec<Matcher>, Span)> {
        let open = self.expect(Kind::LeftBrace)?.span;
        let mut matchers = Vec::new();
        loop {
            if self.peek()?.kind == Kind::RightBrace {
                return Ok((matchers, open.to(self.next()?.span)));
            }
            matchers.push(self.label_matcher()?);
            if !self.accept(Kind::Comma)? {
                let close = self.expect(Kind::RightBrace);
                let close = self.naming(close, "label matching", "\",\" or \"}\"")?;
                return Ok((matchers, open.to(close.span)));
            }
        }
    }

    fn label_matcher(&mut self) -> Parsed<Matcher> {
        let place = "label matching";
        let label = self.peek()?;
        if !matches!(label.kind, Kind::Identifier | Kind::String) {
            return self.naming(Err(Stop::Unexpected), place, "identifier or \"}\"");
        }
        self.next()?;
        self.count_terms(1, label.span)?;
        let op = match self.peek()?.kind {
            Kind::Assign => MatchOp::Equal,
            Kind::Operator(BinaryOp::NotEqual) => MatchOp::NotEqual,
            Kind::Matches => MatchOp::Regex,
            Kind::MatchesNot => MatchOp::NotRegex,
            _ if label.kind == Kind::String => return Ok(Matcher::equal(METRIC_NAME, &self.string(label))),
            _ => return self.naming(Err(Stop::Unexpected), place, "label matching operator"),
        };
        self.next()?;
        let value = self.expect(Kind::String);
        let value = self.naming(value, place, "string")?;
        let name = match label.kind {
            Kind::String => self.string(label),
            _ => self.text(label).to_owned(),
        };
        // A quoted name counts without its quotes here: its token upstream is the name itself.
        self.matcher(&name, op, self.string(value)).map_err(|message| fault(label.span.to(value.span), message))
    }

    /// Compiles each expression once, and all together only up to a limit.
    fn matcher(&mut self, name: &str, op: MatchOp, value: String) -> Result<Matcher, String> {
        if !matches!(op, MatchOp::Regex | MatchOp::NotRegex) {
            return Matcher::new(name, op, &value);
        }
        if let Some(compiled) = self.shared.compiled.get(&value) {
            return Ok(compiled.with_same_regex(name, op));
        }
        let matcher = Matcher::new(name, op, &value)?;
        self.shared.compiled_bytes += matcher.size_bytes();
        let limit = self.limits.regex_bytes;
        if self.shared.compiled_bytes > limit {
            return Err(format!(
                "the regular expressions of the query take more memory than the limit of {limit} bytes"
            ));
        }
        self.shared.compiled.insert(value, matcher.clone());
        Ok(matcher)
    }

    /// What a string token stands for.
    pub(super) fn string(&self, token: Token) -> String {
        into_text(unquote(self.text(token)))
    }
}
