//! The settings in force as text: what `/api/v1/status/flags` and `/api/v1/status/config` give.

use std::collections::BTreeMap;

use crate::api::json::push_string;
use crate::flags;

/// The values of all flags of `masthead query`, by flag; of one that is not repeatable there is one value at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings(BTreeMap<String, Vec<String>>);

impl Settings {
    /// The flags as `given`, those of the file in front, and defaults for the others. What cannot be parsed counts as absent:
    /// it is a fault already.
    pub fn of(given: &[String]) -> Self {
        let command = clap::Command::new("query").args(flags::query_arguments()).no_binary_name(true);
        let matches = command.try_get_matches_from(given).ok();
        let mut values = BTreeMap::new();
        for arg in flags::query_arguments() {
            let Some(name) = arg.get_long() else { continue };
            let raw = matches.as_ref().and_then(|matches| matches.try_get_raw(arg.get_id().as_str()).ok().flatten());
            let texts = raw.map(|raw| raw.map(|value| value.to_string_lossy().into_owned()).collect());
            values.insert(name.to_owned(), texts.unwrap_or_default());
        }
        // The negative form of a switch that takes a value.
        if values.get("no-query.partial-response").is_some_and(|value| value == &["true"]) {
            values.insert("query.partial-response".to_owned(), vec!["false".to_owned()]);
        }
        values.retain(|name, _| !name.starts_with("no-") && name != "help" && name != "version");
        Self(values)
    }

    /// Flag and value, in the order of the alphabet; several values stand in one, separated by commas. Those that were left
    /// out and have no default are empty.
    pub fn flags(&self) -> impl Iterator<Item = (&str, String)> {
        self.0.iter().map(|(name, values)| (name.as_str(), values.join(",")))
    }

    /// All settings that have a value, as a configuration file.
    pub fn yaml(&self) -> String {
        let mut out = String::new();
        let quoted = |text: &str| {
            let mut json = Vec::new();
            push_string(&mut json, text);
            String::from_utf8_lossy(&json).into_owned()
        };
        for (name, is_list) in flags::settings() {
            match self.0.get(&name).map_or(&[] as &[String], Vec::as_slice) {
                [] => {}
                values if is_list => {
                    out.push_str(&format!("{name}:\n"));
                    out.extend(values.iter().map(|value| format!("  - {}\n", quoted(value))));
                }
                [first, ..] => out.push_str(&format!("{name}: {}\n", quoted(first))),
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use clap::Parser as _;

    use crate::config::Config;
    use crate::flags::{Cli, Command};

    fn load(args: &[&str]) -> Config {
        let line = ["masthead", "query"].into_iter().chain(args.iter().copied());
        let Command::Query(parsed) = Cli::try_parse_from(line).unwrap().command else { panic!("another command") };
        let given: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        Config::load(*parsed, &given, vec![]).unwrap().config
    }

    #[test]
    fn what_is_in_force_can_be_given_again_as_a_file() {
        let mut first = tempfile::NamedTempFile::new().unwrap();
        first.write_all(b"query.timeout: 7s\nblocks: [\"/a,x=<1>\", /b]\nquery.max-concurrent: 3\n").unwrap();
        let config = format!("--config={}", first.path().display());
        let settings = load(&[&config, "--query.max-concurrent", "4", "--no-query.partial-response"]).settings;
        let of = |name: &str| settings.flags().find(|(have, _)| *have == name).unwrap().1;
        for (name, value) in [
            ("query.timeout", "7s"),
            ("blocks", "/a,x=<1>,/b"),
            ("query.max-concurrent", "4"),
            ("query.partial-response", "false"),
            ("query.lookback-delta", "5m"),
            ("limits.memory", ""),
            ("check", "false"),
        ] {
            assert_eq!(of(name), value, "{name}");
        }
        let mut second = tempfile::NamedTempFile::new().unwrap();
        second.write_all(settings.yaml().as_bytes()).unwrap();
        let again = load(&[&format!("--config={}", second.path().display())]).settings;
        assert_eq!(again.yaml(), settings.yaml());
        assert!(settings.yaml().contains("blocks:\n  - "), "{}", settings.yaml());
    }
}
