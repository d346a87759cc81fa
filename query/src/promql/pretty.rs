//! Tree to text of several lines, as `/api/v1/format_query` gives it (promql/parser/prettier.go): what fits on a line of 100
//! bytes stays on it, what does not is split at its own parts, which stand two blanks deeper.

use std::fmt::{self, Display, Write};

use super::ast::{Expr, ExprKind};
use super::print::{AggregateHead, BinaryHead, SubqueryTail};

/// Bytes of a line before it is split (maxCharactersPerLine).
const LINE_BYTES_MAX: usize = 100;

impl Expr {
    /// The expression over as many lines as it needs.
    pub fn pretty(&self) -> String {
        let mut out = String::new();
        write_lines(self, 0, &mut out);
        out
    }
}

/// Appends `expr`, `level` levels deep. A binary operation that is split and a subquery that is not do not begin with the
/// blanks of their level, as upstream.
fn write_lines(expr: &Expr, level: usize, out: &mut String) {
    let split = is_long(expr);
    match &expr.kind {
        ExprKind::Binary(binary) if split => {
            write_lines(&binary.left, level + 1, out);
            push(out, format_args!("\n{}{}\n", Blanks(level), BinaryHead(binary)));
            write_lines(&binary.right, level + 1, out);
        }
        ExprKind::Subquery(subquery) if split => {
            write_lines(&subquery.expr, level, out);
            push(out, format_args!("{}", SubqueryTail(subquery)));
        }
        ExprKind::Subquery(_) => push(out, format_args!("{expr}")),
        ExprKind::Unary(op, inner) => {
            push(out, format_args!("{}{}", Blanks(level), op.as_str()));
            let start = out.len();
            write_lines(inner, level, out);
            let blanks = out[start..].len() - out[start..].trim_start().len();
            out.replace_range(start..start + blanks, "");
        }
        ExprKind::Aggregate(aggregate) if split => {
            push(out, format_args!("{}{}", Blanks(level), AggregateHead(aggregate)));
            write_parts(aggregate.parameter.iter().chain([&aggregate.expr]), level, out);
        }
        ExprKind::Call(call) if split => {
            push(out, format_args!("{}{}", Blanks(level), call.function.name));
            write_parts(&call.args, level, out);
        }
        ExprKind::Paren(inner) if split => {
            push(out, format_args!("{}", Blanks(level)));
            write_parts([&**inner], level, out);
        }
        _ => push(out, format_args!("{}{expr}", Blanks(level))),
    }
}

/// Parentheses with a part a line.
fn write_parts<'a>(parts: impl IntoIterator<Item = &'a Expr>, level: usize, out: &mut String) {
    out.push('(');
    for (i, part) in parts.into_iter().enumerate() {
        out.push_str(if i == 0 { "\n" } else { ",\n" });
        write_lines(part, level + 1, out);
    }
    push(out, format_args!("\n{})", Blanks(level)));
}

fn push(out: &mut String, text: fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = out.write_fmt(text);
}

/// The blanks of so many levels.
struct Blanks(usize);

impl Display for Blanks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (0..self.0).try_for_each(|_| f.write_str("  "))
    }
}

/// Whether `expr` is too long for a line. Printing ends where that shows, so that the work for a tree grows with its size.
fn is_long(expr: &Expr) -> bool {
    /// Bytes that still fit.
    struct Room(usize);
    impl Write for Room {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0 = self.0.checked_sub(text.len()).ok_or(fmt::Error)?;
            Ok(())
        }
    }
    write!(Room(LINE_BYTES_MAX), "{expr}").is_err()
}

#[cfg(test)]
mod tests {
    use crate::promql::{Features, Limits, ParseOptions, parse};

    #[test]
    fn long_expressions_are_split_at_their_parts() {
        let long = "a_metric_with_a_rather_long_name_so_that_two_of_them_do_not_fit_on_a_line";
        for (query, expected) in [
            ("sum(x)  by(a)", "sum by (a) (x)".to_owned()),
            ("x[5m:] ", "x[5m:]".to_owned()),
            (&format!("{long} + on(a) {long}"), format!("  {long}\n+ on (a)\n  {long}")),
            (
                &format!("topk(3, sum without (b) (rate({long}{{a=\"b\",c=\"d\"}}[5m])))"),
                format!("topk(\n  3,\n  sum without (b) (\n    rate({long}{{a=\"b\",c=\"d\"}}[5m])\n  )\n)"),
            ),
            (&format!("-({long} / {long})"), format!("-(\n    {long}\n  /\n    {long}\n)")),
            (
                &format!("max_over_time(({long} > bool {long})[1h:5m] offset 1m)"),
                format!("max_over_time(\n  (\n      {long}\n    > bool\n      {long}\n  )[1h:5m] offset 1m\n)"),
            ),
        ] {
            let options = ParseOptions { features: Features::ALL, limits: Limits::default() };
            assert_eq!(parse(query, &options).unwrap().pretty(), expected, "{query}");
        }
    }

    #[test]
    fn a_tall_tree_is_no_work() {
        let limits = Limits { depth: Limits::DEPTH_MAX, terms: 200_000, bytes: 1 << 20, ..Limits::default() };
        let options = ParseOptions { features: Features::ALL, limits };
        let query = format!("{}{}{}", "abs(".repeat(900), "x".repeat(500_000), ")".repeat(900));
        let pretty = parse(&query, &options).unwrap().pretty();
        assert!(pretty.ends_with(")\n)") && pretty.lines().count() == 1801);
    }
}
