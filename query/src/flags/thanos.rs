//! The flags of `thanos query` 0.43, hidden ones included, and what becomes of each of them here.

use std::fmt::Write as _;

/// One flag of `thanos query`.
#[derive(Debug, Clone, Copy)]
pub struct ThanosFlag {
    /// Name without the dashes.
    pub name: &'static str,
    /// Whether it stands alone; such a flag has a negative form, `--no-NAME`.
    pub switch: bool,
    /// What becomes of it.
    pub treatment: Treatment,
}

/// What becomes of a flag of `thanos query`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// We have the same flag.
    Same,
    /// Accepted with a warning, which says what is there instead.
    Ignored(&'static str),
    /// Refused for this reason: leaving it out would change answers, lose stores or open what should be closed.
    Refused(&'static str),
}

use Treatment::{Ignored, Refused, Same};

const fn value(name: &'static str, treatment: Treatment) -> ThanosFlag {
    ThanosFlag { name, switch: false, treatment }
}

const fn switch(name: &'static str, treatment: Treatment) -> ThanosFlag {
    ThanosFlag { name, switch: true, treatment }
}

const NO_TLS_SERVER: Treatment = Refused("the gRPC server has no TLS yet; put a TLS proxy in front of --grpc-address");
const NO_TLS_CLIENT: Treatment = Refused("peers are asked without TLS yet; put a TLS proxy between");
const ONE_ENGINE: Treatment = Ignored("there is one engine, which evaluates every query here");
const RAW_ONLY: Treatment = Ignored("only raw data is read; what exists downsampled only is reported as missing");
const DRAIN: Treatment = Ignored("running queries are drained for up to --query.timeout");
const ONE_CHOICE: Treatment = Ignored("--query.partial-response decides for all of the API");
const NO_TENANTS: Treatment = Ignored("tenants are not told apart");
const QUERY_METRICS: Treatment = Ignored("the buckets of masthead_query_seconds are fixed");
const NO_DISCOVERY_FILE: Treatment =
    Refused("stores would be missing without notice; name them with --endpoint, also dns+ and dnssrv+");
const NO_GROUPS: Treatment = Refused(
    "stores would be missing without notice; use --endpoint=dns+NAME:PORT: all members are asked, equal data counts once",
);
const NO_RELABEL: Treatment = Refused("answers would hold more than was selected; select by matchers in the query");
const NO_PREFIX: Treatment =
    Refused("all paths are served at the root; let the reverse proxy strip the prefix, the page's links are relative");

/// All of them, in the order of `thanos query --help`, the hidden ones last.
pub const THANOS_FLAGS: &[ThanosFlag] = &[
    switch("help", Same),
    switch("version", Same),
    value("log.level", Same),
    value("log.format", Same),
    value("tracing.config-file", Ignored("no traces are exported; X-Request-Id ties answers to log lines")),
    value("tracing.config", Ignored("no traces are exported; X-Request-Id ties answers to log lines")),
    switch("enable-auto-gomemlimit", Ignored("--limits.memory follows the memory of the container by default")),
    value("auto-gomemlimit.ratio", Ignored("--limits.memory sets the memory in bytes")),
    value("http-address", Same),
    value("http-grace-period", DRAIN),
    value("http.config", Refused("HTTP has no TLS and no authentication; put a proxy in front of --http-address")),
    value("grpc-address", Same),
    value("grpc-server-tls-cert", NO_TLS_SERVER),
    value("grpc-server-tls-key", NO_TLS_SERVER),
    value("grpc-server-tls-client-ca", NO_TLS_SERVER),
    value("grpc-server-tls-min-version", NO_TLS_SERVER),
    value("grpc-server-tls-ciphers", NO_TLS_SERVER),
    value("grpc-server-tls-curves", NO_TLS_SERVER),
    value("grpc-server-max-connection-age", Ignored("connections last until the peer closes them")),
    value("grpc-grace-period", DRAIN),
    switch("grpc-client-tls-secure", NO_TLS_CLIENT),
    switch("grpc-client-tls-skip-verify", NO_TLS_CLIENT),
    value("grpc-client-tls-cert", NO_TLS_CLIENT),
    value("grpc-client-tls-key", NO_TLS_CLIENT),
    value("grpc-client-tls-ca", NO_TLS_CLIENT),
    value("grpc-client-server-name", NO_TLS_CLIENT),
    value("grpc-compression", Ignored("peers are asked for uncompressed frames")),
    value("grpc-client-tls-min-version", NO_TLS_CLIENT),
    value("web.route-prefix", NO_PREFIX),
    value("web.external-prefix", NO_PREFIX),
    value("web.prefix-header", Ignored("the page's links are relative")),
    switch("web.disable-cors", Refused("CORS headers are always sent; --web.cors.origin says to whom")),
    value("query.timeout", Same),
    value("query.promql-engine", ONE_ENGINE),
    switch(
        "query.enable-x-functions",
        Ignored(
            "rate(x[5m] anchored) with --enable-feature=promql-extended-range-selectors replaces xrate and its kin",
        ),
    ),
    value("query.mode", ONE_ENGINE),
    value("query.max-concurrent", Same),
    value("query.lookback-delta", Same),
    value("query.max-concurrent-select", Ignored("all selectors run at once, bounded by --limits.select-buffer")),
    value("query.conn-metric.label", Ignored("masthead_store_up names the store; /api/v1/stores has its labels")),
    value("deduplication.func", Ignored("there is one way: a stable primary replica whose gaps the others fill")),
    value("query.replica-label", Same),
    value("query.partition-label", ONE_ENGINE),
    value("query.metadata.default-time-range", Ignored("without start and end all time is asked; give start and end")),
    value("selector-label", Refused("the StoreAPI server advertises the label sets of its stores and no others")),
    switch("query.auto-downsampling", RAW_ONLY),
    switch("query.partial-response", Same),
    value("query.active-query-path", Ignored("masthead_queries_in_flight counts them; each has a log line at its end")),
    value("enable-feature", Same),
    value("query.default-evaluation-interval", Same),
    value("query.default-step", Ignored("query_range needs step, as in Prometheus")),
    value("store.response-timeout", Same),
    value("selector.relabel-config-file", NO_RELABEL),
    value("selector.relabel-config", NO_RELABEL),
    value("request.logging-config-file", Ignored("every query has one log line; see --log.level")),
    value("request.logging-config", Ignored("every query has one log line; see --log.level")),
    value("alert.query-url", Ignored("alerts link to nothing: rulers evaluate them, this only lists them")),
    value("query.telemetry.request-duration-seconds-quantiles", QUERY_METRICS),
    value("query.telemetry.request-samples-quantiles", QUERY_METRICS),
    value("query.telemetry.request-series-seconds-quantiles", QUERY_METRICS),
    value("query.tenant-header", NO_TENANTS),
    value("query.default-tenant-id", NO_TENANTS),
    value("query.tenant-certificate-field", NO_TENANTS),
    switch("query.enforce-tenancy", Refused("tenants are not told apart, so that everyone would see everything")),
    value("query.tenant-label-name", NO_TENANTS),
    value("store.sd-dns-interval", Ignored("names are resolved again every 30 s")),
    value("store.unhealthy-timeout", Ignored("a store that stops answering is reported as missing until it is back")),
    value("endpoint.sd-config-file", NO_DISCOVERY_FILE),
    value("endpoint.sd-config", NO_DISCOVERY_FILE),
    value("endpoint.sd-config-reload-interval", Ignored("there is no such file; --endpoint names the stores")),
    value("store.sd-files", NO_DISCOVERY_FILE),
    value("store.sd-interval", Ignored("there is no such file; --endpoint names the stores")),
    value("endpoint", Same),
    value("endpoint-group", NO_GROUPS),
    value("endpoint-strict", Same),
    value("endpoint-group-strict", NO_GROUPS),
    value("store.limits.request-series", Ignored("--limits.query-memory bounds a query")),
    value("store.limits.request-samples", Ignored("--limits.query-memory and --query.max-samples bound a query")),
    // Hidden ones.
    value("debug.name", Ignored("log lines have no prefix")),
    switch("query.disable-fallback", ONE_ENGINE),
    switch("query.dynamic-lookback-delta", RAW_ONLY),
    switch("query.distributed-with-overlapping-interval", ONE_ENGINE),
    value("query.instant.default.max_source_resolution", RAW_ONLY),
    switch("rule.partial-response", ONE_CHOICE),
    switch("target.partial-response", ONE_CHOICE),
    switch("metric-metadata.partial-response", ONE_CHOICE),
    switch("exemplar.partial-response", ONE_CHOICE),
    switch("status.partial-response", ONE_CHOICE),
    value("grpc.proxy-strategy", Ignored("answers are always merged as they arrive")),
    value("store.sd-dns-resolver", Ignored("there is one resolver")),
    value("endpoint.info-timeout", Ignored("peers are asked for their facts every 5 s")),
    value("inject-test-addresses", Refused("it serves tests of Thanos only")),
    value("query.lazy-retrieval-max-buffered-responses", Ignored("--limits.select-buffer bounds what is buffered")),
];

/// Takes the flags that only Thanos has out of `args`. Gives the rest and a warning each, or all refusals.
pub fn sift(args: Vec<String>) -> Result<(Vec<String>, Vec<String>), Vec<String>> {
    let (mut kept, mut warnings, mut refusals) = (Vec::new(), Vec::new(), Vec::new());
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        let Some((flag, negated, given)) = find(&arg) else {
            kept.push(arg);
            continue;
        };
        let given = match given {
            None if !flag.switch => args.next(),
            given => given,
        };
        match flag.treatment {
            Same => unreachable!("find leaves out the flags that are ours"),
            Ignored(instead) => {
                let warning = format!("--{} of thanos query has no effect: {instead}", flag.name);
                if !warnings.contains(&warning) {
                    warnings.push(warning);
                }
            }
            // Switched off or empty it asks for nothing.
            Refused(_) if negated || matches!(given.as_deref(), Some("" | "false")) => {}
            Refused(reason) => refusals.push(format!("--{} of thanos query is refused: {reason}", flag.name)),
        }
    }
    if refusals.is_empty() { Ok((kept, warnings)) } else { Err(refusals) }
}

