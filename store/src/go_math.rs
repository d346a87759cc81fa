//! Elementary functions with the last digit that Go's `math` package gives on amd64, so that answers equal Prometheus'
//! bit by bit. The platform's C library rounds some arguments otherwise, and differs from platform to platform.
//!
//! The algorithms are the public ones that Go cites: Shibata's exponential (SLEEF), FreeBSD's msun for logarithms, and
//! Cephes for trigonometric functions. The order of operations is part of them: nothing here may be rearranged.

#![expect(clippy::excessive_precision, reason = "constants have the digits of their sources")]

mod hyperbolic;
#[cfg(test)]
mod tests;
mod trigonometric;

use std::f64::consts::{LOG2_E, LOG10_E};

use crate::Millis;

pub use hyperbolic::{acosh, asinh, atanh, cosh, sinh, tanh};
pub use trigonometric::{acos, asin, atan, atan2, cos, sin, tan};

const LN2_HI: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000);
const LN2_LO: f64 = f64::from_bits(0x3dea_39ef_3579_3c76);
const FRACTION_MASK: u64 = 0x000f_ffff_ffff_ffff;

/// e to the power of `x`: as on processors with fused multiply-add (math/exp_amd64.s).
pub fn exp(x: f64) -> f64 {
    const LN2_UPPER: f64 = 0.693_147_180_559_662_956_511_601_805_686_950_683_593_75;
    const LN2_LOWER: f64 = 0.282_352_905_630_315_771_225_884_481_750_134_360_255_254_120_68e-12;
    /// 1/8!, 1/7!, ... 1/2!, 1/1!
    const TAYLOR: [f64; 8] = [
        2.480_158_730_158_730_158_7e-5,
        1.984_126_984_126_984_127_0e-4,
        1.388_888_888_888_888_888_9e-3,
        8.333_333_333_333_333_333_3e-3,
        4.166_666_666_666_666_666_7e-2,
        1.666_666_666_666_666_666_7e-1,
        0.5,
        1.0,
    ];
    if x.is_nan() {
        return x;
    }
    if x > 709.782_712_893_384 {
        return f64::INFINITY;
    }
    if x < -800.0 {
        return 0.0;
    }
    let exponent = (LOG2_E * x).round_ties_even();
    let reduced = (-exponent).mul_add(LN2_LOWER, (-exponent).mul_add(LN2_UPPER, x)) * 0.0625;
    let sum = TAYLOR[1..].iter().fold(TAYLOR[0], |sum, term| reduced.mul_add(sum, *term));
    // (e^r - 1) squared four times over, by (y + 1)^2 - 1 = y (y + 2).
    let mut y = reduced * sum;
    for _ in 0..3 {
        y *= y + 2.0;
    }
    scale_exp((y + 2.0).mul_add(y, 1.0), exponent as i64)
}

/// `y * 2^exponent` for a `y` near 1, by the two steps that `exp` takes.
fn scale_exp(y: f64, exponent: i64) -> f64 {
    let power = |biased: i64| f64::from_bits((biased as u64) << 52);
    match exponent + 1023 {
        biased if biased >= 0x7ff => f64::INFINITY,
        biased if biased > 0 => y * power(biased),
        biased if biased < -52 => 0.0,
        biased => y * power(biased + 1022) * power(1),
    }
}

/// 2 to the power of `x` (math/exp.go, exp2), which has no version of its own for the processor.
pub fn exp2(x: f64) -> f64 {
    /// Coefficients of the series of msun's e_exp.c.
    const TERMS: [f64; 5] = [
        1.666_666_666_666_666_574_15e-1,
        -2.777_777_777_701_559_338_42e-3,
        6.613_756_321_437_934_361_17e-5,
        -1.653_390_220_546_525_153_90e-6,
        4.138_136_797_057_238_460_39e-8,
    ];
    const HI: f64 = 6.931_471_803_691_238_164_90e-1;
    const LO: f64 = 1.908_214_929_270_587_700_02e-10;
    if x.is_nan() || x == f64::INFINITY {
        return x;
    }
    if x > 1.023_999_999_999_999_9e3 {
        return f64::INFINITY;
    }
    if x < -1.074e3 {
        return 0.0;
    }
    let exponent = if x == 0.0 { 0.0 } else { (x + 0.5_f64.copysign(x)).trunc() };
    let rest = x - exponent;
    let (hi, lo) = (rest * HI, -rest * LO);
    let r = hi - lo;
    let t = r * r;
    let [p1, p2, p3, p4, p5] = TERMS;
    let c = r - t * (p1 + t * (p2 + t * (p3 + t * (p4 + t * p5))));
    let y = 1.0 - ((lo - (r * c) / (2.0 - c)) - hi);
    join(y, exponent as i64)
}

