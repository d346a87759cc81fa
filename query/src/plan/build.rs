//! Syntax tree to plan: the last place that knows the parser's types.

use masthead_store::labels::METRIC_NAME;
use masthead_store::{Grouping, MatchOp, Matcher, Millis};

use super::node::{Aggregate, Join, Map, Names, Plan, Scan, ScanFunction, ScanSpec, Subquery, VectorScalar};
use super::times::QueryTimes;
use super::{METADATA_LABELS, PlanOptions, Timeline};
use crate::annotations::Place;
use crate::error::QueryError;
use crate::promql::ast::{
    self, AggregateOp, At, BinaryOp, DurationExpr, Expr, ExprKind, RangeExtension, Span, UnaryOp,
};
use crate::promql::functions::ValueType;
use crate::promql::{self, duration};

/// Builds the plan of a whole query. Times of the nodes and indices of selects are not set yet.
pub(super) fn build(expr: &Expr, times: QueryTimes, options: &PlanOptions) -> Result<Plan, QueryError> {
    let builder = Builder { times, options, in_parameter: false };
    match &strip(expr).kind {
        ExprKind::Matrix(_) | ExprKind::Subquery(_) => {
            let range = builder.range_function(ScanFunction::Raw, strip(expr), Vec::new(), expr.span)?;
            Ok(Plan::Raw(Box::new(range.plan)))
        }
        _ => Ok(builder.expr(expr)?.plan),
    }
}

/// A place whose turn is not known yet.
pub(super) fn place(span: Span) -> Place {
    Place { span, turn: 0 }
}

/// The expression without the parentheses around it.
pub(super) fn strip(mut expr: &Expr) -> &Expr {
    while let ExprKind::Paren(inner) = &expr.kind {
        expr = inner;
    }
    expr
}

pub(super) struct Builder<'a> {
    pub(super) times: QueryTimes,
    pub(super) options: &'a PlanOptions,
    /// What is built is part of an aggregation's parameter.
    in_parameter: bool,
}

/// A node with what is known of its rows.
pub(super) struct Built {
    pub(super) plan: Plan,
    /// How metric names (with `__type__` and `__unit__`) differ among the rows.
    pub(super) names: NameSpread,
    /// Each label set comes in one row only, not in pieces.
    pub(super) whole: bool,
}

/// How the metric names of rows differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NameSpread {
    /// There are none.
    None,
    /// All are the same.
    One,
    /// They may differ.
    Many,
}

impl Built {
    /// A scalar, or rows without names that are whole.
    pub(super) fn nameless(plan: Plan) -> Self {
        Self { plan, names: NameSpread::None, whole: true }
    }
}

