//! Deduplicated answers over the bucket and the four data directories against the truth about the watched targets.

use std::path::Path;

use masthead_bench::process::Server;
use masthead_tests::truth::{Score, raw_questions, score};
use serde_json::Value;

/// Last time, seconds, that blocks hold: what is later stands only in the WAL.
const BLOCKS_END: f64 = 1_701_043_200.0 + 24.0 * 3600.0;

/// Points that may be worse than both replicas. Thanos: 50.
const WORSE_MAX: usize = 5;
/// Points that may be grossly wrong. Thanos: 65.
const GROSS_MAX: usize = 20;

#[test]
fn deduplicated_answers_are_near_the_truth() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/thanos-0.43");
    let mut flags = vec![
        format!("--blocks={}", root.join("bucket").display()),
        "--query.replica-label=prometheus_replica".to_owned(),
    ];
    for (cluster, region) in [("prod-us-east", "us-east-1"), ("prod-eu-west", "eu-west-1")] {
        for replica in ["a", "b"] {
            let data = root.join(format!("prometheus/{cluster}-{replica}/data"));
            let labels = format!("cluster={cluster},region={region},prometheus_replica={replica}");
            flags.push(format!("--blocks={},{labels}", data.display()));
        }
    }
    let server = Server::masthead(&flags).expect("a server over blocks");
    let questions = raw_questions(&root.join("querier/truth.jsonl")).expect("questions with their truth");
    assert_eq!(questions.len(), 60);
    let mut total = Score::default();
    for question in &questions {
        let params: Vec<_> = question.params.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let (status, body) = server.get(&question.path, &params).expect("an answer");
        assert_eq!(status, 200, "{params:?}: {}", String::from_utf8_lossy(&body));
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        let result = body["data"]["result"].as_array().expect("a result");
        let of_question = score(question, result, BLOCKS_END).expect("a question with times");
        if of_question.gross + of_question.worse_than_both + of_question.extra > 0 {
            println!("{of_question:?} {}", question.params["query"]);
        }
        total.add(of_question);
    }
    println!("{total:?}");
    assert!(total.points > 1000, "{total:?}");
    assert_eq!(total.extra, 0, "{total:?}");
    assert!(total.worse_than_both <= WORSE_MAX, "{total:?}");
    assert!(total.gross <= GROSS_MAX, "{total:?}");
}
