//! The settings: one [`Config`], from flags and file, checked as a whole.

mod file;
mod limits;
mod listen;
mod log;
mod query;
mod sources;
#[cfg(test)]
mod tests;

use std::fmt;

use masthead_store::Matcher;

use crate::flags::QueryArgs;
use crate::promql::{self, Features, ParseOptions};
use crate::settings::Settings;
use file::{parse_again, with_file};
pub use limits::Limits;
use limits::STEPS_MAX;
pub use listen::Listen;
use listen::{is_host_port, parse_origin};
pub use log::LogConfig;
pub use query::{FEATURES, Feature, QueryConfig};
pub use sources::{BlockSource, Sources};

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
        Self {
            listen: Listen::default(),
            cors_origin: parse_origin(".*").expect("the expression is valid"),
            sources: Sources::default(),
            query: QueryConfig::default(),
            limits: Limits::default(),
            log: LogConfig::default(),
            settings: Settings::of(&[]),
        }
    }
}

impl Config {
    /// Reads the arguments of `masthead query` behind the flags of Thanos (see [`crate::flags::thanos::sift`]), with the
    /// file they name. `given` are the same arguments as text: a setting among them wins over the file.
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
        config.listen = Listen::of(&args.listen);
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
            ("limits.body-bytes", self.limits.body_bytes),
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
}

fn parse_count(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("not a whole number: {text:?}"))
}
