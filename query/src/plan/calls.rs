//! Calls to nodes: a table of the functions that need more than "map each cell" or "fold each range".

use masthead_store::labels::METRIC_NAME;
use masthead_store::regex::Regex;
use masthead_store::{Labels, MatchOp, Matcher, Millis};

use super::build::{Builder, Built, NameSpread, check_extension, place, strip};
use super::node::{ClassicHistogram, HistogramFunction, Info, Order, Plan, Relabel, Scan, ScanFunction};
use super::times::go_duration;
use super::{Names, ScanSpec, Timeline};
use crate::annotations::Place;
use crate::error::QueryError;
use crate::promql;
use crate::promql::ast::{Call, Expr, ExprKind, Span, VectorSelector};
use crate::promql::functions::ValueType;

type Build = fn(&Builder<'_>, &Call, Span) -> Result<Built, QueryError>;

/// Functions that are nodes of their own. All others either have a range argument, or map each cell.
const CALLS: &[(&str, Build)] = &[
    ("absent", absent),
    ("absent_over_time", absent),
    ("end", constant),
    ("histogram_fraction", histogram_fraction),
    ("histogram_quantile", histogram_quantile),
    ("histogram_quantiles", histogram_quantiles),
    ("info", info),
    ("label_join", label_join),
    ("label_replace", label_replace),
    ("max_of", scalar_call),
    ("min_of", scalar_call),
    ("pi", |_, _, _| Ok(Built::nameless(Plan::Number(std::f64::consts::PI)))),
    ("range", constant),
    ("scalar", |builder, call, _| {
        let input = builder.argument(call, 0)?;
        Ok(Built::nameless(Plan::ScalarOf(Box::new(input.plan))))
    }),
    ("sort", sort),
    ("sort_by_label", sort),
    ("sort_by_label_desc", sort),
    ("sort_desc", sort),
    ("start", constant),
    ("start_timestamp", timestamp),
    ("step", constant),
    ("time", |_, _, _| Ok(Built::nameless(Plan::Time))),
    ("timestamp", timestamp),
    ("vector", |builder, call, _| {
        let input = builder.argument(call, 0)?;
        Ok(Built::nameless(Plan::VectorOf(Box::new(input.plan))))
    }),
];

impl Builder<'_> {
    pub(super) fn call(&self, call: &Call, span: Span) -> Result<Built, QueryError> {
        let name = call.function.name;
        if let Some((_, build)) = CALLS.iter().find(|(have, _)| *have == name) {
            return build(self, call, span);
        }
        let args: Vec<&Expr> = call.args.iter().map(strip).collect();
        let span = args.first().map(|arg| annotated(arg)).unwrap_or_default();
        if let Some(range) = args.iter().position(|arg| arg.value_type() == ValueType::Matrix) {
            let scalars = self.scalars(call, |i| i != range)?;
            return self.range_function(ScanFunction::Range(name), args[range], scalars, span);
        }
        // Functions of time without an argument look at the evaluation time (promql/functions.go, dateWrapper).
        let input = match args.first() {
            Some(_) => self.argument(call, 0)?,
            None => Built::nameless(Plan::VectorOf(Box::new(Plan::Time))),
        };
        let scalars = self.scalars(call, |i| i > 0)?;
        Ok(self.map(name, input, scalars))
    }

    fn argument(&self, call: &Call, index: usize) -> Result<Built, QueryError> {
        self.expr(strip(argument(call, index)?))
    }

    fn scalars(&self, call: &Call, wanted: impl Fn(usize) -> bool) -> Result<Vec<Plan>, QueryError> {
        let args = call.args.iter().enumerate().filter(|(i, _)| wanted(*i));
        args.map(|(_, arg)| Ok(self.expr(arg)?.plan)).collect()
    }
}

/// Where an annotation about an argument points to. Upstream replaces a subquery by what it gave, which has no place any
/// more (promql/engine.go, evalSubquery).
fn annotated(arg: &Expr) -> Span {
    if matches!(arg.kind, ExprKind::Subquery(_)) { Span::default() } else { arg.span }
}

fn argument(call: &Call, index: usize) -> Result<&Expr, QueryError> {
    let missing = || QueryError::Internal(format!("{} lacks argument {index}", call.function.name));
    call.args.get(index).ok_or_else(missing)
}

