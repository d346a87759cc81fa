//! In which format a scraper wants its samples, by the header `Accept` (expfmt.Negotiate in prometheus/common).

use std::borrow::Cow;
use std::fmt::Write as _;

use http::HeaderValue;

/// A format and how names are put into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Format {
    pub(super) syntax: Syntax,
    pub(super) escaping: Escaping,
}

/// A way to write samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Syntax {
    /// The text format of Prometheus, 0.0.4.
    Text,
    /// OpenMetrics 1.0.0 as text. Prometheus' own federation does not offer it; a scraper that prefers it gets it here.
    OpenMetrics,
    /// `io.prometheus.client.MetricFamily`, delimited.
    Protobuf,
}

/// What becomes of names that are not of letters, digits, `_` and `:` alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Escaping {
    /// They stay, in quotes.
    AllowUtf8,
    /// Other characters become `_`.
    Underscores,
    /// `_` is `__`, a dot `_dot_`, other characters `__`.
    Dots,
    /// `U__` in front, `_` is `__`, other characters `_HEX_`.
    Values,
}

const ESCAPINGS: [(&str, Escaping); 4] = [
    ("allow-utf-8", Escaping::AllowUtf8),
    ("underscores", Escaping::Underscores),
    ("dots", Escaping::Dots),
    ("values", Escaping::Values),
];

impl Format {
    /// The first known format among those that are accepted, by their weight; else text.
    pub(super) fn negotiate(accept: Option<&HeaderValue>) -> Self {
        let accept = accept.and_then(|value| value.to_str().ok()).unwrap_or("");
        let mut clauses: Vec<Clause<'_>> = accept.split(',').map(Clause::parse).collect();
        clauses.sort_by(|a, b| b.weight.total_cmp(&a.weight));
        let mut escaping = Escaping::Underscores;
        for clause in &clauses {
            let asked = ESCAPINGS.iter().find(|(name, _)| Some(*name) == clause.parameter("escaping"));
            escaping = asked.map_or(escaping, |(_, known)| *known);
            if let Some(syntax) = clause.syntax() {
                return Self { syntax, escaping };
            }
        }
        Self { syntax: Syntax::Text, escaping }
    }

    /// The header `Content-Type`.
    pub(super) fn content_type(self) -> String {
        let kind = match self.syntax {
            Syntax::Text => "text/plain; version=0.0.4; charset=utf-8",
            Syntax::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Syntax::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        };
        let name = ESCAPINGS.iter().find(|(_, escaping)| *escaping == self.escaping).map_or("", |(name, _)| *name);
        format!("{kind}; escaping={name}")
    }
}

/// Whether a name of a metric or label needs neither quotes nor escapes.
pub(super) fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.char_indices().all(|(at, c)| is_plain_at(c, at))
}

fn is_plain_at(c: char, at: usize) -> bool {
    c.is_ascii_alphabetic() || matches!(c, '_' | ':') || c.is_ascii_digit() && at > 0
}

/// One part of `Accept`.
struct Clause<'a> {
    kind: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
    weight: f64,
}

impl<'a> Clause<'a> {
    fn parse(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let parameters: Vec<_> = parts
            .filter_map(|part| part.split_once('='))
            .map(|(name, value)| (name.trim(), value.trim().trim_matches('"')))
            .collect();
        let weight = parameters.iter().find(|(name, _)| *name == "q").and_then(|(_, q)| q.parse().ok()).unwrap_or(1.0);
        Self { kind, parameters, weight }
    }

    fn parameter(&self, name: &str) -> Option<&'a str> {
        self.parameters.iter().find(|(have, _)| *have == name).map(|(_, value)| *value)
    }

    fn syntax(&self) -> Option<Syntax> {
        let version = self.parameter("version").unwrap_or("");
        match self.kind {
            "text/plain" if matches!(version, "" | "0.0.4") => Some(Syntax::Text),
            "application/openmetrics-text" if matches!(version, "" | "0.0.1" | "1.0.0") => Some(Syntax::OpenMetrics),
            "application/vnd.google.protobuf"
                if self.parameter("proto") == Some("io.prometheus.client.MetricFamily")
                    && self.parameter("encoding") == Some("delimited") =>
            {
                Some(Syntax::Protobuf)
            }
            _ => None,
        }
    }
}

impl Escaping {
    /// A name of a metric or label as it is exposed; plain ones stay as they are (EscapeMetricFamily in prometheus/common,
    /// model/metric.go).
    pub(super) fn apply(self, name: &str) -> Cow<'_, str> {
        if name.is_empty() || self == Escaping::AllowUtf8 || is_plain(name) {
            return Cow::Borrowed(name);
        }
        let mut out = String::with_capacity(name.len() + 8);
        if self == Escaping::Values {
            out.push_str("U__");
        }
        for (at, c) in name.char_indices() {
            match self {
                Escaping::Dots | Escaping::Values if c == '_' => out.push_str("__"),
                Escaping::Dots if c == '.' => out.push_str("_dot_"),
                _ if is_plain_at(c, at) => out.push(c),
                Escaping::Underscores | Escaping::AllowUtf8 => out.push('_'),
                Escaping::Dots => out.push_str("__"),
                // Writing to a string does not fail.
                Escaping::Values => _ = write!(out, "_{:x}_", u32::from(c)),
            }
        }
        Cow::Owned(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_known_format_by_weight_wins() {
        let proto = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
        for (accept, content_type) in [
            ("", "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"),
            ("*/*", "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"),
            ("text/plain;version=9, text/html", "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"),
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.5",
                "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
            ),
            (
                "application/openmetrics-text;version=1.0.0;q=0.3,text/plain;version=0.0.4;escaping=values;q=0.5",
                "text/plain; version=0.0.4; charset=utf-8; escaping=values",
            ),
            (
                &format!("{proto};escaping=dots;q=0.7,text/plain;q=0.5"),
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; \
                 escaping=dots",
            ),
        ] {
            let accept = HeaderValue::try_from(accept).unwrap();
            assert_eq!(Format::negotiate(Some(&accept)).content_type(), content_type, "{accept:?}");
        }
    }

    #[test]
    fn names_are_escaped_in_four_ways() {
        for (name, expected) in [
            ("http_total", ["http_total"; 4]),
            ("http.status_é", ["http.status_é", "http_status__", "http_dot_status____", "U__http_2e_status___e9_"]),
            ("1a", ["1a", "_a", "__a", "U___31_a"]),
        ] {
            for ((_, escaping), expected) in ESCAPINGS.iter().zip(expected) {
                assert_eq!(escaping.apply(name), expected, "{escaping:?}");
            }
        }
    }
}
