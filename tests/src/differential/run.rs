//! Asks both sides, judges, and tells what came out.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::client::{Client, Reply};
use super::compare::{Difference, Same, compare};
use super::known::{self, FAULTS, KNOWN};
use super::question::Question;
use super::shrink::shrink;
use super::sides::Sides;

/// Questions under way at once.
const CONNECTIONS: usize = 6;
/// Asks of the same question after which an answer that was always the same counts as the reference's only one.
const REPEATS: usize = 10;
/// Failures that are made small: the others are counted.
const SHRUNK_MAX: usize = 6;
/// How much of an answer is printed, bytes.
const SHOWN_MAX: usize = 600;

/// What to ask.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// Seed of the first question; each other one has the next number.
    pub seed: u64,
    /// How many.
    pub count: u64,
    /// How many in a hundred are broken on purpose.
    pub broken_percent: usize,
    /// When to stop all the same.
    pub deadline: Option<Instant>,
}

/// How it went.
#[derive(Debug, Default)]
pub struct Report {
    /// Questions asked.
    pub asked: u64,
    /// Answers with native histograms that are the same.
    pub histograms: u64,
    /// Outcomes by name: how they agree, or which known difference it was.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Where they differ and nothing says why, by seed; the first ones made small.
    pub failures: Vec<Failure>,
}

/// A question with different answers.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Seed of the question that was asked.
    pub seed: u64,
    /// The question.
    pub question: Question,
    /// What differs.
    pub difference: Difference,
    /// What the reference answered.
    pub reference: Reply,
    /// What Masthead answered.
    pub ours: Reply,
}

impl Report {
    /// How often an outcome came.
    pub fn count(&self, outcome: &str) -> u64 {
        self.outcomes.get(outcome).copied().unwrap_or(0)
    }

    /// Answers that are the same and hold anything.
    pub fn found(&self) -> u64 {
        self.count(Same::Equal.name()) + self.count(Same::LastDigits.name())
    }

    /// Answers that differ for a known reason.
    pub fn known(&self) -> u64 {
        let names = KNOWN.iter().map(|known| known.name).chain(FAULTS.iter().map(|fault| fault.name));
        names.map(|name| self.count(name)).sum()
    }

    fn add(&mut self, other: Report) {
        self.asked += other.asked;
        self.histograms += other.histograms;
        for (name, count) in other.outcomes {
            *self.outcomes.entry(name).or_default() += count;
        }
        self.failures.extend(other.failures);
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} questions", self.asked)?;
        for (name, count) in &self.outcomes {
            writeln!(f, "{count:8} {name}")?;
        }
        writeln!(f, "{:8} of them with native histograms", self.histograms)?;
        writeln!(f, "{:8} different", self.failures.len())
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let shown = |reply: &Reply| {
            let text = String::from_utf8_lossy(&reply.body);
            format!("{} {}", reply.status, text.chars().take(SHOWN_MAX).collect::<String>())
        };
        writeln!(f, "differential {}", self.question)?;
        writeln!(f, "  question {}: {}", self.seed, self.difference)?;
        writeln!(f, "  reference {}", shown(&self.reference))?;
        writeln!(f, "  masthead  {}", shown(&self.ours))
    }
}

/// Asks all questions and judges the answers.
pub async fn run(sides: &Arc<Sides>, run: Run) -> Report {
    let next = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (sides, next) = (Arc::clone(sides), Arc::clone(&next));
        tasks.spawn(async move {
            let mut report = Report::default();
            let in_time = || run.deadline.is_none_or(|deadline| Instant::now() < deadline);
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= run.count || !in_time() {
                    return report;
                }
                ask(&sides, run, run.seed + index, &mut report).await;
            }
        });
    }
    let mut report = Report::default();
    while let Some(part) = tasks.join_next().await {
        report.add(part.expect("asking does not panic"));
    }
    report.failures.sort_by_key(|failure| failure.seed);
    for failure in report.failures.iter_mut().take(SHRUNK_MAX) {
        make_small(sides, failure).await;
    }
    report
}

async fn ask(sides: &Sides, run: Run, seed: u64, report: &mut Report) {
    let question = Question::generate(seed, sides.language, run.broken_percent);
    report.asked += 1;
    let name = match judge(sides, &sides.ours[seed as usize % sides.ours.len()], &question).await {
        Ok((name, histograms)) => {
            report.histograms += u64::from(histograms);
            name
        }
        Err((difference, reference, ours)) => {
            report.failures.push(Failure { seed, question, difference, reference, ours });
            return;
        }
    };
    *report.outcomes.entry(name).or_default() += 1;
}

/// How the answers agree and whether they hold native histograms, or how they differ for no known reason.
async fn judge(
    sides: &Sides,
    ours: &Client,
    question: &Question,
) -> Result<(&'static str, bool), (Difference, Reply, Reply)> {
    let target = question.target();
    let (reference, ours) = futures::join!(sides.reference.get(&target), ours.get(&target));
    let difference = match compare(question, &reference, &ours, sides.language.minor) {
        Ok(same) => return Ok((same.name(), has_histograms(&reference))),
        Err(difference) => difference,
    };
    // Nothing excuses no answer, or a failure of the server.
    if ours.status == 0 || ours.status == 500 {
        return Err((difference, reference, ours));
    }
    if let Some(name) = known::reason(sides.language.minor, question, &difference, &reference, &ours) {
        return Ok((name, false));
    }
    // What Go's maps decide: the reference contradicts itself.
    for _ in 0..REPEATS {
        let again = sides.reference.get(&target).await;
        if compare(question, &again, &ours, sides.language.minor).is_ok()
            || (again.status != 0 && compare(question, &reference, &again, sides.language.minor).is_err())
        {
            return Ok((Same::CHANCE, false));
        }
    }
    Err((difference, reference, ours))
}

fn has_histograms(reply: &Reply) -> bool {
    const KEYS: [&[u8]; 2] = [b"\"histogram\":[", b"\"histograms\":["];
    KEYS.iter().any(|key| reply.body.windows(key.len()).any(|window| window == *key))
}

/// Replaces the question by a smaller one that fails in the same way.
async fn make_small(sides: &Sides, failure: &mut Failure) {
    let ours = &sides.ours[failure.seed as usize % sides.ours.len()];
    let kind = failure.difference.kind;
    let small = shrink(failure.question.clone(), async |question: &Question| {
        matches!(judge(sides, ours, question).await, Err((difference, ..)) if difference.kind == kind)
    })
    .await;
    if let Err((difference, reference, ours)) = judge(sides, ours, &small).await {
        *failure = Failure { question: small, difference, reference, ours, ..*failure };
    }
}
