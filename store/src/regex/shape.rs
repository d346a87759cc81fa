//! What can be told about an expression without running it: the finite set of its texts, its prefix, or that it is a
//! sequence of fixed texts with gaps. The ideas are those of Prometheus' FastRegexMatcher (model/labels/regexp.go).

use regex_syntax::hir::Look;

use super::node::{Node, Repeat};

/// Most texts in a set that is not simply written out as alternatives.
const SET_MAX: usize = 256;

/// Removes assertions that always hold because the whole text is matched: beginnings at the beginning, ends at the end.
pub(crate) fn strip_anchors(node: &mut Node) {
    strip(node, &[Look::Start, Look::StartLF], |subs| subs.first_mut());
    strip(node, &[Look::End, Look::EndLF], |subs| subs.last_mut());
}

fn strip(node: &mut Node, looks: &[Look], side: fn(&mut [Node]) -> Option<&mut Node>) {
    match node {
        Node::Look(look) if looks.contains(look) => *node = Node::Empty,
        Node::Capture(_, sub) => strip(sub, looks, side),
        Node::Concat(subs) => {
            if let Some(sub) = side(subs) {
                strip(sub, looks, side);
            }
        }
        Node::Alternate(subs) => subs.iter_mut().for_each(|sub| strip(sub, looks, side)),
        _ => {}
    }
}

/// All texts that the expression matches, where they are few: sorted and unique.
pub(crate) fn set(node: &Node, pattern_bytes: usize) -> Option<Vec<Box<str>>> {
    // Alternatives that are written out are never more than the pattern has bytes; products of classes could be.
    let count_max = SET_MAX.max(pattern_bytes);
    let mut budget = SetBudget { count_max, bytes: 32 * pattern_bytes + (16 << 10) };
    let mut texts: Vec<Box<str>> =
        extend(vec![String::new()], node, &mut budget)?.into_iter().map(String::into_boxed_str).collect();
    texts.sort_unstable();
    texts.dedup();
    Some(texts)
}

struct SetBudget {
    count_max: usize,
    /// Bytes that may still be written, including those of intermediate texts.
    bytes: usize,
}

impl SetBudget {
    fn spend(&mut self, texts: &[String]) -> Option<()> {
        let bytes: usize = texts.iter().map(|text| text.len() + 8).sum();
        self.bytes = self.bytes.checked_sub(bytes)?;
        (texts.len() <= self.count_max).then_some(())
    }
}

/// Each of `heads` followed by each text of `node`.
fn extend(heads: Vec<String>, node: &Node, budget: &mut SetBudget) -> Option<Vec<String>> {
    let longer = match node {
        Node::Empty => return Some(heads),
        Node::Text(text) => heads
            .into_iter()
            .map(|mut head| {
                head.push_str(text);
                head
            })
            .collect(),
        Node::Class(class) => {
            let count: usize = class.ranges().iter().map(|range| range.len()).sum();
            if count.saturating_mul(heads.len()) > SET_MAX {
                return None;
            }
            let characters = class.ranges().iter().flat_map(|range| range.start()..=range.end());
            characters.flat_map(|c| heads.iter().map(move |head| format!("{head}{c}"))).collect()
        }
        Node::Capture(_, sub) => return extend(heads, sub, budget),
        Node::Concat(subs) => return subs.iter().try_fold(heads, |heads, sub| extend(heads, sub, budget)),
        Node::Alternate(subs) => {
            let mut all = Vec::new();
            for sub in subs {
                all.extend(extend(heads.clone(), sub, budget)?);
                if all.len() > budget.count_max {
                    return None;
                }
            }
            all
        }
        Node::Repeat(repeat) => match repeat.as_ref() {
            Repeat { min: 0, max: Some(1), sub, .. } => {
                let mut all = heads.clone();
                all.extend(extend(heads, sub, budget)?);
                all
            }
            _ => return None,
        },
        Node::Any | Node::Look(_) => return None,
    };
    budget.spend(&longer)?;
    Some(longer)
}

