//! Texts with a fault in them.

use masthead_store::testing::Random;

use crate::differential::chance::Chance as _;

const PIECES: &[&str] = &[
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    "\"",
    "'",
    "@",
    " offset ",
    " by ",
    "=",
    "!",
    "~",
    "1",
    "5m",
    "x",
    " and ",
    " or ",
    "bool ",
    "-",
    ":",
    "\\",
    "$",
    "#",
    "é",
    "\n",
    ".",
    "[5m]",
    " @ 5",
    " on(a) ",
    "``",
    "1e",
    " group_left ",
    "0x",
];

const WORDS: &[&str] = &[
    "rate",
    "sum",
    "by",
    "on",
    "5m",
    "[",
    "(",
    "{",
    "==",
    "bool",
    "job",
    "\"a\"",
    "1",
    "offset",
    "@",
    "start()",
    "without",
    "group_left",
    "and",
    "topk",
    "quantile_over_time",
    "foo",
    "-",
    "NaN",
    ")",
    "]",
    "}",
    ",",
    " ",
    "=~",
    "count_values",
    "label_replace",
    "end",
    "start",
    "inf",
    "9999999999999999999d",
    "[1m-2m]",
    "1e400",
];

/// `text` with a piece less, more, moved or exchanged.
pub(super) fn broken(random: &mut Random, text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    if letters.is_empty() {
        return random.one_of(WORDS).to_owned();
    }
    let (a, b) = (random.below(letters.len()), random.below(letters.len()));
    let (low, high) = (a.min(b), a.max(b));
    let text = |parts: &[&[char]]| parts.iter().copied().flatten().collect::<String>();
    match random.below(100) {
        0..30 => text(&[&letters[..a], &letters[a + 1..]]),
        30..50 => {
            let piece: Vec<char> = random.one_of(PIECES).chars().collect();
            text(&[&letters[..a], &piece, &letters[a..]])
        }
        50..60 => text(&[&letters[..low], &letters[high..]]),
        60..70 => text(&[&letters[..a]]),
        70..80 => {
            let mut letters = letters.clone();
            letters.swap(a, b);
            text(&[&letters])
        }
        80..95 => {
            let mut tokens = super::super::shrink::tokens(&text(&[&letters]));
            let at = random.below(tokens.len());
            tokens[at] = random.one_of(WORDS).to_owned();
            tokens.concat()
        }
        _ => (0..random.between(1, 8)).map(|_| random.one_of(WORDS)).collect::<Vec<_>>().join(" "),
    }
}
