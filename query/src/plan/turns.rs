//! Numbers the places of annotations by the order in which Prometheus merges them: a node's own after those of the nodes
//! below it.

use super::node::Plan;
use crate::annotations::Place;

/// Gives each place of a whole plan its turn.
pub(super) fn number(plan: &mut Plan) {
    visit(plan, &mut 0);
}

fn visit(plan: &mut Plan, next: &mut u32) {
    for child in plan.children_mut() {
        visit(child, next);
    }
    for place in places(plan) {
        place.turn = *next;
        *next += 1;
    }
}

/// The places of a node, in order.
fn places(plan: &mut Plan) -> Vec<&mut Place> {
    match plan {
        Plan::Scan(node) => vec![&mut node.spec.place],
        Plan::Subquery(node) => vec![&mut node.spec.place],
        Plan::VectorScalar(node) => vec![&mut node.place],
        Plan::Join(node) => vec![&mut node.place],
        Plan::Aggregate(node) => vec![&mut node.parameter_place, &mut node.place],
        Plan::Sort { place, .. } => vec![place],
        Plan::ClassicHistogram(node) => node.arg_places.iter_mut().chain([&mut node.input_place]).collect(),
        _ => Vec::new(),
    }
}
