//! Answers of `LabelNames` and `LabelValues`, which have one form, read by hand: each string is paid for as it is read.

use super::messages::incomplete;
use super::wire::{Fields, Malformed};
use crate::{LabelStrings, StoreError};

/// Puts the strings of `message` into `out`. A warning says that they are not all.
///
/// Errors: `Corrupt` for bytes that are no such message, and the refusal of the budget.
pub(super) fn parse(message: &[u8], out: &mut LabelStrings) -> Result<(), StoreError> {
    let corrupt = |malformed: Malformed| StoreError::corrupt(format!("read labels: {}", malformed.0));
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next().map_err(corrupt)? {
        match number {
            1 => match value.text().map_err(corrupt)? {
                "" => {}
                text => out.insert(text)?,
            },
            2 if out.lacking.is_none() => {
                out.lacking = Some(incomplete("read labels", &value.sentence().map_err(corrupt)?));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use masthead_proto::thanos as proto;
    use prost::Message as _;

    use super::*;
    use crate::{Budget, StoreErrorKind};

    #[test]
    fn strings_come_sorted_once_and_paid_for() {
        let names = ["b", "a", "", "ü", "b"].map(String::from).to_vec();
        let message = proto::LabelNamesResponse { names, hints: vec![1, 2].into(), ..Default::default() };
        let budget = Budget::unlimited();
        let mut out = LabelStrings::new(&budget);
        parse(&message.encode_to_vec(), &mut out).unwrap();
        assert_eq!(out.iter().collect::<Vec<_>>(), ["a", "b", "ü"]);
        assert!(out.lacking.is_none() && out.size_bytes() > 0 && out.size_bytes() == budget.used());
    }

    #[test]
    fn warnings_bad_bytes_and_our_own_limit() {
        let warnings = ["gone", "too"].map(String::from).to_vec();
        let message = proto::LabelValuesResponse { values: vec!["x".repeat(100)], warnings, ..Default::default() };
        let message = message.encode_to_vec();
        let mut out = LabelStrings::new(&Budget::unlimited());
        parse(&message, &mut out).unwrap();
        let lacking = out.lacking.as_ref().unwrap();
        assert_eq!(lacking.to_string(), "read labels: the peer's answer is incomplete: gone");
        assert_eq!((lacking.kind, out.len()), (StoreErrorKind::Unavailable, 1));
        let refused = parse(&message, &mut LabelStrings::new(&Budget::new("query", 50))).unwrap_err();
        assert_eq!(refused.limit().unwrap().budget, "query");
        let warnings = vec!["é".repeat(1 << 20)];
        let message = proto::LabelValuesResponse { warnings, ..Default::default() }.encode_to_vec();
        let mut out = LabelStrings::new(&Budget::unlimited());
        parse(&message, &mut out).unwrap();
        assert!(out.lacking.unwrap().to_string().len() < 4 << 10, "what a peer says is cut");
        for bad in [&message[..message.len() - 1], &[0x0a, 1, 0xe9], &[0x08, 1]] {
            let error = parse(bad, &mut LabelStrings::new(&Budget::unlimited())).unwrap_err();
            assert_eq!(error.kind, StoreErrorKind::Corrupt, "{bad:x?}");
        }
    }
}
