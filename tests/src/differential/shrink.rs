//! Makes a failing question small, as text: whatever is left out, it must go on failing in the same way. So the generator
//! needs no tree, and broken expressions shrink like valid ones.

use super::question::{Question, Times};

/// Questions asked for one failure.
const ASKED_MAX: usize = 3_000;

/// Words, blanks and other characters.
pub fn tokens(text: &str) -> Vec<String> {
    let class = |c: char| match c {
        c if c.is_alphanumeric() || c == '_' => 0,
        c if c.is_whitespace() => 1,
        _ => 2,
    };
    let mut tokens: Vec<String> = Vec::new();
    let mut last = 2;
    for c in text.chars() {
        match tokens.last_mut() {
            Some(token) if class(c) == last && last != 2 => token.push(c),
            _ => tokens.push(c.to_string()),
        }
        last = class(c);
    }
    tokens
}

/// The smallest question that is found of those that fail.
pub async fn shrink(question: Question, fails: impl AsyncFn(&Question) -> bool) -> Question {
    let mut best = question;
    let mut asked = 0;
    'smaller: loop {
        for candidate in candidates(&best) {
            asked += 1;
            if asked > ASKED_MAX {
                return best;
            }
            if fails(&candidate).await {
                best = candidate;
                continue 'smaller;
            }
        }
        return best;
    }
}

/// Smaller questions, the smallest first.
fn candidates(question: &Question) -> Vec<Question> {
    let with = |query: String| Question { query, times: question.times };
    let mut smaller: Vec<Question> = texts(&question.query).into_iter().map(with).collect();
    smaller.extend(times(question.times).into_iter().map(|times| Question { times, ..question.clone() }));
    smaller
}

/// One step instead of several, or half of them.
fn times(times: Times) -> Vec<Times> {
    let Times::Range { start, end, step } = times else { return Vec::new() };
    let last = (end - start) / step;
    let mut smaller: Vec<Times> = (0..=last).map(|k| Times::Instant(start + k * step)).collect();
    let middle = start + last / 2 * step;
    if last > 0 {
        smaller.push(Times::Range { start: middle + step, end, step });
        smaller.push(Times::Range { start, end: middle, step });
    }
    smaller
}

/// Texts with something left out: what stands in brackets alone, runs of tokens in which brackets are whole.
fn texts(text: &str) -> Vec<String> {
    let tokens = tokens(text);
    let mut smaller: Vec<String> = Vec::new();
    for (open, close) in pairs(&tokens) {
        let mut from = open + 1;
        let mut depth = 0;
        for at in open + 1..=close {
            match tokens[at].as_str() {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" if at < close => depth -= 1,
                "," | ")" | "]" | "}" if depth == 0 => {
                    let part = tokens[from..at].concat().trim().to_owned();
                    smaller.push(part.clone());
                    // In place of the call, with its name and without.
                    for before in [open.saturating_sub(1), open] {
                        smaller.push(tokens[..before].concat() + &part + &tokens[close + 1..].concat());
                    }
                    from = at + 1;
                }
                _ => {}
            }
        }
    }
    smaller.sort_by_key(String::len);
    for length in (1..tokens.len()).rev() {
        let runs = tokens.windows(length).enumerate().filter(|(_, run)| is_whole(run));
        smaller.extend(runs.map(|(at, _)| tokens[..at].concat() + &tokens[at + length..].concat()));
    }
    smaller.retain(|candidate| candidate.len() < text.len() && !candidate.is_empty());
    smaller.dedup();
    smaller
}

/// Places of brackets that belong together.
fn pairs(tokens: &[String]) -> Vec<(usize, usize)> {
    let (mut open, mut pairs) = (Vec::new(), Vec::new());
    for (at, token) in tokens.iter().enumerate() {
        match token.as_str() {
            "(" | "[" | "{" => open.push(at),
            ")" | "]" | "}" => pairs.extend(open.pop().map(|start| (start, at))),
            _ => {}
        }
    }
    pairs
}

fn is_whole(run: &[String]) -> bool {
    let count = |brackets: [&str; 2]| {
        let mut depth = 0i32;
        let never_below = run.iter().all(|token| {
            depth += i32::from(token == brackets[0]) - i32::from(token == brackets[1]);
            depth >= 0
        });
        never_below && depth == 0
    };
    count(["(", ")"]) && count(["[", "]"]) && count(["{", "}"])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A fault of `rate` over a negated matcher at one time is found in a long question.
    #[tokio::test]
    async fn a_question_shrinks_to_what_fails() {
        let query =
            "sum by (job) (topk(3, abs(rate(c_total{job!=\"api\",code=~\"4..\"}[5m] offset 1m)) + on (x) g)) > 7";
        let times = Times::Range { start: 0, end: 600_000, step: 60_000 };
        let question = Question { query: query.to_owned(), times };
        let small = shrink(question, async |question: &Question| {
            let includes = match question.times {
                Times::Instant(time) => time == 120_000,
                Times::Range { start, end, .. } => (start..=end).contains(&120_000),
            };
            includes && question.query.contains("rate(c_total{job!=") && question.query.contains("[5m]")
        })
        .await;
        assert_eq!(small.times, Times::Instant(120_000));
        assert!(small.query.len() <= "rate(c_total{job!=\"\"}[5m])".len(), "{}", small.query);
    }

    #[test]
    fn tokens_are_words_blanks_and_characters() {
        assert_eq!(tokens("a_1{b=~\"c d\"}"), ["a_1", "{", "b", "=", "~", "\"", "c", " ", "d", "\"", "}"]);
    }
}
