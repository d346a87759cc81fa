//! The parsed tree and its translation.
//!
//! Invariant: no tree is higher than [`HEIGHT_MAX`], so that recursion over it is bounded.

use regex_syntax::hir::{self, Hir, Look};

use super::class::ClassUnicode;

/// Height from which Go refuses an expression (regexp/syntax/parse.go, maxHeight).
pub(super) const HEIGHT_MAX: usize = 1000;

/// A parsed expression.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    /// Matches the empty text.
    Empty,
    /// Exactly this text.
    Text(String),
    /// One character of a class; of an empty class: nothing at all.
    Class(ClassUnicode),
    /// Any character.
    Any,
    /// An assertion about a place.
    Look(Look),
    /// A repetition.
    Repeat(Box<Repeat>),
    /// A group that captures.
    Capture(u32, Box<Node>),
    /// One after the other; at least two.
    Concat(Vec<Node>),
    /// The first that leads to a match; at least two.
    Alternate(Vec<Node>),
}

/// `sub` from `min` to `max` times.
#[derive(Debug, Clone)]
pub(crate) struct Repeat {
    pub(crate) min: u32,
    /// Without: no upper bound.
    pub(crate) max: Option<u32>,
    pub(crate) greedy: bool,
    /// Whether it was written with braces.
    pub(crate) counted: bool,
    pub(crate) sub: Node,
}

impl Node {
    /// The same meaning in the terms of regex-syntax.
    pub(crate) fn into_hir(self) -> Hir {
        match self {
            Node::Empty => Hir::empty(),
            Node::Text(text) => Hir::literal(text.into_bytes()),
            Node::Class(class) => Hir::class(hir::Class::Unicode(class)),
            Node::Any => Hir::dot(hir::Dot::AnyChar),
            Node::Look(look) => Hir::look(look),
            Node::Repeat(repeat) => {
                let Repeat { min, max, greedy, sub, .. } = *repeat;
                Hir::repetition(hir::Repetition { min, max, greedy, sub: Box::new(sub.into_hir()) })
            }
            Node::Capture(index, sub) => {
                Hir::capture(hir::Capture { index, name: None, sub: Box::new(sub.into_hir()) })
            }
            Node::Concat(subs) => Hir::concat(subs.into_iter().map(Node::into_hir).collect()),
            Node::Alternate(subs) => Hir::alternation(subs.into_iter().map(Node::into_hir).collect()),
        }
    }
}

/// A node with what the parser's limits need to know of it.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) node: Node,
    /// Nodes on the longest way down.
    pub(super) height: usize,
    /// The largest product of counted repetitions on a way down.
    pub(super) copies: u64,
}

impl Item {
    /// A node without children.
    pub(super) fn leaf(node: Node) -> Self {
        Self { node, height: 1, copies: 1 }
    }

    /// `items` one after the other.
    pub(super) fn concat(items: Vec<Item>) -> Self {
        Self::of(merge_texts(items), Node::Concat).unwrap_or(Self::leaf(Node::Empty))
    }

    /// One of `items`.
    pub(super) fn alternate(items: Vec<Item>) -> Self {
        let leaf_only = items.iter().all(|item| matches!(item.node, Node::Text(_) | Node::Class(_)));
        let mut whole = Self::of(items, Node::Alternate).unwrap_or(Self::leaf(Node::Empty));
        if leaf_only
            && let Node::Alternate(subs) = &whole.node
            && let Some(class) = one_class(subs)
        {
            whole = Self::leaf(Node::Class(class));
        }
        whole
    }

    fn of(mut items: Vec<Item>, node: fn(Vec<Node>) -> Node) -> Option<Self> {
        if items.len() < 2 {
            return items.pop();
        }
        let height = 1 + items.iter().map(|item| item.height).max().unwrap_or(0);
        let copies = items.iter().map(|item| item.copies).max().unwrap_or(1);
        Some(Self { node: node(items.into_iter().map(|item| item.node).collect()), height, copies })
    }

    /// The group `index` around `self`.
    pub(super) fn capture(self, index: u32) -> Self {
        Self { node: Node::Capture(index, Box::new(self.node)), height: self.height + 1, copies: self.copies }
    }

    /// `self` repeated. Stars, pluses and question marks upon each other become one, as in Go, so that they add no
    /// height.
    pub(super) fn repeat(self, min: u32, max: Option<u32>, greedy: bool, counted: bool) -> Self {
        if let Node::Repeat(inner) = &self.node
            && !counted
            && !inner.counted
            && inner.greedy == greedy
        {
            let same = inner.min == min && inner.max == max;
            let (min, max) = if same { (min, max) } else { (0, None) };
            let Node::Repeat(inner) = self.node else { unreachable!("matched above") };
            return Self { node: Node::Repeat(Box::new(Repeat { min, max, ..*inner })), ..self };
        }
        let times = u64::from(max.unwrap_or(min));
        let copies = match (counted, max) {
            (false, _) => self.copies,
            (true, Some(0)) => 0,
            (true, _) => times.max(1).saturating_mul(self.copies.max(1)),
        };
        let node = Node::Repeat(Box::new(Repeat { min, max, greedy, counted, sub: self.node }));
        Self { node, height: self.height + 1, copies }
    }
}

/// Joins neighbouring texts, which the parser hands over character by character.
fn merge_texts(items: Vec<Item>) -> Vec<Item> {
    let mut merged: Vec<Item> = Vec::with_capacity(items.len().min(16));
    for item in items {
        match (merged.last_mut().map(|last| &mut last.node), &item.node) {
            (Some(Node::Text(text)), Node::Text(more)) => text.push_str(more),
            (_, Node::Empty) => {}
            _ => merged.push(item),
        }
    }
    merged
}

/// The class of an alternation of single characters.
fn one_class(subs: &[Node]) -> Option<ClassUnicode> {
    let mut whole = ClassUnicode::empty();
    for sub in subs {
        match sub {
            Node::Text(text) => {
                let mut characters = text.chars();
                match (characters.next(), characters.next()) {
                    (Some(c), None) => whole.push(hir::ClassUnicodeRange::new(c, c)),
                    _ => return None,
                }
            }
            Node::Class(class) => whole.union(class),
            _ => return None,
        }
    }
    Some(whole)
}
