//! What became of many cases: a failing test shows the first failures; with MASTHEAD_FAILURES=FILE all are written there.

use std::fs;

/// How many failures a failing test shows.
const SHOWN_MAX: usize = 60;

/// A case that was run: its name, and why it failed if it did.
pub type Outcome = (String, Option<String>);

/// Makes sure that all cases passed.
///
/// # Panics
///
/// If one failed.
pub fn all_pass(outcomes: &[Outcome]) {
    let failure = |(case, reason): &Outcome| Some(format!("{case} {}", reason.as_ref()?));
    let failures: Vec<String> = outcomes.iter().filter_map(failure).collect();
    if let Some(path) = std::env::var_os("MASTHEAD_FAILURES") {
        fs::write(path, failures.join("\n")).expect("write the failures");
    }
    let shown = &failures[..failures.len().min(SHOWN_MAX)];
    assert!(failures.is_empty(), "{} of {} fail:\n{}", failures.len(), outcomes.len(), shown.join("\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_named() {
        let passed = || ("a.test:1".to_owned(), None);
        all_pass(&[passed()]);
        let failed =
            std::panic::catch_unwind(|| all_pass(&[passed(), ("a.test:2".to_owned(), Some("why".to_owned()))]));
        let text = failed.unwrap_err().downcast::<String>().unwrap();
        assert_eq!(*text, "1 of 2 fail:\na.test:2 why");
    }
}