impl Builder<'_> {
    /// Builds any expression but a range.
    pub(super) fn expr(&self, expr: &Expr) -> Result<Built, QueryError> {
        match &expr.kind {
            ExprKind::Number(number) => Ok(Built::nameless(Plan::Number(number.value))),
            ExprKind::String(text) => Ok(Built::nameless(Plan::Text(promql::lossy(text)))),
            ExprKind::Paren(inner) => self.expr(inner),
            ExprKind::Vector(selector) => self.instant_selector(ScanFunction::Latest, selector, Names::Keep, expr.span),
            ExprKind::Unary(UnaryOp::Plus, inner) => self.expr(inner),
            ExprKind::Unary(UnaryOp::Minus, inner) => self.negate(inner),
            ExprKind::Binary(binary) => self.binary(binary, expr.span),
            ExprKind::Aggregate(aggregate) => self.aggregate(aggregate, expr.span),
            ExprKind::Call(call) => self.call(call, expr.span),
            ExprKind::Matrix(_) | ExprKind::Subquery(_) => {
                Err(QueryError::Internal("a range outside of a call".into()))
            }
        }
    }

    /// What happens to names where a function drops them.
    pub(super) fn dropping(&self) -> Names {
        if self.options.delayed_name_removal { Names::Mark } else { Names::Drop }
    }

    /// Closes a node that drops the names of its rows: rows that differed by name only are now equal. `pieces`: they may be
    /// pieces of one series; else they are refused (promql/engine.go: rangeEval merges, the loop over ranges does not).
    pub(super) fn dropped(&self, plan: Plan, before: NameSpread, whole: bool, pieces: bool) -> Built {
        if self.options.delayed_name_removal {
            return Built { plan, names: before, whole };
        }
        let differ = match before {
            NameSpread::None => false,
            // `__type__` and `__unit__` go with the name and may differ under one name.
            NameSpread::One => self.options.type_and_unit_labels,
            NameSpread::Many => true,
        };
        if !differ {
            return Built { plan, names: NameSpread::None, whole };
        }
        let plan = Plan::Duplicates { input: Box::new(plan), pieces };
        Built { plan, names: NameSpread::None, whole: whole && !pieces }
    }

    /// A range or a step, which must be above zero.
    pub(super) fn range(&self, expr: &DurationExpr) -> Result<Millis, QueryError> {
        duration::evaluate_positive(expr, &self.times).map_err(QueryError::Invalid)
    }

    pub(super) fn offset(&self, offset: Option<&DurationExpr>) -> Result<Millis, QueryError> {
        offset.map_or(Ok(0), |offset| duration::evaluate(offset, &self.times).map_err(QueryError::Invalid))
    }

    /// The fixed time of a selector. In parameters of aggregations `start()` and `end()` fix nothing, as upstream
    /// (promql/engine.go, preprocessExprHelper, does not visit them).
    pub(super) fn at(&self, at: Option<At>) -> Option<Millis> {
        let at = at.filter(|at| !self.in_parameter || matches!(at, At::Time(_)));
        at.map(|at| self.times.at(at))
    }

    fn spec(&self, function: ScanFunction, names: Names, span: Span) -> ScanSpec {
        ScanSpec {
            function,
            timeline: Timeline::instant(0),
            range: 0,
            offset: 0,
            at: None,
            lookback: self.options.lookback,
            extension: None,
            use_start_timestamps: self.options.use_start_timestamps,
            histogram_stats: false,
            type_and_unit_labels: self.options.type_and_unit_labels,
            names,
            place: place(span),
        }
    }

    /// A selector looked up at each step.
    pub(super) fn instant_selector(
        &self,
        function: ScanFunction,
        selector: &ast::VectorSelector,
        names: Names,
        span: Span,
    ) -> Result<Built, QueryError> {
        let spec = ScanSpec {
            offset: self.offset(selector.offset.as_ref())?,
            at: self.at(selector.at),
            extension: if function == ScanFunction::Latest { selector.extension } else { None },
            ..self.spec(function, names, span)
        };
        let spread = name_spread(&selector.matchers);
        let plan = Plan::Scan(Scan { select: 0, matchers: selector.matchers.clone(), spec, args: Vec::new() });
        Ok(Built { plan, names: spread, whole: true })
    }

    /// A function of a range selector or subquery. `args` are its scalars.
    pub(super) fn range_function(
        &self,
        function: ScanFunction,
        range: &Expr,
        args: Vec<Plan>,
        span: Span,
    ) -> Result<Built, QueryError> {
        // These two stand for a sample of the series (promql/engine.go, eval of a Call).
        let keeps = matches!(function, ScanFunction::Raw | ScanFunction::Range("last_over_time" | "first_over_time"));
        let names = if keeps { Names::Keep } else { self.dropping() };
        let spec = self.spec(function, names, span);
        let (plan, spread) = match &range.kind {
            ExprKind::Matrix(matrix) => {
                check_extension(function, matrix.vector.extension)?;
                let spec = ScanSpec {
                    range: self.range(&matrix.range)?,
                    offset: self.offset(matrix.vector.offset.as_ref())?,
                    at: self.at(matrix.vector.at),
                    extension: matrix.vector.extension,
                    ..spec
                };
                let matchers = matrix.vector.matchers.clone();
                let spread = name_spread(&matchers);
                (Plan::Scan(Scan { select: 0, matchers, spec, args }), spread)
            }
            ExprKind::Subquery(subquery) => {
                let inner = self.expr(&subquery.expr)?;
                let step = subquery.step.as_ref().map(|step| self.range(step)).transpose()?;
                let spec = ScanSpec {
                    offset: self.offset(subquery.offset.as_ref())?,
                    range: self.range(&subquery.range)?,
                    at: self.at(subquery.at),
                    ..spec
                };
                let input = if inner.whole { inner.plan } else { Plan::Merge(Box::new(inner.plan)) };
                let step = step.filter(|step| *step != 0).unwrap_or(self.options.default_step);
                let grid = Timeline::instant(0);
                (Plan::Subquery(Subquery { input: Box::new(input), grid, step, spec, args }), inner.names)
            }
            _ => return Err(QueryError::Internal("a range function without a range".into())),
        };
        if keeps { Ok(Built { plan, names: spread, whole: true }) } else { Ok(self.dropped(plan, spread, true, false)) }
    }

    fn negate(&self, inner: &Expr) -> Result<Built, QueryError> {
        let input = self.expr(inner)?;
        if inner.value_type() == ValueType::Scalar {
            let plan = match input.plan {
                Plan::Number(value) => Plan::Number(-value),
                scalar => Plan::ScalarCall { function: Map::NEGATE, args: vec![scalar] },
            };
            return Ok(Built::nameless(plan));
        }
        Ok(self.map(Map::NEGATE, input, Vec::new()))
    }

    /// A function of each cell that drops names.
    pub(super) fn map(&self, function: &'static str, input: Built, args: Vec<Plan>) -> Built {
        let map = Map { function, input: Box::new(input.plan), args, names: self.dropping() };
        self.dropped(Plan::Map(map), input.names, input.whole, true)
    }

    fn binary(&self, binary: &ast::Binary, span: Span) -> Result<Built, QueryError> {
        let left = self.expr(&binary.left)?;
        let right = self.expr(&binary.right)?;
        let (op, return_bool) = (binary.op, binary.return_bool);
        let is_vector = |expr: &Expr| expr.value_type() == ValueType::Vector;
        let (vector, scalar, scalar_left) = match (is_vector(&binary.left), is_vector(&binary.right)) {
            (false, false) => {
                let (left, right) = (Box::new(left.plan), Box::new(right.plan));
                return Ok(Built::nameless(Plan::ScalarBinary { op, left, right }));
            }
            (true, true) => return Ok(self.join(binary, left, right, span)),
            (true, false) => (left, right, false),
            (false, true) => (right, left, true),
        };
        let drops = is_arithmetic(op) || return_bool;
        let names = if drops { self.dropping() } else { Names::Keep };
        let plan = Plan::VectorScalar(VectorScalar {
            op,
            return_bool,
            vector: Box::new(vector.plan),
            scalar: Box::new(scalar.plan),
            scalar_left,
            names,
            place: place(span),
        });
        if !drops {
            return Ok(Built { plan, names: vector.names, whole: vector.whole });
        }
        Ok(self.dropped(plan, vector.names, vector.whole, true))
    }

    fn join(&self, binary: &ast::Binary, left: Built, right: Built, span: Span) -> Built {
        let matching = binary.matching.clone().unwrap_or_else(|| ast::Matching {
            cardinality: ast::Cardinality::OneToOne,
            on: false,
            labels: Vec::new(),
            include: Vec::new(),
            fill_left: None,
            fill_right: None,
        });
        let drops = is_arithmetic(binary.op) || binary.return_bool;
        let names = match binary.op {
            BinaryOp::Or if left.names == NameSpread::None && right.names == NameSpread::None => NameSpread::None,
            BinaryOp::Or => NameSpread::Many,
            // A filled side brings rows without a name beside those with one.
            _ if !drops && (matching.fill_left.is_some() || matching.fill_right.is_some()) => NameSpread::Many,
            // `group_left(__name__)` brings the name of the other side back.
            _ if drops && matching.include.iter().any(|label| is_metadata(label)) => NameSpread::Many,
            _ if drops => NameSpread::None,
            _ => left.names.max(right.names),
        };
        // A key that holds what goes with the name tells rows apart that are equal once it is dropped.
        let in_key = |name: &str| matching.labels.iter().any(|label| **label == *name) == matching.on;
        let keyed_by_name = if matching.on {
            METADATA_LABELS.into_iter().any(in_key)
        } else {
            self.options.type_and_unit_labels && METADATA_LABELS[1..].iter().any(|name| in_key(name))
        };
        let dropped_at_once = drops && !self.options.delayed_name_removal;
        let plan = Plan::Join(Join {
            op: binary.op,
            return_bool: binary.return_bool,
            left: Box::new(left.plan),
            right: Box::new(right.plan),
            matching,
            delayed_names: self.options.delayed_name_removal,
            place: place(span),
        });
        let plan = if dropped_at_once && keyed_by_name {
            Plan::Duplicates { input: Box::new(plan), pieces: true }
        } else {
            plan
        };
        let filter = matches!(binary.op, BinaryOp::And | BinaryOp::Unless);
        Built { plan, names, whole: filter && left.whole }
    }

    fn aggregate(&self, aggregate: &ast::Aggregate, span: Span) -> Result<Built, QueryError> {
        let input_expr = strip(&aggregate.expr);
        let input = self.expr(input_expr)?;
        let parameter_expr = aggregate.parameter.as_ref().map(strip);
        let mut names: Vec<Box<str>> = aggregate.grouping.clone();
        let (mut label, mut parameter) = (None, None);
        match parameter_expr.map(|expr| &expr.kind) {
            Some(ExprKind::String(text)) if aggregate.op == AggregateOp::CountValues => {
                if !promql::is_label_name(text) {
                    let text = promql::quote_literal(text);
                    return Err(QueryError::Execution(format!("invalid label name {text}")));
                }
                label = Some(text.as_str().into());
                if !aggregate.without {
                    names.push(text.as_str().into());
                }
            }
            Some(_) => {
                let expr = parameter_expr.unwrap_or(input_expr);
                let builder = Self { in_parameter: true, ..*self };
                parameter = Some(Box::new(builder.expr(expr)?.plan));
            }
            None => {}
        }
        if aggregate.without {
            names.push(METRIC_NAME.into());
        }
        names.sort_unstable();
        names.dedup();
        let by = |label: &str| !aggregate.without && names.iter().any(|name| &**name == label);
        // Of what goes with the name, a new label and those that were grouped by may differ from group to group.
        let spread = match () {
            () if label.as_deref().is_some_and(is_metadata) => NameSpread::Many,
            () if METADATA_LABELS.into_iter().any(|label| label != METRIC_NAME && by(label)) => NameSpread::Many,
            () if by(METRIC_NAME) => input.names,
            // `without` takes the name away alone.
            () if aggregate.without && self.options.type_and_unit_labels && input.names != NameSpread::None => {
                NameSpread::Many
            }
            () => NameSpread::None,
        };
        let grouping = if aggregate.without { Grouping::Without(names) } else { Grouping::By(names) };
        let ranks = matches!(aggregate.op, AggregateOp::Topk | AggregateOp::Bottomk);
        let plan = Plan::Aggregate(Aggregate {
            op: aggregate.op,
            grouping,
            input: Box::new(input.plan),
            parameter,
            label,
            parameter_place: parameter_expr.map(|expr| place(expr.span)).unwrap_or_default(),
            place: place(if ranks { span } else { input_expr.span }),
        });
        let selects = matches!(
            aggregate.op,
            AggregateOp::Topk | AggregateOp::Bottomk | AggregateOp::Limitk | AggregateOp::LimitRatio
        );
        if selects {
            return Ok(Built { plan, names: input.names, whole: input.whole });
        }
        Ok(Built { plan, names: spread, whole: true })
    }
}

