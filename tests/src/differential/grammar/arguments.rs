//! Calls of functions.

use masthead_query::promql::functions::{Function, ValueType};

use super::{Grammar, Shape};
use crate::differential::chance::Chance as _;

/// Functions whose arguments are chosen here, by name.
const CHOSEN: &[(&str, Shape)] = &[
    ("double_exponential_smoothing", Grammar::smoothing),
    ("histogram_fraction", Grammar::fraction),
    ("histogram_quantile", Grammar::bucket_quantile),
    ("histogram_quantiles", Grammar::bucket_quantiles),
    ("increase", Grammar::counter_range),
    ("info", Grammar::info),
    ("irate", Grammar::counter_range),
    ("label_join", Grammar::joined_labels),
    ("label_replace", Grammar::replaced_label),
    ("rate", Grammar::counter_range),
    ("sort_by_label", Grammar::by_labels),
    ("sort_by_label_desc", Grammar::by_labels),
];

/// Functions that are not drawn like the others: they have their own place in the grammar.
pub(super) const OWN: &[&str] = &["vector", "scalar", "time", "pi"];

const REPLACEMENTS: &[&str] =
    &["$1", "x$1", "", "const", "${1}y", "$2", "$$", "$0", "$name", "${name}", "$1x", "$1-$2"];
const TARGETS: &[&str] = &["dst", "job", "instance", "__name__", "ä", "le", "code"];
const SOURCES: &[&str] = &["job", "instance", "code", "__name__", "nope", "v", "id"];
const PATTERNS: &[&str] =
    &["(.*)", "(.+)", "a(.*)", "(?P<name>.*):(.*)", "h(.)(.*)", "x", "", "(a|b).*", r"([a-z]+)(\\d*).*", "(.*)(.*)"];
const QUANTILES: &[&str] = &["0.5", "0.9", "0.99", "0", "1", "-1", "2", "NaN", "0.001"];

impl Grammar {
    /// A call of `function`.
    pub(super) fn call(&mut self, function: &'static Function, depth: usize) -> String {
        let chosen = CHOSEN.iter().find(|(name, _)| *name == function.name);
        let arguments = match chosen {
            Some((_, shape)) => shape(self, depth),
            None => {
                // What may be left out sometimes is.
                let optional = usize::from(function.variadic != 0 && self.random.one_in(3));
                let given = &function.args[..function.args.len() - optional];
                given.iter().map(|kind| self.argument(*kind, depth)).collect::<Vec<_>>().join(", ")
            }
        };
        format!("{}({arguments})", function.name)
    }

    fn argument(&mut self, kind: ValueType, depth: usize) -> String {
        match kind {
            ValueType::Scalar => self.scalar(depth),
            ValueType::Vector => self.vector(depth),
            ValueType::Matrix => self.range(depth),
            ValueType::String => "\"s\"".to_owned(),
        }
    }

    fn smoothing(&mut self, depth: usize) -> String {
        let factor = |grammar: &mut Self| match grammar.random.percent(80) {
            true => grammar.random.one_of(&["0.5", "0.1", "0.99"]).to_owned(),
            false => grammar.scalar(depth),
        };
        let (smoothing, trend) = (factor(self), factor(self));
        format!("{}, {smoothing}, {trend}", self.range(depth))
    }

    /// Classic histograms, most of the time.
    fn buckets(&mut self, depth: usize) -> String {
        const BUCKETS: &[&str] = &[
            "lat_bucket",
            "hb_bucket",
            "rate(lat_bucket[5m])",
            "sum by (le) (rate(lat_bucket[5m]))",
            "sum by (le, job) (lat_bucket)",
            "rate(hb_bucket[10m])",
            "increase(hb_bucket[5m])",
        ];
        const ODD: &[&str] = &[
            "noinf", "nonmono", "tiny", "bad", "missing", "dup", "neg", "negonly", "nan", "zero", "infonly",
            "infspell", "hexle", "neginf", "nanle", "vals",
        ];
        const NATIVE: &[&str] = &[
            "nh",
            "rate(nh[5m])",
            "sum(rate(nh[5m]))",
            "sum by (job) (nh)",
            "nhg",
            "nhc",
            "increase(nhc[10m])",
            "nhx",
            "rate(nhx[17m])",
            "nhm",
            "lat_bucket or nh",
        ];
        if self.language.histograms && self.random.one_in(2) {
            return self.random.one_of(NATIVE).to_owned();
        }
        match self.random.below(10) {
            0..6 => self.random.one_of(BUCKETS).to_owned(),
            6..8 => format!("hb_bucket{{k=\"{}\"}}", self.random.one_of(ODD)),
            _ => self.vector(depth),
        }
    }

