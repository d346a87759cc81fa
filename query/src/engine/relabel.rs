//! label_replace() and label_join(): they change labels and leave values alone.

use masthead_store::labels::{LENGTH_MAX, METRIC_NAME};
use masthead_store::regex::Regex;
use masthead_store::{Labels, LabelsBuilder};

use super::batch::Batch;
use super::{Context, Operator, Source, pull};
use crate::error::QueryError;
use crate::plan::node;

/// Bytes of a new label that count as paid for with the row.
const PAID: usize = 128;

/// Changes the labels of each row.
pub(super) struct Relabel {
    input: Source,
    rule: Rule,
}

enum Rule {
    Replace { destination: Box<str>, replacement: Box<str>, source: Box<str>, regex: Regex },
    Join { destination: Box<str>, separator: Box<str>, sources: Vec<Box<str>> },
}

impl Relabel {
    /// Applies `rule` to the rows of `input`. Fails if its regular expression does not compile, which the plan ruled out.
    pub(super) fn new(input: Source, rule: &node::Relabel) -> Result<Self, QueryError> {
        let rule = match rule.clone() {
            node::Relabel::Replace { destination, replacement, source, regex } => {
                let regex = Regex::new(&regex).map_err(QueryError::Execution)?;
                Rule::Replace { destination, replacement, source, regex }
            }
            node::Relabel::Join { destination, separator, sources } => Rule::Join { destination, separator, sources },
        };
        Ok(Self { input, rule })
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
            for (labels, drop_name) in batch.labels.iter_mut().zip(&mut batch.drop_name) {
                if let Some((destination, value)) = self.rule.value(labels) {
                    if value.len() > LENGTH_MAX {
                        return Err(too_long(destination, value.len()));
                    }
                    batch.held.grow((destination.len() + value.len()).saturating_sub(PAID))?;
                    *labels = LabelsBuilder::new(labels).set(destination, &value).build();
                    // A name that was given on purpose stays.
                    *drop_name &= destination != METRIC_NAME;
                }
            }
        }
        Ok(batch)
    }
}

impl Rule {
    /// Which label gets which value; None if nothing changes.
    fn value(&self, labels: &Labels) -> Option<(&str, String)> {
        match self {
            Rule::Replace { destination, replacement, source, regex } => {
                let captures = regex.captures(labels.value(source))?;
                let mut value = String::new();
                captures.expand(replacement, &mut value);
                Some((destination, value))
            }
            Rule::Join { destination, separator, sources } => {
                let values: Vec<&str> = sources.iter().map(|source| labels.value(source)).collect();
                Some((destination, values.join(separator)))
            }
        }
    }
}
