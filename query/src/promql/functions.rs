//! The table of PromQL functions: names, types, arity. What they compute is the engine's business.

use ValueType::{Matrix, Scalar, String, Vector};

/// Type of an expression's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// One float a step.
    Scalar,
    /// A set of series with one sample each at a step.
    Vector,
    /// A set of series with samples over a range each.
    Matrix,
    /// A string.
    String,
}

/// A function's signature, as in upstream's promql/parser/functions.go.
#[derive(Debug, PartialEq)]
pub struct Function {
    /// Name as written in a query.
    pub name: &'static str,
    /// Types of the arguments; optional ones at the end included.
    pub args: &'static [ValueType],
    /// 0: exactly `args`; n > 0: one less than `args` up to n more than that; -1: the last one may be left out or repeated
    /// without end.
    pub variadic: i32,
    /// Type of the result.
    pub returns: ValueType,
    /// Needs `promql-experimental-functions`.
    pub experimental: bool,
}

impl ValueType {
    /// The type as error texts for people name it (upstream's DocumentedType).
    pub fn documented(self) -> &'static str {
        match self {
            Scalar => "scalar",
            Vector => "instant vector",
            Matrix => "range vector",
            String => "string",
        }
    }

    /// The type as the HTTP API names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Scalar => "scalar",
            Vector => "vector",
            Matrix => "matrix",
            String => "string",
        }
    }
}

/// The function of this name. Names are case-sensitive.
pub fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.binary_search_by(|function| function.name.cmp(name)).ok().map(|at| &FUNCTIONS[at])
}

/// A row with a fixed number of arguments.
const fn fixed(name: &'static str, args: &'static [ValueType], returns: ValueType) -> Function {
    Function { name, args, variadic: 0, returns, experimental: false }
}

/// A row whose last argument is optional or repeated.
const fn variadic(name: &'static str, args: &'static [ValueType], variadic: i32) -> Function {
    Function { name, args, variadic, returns: Vector, experimental: false }
}

/// The same row, behind the feature.
const fn experimental(function: Function) -> Function {
    Function { experimental: true, ..function }
}