    fn quantile(&mut self, depth: usize) -> String {
        if self.random.percent(85) { self.random.one_of(QUANTILES).to_owned() } else { self.scalar(depth) }
    }

    fn bucket_quantile(&mut self, depth: usize) -> String {
        format!("{}, {}", self.quantile(depth), self.buckets(depth))
    }

    fn bucket_quantiles(&mut self, depth: usize) -> String {
        let quantiles: Vec<String> = (0..self.random.between(1, 3)).map(|_| self.quantile(depth)).collect();
        // No bounds twice: Prometheus adds up their counts in place, once for each quantile (promql/quantile.go, coalesceBuckets).
        const BUCKETS: &[&str] = &[
            "lat_bucket",
            "rate(lat_bucket[5m])",
            "sum by (le, job) (lat_bucket)",
            "hb_bucket{k=~\"nonmono|tiny|neg|nan|vals|noinf\"}",
            "rate(hb_bucket{k!~\"dup|infspell|hexle\"}[10m])",
        ];
        let native = self.language.histograms && self.random.one_in(2);
        let buckets = self.random.one_of(if native { &["nh", "rate(nhc[5m])", "nhm", "nhx"] } else { BUCKETS });
        format!("{buckets}, \"q\", {}", quantiles.join(", "))
    }

    fn fraction(&mut self, depth: usize) -> String {
        let lower = self.random.one_of(&["0", "-Inf", "0.2", "-3", "0.5"]);
        let upper = self.random.one_of(&["1", "+Inf", "0.7", "2", "-1"]);
        format!("{lower}, {upper}, {}", self.buckets(depth))
    }

    /// A function of classic histograms.
    pub(super) fn of_buckets(&mut self, depth: usize) -> String {
        if self.random.one_in(3) {
            return format!("histogram_fraction({})", self.fraction(depth));
        }
        format!("histogram_quantile({})", self.bucket_quantile(depth))
    }

    fn replaced_label(&mut self, depth: usize) -> String {
        let vector = self.vector(depth);
        let (target, replacement) = (self.random.one_of(TARGETS), self.random.one_of(REPLACEMENTS));
        let (source, pattern) = (self.random.one_of(SOURCES), self.random.one_of(PATTERNS));
        format!("{vector}, \"{target}\", \"{replacement}\", \"{source}\", \"{pattern}\"")
    }

    fn joined_labels(&mut self, depth: usize) -> String {
        let mut text = self.vector(depth);
        text += &format!(", \"{}\", \"{}\"", self.random.one_of(TARGETS), self.random.one_of(&[",", "", "-", "é"]));
        for _ in 0..self.random.one_of(&[0, 1, 2, 2, 3]) {
            text += &format!(", \"{}\"", self.random.one_of(SOURCES));
        }
        text
    }

    fn by_labels(&mut self, depth: usize) -> String {
        let more = self.random.one_of(&["", ", \"instance\"", ", \"code\", \"id\""]);
        format!("{}, \"{}\"{more}", self.vector(depth), self.random.one_of(SOURCES))
    }

    fn info(&mut self, depth: usize) -> String {
        const SELECTORS: &[&str] = &[
            "",
            ", {ver=~\".+\"}",
            ", {__name__=\"build_info\"}",
            ", {__name__=~\".+_info\"}",
            ", {__name__=~\".+_info\",env=~\".*\"}",
            ", {env=\"prod\"}",
            ", {__name__=~\".+_info\",rev=~\"r1\"}",
        ];
        let vector = match self.random.below(3) {
            0 => self.random.one_of(&["c_total", "g", "rate(c_total[5m])", "h"]).to_owned(),
            _ => self.vector(depth),
        };
        vector + self.random.one_of(SELECTORS)
    }
}
