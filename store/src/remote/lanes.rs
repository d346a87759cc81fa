//! In how many questions a selection is put to a peer, so that each answer is sorted and of one lane, whose name is
//! known before it begins.

use std::collections::BTreeSet;

use crate::facts::Kinds;
use crate::select::admits;
use crate::{Labels, LabelsBuilder, Lane, MatchOp, Matcher, Millis, Select, StoreId};

/// Questions a selection, at most; a peer with more replicas than that is collected.
const ASKS_MAX: usize = 64;

/// What a peer last said of itself.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Advert {
    /// External label sets, sorted, unique: peers send them in random order.
    pub(super) label_sets: Vec<Labels>,
    pub(super) component: Box<str>,
    pub(super) min_time: Millis,
    pub(super) max_time: Millis,
    /// The peer removes replica labels itself, before it sorts.
    pub(super) removes_replica_labels: bool,
    /// What it serves besides series.
    pub(super) serves: Kinds,
}

impl Advert {
    /// Of a peer that has not said anything: it may hold anything.
    pub(super) fn unknown() -> Self {
        Self {
            label_sets: Vec::new(),
            component: "".into(),
            min_time: Millis::MIN,
            max_time: Millis::MAX,
            removes_replica_labels: false,
            serves: Kinds::ALL,
        }
    }
}

/// One question.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    /// The lane of all that comes. None: named series by series by the replica labels that are stripped here; the
    /// answer must be collected and sorted.
    pub(super) lane: Option<Lane>,
    /// Matchers that choose the lane.
    pub(super) extra: Vec<Matcher>,
    /// The peer is to remove the replica labels.
    pub(super) without_replica_labels: bool,
    /// The peer may fold replicas that it does not know as such: equal labels with chunks that overlap are further
    /// lanes.
    pub(super) may_fold: bool,
}

/// The questions for `select` to the peer `id`.
pub(super) fn plan(id: &StoreId, advert: &Advert, select: &Select) -> Vec<Ask> {
    if select.replica_labels.is_empty() {
        let lane = Some(Lane::default());
        return vec![Ask { lane, extra: Vec::new(), without_replica_labels: false, may_fold: false }];
    }
    let admitted: Vec<&Labels> = advert.label_sets.iter().filter(|set| admits(set, &select.matchers)).collect();
    // A set without any label says nothing of what is below it.
    let says_nothing = admitted.iter().any(|set| set.is_empty()) || advert.label_sets.is_empty();
    let mut tuples: BTreeSet<Labels> = admitted.iter().map(|set| set.only(&select.replica_labels)).collect();
    if tuples.len() > 1 && &*advert.component == "query" {
        // A Querier does not tell of its stores without external labels (Thanos pkg/store/proxy.go, LabelSet).
        tuples.insert(Labels::empty());
    }
    if !advert.removes_replica_labels || says_nothing || tuples.len() > ASKS_MAX {
        return vec![Ask { lane: None, extra: Vec::new(), without_replica_labels: false, may_fold: false }];
    }
    if select.labels_only || tuples.len() < 2 {
        let tuple = if tuples.len() == 1 { tuples.first().cloned() } else { None };
        return vec![ask(id, tuple.unwrap_or_default(), Vec::new(), select)];
    }
    let extras: Vec<Vec<Matcher>> = tuples.iter().map(|tuple| chooses(tuple, &tuples, select)).collect();
    tuples.into_iter().zip(extras).map(|(tuple, extra)| ask(id, tuple, extra, select)).collect()
}

fn ask(id: &StoreId, tuple: Labels, extra: Vec<Matcher>, select: &Select) -> Ask {
    let may_fold = tuple.len() < select.replica_labels.len();
    Ask { lane: Some(lane(id, tuple)), extra, without_replica_labels: true, may_fold }
}

/// The lane of a tuple of replica label values.
pub(super) fn lane(id: &StoreId, tuple: Labels) -> Lane {
    let store = tuple.is_empty().then(|| id.clone());
    Lane { replica: tuple, store }
}

/// The further lane number `n`, from 1 on, beside `lane`.
pub(super) fn further_lane(id: &StoreId, lane: &Lane, n: usize) -> Lane {
    Lane { replica: lane.replica.clone(), store: Some(format!("{id}#{n}").into()) }
}

