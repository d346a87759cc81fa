//! Character classes: Perl's and POSIX' in ASCII, Unicode's by the names that Go knows, case folding.
//!
//! Surrogates, which a Go rune can be, occur in no text here and are left out of every class.

use regex_syntax::hir::{Class, ClassUnicodeRange, HirKind};

pub(crate) use regex_syntax::hir::ClassUnicode;

/// Perl classes that exist in lower case; the upper case letter is the complement.
const PERL: &[(u8, &[(u8, u8)])] =
    &[(b'd', &[(b'0', b'9')]), (b's', &[(b'\t', b'\n'), (0x0c, b'\r'), (b' ', b' ')]), (b'w', WORD)];

const WORD: &[(u8, u8)] = &[(b'0', b'9'), (b'A', b'Z'), (b'_', b'_'), (b'a', b'z')];

const POSIX: &[(&str, &[(u8, u8)])] = &[
    ("alnum", &[(b'0', b'9'), (b'A', b'Z'), (b'a', b'z')]),
    ("alpha", &[(b'A', b'Z'), (b'a', b'z')]),
    ("ascii", &[(0, 0x7f)]),
    ("blank", &[(b'\t', b'\t'), (b' ', b' ')]),
    ("cntrl", &[(0, 0x1f), (0x7f, 0x7f)]),
    ("digit", &[(b'0', b'9')]),
    ("graph", &[(b'!', b'~')]),
    ("lower", &[(b'a', b'z')]),
    ("print", &[(b' ', b'~')]),
    ("punct", &[(b'!', b'/'), (b':', b'@'), (b'[', b'`'), (b'{', b'~')]),
    ("space", &[(b'\t', b'\r'), (b' ', b' ')]),
    ("upper", &[(b'A', b'Z')]),
    ("word", WORD),
    ("xdigit", &[(b'0', b'9'), (b'A', b'F'), (b'a', b'f')]),
];

/// The general categories that Go's `unicode.Categories` names.
const CATEGORIES: &[&str] = &[
    "C", "Cc", "Cf", "Cn", "Co", "Cs", "L", "LC", "Ll", "Lm", "Lo", "Lt", "Lu", "M", "Mc", "Me", "Mn", "N", "Nd", "Nl",
    "No", "P", "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "S", "Sc", "Sk", "Sm", "So", "Z", "Zl", "Zp", "Zs",
];

/// The scripts that Go's `unicode.Scripts` names (Unicode 15). Others, aliases and other spellings are refused as in
/// Go.
const SCRIPTS: &str = " Adlam Ahom Anatolian_Hieroglyphs Arabic Armenian Avestan Balinese Bamum Bassa_Vah Batak Bengali \
    Bhaiksuki Bopomofo Brahmi Braille Buginese Buhid Canadian_Aboriginal Carian Caucasian_Albanian Chakma Cham Cherokee \
    Chorasmian Common Coptic Cuneiform Cypriot Cypro_Minoan Cyrillic Deseret Devanagari Dives_Akuru Dogra Duployan \
    Egyptian_Hieroglyphs Elbasan Elymaic Ethiopic Georgian Glagolitic Gothic Grantha Greek Gujarati Gunjala_Gondi Gurmukhi \
    Han Hangul Hanifi_Rohingya Hanunoo Hatran Hebrew Hiragana Imperial_Aramaic Inherited Inscriptional_Pahlavi \
    Inscriptional_Parthian Javanese Kaithi Kannada Katakana Kawi Kayah_Li Kharoshthi Khitan_Small_Script Khmer Khojki \
    Khudawadi Lao Latin Lepcha Limbu Linear_A Linear_B Lisu Lycian Lydian Mahajani Makasar Malayalam Mandaic Manichaean \
    Marchen Masaram_Gondi Medefaidrin Meetei_Mayek Mende_Kikakui Meroitic_Cursive Meroitic_Hieroglyphs Miao Modi Mongolian \
    Mro Multani Myanmar Nabataean Nag_Mundari Nandinagari New_Tai_Lue Newa Nko Nushu Nyiakeng_Puachue_Hmong Ogham Ol_Chiki \
    Old_Hungarian Old_Italic Old_North_Arabian Old_Permic Old_Persian Old_Sogdian Old_South_Arabian Old_Turkic Old_Uyghur \
    Oriya Osage Osmanya Pahawh_Hmong Palmyrene Pau_Cin_Hau Phags_Pa Phoenician Psalter_Pahlavi Rejang Runic Samaritan \
    Saurashtra Sharada Shavian Siddham SignWriting Sinhala Sogdian Sora_Sompeng Soyombo Sundanese Syloti_Nagri Syriac \
    Tagalog Tagbanwa Tai_Le Tai_Tham Tai_Viet Takri Tamil Tangsa Tangut Telugu Thaana Thai Tibetan Tifinagh Tirhuta Toto \
    Ugaritic Vai Vithkuqi Wancho Warang_Citi Yezidi Yi Zanabazar_Square ";

