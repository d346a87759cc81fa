//! The binary `masthead`: reads the settings, starts, and runs until a signal.

use std::process::ExitCode;

use clap::Parser as _;
use masthead_query::config::{Config, Loaded, LogConfig};
use masthead_query::demo::Demo;
use masthead_query::flags::{Cli, Command, DemoArgs, QueryArgs, thanos};
use masthead_query::logging;
use masthead_query::server::Server;
use tokio::signal::unix::{Signal, SignalKind, signal};

fn main() -> ExitCode {
    let given: Vec<String> = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let (args, warnings) = match thanos::sift(given) {
        Ok(sifted) => sifted,
        Err(refusals) => return fail(&refusals.join("\n")),
    };
    let settings = args.get(2..).unwrap_or_default().to_vec();
    match Cli::parse_from(args).command {
        Command::Query(args) => query(*args, &settings, warnings),
        Command::Demo(args) => demo(&args),
    }
}

fn fail(text: &str) -> ExitCode {
    for line in text.lines() {
        eprintln!("masthead: {line}");
    }
    ExitCode::FAILURE
}

/// `masthead query`.
fn query(args: QueryArgs, given: &[String], warnings: Vec<String>) -> ExitCode {
    let Loaded { config, warnings, check } = match Config::load(args, given, warnings) {
        Ok(loaded) => loaded,
        Err(error) => return fail(&error.to_string()),
    };
    logging::start(config.log);
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    if check {
        println!("the settings are valid");
        return ExitCode::SUCCESS;
    }
    on_runtime(serve(config))
}

/// `masthead demo`.
fn demo(args: &DemoArgs) -> ExitCode {
    let demo = match Demo::new(args) {
        Ok(demo) => demo,
        Err(error) => return fail(&error.to_string()),
    };
    logging::start(LogConfig { level: tracing::Level::WARN, json: false });
    on_runtime(async {
        let mut signals = match Signals::new() {
            Ok(signals) => signals,
            Err(error) => return fail(&format!("listen for signals: {error}")),
        };
        match demo.run(async { _ = signals.next().await }).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error.to_string()),
        }
    })
}

/// The signals that ask the process to end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next one and names it.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Runs `work` on the threads for input and output.
fn on_runtime(work: impl Future<Output = ExitCode>) -> ExitCode {
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => fail(&format!("start the threads for input and output: {error}")),
    }
}

/// Serves until SIGTERM or SIGINT, then drains; a second signal ends at once.
async fn serve(config: Config) -> ExitCode {
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => return fail(&format!("listen for signals: {error}")),
    };
    let mut running = match Server::start(config).await {
        Ok(running) => running,
        Err(error) => return fail(&error.to_string()),
    };
    let grpc = running.grpc_address.map(|address| address.to_string()).unwrap_or_default();
    tracing::info!(version = env!("CARGO_PKG_VERSION"), http = %running.http_address, grpc, "listening");
    let first = tokio::select! {
        name = signals.next() => Some(name),
        () = async { running.ready().await; tracing::info!("ready") } => None,
    };
    let name = match first {
        Some(name) => name,
        None => tokio::select! {
            name = signals.next() => name,
            () = running.broken() => return fail("nobody looks after the stores any more; the log says why"),
        },
    };
    tracing::info!(signal = name, "draining; a second signal ends at once");
    tokio::select! {
        () = running.shutdown() => ExitCode::SUCCESS,
        name = signals.next() => {
            tracing::warn!(signal = name, "ended at once");
            ExitCode::FAILURE
        }
    }
}
