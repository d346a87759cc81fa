//! Whether two answers are the same.
//!
//! Values are compared as printed; within 1e-12 where the expression adds up floats, whose order of summation changed between
//! versions. Series of a matrix are in order, those of a vector as far as the expression says so. Annotations are sets. Error
//! texts are compared only if the reference is of the version whose texts Masthead has.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use serde_json::{Map, Value};

use super::client::Reply;
use super::known;
use super::question::Question;
use crate::answers::{Order, mentions, near, order_of};

/// Allowed relative difference of sums.
const TOLERANCE: f64 = 1e-12;

/// What adds up floats.
pub(super) const SUMS: &[&str] = &[
    "sum",
    "avg",
    "stddev",
    "stdvar",
    "sum_over_time",
    "avg_over_time",
    "stddev_over_time",
    "stdvar_over_time",
    "deriv",
    "predict_linear",
];

/// Up to this many items Go sorts by insertion (slices/zsortanyfunc.go, pdqsortCmpFunc).
const INSERTION_MAX: usize = 12;

/// How answers agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Same {
    /// In everything.
    Equal,
    /// But for the last digits of sums.
    LastDigits,
    /// Nothing is found.
    Empty,
    /// Both refuse.
    Refused,
}

impl Same {
    /// The reference gives several answers to the question.
    pub const CHANCE: &'static str = "the reference contradicts itself";

    /// For people and for counting.
    pub fn name(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::LastDigits => "equal but for the last digits of sums",
            Self::Empty => "both empty",
            Self::Refused => "both refuse",
        }
    }
}

/// What differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// No answer, or no JSON.
    Broken,
    /// HTTP status, error type or text.
    Refusal,
    /// Type of the result.
    Type,
    /// The labels of the series.
    Series,
    /// The times of the points.
    Times,
    /// A value.
    Value,
    /// The order of the series.
    Order,
    /// Warnings or infos.
    Annotations,
}

/// A difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What differs.
    pub kind: Kind,
    /// For people: the reference's, then Masthead's.
    pub text: String,
}

impl Display for Difference {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.text)
    }
}

/// Compares the answers of a reference of version 3.`minor` and of Masthead.
pub fn compare(question: &Question, reference: &Reply, ours: &Reply, minor: u32) -> Result<Same, Difference> {
    if reference == ours && reference.status != 0 {
        return Ok(kind_of(reference));
    }
    let (theirs, mine) = (parsed(reference)?, parsed(ours)?);
    if (reference.status, &theirs["errorType"]) != (ours.status, &mine["errorType"]) {
        let text = |reply: &Reply, body: &Value| format!("{} {} {}", reply.status, body["errorType"], body["error"]);
        return Err(differ(Kind::Refusal, text(reference, &theirs), text(ours, &mine)));
    }
    if theirs["error"] != mine["error"] && minor >= known::OURS {
        return Err(differ(Kind::Refusal, &theirs["error"], &mine["error"]));
    }
    if theirs["status"] == "error" {
        return Ok(Same::Refused);
    }
    let approximate = data(&question.query, &theirs["data"], &mine["data"])?;
    for kind in ["warnings", "infos"] {
        if !known::same_annotations(&theirs[kind], &mine[kind], minor) {
            return Err(differ(Kind::Annotations, format!("{kind} {}", theirs[kind]), &mine[kind]));
        }
    }
    match (approximate, kind_of(reference)) {
        (true, Same::Equal) => Ok(Same::LastDigits),
        (_, same) => Ok(same),
    }
}

fn differ(kind: Kind, theirs: impl Display, mine: impl Display) -> Difference {
    let cut = |text: String| text.chars().take(300).collect::<String>();
    Difference { kind, text: format!("{} | {}", cut(theirs.to_string()), cut(mine.to_string())) }
}

fn kind_of(reply: &Reply) -> Same {
    const EMPTY: &[u8] = b"\"result\":[]";
    match reply.status {
        200 if reply.body.windows(EMPTY.len()).take(100).any(|window| window == EMPTY) => Same::Empty,
        200 => Same::Equal,
        _ => Same::Refused,
    }
}

