//! Selectors: names, matchers, ranges, subqueries, `offset` and `@`.

use super::{Grammar, parenthesised};
use crate::answers::mentions;
use crate::differential::chance::Chance as _;

/// Metrics by weight, with the labels that they have.
const METRICS: &[(usize, (&str, &[&str]))] = &[
    (10, ("c_total", &["job", "instance", "code"])),
    (8, ("g", &["job", "instance"])),
    (6, ("h", &["job", "instance", "extra"])),
    (4, ("one", &["instance"])),
    (4, ("two", &["instance", "zone"])),
    (5, ("ext", &["i"])),
    (5, ("nang", &["i", "grp"])),
    (4, ("many", &["id", "grp", "par"])),
    (3, ("irr_total", &["k"])),
    (4, ("sparse", &["k"])),
    (3, ("lat_bucket", &["job", "instance", "le"])),
    (2, ("lat_count", &["job", "instance"])),
    (1, ("lat_sum", &["job", "instance"])),
    (3, ("hb_bucket", &["k", "le"])),
    (2, ("target_info", &["job", "instance", "ver", "env"])),
    (1, ("build_info", &["job", "instance", "rev"])),
    (3, ("odd", &["n", "v"])),
    (2, ("label_order", &["A", "Z", "a", "__a"])),
    (1, ("job:c:rate5m", &["job", "AA"])),
    (1, ("bits", &["i"])),
];

/// Metrics of native histograms by weight, with the labels that they have.
const HISTOGRAMS: &[(usize, (&str, &[&str]))] = &[
    (4, ("nh", &["job", "instance"])),
    (2, ("nhg", &["job", "instance"])),
    (3, ("nhc", &["job", "instance"])),
    (2, ("nhx", &["k"])),
    (2, ("nhm", &["k"])),
];

/// Whether an expression may select native histograms.
pub(in crate::differential) fn asks_for_histograms(query: &str) -> bool {
    let named = HISTOGRAMS.iter().any(|(_, (name, _))| mentions(query, &[name]));
    named || query.contains("__name__")
}

