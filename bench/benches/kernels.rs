//! Micro-benchmarks of the parts whose cost is per sample: `cargo bench -p masthead-bench`.
//!
//! `xor` compares the store's decoder with a plain bit-by-bit reader over the same chunks.

use divan::Bencher;
use divan::counter::ItemsCount;
use masthead_bench::naive;
use masthead_store::{Chunk, Samples, chunk};

fn main() {
    divan::main();
}

/// A counter as a target shows it: scrapes a few ms off the grid now and then, increments that vary.
fn counter(samples: usize) -> (Vec<i64>, Vec<f64>) {
    let (mut state, mut value) = (88_172_645_463_325_252u64, 0.0);
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 33
    };
    (0..samples as i64)
        .map(|k| {
            let late = if random().is_multiple_of(10) { (random() % 5) as i64 } else { 0 };
            value += (random() % 500) as f64;
            (1_700_000_000_000 + k * 30_000 + late, value)
        })
        .unzip()
}

fn chunks() -> Vec<Chunk> {
    let (times, values) = counter(12_000);
    chunk::encode(&times, &values)
}

mod xor {
    use super::*;

    #[divan::bench]
    fn decode(bencher: Bencher<'_, '_>) {
        let (chunks, mut out) = (chunks(), Samples::default());
        bencher.counter(ItemsCount::new(12_000u32)).bench_local(|| {
            out.clear();
            chunks.iter().all(|chunk| chunk::decode(chunk, &mut out).is_ok())
        });
    }

    #[divan::bench]
    fn decode_bit_by_bit(bencher: Bencher<'_, '_>) {
        let chunks = chunks();
        bencher
            .counter(ItemsCount::new(12_000u32))
            .bench_local(|| chunks.iter().filter_map(|chunk| naive::decode(&chunk.data)).count());
    }

    #[divan::bench]
    fn encode(bencher: Bencher<'_, '_>) {
        let (times, values) = counter(12_000);
        bencher.counter(ItemsCount::new(12_000u32)).bench_local(|| chunk::encode(&times, &values).len());
    }
}
