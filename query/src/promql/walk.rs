//! Going through a tree.

use masthead_store::Matcher;

use super::ast::{Expr, ExprKind};

impl Expr {
    /// The direct parts, in upstream's order: the parameter of an aggregation comes last. Selectors and literals have none.
    pub fn children(&self) -> Vec<&Expr> {
        match &self.kind {
            ExprKind::Number(_) | ExprKind::String(_) | ExprKind::Vector(_) | ExprKind::Matrix(_) => Vec::new(),
            ExprKind::Subquery(subquery) => vec![&subquery.expr],
            ExprKind::Aggregate(aggregate) => std::iter::once(&aggregate.expr).chain(&aggregate.parameter).collect(),
            ExprKind::Binary(binary) => vec![&binary.left, &binary.right],
            ExprKind::Call(call) => call.args.iter().collect(),
            ExprKind::Paren(inner) | ExprKind::Unary(_, inner) => vec![inner],
        }
    }

    /// Like [`Expr::children`], to change them.
    pub fn children_mut(&mut self) -> Vec<&mut Expr> {
        match &mut self.kind {
            ExprKind::Number(_) | ExprKind::String(_) | ExprKind::Vector(_) | ExprKind::Matrix(_) => Vec::new(),
            ExprKind::Subquery(subquery) => vec![&mut subquery.expr],
            ExprKind::Aggregate(aggregate) => {
                std::iter::once(&mut aggregate.expr).chain(&mut aggregate.parameter).collect()
            }
            ExprKind::Binary(binary) => vec![&mut binary.left, &mut binary.right],
            ExprKind::Call(call) => call.args.iter_mut().collect(),
            ExprKind::Paren(inner) | ExprKind::Unary(_, inner) => vec![inner],
        }
    }

    /// The matchers of each selector in it.
    pub fn selectors(&self) -> Vec<&[Matcher]> {
        let mut found = Vec::new();
        self.walk(|expr| match &expr.kind {
            ExprKind::Vector(selector) => found.push(&*selector.matchers),
            ExprKind::Matrix(matrix) => found.push(&*matrix.vector.matchers),
            _ => {}
        });
        found
    }

    /// Calls `visit` on this expression and everything in it, parents first.
    pub fn walk<'a>(&'a self, mut visit: impl FnMut(&'a Expr)) {
        let mut left = vec![self];
        while let Some(expr) = left.pop() {
            visit(expr);
            left.extend(expr.children().into_iter().rev());
        }
    }

    /// Calls `visit` on this expression and everything in it, parents first; what it puts in place is gone through as well.
    pub fn walk_mut(&mut self, mut visit: impl FnMut(&mut Expr)) {
        let mut left = vec![self];
        while let Some(expr) = left.pop() {
            visit(expr);
            left.extend(expr.children_mut().into_iter().rev());
        }
    }
}
