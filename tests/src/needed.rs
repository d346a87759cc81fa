//! What a test needs and a machine may lack.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::Command;

use masthead_bench::process::prometheus_binary;

/// What was looked for. None, said loudly, where it is absent.
///
/// # Panics
///
/// Where it is absent and CI=true: there every test must run.
pub fn needed<T>(found: Result<T, impl Display>) -> Option<T> {
    match found {
        Ok(found) => Some(found),
        Err(error) => {
            assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{error}");
            eprintln!("SKIPPED: {error}");
            None
        }
    }
}

/// A Prometheus 3 to compare with.
pub fn prometheus() -> Option<PathBuf> {
    needed(prometheus_binary())
}

/// The path of the program that a script in `scripts` finds or fetches.
pub fn program(script: &str) -> Option<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(script);
    let run = || match Command::new(path).output() {
        Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        Ok(output) => Err(format!("{script}: {}", String::from_utf8_lossy(&output.stderr))),
        Err(error) => Err(format!("{script}: {error}")),
    };
    needed(run())
}
