//! Accumulators of floats; aggregations of native histograms, alone and among floats.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use masthead_store::histogram::{CounterResetHint, Histogram, Span};
use masthead_store::{Budget, Labels};

use super::*;
use crate::annotations::Annotations;
use crate::engine::{SampleLimit, count_values, rank};
use crate::plan::{Plan, PlanOptions, Timeline, plan};
use crate::promql;

/// A histogram of `count` observations in one bucket: `h` counter, `r` after a reset, `n` certainly not after one, `c` and `d`
/// with custom bounds.
fn histogram(kind: char, count: f64) -> Histogram {
    let custom_bounds = match kind {
        'c' => vec![1.0, 2.0],
        'd' => vec![1.0, 3.0],
        _ => vec![],
    };
    Histogram {
        counter_reset_hint: match kind {
            'r' => CounterResetHint::Reset,
            'n' => CounterResetHint::NotReset,
            _ => CounterResetHint::Unknown,
        },
        schema: if custom_bounds.is_empty() { 0 } else { -53 },
        count,
        sum: count,
        positive_spans: [Span { offset: 0, length: 1 }].into(),
        positive_buckets: vec![count],
        custom_bounds: custom_bounds.into(),
        ..Histogram::default()
    }
}

/// Rows `name value value ...`; `_` for nothing, a letter and a count for a histogram.
fn rows(data: &[&str]) -> Vec<Row> {
    let row = |line: &&str| {
        let mut cells = line.split_whitespace();
        let labels = Labels::from_pairs([("__name__", cells.next().unwrap())]);
        let (mut values, mut histograms) = (Vec::new(), Vec::new());
        for (step, cell) in cells.enumerate() {
            match cell.strip_prefix(|c: char| c.is_ascii_lowercase()) {
                Some(count) => {
                    let kind = cell.chars().next().unwrap();
                    histograms.push((step as u32, Arc::new(histogram(kind, count.parse().unwrap()))));
                    values.push(ABSENT);
                }
                None => values.push(cell.parse().unwrap_or(ABSENT)),
            }
        }
        Row { labels, drop_name: false, values, histograms }
    };
    data.iter().map(row).collect()
}

struct Rows(Drain);

impl Operator for Rows {
    fn next(&mut self, _: &Context<'_>) -> Result<Option<Batch>, QueryError> {
        Ok(self.0.take())
    }
}

/// Rows and notes of an aggregation of `m` over literal rows.
fn aggregate(query: &str, data: &[&str]) -> (Vec<String>, Vec<String>) {
    let input = rows(data);
    let steps = input[0].values.len();
    let parse = promql::ParseOptions { features: promql::Features::ALL, ..Default::default() };
    let options = PlanOptions { parse, ..PlanOptions::default() };
    let planned = plan(query, Timeline { start: 0, step: 1000, count: steps }, &options).unwrap();
    let Plan::Aggregate(node) = &planned.root else { panic!("{query} is no aggregation") };
    let budget = Budget::new("test", 1 << 20);
    let annotations = Annotations::default();
    let cx = Context {
        budget: budget.clone(),
        cancelled: Arc::new(AtomicBool::new(false)),
        annotations: &annotations,
        samples: SampleLimit::new(1000),
        pool: None,
    };
    let source: Source = Box::new(Rows(Drain::new(input, steps, budget.begin("test"))));
    let scalar = |value: f64| -> Source {
        let row = Row { labels: Labels::empty(), drop_name: false, values: vec![value; steps], histograms: vec![] };
        Box::new(Rows(Drain::new(vec![row], steps, budget.begin("test"))))
    };
    let mut operator = match node.op {
        AggregateOp::Topk | AggregateOp::Limitk => {
            Box::new(rank::TopK::new(node, source, scalar(1.0), steps)) as Source
        }
        AggregateOp::LimitRatio => Box::new(rank::LimitRatio::new(node, source, scalar(1.0))),
        AggregateOp::Quantile => Box::new(rank::Quantile::new(node, source, scalar(0.5), steps)),
        AggregateOp::CountValues => Box::new(count_values::CountValues::new(node, source, steps)),
        _ => fold(node, &mut Some(source), steps).unwrap(),
    };
    let mut found = Vec::new();
    while let Some(batch) = pull(&mut *operator, &cx).unwrap() {
        for i in 0..batch.len() {
            let mut cells: Vec<String> = batch.row(i).iter().map(|value| format!("{value}")).collect();
            batch
                .row(i)
                .iter()
                .zip(&mut cells)
                .filter(|(v, _)| is_absent(**v))
                .for_each(|(_, cell)| *cell = "_".into());
            for (_, step, histogram) in batch.histograms_of(i) {
                assert_eq!(cells[*step as usize], "_");
                cells[*step as usize] = histogram.to_string();
            }
            let name = batch.labels[i].iter().map(|(_, value)| value).collect::<Vec<_>>().join(" ");
            found.push(format!("{name} {}", cells.join(" ")).trim().to_owned());
        }
    }
    drop(operator);
    assert_eq!(budget.used(), 0, "all memory is given back");
    let notes = [Severity::Warning, Severity::Info].map(|severity| annotations.render(severity, query));
    (found, notes.concat())
}

