//! The embedded demo fleet as a child process.

use std::io::{self, BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};

use masthead_bench::process::{free_port, masthead_binary};
use tempfile::NamedTempFile;

/// Commands that it prints once it is ready.
const COMMANDS: usize = 3;

/// A running demo; it ends when dropped.
#[derive(Debug)]
pub struct Demo {
    /// The process.
    pub child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    log: NamedTempFile,
    /// Host and port of its HTTP API.
    pub address: String,
}

impl Demo {
    /// Starts `masthead demo` on a free port.
    pub fn start(args: &[&str]) -> io::Result<Self> {
        let address = format!("127.0.0.1:{}", free_port()?);
        let log = NamedTempFile::new()?;
        let mut child = Command::new(masthead_binary()?)
            .arg("demo")
            .arg(format!("--http-address={address}"))
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.reopen()?)
            .spawn()?;
        let stdout = child.stdout.take().ok_or_else(|| io::Error::other("the demo has no output"))?;
        Ok(Self { child, lines: BufReader::new(stdout).lines(), log, address })
    }

    /// Waits for the commands that it prints once it is ready.
    pub fn commands(&mut self) -> io::Result<Vec<String>> {
        let mut commands = Vec::new();
        while commands.len() < COMMANDS {
            let Some(line) = self.lines.next() else {
                let log = std::fs::read_to_string(self.log.path())?;
                return Err(io::Error::other(format!("the demo ended before it printed its commands\n{log}")));
            };
            let line = line?;
            if line.trim_start().starts_with("curl ") {
                commands.push(line.trim().to_owned());
            }
        }
        Ok(commands)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // It may have ended by itself; nothing is left to be done about a failure here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
