use super::*;
use crate::{Budget, MatchOp};

fn rule(name: &str, labels: &[(&str, &str)], evaluated: i64) -> Rule {
    Rule {
        name: name.into(),
        query: "q".into(),
        labels: Labels::from_pairs(labels.iter().copied()),
        health: "ok".into(),
        last_error: "".into(),
        evaluation_s: 0.1,
        last_evaluation: Moment::new(evaluated, 0),
        alerting: None,
    }
}

fn alerting(name: &str, labels: &[(&str, &str)], evaluated: i64, state: AlertState, hold_s: f64) -> Rule {
    let alerting = Alerting { state, hold_s, keep_firing_s: 0.0, annotations: Labels::empty(), alerts: vec![] };
    Rule { alerting: Some(alerting), ..rule(name, labels, evaluated) }
}

fn group(file: &str, name: &str, evaluated: i64, rules: Vec<Rule>) -> RuleGroup {
    RuleGroup {
        name: name.into(),
        file: file.into(),
        rules,
        interval_s: evaluated as f64,
        limit: 0,
        evaluation_s: 0.2,
        last_evaluation: Moment::new(evaluated, 0),
        aborts: false,
    }
}

fn folded(groups: Vec<RuleGroup>, request: &RulesRequest) -> Vec<String> {
    let mut facts = Facts::new(&Budget::unlimited());
    groups.into_iter().for_each(|group| facts.push(Fact::RuleGroup(group)).unwrap());
    let line = |rule: &Rule| {
        let state = rule.alerting.as_ref().map_or("record", |alerting| alerting.state.as_str());
        format!("{} {} {state} {}", rule.name, rule.labels, rule.last_evaluation.seconds())
    };
    let (groups, _) = fold(facts, request, &["replica".into()]);
    let lines = groups.iter().flat_map(|group| {
        let head = format!("{}/{} every {}", group.file, group.name, group.interval_s);
        std::iter::once(head).chain(group.rules.iter().map(line))
    });
    lines.collect()
}

fn all(groups: Vec<RuleGroup>) -> Vec<String> {
    folded(groups, &RulesRequest::default())
}

/// Rules that only differ in replica labels are one: the gravest alert counts, then the latest evaluation.
#[test]
fn replicas_of_a_rule_are_one() {
    use AlertState::{Firing, Inactive, Pending};
    let (a, b) = (("replica", "a"), ("replica", "b"));
    let of_a = vec![
        rule("r:sum", &[a], 5),
        alerting("Down", &[a], 9, Inactive, 60.0),
        alerting("Slow", &[a], 9, Pending, 60.0),
    ];
    let of_b = vec![
        rule("r:sum", &[b], 7),
        alerting("Down", &[b], 3, Firing, 60.0),
        alerting("Slow", &[b], 11, Pending, 60.0),
        alerting("Slow", &[b], 11, Pending, 120.0),
    ];
    let expected =
        ["f/g every 20", "Down {} firing 3", "Slow {} pending 11", "Slow {} pending 11", "r:sum {} record 7"];
    assert_eq!(all(vec![group("f", "g", 10, of_a.clone()), group("f", "g", 20, of_b.clone())]), expected);
    assert_eq!(all(vec![group("f", "g", 20, of_b), group("f", "g", 10, of_a)]), expected);
}

/// Groups of one file and name are one, whichever cluster they are of; rules of clusters stay apart.
#[test]
fn groups_are_sorted_and_clusters_stay_apart() {
    let of = |cluster| vec![rule("r", &[("cluster", cluster), ("replica", "a")], 1)];
    let groups = vec![
        group("g", "a", 1, of("x")),
        group("f", "b", 1, of("y")),
        group("f", "b", 1, of("x")),
        group("f", "a", 1, vec![]),
        group("f", "a;", 1, of("x")),
    ];
    let expected = [
        "f/a; every 1",
        r#"r {cluster="x"} record 1"#,
        "f/b every 1",
        r#"r {cluster="x"} record 1"#,
        r#"r {cluster="y"} record 1"#,
        "g/a every 1",
        r#"r {cluster="x"} record 1"#,
    ];
    assert_eq!(all(groups), expected);
    assert!(all(vec![]).is_empty());
}

#[test]
fn only_what_is_asked_for_stays() {
    let groups = || {
        vec![
            group("f", "g", 1, vec![rule("r", &[("t", "1"), ("u", "{{ $value }}")], 1), rule("s", &[], 1)]),
            group("f", "h", 1, vec![alerting("A", &[("replica", "b")], 1, AlertState::Firing, 0.0)]),
            group("e", "g", 1, vec![rule("r", &[("t", "2")], 1)]),
        ]
    };
    let ask = |change: fn(&mut RulesRequest)| {
        let mut request = RulesRequest::default();
        change(&mut request);
        let rules = folded(groups(), &request).into_iter().map(|line| line.split(' ').next().unwrap().to_owned());
        rules.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(ask(|_| {}), "e/g r f/g r s f/h A");
    assert_eq!(ask(|r| r.kind = Some(RuleKind::Alert)), "f/h A");
    assert_eq!(ask(|r| r.kind = Some(RuleKind::Record)), "e/g r f/g r s");
    assert_eq!(ask(|r| r.names = vec!["r".into(), "A".into()]), "e/g r f/g r f/h A");
    assert_eq!(ask(|r| r.groups = vec!["g".into()]), "e/g r f/g r s");
    assert_eq!(ask(|r| (r.groups, r.files) = (vec!["g".into()], vec!["f".into()])), "f/g r s");
    // Any of the sets; labels before replica labels go; templates as they are written.
    assert_eq!(
        ask(|r| r.matcher_sets = vec![vec![Matcher::equal("t", "2")], vec![Matcher::equal("replica", "b")]]),
        "e/g r f/h A"
    );
    assert_eq!(ask(|r| r.matcher_sets = vec![vec![Matcher::new("u", MatchOp::Regex, ".*value.*").unwrap()]]), "f/g r");
}

/// A Prometheus lists the alerts of a rule as its map has them.
#[test]
fn alerts_are_sorted() {
    let mut down = alerting("Down", &[], 1, AlertState::Firing, 0.0);
    let alert = |instance| Alert {
        labels: Labels::from_pairs([("instance", instance)]),
        annotations: Labels::empty(),
        state: AlertState::Firing,
        active_at: None,
        value: "1".into(),
    };
    down.alerting.as_mut().unwrap().alerts = ["c", "a", "b"].map(alert).to_vec();
    let mut facts = Facts::new(&Budget::unlimited());
    facts.push(Fact::RuleGroup(group("f", "g", 1, vec![down]))).unwrap();
    let (groups, _) = fold(facts, &RulesRequest::default(), &[]);
    let alerts = &groups[0].rules[0].alerting.as_ref().unwrap().alerts;
    assert_eq!(alerts.iter().map(|alert| alert.labels.value("instance")).collect::<Vec<_>>(), ["a", "b", "c"]);
}
