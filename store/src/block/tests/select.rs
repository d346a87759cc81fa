//! What a selection gives: matchers, labels, limits.

use super::*;

/// All kinds of matchers against plain filtering of all series.
#[tokio::test]
async fn matchers_select_what_filtering_selects() {
    let Some(data) = golden("prometheus-3.14/floats/data") else { return };
    let external = [("cluster", "eu"), ("id", "hidden")];
    let store = refreshed(&data, &external).await;
    let all = all_of(&store, request(vec![])).await.unwrap();
    let names: BTreeSet<&str> = all.iter().flat_map(|s| s.labels.iter()).map(|(name, _)| name).collect();
    let mut random = Random::new(11);
    for round in 0..400 {
        let mut matchers = Vec::new();
        for _ in 0..1 + random.below(3) {
            let one = &all[random.below(all.len())].labels;
            let pairs: Vec<(&str, &str)> = one.iter().collect();
            let (name, value) = pairs[random.below(pairs.len())];
            let name = if random.one_in(5) { names.iter().nth(random.below(names.len())).unwrap() } else { name };
            let start: String = value.chars().take(2).filter(|c| c.is_alphanumeric()).collect();
            let plain = value.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            let regex = match random.below(6) {
                0 => format!("{start}.*"),
                1 => ".*".into(),
                2 => ".+".into(),
                3 if plain => format!("{value}|nothing|"),
                4 if plain => format!("{value}|a|b"),
                _ => format!(".*{start}.*"),
            };
            let matcher = match random.below(5) {
                0 => Matcher::new(name, MatchOp::NotEqual, value),
                1 => Matcher::new(name, MatchOp::Regex, &regex),
                2 => Matcher::new(name, MatchOp::NotRegex, &regex),
                3 => Matcher::new(name, if random.one_in(2) { MatchOp::Equal } else { MatchOp::NotEqual }, ""),
                _ => Matcher::new(name, MatchOp::Equal, value),
            };
            matchers.push(matcher.unwrap());
        }
        let fulfils = |labels: &Labels| matchers.iter().all(|m| m.matches(labels.value(m.name())));
        let expected: BTreeSet<&Labels> = all.iter().map(|s| &s.labels).filter(|labels| fulfils(labels)).collect();
        let found = all_of(&store, request(matchers.clone())).await.unwrap();
        assert_eq!(found.iter().map(|s| &s.labels).collect::<BTreeSet<_>>(), expected, "round {round}: {matchers:?}");

        let request = request(matchers.clone());
        let expected_names: BTreeSet<&str> = expected.iter().flat_map(|l| l.iter()).map(|(name, _)| name).collect();
        let found = names_of(&store, request.clone()).await;
        assert_eq!(found, expected_names.into_iter().map(Box::from).collect::<Vec<_>>(), "round {round}");
        let name = names.iter().nth(random.below(names.len())).unwrap();
        let values: BTreeSet<&str> = expected.iter().filter_map(|labels| labels.get(name)).collect();
        let found = values_of(&store, name, request).await;
        assert_eq!(found, values.into_iter().map(Box::from).collect::<Vec<_>>(), "round {round}: {name}, {matchers:?}");
    }
}

/// A label of the series that an external one hides is nowhere: neither in the labels nor for matchers.
#[tokio::test]
async fn external_labels_hide_those_of_the_series_and_replicas_name_lanes() {
    let Some(bucket) = golden("thanos-0.43/bucket") else { return };
    let store = refreshed(&bucket, &[]).await;
    let clash = || Matcher::equal("__name__", "clash_metric");
    let found = all_of(&store, request(vec![clash()])).await.unwrap();
    assert!(!found.is_empty() && found.iter().all(|s| s.labels.value("region").ends_with("-1")));
    let own = request(vec![clash(), Matcher::equal("region", "own-region")]);
    assert!(all_of(&store, own).await.unwrap().is_empty());

    let up = Select {
        replica_labels: replicas(&["prometheus_replica"]),
        ..request(vec![Matcher::equal("__name__", "up"), Matcher::equal("cluster", "prod-eu-west")])
    };
    let lanes: BTreeSet<Lane> =
        all_of(&store, up.clone()).await.unwrap().into_iter().flat_map(|s| s.lanes).map(|lane| lane.lane).collect();
    let replica = |value: &str| Lane { replica: Labels::from_pairs([("prometheus_replica", value)]), store: None };
    let folded = Lane { replica: Labels::empty(), store: Some(store.info().id.clone()) };
    assert_eq!(lanes, BTreeSet::from([replica("a"), replica("b"), folded]));
    let plain = Select { replica_labels: Vec::new(), ..up.clone() };
    let series = all_of(&store, plain).await.unwrap();
    assert!(series.iter().all(|s| s.lanes.len() == 1 && s.lanes[0].lane == Lane::default()));
    // A replica label of the series themselves gives several lanes to one series of one block.
    let by_queue = Select {
        replica_labels: replicas(&["queue", "prometheus_replica"]),
        ..request(vec![Matcher::equal("__name__", "queue_depth")])
    };
    let series = all_of(&store, by_queue).await.unwrap();
    assert!(series.iter().any(|s| s.lanes.len() >= 2) && series.iter().all(|s| s.labels.get("queue").is_none()));
    let named = |s: &Series| s.lanes.iter().all(|lane| lane.lane.replica.get("queue").is_some());
    assert!(series.iter().all(named));
}

/// A limit gives the first series of each block, and the first names and values.
#[tokio::test]
async fn limits_cut_at_the_front() {
    let Some(data) = golden("prometheus-3.14/floats/data") else { return };
    let store = refreshed(&data, &[]).await;
    let whole = || request(vec![Matcher::equal("__name__", "many")]);
    let limited = || Select { limit: 3, ..whole() };
    for (one, all) in store
        .select(Arc::new(limited()), Allowance::unlimited())
        .into_iter()
        .zip(store.select(Arc::new(whole()), Allowance::unlimited()))
    {
        let (one, all) = (collect(one).await.unwrap(), collect(all).await.unwrap());
        let labels = |series: &[Series]| series.iter().map(|s| s.labels.clone()).collect::<Vec<_>>();
        assert_eq!(labels(&one), labels(&all[..all.len().min(3)]));
    }
    let names = names_of(&store, Select { limit: 2, ..request(vec![]) }).await;
    assert_eq!(names, names_of(&store, request(vec![])).await[..2]);
    let values = values_of(&store, "id", limited()).await;
    assert_eq!(values, values_of(&store, "id", whole()).await[..3]);
}
