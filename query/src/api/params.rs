//! Parameters of a request: from the form body and the URL, merged as Go's `FormValue` merges them.

use masthead_store::labels::quote;

use super::time::{self, Time};

/// Parameters of a URL, and of a form, at most, as in Go's net/url.
const PARAMS_MAX: usize = 10_000;

/// Names and values in order: those of the body before those of the URL, so that the body wins.
#[derive(Debug, Default)]
pub(crate) struct Params {
    pairs: Vec<(String, String)>,
    /// The first pair that could not be decoded, which all but a few endpoints overlook.
    fault: Option<String>,
}

impl Params {
    /// Merges a form body with the query part of a URL.
    ///
    /// Errors: there are too many. Prometheus' endpoints that overlook faults would answer as if there were none.
    pub(crate) fn new(body: Option<&[u8]>, url_query: Option<&str>) -> Result<Self, String> {
        let mut params = Self::default();
        for text in [body, url_query.map(str::as_bytes)].into_iter().flatten() {
            if text.iter().filter(|byte| **byte == b'&').count() >= PARAMS_MAX {
                return Err("error parsing form values: number of URL query parameters exceeded limit".to_owned());
            }
            for pair in text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
                match decode_pair(pair) {
                    Ok(pair) => params.pairs.push(pair),
                    Err(fault) => params.fault = params.fault.or(Some(fault)),
                }
            }
        }
        Ok(params)
    }

    /// Bytes in memory.
    pub(crate) fn size_bytes(&self) -> usize {
        let pair = |(name, value): &(String, String)| size_of::<(String, String)>() + name.len() + value.len();
        self.pairs.iter().map(pair).sum()
    }

    /// The first value of `name`, or the empty string.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.pairs.iter().find(|(have, _)| have == name).map_or("", |(_, value)| value)
    }

    /// All values of `name`.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.pairs.iter().filter(|(have, _)| have == name).map(|(_, value)| value.as_str()).collect()
    }

    /// Whether `name` was given, empty or not.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.pairs.iter().any(|(have, _)| have == name)
    }

    /// Fails where a pair could not be decoded.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.fault.as_ref().map_or(Ok(()), |fault| Err(format!("error parsing form values: {fault}")))
    }

    /// An optional time; the error text lacks the prefix that [`invalid`] adds.
    pub(crate) fn time_or(&self, name: &str, default: Time) -> Result<Time, String> {
        match self.get(name) {
            "" => Ok(default),
            text => time::parse_time(text)
                .map_err(|fault| invalid(name, &format!("invalid time value for '{name}': {fault}"))),
        }
    }

    /// A time that must be there.
    pub(crate) fn time(&self, name: &str) -> Result<Time, String> {
        time::parse_time(self.get(name)).map_err(|fault| invalid(name, &fault))
    }

    /// A duration in ns that must be there.
    pub(crate) fn duration(&self, name: &str) -> Result<i64, String> {
        time::parse_duration(self.get(name)).map_err(|fault| invalid(name, &fault))
    }

    /// `limit`; 0 is no limit (parseLimitParam in web/api/v1/api.go).
    pub(crate) fn limit(&self) -> Result<usize, String> {
        match self.get("limit") {
            "" => Ok(0),
            text => match parse_go_int(text).map_err(|fault| invalid("limit", &fault))? {
                limit if limit < 0 => Err(invalid("limit", "limit must be non-negative")),
                limit => Ok(limit as usize),
            },
        }
    }

    /// A truth value in Go's spellings.
    pub(crate) fn flag_or(&self, name: &str, default: bool) -> Result<bool, String> {
        match self.get(name) {
            "" => Ok(default),
            "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
            "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
            text => Err(invalid(name, &format!("strconv.ParseBool: parsing {}: invalid syntax", quote(text)))),
        }
    }
}

/// `invalid parameter "name": fault`.
pub(crate) fn invalid(name: &str, fault: &str) -> String {
    format!("invalid parameter {}: {fault}", quote(name))
}

/// Go's `strconv.Atoi`, with its error texts.
pub(crate) fn parse_go_int(text: &str) -> Result<i64, String> {
    let fault = |what: &str| format!("strconv.Atoi: parsing {}: {what}", quote(text));
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(fault("invalid syntax"));
    }
    text.parse().map_err(|_| fault("value out of range"))
}

/// Decodes `name=value` of a form.
fn decode_pair(pair: &[u8]) -> Result<(String, String), String> {
    if pair.contains(&b';') {
        return Err("invalid semicolon separator in query".to_owned());
    }
    let mut parts = pair.splitn(2, |byte| *byte == b'=');
    let mut part = || percent_decode(parts.next().unwrap_or_default(), true);
    Ok((part()?, part()?))
}

