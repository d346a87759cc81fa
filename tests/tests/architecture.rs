//! Who may know whom. Each rule lists what breaks it by file and line.

use std::fs;
use std::path::{Path, PathBuf};

/// The members in order; each may depend on those named.
const CRATES: &[(&str, &[&str])] = &[
    ("proto", &[]),
    ("store", &["masthead-proto"]),
    ("query", &["masthead-store"]),
    ("bench", &["masthead-proto", "masthead-store", "masthead-query"]),
    ("tests", &["masthead-proto", "masthead-store", "masthead-query", "masthead-bench"]),
    ("tests/fuzz", &["masthead-store", "masthead-query"]),
];

/// Names that the pure parts of `query` do without.
const IMPURE: &[&str] = &["tokio", "tonic", "hyper", "object_store", "axum", "tracing"];

/// Where rows are computed in parallel, and the types that carry the pool there.
const PARALLEL: &[&str] = &["query/src/engine/mod.rs", "query/src/engine/scan", "query/src/querier"];

/// What of the syntax tree is vocabulary that plan and engine share. The tree itself ends in `plan`.
const VOCABULARY: &[&str] =
    &["AggregateOp", "BinaryOp", "Cardinality", "Matching", "RangeExtension", "Span", "UnaryOp"];

/// The modules of the scan from the ground up; each may name those before it.
const SCAN: &[&str] = &[
    "notes",
    "starts",
    "times",
    "window",
    "range_functions/combine",
    "range_functions/mixed",
    "range_functions/neighbours",
    "range_functions/over_time",
    "range_functions/rate",
    "range_functions/regression",
    "range_functions/histogram_rate",
    "range_functions/histogram_sums",
    "range_functions/extended",
    "range_functions/extended_histograms",
    "lanes",
    "marks",
    "column",
    "slide",
    "lookup",
    "range_functions",
    "kernel",
    "columns",
    "hints",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every Rust file below `folder`, relative to the workspace, with its text free of comments. Line breaks stay.
fn sources(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("read {}: {error}", folder.display())) {
            let path = entry.expect("a readable folder").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).expect("the folder is below the root").display().to_string();
                found.push((name, without_comments(&fs::read_to_string(&path).expect("a readable source"))));
            }
        }
    }
    assert!(!found.is_empty(), "no sources below {folder}");
    found.sort();
    found
}

fn without_comments(text: &str) -> String {
    text.lines().map(|line| line.split_once("//").map_or(line, |(code, _)| code)).collect::<Vec<_>>().join("\n")
}

/// Where `word` stands as a whole word.
fn uses<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |at| !text[..*at].ends_with(part) && !text[at + word.len()..].starts_with(part))
}

