//! Servers as child processes, and what /proc tells of them.

use std::ffi::OsStr;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use crate::http;

/// How long a server may take until it is ready.
const START_MAX: Duration = Duration::from_secs(120);

/// A server that is killed on drop.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Host and port of its HTTP API.
    pub address: String,
    /// Host and port of its gRPC API; empty where it has none.
    pub grpc_address: String,
}

/// The binary `masthead`: `MASTHEAD_BINARY`, or the one that was built with the running program, in its folder or above.
pub fn masthead_binary() -> io::Result<PathBuf> {
    if let Some(path) = std::env::var_os("MASTHEAD_BINARY") {
        return Ok(path.into());
    }
    let me = std::env::current_exe()?;
    let found = me.ancestors().skip(1).take(2).map(|dir| dir.join("masthead")).find(|path| path.is_file());
    found.ok_or_else(|| io::Error::other("no binary `masthead` beside this one: build it, or set MASTHEAD_BINARY"))
}

/// A Prometheus 3: what `tests/scripts/prometheus3` finds or fetches.
pub fn prometheus_binary() -> io::Result<PathBuf> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/scripts/prometheus3");
    let output = Command::new(script).output()?;
    match output.status.success() {
        true => Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())),
        false => Err(io::Error::other(format!("{script}: {}", String::from_utf8_lossy(&output.stderr)))),
    }
}

/// A port of the loopback interface that is free now.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl Server {
    /// Starts `masthead query` on free ports with further arguments.
    pub fn masthead<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> io::Result<Self> {
        Self::masthead_under([], args)
    }

    /// As [`Server::masthead`], with these variables in its environment.
    pub fn masthead_under<S: AsRef<OsStr>>(
        environment: impl IntoIterator<Item = (&'static str, String)>,
        args: impl IntoIterator<Item = S>,
    ) -> io::Result<Self> {
        let (http, grpc) = (format!("127.0.0.1:{}", free_port()?), format!("127.0.0.1:{}", free_port()?));
        let mut command = Command::new(masthead_binary()?);
        command.envs(environment);
        command.arg("query").arg(format!("--http-address={http}")).arg(format!("--grpc-address={grpc}")).args(args);
        let mut server = Self::start(command, http)?;
        server.grpc_address = grpc;
        Ok(server)
    }

    /// Starts a Prometheus over the blocks in `data`, which it locks and may write to, with the text of a configuration and
    /// further arguments.
    pub fn prometheus(binary: &Path, data: &Path, config: &str, args: &[&str]) -> io::Result<Self> {
        let address = format!("127.0.0.1:{}", free_port()?);
        let file = data.join("prometheus.yml");
        std::fs::write(&file, config)?;
        let mut command = Command::new(binary);
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg(format!("--web.listen-address={address}"))
            .args(["--storage.tsdb.retention.time=100y", "--storage.tsdb.min-block-duration=30d"])
            .args(["--storage.tsdb.max-block-duration=30d", "--log.level=error"])
            .args(args);
        Self::start(command, address)
    }

    /// Starts `command` and waits until `http://address/-/ready` says 200. An error shows what it wrote to its error output.
    pub fn start(mut command: Command, address: String) -> io::Result<Self> {
        let log = tempfile::NamedTempFile::new()?;
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.reopen()?).spawn()?;
        let mut server = Self { child, address, grpc_address: String::new() };
        let deadline = Instant::now() + START_MAX;
        let why = loop {
            if matches!(http::get(&server.address, "/-/ready"), Ok((200, _))) {
                return Ok(server);
            }
            if let Some(status) = server.child.try_wait()? {
                break format!("ended before it was ready: {status}");
            }
            if Instant::now() > deadline {
                break format!("is not ready after {START_MAX:?}");
            }
            sleep(Duration::from_millis(20));
        };
        let log = std::fs::read_to_string(log.path()).unwrap_or_default();
        Err(io::Error::other(format!("{command:?} {why}\n{log}")))
    }

    /// GET `path` with form-encoded parameters. Returns status and body.
    pub fn get(&self, path: &str, params: &[(&str, &str)]) -> io::Result<(u16, Vec<u8>)> {
        http::get(&self.address, &http::target(path, params))
    }

    /// CPU time of all its threads so far, user and system.
    pub fn cpu(&self) -> io::Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // Fields 14 and 15, counted behind the command's name in parentheses, in ticks of 10 ms.
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        Ok(Duration::from_millis(ticks * 10))
    }

    /// Anonymous memory that is resident now, bytes.
    pub fn anonymous(&self) -> io::Result<u64> {
        anonymous(self.child.id())
    }

    /// Runs `work` and returns the most anonymous memory seen meanwhile, bytes.
    pub fn peak_while<T>(&self, work: impl FnOnce() -> T) -> io::Result<(T, u64)> {
        let watch = Watch::start(self.child.id());
        let result = work();
        let last = self.anonymous()?;
        Ok((result, watch.stop().max(last)))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; nothing is left to be done about a failure here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn anonymous(pid: u32) -> io::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| io::Error::other("no RssAnon in /proc/PID/status"))
}

/// A thread that samples a process' memory every two milliseconds.
struct Watch {
    done: Arc<AtomicBool>,
    peak: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Watch {
    fn start(pid: u32) -> Self {
        let (done, peak) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let thread = std::thread::spawn({
            let (done, peak) = (Arc::clone(&done), Arc::clone(&peak));
            move || {
                while !done.load(Ordering::Relaxed) {
                    if let Ok(now) = anonymous(pid) {
                        peak.fetch_max(now, Ordering::Relaxed);
                    }
                    sleep(Duration::from_millis(2));
                }
            }
        });
        Self { done, peak, thread }
    }

    fn stop(self) -> u64 {
        self.done.store(true, Ordering::Relaxed);
        // A panic of the watcher would only mean a lower peak.
        let _ = self.thread.join();
        self.peak.load(Ordering::Relaxed)
    }
}