fn text(call: &Call, index: usize) -> Result<Box<str>, QueryError> {
    match &strip(argument(call, index)?).kind {
        ExprKind::String(text) => Ok(text.as_str().into()),
        _ => Err(QueryError::Internal(format!("argument {index} of {} is no string", call.function.name))),
    }
}

fn texts(call: &Call, from: usize) -> Result<Vec<Box<str>>, QueryError> {
    (from..call.args.len()).map(|index| text(call, index)).collect()
}

fn constant(builder: &Builder<'_>, call: &Call, _: Span) -> Result<Built, QueryError> {
    Ok(Built::nameless(Plan::Number(builder.times.seconds(call.function.name))))
}

fn scalar_call(builder: &Builder<'_>, call: &Call, _: Span) -> Result<Built, QueryError> {
    let args = builder.scalars(call, |_| true)?;
    Ok(Built::nameless(Plan::ScalarCall { function: call.function.name, args }))
}

/// Only directly on a selector do samples still have their times (promql/engine.go,
/// rangeEvalTimestampFunctionOverVectorSelector).
fn timestamp(builder: &Builder<'_>, call: &Call, _: Span) -> Result<Built, QueryError> {
    let name = call.function.name;
    let arg = strip(argument(call, 0)?);
    let ExprKind::Vector(selector) = &arg.kind else {
        return Ok(builder.map(name, builder.expr(arg)?, Vec::new()));
    };
    let function = if name == "timestamp" { ScanFunction::Timestamp } else { ScanFunction::StartTimestamp };
    let scan = builder.instant_selector(function, selector, builder.dropping(), arg.span)?;
    Ok(builder.dropped(scan.plan, scan.names, true, true))
}

fn absent(builder: &Builder<'_>, call: &Call, _: Span) -> Result<Built, QueryError> {
    let arg = strip(argument(call, 0)?);
    let matchers: &[Matcher] = match &arg.kind {
        ExprKind::Vector(selector) => &selector.matchers,
        ExprKind::Matrix(matrix) => &matrix.vector.matchers,
        _ => &[],
    };
    let labels = absent_labels(matchers);
    let over_time = arg.value_type() == ValueType::Matrix;
    let input = if over_time {
        if let ExprKind::Matrix(matrix) = &arg.kind {
            check_extension(ScanFunction::Range(call.function.name), matrix.vector.extension)?;
        }
        let input = builder.range_function(ScanFunction::Range("present_over_time"), arg, Vec::new(), arg.span)?.plan;
        match input {
            // Which of two equal rows is present does not matter here.
            Plan::Duplicates { input, .. } => *input,
            input => input,
        }
    } else {
        builder.expr(arg)?.plan
    };
    let drop_name = over_time && builder.options.delayed_name_removal;
    Ok(Built::nameless(Plan::Absent { input: Box::new(input), labels, drop_name }))
}

/// Labels that the matchers fix to one value: the first equality of a name sets it, any matcher of that name behind it
/// takes it away for good (promql/functions.go, createLabelsForAbsentFunction). Behind are those too that take series away:
/// the index has put them there by then (tsdb/querier.go, PostingsForMatchers).
fn absent_labels(matchers: &[Matcher]) -> Labels {
    let must_be_set = |name: &str| matchers.iter().any(|m| m.name() == name && !m.matches(""));
    let subtracts = |m: &&Matcher| {
        let negative = matches!(m.op(), MatchOp::NotEqual | MatchOp::NotRegex);
        !must_be_set(m.name()) || (negative && m.matches(""))
    };
    let (first, last): (Vec<&Matcher>, Vec<&Matcher>) = matchers.iter().partition(|m| !subtracts(m));
    let matchers = [first, last].concat();
    let fixed = matchers.iter().enumerate().filter(|(at, m)| {
        let of_name = |other: &&&Matcher| other.name() == m.name();
        let earlier = matchers[..*at].iter().filter(of_name).any(|other| other.op() == MatchOp::Equal);
        let later = matchers[at + 1..].iter().filter(of_name).count() > 0;
        m.name() != METRIC_NAME && m.op() == MatchOp::Equal && !earlier && !later
    });
    Labels::from_pairs(fixed.map(|(_, m)| (m.name(), promql::lossy(m.value()))))
}