/// Whether a label goes with the metric name.
fn is_metadata(label: &str) -> bool {
    METADATA_LABELS.contains(&label)
}

/// Whether the operator makes something new of a metric (promql/engine.go, changesMetricSchema).
pub(crate) fn is_arithmetic(op: BinaryOp) -> bool {
    use BinaryOp::{Add, Atan2, Div, Mod, Mul, Pow, Sub};
    matches!(op, Add | Sub | Mul | Div | Mod | Pow | Atan2)
}

fn name_spread(matchers: &[Matcher]) -> NameSpread {
    let exact = |m: &Matcher| m.name() == METRIC_NAME && m.op() == MatchOp::Equal;
    if matchers.iter().any(exact) { NameSpread::One } else { NameSpread::Many }
}

impl NameSpread {
    fn max(self, other: NameSpread) -> NameSpread {
        match (self, other) {
            (NameSpread::Many, _) | (_, NameSpread::Many) => NameSpread::Many,
            (NameSpread::None, NameSpread::None) => NameSpread::None,
            (NameSpread::One, NameSpread::One) => NameSpread::One,
            _ => NameSpread::Many,
        }
    }
}

/// Extensions give samples from outside the window, which only these functions can stand (promql/functions.go,
/// AnchoredSafeFunctions and SmoothedSafeFunctions). Prometheus finds out when it evaluates.
pub(super) fn check_extension(function: ScanFunction, extension: Option<RangeExtension>) -> Result<(), QueryError> {
    let (word, allowed): (_, &[&str]) = match extension {
        None => return Ok(()),
        Some(RangeExtension::Anchored) => ("anchored", &["changes", "delta", "increase", "rate", "resets"]),
        Some(RangeExtension::Smoothed) => ("smoothed", &["delta", "increase", "rate"]),
    };
    match function {
        ScanFunction::Range(name) if !allowed.contains(&name) => Err(QueryError::Execution(format!(
            "{word} modifier can only be used with: {} - not with {name}",
            allowed.join(", ")
        ))),
        _ => Ok(()),
    }
}
