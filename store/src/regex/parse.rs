//! The parser of RE2's syntax: accepts, refuses and words its errors like Go's regexp/syntax (parse.go) with the flags
//! Perl.
//!
//! One pass over the text with a stack of open groups of its own, so that nesting costs no stack of the thread. Work is
//! linear in the length of the text, but for what a class itself holds.

use regex_syntax::hir::Look;

use super::class::{self, ClassUnicode};
use super::node::{HEIGHT_MAX, Item, Node};

mod classes;

/// Largest count of a repetition, and of nested ones multiplied.
const REPEAT_MAX: u64 = 1000;

/// What the classes of one expression may cost: ranges, and code points to fold by the 64. About 1,500 times `\pL`,
/// which is more than fits an automaton. Go's limit (maxRunes) is 32 million runes.
const CLASS_BUDGET: usize = 1 << 20;

/// Which flags are set at a place of the expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flags {
    /// `i`
    fold: bool,
    /// `m`
    multi_line: bool,
    /// `s`
    dot_newline: bool,
    /// `U`
    swap_greed: bool,
}

impl Flags {
    /// Go's `syntax.Perl`.
    pub(crate) const PERL: Self = Self { fold: false, multi_line: false, dot_newline: false, swap_greed: false };
    /// Go's `syntax.Perl | syntax.DotNL`, with which Prometheus parses matchers.
    pub(crate) const PERL_DOT_NEWLINE: Self = Self { dot_newline: true, ..Self::PERL };

    fn slot(&mut self, letter: char) -> Option<&mut bool> {
        match letter {
            'i' => Some(&mut self.fold),
            'm' => Some(&mut self.multi_line),
            's' => Some(&mut self.dot_newline),
            'U' => Some(&mut self.swap_greed),
            _ => None,
        }
    }
}

/// A parsed expression.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) node: Node,
    /// The name of each group, the whole match first.
    pub(crate) names: Vec<Option<Box<str>>>,
}

/// Parses an expression. The error is Go's text, ``error parsing regexp: missing closing ]: `[a` ``.
pub(crate) fn parse(text: &str, flags: Flags) -> Result<Parsed, String> {
    let mut parser = Parser {
        text,
        at: 0,
        flags,
        names: vec![None],
        groups: vec![Group::new(flags, None)],
        last_repeat: None,
        class_budget: CLASS_BUDGET,
        posix_ended: false,
    };
    while let Some(&byte) = text.as_bytes().get(parser.at) {
        let repeat = parser.step(byte)?;
        parser.last_repeat = repeat;
    }
    let group = parser.groups.pop().expect("the outermost group is never closed");
    if !parser.groups.is_empty() {
        return Err(failure("missing closing )", text));
    }
    let item = parser.checked(group.finish())?;
    Ok(Parsed { node: item.node, names: parser.names })
}

fn failure(code: &str, quoted: &str) -> String {
    format!("error parsing regexp: {code}: `{quoted}`")
}

/// An open group: what it will be when it closes, its finished alternatives, and the items of the one that is being
/// read.
struct Group {
    /// The flags outside.
    flags: Flags,
    capture: Option<u32>,
    alternatives: Vec<Item>,
    items: Vec<Item>,
}

impl Group {
    fn new(flags: Flags, capture: Option<u32>) -> Self {
        Self { flags, capture, alternatives: Vec::new(), items: Vec::new() }
    }

    fn next_alternative(&mut self) {
        let items = std::mem::take(&mut self.items);
        self.alternatives.push(Item::concat(items));
    }

    fn finish(mut self) -> Item {
        self.next_alternative();
        let item = Item::alternate(self.alternatives);
        match self.capture {
            Some(index) => item.capture(index),
            None => item,
        }
    }
}

struct Parser<'t> {
    text: &'t str,
    /// Invariant: on a character border.
    at: usize,
    flags: Flags,
    names: Vec<Option<Box<str>>>,
    /// Invariant: not empty while parsing.
    groups: Vec<Group>,
    /// Where the repetition operator just read began.
    last_repeat: Option<usize>,
    /// What classes may still cost, see [`CLASS_BUDGET`].
    class_budget: usize,
    /// Whether no `:]` comes any more, so that it is not looked for again.
    posix_ended: bool,
}