/// Matchers that choose what is below `tuple` and not below another one of `tuples`.
///
/// The labels that the tuple has must be equal. One that it lacks may yet be a label of a series itself, with any
/// value: it must not be one that another tuple has beside all that this one has. That is complete, for what is ruled
/// out agrees with a tuple that lacks fewer labels; and nearly disjoint: a series of two such labels may be in two
/// answers, which costs a lane that adds nothing.
fn chooses(tuple: &Labels, tuples: &BTreeSet<Labels>, select: &Select) -> Vec<Matcher> {
    let names: BTreeSet<&str> = select.replica_labels.iter().map(|name| &**name).collect();
    let mut matchers: Vec<Matcher> = tuple.iter().map(|(name, value)| Matcher::equal(name, value)).collect();
    for name in names.into_iter().filter(|name| tuple.get(name).is_none()) {
        let others = tuples.iter().filter(|other| LabelsBuilder::new(other).remove(name).build() == *tuple);
        for value in others.filter_map(|other| other.get(name)) {
            matchers.extend(Matcher::new(name, MatchOp::NotEqual, value).ok());
        }
    }
    matchers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advert(sets: &[&[(&str, &str)]]) -> Advert {
        let label_sets = sets.iter().map(|set| Labels::from_pairs(set.iter().copied())).collect();
        Advert { label_sets, removes_replica_labels: true, ..Advert::unknown() }
    }

    fn select(replica_labels: &[&str], matchers: Vec<Matcher>) -> Select {
        Select {
            matchers,
            min_time: 0,
            max_time: 1,
            replica_labels: replica_labels.iter().map(|name| (*name).into()).collect(),
            labels_only: false,
            limit: 0,
        }
    }

    /// Lane, matchers, and whether the peer is to remove the labels; `collected` for one without a lane.
    fn check(advert: &Advert, select: &Select, expected: &[&str]) {
        let got: Vec<String> = plan(&"peer".into(), advert, select)
            .iter()
            .map(|ask| match &ask.lane {
                None => "collected".into(),
                Some(lane) => {
                    let store = lane.store.as_deref().unwrap_or("-");
                    let extra: Vec<String> = ask.extra.iter().map(ToString::to_string).collect();
                    format!("{} {store} [{}] {}", lane.replica, extra.join(","), ask.without_replica_labels)
                }
            })
            .collect();
        assert_eq!(got, expected);
    }

    #[test]
    fn one_question_a_tuple() {
        let (a, b): (&[_], &[_]) = (&[("cluster", "x"), ("replica", "a")], &[("cluster", "x"), ("replica", "b")]);
        let (c, folded): (&[_], &[_]) = (&[("cluster", "y"), ("replica", "a")], &[("cluster", "x")]);
        let two = advert(&[a, b, c]);
        check(&two, &select(&[], vec![]), &["{} - [] false"]);
        check(
            &two,
            &select(&["replica"], vec![]),
            &[r#"{replica="a"} - [replica="a"] true"#, r#"{replica="b"} - [replica="b"] true"#],
        );
        // Matchers that rule out all but one tuple.
        check(&two, &select(&["replica"], vec![Matcher::equal("cluster", "y")]), &[r#"{replica="a"} - [] true"#]);
        check(&two, &select(&["replica"], vec![Matcher::equal("replica", "b")]), &[r#"{replica="b"} - [] true"#]);
        check(&two, &select(&["nowhere"], vec![]), &["{} peer [] true"]);
        check(
            &advert(&[a, b, folded]),
            &select(&["replica"], vec![]),
            &[
                r#"{} peer [replica!="a",replica!="b"] true"#,
                r#"{replica="a"} - [replica="a"] true"#,
                r#"{replica="b"} - [replica="b"] true"#,
            ],
        );
        check(
            &two,
            &select(&["cluster", "replica"], vec![]),
            &[
                r#"{cluster="x", replica="a"} - [cluster="x",replica="a"] true"#,
                r#"{cluster="x", replica="b"} - [cluster="x",replica="b"] true"#,
                r#"{cluster="y", replica="a"} - [cluster="y",replica="a"] true"#,
            ],
        );
        check(&two, &Select { labels_only: true, ..select(&["replica"], vec![]) }, &["{} peer [] true"]);
    }

    /// Below a Querier there may be stores of which it says nothing.
    #[test]
    fn a_querier_is_asked_for_what_has_no_replica_labels() {
        let querier = Advert { component: "query".into(), ..advert(&[&[("replica", "a")], &[("replica", "b")]]) };
        check(
            &querier,
            &select(&["replica"], vec![]),
            &[
                r#"{} peer [replica!="a",replica!="b"] true"#,
                r#"{replica="a"} - [replica="a"] true"#,
                r#"{replica="b"} - [replica="b"] true"#,
            ],
        );
        check(&querier, &select(&["replica"], vec![Matcher::equal("replica", "b")]), &[r#"{replica="b"} - [] true"#]);
    }

    #[test]
    fn a_peer_that_can_do_neither_is_collected() {
        let set: &[_] = &[("replica", "a")];
        let old = Advert { removes_replica_labels: false, ..advert(&[set]) };
        check(&old, &select(&["replica"], vec![]), &["collected"]);
        check(&old, &select(&[], vec![]), &["{} - [] false"]);
        check(&advert(&[]), &select(&["replica"], vec![]), &["collected"]);
        check(&advert(&[set, &[]]), &select(&["replica"], vec![]), &["collected"]);
    }

    /// Whatever replica values a series has, of the peer or of its own, some question asks for it.
    #[test]
    fn the_questions_together_ask_for_everything() {
        let sets: [&[_]; 4] =
            [&[("x", "1"), ("r", "a")], &[("x", "1"), ("r", "b")], &[("x", "1")], &[("x", "2"), ("s", "c")]];
        for replica_labels in [&["r"][..], &["s"], &["r", "s"]] {
            let select = select(replica_labels, vec![]);
            let asks = plan(&"peer".into(), &advert(&sets), &select);
            for set in sets {
                for (r, s) in [("", ""), ("a", ""), ("z", ""), ("", "c"), ("", "z"), ("b", "c"), ("z", "z")] {
                    // External labels win over the series' own.
                    let mut labels = LabelsBuilder::new(&Labels::from_pairs([("r", r), ("s", s)]));
                    set.iter().for_each(|(name, value)| {
                        labels.set(name, value);
                    });
                    let asked = asks.iter().any(|ask| ask.extra.iter().all(|m| m.matches(labels.value(m.name()))));
                    assert!(asked, "{:?} by {replica_labels:?}", labels.build());
                }
            }
        }
    }
}
