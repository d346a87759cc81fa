//! Annotations as far as a reference of an older version words and places them as Masthead does.

use std::collections::BTreeSet;

use serde_json::Value;

use super::OURS;

/// An annotation whose text changed.
struct Rewrite {
    /// First minor version that has Masthead's text.
    since: u32,
    /// The text as it is compared, or none if it is not.
    rewritten: fn(&str) -> Option<String>,
}

const REWRITES: &[Rewrite] = &[
    // 3.12.0: Emit a warning when `sort`, `sort_by_label` or `sort_by_label_desc` is used within range queries. #18498
    Rewrite { since: 12, rewritten: |text| (!text.contains("sort is ineffective")).then(|| text.to_owned()) },
    // 3.7.0: Avoid empty metric names in annotations for `histogram_quantile()`. #16794
    Rewrite {
        since: 7,
        rewritten: |text| {
            // Without the name two annotations are one, with the position of either.
            let named = text.contains("bucket label") || text.contains("monotonicity");
            Some(if named { unplaced(&without(text, " for metric name \"", "\"")) } else { text.to_owned() })
        },
    },
    // 3.10.0: Add more detail to histogram quantile monotonicity info annotations. #15578
    Rewrite {
        since: 10,
        rewritten: |text| {
            let long = text.contains("monotonicity");
            Some(if long { unplaced(text.split(", from buckets").next().unwrap_or(text)) } else { text.to_owned() })
        },
    },
    // 3.7.0: Move more work to preprocessing step. #16896: parentheses around what is aggregated count no more
    Rewrite {
        since: 7,
        rewritten: |text| {
            const OF_AGGREGATIONS: &[&str] =
                &["quantile value should be between 0 and 1", " aggregation (", "vector contains "];
            let moved = OF_AGGREGATIONS.iter().any(|part| text.contains(part));
            Some(if moved { unplaced(text) } else { text.to_owned() })
        },
    },
    // 3.7.0: Add warn-level annotations for counter reset conflicts in certain histogram operations. #17051 #17094
    Rewrite { since: 7, rewritten: |text| (!text.contains("conflicting counter resets")).then(|| text.to_owned()) },
];

/// `text` without the first part from `start` to `end`.
fn without(text: &str, start: &str, end: &str) -> String {
    let Some((before, rest)) = text.split_once(start) else { return text.to_owned() };
    let Some((_, after)) = rest.split_once(end) else { return text.to_owned() };
    format!("{before}{after}")
}

/// `text` without the position at its end.
fn unplaced(text: &str) -> String {
    text.rsplit_once(" (").map_or(text, |(text, _)| text).to_owned()
}

/// Whether two lists of annotations, of a reference of version 3.`minor` and of Masthead, are the same set. Of more than ten
/// it is chance which ten are given: then their number counts, if the reference makes the same ones.
pub fn same_annotations(theirs: &Value, mine: &Value, minor: u32) -> bool {
    let omitted = |list: &Value| {
        let mut texts = list.as_array().into_iter().flatten().filter_map(Value::as_str);
        texts.find(|text| text.ends_with(" annotations omitted")).map(str::to_owned)
    };
    match (omitted(theirs), omitted(mine)) {
        (None, None) => annotations(theirs, minor) == annotations(mine, minor),
        (theirs, mine) => theirs == mine || minor < OURS,
    }
}

/// A list of annotations as the set that is compared with one of version 3.`minor`.
fn annotations(list: &Value, minor: u32) -> BTreeSet<String> {
    let texts = list.as_array().into_iter().flatten().filter_map(Value::as_str);
    let rewrites = || REWRITES.iter().filter(|rewrite| minor < rewrite.since);
    let rewritten = |text: &str| rewrites().try_fold(text.to_owned(), |text, rewrite| (rewrite.rewritten)(&text));
    texts.filter_map(rewritten).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a version changed in a text is left out for older ones, and nothing for the same one.
    #[test]
    fn annotations_are_compared_as_far_as_versions_agree() {
        let old = serde_json::json!([
            "PromQL warning: bucket label \"le\" is missing or has a malformed value of \"\" for metric name \"h\" (1:5)",
            "PromQL warning: quantile value should be between 0 and 1, got 2 (1:20)"
        ]);
        let new = serde_json::json!([
            "PromQL warning: bucket label \"le\" is missing or has a malformed value of \"\" (1:5)",
            "PromQL warning: quantile value should be between 0 and 1, got 2 (1:21)",
            "PromQL warning: sort is ineffective for range queries since results are always ordered by labels (1:1)"
        ]);
        assert!(same_annotations(&old, &new, 5));
        assert!(!same_annotations(&old, &new, 14) && same_annotations(&new, &new, 14));
        assert_eq!(annotations(&new, 14).len(), 3);
        let many = |count: usize| serde_json::json!(["a", format!("{count} more warning annotations omitted")]);
        assert!(same_annotations(&many(2), &many(2), 14) && !same_annotations(&many(2), &many(3), 14));
    }
}
