//! The operators between two floats.

use crate::go_math;
use crate::promql::ast::BinaryOp;

/// What an operator gives for two floats.
#[derive(Debug, Clone, Copy)]
pub(super) enum Operation {
    /// A number.
    Arithmetic(fn(f64, f64) -> f64),
    /// Yes or no.
    Comparison(fn(&f64, &f64) -> bool),
    /// Nothing: the operator wants a histogram. Holds the operator's sign.
    Trim(&'static str),
    /// An operator between sets, which does not look at values.
    Set,
}

/// The operation of `op`.
pub(super) fn operation(op: BinaryOp) -> Operation {
    use Operation::{Arithmetic, Comparison, Set, Trim};
    match op {
        BinaryOp::Add => Arithmetic(|a, b| a + b),
        BinaryOp::Sub => Arithmetic(|a, b| a - b),
        BinaryOp::Mul => Arithmetic(|a, b| a * b),
        BinaryOp::Div => Arithmetic(|a, b| a / b),
        // Both are C's fmod, with the sign of the dividend, as Go's math.Mod.
        BinaryOp::Mod => Arithmetic(|a, b| a % b),
        BinaryOp::Pow => Arithmetic(go_math::pow),
        BinaryOp::Atan2 => Arithmetic(go_math::atan2),
        BinaryOp::Equal => Comparison(f64::eq),
        BinaryOp::NotEqual => Comparison(f64::ne),
        BinaryOp::Less => Comparison(f64::lt),
        BinaryOp::LessEqual => Comparison(f64::le),
        BinaryOp::Greater => Comparison(f64::gt),
        BinaryOp::GreaterEqual => Comparison(f64::ge),
        BinaryOp::TrimUpper => Trim("</"),
        BinaryOp::TrimLower => Trim(">/"),
        BinaryOp::And | BinaryOp::Or | BinaryOp::Unless => Set,
    }
}

/// The info about an operator that floats do not have.
pub(super) fn trim_info(sign: &str) -> String {
    format!("PromQL info: incompatible sample types encountered for binary operator \"{sign}\": float {sign} float")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_values_follow_go() {
        let Operation::Arithmetic(modulo) = operation(BinaryOp::Mod) else { panic!("% is arithmetic") };
        assert_eq!(modulo(-5.0, 3.0), -2.0);
        let Operation::Arithmetic(power) = operation(BinaryOp::Pow) else { panic!("^ is arithmetic") };
        assert_eq!((power(1.0, f64::NAN), power(f64::NAN, 0.0)), (1.0, 1.0));
        assert!(power(-8.0, 1.0 / 3.0).is_nan());
    }
}
