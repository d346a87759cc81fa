//! The log.

use super::Reader;
use crate::flags::LogArgs;

/// The log.
#[derive(Debug, Clone, Copy)]
pub struct LogConfig {
    /// The least grave lines that are written.
    pub level: tracing::Level,
    /// JSON lines in place of logfmt.
    pub json: bool,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: tracing::Level::INFO, json: false }
    }
}

impl Reader<'_> {
    pub(super) fn log(&mut self, args: &LogArgs, to: &mut LogConfig) {
        let level =
            args.level.parse().map_err(|_| format!("{:?} is none of error, warn, info, debug, trace", args.level));
        self.set("log.level", &mut to.level, level);
        let json = match args.format.as_str() {
            "logfmt" => Ok(false),
            "json" => Ok(true),
            other => Err(format!("{other:?} is none of logfmt, json")),
        };
        self.set("log.format", &mut to.json, json);
    }
}
