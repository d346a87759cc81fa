//! `masthead-bench`: data sets, and comparisons with a real Prometheus on the same blocks.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use masthead_bench::data::{self, Size};

mod compare;
mod fanout;
mod matrix;

#[derive(Parser)]
#[command(about = "Measures Masthead beside a real Prometheus")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Writes blocks of a chosen size into a folder.
    Generate {
        /// Folder of the blocks.
        dir: PathBuf,
        #[command(flatten)]
        size: SizeArgs,
    },
    /// Asks a real Prometheus 3 and Masthead the same questions over the same blocks, in turns.
    Compare {
        #[command(flatten)]
        size: SizeArgs,
        /// A small data set and few rounds, for CI.
        #[arg(long)]
        small: bool,
        /// Asks only questions whose name contains this.
        #[arg(long, default_value = "")]
        only: String,
        /// Times each question is asked of each side.
        #[arg(long, default_value_t = 7)]
        rounds: usize,
        /// Fails if Masthead's CPU time over blocks is more than this share of Prometheus'.
        #[arg(long)]
        ratio_max: Option<f64>,
    },
    /// Asks both for large matrices and measures bytes of JSON per second of CPU time.
    Matrix {
        #[command(flatten)]
        size: SizeArgs,
        /// Times each matrix is asked for.
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// Fails if Masthead's bytes per second are less than this many times Prometheus'.
        #[arg(long)]
        ratio_min: Option<f64>,
    },
    /// Measures the querier's CPU time per StoreAPI server.
    Fanout {
        /// Numbers of servers.
        #[arg(long, value_delimiter = ',', default_value = "10,100")]
        servers: Vec<usize>,
        /// Series a server.
        #[arg(long, default_value_t = 400)]
        series: usize,
        /// Times the question is asked.
        #[arg(long, default_value_t = 30)]
        rounds: usize,
    },
    /// Serves series from memory over StoreAPI; `fanout` starts it.
    #[command(hide = true)]
    Serve {
        /// Number of servers.
        servers: usize,
        /// Series a server.
        series: usize,
    },
}

#[derive(Args, Clone, Copy)]
struct SizeArgs {
    /// Series of http_requests_total; other metrics come in proportion.
    #[arg(long, default_value_t = 9_600)]
    series: usize,
    /// Blocks of two hours.
    #[arg(long, default_value_t = 4)]
    blocks: usize,
    /// Seconds between samples.
    #[arg(long, default_value_t = 30)]
    interval: i64,
    /// Every how many blocks a pod is replaced; 0: never.
    #[arg(long, default_value_t = 3)]
    churn: usize,
}

impl SizeArgs {
    fn size(self) -> Size {
        Size { series: self.series, blocks: self.blocks, interval: self.interval * 1000, churn: self.churn }
    }
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Generate { dir, size } => data::write(&dir, &size.size(), None).map_err(Into::into),
        Command::Compare { size, small, only, rounds, ratio_max } => {
            let (size, rounds) = if small { (Size { series: 2_400, ..size.size() }, 4) } else { (size.size(), rounds) };
            compare::run(&compare::Plan { size, rounds, only, ratio_max })
        }
        Command::Matrix { size, rounds, ratio_min } => {
            matrix::run(&matrix::Plan { size: size.size(), rounds, ratio_min })
        }
        Command::Fanout { servers, series, rounds } => fanout::run(&servers, series, rounds),
        Command::Serve { servers, series } => fanout::serve(servers, series),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("masthead-bench: {error}");
            ExitCode::FAILURE
        }
    }
}
