//! What comparing answers of the API takes, whoever's they are.

mod order;

use serde_json::Value;

pub use order::{Order, order_of};

/// Whether an expression names one of these.
pub fn mentions(query: &str, names: &[&str]) -> bool {
    query.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| names.contains(&word))
}

/// Whether two values, floats as texts or histograms, are equal as printed or within a relative difference.
pub fn near(a: &Value, b: &Value, tolerance: f64) -> bool {
    match (a, b) {
        _ if a == b => true,
        (Value::String(a), Value::String(b)) => match (a.parse::<f64>(), b.parse::<f64>()) {
            // Two zeros are as far apart as their signs.
            (Ok(a), Ok(b)) if a.is_finite() && b.is_finite() && a.signum() == b.signum() => {
                tolerance > 0.0 && (a - b).abs() <= tolerance * a.abs().max(b.abs())
            }
            _ => false,
        },
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| near(a, b, tolerance)),
        (Value::Object(a), Value::Object(b)) => {
            a.keys().eq(b.keys()) && a.values().zip(b.values()).all(|(a, b)| near(a, b, tolerance))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_near_within_the_tolerance() {
        let histogram = |count: &str| serde_json::json!({"count": count, "buckets": [[0, "1", "2", count]]});
        for (a, b, expected) in [
            ("1", "1.0000000000000002", true),
            ("1", "1.1", false),
            ("NaN", "NaN", true),
            ("NaN", "1", false),
            ("+Inf", "-Inf", false),
            ("0", "1e-300", false),
            ("0", "-0", false),
            ("1e308", "+Inf", false),
        ] {
            assert_eq!(near(&Value::from(a), &Value::from(b), 1e-12), expected, "{a} {b}");
            assert_eq!(near(&histogram(a), &histogram(b), 1e-12), expected, "histograms of {a} {b}");
        }
        assert!(!near(&Value::from("1"), &histogram("1"), 1e-12));
        assert!(!near(&Value::from("1000"), &Value::from("1e3"), 0.0));
    }
}
