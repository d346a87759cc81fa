//! The golden data of a real Prometheus 3.14, asked of Masthead over HTTP: `golden/README.md` says how answers compare.
//!
//! The program is the one beside this test (`cargo build -p masthead-query` makes it), or what MASTHEAD_BINARY names.

use std::fs;
use std::path::{Path, PathBuf};

use masthead_bench::process::Server;
use masthead_tests::golden::held::{self, Held};
use masthead_tests::golden::{Question, check, questions};
use masthead_tests::outcomes::{Outcome, all_pass};

/// Threads of the servers that are asked, for rows and for input and output each: all must give the same bytes.
const THREADS: [usize; 3] = [1, 2, 8];

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A server over `source`, a flag.
fn start(source: String, features: &[String], threads: usize) -> Server {
    let mut flags = vec![source, format!("--query.threads={threads}")];
    if !features.is_empty() {
        flags.push(format!("--enable-feature={}", features.join(",")));
    }
    Server::masthead_under([("TOKIO_WORKER_THREADS", threads.to_string())], flags).expect("a server")
}

fn over_blocks(blocks: &Path, features: &[String], threads: usize) -> Server {
    start(format!("--blocks={}", blocks.display()), features, threads)
}

/// What is asked of one file of questions.
struct Asked {
    /// One for each of [`THREADS`], over the blocks.
    servers: Vec<Server>,
    /// Over the first one's StoreAPI.
    behind: Server,
    /// Over what the first one chooses where blocks disagree.
    chosen: Option<Server>,
}

impl Asked {
    fn ask(&self, question: &Question) -> Result<(), String> {
        let answer = question.ask(&self.servers[0])?;
        check(question, &answer)?;
        for (server, threads) in self.servers.iter().zip(THREADS) {
            let other = question.ask(server)?;
            if (other.status, &other.bytes) != (answer.status, &answer.bytes) {
                return Err(format!("other bytes with {threads} threads: {}", String::from_utf8_lossy(&other.bytes)));
            }
        }
        let behind = question.ask(&self.behind)?;
        if (behind.status, &behind.bytes) != (answer.status, &answer.bytes) {
            return Err(format!("other bytes over StoreAPI: {}", String::from_utf8_lossy(&behind.bytes)));
        }
        match &self.chosen {
            Some(chosen) if question.conflict => held::same(&answer, &question.ask(chosen)?),
            _ if question.conflict => Err("nobody knows what the blocks hold".to_owned()),
            _ => Ok(()),
        }
    }
}

/// Asks all questions of a file.
fn ask_all(path: &Path, name: &str) -> Vec<Outcome> {
    let set = questions(path).expect("recorded questions");
    let servers: Vec<Server> = THREADS.iter().map(|threads| over_blocks(&set.data, &set.flags, *threads)).collect();
    let behind = start(format!("--endpoint={}", servers[0].grpc_address), &set.flags, 2);
    let folder = tempfile::tempdir().expect("a folder");
    let chosen = set.questions.iter().any(|question| question.conflict).then(|| {
        let held = Held::read(&set.data).expect("readable blocks");
        let samples = held.chosen(&servers[0]).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(samples.len() >= 7, "{name}: only {} series are judged", samples.len());
        held::write(folder.path(), &samples).expect("a block of what was chosen");
        over_blocks(folder.path(), &set.flags, 1)
    });
    let asked = Asked { servers, behind, chosen };
    let outcome = |question: &Question| {
        let failure = asked.ask(question).err();
        (format!("{name}:{}", question.line), failure.map(|reason| format!("{}: {reason}", question.text())))
    };
    set.questions.iter().map(outcome).collect()
}

/// Every recorded question is answered as Prometheus answered it, over the blocks and over
/// a StoreAPI server of theirs.
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
    all_pass(&outcomes);
}
