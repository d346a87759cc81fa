//! Lanes against written-out examples, and properties over random lanes, chunks and cuts.

use std::collections::BTreeMap;

use super::*;
use crate::chunk::encode;
use crate::samples::STALE;
use crate::series::Lane;
use crate::testing::Random;
use crate::{Labels, StoreErrorKind};

mod histograms;

/// Samples every 60 s, one a token: a number, `_` for none, `x` for a stale marker. The first is at `offset` s.
fn lane(offset: i64, tokens: &str) -> Samples {
    let mut samples = Samples::default();
    for (time, token) in (0..).map(|i| (offset + 60 * i) * 1000).zip(tokens.split_whitespace()) {
        match token {
            "_" => {}
            "x" => samples.push(time, STALE),
            value => samples.push(time, value.parse().unwrap()),
        }
    }
    samples
}

/// Times in seconds with values, `x` for stale markers, `|n` where lane n begins.
fn show(samples: &Samples) -> String {
    let sample = |i: usize| {
        let mark = samples.runs.iter().find(|run| run.start == i);
        let mark = mark.map_or(String::new(), |run| match run.before {
            Some((time, value)) => format!("|{}({}:{value}) ", run.lane, time / 1000),
            None => format!("|{} ", run.lane),
        });
        let value = samples.values[i];
        let value = if is_stale(value) { "x".to_owned() } else { value.to_string() };
        format!("{mark}{}:{value}", samples.timestamps[i] / 1000)
    };
    (0..samples.timestamps.len()).map(sample).collect::<Vec<_>>().join(" ")
}

fn deduplicated(lanes: &[Samples]) -> Samples {
    let numbered: Vec<(u32, &Samples)> = (0..).zip(lanes).collect();
    let mut out = Samples::default();
    dedup(&numbered, &mut out);
    out
}

#[test]
fn examples() {
    // name, primary lane at 3 s, second lane at 20 s, what comes out
    let rows = [
        ("the primary alone", "1 2 3 4 5", "1 2 3 4 5", "3:1 63:2 123:3 183:4 243:5"),
        ("one missed scrape", "1 2 _ 4 5 6", "1 2 3 4 5 6", "|0 3:1 63:2 |1(80:2) 140:3 |0(63:2) 183:4 243:5 303:6"),
        (
            "a gap is filled half an interval from both sides",
            "1 2 3 _ _ 6 7 8",
            "1 2 3 4 5 6 7 8",
            "|0 3:1 63:2 123:3 |1(140:3) 200:4 260:5 |0(123:3) 303:6 363:7 423:8",
        ),
        ("both in a gap", "1 2 3 _ _ _ 7 8 9", "1 2 3 _ _ _ 7 8 9", "3:1 63:2 123:3 363:7 423:8 483:9"),
        ("the primary begins late", "_ _ _ 4 5 6", "1 2 3 4 5 6", "|1 20:1 80:2 140:3 |0 183:4 243:5 303:6"),
        ("the primary ends early", "1 2 3 _ _ _", "1 2 3 4 5 6", "|0 3:1 63:2 123:3 |1(140:3) 200:4 260:5 320:6"),
        (
            "a stale marker of the primary is its gap",
            "1 2 x 4 5",
            "1 2 3 4 5",
            "|0 3:1 63:2 |1(80:2) 140:3 |0(63:2) 183:4 243:5",
        ),
        ("a stale marker of the other is nothing", "1 2 3 4 5", "1 x _ 4 5", "3:1 63:2 123:3 183:4 243:5"),
        ("both stale", "1 2 x _ _ _ 7 8", "1 2 x _ _ _ 7 8", "3:1 63:2 123:x 363:7 423:8"),
        ("the end of both", "1 2 3 x", "1 2 3 x", "3:1 63:2 123:3 183:x"),
        (
            "the primary is lost, then the target",
            "1 2 3 _ _ _ _",
            "1 2 3 4 5 x _",
            "|0 3:1 63:2 123:3 |1(140:3) 200:4 260:5 320:x",
        ),
        (
            "the primary sees it end, the other does not",
            "1 2 3 x _ _ _",
            "1 2 3 4 5 6 7",
            "|0 3:1 63:2 123:3 |1(140:3) 200:4 260:5 320:6 380:7",
        ),
        ("only markers", "x _ x", "_ x", "3:x 123:x"),
        ("nothing in the primary", "", "1 2 3", "20:1 80:2 140:3"),
    ];
    for (name, first, second, expected) in rows {
        let got = deduplicated(&[lane(3, first), lane(20, second)]);
        assert_eq!(show(&got), expected, "{name}");
        assert!(got.timestamps.is_sorted_by(|a, b| a < b), "{name}");
    }
}

