//! Expressions of a seed: every function, aggregation, operator, matcher and modifier that the reference knows.
//!
//! Most are valid and match something in [`super::data`]; [`Grammar::broken`] gives ones that mostly are not.

use masthead_query::promql::functions::{FUNCTIONS, Function, ValueType};
use masthead_store::testing::Random;

use super::chance::Chance as _;
use super::known;

mod aggregations;
mod arguments;
mod broken;
mod operators;
mod selectors;

pub(super) use selectors::asks_for_histograms;

/// What can be asked about.
#[derive(Debug, Clone, Copy)]
pub struct Language {
    /// Minor version of the Prometheus 3 whose language is spoken.
    pub minor: u32,
    /// Whether there are native histograms.
    pub histograms: bool,
}

/// A generator. The same seed and language give the same expressions.
#[derive(Debug)]
pub struct Grammar {
    random: Random,
    language: Language,
    /// Functions that start with a vector, and those that start with a range.
    plain: Vec<&'static Function>,
    ranged: Vec<&'static Function>,
}

/// An expression no deeper than so much.
type Shape = fn(&mut Grammar, usize) -> String;

/// What a vector can be, by weight.
const VECTORS: &[(usize, Shape)] = &[
    (12, Grammar::selected),
    (24, Grammar::ranged_call),
    (16, Grammar::plain_call),
    (18, Grammar::aggregation),
    (12, Grammar::arithmetic),
    (7, Grammar::set_operation),
    (2, Grammar::signed),
    (3, Grammar::of_buckets),
    (1, |grammar, depth| format!("vector({})", grammar.scalar(depth))),
    (1, |grammar, depth| parenthesised(&grammar.vector(depth))),
];

/// What a scalar can be, by weight.
const SCALARS: &[(usize, Shape)] = &[
    (12, |grammar, _| grammar.number()),
    (1, |_, _| "time()".to_owned()),
    (1, |_, _| "pi()".to_owned()),
    (1, |_, _| "scalar(one{instance=\"h1:80\"})".to_owned()),
    (1, |_, _| "scalar(nonexistent)".to_owned()),
    (2, |grammar, depth| format!("scalar({})", grammar.vector(depth))),
    (2, Grammar::scalar_operation),
    (1, |grammar, depth| format!("-({})", grammar.scalar(depth))),
    (1, |grammar, depth| format!("+({})", grammar.scalar(depth))),
];

const NUMBERS: &[&str] = &[
    "0", "1", "2", "-1", "0.5", "3", "100", "NaN", "Inf", "-Inf", "1e3", "0x1F", "1e-3", "2.5", "-0", "5m", "7", "60",
    "1_000", ".5", "1e308", "1h30m",
];

impl Grammar {
    /// A generator for `seed`.
    pub fn new(seed: u64, language: Language) -> Self {
        let starts = |with: ValueType| {
            let known = FUNCTIONS.iter().filter(|function| known::since(function.name) <= language.minor);
            known.filter(|function| function.args.contains(&with) && !arguments::OWN.contains(&function.name)).collect()
        };
        Self {
            random: Random::new(seed),
            language,
            plain: starts(ValueType::Vector),
            ranged: starts(ValueType::Matrix),
        }
    }

    /// An expression of any type.
    pub fn expression(&mut self) -> String {
        let depth = self.random.one_of(&[1, 2, 2, 3, 3, 4]);
        match self.random.below(100) {
            0..90 => self.vector(depth),
            90..95 => self.scalar(3),
            95..98 => self.range(2),
            _ => self.random.one_of(&["\"str\"", "\"a\\nb\"", "'x'", "`raw\\n`"]).to_owned(),
        }
    }

