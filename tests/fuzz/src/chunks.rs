//! Chunks of every encoding.

use bytes::Bytes;
use masthead_store::{Chunk, Encoding, Millis, Samples, chunk};

/// The first byte is the encoding, the rest the chunk. It decodes to columns that fit each other, or to an error that leaves
/// nothing behind; the part of a time range is what the whole has of it.
pub fn run(data: &[u8]) {
    let Some((first, data)) = data.split_first() else { return };
    let Some(encoding) = Encoding::from_block(1 + first % 6) else { return };
    let data = Bytes::copy_from_slice(data);
    let of = |min_time, max_time| Chunk { min_time, max_time, encoding, data: data.clone() };
    let _ = chunk::is_plausible(encoding, &data);
    let mut samples = Samples::default();
    if chunk::decode(&of(Millis::MIN, Millis::MAX), &mut samples).is_err() {
        assert_eq!(samples, Samples::default(), "an error leaves samples behind");
        return;
    }
    fits(&samples);
    let times: Vec<Millis> =
        samples.timestamps.iter().copied().chain(samples.histograms.iter().map(|sample| sample.timestamp)).collect();
    let (Some(first), Some(last)) = (times.iter().min(), times.iter().max()) else { return };
    let (from, to) = (first.wrapping_add(1), last.wrapping_sub(1));
    let mut part = Samples::default();
    if chunk::decode_range(&of(*first, *last), from, to, &mut part).is_err() {
        return;
    }
    fits(&part);
    if times.is_sorted_by(|a, b| a < b) {
        let inside = |time: &Millis| (from..=to).contains(time);
        let whole = samples.timestamps.iter().zip(&samples.values).filter(|(time, _)| inside(time));
        let floats: Vec<(Millis, u64)> = whole.map(|(time, value)| (*time, value.to_bits())).collect();
        let given: Vec<(Millis, u64)> =
            part.timestamps.iter().zip(&part.values).map(|(time, value)| (*time, value.to_bits())).collect();
        assert_eq!(given, floats, "floats within {from}..={to}");
        let histograms = samples.histograms.iter().filter(|sample| inside(&sample.timestamp)).count();
        assert_eq!(part.histograms.len(), histograms, "histograms within {from}..={to}");
    }
}

fn fits(samples: &Samples) {
    assert_eq!(samples.timestamps.len(), samples.values.len());
    let starts = samples.start_timestamps.len();
    assert!(starts == 0 || starts == samples.timestamps.len(), "start timestamps of some floats only");
}
