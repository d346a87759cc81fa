//! Whole evaluations over a few literal series, in batches of several sizes and by several threads.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use masthead_store::histogram::Histogram;
use masthead_store::samples::{HistogramSample, STALE};
use masthead_store::{Budget, Labels, Lane, Matcher, Samples, Select, Series, SeriesBatch, chunk};

use super::loaded::too_many;
use super::{Context, Input, SampleLimit, Value, evaluate};
use crate::annotations::{Annotations, Severity};
use crate::error::QueryError;
use crate::plan::{PlanOptions, Timeline, plan};
use crate::promql;

/// Minutes between samples and between steps, ms.
const STEP: i64 = 60_000;

struct Feed {
    series: Vec<Series>,
    size: usize,
    at: usize,
    budget: Budget,
}

impl Input for Feed {
    fn next(&mut self) -> Result<Option<SeriesBatch>, QueryError> {
        let rest = &self.series[self.at..];
        let series = rest[..rest.len().min(self.size)].to_vec();
        if series.is_empty() {
            return Ok(None);
        }
        self.at += series.len();
        Ok(Some(SeriesBatch::new(series, self.budget.reserve("test", 1000)?)))
    }
}

/// `a{x=1,y=2}`.
fn labels_of(text: &str) -> Labels {
    let (name, rest) = text.split_once('{').unwrap_or((text, ""));
    let pairs = rest.trim_end_matches('}').split(',').filter_map(|pair| pair.split_once('='));
    Labels::from_pairs(pairs.chain([("__name__", name)]))
}

fn text_of(labels: &Labels) -> String {
    let pairs: Vec<String> =
        labels.iter().filter(|(name, _)| *name != "__name__").map(|(name, value)| format!("{name}={value}")).collect();
    let name = labels.metric_name();
    if pairs.is_empty() && !name.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", pairs.join(",")) }
}

/// Lines of `labels value value ...`, one value a minute from 0 on, `_` for the end of a series, `h` for a histogram.
fn series_of(data: &str) -> Vec<Series> {
    let lines = data.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut series: Vec<Series> = lines
        .map(|line| {
            let (labels, values) = line.split_once(' ').unwrap();
            let mut samples = Samples::default();
            for (timestamp, cell) in (0..).map(|i| i * STEP).zip(values.split_whitespace()) {
                let histogram = || Arc::new(Histogram::default());
                match cell {
                    "_" => samples.push(timestamp, STALE),
                    "h" => samples.histograms.push(HistogramSample {
                        timestamp,
                        start_timestamp: 0,
                        histogram: histogram(),
                    }),
                    _ => samples.push(timestamp, cell.parse().unwrap()),
                }
            }
            Series::of_lane(labels_of(labels), Lane::default(), chunk::encode_samples(&samples))
        })
        .collect();
    series.sort_by(|a, b| a.labels.cmp(&b.labels));
    series
}

/// How a query is run.
#[derive(Debug, Clone, Copy)]
struct How {
    batch: usize,
    threads: usize,
    delayed: bool,
    instant: bool,
    max_samples: usize,
}

const PLAIN: How = How { batch: 256, threads: 1, delayed: false, instant: false, max_samples: 1000 };

/// Rows `labels value value ...` and notes, of a query over all minutes of `data`.
fn run(query: &str, data: &str, how: How) -> Result<(Vec<String>, Vec<String>), String> {
    run_limited(query, data, how, SampleLimit::new(how.max_samples))
}

/// The same where so many samples may be loaded.
fn run_limited(query: &str, data: &str, how: How, samples: SampleLimit) -> Result<(Vec<String>, Vec<String>), String> {
    let all = series_of(data);
    let steps = data.lines().map(|line| line.split_whitespace().count().saturating_sub(1)).max().unwrap_or(1);
    let annotations = Annotations::default();
    let budget = Budget::new("test", 1 << 22);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(how.threads).build().unwrap();
    let cx = Context {
        budget: budget.clone(),
        cancelled: Arc::new(AtomicBool::new(false)),
        annotations: &annotations,
        samples,
        pool: (how.threads > 1).then(|| Arc::new(pool)),
    };
    let parse = promql::ParseOptions { features: promql::Features::ALL, ..Default::default() };
    let options =
        PlanOptions { parse, delayed_name_removal: how.delayed, instant: how.instant, ..PlanOptions::default() };
    let timeline = if how.instant { Timeline::instant(0) } else { Timeline { start: 0, step: STEP, count: steps } };
    let planned = plan(query, timeline, &options).map_err(|error| error.to_string())?;
    let inputs = planned.selects.iter().map(|select| -> Box<dyn Input> {
        let fits =
            |series: &&Series| select.matchers.iter().all(|m: &Matcher| m.matches(series.labels.value(m.name())));
        let series = all.iter().filter(fits).cloned().collect();
        Box::new(Feed { series, size: how.batch, at: 0, budget: budget.clone() })
    });
    let value = evaluate(&planned, inputs.collect(), &cx).map_err(|error| error.to_string())?;
    assert_eq!(budget.used(), 0, "all memory is given back");
    let cells = |values: &[f64]| {
        let cell = |value: &f64| if super::batch::is_absent(*value) { "_".to_owned() } else { format!("{value}") };
        values.iter().map(cell).collect::<Vec<_>>().join(" ")
    };
    let rows = match value {
        Value::Scalar(values) => vec![cells(&values)],
        Value::String(text) => vec![text],
        Value::Series(rows) => {
            rows.iter().map(|row| format!("{} {}", text_of(&row.labels), cells(&row.values))).collect()
        }
        Value::Matrix(series) => {
            series.iter().map(|(labels, samples)| format!("{} {}", text_of(labels), cells(&samples.values))).collect()
        }
    };
    let mut notes = annotations.render(Severity::Warning, query);
    notes.extend(annotations.render(Severity::Info, query));
    Ok((rows, notes))
}

