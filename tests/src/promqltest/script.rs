//! The text of a `.test` script as commands. Facts: promql/promqltest/test.go.
//!
//! Series descriptions and expressions stay text here, so that one that does not parse fails its own case and not the file.

use masthead_query::duration;
use masthead_store::Millis;
use masthead_store::regex::Regex;

/// A parsed script.
#[derive(Debug)]
pub struct Script {
    /// What to do, in order.
    pub commands: Vec<Command>,
}

/// One command.
#[derive(Debug)]
pub enum Command {
    /// Forget all series.
    Clear,
    /// Add series.
    Load(Load),
    /// Ask and compare.
    Eval(Box<Eval>),
}

/// Series to add.
#[derive(Debug)]
pub struct Load {
    /// Distance of the samples, ms; the first one is at 0.
    pub step: Millis,
    /// Classic histograms are to be added as native ones too (`load_with_nhcb`).
    pub with_custom_buckets: bool,
    /// The series.
    pub series: Vec<LoadLine>,
}

/// One series to add.
#[derive(Debug)]
pub struct LoadLine {
    /// Line in the file, from 1.
    pub line: usize,
    /// Labels and values.
    pub text: String,
    /// Start timestamps, ms relative to each sample, where a `@st` line came before.
    pub starts: Option<Vec<Option<Millis>>>,
}

/// A question and what must come of it.
#[derive(Debug)]
pub struct Eval {
    /// Line in the file, from 1.
    pub line: usize,
    /// The expression.
    pub query: String,
    /// The times.
    pub when: When,
    /// The order of an instant vector counts.
    pub ordered: bool,
    /// The evaluation must fail, with such a text.
    pub fail: Option<Pattern>,
    /// Warnings and infos.
    pub notes: Notes,
    /// The value.
    pub value: Expected,
    /// For a query that gives a range vector: where the values lie.
    pub range_vector: Option<Range>,
}

/// What is expected of warnings and infos.
#[derive(Debug, Default)]
pub struct Notes {
    /// Each must match a warning, and each warning one of them.
    pub warn: Vec<Pattern>,
    /// Each must match an info, and each info one of them.
    pub info: Vec<Pattern>,
    /// There must be no warning.
    pub no_warn: bool,
    /// There must be no info.
    pub no_info: bool,
}

/// Times of a question.
#[derive(Debug, Clone, Copy)]
pub enum When {
    /// At one time, ms.
    Instant(Millis),
    /// Over a range.
    Range(Range),
}

/// A range of times, ms, both ends inclusive.
#[derive(Debug, Clone, Copy)]
pub struct Range {
    /// First.
    pub start: Millis,
    /// Last at most.
    pub end: Millis,
    /// Distance.
    pub step: Millis,
}

/// The expected value.
#[derive(Debug)]
pub enum Expected {
    /// Series descriptions with their lines, in order.
    Series(Vec<(usize, String)>),
    /// A scalar.
    Scalar(f64),
    /// A string, as a literal.
    String(String),
}

/// A text to match.
#[derive(Debug)]
pub enum Pattern {
    /// Exactly this.
    Text(String),
    /// Anything that contains a match.
    Contains(Regex),
    /// Anything.
    Any,
}

impl Pattern {
    /// Whether it matches.
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Pattern::Text(expected) => expected == text,
            Pattern::Contains(regex) => regex.is_match(text),
            Pattern::Any => true,
        }
    }

    fn regex(text: &str) -> Result<Self, String> {
        // The expression may begin and end with anchors, which hold within what is searched.
        Ok(Pattern::Contains(Regex::new(&format!("(?:|.*?)(?-s:{})(?:|.*)", text.trim()))?))
    }
}

/// The command lines.
struct Forms {
    load: Regex,
    instant: Regex,
    range: Regex,
    expect: Regex,
    range_vector: Regex,
}

impl Forms {
    fn new() -> Result<Self, String> {
        let range = r"from\s+(.+)\s+to\s+(.+)\s+step\s+";
        Ok(Self {
            load: Regex::new(r"load(?:_(with_nhcb))?\s+(.+?)")?,
            instant: Regex::new(r"eval(?:_(fail|warn|ordered|info))?\s+instant\s+(?:at\s+(.+?))?\s+(.+)")?,
            range: Regex::new(&format!(r"eval(?:_(fail|warn|info))?\s+range\s+{range}(.+?)\s+(.+)"))?,
            expect: Regex::new(r"expect\s+(ordered|fail|warn|no_warn|info|no_info)(?:\s+(regex|msg):(.+))?")?,
            range_vector: Regex::new(&format!(r"expect range vector\s+{range}(.+)"))?,
        })
    }
}

