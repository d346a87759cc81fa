//! The settings: one [`Config`], from flags and file, checked as a whole.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use masthead_store::{Labels, MatchOp, Matcher, Millis};

use crate::duration;
use crate::flags::{self, AnswerArgs, Cli, Command, LimitArgs, LogArgs, QueryArgs, SourceArgs};
use crate::promql::{self, Features, ParseOptions};
use crate::settings::Settings;

/// All settings of `masthead query`.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen.
    pub listen: Listen,
    /// Of which origins scripts may read answers.
    pub cors_origin: Matcher,
    /// Whom to ask.
    pub sources: Sources,
    /// How queries are answered.
    pub query: QueryConfig,
    /// What a query may take.
    pub limits: Limits,
    /// The log.
    pub log: LogConfig,
    /// All of it as text, for those who ask what is in force.
    pub settings: Settings,
}

/// Where to listen.
#[derive(Debug, Clone)]
pub struct Listen {
    /// `HOST:PORT` of HTTP; port 0 takes a free one.
    pub http: String,
    /// `HOST:PORT` of the StoreAPI server; None for none.
    pub grpc: Option<String>,
}

/// Whom to ask.
#[derive(Debug, Clone)]
pub struct Sources {
    /// StoreAPI peers as written, prefixes included; unique.
    pub endpoints: Vec<String>,
    /// Folders of blocks.
    pub blocks: Vec<BlockSource>,
    /// How long a peer may be silent within an answer; zero: as long as the query may take.
    pub response_timeout: Duration,
}

/// A folder of blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockSource {
    /// The folder.
    pub folder: PathBuf,
    /// Labels added to blocks that carry none of their own.
    pub labels: Labels,
}

/// How queries are answered.
#[derive(Debug, Clone)]
pub struct QueryConfig {
    /// Labels that tell replicas apart.
    pub replica_labels: Vec<Box<str>>,
    /// The label that names the cluster.
    pub cluster_label: Box<str>,
    /// Longest time for a query.
    pub timeout: Duration,
    /// Queries evaluated at once.
    pub max_concurrent: usize,
    /// Queries that may wait for a slot.
    pub max_waiting: usize,
    /// Threads that compute rows.
    pub threads: usize,
    /// How far back an instant selector looks, ms.
    pub lookback_delta: Millis,
    /// Step of subqueries that name none, ms.
    pub default_evaluation_interval: Millis,
    /// Answer where stores are missing.
    pub partial_response: bool,
    /// Experimental features that are on.
    pub features: Vec<Feature>,
}

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
    /// Bytes of an expression.
    pub expression_bytes: usize,
    /// Nesting of an expression.
    pub expression_depth: usize,
    /// Nodes of an expression.
    pub expression_terms: usize,
    /// Bytes of the compiled regular expressions of an expression.
    pub regex_bytes: usize,
}

/// The log.
#[derive(Debug, Clone, Copy)]
pub struct LogConfig {
    /// The least grave lines that are written.
    pub level: tracing::Level,
    /// JSON lines in place of logfmt.
    pub json: bool,
}

/// An experimental feature that changes something here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    /// Experimental functions and aggregations.
    ExperimentalFunctions,
    /// `anchored` and `smoothed`.
    ExtendedRangeSelectors,
    /// `fill`, `fill_left`, `fill_right`.
    FillModifiers,
    /// The metric name is dropped at the end of the evaluation.
    DelayedNameRemoval,
    /// Counters use the start timestamps of their samples.
    StartTimestamps,
    /// `__type__` and `__unit__` are part of the metric's identity.
    TypeAndUnitLabels,
    /// `stats=all` tells the samples of each step.
    PerStepStats,
}

/// Prometheus' names for features; None where the name is accepted and changes nothing here.
pub const FEATURES: &[(&str, Option<Feature>)] = &[
    ("promql-experimental-functions", Some(Feature::ExperimentalFunctions)),
    ("promql-extended-range-selectors", Some(Feature::ExtendedRangeSelectors)),
    ("promql-binop-fill-modifiers", Some(Feature::FillModifiers)),
    ("promql-delayed-name-removal", Some(Feature::DelayedNameRemoval)),
    ("use-start-timestamps", Some(Feature::StartTimestamps)),
    ("type-and-unit-labels", Some(Feature::TypeAndUnitLabels)),
    ("promql-per-step-stats", Some(Feature::PerStepStats)),
    // Always on, or about what is written and not about what is asked.
    ("promql-duration-expr", None),
    ("promql-at-modifier", None),
    ("promql-negative-offset", None),
    ("native-histograms", None),
    ("ooo-native-histograms", None),
    ("exemplar-storage", None),
    ("xor2-encoding", None),
    ("histograms-st-encoding", None),
    ("st-storage", None),
    ("st-synthesis", None),
    ("created-timestamp-zero-ingestion", None),
];

