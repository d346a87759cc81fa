//! The table of PromQL functions: names, types, arity. What they compute is the engine's business.

use super::ast::ValueType;

/// A function's signature, as in upstream's promql/parser/functions.go.
#[derive(Debug, PartialEq)]
pub struct Function {
    /// Name as written in a query.
    pub name: &'static str,
    /// Types of the arguments; optional ones at the end included.
    pub args: &'static [ValueType],
    /// 0: exactly `args`; n > 0: up to n of them may be left out; -1: the last one may be left out or repeated without end.
    pub variadic: i32,
    /// Type of the result.
    pub returns: ValueType,
    /// Needs `promql-experimental-functions`.
    pub experimental: bool,
}