/// Writes the bytes of `text` that are not `plain`, which must be ASCII, as `%XX`.
pub(crate) fn percent_encode(text: &str, plain: impl Fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match plain(byte) {
            true => out.push(char::from(byte)),
            false => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Decodes `%XX`, and `+` as a blank where `plus` says so. Bytes that are not UTF-8 become U+FFFD.
pub(crate) fn percent_decode(bytes: &[u8], plus: bool) -> Result<String, String> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'%' => {
                let hex = |i: usize| bytes.get(i).and_then(|b| char::from(*b).to_digit(16));
                let (Some(high), Some(low)) = (hex(at + 1), hex(at + 2)) else {
                    let end = bytes.len().min(at + 3);
                    let escape = String::from_utf8_lossy(&bytes[at..end]).into_owned();
                    return Err(format!("invalid URL escape {}", quote(&escape)));
                };
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            b'+' if plus => {
                out.push(b' ');
                at += 1;
            }
            byte => {
                out.push(byte);
                at += 1;
            }
        }
    }
    Ok(String::from_utf8(out).unwrap_or_else(|fault| String::from_utf8_lossy(fault.as_bytes()).into_owned()))
}

/// A label name from a path: where it begins with `U__`, escapes are undone (`__` is `_`, `_2e_` is the character U+2E); on
/// any fault the name stays as it is (UnescapeName with ValueEncodingEscaping in prometheus/common).
pub(crate) fn unescape_label_name(name: &str) -> String {
    let Some(escaped) = name.strip_prefix("U__") else { return name.to_owned() };
    let mut out = String::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some(at) = rest.find('_') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('_') {
            out.push('_');
            rest = after;
            continue;
        }
        // At most five digits, behind which the closing underscore stands.
        let is_hex = |digits: &usize| *digits <= 5 && rest.bytes().take(*digits).all(|byte| byte.is_ascii_hexdigit());
        let character = rest
            .find('_')
            .filter(is_hex)
            .and_then(|digits| u32::from_str_radix(&rest[..digits], 16).ok().map(|code| (digits, code)))
            .and_then(|(digits, code)| char::from_u32(code).map(|c| (digits, c)));
        let Some((digits, character)) = character else { return name.to_owned() };
        out.push(character);
        rest = &rest[digits + 1..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_wins_and_lists_keep_both() {
        let params = Params::new(Some(b"query=a%2Bb+c&match[]=x"), Some("query=old&match[]=y&time=4&&empty")).unwrap();
        assert_eq!(params.get("query"), "a+b c");
        assert_eq!(params.all("match[]"), ["x", "y"]);
        assert_eq!(params.get("time"), "4");
        assert!(params.has("empty") && !params.has("none"));
        assert_eq!(params.check(), Ok(()));
    }

    #[test]
    fn what_cannot_be_decoded_is_told_where_it_matters() {
        let params = Params::new(None, Some("a=%zz&b=1;c=2&d=ok&e=%e")).unwrap();
        assert_eq!(params.get("a"), "");
        assert_eq!(params.get("d"), "ok");
        assert_eq!(params.check(), Err("error parsing form values: invalid URL escape \"%zz\"".to_owned()));
        assert_eq!(percent_decode(b"%f0%9f%8e%89%ff", false).unwrap(), "🎉\u{fffd}");
        assert_eq!(percent_decode(b"a+b%", false), Err("invalid URL escape \"%\"".to_owned()));
    }

    #[test]
    fn limits() {
        for (text, expected) in [
            ("", Ok(0)),
            ("0", Ok(0)),
            ("5", Ok(5)),
            ("+5", Ok(5)),
            ("-1", Err("invalid parameter \"limit\": limit must be non-negative")),
            ("x", Err("invalid parameter \"limit\": strconv.Atoi: parsing \"x\": invalid syntax")),
            ("1.5", Err("invalid parameter \"limit\": strconv.Atoi: parsing \"1.5\": invalid syntax")),
            (
                "99999999999999999999",
                Err("invalid parameter \"limit\": strconv.Atoi: parsing \"99999999999999999999\": value out of range"),
            ),
        ] {
            let query = format!("limit={}", text.replace('+', "%2B"));
            let params = Params::new(None, Some(&query)).unwrap();
            assert_eq!(params.limit(), expected.map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn times_name_their_parameter() {
        let params = Params::new(None, Some("time=x&start=&dedup=maybe")).unwrap();
        assert_eq!(
            params.time_or("time", Time::MIN).unwrap_err(),
            "invalid parameter \"time\": invalid time value for 'time': cannot parse \"x\" to a valid timestamp"
        );
        assert_eq!(
            params.time("start").unwrap_err(),
            "invalid parameter \"start\": cannot parse \"\" to a valid timestamp"
        );
        assert_eq!(params.time_or("end", Time::MAX), Ok(Time::MAX));
        assert_eq!(
            params.flag_or("dedup", true).unwrap_err(),
            "invalid parameter \"dedup\": strconv.ParseBool: parsing \"maybe\": invalid syntax"
        );
    }

    #[test]
    fn label_names_are_unescaped() {
        for (name, expected) in [
            ("job", "job"),
            ("U__label_2e_dot", "label.dot"),
            ("U__label_20_with_20_space", "label with space"),
            ("U__a__b", "a_b"),
            ("U___1f389_", "🎉"),
            ("U__", ""),
            ("U__bad_zz_", "U__bad_zz_"),
            ("U__open_2e", "U__open_2e"),
            ("U___1234567_", "U___1234567_"),
            ("U___d800_", "U___d800_"),
            ("U___01f389_", "U___01f389_"),
            ("U__a_+2e_b", "U__a_+2e_b"),
        ] {
            assert_eq!(unescape_label_name(name), expected, "{name}");
        }
    }
}