/// What is wrong with the settings: all faults at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// One sentence each, at least one.
    pub faults: Vec<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.faults.join("\n"))
    }
}

impl std::error::Error for ConfigError {}

/// The outcome of reading the settings.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// What the operator should know, once.
    pub warnings: Vec<String>,
    /// Only check the settings.
    pub check: bool,
}

impl Default for Config {
    fn default() -> Self {
        let memory = process_memory() / 4 * 3;
        let expression = promql::Limits::default();
        Self {
            listen: Listen { http: "0.0.0.0:9090".to_owned(), grpc: Some("0.0.0.0:10901".to_owned()) },
            sources: Sources { endpoints: vec![], blocks: vec![], response_timeout: Duration::from_secs(5) },
            query: QueryConfig {
                replica_labels: vec![],
                cluster_label: "cluster".into(),
                timeout: Duration::from_secs(120),
                max_concurrent: 20,
                max_waiting: 200,
                threads: row_threads(),
                lookback_delta: 300_000,
                default_evaluation_interval: 60_000,
                partial_response: true,
                features: vec![],
            },
            limits: Limits {
                max_samples: 50_000_000,
                series: 20_000_000,
                steps: 11_000,
                memory,
                query_memory: memory / 2,
                select_buffer: 8 << 20,
                expression_bytes: expression.bytes,
                expression_depth: expression.depth,
                expression_terms: expression.terms,
                regex_bytes: expression.regex_bytes,
            },
            log: LogConfig { level: tracing::Level::INFO, json: false },
            cors_origin: parse_origin(".*").expect("the expression is valid"),
            settings: Settings::of(&[]),
        }
    }
}

/// The most that `limits.steps` may be: times of so many steps take some 30 MB.
const STEPS_MAX: usize = 1_000_000;

impl Config {
    /// Reads the arguments of `masthead query` behind the flags of Thanos (see [`flags::thanos::sift`]), with the file they
    /// name. `given` are the same arguments as text: a setting among them wins over the file.
    pub fn load(args: QueryArgs, given: &[String], mut warnings: Vec<String>) -> Result<Loaded, ConfigError> {
        let mut faults = Vec::new();
        let given = match &args.config {
            Some(file) => with_file(file, given, &mut faults),
            None => given.to_vec(),
        };
        let args = match args.config {
            Some(_) => parse_again(&given, &mut faults).unwrap_or(args),
            None => args,
        };
        let check = args.check;
        let config = Self { settings: Settings::of(&given), ..Self::from_args(&args, &mut faults) };
        config.validate(&mut faults);
        if !faults.is_empty() {
            return Err(ConfigError { faults });
        }
        warnings.extend(config.warnings());
        Ok(Loaded { config, warnings, check })
    }

    /// Gives the arguments their types. A fault leaves the default in its place, so that all faults are found.
    fn from_args(args: &QueryArgs, faults: &mut Vec<String>) -> Self {
        let mut config = Self::default();
        let mut read = Reader { faults };
        config.listen.http.clone_from(&args.listen.http);
        config.listen.grpc = Some(args.listen.grpc.clone()).filter(|address| !address.is_empty());
        read.set("web.cors.origin", &mut config.cors_origin, parse_origin(&args.listen.cors_origin));
        read.sources(&args.sources, &mut config.sources);
        read.query(&args.query, &mut config.query);
        read.limits(&args.limits, &mut config.limits);
        read.log(&args.log, &mut config.log);
        config
    }

