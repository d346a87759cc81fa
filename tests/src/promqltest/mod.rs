//! A runner of Prometheus' `.test` scripts (promql/promqltest): loads series, asks, compares.
//!
//! Each instant question is asked again with `@` on every selector at other times, and each of those as a range, as
//! Prometheus' own runner does. Where the series come from is an [`Evaluator`]'s business.

use std::path::{Path, PathBuf};

use masthead_query::engine::Value;
use masthead_query::plan::Timeline;
use masthead_store::Millis;

use crate::outcomes::Outcome;

mod at;
mod blocks;
mod case;
mod compare;
mod custom_buckets;
mod data;
mod memory;
mod script;
mod series;
mod stores;

pub use blocks::Blocks;
pub use data::Data;
pub use memory::Memory;
pub use script::{Command, Eval, Script, parse};
pub use stores::Stores;

/// Answers questions about series.
pub trait Evaluator {
    /// Replaces all series.
    fn load(&mut self, data: &Data) -> Result<(), String>;

    /// Answers.
    fn ask(&self, question: &Question<'_>) -> Result<Answer, Failure>;
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The query has none: Prometheus' text, position included where the query itself is wrong.
    Query(String),
    /// Something else broke, or is not supported yet; no script can expect that.
    Other(String),
}

/// One question.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The expression.
    pub query: &'a str,
    /// The times.
    pub timeline: Timeline,
    /// Asked for one time.
    pub instant: bool,
    /// The end that was asked for, ms, where it may not be the last step.
    pub end: Option<Millis>,
}

/// The answer to it.
#[derive(Debug)]
pub struct Answer {
    /// The value.
    pub value: Value,
    /// Warnings as the API prints them.
    pub warnings: Vec<String>,
    /// Infos as the API prints them.
    pub infos: Vec<String>,
}

/// One evaluation of a script.
#[derive(Debug)]
pub struct Case {
    /// Line of the command, from 1.
    pub line: usize,
    /// The expression.
    pub query: String,
    /// Why it failed, if it did.
    pub failure: Option<String>,
}

/// The scripts among `paths`: files as they are, folders by the `.test` files in them, sorted.
pub fn scripts(paths: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let failure = |error: std::io::Error| format!("{}: {error}", path.display());
        let mut found = Vec::new();
        for entry in std::fs::read_dir(path).map_err(failure)? {
            found.push(entry.map_err(failure)?.path());
        }
        found.retain(|file| file.extension().is_some_and(|extension| extension == "test"));
        found.sort();
        files.extend(found);
    }
    Ok(files)
}

/// What became of the evaluations of a script file, by its name and their lines.
///
/// # Panics
///
/// If the file as a whole cannot be run.
pub fn outcomes(path: &Path, evaluator: &mut dyn Evaluator) -> Vec<Outcome> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let cases = run(path, evaluator).unwrap_or_else(|error| panic!("{error}"));
    cases.into_iter().map(|case| (format!("{name}:{}", case.line), case.failure)).collect()
}

/// Runs all evaluations of a script file. An error is about the file as a whole.
pub fn run(path: &Path, evaluator: &mut dyn Evaluator) -> Result<Vec<Case>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let script = parse(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut data = Data::default();
    // What went wrong since the last `clear`: later answers mean nothing then.
    let mut broken = evaluator.load(&data).err();
    let mut cases = Vec::new();
    for command in &script.commands {
        match command {
            Command::Clear => {
                data = Data::default();
                broken = evaluator.load(&data).err();
            }
            Command::Load(load) => {
                let loaded = data.add(load).and_then(|()| evaluator.load(&data));
                broken = broken.or(loaded.err());
            }
            Command::Eval(eval) => {
                let failure = match &broken {
                    Some(error) => Some(format!("load: {error}")),
                    None => case::check(eval, evaluator).err(),
                };
                cases.push(Case { line: eval.line, query: eval.query.clone(), failure });
            }
        }
    }
    Ok(cases)
}
