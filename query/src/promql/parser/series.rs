//! Series descriptions: labels, then values with their repetitions, histograms among them.

use std::sync::Arc;

use masthead_store::Labels;
use masthead_store::histogram::{CounterResetHint, Histogram, Span as BucketSpan};
use masthead_store::labels::{METRIC_NAME, quote};
use masthead_store::samples::STALE;

use super::super::ast::{BinaryOp, Span};
use super::super::error::Fault;
use super::super::series::{Combine, SequenceValue, sequence};
use super::super::token::{HistogramKey, Kind, Token};
use super::{Parsed, Parser, Stop, fault};

/// Most values that one description may give.
const VALUES_MAX: usize = 1_000_000;

impl Parser<'_> {
    /// A whole series description.
    pub(in super::super) fn parse_series(&mut self) -> Result<(Labels, Vec<SequenceValue>), Fault> {
        let parsed = self.whole_series();
        self.finish(parsed)
    }

    fn whole_series(&mut self) -> Parsed<(Labels, Vec<SequenceValue>)> {
        let labels = self.series_labels()?;
        let place = "series values";
        if !matches!(self.peek()?.kind, Kind::Space | Kind::Eof) {
            return self.naming(Err(Stop::Unexpected), place, "");
        }
        let mut values = Vec::new();
        // Between the values nobody has words for what is unexpected.
        while self.accept(Kind::Space)? {
            if !self.peek()?.kind.begins_series_item() {
                break;
            }
            let item = self.series_item(&mut values);
            self.naming(item, place, "")?;
            if values.len() > VALUES_MAX {
                return Err(too_many_values(self.last.span));
            }
        }
        self.expect(Kind::Eof)?;
        Ok((labels, values))
    }

    fn series_labels(&mut self) -> Parsed<Labels> {
        let mut pairs = Vec::new();
        let name = if self.peek()?.kind.is_metric_name() { Some(self.next()?) } else { None };
        if self.accept(Kind::LeftBrace)? {
            self.label_set(&mut pairs)?;
        }
        if let Some(name) = name {
            pairs.push((METRIC_NAME.to_owned(), self.text(name).to_owned()));
        }
        Ok(Labels::from_pairs(pairs))
    }

    /// Labels behind a brace up to the closing one.
    fn label_set(&mut self, pairs: &mut Vec<(String, String)>) -> Parsed<()> {
        while !self.accept(Kind::RightBrace)? {
            let item = self.label_set_item()?;
            pairs.push(item);
            if !self.accept(Kind::Comma)? {
                let close = self.expect(Kind::RightBrace);
                self.naming(close, "label set", "\",\" or \"}\"")?;
                return Ok(());
            }
        }
        Ok(())
    }

    fn label_set_item(&mut self) -> Parsed<(String, String)> {
        let place = "label set";
        let label = self.peek()?;
        let name = match label.kind {
            Kind::Identifier => self.text(label).to_owned(),
            Kind::String => self.string(label),
            _ => return self.naming(Err(Stop::Unexpected), place, "identifier or \"}\""),
        };
        self.next()?;
        if self.peek()?.kind != Kind::Assign {
            if label.kind == Kind::String {
                return Ok((METRIC_NAME.to_owned(), name));
            }
            return self.naming(Err(Stop::Unexpected), place, "\"=\"");
        }
        self.next()?;
        let value = self.expect(Kind::String);
        let value = self.naming(value, place, "string")?;
        Ok((name, self.string(value)))
    }

    fn series_item(&mut self, values: &mut Vec<SequenceValue>) -> Parsed<()> {
        match self.peek()?.kind {
            Kind::Blank => {
                self.next()?;
                let count = if self.accept(Kind::Times)? { self.repetitions()? } else { 1 };
                values.extend(std::iter::repeat_n(SequenceValue::Omitted, count));
                Ok(())
            }
            Kind::OpenHistogram => self.histogram_item(values),
            _ => self.float_item(values),
        }
    }

    /// `1`, `1x3` or `1+2x3`. A repetition of n gives one value more than n.
    fn float_item(&mut self, values: &mut Vec<SequenceValue>) -> Parsed<()> {
        let mut value = self.series_value()?;
        let change = match self.peek()?.kind {
            Kind::Times => None,
            Kind::Operator(BinaryOp::Add | BinaryOp::Sub) => Some(self.signed_number()?),
            _ => {
                values.push(SequenceValue::Float(value));
                return Ok(());
            }
        };
        self.expect(Kind::Times)?;
        for _ in 0..=self.repetitions()? {
            values.push(SequenceValue::Float(value));
            // A stale marker stays one only if nothing is added to it.
            value = change.map_or(value, |change| value + change);
        }
        Ok(())
    }

    fn series_value(&mut self) -> Parsed<f64> {
        let token = self.peek()?;
        if token.kind != Kind::Identifier {
            return self.signed_number();
        }
        if self.text(token) != "stale" {
            return self.naming(Err(Stop::Unexpected), "series values", "number or \"stale\"");
        }
        self.next()?;
        Ok(STALE)
    }

    /// The whole number behind `x`.
    fn repetitions(&mut self) -> Parsed<usize> {
        let token = self.peek()?;
        let count = usize::try_from(self.unsigned()?).unwrap_or(usize::MAX);
        if count > VALUES_MAX {
            return Err(too_many_values(token.span));
        }
        Ok(count)
    }

    fn unsigned(&mut self) -> Parsed<u64> {
        let token = self.expect(Kind::Number)?;
        let text = self.text(token);
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().map_err(|_| {
            let reason = if digits { "value out of range" } else { "invalid syntax" };
            let error = format!("strconv.ParseUint: parsing {}: {reason}", quote(text));
            fault(token.span, format!("invalid repetition in series values: {error}"))
        })
    }

    fn histogram_item(&mut self, values: &mut Vec<SequenceValue>) -> Parsed<()> {
        let (base, mut hinted) = self.histogram()?;
        let combine: Combine = match self.peek()?.kind {
            Kind::Operator(BinaryOp::Add) => Histogram::add,
            Kind::Operator(BinaryOp::Sub) => Histogram::sub,
            Kind::Times => {
                self.next()?;
                let count = self.repetitions()? + 1;
                values.extend(std::iter::repeat_n(described(base, hinted), count));
                return Ok(());
            }
            _ => {
                values.push(described(base, hinted));
                return Ok(());
            }
        };
        self.next()?;
        let change;
        // The hint of the second one decides for all, as upstream.
        (change, hinted) = self.histogram()?;
        self.expect(Kind::Times)?;
        let count = self.repetitions()?;
        let span = self.last.span;
        let sequence = sequence(base, &change, combine, count).map_err(|message| fault(span, message))?;
        values.extend(sequence.into_iter().map(|histogram| described(histogram, hinted)));
        Ok(())
    }

    /// A histogram in double braces, and whether its counter reset hint is written.
    fn histogram(&mut self) -> Parsed<(Histogram, bool)> {
        self.expect(Kind::OpenHistogram)?;
        let mut literal = Literal::default();
        if self.accept(Kind::CloseHistogram)? {
            return Ok(literal.build());
        }
        if self.accept(Kind::Space)? {
            self.expect(Kind::CloseHistogram)?;
            return Ok(literal.build());
        }
        self.histogram_entry(&mut literal)?;
        let rest = self.histogram_rest(&mut literal);
        self.naming(rest, "histogram description", "histogram description key, e.g. buckets:[5 10 7]")?;
        Ok(literal.build())
    }

    /// The entries behind the first one, and the closing braces.
    fn histogram_rest(&mut self, literal: &mut Literal) -> Parsed<()> {
        while self.accept(Kind::Space)? {
            if self.peek()?.kind == Kind::CloseHistogram {
                break;
            }
            self.histogram_entry(literal)?;
        }
        self.expect(Kind::CloseHistogram)?;
        Ok(())
    }

    fn histogram_entry(&mut self, literal: &mut Literal) -> Parsed<()> {
        let token = self.peek()?;
        let Kind::HistogramKey(key) = token.kind else { return Err(Stop::Unexpected) };
        self.next()?;
        self.expect(Kind::Colon)?;
        match key {
            HistogramKey::Schema => literal.histogram.schema = self.integer()?,
            HistogramKey::Offset => literal.offset = self.integer()?,
            HistogramKey::NegativeOffset => literal.negative_offset = self.integer()?,
            HistogramKey::Sum => literal.histogram.sum = self.signed_number()?,
            HistogramKey::Count => literal.histogram.count = self.signed_number()?,
            HistogramKey::ZeroBucket => literal.histogram.zero_count = self.signed_number()?,
            HistogramKey::ZeroBucketWidth => literal.histogram.zero_threshold = self.number()?.value,
            HistogramKey::CustomValues => literal.histogram.custom_bounds = self.bucket_list()?.into(),
            HistogramKey::Buckets => literal.histogram.positive_buckets = self.bucket_list()?,
            HistogramKey::NegativeBuckets => literal.histogram.negative_buckets = self.bucket_list()?,
            HistogramKey::CounterResetHint => literal.histogram.counter_reset_hint = self.reset_hint()?,
        }
        self.note_key(literal, key, token)
    }

    /// Upstream reports a key's second entry without a position, which is the start of the text.
    fn note_key(&self, literal: &mut Literal, key: HistogramKey, token: Token) -> Parsed<()> {
        if literal.keys.contains(&key) {
            let name = self.text(token).to_ascii_lowercase();
            return Err(fault(Span::default(), format!("duplicate key \"{name}\" in histogram")));
        }
        literal.keys.push(key);
        Ok(())
    }

    fn reset_hint(&mut self) -> Parsed<CounterResetHint> {
        let Kind::ResetHint(hint) = self.peek()?.kind else { return Err(Stop::Unexpected) };
        self.next()?;
        Ok(hint)
    }

    fn integer(&mut self) -> Parsed<i32> {
        let negative = self.accept(Kind::Operator(BinaryOp::Sub))?;
        // Go cuts to 32 bits.
        let value = self.unsigned()? as i32;
        Ok(if negative { value.wrapping_neg() } else { value })
    }

    fn bucket_list(&mut self) -> Parsed<Vec<f64>> {
        self.expect(Kind::LeftBracket)?;
        let mut values = vec![self.signed_number()?];
        while self.accept(Kind::Space)? {
            if self.peek()?.kind == Kind::RightBracket {
                break;
            }
            values.push(self.signed_number()?);
        }
        self.expect(Kind::RightBracket)?;
        Ok(values)
    }
}

fn too_many_values(span: Span) -> Stop {
    fault(span, format!("the series has more values than the limit of {VALUES_MAX}"))
}

fn described(histogram: Histogram, hinted: bool) -> SequenceValue {
    if hinted { SequenceValue::HintedHistogram(histogram) } else { SequenceValue::Histogram(histogram) }
}

/// A histogram being read.
#[derive(Default)]
struct Literal {
    histogram: Histogram,
    offset: i32,
    negative_offset: i32,
    keys: Vec<HistogramKey>,
}

impl Literal {
    /// The histogram: its buckets in one span on each side.
    fn build(mut self) -> (Histogram, bool) {
        let span = |offset: i32, counts: &[f64]| match counts.len() {
            0 => Arc::default(),
            length => [BucketSpan { offset, length: length as u32 }].into(),
        };
        let histogram = &mut self.histogram;
        histogram.positive_spans = span(self.offset, &histogram.positive_buckets);
        histogram.negative_spans = span(self.negative_offset, &histogram.negative_buckets);
        (self.histogram, self.keys.contains(&HistogramKey::CounterResetHint))
    }
}