/// Every size of batches and number of threads gives the same.
#[track_caller]
fn check(query: &str, data: &str, expected: &[&str]) {
    check_how(query, data, expected, PLAIN);
}

#[track_caller]
fn check_how(query: &str, data: &str, expected: &[&str], how: How) {
    for (batch, threads) in [(1, 1), (2, 1), (256, 1), (2, 3)] {
        let (rows, notes) = run(query, data, How { batch, threads, ..how }).unwrap();
        assert_eq!(rows, expected, "{query}, {batch} rows a batch, {threads} threads");
        assert!(notes.is_empty(), "{query}: {notes:?}");
    }
}

#[track_caller]
fn check_error(query: &str, data: &str, expected: &str) {
    for batch in [1, 256] {
        let failed = run(query, data, How { batch, ..PLAIN }).unwrap_err();
        assert_eq!(failed, expected, "{query}, {batch} rows a batch");
    }
}

const REQUESTS: &str = "
    a{x=1,y=1} 1 2 3
    a{x=1,y=2} 10 20 _
    a{x=2,y=1} 100 _ 300
    b{x=1} 2 2 2
    b{x=3} 5 5 5";

#[test]
fn aggregations_by_group_and_step() {
    check("sum by (x) (a)", REQUESTS, &["{x=1} 11 22 3", "{x=2} 100 _ 300"]);
    check("avg(a)", REQUESTS, &["{} 37 11 151.5"]);
    check("count without (y) (a)", REQUESTS, &["{x=1} 2 2 1", "{x=2} 1 _ 1"]);
    check("max(a) - min(a)", REQUESTS, &["{} 99 18 297"]);
    check("group(a)", REQUESTS, &["{} 1 1 1"]);
    check("stdvar(b)", REQUESTS, &["{} 2.25 2.25 2.25"]);
    check("quantile(0.5, a)", REQUESTS, &["{} 10 11 151.5"]);
    check("sum by (__name__) (a)", REQUESTS, &["a 111 22 303"]);
    check(r#"count_values("v", b)"#, REQUESTS, &["{v=2} 1 1 1", "{v=5} 1 1 1"]);
    check(
        r#"count_values("v", a)"#,
        "a{x=1} 1 2 3 1 2 3\na{x=2} 3 3 3 3 3 1",
        &["{v=1} 1 _ _ 1 _ 1", "{v=2} _ 1 _ _ 1 _", "{v=3} 1 1 2 1 1 1"],
    );
    // Two thousand values of 400 steps each, in 4 MiB.
    let rows = (1..=5).map(|x| format!(r#"label_replace(vector({x} * time()), "x", "{x}", "", "")"#));
    let query = format!(r#"count(count_values("v", {}))"#, rows.collect::<Vec<_>>().join(" or "));
    check(&query, &format!("a{}", " _".repeat(400)), &[&format!("{{}} 1{}", " 5".repeat(399))]);
    check(r#"count_values by (x) ("x", a)"#, "a{x=1} 1 2\na{x=2} 1 1", &["{x=1} 2 1", "{x=2} _ 1"]);
    check("sum(nothing)", REQUESTS, &[]);
}

#[test]
fn ranking_is_done_at_each_step() {
    check("topk(1, a)", REQUESTS, &["a{x=1,y=2} _ 20 _", "a{x=2,y=1} 100 _ 300"]);
    check("bottomk by (x) (1, a)", REQUESTS, &["a{x=1,y=1} 1 2 3", "a{x=2,y=1} 100 _ 300"]);
    check("topk(scalar(b{x=\"1\"}) - 1, a)", REQUESTS, &["a{x=1,y=2} _ 20 _", "a{x=2,y=1} 100 _ 300"]);
    check("limitk(1, a)", REQUESTS, &["a{x=1,y=1} 1 2 3"]);
    check("limit_ratio(1, b)", REQUESTS, &["b{x=1} 2 2 2", "b{x=3} 5 5 5"]);
    check("topk(0, a)", REQUESTS, &[]);
    check_error("topk(NaN, a)", REQUESTS, "Parameter value is NaN");
    let instant = How { instant: true, ..PLAIN };
    check_how("topk(2, a)", REQUESTS, &["a{x=2,y=1} 100", "a{x=1,y=2} 10"], instant);
    check_how("sort(-a)", REQUESTS, &["{x=2,y=1} -100", "{x=1,y=2} -10", "{x=1,y=1} -1"], instant);
    check_how(r#"sort_by_label_desc(b, "x")"#, REQUESTS, &["b{x=3} 5", "b{x=1} 2"], instant);
}

#[test]
fn vectors_meet_by_labels() {
    check("a * on (x) group_left b", REQUESTS, &["{x=1,y=1} 2 4 6", "{x=1,y=2} 20 40 _"]);
    check("b + on (x) group_right a", REQUESTS, &["{x=1,y=1} 3 4 5", "{x=1,y=2} 12 22 _"]);
    check("a > on (x) group_left b", REQUESTS, &["a{x=1,y=1} _ _ 3", "a{x=1,y=2} 10 20 _"]);
    check("a > bool on (x) group_left b", REQUESTS, &["{x=1,y=1} 0 0 1", "{x=1,y=2} 1 1 _"]);
    check("sum by (x) (a) / b", REQUESTS, &["{x=1} 5.5 11 1.5"]);
    check("b - ignoring (y) sum by (x) (a)", REQUESTS, &["{x=1} -9 -20 -1"]);
    check("b + fill_right(0) sum by (x) (a)", REQUESTS, &["{x=1} 13 24 5", "{x=3} 5 5 5"]);
    check("b + fill(0) sum by (x) (a)", REQUESTS, &["{x=1} 13 24 5", "{x=2} 100 _ 300", "{x=3} 5 5 5"]);
    check("a + 1 > 20", REQUESTS, &["{x=1,y=2} _ 21 _", "{x=2,y=1} 101 _ 301"]);
    check("5 < a", "a 1 6", &["a _ 6"]);
    check("1 < bool 2", "a 1", &["1"]);
    check("2 ^ 3 ^ 0 - 7 % 4", "a 1", &["-1"]);
    check(
        "c{k=\"l\"} * on (x) group_left (v) d",
        "c{k=l,v=0,x=1} 1 1\nd{v=7,x=1} 5 _\nd{v=8,x=1} _ 6",
        &["{k=l,v=7,x=1} 5 _", "{k=l,v=8,x=1} _ 6"],
    );
}

#[test]
fn ambiguous_matches_are_refused() {
    let twice = "found duplicate series for the match group {x=\"1\"} on the right hand-side of the operation: \
                 [{__name__=\"a\", x=\"1\", y=\"1\"}, {__name__=\"a\", x=\"1\", y=\"2\"}];many-to-many matching not \
                 allowed: matching labels must be unique on one side";
    check_error("b + on (x) a", REQUESTS, twice);
    check_error("b + on (x) group_right b{x=\"1\"} + on (x) a", REQUESTS, twice);
    check_error(
        "a + on (x) b",
        REQUESTS,
        "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
    );
    check_error(
        "{__name__=~\"a|c\"} * on (x) group_left b",
        "a{x=1} 1\nc{x=1} 1\nb{x=1} 1",
        "multiple matches for labels: grouping labels must ensure unique matches",
    );
    // Without anything on the other side there is no error, step by step.
    check("nothing + on (x) a", REQUESTS, &[]);
    check("c + on (x) a", "c{x=1} _ 1\na{x=1,y=1} 1 _\na{x=1,y=2} 1 1", &["{x=1} _ 2"]);
}

#[test]
fn sets_compare_labels_only() {
    check("a and on (x) b", REQUESTS, &["a{x=1,y=1} 1 2 3", "a{x=1,y=2} 10 20 _"]);
    check("a unless on (x) b", REQUESTS, &["a{x=2,y=1} 100 _ 300"]);
    check("b or on (x) a", REQUESTS, &["a{x=2,y=1} 100 _ 300", "b{x=1} 2 2 2", "b{x=3} 5 5 5"]);
    check("a or a", REQUESTS, &["a{x=1,y=1} 1 2 3", "a{x=1,y=2} 10 20 _", "a{x=2,y=1} 100 _ 300"]);
    check("(c > 1) or d", "c 1 2\nd 7 8", &["c _ 2", "d 7 _"]);
    check("a and on () vector(1)", "a{x=1} 1", &["a{x=1} 1"]);
}

#[test]
fn rows_that_get_equal_are_merged_or_refused() {
    let two = "c 1 _\nd _ 2";
    check(r#"-{__name__=~"c|d"}"#, two, &["{} -1 -2"]);
    check(r#"max_over_time((-{__name__=~"c|d"})[2m:1m])"#, two, &["{} -1 -1"]);
    let refused = "vector cannot contain metrics with the same labelset";
    check_error(r#"-{__name__=~"c|d"}"#, "c 1 1\nd _ 2", refused);
    check_error(r#"last_over_time(abs({__name__=~"c|d"})[2m:1m])"#, "c 1 1\nd _ 2", refused);
    check_error(r#"rate({__name__=~"c|d"}[2m])"#, "c 1 1\nd 1 2", refused);
    check_error(r#"label_replace(a, "x", "0", "", "")"#, REQUESTS, refused);
    // What goes with the name may be all that tells rows apart.
    let typed = "c{__type__=counter,n=1} 1\nc{__type__=gauge,n=2} 2";
    for inner in [
        r#"abs(count_values("__name__", c))"#,
        r#"-count_values("__type__", c)"#,
        "abs(sum by (__type__) (c))",
        "max_over_time(sum by (__type__) (c)[1m:1m])",
    ] {
        check_error(&format!("sum({inner})"), typed, refused);
    }
    check("sum by (__type__) (c)", typed, &["{__type__=counter} 1", "{__type__=gauge} 2"]);
    let delayed = How { delayed: true, ..PLAIN };
    check_how(
        r#"label_replace(-{__name__=~"c|d"}, "__name__", "${1}_n", "__name__", "(.)")"#,
        "c 1\nd 2",
        &["c_n -1", "d_n -2"],
        delayed,
    );
    check_how(r#"sum by (__name__) (-{__name__=~"c|d"})"#, "c 1 _\nd _ 2", &["{} -1 -2"], delayed);
    check_how("c * 2 > 1", two, &["{} 2 _"], delayed);
}

#[test]
fn labels_are_replaced_and_joined() {
    check(r#"label_replace(b, "z", "<$1>", "x", "([12])")"#, REQUESTS, &["b{x=1,z=<1>} 2 2 2", "b{x=3} 5 5 5"]);
    check(r#"label_replace(b, "x", "", "x", "1")"#, REQUESTS, &["b 2 2 2", "b{x=3} 5 5 5"]);
    check(r#"label_join(a{x="2"}, "z", "-", "x", "q", "y")"#, REQUESTS, &["a{x=2,y=1,z=2--1} 100 _ 300"]);
    // What is no UTF-8 shows as U+FFFD.
    check(r#"label_replace(c, "z", "<\xe4>", "", "")"#, "c 1", &["c{z=<\u{fffd}>} 1"]);
    check(r#"label_join(c, "z", "\xff", "x", "x")"#, "c{x=1} 1", &["c{x=1,z=1\u{fffd}1} 1"]);
    check(r#"absent(c{z="\xff"})"#, "c 1", &["{z=\u{fffd}} 1"]);
    check_how(r#""a\xe4""#, "c 1", &["a\u{fffd}"], How { instant: true, ..PLAIN });
}

#[test]
fn a_label_too_long_is_refused() {
    let long = "y".repeat(1 << 20);
    let sources = [r#""x""#; 17].join(", ");
    let error = run(&format!("label_join(c, \"z\", \"\", {sources})"), &format!("c{{x={long}}} 1"), PLAIN).unwrap_err();
    assert_eq!(error, "the value of label \"z\" is 17825792 bytes long, the limit is 16777215 bytes");
    let error = run(
        &format!("label_replace(c, \"z\", \"{}\", \"x\", \"(.*)\")", "$1".repeat(17)),
        &format!("c{{x={long}}} 1"),
        PLAIN,
    );
    assert!(error.unwrap_err().contains("is 17825792 bytes long"));
    // A short question can ask for far more than there is memory.
    let template = "$1".repeat(100_000);
    let error =
        run(&format!("label_replace(c, \"z\", \"{template}\", \"x\", \"(.*)\")"), &format!("c{{x={long}}} 1"), PLAIN);
    assert!(error.unwrap_err().contains("is 104857600000 bytes long"));
    // What is not too long is paid for.
    let error = run(r#"label_join(c, "z", "", "x", "x", "x", "x")"#, &format!("c{{x={long}}} 1"), PLAIN).unwrap_err();
    assert!(error.starts_with("memory limit of the test reached"), "{error}");
}

#[test]
fn absence_and_scalars() {
    check(r#"absent(a{x="9",y=~"1"})"#, REQUESTS, &["{x=9} 1 1 1"]);
    check(r#"absent(a{x=~"7",x="9"})"#, REQUESTS, &["{x=9} 1 1 1"]);
    check(r#"absent_over_time(a{x!="7",x="9"}[1m])"#, REQUESTS, &["{} 1 1 1"]);
    let delayed = How { delayed: true, ..PLAIN };
    check_how(r#"absent_over_time(z{__type__="t",x="9"}[1m])"#, REQUESTS, &["{x=9} 1 1 1"], delayed);
    check_how(r#"absent(z{__type__="t",x="9"})"#, REQUESTS, &["{__type__=t,x=9} 1 1 1"], delayed);
    for matchers in [r#"x="9",x=~"9""#, r#"x="9",x="9""#, r#"x="8",x="9",x="9""#, r#"x="9",x!="8",x="9""#] {
        check(&format!("absent(a{{{matchers}}})"), REQUESTS, &["{} 1 1 1"]);
    }
    check("absent(a{x=\"2\"})", REQUESTS, &["{x=2} _ 1 _"]);
    check("absent(sum(a))", REQUESTS, &[]);
    check("absent_over_time(a{x=\"9\"}[1m])", REQUESTS, &["{x=9} 1 1 1"]);
    check(r#"scalar(a{y="2"})"#, REQUESTS, &["10 20 NaN"]);
    check("scalar(a)", REQUESTS, &["NaN NaN NaN"]);
    check("vector(time())", REQUESTS, &["{} 0 60 120"]);
    check("-time()", REQUESTS, &["-0 -60 -120"]);
    check("max_of(1, time())", REQUESTS, &["1 60 120"]);
    check("a @ 60 * 2", "a 1 2 3", &["{} 4 4 4"]);
    check("histogram_count(a)", REQUESTS, &[]);
    check("minute()", REQUESTS, &["{} 0 1 2"]);
}

#[test]
fn buckets_of_classic_histograms() {
    let buckets = "
        h_bucket{le=0.1,x=1} 10 10
        h_bucket{le=0.2,x=1} 20 5
        h_bucket{le=+Inf,x=1} 20 20
        h_bucket{le=bad,x=1} 20 20";
    let (rows, notes) = run("histogram_quantile(0.75, h_bucket)", buckets, PLAIN).unwrap();
    assert_eq!(rows, ["{x=1} 0.15000000000000002 0.2"]);
    assert_eq!(
        notes,
        [
            "PromQL warning: bucket label \"le\" is missing or has a malformed value of \"bad\" (1:26)",
            "PromQL info: input to histogram_quantile needed to be fixed for monotonicity (see \
             https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile), from buckets 0.2 to \
             0.2, with a max diff of 5, over 1 samples from 1970-01-01T00:01:00Z to 1970-01-01T00:01:00Z (1:26)",
        ]
    );
    let good = "h_bucket{le=0.1} 10\nh_bucket{le=0.2} 20\nh_bucket{le=+Inf} 20";
    check("histogram_fraction(0, 0.1, h_bucket)", good, &["{} 0.5"]);
    // The first quantile mends the buckets of a step for the others.
    let falling = "h_bucket{le=0.1} 10 10 10\nh_bucket{le=0.2} 20 5 4\nh_bucket{le=+Inf} 20 20 20";
    for (query, count) in [
        (r#"histogram_quantiles(h_bucket, "q", 0.75, 0.9)"#, "over 4 samples"),
        (r#"histogram_quantiles(h_bucket, "q", scalar(absent(h_bucket)), 0.75, 0.9)"#, "over 4 samples"),
        ("histogram_quantile(0.75, h_bucket) + histogram_quantile(0.75, h_bucket)", "over 8 samples"),
    ] {
        let (_, notes) = run(query, falling, PLAIN).unwrap();
        assert!(notes.iter().any(|note| note.contains(count)), "{query}: {notes:?}");
    }
    let two = "j{job=a,le=+Inf} 1\nj{job=a,le=1} 1\nj{job=b,le=+Inf} 1\nj{job=b,le=1} 1";
    let refused = "vector cannot contain metrics with the same labelset";
    check_error(r#"sum(histogram_quantiles(j, "job", 0.5, 0.9))"#, two, refused);
    check_error(r#"sum(histogram_quantiles(j, "q", 0.5, 0.5))"#, two, refused);
    check(r#"histogram_quantiles(h_bucket, "q", 0.5, 1)"#, good, &["{q=0.5} 0.1", "{q=1.0} 0.2"]);
    // Quantile after quantile: the order decides among ties.
    let three = "n{i=a} h\nn{i=b} h\nn{i=c} h";
    let instant = How { instant: true, ..PLAIN };
    let first = &["{i=a,q=0.25} NaN", "{i=b,q=0.25} NaN", "{i=c,q=0.25} NaN"];
    let least = r#"sort_by_label(bottomk(3, histogram_quantiles(n, "q", 0.25, 0.5)), "i")"#;
    check_how(least, three, first, instant);
    let (_, notes) = run("histogram_quantile(2, h_bucket)", good, PLAIN).unwrap();
    assert_eq!(notes, ["PromQL warning: quantile value should be between 0 and 1, got 2 (1:20)"]);
}

#[test]
fn info_series_lend_their_labels() {
    let data = "
        m{instance=i,job=j,own=1} 1 2 3
        m{instance=k,job=j} 4 5 6
        target_info{instance=i,job=j,own=9,v=1} 1 1 _
        target_info{instance=i,job=j,v=2} _ _ 1";
    check(
        "info(m)",
        data,
        &["m{instance=i,job=j,own=1,v=1} 1 2 _", "m{instance=i,job=j,own=1,v=2} _ _ 3", "m{instance=k,job=j} 4 5 6"],
    );
    check("info(m, {v=\"2\"})", data, &["m{instance=i,job=j,own=1,v=2} _ _ 3"]);
    let twice = "m{instance=i,job=j} 1\ntarget_info{a=1,instance=i,job=j} 1\ntarget_info{a=2,instance=i,job=j} 1";
    check_error(
        "info(m)",
        twice,
        "found duplicate series for info metric: existing {__name__=\"target_info\", a=\"1\", instance=\"i\", job=\"j\"} \
         @ 0, new {__name__=\"target_info\", a=\"2\", instance=\"i\", job=\"j\"} @ 0",
    );
}

/// A histogram among the info series counts where upstream would fetch it, at whichever step.
#[test]
fn info_series_hold_no_histograms() {
    let apart = "
        m{instance=i,job=j} 1 2
        target_info{instance=i,job=j,v=1} 1 1
        target_info{instance=k,job=j} h h";
    check("info(m)", apart, &["m{instance=i,job=j,v=1} 1 2"]);
    check_error(
        "info(m)",
        "m{instance=i,job=j} 1 _\ntarget_info{instance=i,job=j} _ h",
        "this should be an info metric, with float samples: {__name__=\"target_info\", instance=\"i\", job=\"j\"}",
    );
}

#[test]
fn values_of_instant_queries() {
    let instant = How { instant: true, ..PLAIN };
    check_how("\"text\"", REQUESTS, &["text"], instant);
    check_how("b[5m]", REQUESTS, &["b{x=1} 2", "b{x=3} 5"], instant);
    check_how("(-b)[2m:1m] offset -1m", REQUESTS, &["{x=1} -2 -2", "{x=3} -5 -5"], instant);
    check_how("2 * 3", REQUESTS, &["6"], instant);
    let (_, notes) = run("sort(b)", REQUESTS, PLAIN).unwrap();
    assert_eq!(
        notes,
        ["PromQL warning: sort is ineffective for range queries since results are always ordered by labels (1:1)"]
    );
}

#[test]
fn annotations_point_to_arguments() {
    for (query, place) in [("rate(b[2m])", "1:6"), ("1 + rate((b)[2m:1m])", "1:1"), ("sum(\n  rate(b[2m]))", "2:8")] {
        let (_, notes) = run(query, REQUESTS, PLAIN).unwrap();
        let text = "PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket";
        assert_eq!(notes, [format!("{text}: \"b\" ({place})")], "{query}");
    }
}

/// Of one text at several places the last counts, in the order of evaluation: operands left to right, a parameter before
/// what is aggregated, and what is made of them after them.
#[test]
fn annotations_point_to_the_last_place() {
    let counter = "PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \"b\"";
    let quantile = "PromQL warning: quantile value should be between 0 and 1, got 2";
    for (query, text, place) in [
        ("rate(b[3m]) + rate(b[4m])", counter, "1:20"),
        ("rate(b[4m]) + rate(b[3m])", counter, "1:20"),
        ("rate(b[4m]) + rate(b[3m:1m])", counter, "1:1"),
        ("quantile(2, b) + quantile(2, b)", quantile, "1:27"),
        ("quantile(2, b * scalar(quantile(2, b)))", quantile, "1:10"),
        ("scalar(quantile(2, b)) * quantile(2, b)", quantile, "1:35"),
        ("topk(scalar(max(rate(b[3m:1m]))) > bool 0, rate(b[3m]))", counter, "1:49"),
        ("topk(scalar(max(rate(b[3m]))) > bool 0, rate(b[3m:1m]))", counter, "1:1"),
    ] {
        let (_, notes) = run(query, REQUESTS, PLAIN).unwrap();
        assert_eq!(notes, [format!("{text} ({place})")], "{query}");
    }
}

/// A query that is refused memory, cancelled or too large ends with its error and gives everything back.
#[test]
fn limits_end_a_query() {
    let annotations = Annotations::default();
    let planned = plan("quantile(0.5, a)", Timeline::instant(0), &PlanOptions::default()).unwrap();
    let series = series_of(REQUESTS);
    let end = |budget: &Budget, cancelled: bool, max_samples: usize, expression: &str| {
        let planned = plan(expression, Timeline::instant(0), &PlanOptions::default()).unwrap_or(planned.clone());
        let cx = Context {
            budget: budget.clone(),
            cancelled: Arc::new(AtomicBool::new(cancelled)),
            annotations: &annotations,
            samples: SampleLimit::new(max_samples),
            pool: None,
        };
        let feed = Feed { series: series.clone(), size: 2, at: 0, budget: Budget::unlimited() };
        let failed = evaluate(&planned, vec![Box::new(feed)], &cx).unwrap_err();
        assert_eq!(budget.used(), 0);
        failed
    };
    assert!(matches!(end(&Budget::new("query", 100), false, 10, "sum(a)"), QueryError::LimitExceeded(_)));
    assert!(matches!(end(&Budget::unlimited(), true, 10, "sum(a)"), QueryError::Cancelled));
    let many = end(&Budget::unlimited(), false, 2, "{x=~\".+\"}");
    assert_eq!(many.to_string(), too_many().to_string());
}

/// A grid of more steps than samples may be held is refused before anything of its size is made, whatever is below.
#[test]
fn huge_grids_are_refused() {
    let too_many = too_many().to_string();
    for query in [
        "max_over_time(abs(nope)[292y:1ms])",
        "max_over_time(absent(nope)[292y:1ms])",
        "sum(max_over_time(clamp_min(nope, 1)[292y:1ms]) + 1)",
        "max_over_time(quantile_over_time(scalar(nope), nope[1m])[292y:1ms])",
        "max_over_time(vector(1)[2h:1s])",
    ] {
        check_error(query, REQUESTS, &too_many);
        assert_eq!(run(query, REQUESTS, How { instant: true, ..PLAIN }).unwrap_err(), too_many, "{query}");
    }
    let instant = How { instant: true, ..PLAIN };
    assert_eq!(run("absent(nope)[292y:1ms]", REQUESTS, instant).unwrap_err(), too_many);
}

/// What grows with the steps takes its memory first: 10 million of them against 4 MiB.
#[test]
fn what_grows_with_steps_is_reserved() {
    let how = How { max_samples: 20_000_000, instant: true, ..PLAIN };
    for query in [
        "max_over_time(absent(nope)[10000s:1ms])",
        "max_over_time(clamp_min(nope, 1)[10000s:1ms])",
        "max_over_time(clamp(nope, 1, 2)[10000s:1ms])",
        "max_over_time((nope + 1)[10000s:1ms])",
        "max_over_time(quantile_over_time(scalar(nope), nope[1m])[10000s:1ms])",
    ] {
        let failed = run(query, REQUESTS, how).unwrap_err();
        assert!(failed.contains("memory"), "{query}: {failed}");
    }
    check_how("max_over_time(abs(nope)[10000s:1ms])", REQUESTS, &[], how);
}

/// Bounds that are no numbers have no order, which sorting must survive.
#[test]
fn bounds_may_be_nan() {
    let nans = ["nan", "naN", "nAn", "nAN", "Nan", "NaN", "NAn", "NAN"];
    let bound = |i: usize| if i % 4 == 1 && i < 32 { nans[i / 4].to_owned() } else { (i * 37 % 60).to_string() };
    let data: String = (0..60).map(|i| format!("h_bucket{{a={i:02},le={}}} 1\n", bound(i))).collect();
    let data = data + "h_bucket{a=99,le=+Inf} 1";
    let (rows, _) = run("histogram_quantile(0.5, sum without (a) (h_bucket))", &data, PLAIN).unwrap();
    assert_eq!(rows.len(), 1);
    let (rows, _) = run("histogram_fraction(0, 1, sum without (a) (h_bucket))", &data, PLAIN).unwrap();
    assert_eq!(rows.len(), 1);
}

/// The least limit on samples under which a query of three steps passes: what a selector gives counts until the expression
/// around it has been evaluated. One series of `a` is stale at all of them.
#[test]
fn samples_count_over_the_query() {
    let planned = |expression: &str| {
        let timeline = Timeline { start: 120_000, step: STEP, count: 3 };
        plan(expression, timeline, &PlanOptions::default()).unwrap()
    };
    let passes = |expression: &str, limit: usize, size: usize| {
        let annotations = Annotations::default();
        let samples = SampleLimit::new(limit);
        let cx = Context {
            budget: Budget::unlimited(),
            cancelled: Arc::new(AtomicBool::new(false)),
            annotations: &annotations,
            samples: samples.clone(),
            pool: None,
        };
        let planned = planned(expression);
        let input = |select: &Select| -> Box<dyn Input> {
            let fits = |series: &Series| select.matchers.iter().all(|m| m.matches(series.labels.value(m.name())));
            let series = series_of(REQUESTS).into_iter().filter(fits).collect();
            Box::new(Feed { series, size, at: 0, budget: Budget::unlimited() })
        };
        let value = evaluate(&planned, planned.selects.iter().map(input).collect(), &cx);
        let all_free = samples.check(limit).is_ok();
        assert!(all_free, "{expression}: samples stay counted");
        value.is_ok()
    };
    // What a series has at the three steps counts, and its raw samples while it is read.
    for (expression, least) in [
        ("a", 6 + 3),
        ("sum(a)", 6 + 3),
        ("sum(a) / sum(a)", 3 + 6 + 3),
        ("b + b", 6 + 6 + 3),
        ("a and on (x) b", 6 + 6 + 3),
        ("sum_over_time(b[2m])", 4 + 2),
        ("max_over_time(b[2m:1m])", 2 * 4 + 6 + 4),
        ("b @ 120 + 1", 2 + 6),
        // One row of two has a value to repeat.
        ("b @ 120 > 4", 2 + 3),
        ("vector(1)", 3),
    ] {
        for size in [1, 256] {
            assert!(passes(expression, least, size), "{expression} by {size}: {least} is too few");
            assert!(!passes(expression, least - 1, size), "{expression} by {size}: {least} is too much");
        }
    }
}

/// The deepest trees that the parser lets through are evaluated on the stack of an ordinary thread.
#[test]
fn deep_queries_fit_the_stack() {
    let sum = ["b{x=\"1\"}"; 480].join(" + ");
    check(&sum, "b{x=1} 1", &["{x=1} 480"]);
    let negated = format!("{}b{}", "-(".repeat(240), ")".repeat(240));
    check(&negated, "b{x=1} 1", &["{x=1} 1"]);
    let nested = format!("{}b{}", "max_over_time(".repeat(120), "[1m:1m])".repeat(120));
    check(&nested, "b{x=1} 1", &["{x=1} 1"]);
}

/// Series that are made when they are asked for.
struct Endless {
    left: usize,
    budget: Budget,
}

impl Input for Endless {
    fn next(&mut self) -> Result<Option<SeriesBatch>, QueryError> {
        let from = self.left;
        self.left = from.saturating_sub(100);
        let one = |i: usize| {
            let labels = Labels::from_pairs([
                ("__name__", "a"),
                ("i", &format!("{:05}", 99_999 - i)),
                ("job", &(i % 3).to_string()),
            ]);
            let chunks = chunk::encode(&[0, 50 * STEP], &[1.0, 2.0]);
            Series::of_lane(labels, Lane::default(), chunks)
        };
        let series: Vec<Series> = (self.left..from).rev().map(one).collect();
        let held = self.budget.reserve("test", series.len() * 200)?;
        Ok((!series.is_empty()).then(|| SeriesBatch::new(series, held)))
    }
}

/// 6,000 series of 100 steps, 4.8 MB as rows, are summed within 1 MB: a batch and the groups.
#[test]
fn aggregations_hold_groups_and_not_series() {
    let annotations = Annotations::default();
    let budget = Budget::new("query", 1 << 20);
    let cx = Context {
        budget: budget.clone(),
        cancelled: Arc::new(AtomicBool::new(false)),
        annotations: &annotations,
        samples: SampleLimit::new(1_000_000),
        pool: None,
    };
    let timeline = Timeline { start: 0, step: STEP, count: 100 };
    let planned = plan("sum by (job) (last_over_time(a[5m]) * 2 > 1)", timeline, &PlanOptions::default()).unwrap();
    let input = Endless { left: 6_000, budget: budget.clone() };
    let Value::Series(rows) = evaluate(&planned, vec![Box::new(input)], &cx).unwrap() else { panic!("rows") };
    let at = |step: usize| rows.iter().map(|row| row.values[step]).collect::<Vec<_>>();
    assert_eq!((at(0), at(50)), (vec![4_000.0; 3], vec![8_000.0; 3]));
    assert!(super::batch::is_absent(rows[0].values[99]));
    assert_eq!(budget.used(), 0);
}

/// What a real Prometheus says of the same: samples that each step looks at, and samples that it reads first.
#[test]
fn samples_are_counted_as_upstream_counts_them() {
    let data = "c 1 2 3 4\nn h h h h";
    for (query, looked_at, read) in [
        ("c", [1, 1, 1, 1], [1, 1, 1, 1]),
        ("c offset 2m", [0, 0, 1, 1], [0, 0, 1, 1]),
        ("c @ 60", [1, 1, 1, 1], [1, 0, 0, 0]),
        ("c + c @ 60", [2, 2, 2, 2], [2, 1, 1, 1]),
        ("timestamp(n)", [1, 1, 1, 1], [1, 1, 1, 1]),
        ("sum_over_time(c[2m])", [1, 2, 2, 2], [1, 1, 1, 1]),
        ("sum_over_time(c[2m] @ 60)", [2, 2, 2, 2], [2, 0, 0, 0]),
        ("sum_over_time(c[2m:1m])", [1, 2, 2, 2], [1, 1, 1, 1]),
        ("sum_over_time(c[2m:1m] offset 1m)", [0, 1, 2, 2], [0, 1, 1, 1]),
        ("sum_over_time(c[2m:1m] @ 60)", [2, 2, 2, 2], [2, 0, 0, 0]),
        // What is read between two windows counts nowhere.
        ("sum_over_time(c[30s:30s])", [1, 1, 1, 1], [1, 1, 1, 1]),
        ("sum_over_time(sum_over_time(c[2m:1m])[2m:1m])", [1, 2, 2, 2], [1, 1, 1, 1]),
        ("rate(c[1m] anchored)", [1, 2, 3, 4], [1, 1, 1, 1]),
        ("rate(c[1m] smoothed)", [4, 4, 4, 4], [4, 0, 0, 0]),
        ("c smoothed", [0, 0, 0, 0], [0, 0, 0, 0]),
    ] {
        let samples = SampleLimit::counting(usize::MAX, 4);
        run_limited(query, data, PLAIN, samples.clone()).unwrap();
        let counts = samples.counts().expect("counted");
        assert_eq!((&*counts.looked_at, &*counts.read), (&looked_at[..], &read[..]), "{query}");
    }
}
