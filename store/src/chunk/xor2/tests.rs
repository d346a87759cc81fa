//! Every path of the decoder by our own encoder, whose bytes are compared with Prometheus' where blocks are read;
//! borders of the fields; foreign bytes.

use super::*;
use crate::StoreErrorKind;
use crate::samples::STALE;
use crate::testing::Random;

type Row = (i64, u64, i64);

fn encoded(rows: &[Row]) -> Bytes {
    let mut encoder = Encoder::new();
    rows.iter().for_each(|(time, bits, start)| encoder.push(*time, f64::from_bits(*bits), *start));
    encoder.finish()
}

fn decoded(data: &[u8]) -> Result<Vec<Row>, StoreError> {
    let mut out = Samples::default();
    out.push(7, 7.0);
    let result = decode(data, i64::MAX, &mut out);
    assert_eq!(
        (out.timestamps[0], out.values[0], out.timestamps.len()),
        (7, 7.0, out.values.len()),
        "what was there stays"
    );
    assert!(result.is_ok() || out.values.len() == 1, "nothing is left of a damaged chunk");
    assert!(out.start_timestamps.is_empty() || out.start_timestamps.len() == out.values.len());
    let start = |i: usize| out.start_timestamps.get(i).copied().unwrap_or(0);
    result.map(|()| (1..out.values.len()).map(|i| (out.timestamps[i], out.values[i].to_bits(), start(i))).collect())
}

/// Times, values and start timestamps of many kinds.
fn random_rows(random: &mut Random) -> Vec<Row> {
    let spreads = [0, 10, 4_096, 8_000, 524_288, 1_000_000, 1 << 40];
    let spread = spreads[random.below(spreads.len())];
    let (kind, starts) = (random.below(5), random.below(6));
    let mut time = random.next() as i64 >> (1 + random.below(40));
    let first = time - 5_000;
    let (mut value, mut before) = (0.0_f64, time);
    (0..1 + random.below(300))
        .map(|i| {
            time += 1 + spread / 2 + random.below(spread as usize + 1) as i64;
            value = match (kind, random.below(8)) {
                (0, _) => 1.0,
                (4, _) => value + f64::from(u8::from(random.below(30) == 0)),
                (_, 0) => STALE,
                (1, _) => (if value.is_nan() { 0.0 } else { value }) + random.below(1000) as f64,
                (2, _) => (random.below(10_000) as f64) / 100.0,
                _ => f64::from_bits(random.next()),
            };
            let start = match starts {
                0 => 0,
                1 => first,
                2 => before - 10,
                3 if i < 150 => 0,
                4 => random.next() as i64,
                _ => before - random.below(1 << 20) as i64,
            };
            before = time;
            (time, value.to_bits(), start)
        })
        .collect()
}

#[test]
fn samples_come_back_bit_by_bit() {
    for seed in 0..3_000 {
        let rows = random_rows(&mut Random::new(seed));
        let data = encoded(&rows);
        assert!(is_plausible(&data), "seed {seed}");
        assert_eq!(decoded(&data).unwrap(), rows, "seed {seed}");
        // As far as a time reaches.
        let border = rows[rows.len() / 2].0;
        let mut part = Samples::default();
        decode(&data, border, &mut part).unwrap();
        assert_eq!(part.timestamps.len(), rows.len() / 2 + 1, "seed {seed}");
        assert_eq!(part.timestamps.last(), Some(&border), "seed {seed}");
    }
}

#[test]
fn known_bytes() {
    // By hand from chunks.md 3.2: t = 1 ms, v = 1.0; delta 2, same value; no change; stale marker; no change.
    let one = 1.0_f64.to_bits();
    let rows = [(1, one, 0), (3, one, 0), (5, one, 0), (7, STALE_BITS, 0), (9, one, 0)];
    let data = encoded(&rows);
    assert_eq!(data[..], [0, 5, 0, 2, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 2, 0b0011_1110]);
    assert_eq!(decoded(&data).unwrap(), rows);
    assert_eq!(decoded(&[0, 0, 0]).unwrap(), []);
}

#[test]
fn borders_of_the_delta_sizes() {
    // Ordinary two's complement: -4096 to 4095 take 13 bits.
    for change in [4_095, 4_096, -4_096, -4_097, 524_287, 524_288, -524_288, -524_289] {
        let delta = 10_000_000;
        let rows = [(0, 0, 0), (delta, 0, 0), (2 * delta + change, 0, 0), (3 * delta + change, 1, 0)];
        assert_eq!(decoded(&encoded(&rows)).unwrap(), rows, "change {change}");
    }
}

#[test]
fn every_truncation_is_an_error() {
    let mut random = Random::new(1);
    for _ in 0..20 {
        let data = encoded(&random_rows(&mut random));
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
fn foreign_bytes_never_panic() {
    let mut read = 0;
    for seed in 0..20_000 {
        let mut random = Random::new(seed);
        let mut data = encoded(&random_rows(&mut random)).to_vec();
        for _ in 0..1 + random.below(4) {
            let at = random.below(data.len());
            data[at] ^= 1 << random.below(8);
        }
        if let Ok(rows) = decoded(&data) {
            read += 1;
            assert!(rows.is_sorted_by(|a, b| a.0 < b.0), "seed {seed}");
        }
    }
    assert!(read > 1_000, "only {read} damaged chunks were read");
}

#[test]
fn a_count_beyond_the_bytes_reserves_nothing() {
    let mut out = Samples::default();
    let error = decode(&[0xff; 20], i64::MAX, &mut out).unwrap_err();
    assert_eq!((error.kind, out.timestamps.capacity()), (StoreErrorKind::Corrupt, 0));
}
