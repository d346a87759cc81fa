//! The nodes of a plan. Typed: whoever holds a [`Plan`] knows from its variant whether it gives a scalar, rows or raw samples.

use masthead_store::regex::Regex;
use masthead_store::{Grouping, Labels, Matcher, Millis};

use super::Timeline;
use crate::annotations::Place;
use crate::promql::ast::{AggregateOp, BinaryOp, RangeExtension};

/// A node of a plan. Scalar nodes give exactly one row without labels and a value at every step; the other ones give any
/// number of rows. Rows of equal labels may come, as pieces of one series, if no two of them have samples at the same step.
#[derive(Debug, Clone, PartialEq)]
pub enum Plan {
    /// Scalar: a constant.
    Number(f64),
    /// A string. Only the root can be one; strings inside a query are part of their function's node.
    Text(String),
    /// Nothing: a subquery whose grid has no step.
    Empty,
    /// Scalar: the evaluation time in seconds.
    Time,
    /// Rows of a selector, by an instant lookup or a function of a range.
    Scan(Scan),
    /// Rows of a function of a subquery's range.
    Subquery(Subquery),
    /// Raw samples of a range selector or subquery; root only.
    Raw(Box<Plan>),
    /// Cell by cell: float functions, unary minus, time functions.
    Map(Map),
    /// Scalar: the one value of a vector.
    ScalarOf(Box<Plan>),
    /// One row without labels.
    VectorOf(Box<Plan>),
    /// Scalar: an operator between scalars.
    ScalarBinary {
        /// Operator.
        op: BinaryOp,
        /// Left side, scalar.
        left: Box<Plan>,
        /// Right side, scalar.
        right: Box<Plan>,
    },
    /// Scalar: `min_of`, `max_of` or unary minus ([`Map::NEGATE`]).
    ScalarCall {
        /// Name.
        function: &'static str,
        /// Arguments, scalars.
        args: Vec<Plan>,
    },
    /// An operator between a vector and a scalar.
    VectorScalar(VectorScalar),
    /// An operator between two vectors, and the set operators.
    Join(Join),
    /// Aggregations of groups: sum, avg, quantile, topk, ...
    Aggregate(Aggregate),
    /// `absent()` and `absent_over_time()`.
    Absent {
        /// What must be absent.
        input: Box<Plan>,
        /// Labels of the answer.
        labels: Labels,
        /// What goes with a name is to be dropped from them at the end.
        drop_name: bool,
    },
    /// `sort()` and its kin.
    Sort {
        /// Rows to be sorted.
        input: Box<Plan>,
        /// By what.
        order: Order,
        /// One time is asked for, so that the order can show.
        effective: bool,
        /// Place of the call.
        place: Place,
    },
    /// `label_replace()` and `label_join()`.
    Relabel {
        /// Rows.
        input: Box<Plan>,
        /// What changes.
        rule: Relabel,
    },
    /// `histogram_quantile()` and its kin.
    ClassicHistogram(ClassicHistogram),
    /// `info()`.
    Info(Info),
    /// The input does not depend on the step: it is evaluated at the first one only, and its values hold for all.
    StepInvariant(Box<Plan>),
    /// Refuses rows of equal labels, which come where names were dropped.
    Duplicates {
        /// Rows.
        input: Box<Plan>,
        /// Rows of equal labels are refused only if they have samples at the same step.
        pieces: bool,
    },
    /// Joins rows of equal labels whose samples lie at different steps into one.
    Merge(Box<Plan>),
}

/// Labels that go with the metric name (schema.IsMetadataLabel).
pub const METADATA_LABELS: [&str; 3] = ["__name__", "__type__", "__unit__"];

/// What happens to the metric name, and with it to `__type__` and `__unit__` (schema.IsMetadataLabel).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Names {
    /// It stays.
    Keep,
    /// It goes at once.
    Drop,
    /// It is marked to go at the end of the query: delayed name removal.
    Mark,
}

/// Reads a selector.
#[derive(Debug, Clone, PartialEq)]
pub struct Scan {
    /// Index into the selects of the plan.
    pub select: usize,
    /// What is selected.
    pub matchers: Vec<Matcher>,
    /// How samples become cells.
    pub spec: ScanSpec,
    /// Scalar arguments of the function, in order, the range argument left out.
    pub args: Vec<Plan>,
}

/// Evaluates a function over the samples that an inner expression gives on its own grid.
#[derive(Debug, Clone, PartialEq)]
pub struct Subquery {
    /// What gives the samples.
    pub input: Box<Plan>,
    /// The grid of `input`.
    pub grid: Timeline,
    /// Step of the grid, ms.
    pub step: Millis,
    /// How samples become cells. Its function is one of a range.
    pub spec: ScanSpec,
    /// Scalar arguments of the function, in order, the range argument left out.
    pub args: Vec<Plan>,
}

