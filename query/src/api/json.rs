//! JSON by hand: strings with the two ways of escaping that Prometheus' answers have, objects and lists.

use masthead_store::Labels;

/// Appends `text` in quotes; only `"`, `\` and control characters are escaped. Label sets of results are written so.
pub(crate) fn push_plain(out: &mut Vec<u8>, text: &str) {
    push_escaped(out, text, |c| c < 0x20 || c == b'"' || c == b'\\', false);
}

/// Appends `text` in quotes; `<`, `>`, `&`, U+2028 and U+2029 are escaped as well. Every other string is written so.
pub(crate) fn push_string(out: &mut Vec<u8>, text: &str) {
    push_escaped(out, text, |c| c < 0x20 || matches!(c, b'"' | b'\\' | b'<' | b'>' | b'&' | 0xe2), true);
}

fn push_escaped(out: &mut Vec<u8>, text: &str, suspect: impl Fn(u8) -> bool, html: bool) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    let mut copied = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if !suspect(byte) {
            continue;
        }
        let mut width = 1;
        let escape: [u8; 6] = if html && byte == 0xe2 {
            match bytes.get(at + 1..at + 3) {
                Some([0x80, last @ (0xa8 | 0xa9)]) => {
                    width = 3;
                    *if *last == 0xa8 { b"\\u2028" } else { b"\\u2029" }
                }
                _ => continue,
            }
        } else {
            [b'\\', b'u', b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]
        };
        out.extend_from_slice(&bytes[copied..at]);
        copied = at + width;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => out.extend_from_slice(&escape),
        }
    }
    out.extend_from_slice(&bytes[copied..]);
    out.push(b'"');
}

/// Appends `{"name":"value",...}`.
pub(crate) fn push_labels(out: &mut Vec<u8>, labels: &Labels) {
    out.push(b'{');
    for (i, (name, value)) in labels.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        push_plain(out, name);
        out.push(b':');
        push_plain(out, value);
    }
    out.push(b'}');
}

/// Appends a list of strings.
pub(crate) fn push_strings<S: AsRef<str>>(out: &mut Vec<u8>, strings: &[S]) {
    push_list(out, strings, |out, text| push_string(out, text.as_ref()));
}

/// Appends a list, each item by `push`.
pub(crate) fn push_list<T>(out: &mut Vec<u8>, items: &[T], mut push: impl FnMut(&mut Vec<u8>, &T)) {
    out.push(b'[');
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        push(out, item);
    }
    out.push(b']');
}

/// Appends `"key":`, with a comma before it unless it is the first of its object.
pub(crate) fn push_key(out: &mut Vec<u8>, key: &str) {
    if !out.ends_with(b"{") {
        out.push(b',');
    }
    push_plain(out, key);
    out.push(b':');
}

/// Appends `true` or `false`.
pub(crate) fn push_bool(out: &mut Vec<u8>, truth: bool) {
    out.extend_from_slice(if truth { b"true" } else { b"false" });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaping_has_two_ways() {
        for (text, plain, html) in [
            ("", r#""""#, r#""""#),
            ("a\"b\\c", r#""a\"b\\c""#, r#""a\"b\\c""#),
            ("\n\r\t\0\u{1f}\u{8}", r#""\n\r\t\u0000\u001f\u0008""#, r#""\n\r\t\u0000\u001f\u0008""#),
            ("<b>&", r#""<b>&""#, r#""\u003cb\u003e\u0026""#),
            ("a\u{2028}b\u{2029}", "\"a\u{2028}b\u{2029}\"", r#""a\u2028b\u2029""#),
            ("é\u{7f}🎉\u{2027}", "\"é\u{7f}🎉\u{2027}\"", "\"é\u{7f}🎉\u{2027}\""),
        ] {
            let (mut one, mut two) = (Vec::new(), Vec::new());
            push_plain(&mut one, text);
            push_string(&mut two, text);
            assert_eq!(String::from_utf8(one).unwrap(), plain);
            assert_eq!(String::from_utf8(two).unwrap(), html);
        }
    }

    #[test]
    fn objects_and_lists() {
        let mut out = b"{".to_vec();
        push_key(&mut out, "a");
        push_strings(&mut out, &["x", "<"]);
        push_key(&mut out, "b");
        push_labels(&mut out, &Labels::from_pairs([("z", "1"), ("A", "<")]));
        out.push(b'}');
        assert_eq!(String::from_utf8(out).unwrap(), r#"{"a":["x","\u003c"],"b":{"A":"<","z":"1"}}"#);
    }
}
