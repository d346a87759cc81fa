//! Asks Masthead and a real Prometheus 3 the same random questions about the same random data, and prints what differs.
//!
//! Without `--reference` a Prometheus is started that `tests/scripts/prometheus3` finds or fetches; PROMETHEUS3 names another
//! binary. With it, the server there must have opened what `--write-data` writes, with the features that are printed.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use masthead_tests::differential::compare::compare;
use masthead_tests::differential::question::{Question, Times};
use masthead_tests::differential::sides::{FEATURES, Setting, Sides};
use masthead_tests::differential::{Run, data, run};
use tokio::time::Instant;

/// Differential tester.
#[derive(Parser)]
struct Arguments {
    /// Seed of the data.
    #[arg(long, default_value_t = 1)]
    data_seed: u64,
    /// With native histograms.
    #[arg(long)]
    histograms: bool,
    /// Seed of the first question.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Questions.
    #[arg(long, default_value_t = 10_000)]
    count: u64,
    /// Stop after so many seconds.
    #[arg(long)]
    seconds: Option<u64>,
    /// How many questions in a hundred are broken on purpose.
    #[arg(long, default_value_t = 10)]
    broken: usize,
    /// A Prometheus that runs already.
    #[arg(long, value_name = "URL")]
    reference: Option<String>,
    /// Further features of the servers that are started.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    features: Vec<String>,
    /// Write the blocks of the data seed to this folder, and stop.
    #[arg(long, value_name = "FOLDER")]
    write_data: Option<PathBuf>,
    /// Ask this expression alone, and print the answers.
    #[arg(long, value_name = "EXPRESSION")]
    ask: Option<String>,
    /// When to ask it, s.
    #[arg(long, allow_negative_numbers = true, default_value_t = 1_700_010_000.0)]
    time: f64,
    /// First step, s; with `--end` and `--step`.
    #[arg(long, allow_negative_numbers = true, requires_all = ["end", "step"])]
    start: Option<f64>,
    /// Last step, s.
    #[arg(long, allow_negative_numbers = true)]
    end: Option<f64>,
    /// Distance of steps, s.
    #[arg(long)]
    step: Option<f64>,
}

impl Arguments {
    fn times(&self) -> Times {
        let millis = |seconds: f64| (seconds * 1000.0).round() as i64;
        match (self.start, self.end, self.step) {
            (Some(start), Some(end), Some(step)) => {
                Times::Range { start: millis(start), end: millis(end), step: millis(step) }
            }
            _ => Times::Instant(millis(self.time)),
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match go(&arguments).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether nothing differs.
async fn go(arguments: &Arguments) -> Result<bool, String> {
    if let Some(folder) = &arguments.write_data {
        let data = data::generate(arguments.data_seed, arguments.histograms);
        data::write(folder, &data)?;
        println!("{} series in {}; --enable-feature={FEATURES}", data.len(), folder.display());
        return Ok(true);
    }
    let setting = Setting {
        reference: arguments.reference.clone(),
        histograms: arguments.histograms,
        features: arguments.features.clone(),
    };
    let sides = Arc::new(Sides::start(arguments.data_seed, &setting).await.map_err(|error| error.to_string())?);
    println!(
        "data of seed {}, reference {} of version 3.{}",
        arguments.data_seed, sides.reference.url, sides.language.minor
    );
    if let Some(query) = &arguments.ask {
        let question = Question { query: query.clone(), times: arguments.times() };
        return Ok(ask(&sides, &question).await);
    }
    let deadline = arguments.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let started = Instant::now();
    let report =
        run(&sides, Run { seed: arguments.seed, count: arguments.count, broken_percent: arguments.broken, deadline })
            .await;
    for failure in &report.failures {
        println!("{failure}");
    }
    print!("{report}");
    println!("{:.1} s", started.elapsed().as_secs_f64());
    Ok(report.failures.is_empty())
}

/// Asks all servers one question. Whether they agree.
async fn ask(sides: &Sides, question: &Question) -> bool {
    let target = question.target();
    let reference = sides.reference.get(&target).await;
    println!("reference {} {}", reference.status, String::from_utf8_lossy(&reference.body));
    let mut agree = true;
    for client in &sides.ours {
        let ours = client.get(&target).await;
        println!("masthead  {} {}", ours.status, String::from_utf8_lossy(&ours.body));
        match compare(question, &reference, &ours, sides.language.minor) {
            Ok(same) => println!("{}", same.name()),
            Err(difference) => {
                println!("{difference}");
                agree = false;
            }
        }
    }
    agree
}