#[test]
fn a_third_lane_fills_what_the_second_lacks() {
    let lanes = [lane(3, "1 2 3 _ _ _ _ 8 9"), lane(20, "1 2 3 4 _ _ 7 8 9"), lane(40, "1 2 3 4 5 6 7 8 9")];
    assert_eq!(
        show(&deduplicated(&lanes)),
        "|0 3:1 63:2 123:3 |1(140:3) 200:4 |2(220:4) 280:5 340:6 |1(200:4) 380:7 |0(123:3) 423:8 483:9"
    );
}

#[test]
fn a_changed_interval_is_no_gap() {
    let mut samples = [Samples::default(), Samples::default()];
    for (samples, offset) in samples.iter_mut().zip([0, 17_000]) {
        for i in 0..100 {
            samples.push(offset + if i < 50 { i * 120_000 } else { 6_000_000 + (i - 50) * 60_000 }, i as f64);
        }
    }
    assert_eq!(deduplicated(&samples), samples[0]);
    assert!(lanes::is_gapless(&samples[0], TimeRange { min_time: 0, max_time: 6_000_000 + 49 * 60_000 }));
}

/// A lane of random gaps, jitter and stale markers.
fn random_lane(random: &mut Random, seed: u64) -> Samples {
    let interval = [15_000, 60_000][(seed % 2) as usize];
    let offset = random.below(interval as usize) as i64;
    let (loss, stale) = (12 + random.below(40), 12 + random.below(50));
    let mut samples = Samples::default();
    let mut lost = 0;
    for i in 0..150 {
        if lost == 0 && random.one_in(loss) {
            lost = 1 + random.below(12);
        }
        let jitter = random.below(100) as i64;
        let value = if random.one_in(stale) { STALE } else { random.below(1_000) as f64 };
        if lost > 0 {
            lost -= 1;
        } else {
            samples.push(offset + i * interval + jitter, value);
        }
    }
    samples
}

/// Compares bit by bit: stale markers are NaN.
fn assert_equal(a: &Samples, b: &Samples, seed: u64) {
    let bits = |s: &Samples| s.values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(a.timestamps, b.timestamps, "seed {seed}");
    assert_eq!(bits(a), bits(b), "seed {seed}");
    assert_eq!(a.runs, b.runs, "seed {seed}");
}

#[test]
fn properties_of_random_lanes() {
    for seed in 0..500 {
        let mut random = Random::new(seed);
        let lanes: Vec<Samples> = (0..1 + random.below(4)).map(|_| random_lane(&mut random, seed)).collect();
        let got = deduplicated(&lanes);
        let mut same = Samples::default();

        dedup(&[(0, &lanes[0]), (1, &lanes[0]), (2, &lanes[0])], &mut same);
        assert_equal(&same, &lanes[0], seed);

        let mut numbered: Vec<(u32, &Samples)> = (0..).zip(&lanes).collect();
        numbered.reverse();
        dedup(&numbered, &mut same);
        assert_equal(&same, &got, seed);

        let once = Samples { runs: Vec::new(), ..got.clone() };
        dedup(&[(0, &once), (1, &once)], &mut same);
        assert_equal(&same, &once, seed);

        check_marks(&lanes, &got, seed);
        check_gaps(&lanes, &got, seed);
    }
}

/// Pods of a job that runs by the hour, folded to one series: each lane begins where the one before ends.
#[test]
fn many_lanes_one_after_the_other() {
    let lanes: Vec<Samples> = (0..8_000)
        .map(|i| {
            let mut samples = Samples::default();
            (0..3).for_each(|k| samples.push((3 * i + k) * 60_000, 1.0));
            samples
        })
        .collect();
    let got = deduplicated(&lanes);
    assert_eq!((got.timestamps.len(), got.runs.len()), (24_000, 8_000));
    check_marks(&lanes, &got, 0);
}

