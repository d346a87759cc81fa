//! Native histograms: the data. Arithmetic comes with their decoders.

/// A float native histogram, as the engine sees all of them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Histogram {
    /// What is known about a reset between the sample before and this one.
    pub counter_reset_hint: CounterResetHint,
    /// Resolution: -4..=8 exponential, -53 custom bounds.
    pub schema: i32,
    /// Width of the zero bucket to either side.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// All observations.
    pub count: f64,
    /// Sum of all observations; the stale marker where the sample is stale.
    pub sum: f64,
    /// Where the positive buckets lie.
    pub positive_spans: Vec<Span>,
    /// Where the negative buckets lie.
    pub negative_spans: Vec<Span>,
    /// Absolute counts of the positive buckets.
    pub positive_buckets: Vec<f64>,
    /// Absolute counts of the negative buckets.
    pub negative_buckets: Vec<f64>,
    /// Upper bounds of custom buckets, without +Inf; empty for exponential schemas.
    pub custom_bounds: Vec<f64>,
}

/// A run of neighbouring buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Gap to the span before; for the first span the index of its first bucket.
    pub offset: i32,
    /// Number of buckets.
    pub length: u32,
}

/// What is known about a counter reset before a histogram sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CounterResetHint {
    /// Nothing: compare with the sample before.
    #[default]
    Unknown,
    /// The counter was reset.
    Reset,
    /// It was not.
    NotReset,
    /// The histogram is a gauge.
    Gauge,
}
