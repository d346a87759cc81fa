//! Floats: counters and gauges, classic histograms sound and odd, extreme values, irregular times, and odd labels.

use masthead_store::Millis;
use masthead_store::samples::{STALE, STALE_BITS};
use masthead_store::testing::Random;

use super::{END, Grid, MINUTE, Maker, Points, START, every};
use crate::differential::chance::Chance as _;

/// Each adds some metrics.
pub(super) const FAMILIES: &[fn(&mut Maker)] = &[
    Maker::counters,
    Maker::gauges,
    Maker::one_to_one,
    Maker::extremes,
    Maker::not_numbers,
    Maker::many_with_ties,
    Maker::irregular,
    Maker::sparse,
    Maker::histograms,
    Maker::odd_histograms,
    Maker::info_metrics,
    Maker::odd_labels,
];

impl Maker {
    fn counters(&mut self) {
        for job in ["api", "web", "db"] {
            for instance in ["h1:80", "h2:80", "h3:80"] {
                for code in ["200", "404", "500"] {
                    let offset = self.random.between(0, 29_999);
                    let jitter = self.random.one_of(&[0, 0, 7, 900]);
                    let (rate, lifetime) = (self.random.one_of(&[0.1, 3.0, 50.0]), self.random.one_of(&[0, 100, 10]));
                    let mut points = self.counter(Grid { offset, jitter, ..every(30_000) }, rate, lifetime);
                    let minutes = self.random.between(1, 20);
                    points = self.with_gap(points, minutes);
                    if self.random.one_in(2) {
                        points = self.with_stale_markers(points, 50);
                    }
                    self.add("c_total", &[("job", job), ("instance", instance), ("code", code)], points);
                }
            }
        }
    }

    fn gauges(&mut self) {
        for job in ["api", "web", "db"] {
            for instance in ["h1:80", "h2:80"] {
                let offset = 1_000 * self.series.len() as Millis % 30_000 + 17;
                let noise = |random: &mut Random| ((random.fraction() - 0.5) * 10_000.0).round() / 100.0;
                let points = self.fill(Grid { jitter: 3_000, offset, ..every(30_000) }, noise);
                let points = self.with_gap(points, 15);
                let points = self.with_stale_markers(points, 100);
                self.add("g", &[("job", job), ("instance", instance)], points);
                let points = self.fill(Grid { offset: 5_001, ..every(60_000) }, |random| random.between(-3, 5) as f64);
                let extra = format!("x{job}");
                self.add("h", &[("job", job), ("instance", instance), ("extra", &extra)], points);
            }
        }
    }

    fn one_to_one(&mut self) {
        for n in ["1", "3", "4"] {
            let instance = format!("h{n}:80");
            let grid = |offset| Grid { jitter: 101, offset, ..every(60_000) };
            let points = self.fill(grid(703), |random| random.between(1, 9) as f64);
            self.add("one", &[("instance", &instance)], points);
            let points = self.fill(grid(15_003), |random| random.between(1, 9) as f64 * 1.5);
            let points = self.with_stale_markers(points, 33);
            self.add("two", &[("instance", &instance), ("zone", &format!("z{n}"))], points);
        }
    }

    fn extremes(&mut self) {
        const VALUES: &[f64] = &[
            0.0,
            -0.0,
            1.0,
            -1.0,
            5e-324,
            f64::MAX,
            -f64::MAX,
            1e-300,
            0.1,
            1e21,
            123_456_789_012_345_680.0,
            -2.5,
            2.5,
            0.5,
            -0.5,
            1e15,
            9_007_199_254_740_992.0,
            1e6,
            1e-7,
        ];
        for i in 0..6 {
            let grid = Grid { jitter: 501, offset: i * 777 + 3, ..every(30_000) };
            let infinite: &[f64] = &[f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, 2.5, -1.0];
            let list = if i < 2 { infinite } else { VALUES };
            let points = self.fill(grid, |random| random.one_of(list));
            self.add("ext", &[("i", &i.to_string())], points);
        }
        for (i, value) in [("nan", f64::NAN), ("inf", f64::INFINITY), ("const", 42.0)] {
            let points = self.fill(Grid { offset: 1_003, ..every(30_000) }, |_| value);
            self.add("ext", &[("i", i)], points);
        }
        // Not numbers of many bit patterns, and any pattern but the stale marker's.
        let points = self.fill(Grid { offset: 11, ..every(30_000) }, |random| {
            f64::from_bits(0x7ff8_0000_0000_0000 | random.next() >> 24)
        });
        self.add("ext", &[("i", "nanbits")], points);
        for (i, jitter) in [("0", 0), ("1", 9_001)] {
            let points = self.fill(Grid { jitter, offset: 13, ..every(30_000) }, |random| match random.next() {
                STALE_BITS => 0.0,
                bits => f64::from_bits(bits),
            });
            self.add("bits", &[("i", i)], points);
        }
    }

