//! Coverage on the wire: the header, the key of the JSON, and the warnings.
//!
//! Header: `Masthead-Coverage: complete`, or `partial; answered=3; asked=5; missing="prod-eu-west,prod-ap-south"`. Names are
//! separated by `,`; within a name `"`, `\`, `,`, `%` and all but printable ASCII are written `%XX`. What would make the
//! header longer than 1 KiB is left out, counted by a further `; more=N`.
//!
//! JSON, with `coverage=true`: `{"complete":false,"asked":5,"answered":3,"missing":["prod-eu-west"],"stores":[..]}`, each
//! store as `{"store":"10.0.0.1:10901","labelSets":[{..}],"outcome":"complete","series":1,"bytes":2,"tookSeconds":0.003,
//! "gaps":[..]}` or with `"outcome":"failed","kind":"timeout","error":"..","since":"2023-11-14T22:13:20Z"` in place of the
//! three numbers; `since` only where the store was known to be missing. A gap, which is what the store itself says it lacks,
//! is `{"labels":{..},"minTime":ms,"maxTime":ms,"reason":".."}`.

use std::fmt::Write as _;

use http::HeaderValue;
use masthead_store::Millis;
use masthead_store::coverage::{Asked, Coverage, Outcome};
use masthead_store::labels::quote;
use masthead_store::select::Gap;

use super::json::{push_bool, push_key, push_labels, push_list, push_string, push_strings};
use super::number::push_integer;
use super::params;
use super::time::{rfc3339, rfc3339_ms};

/// Name of the header.
pub(crate) const HEADER: &str = "masthead-coverage";
/// Bytes of the header's value, at most.
const HEADER_BYTES_MAX: usize = 1024;

/// The header's value.
pub(crate) fn header(coverage: &Coverage, cluster_label: &str) -> HeaderValue {
    if coverage.is_complete() {
        return HeaderValue::from_static("complete");
    }
    let mut text = format!("partial; answered={}; asked={}; missing=\"", coverage.answered(), coverage.asked.len());
    // Room for the closing quote and for `; more=` with a number.
    let room = HEADER_BYTES_MAX - 1 - "; more=".len() - 20;
    let mut more = 0;
    for (i, name) in coverage.missing(cluster_label).iter().enumerate() {
        let mut escaped = escape(name);
        if i == 0 {
            cut(&mut escaped, room - text.len());
        } else {
            escaped.insert(0, ',');
        }
        if more == 0 && text.len() + escaped.len() <= room {
            text.push_str(&escaped);
        } else {
            more += 1;
        }
    }
    text.push('"');
    if more > 0 {
        let _ = write!(text, "; more={more}");
    }
    HeaderValue::try_from(text).expect("only printable ASCII is left by escape")
}

fn escape(name: &str) -> String {
    params::percent_encode(name, |byte| matches!(byte, b' '..=b'~') && !b"\"\\,%".contains(&byte))
}

/// Cuts an escaped name to `length` bytes, not within an escape.
fn cut(escaped: &mut String, length: usize) {
    if escaped.len() > length {
        let keep = escaped[..length].rfind('%').filter(|at| at + 3 > length).unwrap_or(length);
        escaped.truncate(keep);
    }
}

/// The value of the key `coverage`.
pub(crate) fn push_json(out: &mut Vec<u8>, coverage: &Coverage, cluster_label: &str) {
    out.push(b'{');
    push_key(out, "complete");
    push_bool(out, coverage.is_complete());
    push_key(out, "asked");
    push_integer(out, coverage.asked.len() as u64);
    push_key(out, "answered");
    push_integer(out, coverage.answered() as u64);
    push_key(out, "missing");
    push_strings(out, &coverage.missing(cluster_label).into_iter().collect::<Vec<_>>());
    push_key(out, "stores");
    push_list(out, &coverage.asked, push_asked);
    out.push(b'}');
}

fn push_asked(out: &mut Vec<u8>, asked: &Asked) {
    out.push(b'{');
    push_key(out, "store");
    push_string(out, &asked.store);
    push_key(out, "labelSets");
    push_list(out, &asked.label_sets, push_labels);
    push_key(out, "outcome");
    match &asked.outcome {
        Outcome::Complete { series, bytes, took } => {
            push_string(out, "complete");
            push_key(out, "series");
            push_integer(out, *series as u64);
            push_key(out, "bytes");
            push_integer(out, *bytes as u64);
            push_key(out, "tookSeconds");
            out.extend_from_slice(format!("{}", took.as_secs_f64()).as_bytes());
        }
        Outcome::Failed { error, since } => {
            push_string(out, "failed");
            push_key(out, "kind");
            push_string(out, error.kind.as_str());
            push_key(out, "error");
            push_string(out, &error.to_string());
            if let Some(since) = since {
                push_key(out, "since");
                push_string(out, &rfc3339(*since));
            }
        }
    }
    push_key(out, "gaps");
    push_list(out, &asked.gaps, push_gap);
    out.push(b'}');
}

fn push_gap(out: &mut Vec<u8>, gap: &Gap) {
    out.push(b'{');
    push_key(out, "labels");
    push_labels(out, &gap.labels);
    push_key(out, "minTime");
    out.extend_from_slice(gap.min_time.to_string().as_bytes());
    push_key(out, "maxTime");
    out.extend_from_slice(gap.max_time.to_string().as_bytes());
    push_key(out, "reason");
    push_string(out, &gap.reason);
    out.push(b'}');
}

