//! Whether an answer is the recorded one. The rules are in `golden/README.md`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Answer, Question};
use crate::answers::{Order, mentions, near, order_of};

/// Allowed relative difference where the order of summation is free.
const SUM_TOLERANCE: f64 = 1e-12;

/// Aggregations that add up floats of several series.
const SUMS: &[&str] = &["sum", "avg", "stddev", "stdvar"];

/// Compares an answer; where blocks disagree, all but the values and what is said of them. The error says what differs.
pub fn check(question: &Question, answer: &Answer) -> Result<(), String> {
    let (want, got) = (question.body(), &answer.body);
    if answer.status != question.status() {
        return Err(format!("status {} instead of {}: {}", answer.status, question.status(), cut(got)));
    }
    for key in ["status", "errorType", "error"] {
        if want.get(key) != got.get(key) {
            return Err(format!("{key} {} instead of {}", cut(&got[key]), cut(&want[key])));
        }
    }
    for key in ["warnings", "infos"] {
        if !question.conflict && sorted(want.get(key)) != sorted(got.get(key)) {
            return Err(format!("{key} {} instead of {}", cut(&got[key]), cut(&want[key])));
        }
    }
    let keys = |body: &Value| body.as_object().map(|body| body.keys().cloned().collect::<Vec<_>>());
    if !question.conflict && keys(want) != keys(got) {
        return Err(format!("keys {:?} instead of {:?}", keys(got), keys(want)));
    }
    data(question, want.get("data"), got.get("data"))
}

fn data(question: &Question, want: Option<&Value>, got: Option<&Value>) -> Result<(), String> {
    let tolerance = if mentions(question.text(), SUMS) { SUM_TOLERANCE } else { 0.0 };
    let (Some(want), Some(got)) = (want, got) else {
        return if want == got { Ok(()) } else { Err("data is there or is not".to_owned()) };
    };
    if want.is_array() {
        // Names and values are sorted; series are compared as a set.
        let plain = |list: &Value| list.as_array().is_some_and(|list| list.iter().all(Value::is_string));
        let same = if plain(want) { want == got } else { sorted(Some(want)) == sorted(Some(got)) };
        return if same { Ok(()) } else { Err(format!("{} instead of {}", cut(got), cut(want))) };
    }
    let kind = want["resultType"].as_str();
    if kind.is_none() || want["resultType"] != got["resultType"] {
        return if kind.is_none() && want == got { Ok(()) } else { Err(format!("type {}", got["resultType"])) };
    }
    if !matches!(kind, Some("vector" | "matrix")) {
        return point(&want["result"], &got["result"], tolerance);
    }
    let (want, got) = (series(&want["result"])?, series(&got["result"])?);
    let defined = || matches!(order_of(question.text()), Order::Values | Order::Labels(_));
    let ordered = !question.unordered && (kind == Some("matrix") || defined());
    let names = |list: &[Named<'_>]| -> Vec<String> {
        let mut names: Vec<String> = list.iter().map(|(name, _)| name.clone()).collect();
        if !ordered {
            names.sort();
        }
        names
    };
    if names(&want) != names(&got) {
        return Err(format!("series {:?} instead of {:?}", cut_list(&names(&got)), cut_list(&names(&want))));
    }
    if question.conflict {
        return Ok(());
    }
    let mut open: BTreeMap<&str, Vec<&Map<String, Value>>> = BTreeMap::new();
    for (name, series) in &got {
        open.entry(name).or_default().push(series);
    }
    for (name, wanted) in &want {
        let candidates = open.get_mut(name.as_str()).ok_or("a series too few")?;
        let checks: Vec<Result<(), String>> = candidates.iter().map(|have| points(wanted, have, tolerance)).collect();
        match checks.iter().position(Result::is_ok) {
            Some(at) => drop(candidates.remove(at)),
            None => return checks.into_iter().next().unwrap_or(Ok(())).map_err(|error| format!("{name}: {error}")),
        }
    }
    Ok(())
}