fn parsed(reply: &Reply) -> Result<Value, Difference> {
    let text = || String::from_utf8_lossy(&reply.body).into_owned();
    if reply.status == 0 {
        return Err(Difference { kind: Kind::Broken, text: text() });
    }
    serde_json::from_slice(&reply.body)
        .map_err(|error| Difference { kind: Kind::Broken, text: format!("{error}: {}", text()) })
}

/// Whether the results are the same but for the last digits; an error says what differs.
fn data(query: &str, theirs: &Value, mine: &Value) -> Result<bool, Difference> {
    if theirs["resultType"] != mine["resultType"] {
        return Err(differ(Kind::Type, &theirs["resultType"], &mine["resultType"]));
    }
    let mut judge = Judge { tolerance: if mentions(query, SUMS) { TOLERANCE } else { 0.0 }, approximate: false };
    let matrix = theirs["resultType"] == "matrix";
    match (theirs["result"].as_array(), mine["result"].as_array()) {
        (Some(theirs), Some(mine)) if matrix || theirs.first().is_some_and(Value::is_object) || theirs.is_empty() => {
            judge.series(theirs, mine)?;
            let names = |list: &[Value]| list.iter().map(|series| series["metric"].to_string()).collect::<Vec<_>>();
            if matrix && names(theirs) != names(mine) {
                return Err(differ(Kind::Order, names(theirs).join(" "), names(mine).join(" ")));
            }
            if !matrix && !judge.is_ordered(&order_of(query), theirs, mine) {
                return Err(differ(Kind::Order, shown(theirs), shown(mine)));
            }
        }
        _ => judge.point(&theirs["result"], &mine["result"], "")?,
    }
    Ok(judge.approximate)
}

fn has_all(series: &Value, labels: &[String]) -> bool {
    labels.iter().all(|label| series["metric"].get(label).is_some())
}

fn shown(list: &[Value]) -> String {
    list.iter().map(Value::to_string).collect::<Vec<_>>().join(" ")
}

struct Judge {
    /// Allowed relative difference.
    tolerance: f64,
    /// Some values differed by less.
    approximate: bool,
}

impl Judge {
    fn series(&mut self, theirs: &[Value], mine: &[Value]) -> Result<(), Difference> {
        let (theirs, mine) = (by_labels(theirs), by_labels(mine));
        if !theirs.keys().eq(mine.keys()) {
            let only = |a: &Named<'_>, b: &Named<'_>| {
                a.keys().filter(|labels| !b.contains_key(*labels)).take(3).cloned().collect::<Vec<_>>().join(" ")
            };
            return Err(differ(Kind::Series, only(&theirs, &mine), only(&mine, &theirs)));
        }
        for ((labels, theirs), mine) in theirs.iter().zip(mine.values()) {
            if theirs.len() != mine.len() {
                return Err(differ(Kind::Series, format!("{}×{labels}", theirs.len()), mine.len()));
            }
            for (theirs, mine) in theirs.iter().zip(mine) {
                self.one(theirs, mine, labels)?;
            }
        }
        Ok(())
    }

    fn one(&mut self, theirs: &Map<String, Value>, mine: &Map<String, Value>, labels: &str) -> Result<(), Difference> {
        for kind in ["value", "histogram", "values", "histograms"] {
            let (Some(theirs), Some(mine)) = (theirs.get(kind), mine.get(kind)) else {
                if theirs.contains_key(kind) != mine.contains_key(kind) {
                    return Err(differ(Kind::Times, format!("{labels} {kind}"), "one side has them alone"));
                }
                continue;
            };
            if !kind.ends_with('s') {
                self.point(theirs, mine, labels)?;
                continue;
            }
            let (Some(theirs), Some(mine)) = (theirs.as_array(), mine.as_array()) else { continue };
            let times = |points: &[Value]| points.iter().map(|point| point[0].to_string()).collect::<Vec<_>>();
            let (their_times, my_times) = (times(theirs), times(mine));
            if their_times != my_times {
                let at = their_times.iter().zip(&my_times).position(|(a, b)| a != b);
                let shown = |times: &[String]| format!("{} at {:?}", times.len(), at.map(|at| &times[at]));
                return Err(differ(Kind::Times, format!("{labels} {}", shown(&their_times)), shown(&my_times)));
            }
            for (theirs, mine) in theirs.iter().zip(mine) {
                self.point(theirs, mine, labels)?;
            }
        }
        Ok(())
    }

