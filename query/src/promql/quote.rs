//! Strings and characters as Go writes and reads them.

use masthead_store::labels::quote;

/// `c` as Go's `%q` writes a character; None is the end of the text, which Go shows as U+FFFD.
pub(super) fn quote_char(c: Option<char>) -> String {
    match c.unwrap_or('\u{fffd}') {
        '\'' => r"'\''".to_owned(),
        '"' => "'\"'".to_owned(),
        c => {
            let quoted = quote(c.encode_utf8(&mut [0; 4]));
            format!("'{}'", &quoted[1..quoted.len() - 1])
        }
    }
}

/// `c` as Go's `%#U` writes it: the code point, and the character if it can be shown.
pub(super) fn unicode_name(c: char) -> String {
    let quoted = quote(c.encode_utf8(&mut [0; 4]));
    let shown = c == '"' || c == '\\' || quoted[1..].starts_with(c);
    if shown { format!("U+{:04X} '{c}'", u32::from(c)) } else { format!("U+{:04X}", u32::from(c)) }
}

/// The bytes that a string token, quotes included, stands for. The lexer has checked its escapes, so that none is wrong here
/// (util/strutil/quote.go, Unquote).
pub(super) fn unquote(token: &str) -> Vec<u8> {
    let Some(inner) = token.get(1..token.len().saturating_sub(1)) else { return Vec::new() };
    if token.starts_with('`') || !inner.contains('\\') {
        return inner.as_bytes().to_vec();
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        rest = unescape(&rest[at + 1..], &mut out);
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

/// Decodes the escape behind a backslash and gives back what follows it.
fn unescape<'a>(text: &'a str, out: &mut Vec<u8>) -> &'a str {
    let (kind, length) = match text.as_bytes().first() {
        Some(b'x') => (b'x', 2),
        Some(b'u') => (b'u', 4),
        Some(b'U') => (b'u', 8),
        Some(b'0'..=b'7') => (b'0', 3),
        Some(other) => (*other, 0),
        None => return text,
    };
    let digits = text.get(usize::from(kind != b'0')..).and_then(|rest| rest.get(..length)).unwrap_or("");
    match kind {
        b'x' => out.push(u8::from_str_radix(digits, 16).unwrap_or(0)),
        b'0' => out.push(u8::from_str_radix(digits, 8).unwrap_or(0)),
        b'u' => {
            let c = u32::from_str_radix(digits, 16).ok().and_then(char::from_u32).unwrap_or('\u{fffd}');
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
        simple => out.push(match simple {
            b'a' => 7,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 11,
            other => other,
        }),
    }
    let used = if kind == b'0' { length } else { 1 + length };
    text.get(used..).unwrap_or("")
}

/// Where bytes that are no UTF-8 live in a text: byte `b` is the private character `U+10FF00 + b`.
const INVALID: u32 = 0x10_ff00;

/// Bytes as text. Labels are UTF-8 everywhere, so what is not can match nothing; it is kept for error texts and the printer.
pub(super) fn into_text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| {
        let mut text = String::new();
        for chunk in error.as_bytes().utf8_chunks() {
            text.push_str(chunk.valid());
            text.extend(chunk.invalid().iter().filter_map(|byte| char::from_u32(INVALID + u32::from(*byte))));
        }
        text
    })
}

/// The byte that `c` stands for, if it stands for one that was no UTF-8.
fn invalid_byte(c: char) -> Option<u8> {
    u32::from(c).checked_sub(INVALID).and_then(|byte| u8::try_from(byte).ok()).filter(|byte| !byte.is_ascii())
}

/// Whether a string literal's text is valid UTF-8, as `"\xff"` is not.
fn is_utf8(text: &str) -> bool {
    !text.contains(|c| invalid_byte(c).is_some())
}

/// Whether a string literal's text can be a label's name: any UTF-8 but the empty one.
pub fn is_label_name(text: &str) -> bool {
    !text.is_empty() && is_utf8(text)
}

/// A string literal's text for people: U+FFFD for each byte that is no UTF-8.
pub fn lossy(text: &str) -> String {
    text.chars().map(|c| invalid_byte(c).map_or(c, |_| char::REPLACEMENT_CHARACTER)).collect()
}

/// A string literal's text as Go's `%q` writes it, bytes that are no UTF-8 as `\xff`.
pub fn quote_literal(text: &str) -> String {
    if is_utf8(text) {
        return quote(text);
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match invalid_byte(c) {
            Some(byte) => out.push_str(&format!("\\x{byte:02x}")),
            None => {
                let quoted = quote(c.encode_utf8(&mut [0; 4]));
                out.push_str(&quoted[1..quoted.len() - 1]);
            }
        }
    }
    out.push('"');
    out
}
