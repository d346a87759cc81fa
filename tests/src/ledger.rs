//! Lists of known failures that can only shrink: an unlisted failure fails the test, and so does a listed case that passes.
//!
//! A failing test shows the first cases; with MASTHEAD_FAILURES=FILE all failures are written there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// How many lines of a kind a failing test shows.
const SHOWN_MAX: usize = 60;

/// A ledger: one case a line, the reason behind a blank; `#` begins a comment.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    listed: BTreeSet<String>,
}

/// A case that was run: its name, and why it failed if it did.
pub type Outcome = (String, Option<String>);

impl Ledger {
    /// Reads a ledger. An error names the file.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(path).map_err(|error| format!("read {}: {error}", path.display()))?;
        let lines = text.lines().map(|line| line.split(' ').next().unwrap_or(""));
        let listed = lines.filter(|case| !case.is_empty() && !case.starts_with('#')).map(str::to_owned).collect();
        Ok(Self { path: path.to_owned(), listed })
    }

    /// Whether a case is listed.
    pub fn lists(&self, case: &str) -> bool {
        self.listed.contains(case)
    }

    /// Compares with what happened when all cases were run.
    ///
    /// # Panics
    ///
    /// If an unlisted case failed, or a listed one passed or does not exist.
    pub fn settle(&self, outcomes: &[Outcome]) {
        let failed: BTreeSet<&str> =
            outcomes.iter().filter(|(_, reason)| reason.is_some()).map(|(case, _)| case.as_str()).collect();
        if let Some(path) = std::env::var_os("MASTHEAD_FAILURES") {
            let lines = outcomes.iter().filter_map(|(case, reason)| Some(format!("{case} {}\n", reason.as_ref()?)));
            fs::write(path, lines.collect::<String>()).expect("write the failures");
        }
        let new: Vec<String> = outcomes
            .iter()
            .filter(|(case, _)| !self.listed.contains(case))
            .filter_map(|(case, reason)| Some(format!("{case} {}", reason.as_ref()?)))
            .collect();
        let settled: Vec<&str> = self.listed.iter().map(String::as_str).filter(|case| !failed.contains(case)).collect();
        let mut report = String::new();
        if !new.is_empty() {
            let shown = &new[..new.len().min(SHOWN_MAX)];
            report += &format!("{} unlisted cases fail:\n{}\n", new.len(), shown.join("\n"));
        }
        if !settled.is_empty() {
            let shown = &settled[..settled.len().min(SHOWN_MAX)];
            report += &format!("{} listed cases pass now; strike:\n{}\n", settled.len(), shown.join("\n"));
        }
        assert!(report.is_empty(), "{}: {report}", self.path.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settles(listed: &[&str], outcomes: &[(&str, Option<&str>)]) -> bool {
        let ledger = Ledger { path: "x".into(), listed: listed.iter().map(|case| case.to_string()).collect() };
        let outcomes: Vec<Outcome> =
            outcomes.iter().map(|(case, reason)| (case.to_string(), reason.map(str::to_owned))).collect();
        std::panic::catch_unwind(|| ledger.settle(&outcomes)).is_ok()
    }

    /// Only the listed failures may happen, and all of them must.
    #[test]
    fn a_ledger_only_shrinks() {
        assert!(settles(&[], &[("a", None)]));
        assert!(settles(&["a"], &[("a", Some("known")), ("b", None)]));
        assert!(!settles(&[], &[("a", Some("new"))]));
        assert!(!settles(&["a"], &[("a", None)]));
        assert!(!settles(&["a"], &[("b", None)]));
    }
}
