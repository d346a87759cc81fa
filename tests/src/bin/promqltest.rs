//! Runs Prometheus' `.test` scripts against Masthead's engine: a line a file, and the exit status says whether all passed.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use masthead_tests::promqltest::{self, Blocks, Evaluator, Memory, Stores};

/// Runs Prometheus' `.test` scripts.
#[derive(Parser)]
struct Arguments {
    /// Where the series come from.
    #[arg(long, value_enum, default_value_t = Via::Memory)]
    via: Via,
    /// Print each failure with its place and the difference.
    #[arg(short, long)]
    verbose: bool,
    /// Scripts, or folders of them.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Via {
    /// One store in this process.
    Memory,
    /// Three StoreAPI servers on loopback with two replicas each.
    Stores,
    /// Blocks on disk.
    Blocks,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let evaluator: Result<Box<dyn Evaluator>, String> = match arguments.via {
        Via::Memory => Ok(Box::new(Memory::default())),
        Via::Stores => Stores::start().map(|stores| Box::new(stores) as _),
        Via::Blocks => Blocks::new().map(|blocks| Box::new(blocks) as _),
    };
    let mut evaluator = match evaluator {
        Ok(evaluator) => evaluator,
        Err(error) => return fail(&error),
    };
    let files = match promqltest::scripts(&arguments.paths) {
        Ok(files) => files,
        Err(error) => return fail(&error),
    };
    let (mut passed, mut total, mut whole) = (0, 0, true);
    for file in &files {
        match report(file, evaluator.as_mut(), arguments.verbose) {
            Ok((file_passed, file_total)) => {
                passed += file_passed;
                total += file_total;
            }
            Err(error) => {
                println!("{error}");
                whole = false;
            }
        }
    }
    println!("{:40} {passed}/{total}", "total");
    if whole && passed == total { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn fail(error: &str) -> ExitCode {
    eprintln!("{error}");
    ExitCode::FAILURE
}

/// Runs one script, prints its line, and gives how many cases passed of how many.
fn report(file: &Path, evaluator: &mut dyn Evaluator, verbose: bool) -> Result<(usize, usize), String> {
    let cases = promqltest::run(file, evaluator)?;
    let passed = cases.iter().filter(|case| case.failure.is_none()).count();
    println!("{:40} {passed}/{}", file.display(), cases.len());
    for case in cases.iter().filter(|_| verbose) {
        if let Some(failure) = &case.failure {
            println!("  {}:{}: {}\n      {failure}", file.display(), case.line, case.query);
        }
    }
    Ok((passed, cases.len()))
}
