//! Regular expressions as Prometheus understands them: RE2's syntax, its error texts and its meaning, anchored as
//! `^(?s:re)$`.
//!
//! The parser is our own, since the syntax of the `regex` crate differs (classes of `\d` and `\b`, braces, octal
//! escapes, set operations, what is refused). Matching is regex-automata's: the parsed tree becomes a `Hir` of the same
//! meaning. What would be too large for that, most often for classes of Unicode, is matched character by character in
//! `machine`.
//!
//! Not here: what a matcher does around it, see [`crate::matcher`].
//!
//! Invariant: what a compiled expression takes is bounded by the length of its text, or by that of its counted
//! repetitions written out.

use std::ops::Range;
use std::sync::Arc;

use regex_automata::meta;
use regex_automata::nfa::thompson::WhichCaptures;
use regex_syntax::hir::Look;

mod class;
mod machine;
mod node;
mod parse;
mod shape;
#[cfg(test)]
mod tests;

use machine::{Machine, TooLarge};
pub(crate) use node::Node;
pub(crate) use parse::{Flags, parse};
pub(crate) use shape::{Glob, prefix, set, strip_anchors};

/// Largest automaton over bytes of an expression without a text, each way. One `\pL` is about as large.
const AUTOMATON_BYTES: usize = 64 << 10;
/// By how much it may be larger for each byte of text: twice what a plain character takes.
const AUTOMATON_BYTES_PER_BYTE: usize = 64;

/// How much of an expression an error of ours quotes, in bytes.
const QUOTED_BYTES_MAX: usize = 256;

/// An anchored expression with its groups, as `label_replace` needs it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Regex {
    text: Arc<str>,
    compiled: Arc<Compiled>,
    /// The name of each group, the whole match first.
    names: Arc<[Option<Box<str>>]>,
}

impl Eq for Regex {}

impl PartialEq for Regex {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Regex {
    /// Compiles `^(?s:re)$`. As in Prometheus' `label_replace`, the text is wrapped before it is parsed, so that `a)(b`
    /// is one valid expression. The error is Go's text about the wrapped expression.
    pub fn new(re: &str) -> Result<Self, String> {
        let wrapped = format!("^(?s:{re})$");
        let parsed = parse(&wrapped, Flags::PERL)?;
        let compiled = Compiled::new(&parsed.node, parsed.names.len(), &wrapped)?;
        Ok(Self { text: re.into(), compiled: Arc::new(compiled), names: parsed.names.into() })
    }

    /// The expression as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the whole of `text` matches.
    pub fn is_match(&self, text: &str) -> bool {
        self.compiled.is_match(text)
    }

    /// The groups of a match of the whole of `text`.
    pub fn captures<'t>(&self, text: &'t str) -> Option<Captures<'_, 't>> {
        let spans = self.compiled.captures(text)?;
        Some(Captures { text, spans, names: &self.names })
    }
}

/// The groups of one match.
#[derive(Debug)]
pub struct Captures<'r, 't> {
    text: &'t str,
    /// Where each group took part.
    spans: Vec<Option<Range<usize>>>,
    names: &'r [Option<Box<str>>],
}

impl<'t> Captures<'_, 't> {
    /// What group `index` matched; 0 is the whole text.
    pub fn get(&self, index: usize) -> Option<&'t str> {
        self.text.get(self.spans.get(index)?.clone()?)
    }

    /// What the first group of this name that took part matched. Several groups may have one name.
    pub fn name(&self, name: &str) -> Option<&'t str> {
        let named = self.names.iter().enumerate().filter(|(_, have)| have.as_deref() == Some(name));
        named.filter_map(|(index, _)| self.get(index)).next()
    }

    /// Appends `template` to `out` with its variables replaced, by the rules of Go's `Regexp.Expand`: `$name` takes the
    /// longest run of letters, digits and underscores, `${name}` what the braces hold, `$$` is a dollar, a variable
    /// that names no group is empty, and a dollar that begins none of these stands for itself.
    pub fn expand(&self, template: &str, out: &mut String) {
        self.pieces(template, |piece| out.push_str(piece));
    }

    /// How many bytes [`Captures::expand`] appends: a long text may stand in a template many times.
    pub fn expanded_len(&self, template: &str) -> usize {
        let mut length = 0_usize;
        self.pieces(template, |piece| length = length.saturating_add(piece.len()));
        length
    }

    /// Hands out what a template gives, piece by piece.
    fn pieces(&self, template: &str, mut push: impl FnMut(&str)) {
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('$') {
            push(before);
            rest = after;
            if let Some(behind) = rest.strip_prefix('$') {
                push("$");
                rest = behind;
            } else if let Some((name, behind)) = variable(rest) {
                rest = behind;
                let value = match group_number(name) {
                    Some(index) => self.get(index),
                    None => self.name(name),
                };
                push(value.unwrap_or(""));
            } else {
                push("$");
            }
        }
        push(rest);
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

/// An expression ready to be matched.
#[derive(Debug)]
pub(crate) enum Compiled {
    /// An automaton over bytes.
    Bytes(meta::Regex),
    /// What would be too large for one.
    Characters(Box<Machine>),
}

impl Compiled {
    /// Compiles a tree that matches whole texts only. `text` is for the error.
    pub(crate) fn whole(node: Node, text: &str) -> Result<Self, String> {
        Self::new(&whole(node), 0, text)
    }

    /// With `groups`, the whole match included, or 0 where only whether it matches is asked.
    fn new(node: &Node, groups: usize, text: &str) -> Result<Self, String> {
        let config = meta::Config::new()
            .auto_prefilter(false)
            .nfa_size_limit(Some(AUTOMATON_BYTES + AUTOMATON_BYTES_PER_BYTE * text.len()))
            .which_captures(if groups > 0 { WhichCaptures::All } else { WhichCaptures::Implicit })
            .utf8_empty(true);
        match meta::Builder::new().configure(config).build_from_hir(&node.clone().into_hir()) {
            Ok(automaton) => Ok(Self::Bytes(automaton)),
            Err(error) if error.size_limit().is_none() => {
                Err(format!("error parsing regexp: {error}: `{}`", quoted(text)))
            }
            Err(_) => match Machine::new(node, groups) {
                Ok(machine) => Ok(Self::Characters(Box::new(machine))),
                Err(TooLarge) => Err(format!("error parsing regexp: expression too large: `{}`", quoted(text))),
            },
        }
    }

    /// Whether there is a match.
    pub(crate) fn is_match(&self, text: &str) -> bool {
        match self {
            Self::Bytes(automaton) => automaton.is_match(text),
            Self::Characters(machine) => machine.is_match(text),
        }
    }

    /// The groups of the leftmost match.
    fn captures(&self, text: &str) -> Option<Vec<Option<Range<usize>>>> {
        match self {
            Self::Bytes(automaton) => {
                let mut spans = automaton.create_captures();
                automaton.captures(text, &mut spans);
                spans.is_match().then(|| spans.iter().map(|span| span.map(|span| span.range())).collect())
            }
            Self::Characters(machine) => machine.captures(text),
        }
    }

    /// Bytes it holds, about.
    pub(crate) fn size_bytes(&self) -> usize {
        match self {
            Self::Bytes(automaton) => automaton.memory_usage(),
            Self::Characters(machine) => machine.size_bytes(),
        }
    }
}

/// The tree that matches where `node` matches the whole text.
fn whole(node: Node) -> Node {
    Node::Concat(vec![Node::Look(Look::Start), node, Node::Look(Look::End)])
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