    /// A time and a value.
    fn point(&mut self, theirs: &Value, mine: &Value, labels: &str) -> Result<(), Difference> {
        if theirs == mine {
            return Ok(());
        }
        if theirs[0] == mine[0] && near(&theirs[1], &mine[1], self.tolerance) {
            self.approximate = true;
            return Ok(());
        }
        Err(differ(Kind::Value, format!("{labels} {theirs}"), mine))
    }

    /// Whether two lists of the same series have the same order, as far as there is one.
    fn is_ordered(&self, order: &Order, theirs: &[Value], mine: &[Value]) -> bool {
        fn values(list: &[Value]) -> Vec<&Value> {
            list.iter().map(|series| &series["value"][1]).collect()
        }
        let same = |theirs: Vec<&Value>, mine: Vec<&Value>| {
            theirs.len() == mine.len()
                && theirs.iter().zip(mine).all(|(theirs, mine)| near(theirs, mine, self.tolerance))
        };
        match order {
            Order::None => true,
            // Of more series than Go sorts by insertion it is chance where one without such a label goes.
            Order::Labels(labels) if theirs.len() > INSERTION_MAX && !theirs.iter().all(|s| has_all(s, labels)) => true,
            Order::Labels(_) => theirs.iter().map(|one| &one["metric"]).eq(mine.iter().map(|one| &one["metric"])),
            Order::Values => same(values(theirs), values(mine)),
            Order::Groups(grouping) => {
                let (theirs, mine) = (grouping.groups(theirs), grouping.groups(mine));
                theirs.len() == mine.len()
                    && theirs.into_iter().zip(mine).all(|(theirs, mine)| theirs.0 == mine.0 && same(theirs.1, mine.1))
            }
        }
    }
}

/// Series by their labels; several where a result has the same labels twice.
type Named<'a> = BTreeMap<String, Vec<&'a Map<String, Value>>>;

