//! The command line: our flags, and what becomes of the flags of `thanos query`.
//!
//! Every setting has one name, which is its flag and its key in the configuration file. Values stay text here;
//! [`crate::config`] gives them their types, so that all faults are reported at once.

pub mod thanos;

use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand};

/// PromQL over every cluster at once.
#[derive(Debug, Parser)]
#[command(name = "masthead", version, about, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands. A further one is a variant here and an arm in `main`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Answer PromQL over StoreAPI peers and TSDB blocks.
    Query(Box<QueryArgs>),
    /// Run an embedded fleet of three clusters with a day of history, and answer PromQL over it.
    Demo(DemoArgs),
}

/// Arguments of `masthead demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// HTTP API and page of the aggregator.
    #[arg(long = "http-address", value_name = "HOST:PORT", default_value = "127.0.0.1:9090")]
    pub http_address: String,
    /// Stop this cluster's servers a while after all is ready: prod-us-east, prod-eu-west or prod-ap-south.
    #[arg(long, value_name = "CLUSTER")]
    pub kill: Option<String>,
    /// How long after.
    #[arg(long, value_name = "DURATION", default_value = "20s")]
    pub kill_after: String,
    /// End the demo after this time, with status 0.
    #[arg(long = "for", value_name = "DURATION")]
    pub end_after: Option<String>,
}

/// All settings of `masthead query`.
#[derive(Debug, Args)]
pub struct QueryArgs {
    /// YAML file with the same names as the flags, without the dashes; a flag wins.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Check the settings, and end.
    #[arg(long)]
    pub check: bool,
    /// Where to listen.
    #[command(flatten)]
    pub listen: ListenArgs,
    /// Whom to ask.
    #[command(flatten)]
    pub sources: SourceArgs,
    /// How queries are answered.
    #[command(flatten)]
    pub query: AnswerArgs,
    /// What a query may take.
    #[command(flatten)]
    pub limits: LimitArgs,
    /// The log.
    #[command(flatten)]
    pub log: LogArgs,
}

/// Where to listen.
#[derive(Debug, Args)]
#[command(next_help_heading = "Listeners")]
pub struct ListenArgs {
    /// HTTP API and page.
    #[arg(long = "http-address", value_name = "HOST:PORT", default_value = "0.0.0.0:9090")]
    pub http: String,
    /// StoreAPI server, by which this Masthead is a store of another; empty for none.
    #[arg(long = "grpc-address", value_name = "HOST:PORT", default_value = "0.0.0.0:10901")]
    pub grpc: String,
    /// Expression of the origins whose scripts may read answers (CORS); it is anchored.
    #[arg(long = "web.cors.origin", value_name = "REGEX", default_value = ".*")]
    pub cors_origin: String,
}

/// Whom to ask.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sources")]
pub struct SourceArgs {
    /// StoreAPI peer: HOST:PORT, dns+HOST:PORT, dnsdualstack+HOST:PORT, dnssrv+NAME or dnssrvnoa+NAME; repeatable.
    #[arg(long = "endpoint", value_name = "ADDRESS")]
    pub endpoints: Vec<String>,
    /// StoreAPI peer by plain address; repeatable. All peers are strict here: none is ever forgotten.
    #[arg(long = "endpoint-strict", value_name = "ADDRESS")]
    pub strict_endpoints: Vec<String>,
    /// The same as --endpoint.
    #[arg(long = "store", value_name = "ADDRESS")]
    pub stores: Vec<String>,
    /// The same as --endpoint-strict.
    #[arg(long = "store-strict", value_name = "ADDRESS")]
    pub strict_stores: Vec<String>,
    /// Folder of TSDB blocks: a bucket, or a Prometheus data directory, to which the pairs are added as external labels;
    /// repeatable.
    #[arg(long = "blocks", value_name = "DIR[,NAME=VALUE]...")]
    pub blocks: Vec<String>,
    /// How long a peer may be silent within an answer before it counts as missing; 0 for as long as the query may take.
    #[arg(long = "store.response-timeout", value_name = "DURATION", default_value = "5s")]
    pub response_timeout: String,
}