    /// Checks what only the settings together can show.
    pub fn validate(&self, faults: &mut Vec<String>) {
        let listeners = [("http-address", Some(&self.listen.http)), ("grpc-address", self.listen.grpc.as_ref())];
        for (name, address) in listeners {
            if let Some(address) = address
                && !is_host_port(address)
            {
                faults.push(format!("{name}: not an address: {address:?}"));
            }
        }
        if self.listen.grpc.as_ref() == Some(&self.listen.http) && !self.listen.http.ends_with(":0") {
            faults.push("grpc-address: the same as http-address".to_owned());
        }
        for (name, number) in [
            ("query.timeout", self.query.timeout.as_millis() as usize),
            ("query.max-concurrent", self.query.max_concurrent),
            ("query.threads", self.query.threads),
            ("query.lookback-delta", self.query.lookback_delta as usize),
            ("query.default-evaluation-interval", self.query.default_evaluation_interval as usize),
            ("query.max-samples", self.limits.max_samples),
            ("limits.series", self.limits.series),
            ("limits.steps", self.limits.steps),
            ("limits.memory", self.limits.memory),
            ("limits.query-memory", self.limits.query_memory),
            ("limits.select-buffer", self.limits.select_buffer),
            ("limits.expression-bytes", self.limits.expression_bytes),
            ("limits.expression-depth", self.limits.expression_depth),
            ("limits.expression-terms", self.limits.expression_terms),
            ("limits.regex-bytes", self.limits.regex_bytes),
        ] {
            if number == 0 {
                faults.push(format!("{name}: must be greater than 0"));
            }
        }
        if self.limits.steps > STEPS_MAX {
            faults.push(format!("limits.steps: greater than {STEPS_MAX}"));
        }
        if self.limits.query_memory > self.limits.memory {
            faults.push("limits.query-memory: greater than limits.memory".to_owned());
        }
        let depth_max = promql::Limits::DEPTH_MAX;
        if self.limits.expression_depth > depth_max {
            faults.push(format!("limits.expression-depth: greater than {depth_max}, for which the stack is made"));
        }
        if self.query.cluster_label.is_empty() {
            faults.push("cluster-label: empty".to_owned());
        }
    }

    /// What is allowed and yet unlikely to be meant.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let cluster = &self.query.cluster_label;
        if self.query.replica_labels.contains(cluster) {
            warnings.push(format!(
                "query.replica-label={cluster}: series that differ only in {cluster:?} are folded into one, so that \
                 different clusters are no longer told apart and only one of them is seen at a time; a replica label should \
                 name the replica within a cluster (set cluster-label if {cluster:?} does not name clusters)"
            ));
        }
        if self.sources.endpoints.is_empty() && self.sources.blocks.is_empty() {
            warnings.push("no store: give --endpoint or --blocks; every answer will be empty".to_owned());
        }
        warnings
    }

    /// What the parser accepts.
    pub fn parse_options(&self) -> ParseOptions {
        ParseOptions {
            features: Features {
                experimental_functions: self.has(Feature::ExperimentalFunctions),
                extended_range_selectors: self.has(Feature::ExtendedRangeSelectors),
                fill_modifiers: self.has(Feature::FillModifiers),
            },
            limits: promql::Limits {
                bytes: self.limits.expression_bytes,
                depth: self.limits.expression_depth,
                terms: self.limits.expression_terms,
                regex_bytes: self.limits.regex_bytes,
            },
        }
    }

    /// Whether a feature is on.
    pub fn has(&self, feature: Feature) -> bool {
        self.query.features.contains(&feature)
    }
}

/// Reads values and collects their faults, each behind the setting's name.
struct Reader<'a> {
    faults: &'a mut Vec<String>,
}

