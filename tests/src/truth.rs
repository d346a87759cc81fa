//! Answers against what is true of the watched targets (`golden/thanos-0.43/querier/truth.jsonl`, whose first line defines it).
//!
//! A point is one series at one asked time. It is scored where a single replica has an answer, or where there should be none.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

/// Relative error that is always right.
const RELATIVE: f64 = 0.01;
/// Rounding of texts.
const ROUNDING: f64 = 1e-9;

/// One question with its truth.
#[derive(Debug, Deserialize)]
pub struct Truth {
    /// Path of the question.
    pub path: String,
    /// Its parameters.
    pub params: BTreeMap<String, String>,
    truth: Vec<TrueSeries>,
    #[serde(default)]
    single: Vec<Map<String, Value>>,
}

#[derive(Debug, Deserialize)]
struct TrueSeries {
    /// The labels that identify it; an answer may carry more.
    metric: BTreeMap<String, String>,
    /// The largest change of the target in one step of its grid, in the unit of the answer.
    #[serde(default)]
    increment: f64,
    #[serde(flatten)]
    points: Map<String, Value>,
}

/// How points came out.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Score {
    /// Scored points.
    pub points: usize,
    /// Points that break the rule: off, missing, there without cause, doubled, or no number.
    pub failing: usize,
    /// Points that break it though 1 % and the increment count five times.
    pub gross: usize,
    /// Failing points that are worse than the worse replica.
    pub worse_than_both: usize,
    /// Answered series that fit no true one.
    pub extra: usize,
}

impl Score {
    /// Adds another question's score.
    pub fn add(&mut self, other: Score) {
        self.points += other.points;
        self.failing += other.failing;
        self.gross += other.gross;
        self.worse_than_both += other.worse_than_both;
        self.extra += other.extra;
    }
}

/// The questions of a file that are about raw data. An error names the line.
pub fn raw_questions(path: &Path) -> Result<Vec<Truth>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("read {}: {error}", path.display()))?;
    let mut questions = Vec::new();
    // The first line tells what the file is.
    for (index, line) in text.lines().enumerate().skip(1).filter(|(_, line)| !line.is_empty()) {
        let question: Truth =
            serde_json::from_str(line).map_err(|error| format!("{}:{}: {error}", path.display(), index + 1))?;
        questions.push(question);
    }
    questions.retain(|question| !question.params.contains_key("max_source_resolution"));
    Ok(questions)
}

/// Scores the result of an answer at asked times up to `until` (seconds).
pub fn score(question: &Truth, result: &[Value], until: f64) -> Result<Score, String> {
    let mut score = Score::default();
    // An answered series belongs to the true one with the most labels that fits.
    let owner = |series: &Value| {
        let fitting = question.truth.iter().enumerate().filter(|(_, truth)| fits(&truth.metric, &series["metric"]));
        fitting.max_by_key(|(index, truth)| (truth.metric.len(), std::cmp::Reverse(*index))).map(|(index, _)| index)
    };
    let owners: Vec<Option<usize>> = result.iter().map(owner).collect();
    score.extra = owners.iter().filter(|owner| owner.is_none()).count();
    for (index, truth) in question.truth.iter().enumerate() {
        let truths = points(&truth.points);
        let fitting = |series: &&Map<String, Value>| series.get("metric").is_some_and(|have| fits(&truth.metric, have));
        let singles: Vec<Points> = question.single.iter().filter(fitting).map(points).collect();
        let mine = result.iter().zip(&owners).filter(|(_, owner)| **owner == Some(index));
        let answers: Vec<Points> = mine.filter_map(|(series, _)| series.as_object()).map(points).collect();
        for time in times(question)?.into_iter().filter(|time| *time as f64 <= until * 1000.0) {
            let single: Vec<f64> = singles
                .iter()
                .filter_map(|points| points.get(&time).copied().flatten())
                .filter(|v| v.is_finite())
                .collect();
            let have: Vec<Option<f64>> = answers.iter().filter_map(|points| points.get(&time).copied()).collect();
            judge(truths.get(&time).copied().flatten(), truth.increment, &single, &have, &mut score);
        }
    }
    Ok(score)
}