    fn vector(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.selected(0);
        }
        let shape = self.random.weighted(VECTORS);
        shape(self, depth - 1)
    }

    fn scalar(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.number();
        }
        let shape = self.random.weighted(SCALARS);
        shape(self, depth - 1)
    }

    fn number(&mut self) -> String {
        self.random.one_of(NUMBERS).to_owned()
    }

    fn scalar_operation(&mut self, depth: usize) -> String {
        let operator =
            self.random.one_of(&["+", "-", "*", "/", "%", "^", "atan2", "== bool", "> bool", "!= bool", "<= bool"]);
        format!("({} {operator} {})", self.scalar(depth), self.scalar(depth))
    }

    fn signed(&mut self, depth: usize) -> String {
        let sign = self.random.one_of(&["-", "+", "--"]);
        if self.random.one_in(2) {
            return format!("{sign}{}", self.selector());
        }
        format!("{sign}({})", self.vector(depth))
    }

    /// A function over a range.
    fn ranged_call(&mut self, depth: usize) -> String {
        let list = std::mem::take(&mut self.ranged);
        // Half of them are what dashboards ask.
        const USUAL: &[&str] = &["rate", "increase", "delta", "irate", "avg_over_time", "sum_over_time"];
        let usual = self.random.one_in(2).then(|| self.random.one_of(USUAL));
        let function = match usual.and_then(|name| list.iter().find(|function| function.name == name)) {
            Some(function) => *function,
            None => self.random.one_of(&list),
        };
        self.ranged = list;
        self.call(function, depth)
    }

    /// A function over a vector.
    fn plain_call(&mut self, depth: usize) -> String {
        let list = std::mem::take(&mut self.plain);
        let function = self.random.one_of(&list);
        self.plain = list;
        self.call(function, depth)
    }

    /// An expression that is not the reference's language, or hardly.
    pub fn broken(&mut self) -> String {
        let mut text = self.expression();
        for _ in 0..self.random.one_of(&[1, 1, 2]) {
            text = broken::broken(&mut self.random, &text);
        }
        text
    }
}

fn parenthesised(text: &str) -> String {
    format!("({text})")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: Language = Language { minor: 14, histograms: true };
    const OLD: Language = Language { minor: 5, histograms: false };

    /// Nothing of the language is forgotten: each function and aggregation that 3.14 knows, and each modifier, comes up.
    #[test]
    fn every_part_of_the_language_comes_up() {
        let text: String = (0..20_000).map(|seed| Grammar::new(seed, NEW).expression() + "\n").collect();
        let functions = FUNCTIONS.iter().map(|function| format!("{}(", function.name));
        let parts = [
            "sum",
            "avg",
            "min",
            "max",
            "count",
            "group",
            "stddev",
            "stdvar",
            "topk(",
            "bottomk(",
            "quantile",
            "count_values",
            "limitk",
            "limit_ratio",
            " by (",
            " without (",
            " on (",
            " ignoring (",
            "group_left",
            "group_right",
            "bool",
            " and ",
            " or ",
            " unless ",
            " offset ",
            " offset -",
            " @ ",
            "start()",
            "end()",
            "=~",
            "!~",
            "!=",
            "atan2",
            "^",
            "%",
            "[5m:",
            "anchored",
            "smoothed",
            "fill(",
            "fill_left(",
            "</",
            ">/",
        ];
        let missing: Vec<String> =
            functions.chain(parts.map(str::to_owned)).filter(|part| !text.contains(part.as_str())).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    /// What a Prometheus does not know yet is not asked of it.
    #[test]
    fn an_older_language_is_spoken_too() {
        let text: String = (0..5_000).map(|seed| Grammar::new(seed, OLD).expression() + "\n").collect();
        for part in ["first_over_time(", "histogram_quantiles(", "max_of(", "anchored", "fill(", "</"] {
            assert!(!text.contains(part), "{part}");
        }
        let mut words = text.split(|c: char| !c.is_alphanumeric());
        assert!(words.all(|word| !word.starts_with("nh")), "native histograms are asked for");
    }

    /// The parser takes most expressions, and hardly any broken one.
    #[test]
    fn most_expressions_are_valid_and_broken_ones_are_not() {
        use masthead_query::promql::{Features, ParseOptions, parse};
        let features = Features::ALL;
        let options = ParseOptions { features, ..ParseOptions::default() };
        let valid = |text: String| usize::from(parse(&text, &options).is_ok());
        let whole: usize = (0..2_000).map(|seed| valid(Grammar::new(seed, NEW).expression())).sum();
        let broken: usize = (0..2_000).map(|seed| valid(Grammar::new(seed, NEW).broken())).sum();
        assert!(whole > 1_800, "{whole}");
        assert!((100..1_200).contains(&broken), "{broken}");
    }
}
