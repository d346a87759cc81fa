//! The log: one line an event, as logfmt or JSON, on standard error.

use std::fmt::{self, Write as _};
use std::time::SystemTime;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::api::time::rfc3339;
use crate::config::LogConfig;

/// Starts the log of the process. A second call has no effect.
pub fn start(config: LogConfig) {
    let builder = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::from_level(config.level))
        .with_writer(std::io::stderr)
        .event_format(Lines { json: config.json });
    // Another subscriber is there already where a test or an embedding program started one.
    let _ = builder.try_init();
}

/// `ts=.. level=info msg=".." key=value`, or the same as a JSON object.
struct Lines {
    json: bool,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let time = rfc3339(SystemTime::now());
        let level = event.metadata().level().as_str().to_ascii_lowercase();
        let head = [("ts", time), ("level", level), ("msg", fields.message)];
        let all = head.into_iter().chain(fields.others);
        writeln!(writer, "{}", if self.json { json_line(all) } else { logfmt_line(all) })
    }
}

/// The fields of an event as text.
#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, String)>,
}

impl Fields {
    fn add(&mut self, field: &Field, text: String) {
        if field.name() == "message" {
            self.message = text;
        } else {
            self.others.push((field.name(), text));
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.to_owned());
    }
}

fn logfmt_line(fields: impl Iterator<Item = (&'static str, String)>) -> String {
    let mut line = String::new();
    for (name, value) in fields {
        let separator = if line.is_empty() { "" } else { " " };
        let bare = !value.is_empty()
            && value.chars().all(|c| !c.is_whitespace() && !c.is_control() && !matches!(c, '"' | '=' | '\\'));
        let _ = match bare {
            true => write!(line, "{separator}{name}={value}"),
            false => write!(line, "{separator}{name}={}", masthead_store::labels::quote(&value)),
        };
    }
    line
}

fn json_line(fields: impl Iterator<Item = (&'static str, String)>) -> String {
    let object: serde_json::Map<_, _> = fields.map(|(name, value)| (name.to_owned(), value.into())).collect();
    serde_json::Value::Object(object).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_an_event_whatever_the_values_hold() {
        let fields = || {
            [("msg", "store is down".to_owned()), ("error", "a \"b\"\nc".to_owned()), ("empty", String::new())]
                .into_iter()
        };
        assert_eq!(logfmt_line(fields()), r#"msg="store is down" error="a \"b\"\nc" empty="""#);
        assert_eq!(json_line(fields()), r#"{"empty":"","error":"a \"b\"\nc","msg":"store is down"}"#);
        assert_eq!(logfmt_line([("id", "00ff".to_owned())].into_iter()), "id=00ff");
    }
}
