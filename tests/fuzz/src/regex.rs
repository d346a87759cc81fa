//! Go's regular expressions.

use masthead_store::regex::Regex;
use masthead_store::{MatchOp, Matcher};

/// The first line is an expression, the rest a text. What compiles both as a matcher and as `label_replace` has it matches
/// alike in both, shortcuts or not, and groups lie within the text.
pub fn run(data: &[u8]) {
    let Ok(input) = std::str::from_utf8(data) else { return };
    let (pattern, text) = input.split_once('\n').unwrap_or((input, ""));
    let regex = Regex::new(pattern);
    let matcher = Matcher::new("label", MatchOp::Regex, pattern);
    if let Ok(regex) = &regex {
        if let Some(groups) = regex.captures(text) {
            // `a)|(b` is valid where it is wrapped, and matches parts of a text then.
            assert!(matcher.is_err() || groups.get(0) == Some(text), "{pattern:?} matches a part of {text:?}");
            groups.expand("$1 ${2} $name $$", &mut String::new());
        }
        assert_eq!(regex.captures(text).is_some(), regex.is_match(text), "{pattern:?} {text:?}");
    }
    if let Ok(matcher) = &matcher {
        let opposite = Matcher::new("label", MatchOp::NotRegex, pattern).expect("it compiled before");
        assert_ne!(matcher.matches(text), opposite.matches(text), "{pattern:?} {text:?}");
        assert_eq!(matcher.matches(""), matcher.matches_empty(), "{pattern:?}");
        if let Ok(regex) = &regex {
            assert_eq!(matcher.matches(text), regex.is_match(text), "{pattern:?} {text:?}");
        }
        if let Some(values) = matcher.set_matches() {
            assert!(values.iter().all(|value| matcher.matches(value)), "{pattern:?}");
        }
        if let Some(prefix) = matcher.prefix()
            && matcher.matches(text)
        {
            assert!(text.starts_with(prefix), "{pattern:?} {text:?}");
        }
    }
}