impl Reader<'_> {
    fn set<T>(&mut self, name: &str, target: &mut T, parsed: Result<T, String>) {
        match parsed {
            Ok(value) => *target = value,
            Err(fault) => self.faults.push(format!("{name}: {fault}")),
        }
    }

    fn sources(&mut self, args: &SourceArgs, to: &mut Sources) {
        let named = [
            ("endpoint", &args.endpoints),
            ("store", &args.stores),
            ("endpoint-strict", &args.strict_endpoints),
            ("store-strict", &args.strict_stores),
        ];
        for (name, addresses) in named {
            let strict = name.ends_with("strict");
            for address in addresses {
                match check_endpoint(address, strict) {
                    Err(fault) => self.faults.push(format!("{name}: {fault}")),
                    Ok(()) if !to.endpoints.contains(address) => to.endpoints.push(address.clone()),
                    Ok(()) => {}
                }
            }
        }
        for text in &args.blocks {
            match parse_blocks(text) {
                Err(fault) => self.faults.push(format!("blocks: {fault}")),
                Ok(source) if to.blocks.iter().any(|have| have.folder == source.folder) => {
                    self.faults.push(format!("blocks: {} is given twice", source.folder.display()));
                }
                Ok(source) => to.blocks.push(source),
            }
        }
        self.set("store.response-timeout", &mut to.response_timeout, duration::parse(&args.response_timeout));
    }

    fn query(&mut self, args: &AnswerArgs, to: &mut QueryConfig) {
        for name in args.replica_labels.iter().flat_map(|list| list.split(',')).map(str::trim) {
            if name.is_empty() {
                self.faults.push("query.replica-label: empty".to_owned());
            } else if !to.replica_labels.iter().any(|have| **have == *name) {
                to.replica_labels.push(name.into());
            }
        }
        to.cluster_label = args.cluster_label.as_str().into();
        self.set("query.timeout", &mut to.timeout, duration::parse(&args.timeout));
        self.set("query.max-concurrent", &mut to.max_concurrent, parse_count(&args.max_concurrent));
        self.set("query.max-waiting", &mut to.max_waiting, parse_count(&args.max_waiting));
        if let Some(text) = &args.threads {
            self.set("query.threads", &mut to.threads, parse_count(text));
        }
        self.set("query.lookback-delta", &mut to.lookback_delta, parse_millis(&args.lookback_delta));
        self.set(
            "query.default-evaluation-interval",
            &mut to.default_evaluation_interval,
            parse_millis(&args.default_evaluation_interval),
        );
        self.set("query.partial-response", &mut to.partial_response, parse_bool(&args.partial_response));
        to.partial_response &= !args.no_partial_response;
        for name in args.features.iter().flat_map(|list| list.split(',')).map(str::trim).filter(|name| !name.is_empty())
        {
            match FEATURES.iter().find(|(have, _)| *have == name) {
                Some((_, feature)) => to.features.extend(feature),
                None => self.faults.push(format!("enable-feature: unknown feature {name:?}")),
            }
        }
    }

    fn limits(&mut self, args: &LimitArgs, to: &mut Limits) {
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
        self.set("limits.expression-bytes", &mut to.expression_bytes, duration::parse_bytes(&args.expression_bytes));
        self.set("limits.expression-depth", &mut to.expression_depth, parse_count(&args.expression_depth));
        self.set("limits.expression-terms", &mut to.expression_terms, parse_count(&args.expression_terms));
        self.set("limits.regex-bytes", &mut to.regex_bytes, duration::parse_bytes(&args.regex_bytes));
    }

    fn log(&mut self, args: &LogArgs, to: &mut LogConfig) {
        let level =
            args.level.parse().map_err(|_| format!("{:?} is none of error, warn, info, debug, trace", args.level));
        self.set("log.level", &mut to.level, level);
        let json = match args.format.as_str() {
            "logfmt" => Ok(false),
            "json" => Ok(true),
            other => Err(format!("{other:?} is none of logfmt, json")),
        };
        self.set("log.format", &mut to.json, json);
    }
}

/// The settings of `file` before the arguments that were given; without them where it cannot be read.
fn with_file(file: &Path, given: &[String], faults: &mut Vec<String>) -> Vec<String> {
    let mut args = match std::fs::read_to_string(file) {
        Ok(text) => file_args(&text, given, faults),
        Err(error) => {
            faults.push(format!("config: read {}: {error}", file.display()));
            vec![]
        }
    };
    args.extend_from_slice(given);
    args
}

/// Parses arguments of `masthead query`. None where nothing can be parsed.
fn parse_again(given: &[String], faults: &mut Vec<String>) -> Option<QueryArgs> {
    use clap::Parser as _;
    let args = ["masthead", "query"].into_iter().chain(given.iter().map(String::as_str));
    match Cli::try_parse_from(args) {
        Ok(Cli { command: Command::Query(args) }) => Some(*args),
        // The words in front name the subcommand.
        Ok(_) => None,
        Err(error) => {
            faults.push(format!("config: {}", error.to_string().trim()));
            None
        }
    }
}

/// The settings of a configuration file as arguments, without those among `given`.
fn file_args(text: &str, given: &[String], faults: &mut Vec<String>) -> Vec<String> {
    let entries: serde_json::Map<String, serde_json::Value> = match serde_saphyr::from_str::<Option<_>>(text) {
        Ok(entries) => entries.unwrap_or_default(),
        Err(error) => {
            faults.push(format!("config: {error}"));
            return vec![];
        }
    };
    let settings = flags::settings();
    let is_given = |name: &str| {
        given.iter().filter_map(|arg| arg.strip_prefix("--")).any(|arg| {
            let flag = arg.split_once('=').map_or(arg, |(flag, _)| flag);
            flag.strip_prefix("no-").unwrap_or(flag) == name
        })
    };
    let mut args = Vec::new();
    for (name, value) in entries {
        let Some((_, list)) = settings.iter().find(|(have, _)| *have == name) else {
            faults.push(format!("config: unknown setting {name:?}"));
            continue;
        };
        let values = match value {
            serde_json::Value::Array(values) if *list => values,
            value => vec![value],
        };
        for value in values {
            match scalar(&value) {
                Some(text) if !is_given(&name) => args.push(format!("--{name}={text}")),
                Some(_) => {}
                None if *list => faults.push(format!("config: {name}: not a list of plain values")),
                None => faults.push(format!("config: {name}: not a plain value")),
            }
        }
    }
    args
}