    fn not_numbers(&mut self) {
        for i in 0..4 {
            let values = [f64::NAN, 1.0, 2.0, 3.0, 4.0, 5.0, 6.5, -7.0];
            let points = self.fill(Grid { offset: i + 1, ..every(30_000) }, |random| random.one_of(&values));
            let points = self.with_stale_markers(points, 20);
            self.add("nang", &[("i", &i.to_string()), ("grp", ["a", "b"][i as usize % 2])], points);
        }
    }

    fn many_with_ties(&mut self) {
        for i in 0..40 {
            let points =
                self.fill(Grid { offset: i % 7 * 1_001 + 1, ..every(120_000) }, |random| random.between(0, 12) as f64);
            let labels = [
                ("id", format!("{i:03}")),
                ("grp", format!("g{}", i % 5)),
                ("par", ["even", "odd"][i as usize % 2].to_owned()),
            ];
            self.add("many", &labels.each_ref().map(|(name, value)| (*name, value.as_str())), points);
        }
        for i in 0..4 {
            let points = self.fill(Grid { offset: i + 1, ..every(60_000) }, |_| i as f64);
            let (a, z) = ((i % 2).to_string(), i.to_string());
            self.add("label_order", &[("A", &a), ("Z", &z), ("a", "q"), ("__a", "w")], points);
        }
    }

    /// Samples from a millisecond to seven minutes apart.
    fn irregular(&mut self) {
        let (mut time, mut value) = (5, 0.0);
        let mut points = Vec::new();
        while time < END - START {
            points.push((time, value));
            value = if self.random.one_in(50) { 0.0 } else { value + self.random.below(10) as f64 };
            time += self.random.one_of(&[1, 1, 2, 1_000, 5_000, 15_000, 30_000, 60_000, 420_000]);
        }
        self.add("irr_total", &[("k", "a")], points);
    }

    fn sparse(&mut self) {
        let grids = [
            ("7m", every(420_000)),
            ("5m", every(300_000)),
            ("5m1", every(300_001)),
            ("early", Grid { until: 30 * MINUTE, ..every(30_000) }),
            ("late", Grid { from: 180 * MINUTE, ..every(30_000) }),
        ];
        for (k, grid) in grids {
            let points = self.fill(Grid { offset: 1, ..grid }, |random| random.fraction());
            self.add("sparse", &[("k", k)], points);
        }
        self.add("sparse", &[("k", "once")], vec![(60 * MINUTE, 3.5)]);
        self.add("sparse", &[("k", "twice")], vec![(60 * MINUTE, 3.5), (60 * MINUTE + 1, 4.5)]);
    }

    fn histograms(&mut self) {
        const BOUNDS: [&str; 6] = ["0.1", "0.5", "1", "2.5", "10", "+Inf"];
        for job in ["api", "web"] {
            for instance in ["h1:80", "h2:80"] {
                let times = self.times(Grid { jitter: 51, offset: 3_001, ..every(30_000) });
                let (mut counts, mut sum) = ([0.0; BOUNDS.len()], 0.0);
                let (mut rows, mut sums) = (Vec::new(), Points::new());
                for time in times {
                    if self.random.one_in(100) {
                        (counts, sum) = ([0.0; BOUNDS.len()], 0.0);
                    }
                    for _ in 0..self.random.below(20) {
                        let seen = -self.random.fraction().max(1e-9).ln() * 1.5;
                        sum += seen;
                        for (count, bound) in counts.iter_mut().zip([0.1, 0.5, 1.0, 2.5, 10.0, f64::INFINITY]) {
                            *count += f64::from(u8::from(seen <= bound));
                        }
                    }
                    rows.push((time, counts));
                    sums.push((time, sum));
                }
                let own = [("job", job), ("instance", instance)];
                let column = |at: usize| rows.iter().map(|(time, counts)| (*time, counts[at])).collect::<Points>();
                for (at, bound) in BOUNDS.iter().enumerate() {
                    self.add("lat_bucket", &[own[0], own[1], ("le", bound)], column(at));
                }
                self.add("lat_count", &own, column(BOUNDS.len() - 1));
                self.add("lat_sum", &own, sums);
            }
        }
    }

    /// Histograms that are not as they should be; see [`ODD_HISTOGRAMS`].
    fn odd_histograms(&mut self) {
        for (k, buckets) in ODD_HISTOGRAMS {
            for (bound, count) in *buckets {
                let mut minute = 0;
                let points = self.fill(Grid { offset: 2, ..every(60_000) }, |_| {
                    minute += 1;
                    count(f64::from(minute - 1))
                });
                self.add("hb_bucket", &[("k", k), ("le", bound)], points);
            }
        }
    }

