//! Recorded questions, the program that is asked, and how answers compare.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

mod compare;
mod held;
mod server;

pub use compare::check;
pub use held::Held;
pub use server::{Answer, Server};

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

    /// Path and parameters as a request target.
    pub fn target(&self) -> String {
        let pairs = self.params.iter().map(|(name, value)| format!("{}={}", form_encoded(name), form_encoded(value)));
        let query: Vec<String> = pairs.collect();
        if query.is_empty() { self.path.clone() } else { format!("{}?{}", self.path, query.join("&")) }
    }
}

/// Percent-encoding of a form.
pub fn form_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
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