fn scalar(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Number(number) => Some(number.to_string()),
        serde_json::Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

fn parse_count(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("not a whole number: {text:?}"))
}

fn parse_millis(text: &str) -> Result<Millis, String> {
    duration::parse_ms(text).map(|ms| ms as Millis)
}

/// An anchored expression that origins must match.
fn parse_origin(text: &str) -> Result<Matcher, String> {
    Matcher::new("origin", MatchOp::Regex, text)
}

fn parse_bool(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| format!("neither true nor false: {text:?}"))
}

/// The prefixes of names that are resolved, and whether the name must have a port.
pub const DNS_PREFIXES: [(&str, bool); 4] =
    [("dns+", true), ("dnsdualstack+", true), ("dnssrv+", false), ("dnssrvnoa+", false)];

fn check_endpoint(address: &str, strict: bool) -> Result<(), String> {
    let prefix = DNS_PREFIXES.iter().find(|(prefix, _)| address.starts_with(prefix));
    let plain = prefix.map_or(address, |(prefix, _)| &address[prefix.len()..]);
    if let Some((scheme, _)) = address.split_once('+').filter(|_| prefix.is_none()) {
        return Err(format!(
            "unknown prefix {:?} in {address:?}: dns+, dnsdualstack+, dnssrv+ and dnssrvnoa+ are known",
            format!("{scheme}+")
        ));
    }
    if strict && prefix.is_some() {
        return Err(format!("{address:?}: a strict address is a plain HOST:PORT"));
    }
    let needs_port = prefix.is_none_or(|(_, needs_port)| *needs_port);
    let fits = if needs_port { is_host_port(plain) } else { !plain.is_empty() && !plain.contains([' ', '/', ',']) };
    if fits { Ok(()) } else { Err(format!("not an address: {address:?}")) }
}

fn is_host_port(address: &str) -> bool {
    address.rsplit_once(':').is_some_and(|(host, port)| {
        let bare = !host.contains([' ', '/', ',', ':']);
        (bare || host.starts_with('[') && host.ends_with(']')) && port.parse::<u16>().is_ok()
    })
}

/// Parses `DIR[,name=value]...`.
fn parse_blocks(text: &str) -> Result<BlockSource, String> {
    let mut parts = text.split(',');
    let folder = parts.next().unwrap_or_default();
    if folder.is_empty() {
        return Err(format!("no folder in {text:?}"));
    }
    let mut pairs = Vec::new();
    for part in parts {
        match part.split_once('=') {
            Some((name, value)) if !name.is_empty() && !value.is_empty() => pairs.push((name, value)),
            _ => return Err(format!("{part:?} in {text:?} is not NAME=VALUE")),
        }
    }
    Ok(BlockSource { folder: folder.into(), labels: Labels::from_pairs(pairs) })
}

/// Threads for rows: one processor is left to those that wait for input and output.
fn row_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |count| count.get()).saturating_sub(1).max(1)
}