/// Judges one point: its truth, what single replicas answer, and what was answered.
fn judge(truth: Option<f64>, increment: f64, single: &[f64], have: &[Option<f64>], score: &mut Score) {
    let bad = |score: &mut Score| {
        score.points += 1;
        score.failing += 1;
        score.gross += 1;
        score.worse_than_both += 1;
    };
    match (have, truth) {
        ([_, _, ..], _) => bad(score),
        ([], Some(_)) if !single.is_empty() => bad(score),
        ([], None) if single.is_empty() => score.points += 1,
        ([], _) => {}
        ([_], None) if single.is_empty() => bad(score),
        ([_], None) => score.points += 1,
        ([_], Some(_)) if single.is_empty() => {}
        ([Some(answer)], Some(truth)) if answer.is_finite() => {
            let errors = || single.iter().map(|value| (value - truth).abs());
            let rounding = ROUNDING * truth.abs().max(1.0);
            let tolerance = (truth.abs() * RELATIVE).max(increment);
            let allowed = |slack: f64| errors().fold(f64::INFINITY, f64::min).max(slack * tolerance) + rounding;
            let error = (answer - truth).abs();
            score.points += 1;
            score.failing += usize::from(error > allowed(1.0));
            score.gross += usize::from(error > allowed(5.0));
            score.worse_than_both += usize::from(error > errors().fold(tolerance, f64::max) + rounding);
        }
        ([_], Some(_)) => bad(score),
    }
}

/// Values by time in ms; None for what is no float.
type Points = BTreeMap<i64, Option<f64>>;

fn points(series: &Map<String, Value>) -> Points {
    let list = series.get("values").and_then(Value::as_array).into_iter().flatten();
    list.chain(series.get("value")).filter_map(|point| Some((millis(point[0].as_f64()?), number(&point[1])))).collect()
}

fn number(value: &Value) -> Option<f64> {
    value.as_str().and_then(|text| text.parse().ok()).or_else(|| value.as_f64())
}

fn millis(seconds: f64) -> i64 {
    (seconds * 1000.0).round() as i64
}

fn fits(want: &BTreeMap<String, String>, have: &Value) -> bool {
    want.iter().all(|(name, value)| have[name].as_str().unwrap_or("") == value)
}

/// All asked times, ms.
fn times(question: &Truth) -> Result<Vec<i64>, String> {
    let parameter = |name: &str| {
        let text = question.params.get(name).ok_or_else(|| format!("no {name}"))?;
        text.parse::<f64>().map_err(|error| format!("{name}: {error}"))
    };
    if !question.path.ends_with("query_range") {
        return Ok(vec![millis(parameter("time")?)]);
    }
    let (start, end, step) = (parameter("start")?, parameter("end")?, parameter("step")?);
    let last = ((end - start) / step + ROUNDING).floor() as i64;
    Ok((0..=last).map(|i| millis(start + i as f64 * step)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Truth 100, increment 2, replicas off by 1 and 8: up to 2 is right, above 8 is worse than both, above 10 gross.
    #[test]
    fn points_are_judged_by_truth_and_by_both_replicas() {
        let judged = |truth: Option<f64>, single: &[f64], have: &[Option<f64>]| {
            let mut score = Score::default();
            judge(truth, 2.0, single, have, &mut score);
            (score.points, score.failing, score.gross, score.worse_than_both)
        };
        type Row<'a> = (Option<f64>, &'a [f64], &'a [Option<f64>], (usize, usize, usize, usize));
        let rows: &[Row<'_>] = &[
            (Some(100.0), &[101.0, 108.0], &[Some(98.0)], (1, 0, 0, 0)),
            (Some(100.0), &[101.0, 108.0], &[Some(97.0)], (1, 1, 0, 0)),
            (Some(100.0), &[101.0, 108.0], &[Some(91.0)], (1, 1, 0, 1)),
            (Some(100.0), &[101.0, 108.0], &[Some(89.0)], (1, 1, 1, 1)),
            (Some(100.0), &[101.0], &[], (1, 1, 1, 1)),
            (Some(100.0), &[], &[], (0, 0, 0, 0)),
            (Some(100.0), &[], &[Some(0.0)], (0, 0, 0, 0)),
            (Some(100.0), &[101.0], &[None], (1, 1, 1, 1)),
            (Some(100.0), &[101.0], &[Some(100.0), Some(100.0)], (1, 1, 1, 1)),
            (None, &[], &[], (1, 0, 0, 0)),
            (None, &[], &[Some(1.0)], (1, 1, 1, 1)),
            (None, &[1.0], &[Some(1.0)], (1, 0, 0, 0)),
        ];
        for (truth, single, have, expected) in rows {
            assert_eq!(judged(*truth, single, have), *expected, "{truth:?} {single:?} {have:?}");
        }
    }
}