/// Lowest and highest code point of the surrogates.
const SURROGATES: (u32, u32) = (0xd800, 0xdfff);

/// The class of these ranges of code points, each at most 0x10ffff.
pub(super) fn of(ranges: &[(u32, u32)]) -> ClassUnicode {
    ClassUnicode::new(ranges.iter().filter_map(|&(low, high)| {
        let surrogate = |code| (SURROGATES.0..=SURROGATES.1).contains(&code);
        let low = char::from_u32(if surrogate(low) { SURROGATES.1 + 1 } else { low })?;
        let high = char::from_u32(if surrogate(high) { SURROGATES.0 - 1 } else { high })?;
        (low <= high).then(|| ClassUnicodeRange::new(low, high))
    }))
}

/// The class of one character and, if `fold`, of its other cases.
pub(super) fn one(c: char, fold: bool) -> ClassUnicode {
    let mut class = ClassUnicode::new([ClassUnicodeRange::new(c, c)]);
    if fold {
        class.case_fold_simple();
    }
    class
}

/// `\d`, `\D`, `\s`, `\S`, `\w` or `\W` by its letter. Folding comes before the complement, as in Go's appendGroup.
pub(super) fn perl(letter: u8, fold: bool) -> Option<ClassUnicode> {
    let (_, ranges) = PERL.iter().find(|(name, _)| *name == letter.to_ascii_lowercase())?;
    Some(finish(ascii(ranges), fold, letter.is_ascii_uppercase()))
}

/// A POSIX class by the text between `[:` and `:]`, which may begin with `^`.
pub(super) fn posix(text: &str, fold: bool) -> Option<ClassUnicode> {
    let (negated, name) = match text.strip_prefix('^') {
        Some(name) => (true, name),
        None => (false, text),
    };
    let (_, ranges) = POSIX.iter().find(|(have, _)| *have == name)?;
    Some(finish(ascii(ranges), fold, negated))
}

/// A category, a script or `Any`, by Go's name.
pub(super) fn unicode(name: &str, fold: bool, negated: bool) -> Option<ClassUnicode> {
    if name == "Any" {
        return Some(finish(ClassUnicode::new([ClassUnicodeRange::new('\0', char::MAX)]), false, negated));
    }
    let key = if CATEGORIES.contains(&name) {
        "gc"
    } else if !name.contains(' ') && !name.is_empty() && SCRIPTS.contains(&format!(" {name} ")) {
        "sc"
    } else {
        return None;
    };
    Some(finish(table(key, name), fold, negated))
}

/// Whether Go's `unicode.IsLetter` or `unicode.IsDigit` holds.
pub(super) fn is_letter_or_digit(c: char) -> bool {
    ["L", "Nd"].iter().any(|name| {
        let class = table("gc", name);
        class.ranges().iter().any(|range| range.start() <= c && c <= range.end())
    })
}

/// The table that regex-syntax has for a property; empty where it has none, which is so for the surrogates (`Cs`).
fn table(key: &str, name: &str) -> ClassUnicode {
    match regex_syntax::parse(&format!("\\p{{{key}={name}}}")).map(|hir| hir.into_kind()) {
        Ok(HirKind::Class(Class::Unicode(class))) => class,
        _ => ClassUnicode::empty(),
    }
}

fn ascii(ranges: &[(u8, u8)]) -> ClassUnicode {
    ClassUnicode::new(ranges.iter().map(|&(low, high)| ClassUnicodeRange::new(char::from(low), char::from(high))))
}

fn finish(mut class: ClassUnicode, fold: bool, negated: bool) -> ClassUnicode {
    if fold {
        class.case_fold_simple();
    }
    if negated {
        class.negate();
    }
    class
}
