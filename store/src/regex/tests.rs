//! The table `testdata/re2.jsonl` was written by Go: each expression with its error or with texts that match and that
//! do not, groups of an anchored match, expanded templates. The engine was github.com/grafana/regexp as Prometheus 3.14
//! pins it, used as its matchers (`syntax.Perl|syntax.DotNL`) and its `label_replace` use it.

use serde::Deserialize;

use super::{Compiled, Flags, Machine, Regex, parse, strip_anchors, whole};
use crate::matcher::{MatchOp, Matcher};

#[derive(Deserialize)]
struct Row {
    re: String,
    #[serde(default)]
    err: String,
    #[serde(default)]
    yes: Vec<String>,
    #[serde(default)]
    no: Vec<String>,
    /// With it, the row is about `label_replace`'s expressions.
    #[serde(rename = "in")]
    input: Option<String>,
    #[serde(default)]
    groups: Vec<Option<String>>,
    template: Option<String>,
    #[serde(default)]
    out: String,
}

fn check(row: &Row) -> Result<(), String> {
    match (&row.input, &row.template) {
        (None, _) => check_matcher(row),
        (Some(input), None) => check_groups(row, input),
        (Some(input), Some(template)) => {
            let regex = Regex::new(&row.re)?;
            let captures = regex.captures(input).ok_or("no match")?;
            let mut out = String::new();
            captures.expand(template, &mut out);
            assert_eq!(captures.expanded_len(template), out.len(), "{template:?}");
            if out == row.out { Ok(()) } else { Err(format!("{template:?} gives {out:?}, not {:?}", row.out)) }
        }
    }
}

fn check_matcher(row: &Row) -> Result<(), String> {
    let matcher = match Matcher::new("x", MatchOp::Regex, &row.re) {
        Ok(matcher) => matcher,
        Err(error) if error == row.err => return Ok(()),
        Err(error) => return Err(format!("refused with {error:?}, not {:?}", row.err)),
    };
    if !row.err.is_empty() {
        return Err(format!("accepted, not refused with {:?}", row.err));
    }
    let inverse = Matcher::new("x", MatchOp::NotRegex, &row.re)?;
    let mut node = parse(&row.re, Flags::PERL_DOT_NEWLINE)?.node;
    strip_anchors(&mut node);
    let machine = Machine::new(&whole(node), 0).map_err(|_| "too large for the machine")?;
    for (texts, expected) in [(&row.yes, true), (&row.no, false)] {
        for text in texts {
            if machine.is_match(text) != expected {
                return Err(format!("{text:?} should give {expected} by the machine"));
            }
            if matcher.matches(text) != expected || inverse.matches(text) == expected {
                return Err(format!("{text:?} should give {expected}"));
            }
            // What the postings are narrowed by must agree with it.
            if expected && matcher.prefix().is_some_and(|prefix| !text.starts_with(prefix)) {
                return Err(format!("{text:?} matches without the prefix {:?}", matcher.prefix()));
            }
            if matcher.set_matches().is_some_and(|set| set.iter().any(|have| **have == **text) != expected) {
                return Err(format!("{text:?} and the set differ: {:?}", matcher.set_matches()));
            }
        }
    }
    Ok(())
}

