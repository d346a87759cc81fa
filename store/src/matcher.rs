//! Matchers of label values, with RE2 semantics exactly as Prometheus 3 has them.
//!
//! Most expressions in the field are a list of texts or a text with gaps, and never become an automaton.

use std::fmt;
use std::sync::Arc;

use crate::regex::{self, Compiled, Glob};

/// How a [`Matcher`] compares. The numbers are those of `thanos.LabelMatcher.Type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum MatchOp {
    /// `=`
    Equal = 0,
    /// `!=`
    NotEqual = 1,
    /// `=~`
    Regex = 2,
    /// `!~`
    NotRegex = 3,
}

impl MatchOp {
    /// The operator as written in PromQL.
    pub fn as_str(self) -> &'static str {
        match self {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regex => "=~",
            MatchOp::NotRegex => "!~",
        }
    }
}

/// Characters that mean something in an expression (Go's regexp.QuoteMeta).
const META: &[u8] = br"\.+*?()|[]{}^$";

/// One condition on one label. An absent label counts as the empty string. Cheap to clone; equal by name, operator and
/// value.
#[derive(Clone)]
pub struct Matcher {
    name: Arc<str>,
    op: MatchOp,
    value: Arc<str>,
    /// Only for expressions.
    pattern: Option<Arc<Pattern>>,
}

/// A compiled expression.
struct Pattern {
    test: Test,
    /// With what each matching value begins; may be empty.
    prefix: Box<str>,
}

/// How a value is tried, the cheapest way that is exact.
enum Test {
    /// Any of these; sorted and unique.
    Set(Box<[Box<str>]>),
    Glob(Glob),
    Compiled(Compiled),
}

impl Pattern {
    fn new(text: &str) -> Result<Self, String> {
        if let Some(set) = literals(text) {
            return Ok(Self { test: Test::Set(set.into()), prefix: "".into() });
        }
        let mut node = regex::parse(text, regex::Flags::PERL_DOT_NEWLINE)?.node;
        regex::strip_anchors(&mut node);
        let prefix = regex::prefix(&node).into();
        let test = if let Some(set) = regex::set(&node, text.len()) {
            Test::Set(set.into())
        } else if let Some(glob) = Glob::of(&node) {
            Test::Glob(glob)
        } else {
            Test::Compiled(Compiled::whole(node, text)?)
        };
        Ok(Self { test, prefix })
    }

    fn matches(&self, value: &str) -> bool {
        match &self.test {
            Test::Set(set) => set.binary_search_by(|have| (**have).cmp(value)).is_ok(),
            Test::Glob(glob) => glob.matches(value),
            Test::Compiled(compiled) => value.starts_with(&*self.prefix) && compiled.is_match(value),
        }
    }
}

/// The values of an expression that is nothing but texts with bars between them, without parsing it.
fn literals(text: &str) -> Option<Vec<Box<str>>> {
    if text.bytes().any(|byte| byte != b'|' && META.contains(&byte)) {
        return None;
    }
    let mut values: Vec<Box<str>> = text.split('|').map(Into::into).collect();
    values.sort_unstable();
    values.dedup();
    Some(values)
}

impl Matcher {
    /// Compiles a matcher. Fails only for a regular expression that Go's regexp/syntax refuses, with Go's error text:
    /// ``error parsing regexp: missing closing ]: `[a` ``; and for one whose classes are too many (`expression too
    /// large`), where our limit is lower than Go's.
    pub fn new(name: &str, op: MatchOp, value: &str) -> Result<Self, String> {
        let pattern = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => Some(Arc::new(Pattern::new(value)?)),
        };
        Ok(Self { name: name.into(), op, value: value.into(), pattern })
    }

    /// `name="value"`, which cannot fail.
    pub fn equal(name: &str, value: &str) -> Self {
        Self { name: name.into(), op: MatchOp::Equal, value: value.into(), pattern: None }
    }

    /// A matcher by the expression of this one, without compiling it again. `op` must be `=~` or `!~`.
    pub fn with_same_regex(&self, name: &str, op: MatchOp) -> Self {
        debug_assert!(self.pattern.is_some() && matches!(op, MatchOp::Regex | MatchOp::NotRegex), "no expression");
        Self { name: name.into(), op, ..self.clone() }
    }

    /// The matcher that holds where this one does not.
    pub fn inverse(&self) -> Self {
        let op = match self.op {
            MatchOp::Equal => MatchOp::NotEqual,
            MatchOp::NotEqual => MatchOp::Equal,
            MatchOp::Regex => MatchOp::NotRegex,
            MatchOp::NotRegex => MatchOp::Regex,
        };
        Self { op, ..self.clone() }
    }

    /// The label's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it compares.
    pub fn op(&self) -> MatchOp {
        self.op
    }

    /// The value, or the regular expression as written.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Bytes that it holds, about. Matchers of one expression share most of them.
    pub fn size_bytes(&self) -> usize {
        let pattern = self.pattern.as_deref().map_or(0, |pattern| match &pattern.test {
            Test::Set(set) => set.iter().map(|value| value.len() + size_of_val(value)).sum(),
            Test::Glob(_) => self.value.len(),
            Test::Compiled(compiled) => compiled.size_bytes(),
        });
        size_of::<Self>() + self.name.len() + self.value.len() + pattern
    }

    /// Whether `value` (empty: absent) fulfils the condition.
    pub fn matches(&self, value: &str) -> bool {
        let positive = match &self.pattern {
            None => *self.value == *value,
            Some(pattern) => pattern.matches(value),
        };
        positive != matches!(self.op, MatchOp::NotEqual | MatchOp::NotRegex)
    }

    /// Whether an absent label fulfils the condition.
    pub fn matches_empty(&self) -> bool {
        self.matches("")
    }

    /// The finite list of values that a `=~` can match, sorted and unique, where there is one. For `!~` ask the
    /// [`inverse`](Self::inverse).
    pub fn set_matches(&self) -> Option<&[Box<str>]> {
        match (self.op, self.pattern.as_deref()) {
            (MatchOp::Regex, Some(Pattern { test: Test::Set(set), .. })) => Some(set),
            _ => None,
        }
    }

    /// With what each value begins that a `=~` can match, where that is known and not empty.
    pub fn prefix(&self) -> Option<&str> {
        match (self.op, self.pattern.as_deref()) {
            (MatchOp::Regex, Some(pattern)) if !pattern.prefix.is_empty() => Some(&pattern.prefix),
            _ => None,
        }
    }
}

impl Eq for Matcher {}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.op == other.op && self.value == other.value
    }
}

/// `name=~"value"`, as PromQL writes it.
impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if crate::labels::is_legacy_name(&self.name) {
            f.write_str(&self.name)?;
        } else {
            f.write_str(&crate::labels::quote(&self.name))?;
        }
        write!(f, "{}{}", self.op.as_str(), crate::labels::quote(&self.value))
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
