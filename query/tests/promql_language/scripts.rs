//! Expressions and series lines of Prometheus' test scripts.

use std::path::PathBuf;

/// What the scripts hold.
pub(crate) struct Scripts {
    pub(crate) files: usize,
    pub(crate) expressions: Vec<String>,
    pub(crate) series: Vec<String>,
}

/// Reads all scripts; None where there are none, which CI does not allow.
pub(crate) fn read() -> Option<Scripts> {
    let shared = std::env::var_os("MASTHEAD_SHARED")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")), PathBuf::from);
    let folder = shared.join("promqltest");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "no test scripts in {}", folder.display());
        eprintln!("SKIPPED: no test scripts in {}", folder.display());
        return None;
    };
    let mut scripts = Scripts { files: 0, expressions: Vec::new(), series: Vec::new() };
    for entry in entries {
        let path = entry.expect("the folder is read").path();
        if path.extension().is_some_and(|extension| extension == "test") {
            scripts.files += 1;
            let text = std::fs::read_to_string(&path).expect("the script is read");
            scripts.add(&text);
        }
    }
    Some(scripts)
}

impl Scripts {
    fn add(&mut self, text: &str) {
        let mut in_block = false;
        for line in text.lines().map(str::trim) {
            let first = line.split_whitespace().next().unwrap_or("");
            if first.is_empty() || first.starts_with('#') {
                in_block = false;
            } else if in_block {
                if is_series(line, first) {
                    self.series.push(line.to_owned());
                }
            } else {
                in_block = first.starts_with("load") || first.starts_with("eval");
                if first.starts_with("eval") {
                    self.expressions.push(expression(line).to_owned());
                }
            }
        }
    }
}

/// Whether a line of a block is a series, and no expectation of another kind, start timestamps or a scalar.
fn is_series(line: &str, first: &str) -> bool {
    let expectation = first == "expect" || first.starts_with("expected_fail");
    let scalar = first.parse::<f64>().is_ok() && line == first;
    !expectation && !scalar && !line.contains("@st")
}

/// The expression of `eval instant at T EXPR` or `eval range from A to B step C EXPR`.
fn expression(line: &str) -> &str {
    let words_before = match line.split_whitespace().nth(1) {
        Some("range") => 8,
        _ if line.split_whitespace().nth(2) == Some("at") => 4,
        _ => 2,
    };
    let mut rest = line;
    for _ in 0..words_before {
        rest = rest.split_once(char::is_whitespace).map_or("", |(_, rest)| rest.trim_start());
    }
    rest
}