/// How queries are answered.
#[derive(Debug, Args)]
#[command(next_help_heading = "Queries")]
pub struct AnswerArgs {
    /// Label that tells replicas apart, by which series are deduplicated; repeatable, or a comma list.
    #[arg(long = "query.replica-label", value_name = "NAME")]
    pub replica_labels: Vec<String>,
    /// Label that names the cluster in what is reported as missing.
    #[arg(long = "cluster-label", value_name = "NAME", default_value = "cluster")]
    pub cluster_label: String,
    /// Longest time for a query.
    #[arg(long = "query.timeout", value_name = "DURATION", default_value = "2m")]
    pub timeout: String,
    /// Queries evaluated at once.
    #[arg(long = "query.max-concurrent", value_name = "N", default_value = "20")]
    pub max_concurrent: String,
    /// Queries that may wait for a slot; more are refused at once.
    #[arg(long = "query.max-waiting", value_name = "N", default_value = "200")]
    pub max_waiting: String,
    /// Threads that compute rows; answers do not depend on it [default: one less than the processors].
    #[arg(long = "query.threads", value_name = "N")]
    pub threads: Option<String>,
    /// How far back an instant selector looks for a sample.
    #[arg(long = "query.lookback-delta", value_name = "DURATION", default_value = "5m")]
    pub lookback_delta: String,
    /// Step of subqueries that name none.
    #[arg(long = "query.default-evaluation-interval", value_name = "DURATION", default_value = "1m")]
    pub default_evaluation_interval: String,
    /// Answer with a warning where stores are missing, unless partial_response says otherwise; else fail.
    #[arg(
        long = "query.partial-response",
        value_name = "BOOL",
        default_value = "true",
        default_missing_value = "true",
        num_args = 0..=1,
        require_equals = true
    )]
    pub partial_response: String,
    /// The same as --query.partial-response=false.
    #[arg(long = "no-query.partial-response")]
    pub no_partial_response: bool,
    /// Experimental features by Prometheus' names; repeatable, or a comma list.
    #[arg(long = "enable-feature", value_name = "NAMES")]
    pub features: Vec<String>,
}

/// What a query may take.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// Samples that one query may load: the points of its selectors at all steps, and the raw samples of a series at a time.
    #[arg(long = "query.max-samples", value_name = "N", default_value = "50000000")]
    pub max_samples: String,
    /// Series that the selectors of one query may find.
    #[arg(long = "limits.series", value_name = "N", default_value = "20000000")]
    pub series: String,
    /// Steps of a range query beyond the first; Prometheus' own limit is the default.
    #[arg(long = "limits.steps", value_name = "N", default_value = "11000")]
    pub steps: String,
    /// Memory for the data of all queries [default: three quarters of what the process may use].
    #[arg(long = "limits.memory", value_name = "BYTES")]
    pub memory: Option<String>,
    /// Memory for the data of one query [default: half of limits.memory].
    #[arg(long = "limits.query-memory", value_name = "BYTES")]
    pub query_memory: Option<String>,
    /// Memory for what was received for a selector and not evaluated yet.
    #[arg(long = "limits.select-buffer", value_name = "BYTES", default_value = "8MiB")]
    pub select_buffer: String,
    /// Body of a request: a form, or a remote read.
    #[arg(long = "limits.body-bytes", value_name = "BYTES", default_value = "10MiB")]
    pub body_bytes: String,
    /// Length of an expression.
    #[arg(long = "limits.expression-bytes", value_name = "BYTES", default_value = "512KiB")]
    pub expression_bytes: String,
    /// Nesting of an expression; every operator of a chain counts.
    #[arg(long = "limits.expression-depth", value_name = "N", default_value = "500")]
    pub expression_depth: String,
    /// Parts of an expression.
    #[arg(long = "limits.expression-terms", value_name = "N", default_value = "20000")]
    pub expression_terms: String,
    /// Memory for the compiled regular expressions of an expression; a single one may take 64 KiB and 64 bytes a character.
    #[arg(long = "limits.regex-bytes", value_name = "BYTES", default_value = "64MiB")]
    pub regex_bytes: String,
}

/// The log.
#[derive(Debug, Args)]
#[command(next_help_heading = "Log")]
pub struct LogArgs {
    /// error, warn, info, debug or trace.
    #[arg(long = "log.level", value_name = "LEVEL", default_value = "info")]
    pub level: String,
    /// logfmt or json.
    #[arg(long = "log.format", value_name = "FORMAT", default_value = "logfmt")]
    pub format: String,
}

/// The settings of `masthead query` that the configuration file may hold: flag name, and whether it is repeatable.
pub fn settings() -> Vec<(String, bool)> {
    let is_list = |arg: &clap::Arg| matches!(arg.get_action(), clap::ArgAction::Append);
    let name = |arg: &clap::Arg| arg.get_long().map(|name| (name.to_owned(), is_list(arg)));
    let only_flags = |name: &str| matches!(name, "config" | "check" | "help" | "version") || name.starts_with("no-");
    query_arguments().iter().filter_map(name).filter(|(name, _)| !only_flags(name)).collect()
}

pub(crate) fn query_arguments() -> Vec<clap::Arg> {
    let command = Cli::command();
    let query = command.find_subcommand("query").expect("the subcommand is declared above");
    query.get_arguments().cloned().collect()
}

/// The table of our own flags as README shows it.
pub fn render() -> String {
    let mut out = String::from("| flag | default | meaning |\n|---|---|---|\n");
    for arg in query_arguments() {
        let Some(name) = arg.get_long() else { continue };
        let value = match (arg.get_action().takes_values(), arg.get_value_names()) {
            (true, Some([value, ..])) => format!("={value}"),
            _ => String::new(),
        };
        let defaults: Vec<String> = arg.get_default_values().iter().map(|v| format!("`{}`", v.display())).collect();
        let defaults = if arg.get_action().takes_values() { defaults.join(", ") } else { String::new() };
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        out.push_str(&format!("| `--{name}{value}` | {defaults} | {help} |\n"));
    }
    out
}