    fn info_metrics(&mut self) {
        type Target = (&'static str, &'static str, &'static [(&'static str, &'static str)]);
        const TARGETS: [Target; 4] = [
            ("api", "h1:80", &[("ver", "1"), ("env", "prod")]),
            ("api", "h2:80", &[("ver", "2")]),
            ("web", "h1:80", &[("ver", "1")]),
            ("db", "h1:80", &[("ver", "9"), ("env", "dev"), ("code", "zz")]),
        ];
        for (job, instance, more) in TARGETS {
            let half = self.random.between(60, 180) * MINUTE;
            let own = [("job", job), ("instance", instance)];
            let grid = Grid { offset: 2_001, ..every(60_000) };
            let mut points = self.fill(Grid { until: half, ..grid }, |_| 1.0);
            points.push((half, STALE));
            let labels: Vec<_> = own.iter().chain(more).copied().collect();
            self.add("target_info", &labels, points);
            let points = self.fill(Grid { from: half, ..grid }, |_| 1.0);
            self.add("target_info", &[own[0], own[1], ("ver", "7"), ("region", "eu")], points);
            let points = self.fill(Grid { offset: 3_001, ..every(60_000) }, |_| 1.0);
            self.add("build_info", &[own[0], own[1], ("rev", &format!("r{}", more[0].1))], points);
        }
    }

    fn odd_labels(&mut self) {
        for (n, value) in ODD_VALUES.iter().enumerate() {
            let points = self.fill(Grid { offset: 1, ..every(120_000) }, |_| n as f64);
            self.add("odd", &[("n", &format!("{n:02}")), ("v", value)], points);
        }
        let grid = Grid { offset: 1, ..every(60_000) };
        for labels in [[("k8s.pod", "p1"), ("ä", "1")], [("k8s.pod", "p2"), ("job", "api")]] {
            let points = self.fill(grid, |random| random.fraction());
            self.add("http.req", &labels, points);
        }
        let points = self.counter(grid, 3.0, 100);
        self.add("日本 count_total", &[("A", "1"), ("0", "z")], points);
        let points = self.counter(grid, 3.0, 100);
        self.add("U__weird", &[("U__x_2e_y", "1"), ("__type__", "counter"), ("__unit__", "s")], points);
        let points = self.fill(grid, |random| random.fraction());
        self.add("job:c:rate5m", &[("job", "api"), ("AA", "up")], points);
    }
}

/// Values of a label that are written, sorted or matched in surprising ways.
const ODD_VALUES: &[&str] = &[
    "",
    "a",
    "b",
    "ab",
    "a\nb",
    "a\"b",
    "a'b",
    "a\\b",
    "ä",
    "日本",
    "\u{1f600}",
    "a,b",
    "{x}",
    "a.b",
    "a+b",
    "a|b",
    "A",
    "\0z",
    " ",
    "e\u{301}",
    "1",
    "10",
    "2",
    "-1",
    "1e3",
    "foo",
    "foobar",
    "FOO",
    "bar",
    "fo\no",
    "K",
    "\u{212a}",
    "ſ",
];

/// Bounds with their counts by minute.
type Buckets = &'static [(&'static str, fn(f64) -> f64)];

/// Without `+Inf`, falling, nearly falling, with bounds that are no numbers, missing, equal, negative, spelled oddly, and with
/// counts that are none.
const ODD_HISTOGRAMS: &[(&str, Buckets)] = &[
    ("noinf", &[("1", |m| m), ("2", |m| 2.0 * m)]),
    ("nonmono", &[("1", |m| m + 10.0), ("2", |m| m + m % 7.0), ("4", |m| m + 12.0), ("+Inf", |m| m + 15.0)]),
    ("tiny", &[("1", |_| 100.0), ("2", |_| 100.0 * (1.0 - 1e-13)), ("+Inf", |_| 100.0)]),
    ("bad", &[("abc", |m| m), ("1", |m| m), ("+Inf", |m| 2.0 * m)]),
    ("missing", &[("", |m| m), ("1", |m| m), ("+Inf", |m| 2.0 * m)]),
    ("dup", &[("1", |m| m), ("1.0", |m| m + 3.0), ("+Inf", |m| 2.0 * m + 3.0)]),
    ("neg", &[("-5", |m| m), ("-1", |m| m + 3.0), ("0", |m| m + 4.0), ("3", |m| m + 9.0), ("+Inf", |m| m + 9.0)]),
    ("negonly", &[("-5", |m| m + 1.0), ("+Inf", |m| m + 9.0)]),
    ("nan", &[("1", |m| if m % 3.0 == 0.0 { f64::NAN } else { m }), ("2", |m| m + 3.0), ("+Inf", |m| m + 4.0)]),
    ("zero", &[("1", |_| 0.0), ("2", |_| 0.0), ("+Inf", |_| 0.0)]),
    ("infonly", &[("+Inf", |m| m)]),
    ("infspell", &[("1", |m| m), ("Inf", |m| m + 1.0), ("+Inf", |m| m + 3.0)]),
    ("hexle", &[("0x1p-2", |m| m), ("1_0", |m| m + 1.0), ("1e1", |m| m + 2.0), ("inf", |m| m + 3.0)]),
    ("neginf", &[("-Inf", |m| m), ("1", |m| m + 1.0), ("+Inf", |m| m + 3.0)]),
    ("nanle", &[("NaN", |m| m), ("1", |m| m + 1.0), ("+Inf", |m| m + 3.0)]),
    ("vals", &[("1", |m| -m), ("2", |m| if m % 5.0 == 0.0 { f64::INFINITY } else { m }), ("+Inf", |m| m + 1.0)]),
];
