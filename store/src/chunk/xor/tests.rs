//! Every path of the decoder against a reader that takes one bit at a time, foreign bytes, and the recorded blocks.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::samples::STALE;
use crate::series::Encoding;
use crate::testing::{Random, golden};
use crate::{Samples, StoreErrorKind, chunk};

/// Decodes without any cleverness; None for bytes that end too early.
fn naive(data: &[u8]) -> Option<Vec<(i64, u64)>> {
    struct Reader<'a>(&'a [u8], usize);
    impl Reader<'_> {
        fn bit(&mut self) -> Option<u64> {
            let bit = *self.0.get(self.1 / 8)? >> (7 - self.1 % 8) & 1;
            self.1 += 1;
            Some(u64::from(bit))
        }
        fn bits(&mut self, count: u32) -> Option<u64> {
            (0..count).try_fold(0, |sum, _| Some(sum << 1 | self.bit()?))
        }
        fn uvarint(&mut self) -> Option<u64> {
            let mut sum = 0;
            for i in 0..10 {
                let byte = self.bits(8)?;
                if i == 9 && byte > 1 {
                    return None;
                }
                sum |= (byte & 0x7f) << (7 * i);
                if byte < 0x80 {
                    return Some(sum);
                }
            }
            None
        }
    }
    let count = usize::from(u16::from_be_bytes(*data.first_chunk::<2>()?));
    let mut reader = Reader(&data[2..], 0);
    let (mut out, mut time, mut delta, mut value) = (Vec::new(), 0_i64, 0_i64, 0_u64);
    let (mut leading, mut trailing) = (0, 0);
    for i in 0..count {
        if i == 0 {
            time = unzigzag(reader.uvarint()?);
            value = reader.bits(64)?;
            out.push((time, value));
            continue;
        }
        if i == 1 {
            delta = reader.uvarint()? as i64;
        } else {
            let mut ones = 0;
            while ones < 4 && reader.bit()? == 1 {
                ones += 1;
            }
            let width = [0, 14, 17, 20, 64][ones];
            let raw = reader.bits(width)? as i64;
            let wraps = (1..64).contains(&width) && raw > 1 << (width - 1);
            delta = delta.wrapping_add(if wraps { raw - (1 << width) } else { raw });
        }
        time = time.wrapping_add(delta);
        if reader.bit()? == 1 {
            if reader.bit()? == 1 {
                leading = reader.bits(5)? as u32;
                let width = match reader.bits(6)? as u32 {
                    0 => 64,
                    width => width,
                };
                trailing = 64_u32.checked_sub(leading + width)?;
            }
            value ^= reader.bits(64 - leading - trailing)? << trailing;
        }
        out.push((time, value));
    }
    Some(out)
}

fn decoded(data: &[u8]) -> Result<Vec<(i64, u64)>, StoreError> {
    let (mut timestamps, mut values) = (vec![7], vec![7.0]);
    let result = decode(data, i64::MAX, &mut timestamps, &mut values);
    assert_eq!((timestamps[0], values[0], timestamps.len()), (7, 7.0, values.len()), "what was there stays");
    assert!(result.is_ok() || values.len() == 1, "nothing is left of a damaged chunk");
    result.map(|()| timestamps[1..].iter().copied().zip(values[1..].iter().map(|v| v.to_bits())).collect())
}

fn encoded(samples: &[(i64, u64)]) -> Bytes {
    let mut encoder = XorEncoder::new();
    for (time, bits) in samples {
        encoder.push(*time, f64::from_bits(*bits));
    }
    assert_eq!(encoder.len(), samples.len());
    encoder.finish()
}

/// Times and values of many kinds: steady, jittering, wild; constant, counting, random bits, stale.
fn random_samples(random: &mut Random) -> Vec<(i64, u64)> {
    let spreads = [0, 10, 8_000, 16_384, 131_072, 1_000_000, 1 << 40];
    let spread = spreads[random.below(spreads.len())];
    let kind = random.below(5);
    let mut time = random.next() as i64 >> (1 + random.below(40));
    let mut value = 0.0_f64;
    (0..1 + random.below(200))
        .map(|_| {
            time += 1 + spread / 2 + random.below(spread as usize + 1) as i64;
            value = match (kind, random.below(8)) {
                (0, _) => 1.0,
                (4, _) => value + f64::from(u8::from(random.below(30) == 0)),
                (_, 0) => STALE,
                (1, _) => (if value.is_nan() { 0.0 } else { value }) + random.below(1000) as f64,
                (2, _) => (random.below(10_000) as f64) / 100.0,
                _ => f64::from_bits(random.next()),
            };
            (time, value.to_bits())
        })
        .collect()
}

#[test]
fn samples_come_back_bit_by_bit() {
    for seed in 0..2_000 {
        let samples = random_samples(&mut Random::new(seed));
        let data = encoded(&samples);
        assert_eq!(naive(&data).as_ref(), Some(&samples), "seed {seed}: encoder");
        assert_eq!(decoded(&data).unwrap(), samples, "seed {seed}: decoder");
    }
}

#[test]
fn known_bytes() {
    // By hand from chunks.md 3.1: t = 1 ms, v = 1.0; delta 2, same value; dod 0, stale marker (xor 0x7ff0... ^
    // 0x3ff0...).
    let samples = [(1, 1.0_f64.to_bits()), (3, 1.0_f64.to_bits()), (5, 1.0_f64.to_bits())];
    assert_eq!(encoded(&samples)[..], [0, 3, 2, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 2, 0]);
    assert_eq!(encoded(&[])[..], [0, 0]);
    assert_eq!(decoded(&[0, 0]).unwrap(), []);
}

