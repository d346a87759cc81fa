//! label_replace() and label_join(): they change labels and leave values alone.

use masthead_store::labels::{LENGTH_MAX, METRIC_NAME};
use masthead_store::regex::Captures;
use masthead_store::{Labels, LabelsBuilder};

use super::batch::Batch;
use super::{Context, Operator, Source, pull};
use crate::error::QueryError;
use crate::plan::node::Relabel as Rule;

/// Bytes of a new label that count as paid for with the row.
const PAID: usize = 128;

/// Changes the labels of each row.
pub(super) struct Relabel {
    input: Source,
    rule: Rule,
}

impl Relabel {
    /// Applies `rule` to the rows of `input`.
    pub(super) fn new(input: Source, rule: Rule) -> Self {
        Self { input, rule }
    }
}

/// Upstream's own representation of labels ends here too, with an error of no kind (model/labels/labels_stringlabels.go,
/// sizeWhenEncoded).
fn too_long(name: &str, length: usize) -> QueryError {
    QueryError::Execution(format!(
        "the value of label {name:?} is {length} bytes long, the limit is {LENGTH_MAX} bytes"
    ))
}

impl Operator for Relabel {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Batch>, QueryError> {
        let mut batch = pull(&mut *self.input, cx)?;
        if let Some(batch) = &mut batch {
            let Batch { labels, drop_name, held, .. } = batch;
            for (labels, drop_name) in labels.iter_mut().zip(drop_name) {
                let Some(change) = Change::of(&self.rule, labels) else { continue };
                let (destination, length) = (change.destination, change.length());
                if length > LENGTH_MAX {
                    return Err(too_long(destination, length));
                }
                held.grow((destination.len() + length).saturating_sub(PAID))?;
                let value = change.value();
                *labels = LabelsBuilder::new(labels).set(destination, &value).build();
                // A name that was given on purpose stays.
                *drop_name &= destination != METRIC_NAME;
            }
        }
        Ok(batch)
    }
}

/// Which label gets which value. A short question can ask for a value of any length, so it is not built before that is
/// known.
struct Change<'r, 'l> {
    destination: &'r str,
    value: Value<'r, 'l>,
}

enum Value<'r, 'l> {
    Expanded { captures: Captures<'r, 'l>, replacement: &'r str },
    Joined { values: Vec<&'l str>, separator: &'r str },
}

impl<'r, 'l> Change<'r, 'l> {
    /// What `rule` does to `labels`; None if nothing.
    fn of(rule: &'r Rule, labels: &'l Labels) -> Option<Self> {
        Some(match rule {
            Rule::Replace { destination, replacement, source, regex } => {
                let captures = regex.captures(labels.value(source))?;
                Self { destination, value: Value::Expanded { captures, replacement } }
            }
            Rule::Join { destination, separator, sources } => {
                let values = sources.iter().map(|source| labels.value(source)).collect();
                Self { destination, value: Value::Joined { values, separator } }
            }
        })
    }

    /// Bytes of the value.
    fn length(&self) -> usize {
        match &self.value {
            Value::Expanded { captures, replacement } => captures.expanded_len(replacement),
            Value::Joined { values, separator } => {
                let separators = values.len().saturating_sub(1).saturating_mul(separator.len());
                values.iter().fold(separators, |sum, value| sum.saturating_add(value.len()))
            }
        }
    }

    fn value(&self) -> String {
        match &self.value {
            Value::Expanded { captures, replacement } => {
                let mut value = String::new();
                captures.expand(replacement, &mut value);
                value
            }
            Value::Joined { values, separator } => values.join(separator),
        }
    }
}
