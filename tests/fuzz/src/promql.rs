//! Text to tree, to text, to plan.

use masthead_query::plan::{PlanOptions, Timeline, plan_expr};
use masthead_query::promql::series::parse_series;
use masthead_query::promql::{Features, Limits, ParseOptions, parse, parse_selector};

/// Any text is a tree or an error with a position inside of it. A tree's own text is the text of an equal tree, and a plan
/// or an error comes of it.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let options = ParseOptions { features: Features::ALL, limits: Limits::default() };
    let _ = parse_selector(text, &options);
    let _ = parse_series(text, &options);
    let expr = match parse(text, &options) {
        Ok(expr) => expr,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let printed = expr.to_string();
    match parse(&printed, &options) {
        // As in Prometheus, infinity is printed with a plus, which is read as an operator in `-Inf ^ x`.
        Ok(again) => {
            let without_plus = |text: &str| text.replace('+', "");
            let again = without_plus(&again.to_string());
            assert_eq!(again, without_plus(&printed), "{text:?} is printed in two ways");
        }
        // What is printed is longer than what was written where blanks are added, and may reach a limit.
        Err(error) => {
            let is_limit = error.to_string().contains("limit");
            assert!(is_limit, "{text:?} is printed as {printed:?}, which is refused: {error}");
        }
    }
    let options = PlanOptions { parse: options, instant: true, ..PlanOptions::default() };
    let _ = plan_expr(&expr, Timeline::instant(1_700_000_000_000), &options);
    let range = Timeline { start: 1_700_000_000_000, step: 15_000, count: 5 };
    let _ = plan_expr(&expr, range, &PlanOptions { instant: false, ..options });
}