#[test]
fn borders_of_the_delta_sizes() {
    // Half of the range is positive: 8192 still takes 14 bits, -8192 takes 17 (xor.go, bitRange).
    for change in [8_191, 8_192, 8_193, -8_191, -8_192, 65_536, 65_537, -65_535, -65_536, 524_288, 524_289, -524_287] {
        let delta = 10_000_000;
        let samples = [(0, 0), (delta, 0), (2 * delta + change, 0), (3 * delta + change, 1)];
        let data = encoded(&samples);
        assert_eq!(decoded(&data).unwrap(), samples, "change {change}");
        assert_eq!(naive(&data).unwrap(), samples, "change {change}");
    }
}

#[test]
fn every_truncation_is_an_error() {
    let mut random = Random::new(1);
    for _ in 0..20 {
        let data = encoded(&random_samples(&mut random));
        for length in 0..data.len() {
            assert_eq!(
                decoded(&data[..length]).unwrap_err().kind,
                StoreErrorKind::Corrupt,
                "{length} of {}",
                data.len()
            );
        }
    }
}

#[test]
fn foreign_bytes_never_panic_and_agree_with_the_naive_reader() {
    let mut accepted = 0;
    for seed in 0..20_000 {
        let mut random = Random::new(seed);
        let mut data = encoded(&random_samples(&mut random)).to_vec();
        for _ in 0..1 + random.below(4) {
            let at = random.below(data.len());
            data[at] ^= 1 << random.below(8);
        }
        if let Ok(samples) = decoded(&data) {
            accepted += 1;
            assert_eq!(naive(&data), Some(samples), "seed {seed}");
        } else if let Some(samples) = naive(&data) {
            assert!(!samples.is_sorted_by(|a, b| a.0 < b.0), "seed {seed}: refused without a reason");
        }
    }
    assert!(accepted > 1_000, "only {accepted} damaged chunks were read");
}

#[test]
fn a_count_beyond_the_bytes_reserves_nothing() {
    let mut timestamps = Vec::new();
    let error = decode(&[0xff; 20], i64::MAX, &mut timestamps, &mut Vec::new()).unwrap_err();
    assert_eq!((error.kind, timestamps.capacity()), (StoreErrorKind::Corrupt, 0));
}

#[test]
fn ranges_are_inclusive_on_both_sides() {
    let times: Vec<i64> = (0..300).map(|i| i * 15_000).collect();
    let values: Vec<f64> = (0..300).map(f64::from).collect();
    let chunks = chunk::encode(&times, &values);
    assert_eq!(chunks.iter().map(|c| (c.min_time, c.max_time)).collect::<Vec<_>>()[1], (120 * 15_000, 239 * 15_000));
    for (min, max) in [(0, 0), (15_000, 30_000), (15_001, 29_999), (-5, 1 << 40), (200 * 15_000, 250 * 15_000), (9, 3)]
    {
        let mut out = Samples::default();
        for chunk in &chunks {
            chunk::decode_range(chunk, min, max, &mut out).unwrap();
        }
        let expected: Vec<i64> = times.iter().copied().filter(|t| (min..=max).contains(t)).collect();
        assert_eq!(out.timestamps, expected);
        assert_eq!(out.values, expected.iter().map(|t| (t / 15_000) as f64).collect::<Vec<_>>());
    }
}

/// All XOR chunks of a segment file, and the number of all other chunks.
fn chunks_of(segment: &Path) -> (Vec<Vec<u8>>, usize) {
    let bytes = fs::read(segment).unwrap();
    let (mut at, mut chunks, mut others) = (8, Vec::new(), 0);
    while at < bytes.len() {
        let (length, next) = Bits::new(&bytes).uvarint(at * 8).unwrap();
        let start = next / 8;
        if length == 0 {
            break;
        }
        let data = &bytes[start + 1..start + 1 + length as usize];
        if bytes[start] == Encoding::Xor as u8 {
            chunks.push(data.to_vec())
        } else {
            others += 1
        }
        at = start + 1 + length as usize + 4;
    }
    (chunks, others)
}

fn find(folder: &Path, name: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().is_some_and(|n| n == name) {
            found.push(path);
        } else if path.is_dir() {
            find(&path, name, found);
        }
    }
}

/// Every XOR chunk that a real Prometheus wrote decodes, is what a naive reader sees, counts as meta.json says where a
/// block has nothing else, and comes out of our encoder with the same bytes.
#[test]
fn recorded_chunks_decode_and_encode_alike() {
    let mut metas = Vec::new();
    for set in ["prometheus-3.14", "thanos-0.43/prometheus"] {
        let Some(folder) = golden(set) else { return };
        find(&folder, "meta.json", &mut metas);
    }
    let (mut all, mut counted) = (0, 0);
    for path in metas {
        let block = path.parent().unwrap();
        let meta: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let (mut samples, mut chunks, mut others) = (0, 0, 0);
        let mut segments: Vec<_> = fs::read_dir(block.join("chunks")).unwrap().map(|e| e.unwrap().path()).collect();
        segments.sort();
        for segment in segments {
            let (read, rest) = chunks_of(&segment);
            others += rest;
            chunks += read.len();
            for data in read {
                let got = decoded(&data).unwrap_or_else(|e| panic!("{}: {e}", segment.display()));
                assert_eq!(naive(&data).as_ref(), Some(&got), "{}", segment.display());
                assert_eq!(encoded(&got), data, "{}", segment.display());
                samples += got.len() as u64;
            }
        }
        all += chunks;
        if others == 0 {
            counted += 1;
            assert_eq!(meta["stats"]["numSamples"].as_u64(), Some(samples), "{}", path.display());
            assert_eq!(meta["stats"]["numChunks"].as_u64(), Some(chunks as u64), "{}", path.display());
        }
    }
    assert!(all > 300 && counted > 3, "only {all} chunks, {counted} whole blocks");
}
