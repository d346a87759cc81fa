//! Floats in the texts of labels and annotations, as Go writes them.

use crate::go_float;

/// Go's `strconv.FormatFloat(value, 'f', -1, 64)`: the shortest digits that read back the same, never an exponent.
pub(super) fn plain(value: f64) -> String {
    special(value).unwrap_or_else(|| go_float::plain(value))
}

/// Go's `%g` and `%v`: the shortest digits that read back the same, with an exponent below 1e-4 and from 1e6 on
/// (strconv/ftoa.go, formatDigits).
pub(super) fn shortest(value: f64) -> String {
    if let Some(text) = special(value) {
        return text;
    }
    let (digits, exponent) = go_float::scientific(value);
    if (-4..6).contains(&exponent) { go_float::plain(value) } else { format!("{digits}e{}", two_digits(exponent)) }
}

/// Go's `%f`: six decimals.
pub(super) fn fixed(value: f64) -> String {
    special(value).unwrap_or_else(|| format!("{value:.6}"))
}

/// Go's `%.2g`.
pub(super) fn two_significant(value: f64) -> String {
    if let Some(text) = special(value) {
        return text;
    }
    let text = format!("{value:.1e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let short = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if (-4..2).contains(&exponent) {
        let decimals = usize::try_from(1 - exponent).unwrap_or(0);
        return short(&format!("{value:.decimals$}"));
    }
    format!("{}e{}", short(digits), two_digits(exponent))
}

/// As a label of `histogram_quantiles` has it: `shortest`, with `.0` where it would look like an integer
/// (model/labels/float.go, FormatOpenMetricsFloat).
pub(super) fn open_metrics(value: f64) -> String {
    let text = shortest(value);
    let looks_whole = value.is_finite() && !text.contains(['.', 'e']);
    if value == 0.0 {
        "0.0".into()
    } else if looks_whole {
        text + ".0"
    } else {
        text
    }
}

/// Seconds since the epoch of `millis`, as RFC 3339 in UTC. Division rounds towards zero, as Go's.
pub(super) fn rfc3339(millis: i64) -> String {
    let seconds = millis / 1000;
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

/// Day of the Gregorian calendar, `days` after 1970-01-01 (the usual algorithm over eras of 400 years from a 1st of March).
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn special(value: f64) -> Option<String> {
    if value.is_nan() {
        return Some("NaN".into());
    }
    value.is_infinite().then(|| if value > 0.0 { "+Inf".into() } else { "-Inf".into() })
}

fn two_digits(exponent: i32) -> String {
    format!("{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_read_as_go_writes_them() {
        for (value, expected) in [
            (1e21, "1000000000000000000000"),
            (1e-7, "0.0000001"),
            (-0.0, "-0"),
            (6_104_252_345_610_425.0 / 4.0, "1526063086402606.2"),
        ] {
            assert_eq!(plain(value), expected);
        }
        for (value, expected) in [
            (1e30, "1e+30"),
            (0.5, "0.5"),
            (-1.0, "-1"),
            (1e20, "1e+20"),
            (999_999.0, "999999"),
            (1e6, "1e+06"),
            (123_456_789.0, "1.23456789e+08"),
            (1e-4, "0.0001"),
            (1.5e-5, "1.5e-05"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(shortest(value), expected, "{value}");
        }
        for (value, expected) in
            [(3.0, "3"), (12.34, "12"), (123.0, "1.2e+02"), (0.012_3, "0.012"), (1.25e-7, "1.2e-07"), (100.0, "1e+02")]
        {
            assert_eq!(two_significant(value), expected, "{value}");
        }
        for (value, expected) in
            [(1.0, "1.0"), (0.0, "0.0"), (0.99, "0.99"), (5.0, "5.0"), (1e9, "1e+09"), (f64::NAN, "NaN")]
        {
            assert_eq!(open_metrics(value), expected);
        }
        assert_eq!(rfc3339(1_700_001_693_000), "2023-11-14T22:41:33Z");
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(-86_400_000), "1969-12-31T00:00:00Z");
    }
}