/// A sentence for each thing that is missing: store, cluster, error, since when.
pub(crate) fn warnings(coverage: &Coverage, cluster_label: &str) -> Vec<String> {
    let mut texts = Vec::new();
    for asked in coverage.asked.iter().filter(|asked| !asked.is_complete()) {
        if let Outcome::Failed { error, since } = &asked.outcome {
            let clusters = asked.label_sets.iter().filter_map(|set| set.get(cluster_label));
            let since = since.map(|since| format!(" since {}", rfc3339(since))).unwrap_or_default();
            texts.push(format!("store {}{} is missing{since}: {error}", asked.store, named(clusters)));
        }
        for gap in &asked.gaps {
            let cluster = named(gap.labels.get(cluster_label).into_iter());
            let range = gap_range(gap.min_time, gap.max_time);
            texts.push(format!("store {}{cluster} lacks data{range}: {}", asked.store, gap.reason));
        }
    }
    texts
}

/// ` (cluster "a", "b")`, or nothing.
fn named<'a>(clusters: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<String> = clusters.map(quote).collect();
    names.sort();
    names.dedup();
    if names.is_empty() { String::new() } else { format!(" (cluster {})", names.join(", ")) }
}

/// ` from .. to ..`, open ends left out.
fn gap_range(min_time: Millis, max_time: Millis) -> String {
    // Times beyond the year 9999 mean that there is no end.
    const FAR: Millis = 253_402_300_799_999;
    let from = if min_time > 0 { format!(" from {}", rfc3339_ms(min_time)) } else { String::new() };
    let to = if max_time < FAR { format!(" to {}", rfc3339_ms(max_time)) } else { " on".to_owned() };
    if from.is_empty() && max_time >= FAR { String::new() } else { format!("{from}{to}") }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use masthead_store::{Labels, StoreError, StoreErrorKind};

    use super::*;

    fn asked(store: &str, cluster: Option<&str>, outcome: Outcome) -> Asked {
        let label_sets = cluster.map(|c| Labels::from_pairs([("cluster", c)])).into_iter().collect();
        Asked { store: store.into(), label_sets, outcome, gaps: vec![] }
    }

    fn complete() -> Outcome {
        Outcome::Complete { series: 3, bytes: 40, took: Duration::from_millis(5) }
    }

    fn failed() -> Outcome {
        let since = Some(UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        Outcome::Failed { error: StoreError::new(StoreErrorKind::Unavailable, "connect: refused"), since }
    }

    #[test]
    fn the_header_names_what_is_missing() {
        let mut coverage = Coverage { asked: vec![asked("a:1", Some("x"), complete())] };
        assert_eq!(header(&coverage, "cluster"), "complete");
        coverage.asked.push(asked("b:1", Some("prod-eu-west"), failed()));
        coverage.asked.push(asked("c:1", None, failed()));
        assert_eq!(header(&coverage, "cluster"), "partial; answered=1; asked=3; missing=\"c:1,prod-eu-west\"");
        let odd = Coverage { asked: vec![asked("a:1", Some("é,\"\\%\n b"), failed())] };
        assert_eq!(header(&odd, "cluster"), "partial; answered=0; asked=1; missing=\"%C3%A9%2C%22%5C%25%0A b\"");
    }

    #[test]
    fn the_header_ends_at_one_kib() {
        let many = (0..100).map(|i| asked(&format!("s{i}:1"), Some(&format!("cluster-number-{i:03}-long")), failed()));
        let value = header(&Coverage { asked: many.collect() }, "cluster");
        let text = value.to_str().unwrap();
        assert!(text.len() <= HEADER_BYTES_MAX && text.len() > 900, "{}", text.len());
        let names = text.split('"').nth(1).unwrap().split(',').count();
        assert!(text.ends_with(&format!("\"; more={}", 100 - names)), "{text}");
        let long = Coverage { asked: vec![asked("a:1", Some(&"ü".repeat(2000)), failed())] };
        let value = header(&long, "cluster");
        let text = value.to_str().unwrap();
        assert!(text.len() <= HEADER_BYTES_MAX, "{text}");
        assert!(text.ends_with("%BC\"") || text.ends_with("%C3\""), "{text}");
    }

    #[test]
    fn warnings_name_store_cluster_error_and_since_when() {
        let mut lacking = asked("blocks:/a", None, complete());
        lacking.gaps.push(Gap {
            labels: Labels::from_pairs([("cluster", "y")]),
            min_time: 1_700_000_000_000,
            max_time: i64::MAX,
            reason: "its head is not read".into(),
        });
        let coverage = Coverage { asked: vec![asked("b:1", Some("x"), failed()), lacking] };
        assert_eq!(
            warnings(&coverage, "cluster"),
            [
                "store b:1 (cluster \"x\") is missing since 2023-11-14T22:13:20Z: connect: refused",
                "store blocks:/a (cluster \"y\") lacks data from 2023-11-14T22:13:20Z on: its head is not read",
            ]
        );
        let mut json = Vec::new();
        push_json(&mut json, &coverage, "cluster");
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(json["missing"], serde_json::json!(["x", "y"]));
        assert_eq!(json["stores"][0]["since"], "2023-11-14T22:13:20Z");
        assert_eq!(json["stores"][1]["tookSeconds"], 0.005);
        assert_eq!(json["stores"][1]["gaps"][0]["maxTime"], i64::MAX);
    }
}