fn by_labels(list: &[Value]) -> Named<'_> {
    let mut named = Named::new();
    for series in list.iter().filter_map(Value::as_object) {
        named.entry(series["metric"].to_string()).or_default().push(series);
    }
    named
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::differential::question::Times;

    fn judged(query: &str, status: [u16; 2], bodies: [&str; 2]) -> Result<Same, Kind> {
        let question = Question { query: query.to_owned(), times: Times::Instant(0) };
        let reply = |at: usize| Reply { status: status[at], body: bodies[at].to_owned().into() };
        compare(&question, &reply(0), &reply(1), known::OURS).map_err(|difference| difference.kind)
    }

    fn of_values(query: &str, a: &str, b: &str) -> Result<Same, Kind> {
        let body = |value: &str| {
            format!(
                r#"{{"status":"success","data":{{"resultType":"vector","result":[{{"metric":{{"x":"y"}},"value":[1,"{value}"]}}]}}}}"#
            )
        };
        judged(query, [200, 200], [&body(a), &body(b)])
    }

    /// Exact but for sums; what is no number is no tolerance.
    #[test]
    fn values_are_exact_but_for_sums() {
        assert_eq!(of_values("up", "1", "1"), Ok(Same::Equal));
        assert_eq!(of_values("up", "1", "1.0000000000000002"), Err(Kind::Value));
        assert_eq!(of_values("sum(up)", "1", "1.0000000000000002"), Ok(Same::LastDigits));
        assert_eq!(of_values("sum(up)", "1", "1.00000000001"), Err(Kind::Value));
        assert_eq!(of_values("sum(up)", "NaN", "1"), Err(Kind::Value));
        assert_eq!(of_values("sum(up)", "+Inf", "-Inf"), Err(Kind::Value));
        assert_eq!(of_values("up", "NaN", "NaN"), Ok(Same::Equal));
    }

    /// Every part of an answer is looked at.
    #[test]
    fn every_part_counts() {
        let matrix = |list: &str, more: &str| {
            format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":[{list}]}}{more}}}"#)
        };
        let a = r#"{"metric":{"x":"a"},"values":[[1,"1"],[2,"2"]]}"#;
        let b = r#"{"metric":{"x":"b"},"values":[[1,"1"]]}"#;
        let both = matrix(&format!("{a},{b}"), "");
        let fails = |other: &str| judged("up", [200, 200], [&both, other]).unwrap_err();
        assert_eq!(fails(&matrix(a, "")), Kind::Series);
        assert_eq!(fails(&matrix(&format!("{b},{a}"), "")), Kind::Order);
        assert_eq!(fails(&both.replace("[2,\"2\"]", "[3,\"2\"]")), Kind::Times);
        assert_eq!(fails(&both.replace("[2,\"2\"]", "[2,\"3\"]")), Kind::Value);
        assert_eq!(fails(&both.replace("matrix", "vector")), Kind::Type);
        assert_eq!(fails(&matrix(&format!("{a},{b}"), r#","warnings":["w"]"#)), Kind::Annotations);
        assert_eq!(fails(&matrix(&format!("{a},{b}"), r#","infos":["w"]"#)), Kind::Annotations);
        assert_eq!(fails("no JSON"), Kind::Broken);
        let refused = r#"{"status":"error","errorType":"execution","error":"a"}"#;
        assert_eq!(judged("up", [422, 422], [refused, refused]), Ok(Same::Refused));
        assert_eq!(judged("up", [422, 200], [refused, &both]), Err(Kind::Refusal));
        assert_eq!(judged("up", [422, 400], [refused, refused]), Err(Kind::Refusal));
        assert_eq!(judged("up", [422, 422], [refused, &refused.replace('a', "b")]), Err(Kind::Refusal));
        assert_eq!(judged("up", [0, 0], ["x", "x"]), Err(Kind::Broken));
    }

    /// A vector is a set but for what the expression puts in order: values, of which equal ones may change places, labels, or
    /// the values of each group.
    #[test]
    fn vectors_are_sets_unless_sorted() {
        let vector = |list: &[(&str, &str, &str)]| {
            let one = |(group, name, value): &(&str, &str, &str)| {
                format!(r#"{{"metric":{{"g":"{group}","x":"{name}"}},"value":[1,"{value}"]}}"#)
            };
            let list = list.iter().map(one).collect::<Vec<_>>().join(",");
            format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{list}]}}}}"#)
        };
        let judged = |query: &str, a: &[_], b: &[_]| judged(query, [200, 200], [&vector(a), &vector(b)]);
        let (a, b, c) = (("1", "a", "1"), ("1", "b", "2"), ("2", "c", "0"));
        assert_eq!(judged("up", &[a, b], &[b, a]), Ok(Same::Equal));
        for query in ["sort(up)", "topk(2, up)", "sort_by_label(up, \"x\")", "topk by (g) (2, up)"] {
            assert_eq!(judged(query, &[a, b], &[a, b]), Ok(Same::Equal), "{query}");
            assert_eq!(judged(query, &[a, b], &[b, a]), Err(Kind::Order), "{query}");
        }
        assert_eq!(judged("topk by (g) (2, up)", &[a, b, c], &[c, a, b]), Ok(Same::Equal));
        assert_eq!(judged("topk by (g) (2, up)", &[a, b, c], &[a, c, b]), Err(Kind::Order));
        let (tied, other) = (("1", "a", "1"), ("1", "b", "1"));
        assert_eq!(judged("sort(up)", &[tied, other], &[other, tied]), Ok(Same::Equal));
        assert_eq!(judged("sort_by_label(up, \"x\")", &[tied, other], &[other, tied]), Err(Kind::Order));
    }
}