/// Bytes that the process may use: the limit of its control group, else the machine's memory, else 4 GiB.
fn process_memory() -> usize {
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    fn load(args: &[&str]) -> Result<Loaded, ConfigError> {
        let given: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let all = ["masthead".to_owned(), "query".to_owned()].into_iter().chain(given.clone());
        let Command::Query(parsed) = Cli::try_parse_from(all).unwrap().command else { panic!("not a query") };
        Config::load(*parsed, &given, vec![])
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn no_argument_gives_the_default() {
        let loaded = load(&[]).unwrap();
        assert_eq!(format!("{:?}", loaded.config), format!("{:?}", Config::default()));
        assert_eq!(loaded.warnings.len(), 1, "no store");
    }

    #[test]
    fn all_faults_are_reported_at_once() {
        let file =
            file("query.timeout: 5q\nquery.max-conc: 3\nlog.level: [a]\nendpoint: {a: 1}\nblocks: ['/a', ',x=1']\n");
        let path = format!("--config={}", file.path().display());
        let faults = load(&[
            &path,
            "--endpoint=sidecar",
            "--store=dnz+a:1",
            "--store-strict=dns+a:1",
            "--enable-feature=promql-experimental-functions,nope",
            "--http-address=nowhere",
            "--query.max-samples=0",
            "--limits.memory=1KiB",
            "--limits.query-memory=1MiB",
            "--log.format=journald",
        ])
        .unwrap_err()
        .faults;
        let expected = [
            "config: unknown setting \"query.max-conc\"",
            "config: log.level: not a plain value",
            "endpoint: not an address: \"sidecar\"",
            "store: unknown prefix \"dnz+\" in \"dnz+a:1\": dns+, dnsdualstack+, dnssrv+ and dnssrvnoa+ are known",
            "store-strict: \"dns+a:1\": a strict address is a plain HOST:PORT",
            "blocks: no folder in \",x=1\"",
            "query.timeout: unknown unit \"q\" in duration \"5q\"",
            "enable-feature: unknown feature \"nope\"",
            "log.format: \"journald\" is none of logfmt, json",
            "http-address: not an address: \"nowhere\"",
            "query.max-samples: must be greater than 0",
            "limits.query-memory: greater than limits.memory",
        ];
        for fault in expected {
            assert!(faults.iter().any(|have| have == fault), "{fault} is not in {faults:#?}");
        }
        assert_eq!(faults.len(), expected.len() + 1, "the endpoint of the file: {faults:#?}");
    }

    #[test]
    fn a_flag_wins_over_the_file() {
        let file = file(
            "query.timeout: 30s\nquery.max-concurrent: 7\nendpoint: [a:1, b:2]\nquery.replica-label: replica\n\
             query.partial-response: false\n",
        );
        let path = format!("--config={}", file.path().display());
        let config = load(&[&path, "--query.timeout=10s", "--endpoint", "c:3", "--check"]).unwrap();
        assert!(config.check);
        let config = config.config;
        assert_eq!(config.query.timeout, Duration::from_secs(10));
        assert_eq!(config.query.max_concurrent, 7);
        assert_eq!(config.sources.endpoints, ["c:3"]);
        assert_eq!(config.query.replica_labels, ["replica".into()]);
        assert!(!config.query.partial_response);
        let config = load(&[&path, "--query.partial-response"]).unwrap().config;
        assert!(config.query.partial_response);
        assert!(
            load(&["--config=/nonexistent/file"]).unwrap_err().faults[0]
                .starts_with("config: read /nonexistent/file: ")
        );
    }

    #[test]
    fn the_literal_command_line_of_a_thanos_user_warns_of_the_cluster_label_once() {
        let loaded = load(&[
            "--http-address=0.0.0.0:9090",
            "--store=thanos-sidecar.prod-us-east.svc:10901",
            "--store=thanos-sidecar.prod-eu-west.svc:10901",
            "--store=thanos-sidecar.prod-ap-south.svc:10901",
            "--store=dnssrv+_grpc._tcp.thanos-store.monitoring.svc",
            "--query.replica-label=cluster",
        ])
        .unwrap();
        assert_eq!(loaded.config.sources.endpoints.len(), 4);
        assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
        assert!(loaded.warnings[0].contains("different clusters are no longer told apart"));
    }

    #[test]
    fn lists_and_switches() {
        let config = load(&[
            "--query.replica-label=replica, receive_replica",
            "--query.replica-label=replica",
            "--enable-feature=promql-experimental-functions,promql-duration-expr",
            "--enable-feature=promql-delayed-name-removal",
            "--no-query.partial-response",
            "--blocks=/data/a,cluster=x,replica=0",
            "--blocks=/bucket",
            "--grpc-address=",
            "--limits.memory=1GiB",
        ])
        .unwrap()
        .config;
        assert_eq!(config.query.replica_labels, ["replica".into(), "receive_replica".into()]);
        assert!(config.has(Feature::ExperimentalFunctions) && config.has(Feature::DelayedNameRemoval));
        assert!(!config.has(Feature::FillModifiers));
        assert!(!config.query.partial_response);
        assert_eq!(config.listen.grpc, None);
        assert_eq!(config.limits.query_memory, 512 << 20);
        let labels = Labels::from_pairs([("cluster", "x"), ("replica", "0")]);
        assert_eq!(config.sources.blocks[0], BlockSource { folder: "/data/a".into(), labels });
        assert_eq!(config.sources.blocks[1].labels, Labels::empty());
    }
}
