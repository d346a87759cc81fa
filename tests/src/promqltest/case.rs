//! One evaluation: all the ways in which it is asked.

use masthead_query::engine::Value;
use masthead_query::engine::batch::Row;
use masthead_query::plan::Timeline;
use masthead_store::{Labels, Millis};

use super::compare::{Wanted, check_notes};
use super::script::{Eval, Expected, Range, When};
use super::{Evaluator, Failure, Question, at};

/// Half of the range in which an instant question is asked again, ms.
const MINUTE: Millis = 60_000;

/// Asks and compares. The error says what differs.
pub(super) fn check(eval: &Eval, evaluator: &dyn Evaluator) -> Result<(), String> {
    let wanted = Wanted::of(eval)?;
    match eval.when {
        When::Range(range) => check_range(eval, &wanted, range, evaluator),
        When::Instant(time) => {
            check_instant(eval, &wanted, &eval.query, time, evaluator)?;
            for (query, time) in at::cases(&eval.query, time)? {
                check_instant(eval, &wanted, &query, time, evaluator)
                    .map_err(|error| format!("asked as {query} at {time} ms: {error}"))?;
            }
            Ok(())
        }
    }
}

fn check_range(eval: &Eval, wanted: &Wanted, range: Range, evaluator: &dyn Evaluator) -> Result<(), String> {
    let step = range.step.max(1);
    let count = usize::try_from((range.end - range.start) / step).map_err(|error| error.to_string())? + 1;
    let timeline = Timeline { start: range.start, step, count };
    let answer = match evaluator.ask(&Question { query: &eval.query, timeline, instant: false, end: Some(range.end) }) {
        Ok(answer) => answer,
        Err(error) => return check_failure(eval, &error),
    };
    if eval.fail.is_some() {
        return Err("it should fail".to_owned());
    }
    check_notes(&eval.notes, &answer)?;
    if eval.ordered {
        return Err("a range query has no order of its own".to_owned());
    }
    wanted.check_matrix(&rows(answer.value, &timeline)?, &timeline)
}

fn check_instant(
    eval: &Eval,
    wanted: &Wanted,
    query: &str,
    time: Millis,
    evaluator: &dyn Evaluator,
) -> Result<(), String> {
    let answer = match evaluator.ask(&Question { query, timeline: Timeline::instant(time), instant: true, end: None }) {
        Ok(answer) => answer,
        Err(error) => return check_failure(eval, &error),
    };
    if eval.fail.is_some() {
        return Err("it should fail".to_owned());
    }
    check_notes(&eval.notes, &answer)?;
    let is_scalar = matches!(answer.value, Value::Scalar(_));
    match &answer.value {
        Value::Scalar(values) => wanted.check_scalar(*values.first().ok_or("a scalar without value")?)?,
        Value::String(text) => wanted.check_string(text)?,
        Value::Series(rows) => wanted.check_vector(rows, 0, eval.ordered)?,
        Value::Matrix(series) => wanted.check_range_vector(series, eval.range_vector)?,
    }
    let excluded = eval.range_vector.is_some() || matches!(eval.value, Expected::String(_));
    if excluded || at::depends_on_range(query) {
        return Ok(());
    }
    // The same in the middle of a range.
    let timeline = Timeline { start: time - MINUTE, step: MINUTE, count: 3 };
    let answer = evaluator
        .ask(&Question { query, timeline, instant: false, end: None })
        .map_err(|failure| format!("asked as a range: {failure:?}"))?;
    if eval.ordered {
        return Ok(());
    }
    let middle = match (is_scalar, &answer.value) {
        (true, Value::Scalar(values)) => wanted.check_scalar(*values.get(1).ok_or("a scalar without value")?),
        _ => {
            let rows = rows(answer.value, &timeline)?;
            Wanted::check_sorted(&rows).and_then(|()| wanted.check_vector(&rows, 1, false))
        }
    };
    middle.map_err(|error| format!("asked as a range: {error}"))
}

fn check_failure(eval: &Eval, failure: &Failure) -> Result<(), String> {
    match (failure, &eval.fail) {
        (Failure::Other(error), _) => Err(error.clone()),
        (Failure::Query(error), Some(pattern)) if pattern.matches(error) => Ok(()),
        (Failure::Query(error), Some(pattern)) => Err(format!("it fails with {error:?}, not with {pattern:?}")),
        (Failure::Query(error), None) => Err(format!("it fails with {error:?}")),
    }
}

/// The rows of a range query; a scalar is a row without labels.
fn rows(value: Value, timeline: &Timeline) -> Result<Vec<Row>, String> {
    match value {
        Value::Series(rows) => Ok(rows),
        Value::Scalar(values) if values.len() == timeline.count => {
            Ok(vec![Row { labels: Labels::empty(), drop_name: false, values, histograms: Vec::new() }])
        }
        other => Err(format!("no series over the range but {other:?}")),
    }
}