fn sort(builder: &Builder<'_>, call: &Call, span: Span) -> Result<Built, QueryError> {
    let input = builder.argument(call, 0)?;
    let descending = call.function.name.ends_with("_desc");
    let order = if call.function.name.starts_with("sort_by_label") {
        Order::Labels { labels: texts(call, 1)?, descending }
    } else {
        Order::Value { descending }
    };
    let plan = Plan::Sort { input: Box::new(input.plan), order, effective: false, place: place(span) };
    Ok(Built { plan, names: input.names, whole: input.whole })
}

fn label_replace(builder: &Builder<'_>, call: &Call, _: Span) -> Result<Built, QueryError> {
    // Upstream puts bytes that are no UTF-8 into labels, which JSON then shows as U+FFFD; our labels hold that from the start.
    let (destination, replacement) = (text(call, 1)?, promql::lossy(&text(call, 2)?).into());
    let (source, regex) = (text(call, 3)?, text(call, 4)?);
    let regex = Regex::new(&regex)
        .map_err(|_| QueryError::Execution(format!("invalid regular expression in label_replace(): {regex}")))?;
    let rule = Relabel::Replace { destination, replacement, source, regex };
    relabel(builder, call, rule)
}

fn label_join(builder: &Builder<'_>, call: &Call, _: Span) -> Result<Built, QueryError> {
    let rule = Relabel::Join {
        destination: text(call, 1)?,
        separator: promql::lossy(&text(call, 2)?).into(),
        sources: texts(call, 3)?,
    };
    if let Relabel::Join { sources, .. } = &rule
        && let Some(source) = sources.iter().find(|source| !promql::is_label_name(source))
    {
        let source = promql::lossy(source);
        return Err(QueryError::Execution(format!("invalid source label name in label_join(): {source}")));
    }
    relabel(builder, call, rule)
}

fn relabel(builder: &Builder<'_>, call: &Call, rule: Relabel) -> Result<Built, QueryError> {
    let (Relabel::Replace { destination, .. } | Relabel::Join { destination, .. }) = &rule;
    if !promql::is_label_name(destination) {
        let (name, destination) = (call.function.name, promql::lossy(destination));
        return Err(QueryError::Execution(format!("invalid destination label name in {name}(): {destination}")));
    }
    let input = builder.argument(call, 0)?;
    let names = if destination.starts_with("__") { NameSpread::Many } else { input.names };
    let plan = Plan::Relabel { input: Box::new(input.plan), rule };
    Ok(Built { plan: Plan::Duplicates { input: Box::new(plan), pieces: true }, names, whole: false })
}

fn histogram_quantile(builder: &Builder<'_>, call: &Call, _: Span) -> Result<Built, QueryError> {
    histogram(builder, call, HistogramFunction::Quantile, 1, |i| i == 0)
}

fn histogram_fraction(builder: &Builder<'_>, call: &Call, _: Span) -> Result<Built, QueryError> {
    histogram(builder, call, HistogramFunction::Fraction, 2, |i| i < 2)
}

fn histogram_quantiles(builder: &Builder<'_>, call: &Call, _: Span) -> Result<Built, QueryError> {
    histogram(builder, call, HistogramFunction::Quantiles { label: text(call, 1)? }, 0, |i| i >= 2)
}

fn histogram(
    builder: &Builder<'_>,
    call: &Call,
    function: HistogramFunction,
    buckets: usize,
    scalar: impl Fn(usize) -> bool,
) -> Result<Built, QueryError> {
    let input = builder.argument(call, buckets)?;
    let args = builder.scalars(call, &scalar)?;
    let arg_places = (0..call.args.len()).filter(|i| scalar(*i)).map(|i| place(strip(&call.args[i]).span)).collect();
    // The label of a quantile may be one that tells the histograms apart, and quantiles may be equal.
    let labelled = match &function {
        HistogramFunction::Quantiles { label } => Some(label.starts_with("__")),
        _ => None,
    };
    let whole = builder.options.delayed_name_removal || input.names != NameSpread::Many;
    let plan = Plan::ClassicHistogram(ClassicHistogram {
        function,
        input: Box::new(input.plan),
        args,
        arg_places,
        input_place: place(strip(argument(call, buckets)?).span),
        delayed_names: builder.options.delayed_name_removal,
    });
    let Some(names_anew) = labelled else { return Ok(builder.dropped(plan, input.names, whole, true)) };
    if builder.options.delayed_name_removal {
        let names = if names_anew { NameSpread::Many } else { input.names };
        return Ok(Built { plan, names, whole: false });
    }
    let names = if names_anew { NameSpread::Many } else { NameSpread::None };
    Ok(Built { plan: Plan::Duplicates { input: Box::new(plan), pieces: true }, names, whole: false })
}