/// The text with which every match begins.
pub(crate) fn prefix(node: &Node) -> String {
    known_beginning(node).0
}

/// The text with which every match begins, and whether it is the whole match.
fn known_beginning(node: &Node) -> (String, bool) {
    match node {
        Node::Empty | Node::Look(_) => (String::new(), true),
        Node::Text(text) => (text.clone(), true),
        Node::Capture(_, sub) => known_beginning(sub),
        Node::Concat(subs) => {
            let mut whole = String::new();
            for sub in subs {
                let (text, exact) = known_beginning(sub);
                whole.push_str(&text);
                if !exact {
                    return (whole, false);
                }
            }
            (whole, true)
        }
        Node::Alternate(subs) => {
            let mut branches = subs.iter().map(known_beginning);
            let Some((mut common, mut exact)) = branches.next() else { return (String::new(), false) };
            for (text, whole) in branches {
                exact &= whole && text == common;
                let shared = common.chars().zip(text.chars()).take_while(|(a, b)| a == b);
                common.truncate(shared.map(|(a, _)| a.len_utf8()).sum());
                if common.is_empty() && !exact {
                    break;
                }
            }
            (common, exact)
        }
        Node::Repeat(repeat) if repeat.min >= 1 => {
            let (text, exact) = known_beginning(&repeat.sub);
            (text, exact && repeat.min == 1 && repeat.max == Some(1))
        }
        Node::Class(_) | Node::Any | Node::Repeat(_) => (String::new(), false),
    }
}

/// Fixed texts with gaps of any characters between them: `foo.*`, `.+`, `.*a.*b`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Glob {
    /// With what the text begins.
    head: Box<str>,
    /// Each gap's least number of characters, and what follows it. The last one ends the text.
    tail: Vec<(usize, Box<str>)>,
}

impl Glob {
    /// The expression as such a sequence, if it is one with at least one gap.
    pub(crate) fn of(node: &Node) -> Option<Self> {
        let mut pieces = vec![(0, String::new())];
        collect(node, &mut pieces)?;
        let mut pieces = pieces.into_iter();
        let (_, head) = pieces.next()?;
        let tail: Vec<(usize, Box<str>)> = pieces.map(|(least, text)| (least, text.into())).collect();
        (!tail.is_empty()).then_some(Self { head: head.into(), tail })
    }

    /// Whether the whole of `text` fits. The leftmost place for each part leaves most room for the next.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let Some(mut rest) = text.strip_prefix(&*self.head) else { return false };
        let Some(((least, last), inner)) = self.tail.split_last() else { return rest.is_empty() };
        for (least, part) in inner {
            match skip(rest, *least).and_then(|room| room.find(&**part).map(|at| &room[at + part.len()..])) {
                Some(behind) => rest = behind,
                None => return false,
            }
        }
        skip(rest, *least).is_some_and(|room| room.ends_with(&**last))
    }
}

/// `text` behind its first `count` characters, if it has as many.
fn skip(text: &str, count: usize) -> Option<&str> {
    if count == 0 {
        return Some(text);
    }
    let (at, last) = text.char_indices().nth(count - 1)?;
    text.get(at + last.len_utf8()..)
}

/// Adds the gaps and texts of `node`.
fn collect(node: &Node, pieces: &mut Vec<(usize, String)>) -> Option<()> {
    match node {
        Node::Empty => {}
        Node::Text(text) => pieces.last_mut()?.1.push_str(text),
        Node::Capture(_, sub) => collect(sub, pieces)?,
        Node::Concat(subs) => subs.iter().try_for_each(|sub| collect(sub, pieces))?,
        Node::Repeat(repeat) => match repeat.as_ref() {
            Repeat { min, max: None, sub: Node::Any, .. } => {
                let least = usize::try_from(*min).ok()?;
                match pieces.as_mut_slice() {
                    [_, .., (before, text)] if text.is_empty() => *before += least,
                    _ => pieces.push((least, String::new())),
                }
            }
            _ => return None,
        },
        _ => return None,
    }
    Some(())
}