/// How the samples of one series become one cell a step.
#[derive(Debug, Clone, PartialEq)]
pub struct ScanSpec {
    /// The function.
    pub function: ScanFunction,
    /// When the cells are.
    pub timeline: Timeline,
    /// Width of the window, ms. 0 where the function looks back instead.
    pub range: Millis,
    /// Subtracted from the time of a step, or from `at`, ms.
    pub offset: Millis,
    /// Stands for the time of every step: the windows of all steps are the same. The step's own time still counts for
    /// functions that ask for it (`predict_linear`).
    pub at: Option<Millis>,
    /// How far an instant lookup reaches back, and how far an extension reaches out, ms.
    pub lookback: Millis,
    /// `anchored` or `smoothed`.
    pub extension: Option<RangeExtension>,
    /// Start timestamps of samples count.
    pub use_start_timestamps: bool,
    /// Of native histograms only count, sum and whether they were reset are wanted.
    pub histogram_stats: bool,
    /// The metric type is judged by `__type__` rather than by the name's suffix.
    pub type_and_unit_labels: bool,
    /// What happens to the name.
    pub names: Names,
    /// Place of the first argument of the function as written, or of the selector itself where there is no call.
    pub place: Place,
}

/// The functions of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ScanFunction {
    /// The newest sample of the lookback: an instant selector.
    Latest,
    /// Its time in seconds: `timestamp(selector)`.
    Timestamp,
    /// Its start timestamp in seconds: `start_timestamp(selector)`.
    StartTimestamp,
    /// Its time in ms, floats only: what `info()` compares.
    SampleTime,
    /// A function of a range, by its name in PromQL.
    Range(&'static str),
    /// All samples of the window; for [`Plan::Raw`] only.
    Raw,
}

/// A function of each cell.
#[derive(Debug, Clone, PartialEq)]
pub struct Map {
    /// Name in the table of instant functions or time functions; [`Map::NEGATE`] is unary minus.
    pub function: &'static str,
    /// Rows.
    pub input: Box<Plan>,
    /// Further arguments, scalars.
    pub args: Vec<Plan>,
    /// What happens to the name.
    pub names: Names,
}

impl Map {
    /// Unary minus, which no function of the language is named.
    pub const NEGATE: &'static str = "-";
}

/// An operator between a vector and a scalar.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorScalar {
    /// Operator.
    pub op: BinaryOp,
    /// `bool`.
    pub return_bool: bool,
    /// Rows.
    pub vector: Box<Plan>,
    /// Scalar.
    pub scalar: Box<Plan>,
    /// The scalar is the left side.
    pub scalar_left: bool,
    /// What happens to the name.
    pub names: Names,
    /// Place of the operation.
    pub place: Place,
}

/// An operator between two vectors.
#[derive(Debug, Clone, PartialEq)]
pub struct Join {
    /// Operator.
    pub op: BinaryOp,
    /// `bool`.
    pub return_bool: bool,
    /// Left side.
    pub left: Box<Plan>,
    /// Right side.
    pub right: Box<Plan>,
    /// How series find each other.
    pub matching: crate::promql::ast::Matching,
    /// Names are removed at the end of the query.
    pub delayed_names: bool,
    /// Place of the operation.
    pub place: Place,
}

/// An aggregation.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    /// Which one.
    pub op: AggregateOp,
    /// Which labels make a group. `without` includes the metric name.
    pub grouping: Grouping,
    /// Rows.
    pub input: Box<Plan>,
    /// Parameter, scalar; not for count_values.
    pub parameter: Option<Box<Plan>>,
    /// The label of count_values.
    pub label: Option<Box<str>>,
    /// Place of the parameter.
    pub parameter_place: Place,
    /// What annotations about samples point to: the aggregation itself for topk and bottomk, what is aggregated for others.
    pub place: Place,
}

/// Orders of `sort()` and its kin.
#[derive(Debug, Clone, PartialEq)]
pub enum Order {
    /// By value, NaN last.
    Value {
        /// Greatest first.
        descending: bool,
    },
    /// By the values of labels in natural order, then by all labels.
    Labels {
        /// Names.
        labels: Vec<Box<str>>,
        /// Last first.
        descending: bool,
    },
}

/// What `label_replace()` or `label_join()` does.
#[derive(Debug, Clone, PartialEq)]
pub enum Relabel {
    /// `label_replace()`.
    Replace {
        /// Label to be set.
        destination: Box<str>,
        /// Template.
        replacement: Box<str>,
        /// Label to be read.
        source: Box<str>,
        /// Which values are replaced.
        regex: Regex,
    },
    /// `label_join()`.
    Join {
        /// Label to be set.
        destination: Box<str>,
        /// Between the values.
        separator: Box<str>,
        /// Labels to be read.
        sources: Vec<Box<str>>,
    },
}

