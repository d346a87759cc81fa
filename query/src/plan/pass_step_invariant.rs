//! Wraps what gives the same at every step into [`Plan::StepInvariant`], at the highest place in the tree, as
//! promql/engine.go does in preprocessExprHelper: the values are those of the first step, also where functions of several
//! steps would differ in their annotations.

use super::node::{Plan, ScanFunction};

/// Functions whose result depends on the evaluation time even if their arguments do not (promql/functions.go,
/// AtModifierUnsafeFunctions). `timestamp` of an expression is one, of a selector it is not.
const UNSAFE: &[&str] = &[
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "days_in_month",
    "hour",
    "minute",
    "month",
    "predict_linear",
    "timestamp",
    "year",
];

/// Runs the pass on a whole plan.
pub(super) fn run(root: &mut Plan) {
    let state = visit(root);
    wrap_if(root, state.wrap);
}

/// What is known of a node.
#[derive(Clone, Copy)]
struct State {
    /// It gives the same at every step.
    invariant: bool,
    /// It is, and something is gained by evaluating it once.
    wrap: bool,
}

const CONSTANT: State = State { invariant: true, wrap: false };
const VARIES: State = State { invariant: false, wrap: false };

fn wrap_if(plan: &mut Plan, wrap: bool) {
    if wrap {
        let inner = std::mem::replace(plan, Plan::Empty);
        *plan = Plan::StepInvariant(Box::new(inner));
    }
}

fn visit(plan: &mut Plan) -> State {
    match plan {
        Plan::Number(_) | Plan::Text(_) | Plan::Empty => CONSTANT,
        Plan::Time => VARIES,
        Plan::Raw(input) => {
            visit(input);
            VARIES
        }
        Plan::StepInvariant(_) => CONSTANT,
        Plan::Scan(scan) => {
            let safe = !matches!(scan.spec.function, ScanFunction::Range(name) if UNSAFE.contains(&name));
            whole(scan.args.iter_mut().collect(), safe && scan.spec.at.is_some())
        }
        Plan::Subquery(subquery) => {
            // The inside is judged on its own grid (upstream: "irrespective of @ on subquery").
            let inner = visit(&mut subquery.input);
            wrap_if(&mut subquery.input, inner.invariant);
            let safe = !matches!(subquery.spec.function, ScanFunction::Range(name) if UNSAFE.contains(&name));
            whole(subquery.args.iter_mut().collect(), safe && subquery.spec.at.is_some())
        }
        Plan::Map(map) if map.args.is_empty() && map.function == super::node::Map::NEGATE => visit(&mut map.input),
        Plan::Map(map) => {
            let safe = !UNSAFE.contains(&map.function);
            whole(std::iter::once(&mut *map.input).chain(&mut map.args).collect(), safe)
        }
        Plan::ScalarOf(input) | Plan::VectorOf(input) => whole(vec![input], true),
        Plan::Absent { input, .. } | Plan::Sort { input, .. } | Plan::Relabel { input, .. } => whole(vec![input], true),
        Plan::ScalarCall { args, .. } => whole(args.iter_mut().collect(), true),
        Plan::ScalarBinary { left, right, .. } => whole(vec![left, right], true),
        Plan::VectorScalar(node) => whole(vec![&mut node.vector, &mut node.scalar], true),
        Plan::Join(join) => whole(vec![&mut join.left, &mut join.right], true),
        // Upstream looks at the aggregated expression alone: where that is invariant, the parameter of the first step holds
        // for all, and nothing in a parameter is wrapped.
        Plan::Aggregate(node) => visit(&mut node.input),
        Plan::ClassicHistogram(node) => whole(std::iter::once(&mut *node.input).chain(&mut node.args).collect(), true),
        Plan::Info(info) => whole(vec![&mut info.input, &mut info.info], true),
        Plan::Duplicates { input, .. } | Plan::Merge(input) => visit(input),
    }
}

/// A node of these children: invariant as a whole, or else each child for itself.
fn whole(children: Vec<&mut Plan>, safe: bool) -> State {
    let mut states = Vec::with_capacity(children.len());
    let mut kept = Vec::with_capacity(children.len());
    for child in children {
        states.push(visit(child));
        kept.push(child);
    }
    if safe && states.iter().all(|state| state.invariant) {
        return State { invariant: true, wrap: true };
    }
    for (child, state) in kept.into_iter().zip(states) {
        wrap_if(child, state.wrap);
    }
    VARIES
}
