//! Tokens: what the lexer hands to the parser, and how an error text names one.

use masthead_store::histogram::CounterResetHint;
use masthead_store::labels::quote;

use super::ast::{AggregateOp, BinaryOp, Span};

/// A token and its place. Its text is the query's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) span: Span,
}

/// Kinds of tokens, as in upstream's promql/parser/generated_parser.y.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The end of the text.
    Eof,
    /// A name without colon that is no keyword.
    Identifier,
    /// A name with a colon.
    MetricIdentifier,
    Number,
    Duration,
    /// A string with its quotes.
    String,
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    Comma,
    Colon,
    /// `=`
    Assign,
    /// `=~`
    Matches,
    /// `!~`
    MatchesNot,
    /// `@`
    At,
    /// `!=` and `-` are also other things than a binary operator; the parser knows.
    Operator(BinaryOp),
    Aggregate(AggregateOp),
    Anchored,
    Bool,
    By,
    Fill,
    FillLeft,
    FillRight,
    GroupLeft,
    GroupRight,
    Ignoring,
    Offset,
    On,
    Smoothed,
    Without,
    Start,
    End,
    Step,
    Range,
    MaxOf,
    MinOf,
    /// A run of blanks between values of a series description.
    Space,
    /// `_` in a series description.
    Blank,
    /// `x` in a series description.
    Times,
    /// `{{`
    OpenHistogram,
    /// `}}`
    CloseHistogram,
    HistogramKey(HistogramKey),
    ResetHint(CounterResetHint),
}

/// The keys of a histogram literal, in the order of upstream's token numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HistogramKey {
    Sum,
    Count,
    Schema,
    Offset,
    NegativeOffset,
    Buckets,
    NegativeBuckets,
    ZeroBucket,
    ZeroBucketWidth,
    CustomValues,
    CounterResetHint,
}

impl Token {
    /// How `unexpected …` names the token (Item.desc).
    pub(super) fn describe(self, query: &str) -> String {
        let text = &query[self.span.start as usize..self.span.end as usize];
        match self.kind {
            Kind::Eof => "end of input".to_owned(),
            Kind::Identifier => format!("identifier {}", quote(text)),
            Kind::MetricIdentifier => format!("metric identifier {}", quote(text)),
            Kind::String => format!("string {}", shortened(text)),
            Kind::Number => format!("number {}", shortened(text)),
            Kind::Duration => format!("duration {}", shortened(text)),
            Kind::Operator(_) | Kind::At | Kind::Matches | Kind::MatchesNot => format!("<op:{text}>"),
            Kind::Aggregate(_) => format!("<aggr:{text}>"),
            kind if kind.is_keyword() => format!("<{text}>"),
            // Tokens that have no name upstream are shown by their number in the generated parser.
            Kind::HistogramKey(key) => format!("\"<Item {}>\" {}", FIRST_HISTOGRAM_KEY + key as u32, shortened(text)),
            Kind::ResetHint(hint) => format!("\"<Item {}>\" {}", reset_hint_number(hint), shortened(text)),
            _ => shortened(text),
        }
    }
}

/// SUM_DESC in upstream's generated_parser.y.go.
const FIRST_HISTOGRAM_KEY: u32 = 57370;

/// UNKNOWN_COUNTER_RESET and its kin in upstream's generated_parser.y.go.
fn reset_hint_number(hint: CounterResetHint) -> u32 {
    match hint {
        CounterResetHint::Unknown => 57445,
        CounterResetHint::Reset => 57446,
        CounterResetHint::NotReset => 57447,
        CounterResetHint::Gauge => 57448,
    }
}

/// Quoted, and cut behind ten characters if it has more than ten bytes.
fn shortened(text: &str) -> String {
    if text.len() <= 10 {
        return quote(text);
    }
    let end = text.char_indices().nth(10).map_or(text.len(), |(at, _)| at);
    format!("{}...", quote(&text[..end]))
}

impl Kind {
    fn is_keyword(self) -> bool {
        matches!(
            self,
            Kind::Anchored
                | Kind::Bool
                | Kind::By
                | Kind::Fill
                | Kind::FillLeft
                | Kind::FillRight
                | Kind::GroupLeft
                | Kind::GroupRight
                | Kind::Ignoring
                | Kind::Offset
                | Kind::On
                | Kind::Smoothed
                | Kind::Without
        )
    }

    /// Whether the word can be a metric's name where an expression begins.
    pub(super) fn is_metric_name(self) -> bool {
        matches!(
            self,
            Kind::Identifier
                | Kind::MetricIdentifier
                | Kind::Aggregate(_)
                | Kind::Operator(BinaryOp::And | BinaryOp::Or | BinaryOp::Unless)
                | Kind::Anchored
                | Kind::By
                | Kind::Fill
                | Kind::FillLeft
                | Kind::FillRight
                | Kind::Offset
                | Kind::Smoothed
                | Kind::Without
                | Kind::Start
                | Kind::End
                | Kind::Step
                | Kind::Range
                | Kind::MaxOf
                | Kind::MinOf
        )
    }