/// Natural logarithm (math/log_amd64.s). Denormal numbers are read as if their leading bit were there, as Go does.
pub fn ln(x: f64) -> f64 {
    if x == 0.0 {
        return f64::NEG_INFINITY;
    }
    if x.is_nan() || x == f64::INFINITY {
        return x;
    }
    if x < 0.0 {
        return f64::NAN;
    }
    let bits = x.to_bits();
    let mut fraction = f64::from_bits((bits & FRACTION_MASK) | 0x3fe0_0000_0000_0000);
    let mut k = (bits >> 52) as f64 - 1022.0;
    if fraction <= std::f64::consts::FRAC_1_SQRT_2 {
        k -= 1.0;
        fraction *= 2.0;
    }
    let f = fraction - 1.0;
    let s = f / (2.0 + f);
    let s2 = s * s;
    let s4 = s2 * s2;
    let [l1, l2, l3, l4, l5, l6, l7] = LOG_TERMS;
    let odd = s2 * (l1 + s4 * (l3 + s4 * (l5 + s4 * l7)));
    let even = s4 * (l2 + s4 * (l4 + s4 * l6));
    let r = odd + even;
    let half_square = 0.5 * f * f;
    k * LN2_HI - ((half_square - (s * (half_square + r) + k * LN2_LO)) - f)
}

/// Coefficients of the logarithm's series (msun, e_log.c), with the bits Go gives them.
const LOG_TERMS: [f64; 7] = [
    f64::from_bits(0x3fe5_5555_5555_5593),
    f64::from_bits(0x3fd9_9999_9997_fa04),
    f64::from_bits(0x3fd2_4924_9422_9359),
    f64::from_bits(0x3fcc_71c5_1d8e_78af),
    f64::from_bits(0x3fc7_4664_96cb_03de),
    f64::from_bits(0x3fc3_9a09_d078_c69f),
    f64::from_bits(0x3fc2_f112_df3e_5244),
];

/// Logarithm to base 2; exact for powers of 2.
pub fn log2(x: f64) -> f64 {
    let (fraction, exponent) = split(x);
    if fraction == 0.5 {
        return f64::from(exponent - 1);
    }
    ln(fraction) * LOG2_E + f64::from(exponent)
}

/// Logarithm to base 10.
pub fn log10(x: f64) -> f64 {
    ln(x) * LOG10_E
}

/// Logarithm of `1 + x` (msun, s_log1p.c).
fn ln_1p(x: f64) -> f64 {
    if x < -1.0 || x.is_nan() {
        return f64::NAN;
    }
    if x == -1.0 {
        return f64::NEG_INFINITY;
    }
    if x == f64::INFINITY {
        return x;
    }
    let size = x.abs();
    if size < 1.0 / 9_007_199_254_740_992.0 / 2.0 {
        return x;
    }
    if size < 1.0 / 536_870_912.0 {
        return x - x * x * 0.5;
    }
    let plain = size < 0.414_213_562_373_095_048_801_7 && x > -0.292_893_218_813_452_475_599_2;
    let (f, k, correction, tiny) = if plain { (x, 0.0, 0.0, false) } else { reduce_ln_1p(x, size) };
    let half_square = 0.5 * f * f;
    if tiny {
        return ln_1p_tiny(f, k, correction, half_square);
    }
    let s = f / (2.0 + f);
    let z = s * s;
    let [l1, l2, l3, l4, l5, l6, l7] = LOG_TERMS;
    let r = z * (l1 + z * (l2 + z * (l3 + z * (l4 + z * (l5 + z * (l6 + z * l7))))));
    if k == 0.0 {
        return f - (half_square - s * (half_square + r));
    }
    k * LN2_HI - ((half_square - (s * (half_square + r) + (k * LN2_LO + correction))) - f)
}

/// `1 + x` as `2^k (1 + f)`, the rounding error of the sum, and whether `f` is below 2^-20.
fn reduce_ln_1p(x: f64, size: f64) -> (f64, f64, f64, bool) {
    let (sum, exact) = if size < 9_007_199_254_740_992.0 { (1.0 + x, false) } else { (x, true) };
    let bits = sum.to_bits();
    let mut k = (bits >> 52) as f64 - 1023.0;
    let correction = match (exact, k > 0.0) {
        (true, _) => 0.0,
        (false, true) => (1.0 - (sum - x)) / sum,
        (false, false) => (x - (sum - 1.0)) / sum,
    };
    let fraction = bits & FRACTION_MASK;
    if fraction < 0x0006_a09e_667f_3bcd {
        return (f64::from_bits(fraction | 0x3ff0_0000_0000_0000) - 1.0, k, correction, fraction == 0);
    }
    k += 1.0;
    let left = (0x0010_0000_0000_0000 - fraction) >> 2;
    (f64::from_bits(fraction | 0x3fe0_0000_0000_0000) - 1.0, k, correction, left == 0)
}

fn ln_1p_tiny(f: f64, k: f64, correction: f64, half_square: f64) -> f64 {
    if f == 0.0 {
        return if k == 0.0 { 0.0 } else { k * LN2_HI + (correction + k * LN2_LO) };
    }
    let r = half_square * (1.0 - 0.666_666_666_666_666_66 * f);
    if k == 0.0 { f - r } else { k * LN2_HI - ((r - (k * LN2_LO + correction)) - f) }
}