/// Every sample is one of the lane that its mark names, and the mark's sample before is that lane's own.
fn check_marks(lanes: &[Samples], got: &Samples, seed: u64) {
    assert!(got.timestamps.is_sorted_by(|a, b| a < b), "seed {seed}");
    assert!(got.runs.first().is_none_or(|run| run.start == 0 && run.before.is_none()), "seed {seed}");
    assert!(got.runs.is_sorted_by(|a, b| a.start < b.start && a.lane != b.lane), "seed {seed}");
    for (i, run) in got.runs.iter().enumerate() {
        let end = got.runs.get(i + 1).map_or(got.timestamps.len(), |next| next.start);
        let lane = &lanes[run.lane as usize];
        for at in run.start..end {
            let own = lane.timestamps.binary_search(&got.timestamps[at]).expect("a time of the lane");
            assert_eq!(lane.values[own].to_bits(), got.values[at].to_bits(), "seed {seed}");
            if at == run.start && i > 0 {
                assert_eq!(run.before, value_before(lane, own), "seed {seed}");
            }
        }
    }
}

/// All values of the primary lane are there, and no lane has a value in the middle of what the output leaves open.
fn check_gaps(lanes: &[Samples], got: &Samples, seed: u64) {
    let values = |s: &Samples| -> Vec<i64> {
        s.timestamps.iter().zip(&s.values).filter(|(_, v)| !is_stale(**v)).map(|(t, _)| *t).collect()
    };
    let out = values(got);
    for time in values(&lanes[0]) {
        assert!(out.binary_search(&time).is_ok(), "seed {seed}: {time} of the primary lane is missing");
    }
    let interval = [15_000, 60_000][(seed % 2) as usize] + 200;
    for pair in out.windows(2) {
        for lane in lanes {
            let inside = |t: &i64| pair[0] + 2 * interval < *t && *t < pair[1] - 2 * interval;
            assert!(!values(lane).iter().any(inside), "seed {seed}: {pair:?} is open");
        }
    }
}

/// What is answered for a part of a selection is what the whole has there, but for one interval and a half at its ends.
#[test]
fn a_part_is_answered_like_the_whole() {
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let lanes: Vec<Samples> = (0..2).map(|_| random_lane(&mut random, 1)).collect();
        let lanes: Vec<Samples> = lanes
            .into_iter()
            .map(|s| {
                let mut values = Samples::default();
                let kept = s.timestamps.iter().zip(&s.values).filter(|(_, v)| !is_stale(**v));
                kept.for_each(|(t, v)| values.push(*t, *v));
                values
            })
            .collect();
        let within = |min_time: i64, max_time: i64| {
            let mut samples = samples_of_lanes(&lanes, TimeRange { min_time, max_time });
            samples.runs.clear();
            samples.retain(|time| (2_000_000..=7_000_000).contains(&time));
            samples
        };
        assert_equal(&within(1_000_000, 8_000_000), &within(0, 9_000_000), seed);
    }
}

fn series_of(lanes: &[Samples]) -> Series {
    let chunks = |samples: &Samples| encode(&samples.timestamps, &samples.values);
    let lane = |i: usize| Lane { replica: Labels::from_pairs([("replica", i.to_string())]), store: None };
    let lanes = lanes.iter().enumerate().map(|(i, s)| LaneChunks { lane: lane(i), chunks: chunks(s).into() }).collect();
    Series { labels: Labels::empty(), lanes }
}

fn samples_of_lanes(lanes: &[Samples], range: TimeRange) -> Samples {
    let mut out = Samples::default();
    samples_of(&series_of(lanes), range, &Budget::unlimited(), &mut Scratch::default(), &mut out).unwrap();
    out
}

/// The way with chunks, where lanes are decoded only when needed, gives what the pure function gives, in any order of
/// lanes.
#[test]
fn chunks_give_what_columns_give() {
    let (budget, mut scratch, mut out) = (Budget::unlimited(), Scratch::default(), Samples::default());
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let lanes: Vec<Samples> = (0..1 + random.below(3)).map(|_| random_lane(&mut random, seed)).collect();
        let mut series = series_of(&lanes);
        let ends = lanes.iter().flat_map(|s| [s.timestamps[0], *s.timestamps.last().unwrap()]);
        let range = TimeRange { min_time: ends.clone().min().unwrap(), max_time: ends.max().unwrap() };
        let expected = deduplicated(&lanes);
        for _ in 0..2 {
            series.lanes.reverse();
            samples_of(&series, range, &budget, &mut scratch, &mut out).unwrap();
            assert_equal(&out, &expected, seed);
        }
    }
}