    /// Whether the word can be a label's name in a grouping. Upstream's list lacks `without`.
    pub(super) fn is_label_name(self) -> bool {
        self.is_metric_name() && self != Kind::Without
            || matches!(
                self,
                Kind::Bool
                    | Kind::GroupLeft
                    | Kind::GroupRight
                    | Kind::Ignoring
                    | Kind::On
                    | Kind::Operator(BinaryOp::Atan2)
            )
    }

    /// Whether a value of a series description can begin with the token.
    pub(super) fn begins_series_item(self) -> bool {
        matches!(
            self,
            Kind::Blank
                | Kind::OpenHistogram
                | Kind::Identifier
                | Kind::Number
                | Kind::Duration
                | Kind::Operator(BinaryOp::Add | BinaryOp::Sub)
        )
    }

    /// Whether an expression can begin with the token.
    pub(super) fn begins_expression(self) -> bool {
        self.is_metric_name()
            || matches!(
                self,
                Kind::Number
                    | Kind::Duration
                    | Kind::String
                    | Kind::LeftParen
                    | Kind::LeftBrace
                    | Kind::Operator(BinaryOp::Add | BinaryOp::Sub)
            )
    }
}

/// The keyword that `word` is, in any case of letters.
pub(super) fn keyword(word: &str) -> Option<Kind> {
    let mut lower = [0; 12];
    let lower = lower.get_mut(..word.len())?;
    lower.copy_from_slice(word.as_bytes());
    lower.make_ascii_lowercase();
    Some(match &*lower {
        b"and" => Kind::Operator(BinaryOp::And),
        b"or" => Kind::Operator(BinaryOp::Or),
        b"unless" => Kind::Operator(BinaryOp::Unless),
        b"atan2" => Kind::Operator(BinaryOp::Atan2),
        b"sum" => Kind::Aggregate(AggregateOp::Sum),
        b"avg" => Kind::Aggregate(AggregateOp::Avg),
        b"count" => Kind::Aggregate(AggregateOp::Count),
        b"min" => Kind::Aggregate(AggregateOp::Min),
        b"max" => Kind::Aggregate(AggregateOp::Max),
        b"group" => Kind::Aggregate(AggregateOp::Group),
        b"stddev" => Kind::Aggregate(AggregateOp::Stddev),
        b"stdvar" => Kind::Aggregate(AggregateOp::Stdvar),
        b"topk" => Kind::Aggregate(AggregateOp::Topk),
        b"bottomk" => Kind::Aggregate(AggregateOp::Bottomk),
        b"count_values" => Kind::Aggregate(AggregateOp::CountValues),
        b"quantile" => Kind::Aggregate(AggregateOp::Quantile),
        b"limitk" => Kind::Aggregate(AggregateOp::Limitk),
        b"limit_ratio" => Kind::Aggregate(AggregateOp::LimitRatio),
        b"offset" => Kind::Offset,
        b"smoothed" => Kind::Smoothed,
        b"anchored" => Kind::Anchored,
        b"by" => Kind::By,
        b"without" => Kind::Without,
        b"on" => Kind::On,
        b"ignoring" => Kind::Ignoring,
        b"group_left" => Kind::GroupLeft,
        b"group_right" => Kind::GroupRight,
        b"fill" => Kind::Fill,
        b"fill_left" => Kind::FillLeft,
        b"fill_right" => Kind::FillRight,
        b"bool" => Kind::Bool,
        b"start" => Kind::Start,
        b"end" => Kind::End,
        b"step" => Kind::Step,
        b"range" => Kind::Range,
        b"max_of" => Kind::MaxOf,
        b"min_of" => Kind::MinOf,
        b"inf" | b"nan" => Kind::Number,
        _ => return None,
    })
}

/// The key of a histogram literal that `word` is, in any case of letters.
pub(super) fn histogram_key(word: &str) -> Option<HistogramKey> {
    Some(match word.to_ascii_lowercase().as_str() {
        "sum" => HistogramKey::Sum,
        "count" => HistogramKey::Count,
        "schema" => HistogramKey::Schema,
        "offset" => HistogramKey::Offset,
        "n_offset" => HistogramKey::NegativeOffset,
        "buckets" => HistogramKey::Buckets,
        "n_buckets" => HistogramKey::NegativeBuckets,
        "z_bucket" => HistogramKey::ZeroBucket,
        "z_bucket_w" => HistogramKey::ZeroBucketWidth,
        "custom_values" => HistogramKey::CustomValues,
        "counter_reset_hint" => HistogramKey::CounterResetHint,
        _ => return None,
    })
}

/// The counter reset hint that `word` is, in any case of letters.
pub(super) fn reset_hint(word: &str) -> Option<CounterResetHint> {
    Some(match word.to_ascii_lowercase().as_str() {
        "unknown" => CounterResetHint::Unknown,
        "reset" => CounterResetHint::Reset,
        "not_reset" => CounterResetHint::NotReset,
        "gauge" => CounterResetHint::Gauge,
        _ => return None,
    })
}