/// `x` to the power of `y` (math/pow.go): whole powers by repeated squaring, the rest by `exp` and `ln`.
pub fn pow(x: f64, y: f64) -> f64 {
    if let Some(special) = special_pow(x, y) {
        return special;
    }
    let (mut whole, mut rest) = (y.abs().trunc(), y.abs().fract());
    if rest != 0.0 && x < 0.0 {
        return f64::NAN;
    }
    if whole >= 9_223_372_036_854_775_808.0 {
        return match x {
            -1.0 => 1.0,
            _ if (x.abs() < 1.0) == (y > 0.0) => 0.0,
            _ => f64::INFINITY,
        };
    }
    let mut result = 1.0;
    if rest != 0.0 {
        if rest > 0.5 {
            rest -= 1.0;
            whole += 1.0;
        }
        result = exp(rest * ln(x));
    }
    let mut result_exponent: i64 = 0;
    let (mut square, exponent) = split(x);
    let mut exponent = i64::from(exponent);
    let mut bits = whole as i64;
    while bits != 0 {
        if exponent.abs() > 1 << 12 {
            // Beyond any float already; the sign of the exponent decides.
            result_exponent += exponent;
            break;
        }
        if bits & 1 == 1 {
            result *= square;
            result_exponent += exponent;
        }
        square *= square;
        exponent <<= 1;
        if square < 0.5 {
            square += square;
            exponent -= 1;
        }
        bits >>= 1;
    }
    if y < 0.0 {
        result = 1.0 / result;
        result_exponent = -result_exponent;
    }
    join(result, result_exponent)
}

fn special_pow(x: f64, y: f64) -> Option<f64> {
    let odd_y = y.abs() < 9_007_199_254_740_992.0 && y.fract() == 0.0 && (y as i64) & 1 == 1;
    Some(match () {
        () if y == 0.0 || x == 1.0 => 1.0,
        () if y == 1.0 => x,
        () if x.is_nan() || y.is_nan() => f64::NAN,
        () if x == 0.0 && y < 0.0 => {
            if x.is_sign_negative() && odd_y {
                f64::NEG_INFINITY
            } else {
                f64::INFINITY
            }
        }
        () if x == 0.0 => {
            if odd_y {
                x
            } else {
                0.0
            }
        }
        () if y.is_infinite() && x == -1.0 => 1.0,
        () if y.is_infinite() => {
            if (x.abs() < 1.0) == (y > 0.0) {
                0.0
            } else {
                f64::INFINITY
            }
        }
        () if x == f64::NEG_INFINITY => return Some(pow(1.0 / x, -y)),
        () if x == f64::INFINITY => {
            if y < 0.0 {
                0.0
            } else {
                f64::INFINITY
            }
        }
        () if y == 0.5 => x.sqrt(),
        () if y == -0.5 => 1.0 / x.sqrt(),
        () => return None,
    })
}

/// Fraction in `[0.5, 1)` with the sign of `x`, and exponent of 2. What has none stays itself.
fn split(x: f64) -> (f64, i32) {
    if x == 0.0 || !x.is_finite() {
        return (x, 0);
    }
    let (normal, shift) = normalize(x);
    let bits = normal.to_bits();
    let exponent = ((bits >> 52) & 0x7ff) as i32 - 1022;
    (f64::from_bits((bits & !(0x7ff << 52)) | 0x3fe << 52), exponent + shift)
}

/// `fraction * 2^exponent`, rounded once (math/ldexp.go).
pub fn join(fraction: f64, exponent: i64) -> f64 {
    if fraction == 0.0 || !fraction.is_finite() {
        return fraction;
    }
    let (normal, shift) = normalize(fraction);
    let bits = normal.to_bits();
    let mut exponent = exponent + i64::from(shift) + ((bits >> 52) & 0x7ff) as i64 - 1023;
    if exponent < -1075 {
        return 0.0_f64.copysign(fraction);
    }
    if exponent > 1023 {
        return f64::INFINITY.copysign(fraction);
    }
    let mut scale = 1.0;
    if exponent < -1022 {
        exponent += 53;
        scale = 1.0 / 9_007_199_254_740_992.0;
    }
    scale * f64::from_bits((bits & !(0x7ff << 52)) | ((exponent + 1023) as u64) << 52)
}

fn normalize(x: f64) -> (f64, i32) {
    if x.abs() < f64::MIN_POSITIVE { (x * 4_503_599_627_370_496.0, -52) } else { (x, 0) }
}

/// Go's math.Max: NaN wins over all but +Inf, and 0 over -0.
pub fn go_max(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == 0.0 && b == 0.0 {
        if a.is_sign_negative() { b } else { a }
    } else if a > b {
        a
    } else {
        b
    }
}

/// Go's math.Min: NaN wins over all but -Inf, and -0 over 0.
pub fn go_min(a: f64, b: f64) -> f64 {
    -go_max(-a, -b)
}

/// Go's `Duration.Seconds` of so many ms: whole seconds and the rest are turned into floats apart.
pub fn seconds(millis: Millis) -> f64 {
    (millis / 1000) as f64 + (millis % 1000) as f64 / 1000.0
}