/// Lines that are still to be read.
struct Lines<'a> {
    lines: Vec<&'a str>,
    /// Index of the next one.
    next: usize,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        let clean = |line: &'a str| if line.trim().starts_with('#') { "" } else { line.trim() };
        Self { lines: text.split('\n').map(clean).collect(), next: 0 }
    }

    /// The next line of the block that is being read, and its number; None where the block ends.
    fn in_block(&mut self) -> Option<(usize, &'a str)> {
        let line = self.lines.get(self.next).filter(|line| !line.is_empty())?;
        self.next += 1;
        Some((self.next, line))
    }
}

/// Reads a script. An error names the line.
pub fn parse(text: &str) -> Result<Script, String> {
    let forms = Forms::new()?;
    let mut lines = Lines::new(text);
    let mut commands = Vec::new();
    while lines.next < lines.lines.len() {
        let Some((number, line)) = lines.in_block() else {
            lines.next += 1;
            continue;
        };
        let word = line.split([' ', '\t']).next().unwrap_or("").to_ascii_lowercase();
        let command = if word == "clear" {
            Ok(Command::Clear)
        } else if word.starts_with("load") {
            load(&forms, line, &mut lines).map(Command::Load)
        } else if word.starts_with("eval") {
            eval(&forms, number, line, &mut lines).map(|eval| Command::Eval(Box::new(eval)))
        } else {
            Err(format!("invalid command {line:?}"))
        };
        commands.push(command.map_err(|error| format!("line {number}: {error}"))?);
    }
    Ok(Script { commands })
}

fn load(forms: &Forms, line: &str, lines: &mut Lines<'_>) -> Result<Load, String> {
    let parts = forms.load.captures(line).ok_or("invalid load command")?;
    let step = millis(parts.get(2).unwrap_or(""))?;
    let mut load = Load { step, with_custom_buckets: parts.get(1).is_some(), series: Vec::new() };
    let mut starts: Option<(&str, Vec<Option<Millis>>)> = None;
    while let Some((number, text)) = lines.in_block() {
        let first = text.split([' ', '\t']).next().unwrap_or("");
        if let Some(metric) = first.strip_suffix("@st").filter(|_| first.len() < text.len()) {
            if starts.is_some() {
                return Err("a @st line without a sample line".to_owned());
            }
            starts = Some((metric, start_offsets(&text[first.len()..])?));
            continue;
        }
        let starts = match starts.take() {
            Some((metric, _)) if !text.starts_with(metric) => {
                return Err(format!("the @st line of {metric} does not fit the line below"));
            }
            starts => starts.map(|(_, offsets)| offsets),
        };
        load.series.push(LoadLine { line: number, text: text.to_owned(), starts });
    }
    if starts.is_some() { Err("a @st line without a sample line".to_owned()) } else { Ok(load) }
}

/// `_`, `_xN`, `<dur>`, `<dur>xN`, `<dur>±<dur>xN`.
fn start_offsets(text: &str) -> Result<Vec<Option<Millis>>, String> {
    let mut offsets = Vec::new();
    for item in text.split_ascii_whitespace() {
        let bad = || format!("invalid start timestamp item {item:?}");
        let (head, times) = match item.split_once('x') {
            Some((head, times)) => (head, Some(times.parse::<usize>().map_err(|_| bad())?)),
            None => (item, None),
        };
        if head == "_" {
            offsets.extend(std::iter::repeat_n(None, times.unwrap_or(1)));
            continue;
        }
        // The sign of the step is the first one behind the first character.
        let (base, step) = match head.char_indices().skip(1).find(|(_, c)| matches!(c, '+' | '-')) {
            Some((at, _)) => (signed(&head[..at])?, signed(&head[at..])?),
            None => (signed(head)?, 0),
        };
        let count = times.map_or(1, |times| times + 1);
        offsets.extend((0..count).map(|i| Some(base + step * i as Millis)));
    }
    Ok(offsets)
}

fn signed(text: &str) -> Result<Millis, String> {
    match text.strip_prefix('-') {
        Some(text) => Ok(-millis(text)?),
        None => millis(text.strip_prefix('+').unwrap_or(text)),
    }
}

fn millis(text: &str) -> Result<Millis, String> {
    Millis::try_from(duration::parse_ms(text)?).map_err(|_| format!("duration out of range: {text}"))
}