/// The flag of Thanos alone that `arg` is, whether it is negated, and the value behind `=`.
fn find(arg: &str) -> Option<(&'static ThanosFlag, bool, Option<String>)> {
    let (name, given) = match arg.strip_prefix("--")?.split_once('=') {
        Some((name, given)) => (name, Some(given.to_owned())),
        None => (arg.strip_prefix("--")?, None),
    };
    let by_name = |name: &str| THANOS_FLAGS.iter().find(|f| f.name == name && f.treatment != Same);
    match by_name(name) {
        Some(flag) => Some((flag, false, given)),
        None => by_name(name.strip_prefix("no-")?).filter(|f| f.switch).map(|flag| (flag, true, given)),
    }
}

/// The table as README shows it.
pub fn render() -> String {
    let mut out = String::from("| flag of `thanos query` 0.43 | here |\n|---|---|\n");
    for flag in THANOS_FLAGS {
        let here = match flag.treatment {
            Same => "the same".to_owned(),
            Ignored(instead) => format!("accepted with a warning: {instead}"),
            Refused(reason) => format!("refused: {reason}"),
        };
        let negative = if flag.switch && !matches!(flag.name, "help" | "version") { "[no-]" } else { "" };
        let _ = writeln!(out, "| `--{negative}{}` | {here} |", flag.name);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::settings;

    /// `thanos query --help` of 0.43, and the hidden flags of cmd/thanos/query.go, as they stand.
    const UPSTREAM: &str = "help version log.level log.format tracing.config-file tracing.config enable-auto-gomemlimit \
        auto-gomemlimit.ratio http-address http-grace-period http.config grpc-address grpc-server-tls-cert \
        grpc-server-tls-key grpc-server-tls-client-ca grpc-server-tls-min-version grpc-server-tls-ciphers \
        grpc-server-tls-curves grpc-server-max-connection-age grpc-grace-period grpc-client-tls-secure \
        grpc-client-tls-skip-verify grpc-client-tls-cert grpc-client-tls-key grpc-client-tls-ca grpc-client-server-name \
        grpc-compression grpc-client-tls-min-version web.route-prefix web.external-prefix web.prefix-header \
        web.disable-cors query.timeout query.promql-engine query.enable-x-functions query.mode query.max-concurrent \
        query.lookback-delta query.max-concurrent-select query.conn-metric.label deduplication.func query.replica-label \
        query.partition-label query.metadata.default-time-range selector-label query.auto-downsampling \
        query.partial-response query.active-query-path enable-feature query.default-evaluation-interval \
        query.default-step store.response-timeout selector.relabel-config-file selector.relabel-config \
        request.logging-config-file request.logging-config alert.query-url \
        query.telemetry.request-duration-seconds-quantiles query.telemetry.request-samples-quantiles \
        query.telemetry.request-series-seconds-quantiles query.tenant-header query.default-tenant-id \
        query.tenant-certificate-field query.enforce-tenancy query.tenant-label-name store.sd-dns-interval \
        store.unhealthy-timeout endpoint.sd-config-file endpoint.sd-config endpoint.sd-config-reload-interval \
        store.sd-files store.sd-interval endpoint endpoint-group endpoint-strict endpoint-group-strict \
        store.limits.request-series store.limits.request-samples debug.name query.disable-fallback \
        query.dynamic-lookback-delta query.distributed-with-overlapping-interval \
        query.instant.default.max_source_resolution rule.partial-response target.partial-response \
        metric-metadata.partial-response exemplar.partial-response status.partial-response grpc.proxy-strategy \
        store.sd-dns-resolver endpoint.info-timeout inject-test-addresses query.lazy-retrieval-max-buffered-responses";

    #[test]
    fn the_table_is_the_whole_list() {
        let table: Vec<&str> = THANOS_FLAGS.iter().map(|f| f.name).collect();
        assert_eq!(table, UPSTREAM.split_whitespace().collect::<Vec<_>>());
    }

    #[test]
    fn every_flag_is_taken_as_the_table_says() {
        let ours: Vec<String> = settings().into_iter().map(|(name, _)| name).collect();
        for flag in THANOS_FLAGS {
            let args: Vec<String> = match flag.switch {
                true => vec![format!("--{}", flag.name)],
                false => vec![format!("--{}", flag.name), "x".to_owned()],
            };
            let joined = vec![format!("--{}=x", flag.name)];
            for args in [args, joined] {
                let sifted = sift(args.clone());
                match flag.treatment {
                    Same => {
                        assert!(ours.iter().any(|name| name == flag.name) || matches!(flag.name, "help" | "version"));
                        assert_eq!(sifted, Ok((args, vec![])));
                    }
                    Ignored(instead) => {
                        let (kept, warnings) = sifted.unwrap();
                        assert!(kept.is_empty(), "{kept:?}");
                        assert!(
                            warnings.len() == 1 && warnings[0].contains(flag.name) && warnings[0].ends_with(instead)
                        );
                    }
                    Refused(reason) => {
                        let refusals = sifted.unwrap_err();
                        assert!(
                            refusals.len() == 1 && refusals[0].contains(flag.name) && refusals[0].ends_with(reason)
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn what_asks_for_nothing_is_not_refused_and_warnings_come_once() {
        let args = ["--no-grpc-client-tls-secure", "--grpc-client-tls-cert=", "--web.route-prefix", ""];
        assert_eq!(sift(args.map(str::to_owned).to_vec()), Ok((vec![], vec![])));
        let args =
            ["query", "--query.mode=local", "--query.mode=distributed", "--no-rule.partial-response", "--endpoint=a:1"];
        let (kept, warnings) = sift(args.map(str::to_owned).to_vec()).unwrap();
        assert_eq!(kept, ["query", "--endpoint=a:1"]);
        assert_eq!(warnings.len(), 2, "{warnings:?}");
    }

    #[test]
    fn the_table_renders_a_row_each() {
        assert_eq!(render().lines().count(), THANOS_FLAGS.len() + 2);
    }
}
