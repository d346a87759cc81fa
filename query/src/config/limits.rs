//! What a query may take.

use super::{Reader, parse_count};
use crate::flags::LimitArgs;
use crate::{duration, promql};

/// What a query may take.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Samples that one query may load.
    pub max_samples: usize,
    /// Series that the selectors of one query may find.
    pub series: usize,
    /// Steps of a range query beyond the first.
    pub steps: usize,
    /// Bytes of data of all queries.
    pub memory: usize,
    /// Bytes of data of one query.
    pub query_memory: usize,
    /// Bytes received for a selector and not evaluated yet.
    pub select_buffer: usize,
    /// Bytes of the body of a request.
    pub body_bytes: usize,
    /// Bytes of an expression.
    pub expression_bytes: usize,
    /// Nesting of an expression.
    pub expression_depth: usize,
    /// Nodes of an expression.
    pub expression_terms: usize,
    /// Bytes of the compiled regular expressions of an expression.
    pub regex_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let memory = process_memory() / 4 * 3;
        let expression = promql::Limits::default();
        Self {
            max_samples: 50_000_000,
            series: 20_000_000,
            steps: 11_000,
            memory,
            query_memory: memory / 2,
            select_buffer: 8 << 20,
            body_bytes: 10 << 20,
            expression_bytes: expression.bytes,
            expression_depth: expression.depth,
            expression_terms: expression.terms,
            regex_bytes: expression.regex_bytes,
        }
    }
}

/// The most that `limits.steps` may be: times of so many steps take some 30 MB.
pub(super) const STEPS_MAX: usize = 1_000_000;

impl Reader<'_> {
    pub(super) fn limits(&mut self, args: &LimitArgs, to: &mut Limits) {
        self.set("query.max-samples", &mut to.max_samples, parse_count(&args.max_samples));
        self.set("limits.series", &mut to.series, parse_count(&args.series));
        self.set("limits.steps", &mut to.steps, parse_count(&args.steps));
        if let Some(text) = &args.memory {
            self.set("limits.memory", &mut to.memory, duration::parse_bytes(text));
            to.query_memory = to.memory.div_ceil(2);
        }
        if let Some(text) = &args.query_memory {
            self.set("limits.query-memory", &mut to.query_memory, duration::parse_bytes(text));
        }
        self.set("limits.select-buffer", &mut to.select_buffer, duration::parse_bytes(&args.select_buffer));
        self.set("limits.body-bytes", &mut to.body_bytes, duration::parse_bytes(&args.body_bytes));
        self.set("limits.expression-bytes", &mut to.expression_bytes, duration::parse_bytes(&args.expression_bytes));
        self.set("limits.expression-depth", &mut to.expression_depth, parse_count(&args.expression_depth));
        self.set("limits.expression-terms", &mut to.expression_terms, parse_count(&args.expression_terms));
        self.set("limits.regex-bytes", &mut to.regex_bytes, duration::parse_bytes(&args.regex_bytes));
    }
}

/// Bytes that the process may use: the limit of its control group, else the machine's memory, else 4 GiB.
fn process_memory() -> usize {
    // Of control groups of either version.
    let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limit = |file: &&str| std::fs::read_to_string(file).ok()?.trim().parse().ok();
    let group = limits.iter().find_map(limit);
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let kib: usize =
            text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kib * 1024)
    });
    match (group, machine) {
        (Some(group), Some(machine)) => std::cmp::min::<usize>(group, machine),
        (one, other) => one.or(other).unwrap_or(4 << 30),
    }
}
