//! Questions: an expression, and when.

use std::fmt::{self, Display, Formatter};

use masthead_bench::http;
use masthead_store::Millis;
use masthead_store::testing::Random;

use super::chance::Chance as _;
use super::data::{END, START};
use super::grammar::{Grammar, Language};

/// When an expression is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// Once, ms.
    Instant(Millis),
    /// At steps, ms.
    Range {
        /// First time.
        start: Millis,
        /// Last time, if a step falls on it.
        end: Millis,
        /// Distance.
        step: Millis,
    },
}

/// One question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The expression.
    pub query: String,
    /// When.
    pub times: Times,
}

impl Question {
    /// The question of a seed; so many in a hundred are broken.
    pub fn generate(seed: u64, language: Language, broken_percent: usize) -> Self {
        let mut random = Random::new(!seed);
        let mut grammar = Grammar::new(seed, language);
        let query = if random.percent(broken_percent) { grammar.broken() } else { grammar.expression() };
        Self { query, times: times(&mut random) }
    }

    /// Path and parameters, percent-encoded.
    pub fn target(&self) -> String {
        match self.times {
            Times::Instant(time) => http::target("/api/v1/query", &[("query", &self.query), ("time", &seconds(time))]),
            Times::Range { start, end, step } => http::target(
                "/api/v1/query_range",
                &[("query", &self.query), ("start", &seconds(start)), ("end", &seconds(end)), ("step", &seconds(step))],
            ),
        }
    }
}

/// As arguments of the binary `differential`.
impl Display for Question {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "--ask '{}' ", self.query.replace('\'', r"'\''"))?;
        match self.times {
            Times::Instant(time) => write!(f, "--time {}", seconds(time)),
            Times::Range { start, end, step } => {
                write!(f, "--start {} --end {} --step {}", seconds(start), seconds(end), seconds(step))
            }
        }
    }
}

/// ms as seconds.
fn seconds(time: Millis) -> String {
    let sign = if time < 0 { "-" } else { "" };
    format!("{sign}{}.{:03}", time.abs() / 1000, time.abs() % 1000)
}

fn times(random: &mut Random) -> Times {
    if random.percent(45) {
        let any = random.between(0, END - START + 400_000);
        let offset = random.one_of(&[
            600_000, 3_600_000, 7_200_000, 7_200_001, 5_000_500, 9_999_123, 14_399_155, 13_000_000, 1_000, 14_700_000,
            3_630_000, any, any, any,
        ]);
        return Times::Instant(START + offset);
    }
    let step =
        random.one_of(&[15_000, 30_000, 60_000, 60_000, 300_000, 7_000, 13_700, 500, 47_000, 3_600_000, 121_001]);
    let count = if step >= 7_000 { random.one_of(&[0, 1, 5, 10, 20, 40]) } else { random.one_of(&[1, 20]) };
    let any = random.between(0, END - START - 400_000);
    let start = START + random.one_of(&[0, 600_000, 3_600_000, 7_199_999, 5_000_500, 9_999_123, 13_000_000, any, any]);
    // The last step need not fall on the end.
    let end = start + count * step + random.one_of(&[0, 0, step / 2]);
    Times::Range { start, end: end.min(END + 1_600_000).max(start), step }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_of_its_seed_and_can_be_asked_again() {
        let language = Language { minor: 14, histograms: true };
        assert_eq!(Question::generate(7, language, 10), Question::generate(7, language, 10));
        let question = Question { query: "a{b='c'}".to_owned(), times: Times::Instant(-1_500) };
        assert_eq!(question.to_string(), r"--ask 'a{b='\''c'\''}' --time -1.500");
        let times = Times::Range { start: 1_000, end: 2_001, step: 500 };
        let question = Question { query: "up".to_owned(), times };
        assert_eq!(question.to_string(), "--ask 'up' --start 1.000 --end 2.001 --step 0.500");
        assert_eq!(question.target(), "/api/v1/query_range?query=up&start=1.000&end=2.001&step=0.500");
    }
}
