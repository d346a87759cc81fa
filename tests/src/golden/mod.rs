//! Recorded questions, how they are asked, and how answers compare.

use std::path::{Path, PathBuf};

use masthead_bench::process::Server;
use serde::Deserialize;
use serde_json::Value;

mod compare;
pub mod held;

pub use compare::check;

/// A file of questions.
#[derive(Debug)]
pub struct Questions {
    /// The Prometheus data directory that is asked.
    pub data: PathBuf,
    /// What `--enable-feature` was given.
    pub flags: Vec<String>,
    /// The questions.
    pub questions: Vec<Question>,
}

/// One question and the answer to it.
#[derive(Debug, Deserialize)]
pub struct Question {
    /// Line in the file, from 1.
    #[serde(skip)]
    pub line: usize,
    /// Path, percent-encoded.
    pub path: String,
    /// Parameters in order.
    pub params: Vec<(String, String)>,
    status: u16,
    body: Value,
    status_cleaned: Option<u16>,
    body_cleaned: Option<Value>,
    /// The recorded order of the vector is chance.
    #[serde(default)]
    pub unordered: bool,
    /// Which of several samples of one time counts is chance.
    #[serde(default)]
    pub conflict: bool,
}

impl Question {
    /// The expression, or the path where there is none.
    pub fn text(&self) -> &str {
        self.params.iter().find(|(name, _)| name == "query").map_or(&self.path, |(_, value)| value)
    }

    /// The right status.
    pub fn status(&self) -> u16 {
        self.status_cleaned.unwrap_or(self.status)
    }

    /// The right body.
    pub fn body(&self) -> &Value {
        self.body_cleaned.as_ref().unwrap_or(&self.body)
    }

    /// The parameters.
    pub fn params(&self) -> Vec<(&str, &str)> {
        self.params.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    /// Asks a server.
    pub fn ask(&self, server: &Server) -> Result<Answer, String> {
        let (status, bytes) = server.get(&self.path, &self.params()).map_err(|error| format!("no answer: {error}"))?;
        let body = serde_json::from_slice(&bytes)
            .map_err(|error| format!("no JSON ({error}): {}", String::from_utf8_lossy(&bytes)))?;
        Ok(Answer { status, body, bytes })
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The body as JSON.
    pub body: Value,
    /// The body as it came.
    pub bytes: Vec<u8>,
}

/// Reads a file of questions. An error names file and line.
pub fn questions(path: &Path) -> Result<Questions, String> {
    #[derive(Deserialize)]
    struct Head {
        data: PathBuf,
        flags: Vec<String>,
    }
    let at = |line: usize, error: &dyn std::fmt::Display| format!("{}:{line}: {error}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| at(0, &error))?;
    // Not `lines`, which would cut carriage returns off answers.
    let mut lines = text.split('\n').enumerate().map(|(index, line)| (index + 1, line));
    let (_, head) = lines.next().unwrap_or((1, ""));
    let head: Head = serde_json::from_str(head).map_err(|error| at(1, &error))?;
    let mut questions = Vec::new();
    for (line, text) in lines.filter(|(_, text)| !text.is_empty()) {
        let question: Question = serde_json::from_str(text).map_err(|error| at(line, &error))?;
        questions.push(Question { line, ..question });
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    Ok(Questions { data: folder.join(head.data), flags: head.flags, questions })
}