fn eval(forms: &Forms, number: usize, line: &str, lines: &mut Lines<'_>) -> Result<Eval, String> {
    let (form, query, when) = if let Some(parts) = forms.instant.captures(line) {
        (parts.get(1), parts.get(3), When::Instant(millis(parts.get(2).unwrap_or(""))?))
    } else if let Some(parts) = forms.range.captures(line) {
        (parts.get(1), parts.get(5), When::Range(range(&parts)?))
    } else {
        return Err("invalid evaluation command".to_owned());
    };
    let mut eval = Eval {
        line: number,
        query: query.unwrap_or("").to_owned(),
        when,
        ordered: form == Some("ordered"),
        fail: (form == Some("fail")).then_some(Pattern::Any),
        notes: Notes::default(),
        value: Expected::Series(Vec::new()),
        range_vector: None,
    };
    match form {
        Some("warn") => eval.notes.warn.push(Pattern::Any),
        Some("info") => eval.notes.info.push(Pattern::Any),
        _ => {}
    }
    while let Some((number, text)) = lines.in_block() {
        if eval.fail.is_some() && text.starts_with("expected_fail_") {
            eval.fail = Some(legacy_failure(text)?);
            break;
        } else if text.starts_with("expect range vector") {
            let parts = forms.range_vector.captures(text).ok_or("invalid range vector definition")?;
            let range = range(&parts)?;
            eval.range_vector = Some(range);
            eval.when = When::Instant(range.end);
        } else if let Some(literal) = text.strip_prefix("expect string") {
            eval.value = Expected::String(literal.trim().to_owned());
        } else if text.split(' ').next() == Some("expect") {
            expect(forms, text, &mut eval)?;
        } else if let Some(value) = scalar(text) {
            eval.value = Expected::Scalar(value);
            break;
        } else if let Expected::Series(series) = &mut eval.value {
            series.push((number, text.to_owned()));
        } else {
            return Err(format!("unexpected line {text:?}"));
        }
    }
    Ok(eval)
}

fn range(parts: &masthead_store::regex::Captures<'_, '_>) -> Result<Range, String> {
    // The range form has its modifier first, the range vector form has not.
    let first = usize::from(parts.get(5).is_some()) + 1;
    let part = |index: usize| millis(parts.get(first + index).unwrap_or(""));
    let range = Range { start: part(0)?, end: part(1)?, step: part(2)? };
    if range.end < range.start { Err("the end is before the start".to_owned()) } else { Ok(range) }
}

fn legacy_failure(text: &str) -> Result<Pattern, String> {
    if let Some(message) = text.strip_prefix("expected_fail_message") {
        return Ok(Pattern::Text(message.trim().to_owned()));
    }
    match text.strip_prefix("expected_fail_regexp") {
        Some(regex) => Pattern::regex(regex),
        None => Err(format!("unexpected line {text:?}")),
    }
}

fn expect(forms: &Forms, text: &str, eval: &mut Eval) -> Result<(), String> {
    let parts = forms.expect.captures(text).ok_or("invalid expect statement")?;
    let pattern = match (parts.get(2), parts.get(3)) {
        (Some("msg"), Some(message)) => Pattern::Text(message.trim().to_owned()),
        (Some(_), Some(regex)) => Pattern::regex(regex)?,
        _ => Pattern::Any,
    };
    match parts.get(1) {
        Some("ordered") => eval.ordered = true,
        Some("fail") if matches!(eval.fail, Some(Pattern::Text(_) | Pattern::Contains(_))) => {
            return Err("several expect fail lines".to_owned());
        }
        Some("fail") => eval.fail = Some(pattern),
        Some("warn") => eval.notes.warn.push(pattern),
        Some("info") => eval.notes.info.push(pattern),
        Some("no_warn") => eval.notes.no_warn = true,
        _ => eval.notes.no_info = true,
    }
    let notes = &eval.notes;
    if (notes.no_warn && !notes.warn.is_empty()) || (notes.no_info && !notes.info.is_empty()) {
        return Err("a note is both expected and forbidden".to_owned());
    }
    Ok(())
}

/// A number as Go's ParseInt with base 0 or ParseFloat reads it.
fn scalar(text: &str) -> Option<f64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1.0, digits),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    let radix = |prefix: &str, radix: u32| {
        let digits = digits.strip_prefix(prefix)?;
        i64::from_str_radix(digits, radix).ok().map(|number| sign * number as f64)
    };
    radix("0x", 16)
        .or_else(|| radix("0b", 2))
        .or_else(|| radix("0o", 8))
        .or_else(|| radix("0", 8))
        .or_else(|| text.parse().ok())
}
