//! The order of an instant query's vector, as far as Prometheus defines it.

use masthead_query::promql::ast::{Aggregate, AggregateOp, Expr, ExprKind};
use masthead_query::promql::{Features, ParseOptions, parse};
use serde_json::{Map, Value};

/// What is in order.
#[derive(Debug, PartialEq, Eq)]
pub enum Order {
    /// Nothing: the vector is a set.
    None,
    /// The values; equal ones may have changed places.
    Values,
    /// The labels, beginning with these.
    Labels(Vec<String>),
    /// The values of each group, whose series come one after the other; the groups come in any order.
    Groups(Grouping),
}

/// What groups have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grouping {
    labels: Vec<Box<str>>,
    without: bool,
}

/// What the language says of the order of an expression's vector.
pub fn order_of(query: &str) -> Order {
    let features = Features::ALL;
    match parse(query, &ParseOptions { features, ..ParseOptions::default() }) {
        Ok(expr) => of_expr(&expr),
        Err(_) => Order::None,
    }
}

fn of_expr(expr: &Expr) -> Order {
    match &expr.kind {
        ExprKind::Paren(inner) => of_expr(inner),
        ExprKind::Call(call) => match call.function.name {
            "sort" | "sort_desc" => Order::Values,
            "sort_by_label" | "sort_by_label_desc" => Order::Labels(call.args.iter().filter_map(text).collect()),
            _ => Order::None,
        },
        ExprKind::Aggregate(aggregate) if matches!(aggregate.op, AggregateOp::Topk | AggregateOp::Bottomk) => {
            let Aggregate { grouping, without, .. } = &**aggregate;
            let all = grouping.is_empty() && !without;
            if all { Order::Values } else { Order::Groups(Grouping { labels: grouping.clone(), without: *without }) }
        }
        _ => Order::None,
    }
}

fn text(expr: &Expr) -> Option<String> {
    match &expr.kind {
        ExprKind::String(text) => Some(text.clone()),
        _ => None,
    }
}

impl Grouping {
    /// The values of each group as they come, by its labels; a group whose series do not come one after the other is there
    /// several times.
    pub fn groups<'a>(&self, list: &'a [Value]) -> Vec<(String, Vec<&'a Value>)> {
        let mut groups: Vec<(String, Vec<&Value>)> = Vec::new();
        for series in list {
            let key = series["metric"].as_object().map_or_else(String::new, |metric| self.key(metric));
            let value = &series["value"][1];
            match groups.last_mut() {
                Some((last, values)) if *last == key => values.push(value),
                _ => groups.push((key, vec![value])),
            }
        }
        groups.sort_by(|a, b| a.0.cmp(&b.0));
        groups
    }

    fn key(&self, metric: &Map<String, Value>) -> String {
        let listed = |name: &str| self.labels.iter().any(|label| **label == *name);
        let is_common = |name: &str| if self.without { !listed(name) && name != "__name__" } else { listed(name) };
        let common = metric.iter().filter(|(name, _)| is_common(name));
        common.map(|(name, value)| format!("{name}={value},")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outermost_part_gives_the_order() {
        let groups = |labels: &[&str], without| {
            Order::Groups(Grouping { labels: labels.iter().map(|label| (*label).into()).collect(), without })
        };
        for (query, order) in [
            ("up", Order::None),
            ("sort(", Order::None),
            ("sort(up) or sort(up)", Order::None),
            ("sum(sort(up))", Order::None),
            ("limitk(2, up)", Order::None),
            ("sort(up)", Order::Values),
            ("(sort_desc((up)))", Order::Values),
            ("sort_by_label(up, \"a\", \"b\")", Order::Labels(vec!["a".to_owned(), "b".to_owned()])),
            ("sort_by_label_desc(up, \"a\")", Order::Labels(vec!["a".to_owned()])),
            ("topk(2, up)", Order::Values),
            ("bottomk by () (2, up)", Order::Values),
            ("topk by (a) (2, up)", groups(&["a"], false)),
            ("bottomk(2, up) without ()", groups(&[], true)),
        ] {
            assert_eq!(order_of(query), order, "{query}");
        }
    }

    #[test]
    fn series_are_grouped_as_they_come() {
        let list: Vec<Value> = [("x", "1", "7"), ("y", "1", "8"), ("x", "2", "9")]
            .map(|(a, b, value)| serde_json::json!({"metric": {"__name__": "n", "a": a, "b": b}, "value": [0, value]}))
            .into();
        let grouping = |labels: &[&str], without| Grouping {
            labels: labels.iter().map(|label| (*label).into()).collect(),
            without,
        };
        let shown = |grouping: Grouping| {
            let groups = grouping.groups(&list).into_iter();
            groups
                .map(|(_, values)| values.into_iter().map(|value| value.as_str().unwrap()).collect())
                .collect::<Vec<String>>()
        };
        assert_eq!(shown(grouping(&["a"], false)), ["7", "9", "8"]);
        assert_eq!(shown(grouping(&["a"], true)), ["78", "9"]);
    }
}
