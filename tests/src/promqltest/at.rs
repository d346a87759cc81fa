//! The same question with `@` on every selector: it must not depend on the time any more.

use masthead_query::promql;
use masthead_query::promql::ast::{At, Expr, ExprKind};
use masthead_store::Millis;

use super::series::parse_options;

/// Functions whose value can vary with the time of the query though what they are given does not
/// (AtModifierUnsafeFunctions in promql/functions.go).
const TIME_FUNCTIONS: &[&str] = &[
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "days_in_month",
    "end",
    "hour",
    "minute",
    "month",
    "predict_linear",
    "range",
    "start",
    "step",
    "time",
    "timestamp",
    "year",
];

/// Functions that give something else in a range query.
const RANGE_FUNCTIONS: &[&str] = &["start()", "end()", "range()", "step()"];

/// Whether the text asks for the range of the query itself.
pub(super) fn depends_on_range(query: &str) -> bool {
    RANGE_FUNCTIONS.iter().any(|call| query.contains(call))
}

/// The expression fixed at `time` and the times at which it is to be asked; none where its value may depend on them.
pub(super) fn cases(query: &str, time: Millis) -> Result<Vec<(String, Millis)>, String> {
    let mut expr = promql::parse(query, &parse_options()).map_err(|error| error.to_string())?;
    let mut time_dependent = false;
    fix(&mut expr, time, &mut time_dependent);
    if time_dependent {
        return Ok(Vec::new());
    }
    let fixed = expr.to_string();
    let times = if time == 0 { vec![-1000, 0, 1000] } else { vec![-10 * time, 0, time / 5, time, 10 * time] };
    Ok(times.into_iter().map(|time| (fixed.clone(), time)).collect())
}

/// Sets the time of all selectors and subqueries that have none. What is below a subquery stays: it has one then.
fn fix(expr: &mut Expr, time: Millis, time_dependent: &mut bool) {
    let at = match &mut expr.kind {
        ExprKind::Vector(selector) => &mut selector.at,
        ExprKind::Matrix(selector) => &mut selector.vector.at,
        ExprKind::Subquery(subquery) => &mut subquery.at,
        kind => {
            if let ExprKind::Call(call) = kind {
                *time_dependent |= TIME_FUNCTIONS.contains(&call.function.name);
            }
            return expr.children_mut().into_iter().for_each(|child| fix(child, time, time_dependent));
        }
    };
    if !matches!(at, Some(At::Time(_))) {
        *at = Some(At::Time(time));
    }
}
