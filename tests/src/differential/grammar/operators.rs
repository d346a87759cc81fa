//! Binary operators and how their sides match.

use super::{Grammar, parenthesised};
use crate::differential::chance::Chance as _;

const OPERATORS: &[&str] = &[
    "+", "-", "*", "/", "%", "^", "atan2", "==", "!=", ">", "<", ">=", "<=", "== bool", "> bool", "< bool", "!= bool",
];

/// Sides that match, or nearly: left, right, how.
const PAIRS: &[(&str, &str, &str)] = &[
    ("g", "h", "on(job,instance)"),
    ("g", "h", "ignoring(extra)"),
    ("h", "g", "ignoring(extra)"),
    ("c_total", "g", "on(job,instance) group_left"),
    ("g", "c_total", "on(job,instance) group_right"),
    ("one", "two", "on(instance)"),
    ("one", "two", "ignoring(zone)"),
    ("two", "one", "ignoring(zone) group_left()"),
    ("c_total", "h", "on(job,instance) group_left(extra)"),
    ("g", "c_total{code=\"200\"}", "ignoring(code)"),
    ("nang", "nang", ""),
    ("lat_sum", "lat_count", ""),
    ("rate(lat_sum[5m])", "rate(lat_count[5m])", ""),
    ("many", "many", ""),
    ("c_total", "target_info", "on(job,instance) group_left(ver,env)"),
    ("c_total", "target_info", "on(job,instance) group_left(code)"),
    ("ext", "ext offset 1m", ""),
    ("sum by(job)(c_total)", "count by(job)(c_total)", ""),
    ("c_total", "sum without(code)(c_total)", "ignoring(code) group_left"),
    ("one", "h", "on(instance) group_right(zone)"),
];

/// Sides of native histograms.
const HISTOGRAMS: &[(&str, &str, &str)] = &[
    ("nh", "nh", ""),
    ("nh", "nh offset 3m", ""),
    ("nhc", "nhc offset 10m", ""),
    ("nhx", "nhx offset 1h", ""),
    ("nhm", "nhm", ""),
    ("nh", "g", "on(job,instance)"),
    ("g", "nh", "on(job,instance)"),
    ("nh", "nhg", ""),
    ("nhc", "nhg", ""),
    ("nhc", "nh", "on(instance)"),
    ("nhx{k=\"schema\"}", "nhx{k=\"bounds\"}", "on()"),
    ("rate(nh[5m])", "rate(nh[10m])", ""),
];

impl Grammar {
    /// An operator between vectors, or a vector and a scalar.
    pub(super) fn arithmetic(&mut self, depth: usize) -> String {
        let mut operator = self.random.one_of(OPERATORS);
        // Trimming of histograms came with 3.11.
        let rare = if self.language.histograms { 8 } else { 30 };
        if self.language.minor >= 11 && self.random.one_in(rare) {
            operator = self.random.one_of(&["</", ">/"]);
        }
        match self.random.below(100) {
            0..30 => format!("{} {operator} {}", parenthesised(&self.vector(depth)), self.scalar(depth)),
            30..45 => format!("{} {operator} {}", self.scalar(depth), parenthesised(&self.vector(depth))),
            45..75 => {
                let histograms = self.language.histograms && self.random.percent(40);
                let (left, right, how) = self.random.one_of(if histograms { HISTOGRAMS } else { PAIRS });
                let (left, right) = (self.varied(left), self.varied(right));
                let fill = self.fill();
                format!("{left} {operator} {how}{fill} {right}")
            }
            _ => {
                let (left, right) = (parenthesised(&self.vector(depth)), parenthesised(&self.vector(depth)));
                let (how, fill) = (self.matching(), self.fill());
                format!("{left} {operator}{how}{fill} {right}")
            }
        }
    }

    /// `and`, `or`, `unless`.
    pub(super) fn set_operation(&mut self, depth: usize) -> String {
        let operator = self.random.one_of(&["and", "or", "or", "unless"]);
        let how = match self.random.below(4) {
            0 | 1 => String::new(),
            2 => format!(" on ({})", self.labels()),
            _ => format!(" ignoring ({})", self.labels()),
        };
        let (left, right) = (parenthesised(&self.vector(depth)), parenthesised(&self.vector(depth)));
        format!("{left} {operator}{how} {right}")
    }

    fn matching(&mut self) -> String {
        if self.random.percent(30) {
            return String::new();
        }
        let mut text = format!(" {} ({})", self.random.one_of(&["on", "on", "ignoring"]), self.labels());
        if self.random.percent(35) {
            text += self.random.one_of(&[" group_left", " group_right"]);
            text += &match self.random.below(3) {
                0 => String::new(),
                1 => " ()".to_owned(),
                _ => format!(" ({})", self.labels()),
            };
        }
        text
    }

    fn fill(&mut self) -> &'static str {
        // They came with 3.10 and gave too few samples until 3.13.
        if self.language.minor < 13 || !self.random.percent(8) {
            return "";
        }
        self.random.one_of(&[" fill(0)", " fill_left(1)", " fill_right(-2)", " fill_left(3) fill_right(NaN)"])
    }

    /// One side of a pair, sometimes as something more than a selector.
    fn varied(&mut self, side: &str) -> String {
        const FUNCTIONS: &[&str] = &["rate", "delta", "avg_over_time", "max_over_time", "last_over_time"];
        if side.contains(['(', ' ']) || self.random.one_in(2) {
            return side.to_owned();
        }
        if self.random.one_in(2) {
            return format!("{}({side}[5m])", self.random.one_of(FUNCTIONS));
        }
        format!("({side} {})", self.random.one_of(&["+ 1", "* 2", "> 2", "!= 3", "< 10"]))
    }
}