fn info(builder: &Builder<'_>, call: &Call, _: Span) -> Result<Built, QueryError> {
    let base = argument(call, 0)?;
    let input = builder.expr(strip(base))?;
    let selected: Vec<Matcher> = match call.args.get(1).map(|arg| &strip(arg).kind) {
        Some(ExprKind::Vector(selector)) => selector.matchers.clone(),
        _ => Vec::new(),
    };
    let (names, data_matchers): (Vec<_>, Vec<_>) = selected.into_iter().partition(|m| m.name() == METRIC_NAME);
    let name_matchers = info_names(names)?;
    let (at, offset) = first_selector(builder, base, &[])?.unwrap_or_default();
    let matchers = data_matchers.iter().chain(&name_matchers).cloned().collect();
    let spec = ScanSpec {
        function: ScanFunction::SampleTime,
        timeline: Timeline::instant(0),
        range: 0,
        offset,
        at,
        lookback: builder.options.lookback,
        extension: None,
        use_start_timestamps: false,
        histogram_stats: false,
        type_and_unit_labels: false,
        names: Names::Keep,
        place: Place::default(),
    };
    let info = Plan::Scan(Scan { select: 0, matchers, spec, args: Vec::new() });
    let plan = Plan::Info(Info { input: Box::new(input.plan), info: Box::new(info), name_matchers, data_matchers });
    Ok(Built { plan: Plan::Duplicates { input: Box::new(plan), pieces: true }, names: input.names, whole: false })
}

/// Which metrics are info metrics (promql/info.go, effectiveInfoNameMatchers).
fn info_names(matchers: Vec<Matcher>) -> Result<Vec<Matcher>, QueryError> {
    if matchers.is_empty() {
        return Ok(vec![Matcher::equal(METRIC_NAME, "target_info")]);
    }
    if matchers.iter().any(|m| matches!(m.op(), MatchOp::Equal | MatchOp::Regex)) {
        return Ok(matchers);
    }
    let any = Matcher::new(METRIC_NAME, MatchOp::Regex, ".+_info").map_err(QueryError::Internal)?;
    Ok(std::iter::once(any).chain(matchers).collect())
}

/// Fixed time and offset of the first selector of `expr`, enclosing subqueries included up to the one that fixes the time
/// (promql/info.go, infoSelectTimestampAndOffset). `path`: the subqueries around `expr`, outermost first.
fn first_selector(
    builder: &Builder<'_>,
    expr: &Expr,
    path: &[&promql::ast::Subquery],
) -> Result<Option<(Option<Millis>, Millis)>, QueryError> {
    let resolve = |selector: &VectorSelector| {
        let mut at = builder.at(selector.at);
        let mut offset = builder.offset(selector.offset.as_ref())?;
        for subquery in path.iter().rev() {
            if at.is_some() {
                break;
            }
            offset += builder.offset(subquery.offset.as_ref())?;
            at = builder.at(subquery.at);
        }
        Ok(Some((at, go_duration(offset))))
    };
    let children: Vec<&Expr> = match &expr.kind {
        ExprKind::Vector(selector) => return resolve(selector),
        ExprKind::Matrix(matrix) => return resolve(&matrix.vector),
        ExprKind::Subquery(subquery) => {
            let path: Vec<_> = path.iter().copied().chain([&**subquery]).collect();
            return first_selector(builder, &subquery.expr, &path);
        }
        ExprKind::Number(_) | ExprKind::String(_) => Vec::new(),
        ExprKind::Paren(inner) | ExprKind::Unary(_, inner) => vec![&**inner],
        // Upstream walks the expression before the parameter.
        ExprKind::Aggregate(aggregate) => std::iter::once(&aggregate.expr).chain(&aggregate.parameter).collect(),
        ExprKind::Binary(binary) => vec![&binary.left, &binary.right],
        ExprKind::Call(call) => call.args.iter().collect(),
    };
    for child in children {
        if let Some(found) = first_selector(builder, child, path)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}