fn check_groups(row: &Row, input: &str) -> Result<(), String> {
    let regex = match Regex::new(&row.re) {
        Ok(_) if !row.err.is_empty() => return Err(format!("accepted, not refused with {:?}", row.err)),
        Ok(regex) => regex,
        Err(error) if error == row.err => return Ok(()),
        Err(error) => return Err(format!("refused with {error:?}, not {:?}", row.err)),
    };
    let captures = regex.captures(input);
    let parsed = parse(&format!("^(?s:{})$", row.re), Flags::PERL)?;
    let machine = Machine::new(&parsed.node, parsed.names.len()).map_err(|_| "too large for the machine")?;
    let spans = machine.captures(input);
    if spans.as_ref() != captures.as_ref().map(|captures| &captures.spans) || machine.is_match(input) != spans.is_some()
    {
        return Err(format!("{input:?} gives {spans:?} by the machine"));
    }
    if regex.is_match(input) != captures.is_some() {
        return Err("is_match and captures differ".to_owned());
    }
    let groups: Vec<Option<String>> = match &captures {
        Some(captures) => (0..row.groups.len().max(1)).map(|index| captures.get(index).map(Into::into)).collect(),
        None => Vec::new(),
    };
    if groups == row.groups { Ok(()) } else { Err(format!("{input:?} gives {groups:?}, not {:?}", row.groups)) }
}

fn check_all(lines: &str) {
    let mut rows = 0;
    let mut failures = Vec::new();
    for line in lines.lines() {
        let row: Row = serde_json::from_str(line).unwrap();
        rows += 1;
        if let Err(failure) = check(&row) {
            failures.push(format!("{:?}: {failure}", row.re));
        }
    }
    assert!(rows > 0, "no rows");
    assert!(failures.is_empty(), "{} of {rows} rows differ:\n{}", failures.len(), failures.join("\n"));
}

/// Prometheus' answers, row by row.
#[test]
fn agrees_with_go() {
    check_all(include_str!("testdata/re2.jsonl"));
}

/// More rows of the same form, from a generator, where a file of them is named.
#[test]
fn agrees_with_go_on_more_rows() {
    if let Ok(path) = std::env::var("MASTHEAD_RE2_ROWS") {
        check_all(&std::fs::read_to_string(path).unwrap());
    }
}