/// Values that a label is compared with.
const VALUES: &[(&str, &[&str])] = &[
    ("job", &["api", "web", "db", "nope", ""]),
    ("instance", &["h1:80", "h2:80", "h3:80", "h4:80", ""]),
    ("code", &["200", "404", "500", ""]),
    ("i", &["0", "1", "2", "3", "nan", "inf", "const", "nanbits"]),
    ("k", &["7m", "5m", "once", "noinf", "nonmono", "dup", "bad", "a", ""]),
    ("le", &["0.1", "1", "+Inf", "2.5", "1.0", ""]),
    ("grp", &["g0", "g1", "a", "b", ""]),
    ("par", &["odd", "even", ""]),
    ("id", &["000", "007", "039"]),
    ("zone", &["z1", "z3", ""]),
    ("v", &["", "a", r"a\nb", r#"a\"b"#, "ä", "FOO", "K", r"fo\no"]),
    ("n", &["01", "02", "30"]),
    ("extra", &["xapi", ""]),
    ("ver", &["1", "2", ""]),
    ("env", &["prod", ""]),
    ("A", &["0", "1"]),
    ("Z", &["1", "2"]),
];

/// Regular expressions, as they stand between quotes.
const EXPRESSIONS: &[&str] = &[
    ".*",
    ".+",
    "",
    "a.*",
    ".*b",
    "api|web",
    "api|web|",
    "(api|db)",
    "h[12]:80",
    "h.:80",
    "(?i)foo",
    "(?i)k",
    "[^a]*",
    ".*o.*",
    r"\\d+",
    "0.*",
    "a|b|c",
    ".",
    "..",
    "(a)(b)?",
    "h1:80|h2:80|",
    "foo.*bar",
    "x+",
    "^api$",
    "(?i:API)",
    r".*\\..*",
    r"a\nb",
    "[a-z]+",
    r"\\w+",
    "4..|5..",
    "([a-c]pi|we[ab])",
    ".*a.*b.*",
    "(?s).+",
    "(?i)(foo|bar)",
    "00[1-5]",
    "[[:alpha:]]+",
    r"\\x61pi",
    "1|2|3|nan",
    r"\\pL+",
    "0*7",
    "(?U)a.*",
    r"\\Qa.b\\E",
    "a{1,3}.?",
];

/// Selectors that are not a metric with some of its labels.
const SPECIAL: &[&str] = &[
    "{\"http.req\"}",
    "{\"http.req\",\"k8s.pod\"=\"p1\"}",
    "{\"日本 count_total\"}",
    "{\"U__weird\"}",
    "{__name__=\"g\"}",
    "{__name__=~\"one|two\"}",
    "{__name__=~\"lat_(count|sum)\"}",
    "nonexistent",
    "nonexistent{a=\"b\",c!=\"d\",e=~\"f\"}",
    "{__name__=~\".*_info\",job=\"api\"}",
    "{\"http.req\",ä=\"1\"}",
    "{\"c_total\",job!=\"db\"}",
    "{job=\"api\",__name__!~\"lat.*\"}",
];

const DURATIONS: &[&str] = &[
    "1m",
    "2m",
    "5m",
    "5m",
    "5m",
    "10m",
    "30s",
    "1s",
    "90s",
    "17m",
    "1h",
    "29m59s999ms",
    "300",
    "7m3s",
    "1ms",
    "45s",
    "0.5",
    "1h5m",
    "3h",
];

const OFFSETS: &[&str] = &["1m", "5m", "7m13s", "1ms", "30s", "0s", "1h", "90"];

const TIMES: &[&str] = &[
    "start()",
    "end()",
    "1700010000",
    "1700012345.678",
    "1700006400",
    "1700013600",
    "0",
    "-5",
    "1700020800.5",
    "1.7000137e9",
];

impl Grammar {
    /// A metric by its weight.
    fn metric(&mut self) -> (&'static str, &'static [&'static str]) {
        if self.language.histograms && self.random.percent(40) {
            return self.random.weighted(HISTOGRAMS);
        }
        self.random.weighted(METRICS)
    }

    /// A vector selector without modifiers.
    pub(super) fn selector(&mut self) -> String {
        if self.random.percent(3) {
            return self.random.one_of(SPECIAL).to_owned();
        }
        let metric = self.metric();
        self.selector_of(metric)
    }

    fn selector_of(&mut self, (name, labels): (&str, &[&'static str])) -> String {
        if self.random.percent(60) {
            return name.to_owned();
        }
        let count = self.random.one_of(&[1, 1, 1, 2, 2, 3]);
        let matchers: Vec<String> = (0..count).map(|_| self.matcher(labels)).collect();
        let end = self.random.one_of(&["", "", "", ","]);
        format!("{name}{{{}{end}}}", matchers.join(","))
    }

    fn matcher(&mut self, labels: &[&'static str]) -> String {
        let label = if self.random.percent(90) { self.random.one_of(labels) } else { self.random.one_of(VALUES).0 };
        let operator = self.random.one_of(&["=", "!=", "=~", "!~"]);
        let value = if operator.ends_with('~') {
            self.random.one_of(EXPRESSIONS)
        } else {
            let values = VALUES.iter().find(|(name, _)| *name == label).map_or(&["", "api"][..], |(_, values)| values);
            self.random.one_of(values)
        };
        let quoted = if self.random.percent(80) || value.contains(['\'', '"']) {
            format!("\"{value}\"")
        } else {
            format!("'{value}'")
        };
        if self.random.percent(5) {
            format!("\"{label}\"{operator}{quoted}")
        } else {
            format!("{label}{operator}{quoted}")
        }
    }

    /// A selector, sometimes with modifiers.
    pub(super) fn selected(&mut self, _: usize) -> String {
        let selector = self.selector();
        let extension = self.extension(4);
        let modifiers = self.modifiers();
        selector + extension + &modifiers
    }

    /// A range: of a selector, or a subquery.
    pub(super) fn range(&mut self, depth: usize) -> String {
        let metric = self.metric();
        self.range_of(metric, depth)
    }

    /// A range that looks like a counter's, most of the time.
    pub(super) fn counter_range(&mut self, depth: usize) -> String {
        const COUNTERS: &[&str] = &["c_total", "c_total", "irr_total", "lat_bucket", "lat_count"];
        if self.language.histograms && self.random.percent(40) {
            return self.range(depth);
        }
        let name = self.random.one_of(COUNTERS);
        let counter = METRICS.iter().find(|(_, metric)| metric.0 == name);
        match counter.filter(|_| self.random.percent(80)) {
            Some((_, metric)) => self.range_of(*metric, depth),
            None => self.range(depth),
        }
    }

    fn range_of(&mut self, metric: (&str, &[&'static str]), depth: usize) -> String {
        let modifiers = self.modifiers();
        if depth > 0 && self.random.percent(25) {
            let range = self.random.one_of(&["5m", "10m", "17m", "1h", "2m"]);
            let step = self.random.one_of(&["", "1m", "30s", "47s", "2m", "7s", "5m"]);
            return format!("{}[{range}:{step}]{modifiers}", parenthesised(&self.vector(depth - 1)));
        }
        let selector = self.selector_of(metric);
        let range = self.duration();
        let extension = self.extension(4);
        format!("{selector}[{range}]{extension}{modifiers}")
    }

    /// The length of a range, sometimes computed.
    fn duration(&mut self) -> String {
        if !self.random.percent(5) {
            return self.random.one_of(DURATIONS).to_owned();
        }
        let plain = self.random.one_of(&["5m+1m", "2*90s", "1h/4", "(10m)", "2^8", "10m%7m", "-5m+10m"]);
        let own = self.random.one_of(&["step()+1m", "range()+5m", "max_of(1m,step())", "min_of(10m,2*step()+1s)"]);
        if self.language.minor >= 13 && self.random.one_in(2) { own.to_owned() } else { plain.to_owned() }
    }

    /// `anchored` or `smoothed`, once in `rare` hundredths.
    fn extension(&mut self, percent: usize) -> &'static str {
        // promql-extended-range-selectors came with 3.7 and changed until 3.13.
        if self.language.minor < 13 || !self.random.percent(percent) {
            return "";
        }
        self.random.one_of(&[" anchored", " smoothed"])
    }

    /// `offset` and `@`, in any order.
    fn modifiers(&mut self) -> String {
        if self.random.percent(75) {
            return String::new();
        }
        let mut modifiers = Vec::new();
        if self.random.percent(60) {
            let sign = self.random.one_of(&["", "", "-"]);
            modifiers.push(format!(" offset {sign}{}", self.random.one_of(OFFSETS)));
        }
        if modifiers.is_empty() || self.random.percent(40) {
            modifiers.push(format!(" @ {}", self.random.one_of(TIMES)));
        }
        if self.random.one_in(2) {
            modifiers.reverse();
        }
        modifiers.concat()
    }
}
