//! The golden data of a real Prometheus 3.14, asked of Masthead over HTTP: `golden/README.md` says how answers compare.
//!
//! The program is the one beside this test (`cargo build -p masthead-query` makes it), or what MASTHEAD_BINARY names. What is
//! not right yet stands in `ledgers/golden.txt`, by dataset and line; a line that passes must be struck.

use std::fs;
use std::path::{Path, PathBuf};

use masthead_tests::golden::{Held, Question, Server, check, questions};
use masthead_tests::ledger::{Ledger, Outcome};

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Asks one question; where blocks disagree, twice.
fn ask(server: &Server, question: &Question, held: Option<&Held>) -> Result<(), String> {
    let answer = server.get(&question.target())?;
    check(question, &answer)?;
    if let Some(held) = held.filter(|_| question.conflict) {
        held.check(question, &answer)?;
        if server.get(&question.target())? != answer {
            return Err("a second ask gave another answer".to_owned());
        }
    }
    Ok(())
}

/// Asks all questions of a file.
fn ask_all(path: &Path, name: &str) -> Vec<Outcome> {
    let set = questions(path).expect("recorded questions");
    let server = Server::start(&set.data, &set.flags).unwrap_or_else(|error| panic!("{name}: {error}"));
    let disagree = set.questions.iter().any(|question| question.conflict);
    let held = disagree.then(|| Held::read(&set.data).expect("readable blocks"));
    let outcome = |question: &Question| {
        let failure = ask(&server, question, held.as_ref()).err();
        (format!("{name}:{}", question.line), failure.map(|reason| format!("{}: {reason}", question.text())))
    };
    set.questions.iter().map(outcome).collect()
}

/// Every recorded question, but for those in the ledger, is answered as Prometheus answered it.
#[test]
fn answers_are_those_of_prometheus() {
    let root = here("golden/prometheus-3.14");
    let mut files = Vec::new();
    for dataset in fs::read_dir(&root).expect("golden data") {
        let dataset = dataset.expect("golden data").path();
        let names = fs::read_dir(&dataset).expect("a dataset").map(|entry| entry.expect("a dataset").path());
        files.extend(names.filter(|path| path.extension().is_some_and(|extension| extension == "jsonl")));
    }
    files.sort();
    let mut outcomes = Vec::new();
    for file in &files {
        let name = file.strip_prefix(&root).expect("below the root").display().to_string();
        let of_file = ask_all(file, &name);
        let right = of_file.iter().filter(|(_, failure)| failure.is_none()).count();
        println!("{name}: {right}/{}", of_file.len());
        outcomes.extend(of_file);
    }
    assert_eq!(outcomes.len(), 2996);
    Ledger::read(&here("ledgers/golden.txt")).expect("a readable ledger").settle(&outcomes);
}