/// Cuts samples into chunks at random, several times over, and mixes them.
fn random_chunks(random: &mut Random, samples: &Samples) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    for _ in 0..1 + random.below(3) {
        let mut start = 0;
        while start < samples.timestamps.len() {
            let end = (start + 1 + random.below(60)).min(samples.timestamps.len());
            chunks.extend(encode(&samples.timestamps[start..end], &samples.values[start..end]));
            start = end;
        }
    }
    for i in (1..chunks.len()).rev() {
        chunks.swap(i, random.below(i + 1));
    }
    chunks
}

#[test]
fn a_lane_is_whole_however_it_is_cut() {
    let (mut scratch, mut out) = (Scratch::default(), Samples::default());
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let samples = random_lane(&mut random, seed);
        let chunks = random_chunks(&mut random, &samples);
        out.clear();
        decode_lane(&chunks, TimeRange::ALL, &mut scratch, &mut out).unwrap();
        assert_equal(&out, &samples, seed);

        let pick = |random: &mut Random| samples.timestamps[random.below(samples.timestamps.len())];
        let range = TimeRange { min_time: pick(&mut random), max_time: pick(&mut random) };
        let mut expected = samples.clone();
        expected.retain(|time| (range.min_time..=range.max_time).contains(&time));
        out.clear();
        decode_lane(&chunks, range, &mut scratch, &mut out).unwrap();
        assert_equal(&out, &expected, seed);
    }
}

/// Copies that disagree: what counts is a matter of the samples, not of how their chunks are cut or ordered.
#[test]
fn of_conflicting_samples_one_counts_however_they_are_cut() {
    const ODD: [f64; 6] = [STALE, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.0];
    let (mut scratch, mut out) = (Scratch::default(), Samples::default());
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let lane = random_lane(&mut random, seed);
        let (mut chunks, mut expected) = (Vec::new(), BTreeMap::<i64, f64>::new());
        for _ in 0..2 + random.below(3) {
            let mut copy = Samples::default();
            for (time, value) in lane.timestamps.iter().zip(&lane.values) {
                let value = match random.below(8) {
                    0 => continue,
                    1 => ODD[random.below(ODD.len())],
                    2 | 3 => random.below(5) as f64,
                    _ => *value,
                };
                copy.push(*time, value);
                let have = expected.entry(*time).or_insert(value);
                let wins = is_stale(value)
                    || !is_stale(*have) && (value.is_nan() || !have.is_nan() && value.total_cmp(have).is_gt());
                if wins {
                    *have = value;
                }
            }
            chunks.extend(random_chunks(&mut random, &copy));
        }
        for _ in 0..2 {
            chunks.reverse();
            out.clear();
            decode_lane(&chunks, TimeRange::ALL, &mut scratch, &mut out).unwrap();
            assert!(out.timestamps.iter().eq(expected.keys()), "seed {seed}");
            let bits = |value: &f64| value.to_bits();
            assert!(out.values.iter().map(bits).eq(expected.values().map(bits)), "seed {seed}");
        }
    }
}

#[test]
fn chunks_that_lie_about_their_times_are_still_sorted() {
    let mut early = encode(&[1_000, 9_000], &[1.0, 9.0]).remove(0);
    early.max_time = 2_000;
    let late = encode(&[3_000, 4_000], &[3.0, 4.0]).remove(0);
    let mut out = Samples::default();
    decode_lane(&[early, late], TimeRange::ALL, &mut Scratch::default(), &mut out).unwrap();
    assert_eq!(out.timestamps, [1_000, 3_000, 4_000, 9_000]);
}

#[test]
fn a_damaged_chunk_leaves_nothing_behind() {
    let good = encode(&[1_000, 2_000], &[1.0, 2.0]).remove(0);
    let mut bad = encode(&[3_000, 4_000], &[1.0, 2.0]).remove(0);
    bad.data = bad.data.slice(..bad.data.len() - 2);
    let mut out = Samples::default();
    out.push(500, 0.5);
    let error = decode_lane(&[good, bad], TimeRange::ALL, &mut Scratch::default(), &mut out).unwrap_err();
    assert_eq!((error.kind, out.timestamps.len()), (StoreErrorKind::Corrupt, 1));
}

/// Half an interval of one millisecond is no time at all: what borders on a gap must not come twice.
#[test]
fn samples_a_millisecond_apart_come_once() {
    let whole = |skip: Range<i64>| {
        let mut samples = Samples::default();
        (0..400).filter(|time| !skip.contains(time)).for_each(|time| samples.push(time, 1.0));
        samples
    };
    let out = deduplicated(&[whole(150..250), whole(300..400)]);
    assert_eq!(out.timestamps, (0..400).collect::<Vec<_>>());
}
