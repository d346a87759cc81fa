//! Regular expressions as Prometheus understands them: RE2's syntax, its error texts and its meaning, anchored as `^(?s:re)$`.
//!
//! The parser is our own, since the syntax of the `regex` crate differs (classes of `\d` and `\b`, braces, octal escapes, set
//! operations, what is refused). Matching is regex-automata's: the parsed tree becomes a [`Hir`] of the same meaning.
//!
//! Not here: what a matcher does around it, see [`crate::matcher`].
//!
//! Invariant: a compiled expression takes at most `COMPILED_BYTES_MAX` bytes of automaton; one that would need more is
//! refused.

use regex_automata::meta;
use regex_automata::nfa::thompson::WhichCaptures;
use regex_automata::util::captures::Captures as Spans;
use regex_syntax::hir::{Hir, Look};

mod class;
mod node;
mod parse;
mod shape;
#[cfg(test)]
mod tests;

pub(crate) use node::Node;
pub(crate) use parse::{Flags, parse};
pub(crate) use shape::{Glob, prefix, set, strip_anchors};

/// Largest automaton of one expression, in bytes.
pub(crate) const COMPILED_BYTES_MAX: usize = 48 << 20;

/// How much of an expression an error of ours quotes, in bytes.
const QUOTED_BYTES_MAX: usize = 256;

/// An anchored expression with its groups, as `label_replace` needs it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Regex {
    compiled: meta::Regex,
    /// The name of each group, the whole match first.
    names: Box<[Option<Box<str>>]>,
}

impl Regex {
    /// Compiles `^(?s:re)$`. As in Prometheus' `label_replace`, the text is wrapped before it is parsed, so that `a)(b` is
    /// one valid expression. The error is Go's text about the wrapped expression.
    pub fn new(re: &str) -> Result<Self, String> {
        let wrapped = format!("^(?s:{re})$");
        let parsed = parse(&wrapped, Flags::PERL)?;
        let compiled = compile(parsed.node.into_hir(), &wrapped, WhichCaptures::All)?;
        Ok(Self { compiled, names: parsed.names.into() })
    }

    /// Whether the whole of `text` matches.
    pub fn is_match(&self, text: &str) -> bool {
        self.compiled.is_match(text)
    }

    /// The groups of a match of the whole of `text`.
    pub fn captures<'t>(&self, text: &'t str) -> Option<Captures<'_, 't>> {
        let mut spans = self.compiled.create_captures();
        self.compiled.captures(text, &mut spans);
        spans.is_match().then_some(Captures { text, spans, names: &self.names })
    }
}

/// The groups of one match.
#[derive(Debug)]
pub struct Captures<'r, 't> {
    text: &'t str,
    spans: Spans,
    names: &'r [Option<Box<str>>],
}

impl<'t> Captures<'_, 't> {
    /// What group `index` matched; 0 is the whole text.
    pub fn get(&self, index: usize) -> Option<&'t str> {
        self.text.get(self.spans.get_group(index)?.range())
    }

    /// What the first group of this name that took part matched. Several groups may have one name.
    pub fn name(&self, name: &str) -> Option<&'t str> {
        let named = self.names.iter().enumerate().filter(|(_, have)| have.as_deref() == Some(name));
        named.filter_map(|(index, _)| self.get(index)).next()
    }

    /// Appends `template` to `out` with its variables replaced, by the rules of Go's `Regexp.Expand`: `$name` takes the
    /// longest run of letters, digits and underscores, `${name}` what the braces hold, `$$` is a dollar, a variable that
    /// names no group is empty, and a dollar that begins none of these stands for itself.
    pub fn expand(&self, template: &str, out: &mut String) {
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            rest = after;
            if let Some(behind) = rest.strip_prefix('$') {
                out.push('$');
                rest = behind;
            } else if let Some((name, behind)) = variable(rest) {
                rest = behind;
                let value = match group_number(name) {
                    Some(index) => self.get(index),
                    None => self.name(name),
                };
                out.push_str(value.unwrap_or(""));
            } else {
                out.push('$');
            }
        }
        out.push_str(rest);
    }
}

/// Splits the variable's name, without braces, off the text behind a dollar.
fn variable(text: &str) -> Option<(&str, &str)> {
    let (braced, text) = match text.strip_prefix('{') {
        Some(inner) => (true, inner),
        None => (false, text),
    };
    let end = text.find(|c| !is_name_character(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.is_empty() {
        return None;
    }
    if braced { Some((name, rest.strip_prefix('}')?)) } else { Some((name, rest)) }
}

fn is_name_character(c: char) -> bool {
    c == '_' || c.is_ascii_alphanumeric() || (!c.is_ascii() && class::is_letter_or_digit(c))
}

/// The number that a variable's name is, if it is one: no leading zeros, and at most nine digits.
fn group_number(name: &str) -> Option<usize> {
    if !name.bytes().all(|b| b.is_ascii_digit()) || (name.len() > 1 && name.starts_with('0')) || name.len() > 9 {
        return None;
    }
    name.parse().ok()
}

/// Compiles a tree that matches whole texts only. `text` is for the error.
pub(crate) fn compile_whole(node: Node, text: &str) -> Result<meta::Regex, String> {
    let hir = Hir::concat(vec![Hir::look(Look::Start), node.into_hir(), Hir::look(Look::End)]);
    compile(hir, text, WhichCaptures::Implicit)
}

fn compile(hir: Hir, text: &str, captures: WhichCaptures) -> Result<meta::Regex, String> {
    let config = meta::Config::new()
        .auto_prefilter(false)
        .nfa_size_limit(Some(COMPILED_BYTES_MAX))
        .which_captures(captures)
        .utf8_empty(true);
    meta::Builder::new().configure(config).build_from_hir(&hir).map_err(|error| match error.size_limit() {
        Some(_) => format!("error parsing regexp: expression too large: `{}`", quoted(text)),
        None => format!("error parsing regexp: {error}: `{}`", quoted(text)),
    })
}

/// The expression, or its beginning where it is long.
fn quoted(text: &str) -> String {
    if text.len() <= QUOTED_BYTES_MAX {
        return text.to_owned();
    }
    let mut end = QUOTED_BYTES_MAX;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}...", &text[..end])
}