/// A list as a set; None where it is not there.
fn sorted(list: Option<&Value>) -> Option<Vec<String>> {
    let mut texts: Vec<String> = list?.as_array()?.iter().map(Value::to_string).collect();
    texts.sort();
    Some(texts)
}

/// A series by its labels.
type Named<'a> = (String, &'a Map<String, Value>);

/// Each series of a result by its labels.
fn series(result: &Value) -> Result<Vec<Named<'_>>, String> {
    let list = result.as_array().ok_or("the result is no list")?;
    list.iter()
        .map(|item| {
            let item = item.as_object().ok_or("a series is no object")?;
            Ok((item.get("metric").ok_or("a series without metric")?.to_string(), item))
        })
        .collect()
}

fn points(want: &Map<String, Value>, got: &Map<String, Value>, tolerance: f64) -> Result<(), String> {
    if !want.keys().eq(got.keys()) {
        return Err(format!("keys {:?} instead of {:?}", got.keys(), want.keys()));
    }
    for key in ["value", "histogram"] {
        if let (Some(want), Some(got)) = (want.get(key), got.get(key)) {
            point(want, got, tolerance)?;
        }
    }
    for key in ["values", "histograms"] {
        if let (Some(Value::Array(want)), Some(Value::Array(got))) = (want.get(key), got.get(key)) {
            if want.len() != got.len() {
                return Err(format!("{} {key} instead of {}", got.len(), want.len()));
            }
            want.iter().zip(got).try_for_each(|(want, got)| point(want, got, tolerance))?;
        }
    }
    Ok(())
}

/// Times exactly, values as printed or within the tolerance.
fn point(want: &Value, got: &Value, tolerance: f64) -> Result<(), String> {
    let same = want == got || (want[0] == got[0] && near(&want[1], &got[1], tolerance));
    if same { Ok(()) } else { Err(format!("{} instead of {}", cut(got), cut(want))) }
}

fn cut(value: &Value) -> String {
    value.to_string().chars().take(160).collect()
}

fn cut_list(names: &[String]) -> String {
    names.join(" ").chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differs(query: &str, want: &str, got: &str) -> bool {
        let line = format!(
            r#"{{"path": "/api/v1/query", "params": [["query", "{query}"]], "status": 200, "body": {{"status":"success","data":{want}}}}}"#
        );
        let question: Question = serde_json::from_str(&line).unwrap();
        let body = serde_json::from_str(&format!(r#"{{"status":"success","data":{got}}}"#)).unwrap();
        check(&question, &Answer { status: 200, body, bytes: vec![] }).is_err()
    }

    /// Values are exact but for sums, vectors are sets but for sorted ones, matrices are ordered.
    #[test]
    fn tolerates_what_the_rules_say_and_nothing_else() {
        let vector = |a: &str, b: &str, values: [&str; 2]| {
            format!(
                r#"{{"resultType":"vector","result":[{{"metric":{{"x":"{a}"}},"value":[1,"{}"]}},{{"metric":{{"x":"{b}"}},"value":[1,"{}"]}}]}}"#,
                values[0], values[1]
            )
        };
        let straight = vector("a", "b", ["1", "2"]);
        let turned = vector("b", "a", ["2", "1"]);
        assert!(!differs("up", &straight, &straight));
        assert!(!differs("up", &straight, &turned));
        assert!(differs("sort(up)", &straight, &turned));
        assert!(differs("topk(2, up)", &straight, &turned));
        assert!(differs("up", &straight.replace("vector", "matrix"), &turned.replace("vector", "matrix")));
        assert!(differs("up", &straight, &vector("a", "b", ["1", "2.0000000000000004"])));
        assert!(!differs("sum(up)", &straight, &vector("a", "b", ["1", "2.0000000000000004"])));
        assert!(differs("sum(up)", &straight, &vector("a", "b", ["1", "2.00000001"])));
        assert!(differs("sum_over_time(up)", &straight, &vector("a", "b", ["1", "2.0000000000000004"])));
        assert!(differs("up", &straight, &vector("a", "c", ["1", "2"])));
        assert!(differs("up", &straight, r#"{"resultType":"vector","result":[]}"#));
    }
}