fn line(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

fn fail_on(offences: Vec<String>, rule: &str) {
    assert!(offences.is_empty(), "{rule}:\n{}", offences.join("\n"));
}

/// `proto <- store <- query <- bench, tests`.
#[test]
fn crates_depend_downwards() {
    let mut offences = Vec::new();
    for (name, allowed) in CRATES {
        let manifest = fs::read_to_string(root().join(name).join("Cargo.toml")).unwrap();
        let mut section = "";
        for (index, text) in manifest.lines().enumerate() {
            if text.starts_with('[') {
                section = text.trim_matches(['[', ']']);
            }
            let dependency = text.split(['.', '=', ' ']).next().unwrap_or("");
            if section.ends_with("dependencies")
                && dependency.starts_with("masthead-")
                && !allowed.contains(&dependency)
            {
                offences.push(format!("{name}/Cargo.toml:{}: {dependency}", index + 1));
            }
        }
    }
    fail_on(offences, "a crate depends on one that is not below it");
}

/// The engine and the plan are pure: no I/O, no async, no log.
#[test]
fn engine_and_plan_are_pure() {
    let mut offences = Vec::new();
    for (name, text) in ["query/src/engine", "query/src/plan"].into_iter().flat_map(sources) {
        for word in IMPURE {
            offences.extend(uses(&text, word).map(|at| format!("{name}:{}: {word}", line(&text, at))));
        }
    }
    fail_on(offences, "engine or plan name I/O");
}

/// Generated types are converted at the edge.
#[test]
fn generated_types_stay_at_the_edge() {
    let mut offences = Vec::new();
    for (name, text) in ["store/src", "query/src"].into_iter().flat_map(sources) {
        if !name.starts_with("store/src/remote") && !name.starts_with("store/src/serve") {
            offences.extend(uses(&text, "masthead_proto").map(|at| format!("{name}:{}", line(&text, at))));
        }
    }
    fail_on(offences, "masthead_proto outside of store/src/remote and store/src/serve");
}

/// Only the scan is parallel, so that results cannot depend on the number of threads.
#[test]
fn only_the_scan_is_parallel() {
    let mut offences = Vec::new();
    for (name, text) in ["store/src", "query/src"].into_iter().flat_map(sources) {
        // Unit tests choose their threads.
        if !name.ends_with("tests.rs") && !PARALLEL.iter().any(|allowed| name.starts_with(allowed)) {
            offences.extend(uses(&text, "rayon").map(|at| format!("{name}:{}", line(&text, at))));
        }
    }
    fail_on(offences, "rayon outside of the files that may use it");
}

/// The syntax tree is known to the parser and the plan alone.
#[test]
fn the_syntax_tree_ends_in_the_plan() {
    let mut offences = Vec::new();
    for (name, text) in sources("query/src") {
        // Who asks for the tree of an expression is given it.
        let is_asked_for = name == "query/src/api/syntax.rs";
        if is_asked_for || name.starts_with("query/src/promql") || name.starts_with("query/src/plan") {
            continue;
        }
        for at in uses(&text, "ast") {
            let behind = &text[at + "ast".len()..];
            let names = match behind.strip_prefix("::") {
                Some(list) if list.starts_with('{') => list[1..].split('}').next().unwrap_or(""),
                Some(path) => path.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or(""),
                None => "ast",
            };
            let foreign = |name: &&str| !name.is_empty() && !VOCABULARY.contains(name);
            let names = names.split(',').map(str::trim).filter(foreign);
            offences.extend(names.map(|item| format!("{name}:{}: {item}", line(&text, at))));
        }
    }
    fail_on(offences, "the syntax tree is used outside of promql and plan");
}

/// Kernels know the window alone, and what slides it knows no table of kernels: nothing in the scan imports upwards.
#[test]
fn the_scan_has_no_circles() {
    const FOLDER: &str = "query/src/engine/scan/";
    let mut offences = Vec::new();
    let mut seen = Vec::new();
    for (name, text) in sources(FOLDER) {
        let module = name.strip_prefix(FOLDER).expect("below the folder").trim_end_matches(".rs");
        if module == "tests" || module.contains("/tests") {
            continue;
        }
        let Some(floor) = SCAN.iter().position(|known| *known == module) else {
            offences.push(format!("{name}: on no floor"));
            continue;
        };
        seen.push(SCAN[floor]);
        for other in &SCAN[floor..] {
            let path = format!("{}::", other.rsplit('/').next().expect("a name"));
            let is_child = |other: &str| other.strip_prefix(module).is_some_and(|rest| rest.starts_with('/'));
            let found = text.match_indices(&path).map(|(at, _)| at);
            let whole = found.filter(|at| !text[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_'));
            offences.extend(whole.filter(|_| !is_child(other)).map(|at| format!("{name}:{}: {path}", line(&text, at))));
        }
        // What the operator above holds by itself.
        for above in ["super::super", "scan::{", "super::{self", "super::*"] {
            offences.extend(text.match_indices(above).map(|(at, _)| format!("{name}:{}: {above}", line(&text, at))));
        }
        let own =
            text.match_indices("super::").filter(|(at, path)| text[at + path.len()..].starts_with(char::is_uppercase));
        offences.extend(own.map(|(at, _)| format!("{name}:{}: a name of the module above", line(&text, at))));
    }
    offences
        .extend(SCAN.iter().filter(|module| !seen.contains(module)).map(|module| format!("{module}: no such file")));
    fail_on(offences, "the scan imports upwards");
}

/// The rules above see what they should see.
#[test]
fn whole_words_are_found_and_comments_are_not() {
    let text = without_comments("use tokio::x; // tokio\nlet tokio_like = my_tokio; tokio");
    let found: Vec<usize> = uses(&text, "tokio").map(|at| line(&text, at)).collect();
    assert_eq!(found, [1, 2]);
}
