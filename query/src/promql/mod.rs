//! PromQL text to syntax tree and back. Our own lexer and parser: positions on every node, Prometheus' error texts, limits.

pub mod ast;
pub mod functions;

/// Line and column (both from 1, the column in bytes) of a byte offset of `query`, as Prometheus counts them
/// (promql/parser/posrange).
pub fn line_column(query: &str, offset: usize) -> (usize, usize) {
    let before = &query.as_bytes()[..offset.min(query.len())];
    let line = before.iter().filter(|b| **b == b'\n').count() + 1;
    let column = before.iter().rposition(|b| *b == b'\n').map_or(before.len(), |at| before.len() - at - 1) + 1;
    (line, column)
}