impl<'t> Parser<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    fn next_char(&mut self) -> Option<char> {
        let c = self.rest().chars().next()?;
        self.at += c.len_utf8();
        Some(c)
    }

    /// An error that quotes from `start` to where the parser is.
    fn fail<T>(&self, code: &str, start: usize) -> Result<T, String> {
        Err(failure(code, &self.text[start..self.at]))
    }

    fn group(&mut self) -> &mut Group {
        self.groups.last_mut().expect("the outermost group is never closed")
    }

    fn checked(&self, item: Item) -> Result<Item, String> {
        if item.height > HEIGHT_MAX { Err(failure("expression nests too deeply", self.text)) } else { Ok(item) }
    }

    fn charge(&mut self, cost: usize) -> Result<(), String> {
        match self.class_budget.checked_sub(cost) {
            Some(rest) => self.class_budget = rest,
            None => return Err(failure("expression too large", super::quoted(self.text).as_str())),
        }
        Ok(())
    }

    fn push(&mut self, node: Node) {
        self.group().items.push(Item::leaf(node));
    }

    /// Adds a character in all its cases, if they count. Of the texts at the end only the last may still be repeated,
    /// so those before it are joined.
    fn push_char(&mut self, code: u32) {
        match char::from_u32(code) {
            Some(c) if self.flags.fold => self.push_class(class::one(c, true)),
            Some(c) => self.push_exact(c),
            None => self.push(Node::Class(ClassUnicode::empty())),
        }
    }

    /// Adds a class; one of a single character is that character.
    fn push_class(&mut self, class: ClassUnicode) {
        match class.ranges() {
            [only] if only.len() == 1 => self.push_exact(only.start()),
            _ => self.push(Node::Class(class)),
        }
    }

    fn push_exact(&mut self, c: char) {
        let items = &mut self.group().items;
        if let [.., Item { node: Node::Text(text), .. }, Item { node: Node::Text(last), .. }] = items.as_mut_slice() {
            text.push_str(last);
            last.clear();
            last.push(c);
        } else {
            items.push(Item::leaf(Node::Text(c.into())));
        }
    }

    /// Reads one element of the expression. Returns where it began if it was a repetition operator.
    fn step(&mut self, byte: u8) -> Result<Option<usize>, String> {
        match byte {
            b'(' if self.byte(1) == Some(b'?') => self.perl_group()?,
            b'(' => {
                self.at += 1;
                self.open(None);
            }
            b'|' => {
                self.at += 1;
                self.group().next_alternative();
            }
            b')' => self.close()?,
            b'^' | b'$' | b'.' => {
                self.at += 1;
                let node = match (byte, self.flags) {
                    (b'^', Flags { multi_line: true, .. }) => Node::Look(Look::StartLF),
                    (b'^', _) => Node::Look(Look::Start),
                    (b'$', Flags { multi_line: true, .. }) => Node::Look(Look::EndLF),
                    (b'$', _) => Node::Look(Look::End),
                    (_, Flags { dot_newline: true, .. }) => Node::Any,
                    _ => {
                        let mut class = class::one('\n', false);
                        class.negate();
                        Node::Class(class)
                    }
                };
                self.push(node);
            }
            b'[' => {
                let class = self.class()?;
                self.push_class(class);
            }
            b'*' => return self.repeat(1, 0, None, false),
            b'+' => return self.repeat(1, 1, None, false),
            b'?' => return self.repeat(1, 0, Some(1), false),
            b'{' => return self.braces(),
            b'\\' => self.backslash()?,
            _ => {
                if let Some(c) = self.next_char() {
                    self.push_char(u32::from(c));
                }
            }
        }
        Ok(None)
    }

    fn open(&mut self, name: Option<&str>) {
        let index = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(name.map(Into::into));
        self.groups.push(Group::new(self.flags, Some(index)));
    }

    fn close(&mut self) -> Result<(), String> {
        if self.groups.len() < 2 {
            return Err(failure("unexpected )", self.text));
        }
        self.at += 1;
        let group = self.groups.pop().expect("at least two groups");
        self.flags = group.flags;
        let item = self.checked(group.finish())?;
        self.group().items.push(item);
        Ok(())
    }

    /// Repeats the last item. `length` is that of the operator without a question mark behind it.
    fn repeat(&mut self, length: usize, min: u32, max: Option<u32>, counted: bool) -> Result<Option<usize>, String> {
        let start = self.at;
        self.at += length;
        let mut greedy = !self.flags.swap_greed;
        if self.byte(0) == Some(b'?') {
            self.at += 1;
            greedy = !greedy;
        }
        if let Some(last) = self.last_repeat {
            return self.fail("invalid nested repetition operator", last);
        }
        let Some(item) = self.group().items.pop() else {
            return self.fail("missing argument to repetition operator", start);
        };
        let item = self.checked(item.repeat(min, max, greedy, counted))?;
        if counted && (min >= 2 || max.is_some_and(|max| max >= 2)) && item.copies > REPEAT_MAX {
            return self.fail("invalid repeat count", start);
        }
        self.group().items.push(item);
        Ok(Some(start))
    }

    /// `{2}`, `{2,}` or `{2,5}`; anything else is a literal brace.
    fn braces(&mut self) -> Result<Option<usize>, String> {
        let Some((min, max, length)) = counts(self.rest()) else {
            self.at += 1;
            self.push_char(u32::from('{'));
            return Ok(None);
        };
        let fits = |count: u64| u32::try_from(count).ok().filter(|_| count <= REPEAT_MAX);
        let bounds = match (fits(min), max.map(fits)) {
            (Some(min), None) => Some((min, None)),
            (Some(min), Some(Some(max))) if min <= max => Some((min, Some(max))),
            _ => None,
        };
        match bounds {
            Some((min, max)) => self.repeat(length, min, max, true),
            None => Err(failure("invalid repeat count", &self.rest()[..length])),
        }
    }

    /// `(?i)`, `(?i:`, `(?P<name>`, `(?<name>`.
    fn perl_group(&mut self) -> Result<(), String> {
        let start = self.at;
        let rest = self.rest();
        if (rest.len() > 4 && rest.starts_with("(?P<")) || (rest.len() > 3 && rest.starts_with("(?<")) {
            return self.named_group(if rest.starts_with("(?<") { 3 } else { 4 });
        }
        self.at += 2;
        let mut flags = self.flags;
        let (mut value, mut saw_flag) = (true, false);
        while let Some(c) = self.next_char() {
            match c {
                '-' if value => (value, saw_flag) = (false, false),
                ':' | ')' if value || saw_flag => {
                    if c == ':' {
                        self.groups.push(Group::new(self.flags, None));
                    }
                    self.flags = flags;
                    return Ok(());
                }
                _ => match flags.slot(c) {
                    Some(slot) => (*slot, saw_flag) = (value, true),
                    None => break,
                },
            }
        }
        self.fail("invalid or unsupported Perl syntax", start)
    }

    fn named_group(&mut self, name_at: usize) -> Result<(), String> {
        let rest = self.rest();
        let Some(end) = rest.find('>') else {
            return Err(failure("invalid named capture", rest));
        };
        let name = rest.get(name_at..end).unwrap_or("");
        if name.is_empty() || !name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric()) {
            return Err(failure("invalid named capture", &rest[..=end]));
        }
        self.open(Some(name));
        self.at += end + 1;
        Ok(())
    }

    /// What a backslash outside of a class begins.
    fn backslash(&mut self) -> Result<(), String> {
        let look = match self.byte(1) {
            Some(b'A') => Some(Look::Start),
            Some(b'z') => Some(Look::End),
            Some(b'b') => Some(Look::WordAscii),
            Some(b'B') => Some(Look::WordAsciiNegate),
            _ => None,
        };
        if let Some(look) = look {
            self.at += 2;
            self.push(Node::Look(look));
            return Ok(());
        }
        match self.byte(1) {
            Some(b'C') => {
                self.at += 2;
                self.fail("invalid escape sequence", self.at - 2)
            }
            Some(b'Q') => {
                let quoted = &self.rest()[2..];
                let (literal, length) = match quoted.find("\\E") {
                    Some(end) => (&quoted[..end], end + 4),
                    None => (quoted, quoted.len() + 2),
                };
                literal.chars().for_each(|c| self.push_char(u32::from(c)));
                self.at += length;
                Ok(())
            }
            _ => {
                if let Some(class) = self.named_class()? {
                    self.push_class(class);
                } else {
                    let code = self.escape()?;
                    self.push_char(code);
                }
                Ok(())
            }
        }
    }
}

/// The counts of a repetition in braces at the beginning of `text`, and its length in bytes.
fn counts(text: &str) -> Option<(u64, Option<u64>, usize)> {
    let (min, rest) = count(text.strip_prefix('{')?)?;
    let (max, rest) = match rest.strip_prefix(',') {
        None => (Some(min), rest),
        Some(rest) if rest.starts_with('}') => (None, rest),
        Some(rest) => count(rest).map(|(max, rest)| (Some(max), rest))?,
    };
    let rest = rest.strip_prefix('}')?;
    Some((min, max, text.len() - rest.len()))
}

/// A decimal number without leading zeros; one beyond 64 bits counts as the largest, which is refused anyway.
fn count(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = text.split_at(digits);
    let refused = digits.is_empty() || (digits.len() > 1 && digits.starts_with('0'));
    (!refused).then(|| (digits.parse().unwrap_or(u64::MAX), rest))
}