/// Each row: query, input, rows of the result, notes.
#[test]
fn histograms_among_floats() {
    let mixed = "PromQL warning: encountered a mix of histograms and floats for aggregation (1:5)";
    let mixed_schemas = concat!(
        "PromQL warning: vector contains a mix of histograms with exponential and custom buckets schemas for metric name ",
        "\"b\" (1:5)"
    );
    let collision = "PromQL warning: conflicting counter resets during histogram aggregation (1:5)";
    let reconciled = "PromQL info: mismatched custom buckets were reconciled during aggregation (1:5)";
    let ignored =
        |what: &str, column: u32| format!("PromQL info: ignored histogram in {what} aggregation (1:{column})");
    type Case<'a> = (&'a str, &'a [&'a str], &'a [&'a str], Vec<String>);
    let cases: &[Case<'_>] = &[
        (
            "sum(m)",
            &["a h1 h1 1", "b h2 _ 2", "c h4 h5 4"],
            &["{count:7, sum:7, (0.5,1]:7} {count:6, sum:6, (0.5,1]:6} 7"],
            vec![],
        ),
        ("avg(m)", &["a h1 1", "b h2 2"], &["{count:1.5, sum:1.5, (0.5,1]:1.5} 1.5"], vec![]),
        ("sum(m)", &["a h1 1 1", "b 2 h2 1"], &["_ _ 2"], vec![mixed.into()]),
        ("avg(m)", &["a h1 1 1", "b 2 h2 1", "c h1 h1 1"], &["_ _ 1"], vec![mixed.into()]),
        ("sum(m)", &["a h1 1", "b c2 1"], &["_ 2"], vec![mixed_schemas.into()]),
        // What follows incompatible buckets is not looked at, floats neither.
        ("avg(m)", &["a h1", "b c2", "c 1"], &["_"], vec![mixed_schemas.into()]),
        (
            "sum(m)",
            &["a r1 r1", "b n2 h2"],
            &["{count:3, sum:3, (0.5,1]:3} {count:3, sum:3, (0.5,1]:3}"],
            vec![collision.into()],
        ),
        ("sum(m)", &["a c1", "b d2"], &["{count:3, sum:3, [-Inf,1]:3}"], vec![reconciled.into()]),
        ("avg(m)", &["a h1.5e308 1", "b h1.5e308 1"], &["{count:1.5e+308, sum:1.5e+308, (0.5,1]:1.5e+308} 1"], vec![]),
        ("count(m)", &["a h1 1 _", "b h2 h3 _"], &["2 2 _"], vec![]),
        ("group(m)", &["a h1 1 _", "b h2 h3 _"], &["1 1 _"], vec![]),
        ("min(m)", &["a h1 1 h1", "b 2 h3 h2"], &["2 1 _"], vec![ignored("min", 5)]),
        ("stddev(m)", &["a h1 1", "b 2 h3"], &["0 0"], vec![ignored("stddev", 8)]),
        ("quantile(0.5, m)", &["a h1 1", "b 2 h3"], &["2 1"], vec![ignored("quantile", 15)]),
        ("topk(1, m)", &["a h1 1", "b 2 h3"], &["a _ 1", "b 2 _"], vec![ignored("topk", 1)]),
        (
            "limitk(1, m)",
            &["a h1 _", "b 2 h3"],
            &["a {count:1, sum:1, (0.5,1]:1} _", "b _ {count:3, sum:3, (0.5,1]:3}"],
            vec![],
        ),
        ("limit_ratio(1, m)", &["a h1 1"], &["a {count:1, sum:1, (0.5,1]:1} 1"], vec![]),
        (
            "count_values(\"v\", m)",
            &["a h1 1 h1", "b h1 h1 _"],
            &["1 _ 1 _", "{count:1, sum:1, (0.5,1]:1} 2 1 1"],
            vec![],
        ),
    ];
    for (query, data, expected, notes) in cases {
        let (mut found, told) = aggregate(query, data);
        found.sort();
        assert_eq!(
            (found.iter().map(String::as_str).collect::<Vec<_>>(), &told),
            (expected.to_vec(), notes),
            "{query} {data:?}"
        );
    }
}

fn run<C: Accumulator>(values: &[f64]) -> f64 {
    let mut cell = C::EMPTY;
    values.iter().for_each(|value| cell.add(*value));
    cell.result()
}

#[test]
fn accumulators_give_what_prometheus_gives() {
    let (nan, inf, max) = (f64::NAN, f64::INFINITY, f64::MAX);
    assert_eq!(run::<Sum>(&[1.0, 1e100, 1.0, -1e100]), 2.0);
    assert_eq!(run::<Mean>(&[1.0, 1e100, 1.0, -1e100]), 0.5);
    assert_eq!(run::<Mean>(&[max, max]), max, "the sum would overflow");
    assert_eq!(run::<Mean>(&[inf, 1.0]), inf);
    assert!(run::<Mean>(&[inf, -inf]).is_nan());
    assert_eq!(run::<Extreme<true>>(&[nan, 1.0, nan, 3.0, 2.0]), 3.0);
    assert_eq!(run::<Extreme<false>>(&[nan, 1.0, 3.0]), 1.0);
    assert!(run::<Extreme<true>>(&[nan, nan]).is_nan());
    assert!(!is_absent(run::<Extreme<true>>(&[nan])));
    assert_eq!(run::<Count>(&[nan, 1.0]), 2.0);
    assert_eq!(run::<One>(&[5.0]), 1.0);
    assert_eq!(run::<Spread<false>>(&[1.0, 2.0, 3.0, 4.0]), 1.25);
    assert_eq!(run::<Spread<true>>(&[1.0, 3.0]), 1.0);
    assert!(run::<Spread<true>>(&[inf]).is_nan());
    for absent in [run::<Sum>(&[]), run::<Mean>(&[]), run::<Extreme<true>>(&[]), run::<Count>(&[]), run::<One>(&[])] {
        assert!(is_absent(absent));
    }
    assert!(is_absent(run::<Spread<true>>(&[])));
}
