//! The configuration file: the same settings as the flags, by their names.

use std::path::Path;

use crate::flags::{self, Cli, Command, QueryArgs};

/// The settings of `file` before the arguments that were given; without them where it cannot be read.
pub(super) fn with_file(file: &Path, given: &[String], faults: &mut Vec<String>) -> Vec<String> {
    let mut args = match std::fs::read_to_string(file) {
        Ok(text) => file_args(&text, given, faults),
        Err(error) => {
            faults.push(format!("config: read {}: {error}", file.display()));
            vec![]
        }
    };
    args.extend_from_slice(given);
    args
}

/// Parses arguments of `masthead query`. None where nothing can be parsed.
pub(super) fn parse_again(given: &[String], faults: &mut Vec<String>) -> Option<QueryArgs> {
    use clap::Parser as _;
    let args = ["masthead", "query"].into_iter().chain(given.iter().map(String::as_str));
    match Cli::try_parse_from(args) {
        Ok(Cli { command: Command::Query(args) }) => Some(*args),
        // The words in front name the subcommand.
        Ok(_) => None,
        Err(error) => {
            faults.push(format!("config: {}", error.to_string().trim()));
            None
        }
    }
}

/// The settings of a configuration file as arguments, without those among `given`.
fn file_args(text: &str, given: &[String], faults: &mut Vec<String>) -> Vec<String> {
    let entries: serde_json::Map<String, serde_json::Value> = match serde_saphyr::from_str::<Option<_>>(text) {
        Ok(entries) => entries.unwrap_or_default(),
        Err(error) => {
            faults.push(format!("config: {error}"));
            return vec![];
        }
    };
    let settings = flags::settings();
    let is_given = |name: &str| {
        given.iter().filter_map(|arg| arg.strip_prefix("--")).any(|arg| {
            let flag = arg.split_once('=').map_or(arg, |(flag, _)| flag);
            flag.strip_prefix("no-").unwrap_or(flag) == name
        })
    };
    let mut args = Vec::new();
    for (name, value) in entries {
        let Some((_, list)) = settings.iter().find(|(have, _)| *have == name) else {
            faults.push(format!("config: unknown setting {name:?}"));
            continue;
        };
        let values = match value {
            serde_json::Value::Array(values) if *list => values,
            value => vec![value],
        };
        for value in values {
            match scalar(&value) {
                Some(text) if !is_given(&name) => args.push(format!("--{name}={text}")),
                Some(_) => {}
                None if *list => faults.push(format!("config: {name}: not a list of plain values")),
                None => faults.push(format!("config: {name}: not a plain value")),
            }
        }
    }
    args
}

fn scalar(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Number(number) => Some(number.to_string()),
        serde_json::Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}