/// A function of classic histograms.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassicHistogram {
    /// Which one.
    pub function: HistogramFunction,
    /// Buckets.
    pub input: Box<Plan>,
    /// Scalars: the quantile, the quantiles, or lower and upper bound.
    pub args: Vec<Plan>,
    /// Places of `args`.
    pub arg_places: Vec<Place>,
    /// Place of the buckets.
    pub input_place: Place,
    /// Names are removed at the end of the query.
    pub delayed_names: bool,
}

/// Functions of classic histograms.
#[derive(Debug, Clone, PartialEq)]
pub enum HistogramFunction {
    /// `histogram_quantile(q, buckets)`
    Quantile,
    /// `histogram_quantiles(buckets, "label", q...)`
    Quantiles {
        /// Label that takes the quantile.
        label: Box<str>,
    },
    /// `histogram_fraction(lower, upper, buckets)`
    Fraction,
}

/// `info(v, {selector})`.
#[derive(Debug, Clone, PartialEq)]
pub struct Info {
    /// Rows to be enriched.
    pub input: Box<Plan>,
    /// The info series: a [`Plan::Scan`] of [`ScanFunction::SampleTime`].
    pub info: Box<Plan>,
    /// Which metrics are info metrics.
    pub name_matchers: Vec<Matcher>,
    /// The selector's other matchers.
    pub data_matchers: Vec<Matcher>,
}

impl Plan {
    /// The nodes below this one, in the order in which Prometheus evaluates them (promql/engine.go, eval).
    pub fn children(&self) -> Vec<&Plan> {
        match self {
            Plan::Number(_) | Plan::Text(_) | Plan::Empty | Plan::Time => Vec::new(),
            Plan::Scan(scan) => scan.args.iter().collect(),
            Plan::Subquery(node) => std::iter::once(&*node.input).chain(&node.args).collect(),
            Plan::Map(node) => std::iter::once(&*node.input).chain(&node.args).collect(),
            Plan::ClassicHistogram(node) => match node.function {
                HistogramFunction::Quantiles { .. } => [&*node.input].into_iter().chain(&node.args).collect(),
                _ => node.args.iter().chain([&*node.input]).collect(),
            },
            Plan::ScalarCall { args, .. } => args.iter().collect(),
            Plan::ScalarBinary { left, right, .. } => vec![left, right],
            Plan::VectorScalar(VectorScalar { vector, scalar, scalar_left, .. }) => {
                if *scalar_left {
                    vec![scalar, vector]
                } else {
                    vec![vector, scalar]
                }
            }
            Plan::Join(node) => vec![&node.left, &node.right],
            Plan::Aggregate(node) => node.parameter.as_deref().into_iter().chain([&*node.input]).collect(),
            Plan::Info(node) => vec![&node.input, &node.info],
            Plan::Raw(input)
            | Plan::ScalarOf(input)
            | Plan::VectorOf(input)
            | Plan::Absent { input, .. }
            | Plan::Sort { input, .. }
            | Plan::Relabel { input, .. }
            | Plan::StepInvariant(input)
            | Plan::Duplicates { input, .. }
            | Plan::Merge(input) => vec![input],
        }
    }

    /// The nodes below this one in the same order, to be changed.
    pub fn children_mut(&mut self) -> Vec<&mut Plan> {
        match self {
            Plan::Number(_) | Plan::Text(_) | Plan::Empty | Plan::Time => Vec::new(),
            Plan::Scan(scan) => scan.args.iter_mut().collect(),
            Plan::Subquery(node) => std::iter::once(&mut *node.input).chain(&mut node.args).collect(),
            Plan::Map(node) => std::iter::once(&mut *node.input).chain(&mut node.args).collect(),
            Plan::ClassicHistogram(node) => match node.function {
                HistogramFunction::Quantiles { .. } => [&mut *node.input].into_iter().chain(&mut node.args).collect(),
                _ => node.args.iter_mut().chain([&mut *node.input]).collect(),
            },
            Plan::ScalarCall { args, .. } => args.iter_mut().collect(),
            Plan::ScalarBinary { left, right, .. } => vec![left, right],
            Plan::VectorScalar(VectorScalar { vector, scalar, scalar_left, .. }) => {
                if *scalar_left {
                    vec![scalar, vector]
                } else {
                    vec![vector, scalar]
                }
            }
            Plan::Join(node) => vec![&mut node.left, &mut node.right],
            Plan::Aggregate(node) => node.parameter.as_deref_mut().into_iter().chain([&mut *node.input]).collect(),
            Plan::Info(node) => vec![&mut node.input, &mut node.info],
            Plan::Raw(input)
            | Plan::ScalarOf(input)
            | Plan::VectorOf(input)
            | Plan::Absent { input, .. }
            | Plan::Sort { input, .. }
            | Plan::Relabel { input, .. }
            | Plan::StepInvariant(input)
            | Plan::Duplicates { input, .. }
            | Plan::Merge(input) => vec![input],
        }
    }
}
