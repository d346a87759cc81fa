//! What Thanos' API has beyond Prometheus'.

use super::*;

#[tokio::test]
async fn parameters_of_thanos_are_checked() {
    let api = api_over(vec![Arc::new(east())], |_| {});
    for (parameters, text) in [
        ("engine=x", "'x' bad engine"),
        ("max_source_resolution=-1", "negative 'max_source_resolution' is not accepted. Try a positive integer"),
        ("max_source_resolution=x", "'max_source_resolution' parameter: cannot parse \"x\" to a valid duration"),
        ("shard_info={", "could not unmarshal parameter shard_info: EOF while parsing an object at line 1 column 1"),
        ("storeMatch[]=up{", "1:4: parse error: unexpected end of input inside braces"),
    ] {
        for path in ["query?query=up&time=5", "query_range?query=up&start=1&end=2&step=1", "query_explain?query=up"] {
            let got = get(&api, &format!("/api/v1/{path}&{parameters}")).await;
            assert_eq!((got.status, got.body), (400, error("bad_data", text)), "{path}&{parameters}");
        }
    }
    for parameters in
        ["engine=thanos&max_source_resolution=auto", "max_source_resolution=5m&engine=prometheus", "analyze=0"]
    {
        let got = get(&api, &format!("/api/v1/query?query=1&time=4&{parameters}")).await;
        assert_eq!(got.body, r#"{"status":"success","data":{"resultType":"scalar","result":[4,"1"]}}"#);
    }
}

#[tokio::test]
async fn stores_are_chosen_by_address() {
    let api = api_over(vec![Arc::new(east()), Arc::new(dead_west())], |_| {});
    for (matchers, path, expected) in [
        ("", "query?query=count(up)&time=1700000060", "partial; answered=1; asked=2; missing=\"prod-eu-west\""),
        ("storeMatch[]={__address__=%22east:10901%22}", "query?query=count(up)&time=1700000060", "complete"),
        ("storeMatch[]={__address__=~%22east.*%22}", "series?match[]=up", "complete"),
        (
            "storeMatch[]={__address__=%22none%22}&storeMatch[]={__address__=~%22w.*%22}",
            "labels?match[]=up",
            "partial; answered=0; asked=1; missing=\"prod-eu-west\"",
        ),
    ] {
        let got = get(&api, &format!("/api/v1/{path}&{matchers}")).await;
        assert_eq!((got.status, got.header("masthead-coverage")), (200, expected), "{path}&{matchers}: {}", got.body);
    }
    let got = get(&api, "/api/v1/query?query=up&storeMatch[]=none").await;
    assert!(
        got.body.ends_with(r#""warnings":["no store fulfils storeMatch[], so that nothing was asked"]}"#),
        "{}",
        got.body
    );
}

#[tokio::test]
async fn shards_add_up_to_the_whole() {
    let api = api_over(vec![Arc::new(east()), Arc::new(west())], |_| {});
    for (by, labels) in [("true", r#"["job","cluster"]"#), ("false", r#"["__name__"]"#)] {
        let mut sum = 0;
        for shard in 0..2 {
            let info = format!(r#"{{"shard_index":{shard},"total_shards":2,"by":{by},"labels":{labels}}}"#);
            let info = params::percent_encode(&info, |byte| byte.is_ascii_alphanumeric());
            let got = get(&api, &format!("/api/v1/query?query=up&time=1700000000&shard_info={info}")).await;
            let json: serde_json::Value = serde_json::from_str(&got.body).unwrap();
            sum += json["data"]["result"].as_array().unwrap().len();
        }
        assert_eq!(sum, 3, "each series is in one shard");
    }
    let got = get(&api, "/api/v1/query?query=count(up)&time=1700000000&shard_info={}").await;
    assert!(got.body.contains("\"3\"]"), "{}", got.body);
}

#[tokio::test]
async fn plans_are_explained_and_analysed() {
    let api = api_over(vec![Arc::new(east())], |_| {});
    let got = get(&api, "/api/v1/query_explain?query=sum(rate(up{job=%22api%22}[5m]))+%2B+1&time=4").await;
    let json: serde_json::Value = serde_json::from_str(&got.body).unwrap();
    let aggregate = &json["data"]["children"][0];
    assert!(aggregate["name"].as_str().unwrap().starts_with("aggregate Sum"), "{}", got.body);
    let scan = &aggregate["children"][0];
    assert!(scan["name"].as_str().unwrap().starts_with("scan rate[300000ms]"), "{}", got.body);
    assert!(scan["name"].as_str().unwrap().contains("job=\"api\"") && scan.get("children").is_none(), "{}", got.body);
    assert_eq!(got.header("masthead-coverage"), "", "nobody was asked");
    let range = get(&api, "/api/v1/query_range_explain?query=up&start=1&end=2&step=1").await;
    assert!(range.body.contains("1000ms + 2 x 1000ms"), "{}", range.body);
    let wrong = get(&api, "/api/v1/query_explain?query=up{").await;
    let text = "invalid parameter \"query\": 1:4: parse error: unexpected end of input inside braces";
    assert_eq!((wrong.status, wrong.body), (400, error("bad_data", text)));
    let got = get(&api, "/api/v1/query?query=up&time=1700000060&analyze=true").await;
    let json: serde_json::Value = serde_json::from_str(&got.body).unwrap();
    let analysis = &json["data"]["analysis"];
    assert!(analysis["executionTime"].as_str().unwrap().ends_with('s'), "{}", got.body);
    assert_eq!(
        (&analysis["fanout"][0]["endpointAddr"], &analysis["fanout"][0]["series"]),
        (&"east:10901".into(), &2.into())
    );
    assert!(analysis["name"].as_str().unwrap().starts_with("scan Latest"), "{}", got.body);
}