/// Expressions made to hurt end with an answer or an error, in bounded time and memory.
#[test]
fn survives_hostile_expressions() {
    let refused = |text: String, code: &str| {
        let error = Matcher::new("x", MatchOp::Regex, &text).map(|_| ()).unwrap_err();
        assert!(error.starts_with(&format!("error parsing regexp: {code}: `")), "{}", &error[..error.len().min(200)]);
    };
    refused(format!("{}a{}", "(".repeat(1500), ")".repeat(1500)), "expression nests too deeply");
    refused("\\pL".repeat(100_000), "expression too large");
    refused(format!("[{}]", "\\pL".repeat(100_000)), "expression too large");
    refused("(?i)".to_owned() + &"[B-\\x{10ffff}]".repeat(20_000), "expression too large");
    refused("[abc]{1000}".repeat(4_000), "expression too large");
    refused("{".repeat(500_000) + "(", "missing closing )");
    refused("[".to_owned() + &"[:".repeat(250_000), "missing closing ]");
    let accepted = |text: &str, matching: &str| {
        let matcher = Matcher::new("x", MatchOp::Regex, text).unwrap();
        assert!(matcher.matches(matching));
        assert!(!matcher.matches("nothing like it"));
    };
    accepted(&format!("{}a.c{}", "(".repeat(900), ")".repeat(900)), "abc");
    accepted(&format!("{}a.c{}", "(?:".repeat(100_000), ")".repeat(100_000)), "abc");
    accepted(&format!("{}a{}", "(?:x?".repeat(450), ")".repeat(450)), "xxa");
    accepted("(x+x+)+y", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxy");
    accepted("(?i)[\\x00-\\x{10ffff}]", "K");
    assert!(!Matcher::new("x", MatchOp::Regex, "(x+x+)+y").unwrap().matches(&"x".repeat(5000)));
}

/// What Go accepts for its size, at no more than what Go pays.
#[test]
fn large_classes_are_matched_by_characters() {
    let many = "\\PL{1000}".repeat(100);
    for (text, matching, bytes_max) in [
        ("\\pL{1000}", "é".repeat(1000), 64 << 10),
        ("x(\\pL+|\\pN+){1,900}[^/]y", format!("x{}1-y", "éß7".repeat(100)), 256 << 10),
        ("(?i)[^\\pLx]{500}.", "-".repeat(500) + "ß", 64 << 10),
        (many.as_str(), "1".repeat(100_000), 2 << 20),
    ] {
        let matcher = Matcher::new("x", MatchOp::Regex, text).unwrap();
        assert!(matcher.matches(&matching), "{text}");
        assert!(!matcher.matches(&matching.chars().skip(1).collect::<String>()), "{text}");
        assert!(!matcher.matches(&(matching + "/")), "{text}");
        assert!(matcher.size_bytes() <= bytes_max, "{text} takes {} bytes", matcher.size_bytes());
    }
    let regex = Regex::new("(?P<head>\\pL{2,400})-(.*?)(-\\d+)?").unwrap();
    assert!(matches!(*regex.compiled, Compiled::Characters(_)));
    let mut out = String::new();
    regex.captures("été-a-b-17").unwrap().expand("$2/$head/$3/$4", &mut out);
    assert_eq!(out, "a-b/été/-17/");
    assert!(regex.captures("é-a").is_none());
    let alternation = Matcher::new("x", MatchOp::Regex, &"some-long-name-.*-x|".repeat(2000)).unwrap();
    assert!(alternation.matches("some-long-name-7-x") && alternation.matches("") && !alternation.matches("some"));
}

/// A dashboard's alternation of thousands of pods: a sorted set, whether bare, grouped or with a fixed part around it.
#[test]
fn long_alternations_are_sets() {
    let names: Vec<String> = (0..20_000).map(|i| format!("pod-{i:05}-abc")).collect();
    let bare = names.join("|");
    assert!(bare.len() > 250_000);
    for text in [bare.clone(), format!("({bare})"), format!("^(?:{bare})$"), format!("x-({bare})[.]y")] {
        let matcher = Matcher::new("pod", MatchOp::Regex, &text).unwrap();
        let set = matcher.set_matches().expect("a set");
        assert_eq!(set.len(), names.len());
        assert!(set.is_sorted());
        assert!(matcher.matches(&set[777]));
        assert!(!matcher.matches("pod-1"));
        assert!(matcher.inverse().set_matches().is_none());
    }
}

/// What narrows postings, by expression: set, prefix, matches of the empty text.
#[test]
fn shortcuts() {
    type Expected<'a> = (&'a str, Option<&'a [&'a str]>, Option<&'a str>, bool);
    let rows: &[Expected<'_>] = &[
        ("", Some(&[""]), None, true),
        ("a|b|a", Some(&["a", "b"]), None, false),
        ("foo(bar|baz)", Some(&["foobar", "foobaz"]), Some("fooba"), false),
        ("foo[12]?", Some(&["foo", "foo1", "foo2"]), Some("foo"), false),
        ("^foo$", Some(&["foo"]), Some("foo"), false),
        ("(^a|b$)", Some(&["a", "b"]), None, false),
        ("(?i)1", Some(&["1"]), Some("1"), false),
        ("(?i)a", Some(&["A", "a"]), None, false),
        ("[0-9]{2}", None, None, false),
        ("foo.*", None, Some("foo"), false),
        ("foo.*|foz[0-9]", None, Some("fo"), false),
        ("é.*|è.*", None, None, false),
        ("(foo)+", None, Some("foo"), false),
        (".*", None, None, true),
        (".+", None, None, false),
        ("(a|b)*", None, None, true),
    ];
    for (text, set, prefix, empty) in rows {
        let matcher = Matcher::new("x", MatchOp::Regex, text).unwrap();
        let have: Option<Vec<&str>> = matcher.set_matches().map(|set| set.iter().map(|value| &**value).collect());
        assert_eq!(have.as_deref(), *set, "{text}");
        assert_eq!(matcher.prefix(), *prefix, "{text}");
        assert_eq!(matcher.matches_empty(), *empty, "{text}");
    }
}