/// All functions of Prometheus 3.14, ascending by name.
pub static FUNCTIONS: &[Function] = &[
    fixed("abs", &[Vector], Vector),
    fixed("absent", &[Vector], Vector),
    fixed("absent_over_time", &[Matrix], Vector),
    fixed("acos", &[Vector], Vector),
    fixed("acosh", &[Vector], Vector),
    fixed("asin", &[Vector], Vector),
    fixed("asinh", &[Vector], Vector),
    fixed("atan", &[Vector], Vector),
    fixed("atanh", &[Vector], Vector),
    fixed("avg_over_time", &[Matrix], Vector),
    fixed("ceil", &[Vector], Vector),
    fixed("changes", &[Matrix], Vector),
    fixed("clamp", &[Vector, Scalar, Scalar], Vector),
    fixed("clamp_max", &[Vector, Scalar], Vector),
    fixed("clamp_min", &[Vector, Scalar], Vector),
    fixed("cos", &[Vector], Vector),
    fixed("cosh", &[Vector], Vector),
    fixed("count_over_time", &[Matrix], Vector),
    variadic("day_of_month", &[Vector], 1),
    variadic("day_of_week", &[Vector], 1),
    variadic("day_of_year", &[Vector], 1),
    variadic("days_in_month", &[Vector], 1),
    fixed("deg", &[Vector], Vector),
    fixed("delta", &[Matrix], Vector),
    fixed("deriv", &[Matrix], Vector),
    experimental(fixed("double_exponential_smoothing", &[Matrix, Scalar, Scalar], Vector)),
    experimental(fixed("end", &[], Scalar)),
    fixed("exp", &[Vector], Vector),
    fixed("first_over_time", &[Matrix], Vector),
    fixed("floor", &[Vector], Vector),
    fixed("histogram_avg", &[Vector], Vector),
    fixed("histogram_count", &[Vector], Vector),
    fixed("histogram_fraction", &[Scalar, Scalar, Vector], Vector),
    fixed("histogram_quantile", &[Scalar, Vector], Vector),
    experimental(variadic("histogram_quantiles", &[Vector, String, Scalar, Scalar], 9)),
    fixed("histogram_stddev", &[Vector], Vector),
    fixed("histogram_stdvar", &[Vector], Vector),
    fixed("histogram_sum", &[Vector], Vector),
    variadic("hour", &[Vector], 1),
    fixed("idelta", &[Matrix], Vector),
    fixed("increase", &[Matrix], Vector),
    experimental(variadic("info", &[Vector, Vector], 1)),
    fixed("irate", &[Matrix], Vector),
    variadic("label_join", &[Vector, String, String, String], -1),
    fixed("label_replace", &[Vector, String, String, String, String], Vector),
    fixed("last_over_time", &[Matrix], Vector),
    fixed("ln", &[Vector], Vector),
    fixed("log10", &[Vector], Vector),
    fixed("log2", &[Vector], Vector),
    experimental(fixed("mad_over_time", &[Matrix], Vector)),
    experimental(fixed("max_of", &[Scalar, Scalar], Scalar)),
    fixed("max_over_time", &[Matrix], Vector),
    experimental(fixed("min_of", &[Scalar, Scalar], Scalar)),
    fixed("min_over_time", &[Matrix], Vector),
    variadic("minute", &[Vector], 1),
    variadic("month", &[Vector], 1),
    fixed("pi", &[], Scalar),
    fixed("predict_linear", &[Matrix, Scalar], Vector),
    fixed("present_over_time", &[Matrix], Vector),
    fixed("quantile_over_time", &[Scalar, Matrix], Vector),
    fixed("rad", &[Vector], Vector),
    experimental(fixed("range", &[], Scalar)),
    fixed("rate", &[Matrix], Vector),
    fixed("resets", &[Matrix], Vector),
    variadic("round", &[Vector, Scalar], 1),
    fixed("scalar", &[Vector], Scalar),
    fixed("sgn", &[Vector], Vector),
    fixed("sin", &[Vector], Vector),
    fixed("sinh", &[Vector], Vector),
    fixed("sort", &[Vector], Vector),
    experimental(variadic("sort_by_label", &[Vector, String], -1)),
    experimental(variadic("sort_by_label_desc", &[Vector, String], -1)),
    fixed("sort_desc", &[Vector], Vector),
    fixed("sqrt", &[Vector], Vector),
    experimental(fixed("start", &[], Scalar)),
    experimental(fixed("start_timestamp", &[Vector], Vector)),
    fixed("stddev_over_time", &[Matrix], Vector),
    fixed("stdvar_over_time", &[Matrix], Vector),
    experimental(fixed("step", &[], Scalar)),
    fixed("sum_over_time", &[Matrix], Vector),
    fixed("tan", &[Vector], Vector),
    fixed("tanh", &[Vector], Vector),
    fixed("time", &[], Scalar),
    fixed("timestamp", &[Vector], Vector),
    experimental(fixed("ts_of_first_over_time", &[Matrix], Vector)),
    experimental(fixed("ts_of_last_over_time", &[Matrix], Vector)),
    experimental(fixed("ts_of_max_over_time", &[Matrix], Vector)),
    experimental(fixed("ts_of_min_over_time", &[Matrix], Vector)),
    fixed("vector", &[Scalar], Vector),
    variadic("year", &[Vector], 1),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_every_name_is_found() {
        assert!(FUNCTIONS.is_sorted_by(|a, b| a.name < b.name));
        for function in FUNCTIONS {
            assert_eq!(find(function.name), Some(function));
        }
        assert_eq!(find("Rate"), None);
        assert_eq!(FUNCTIONS.len(), 90);
    }
}
