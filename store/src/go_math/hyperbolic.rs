//! Hyperbolic functions (Cephes) and their inverses (msun).

use std::f64::consts::LN_2;

use super::{exp, ln, ln_1p};

/// Hyperbolic sine.
pub fn sinh(x: f64) -> f64 {
    let size = if x < 0.0 { -x } else { x };
    let value = if size > 21.0 {
        exp(size) * 0.5
    } else if size > 0.5 {
        let e = exp(size);
        (e - 1.0 / e) * 0.5
    } else {
        let square = size * size;
        let above = (((-0.263_056_321_339_749_706_281_948_9e+2 * square
            + -0.289_421_135_598_956_380_728_466_036_6e+4)
            * square
            + -0.899_127_202_203_950_935_539_801_351_1e+5)
            * square
            + -0.630_767_364_049_771_699_118_478_725_1e+6)
            * size;
        above
            / (((square + -0.173_678_953_558_233_699_533_450_911e+3) * square
                + 0.152_151_737_879_001_907_069_648_517_6e+5)
                * square
                + -0.630_767_364_049_771_699_121_207_727_7e+6)
    };
    if x < 0.0 { -value } else { value }
}

/// Hyperbolic cosine.
pub fn cosh(x: f64) -> f64 {
    let e = exp(x.abs());
    if x.abs() > 21.0 { e * 0.5 } else { (e + 1.0 / e) * 0.5 }
}

/// Hyperbolic tangent.
pub fn tanh(x: f64) -> f64 {
    /// Half the logarithm of 2^127.
    const ONE_FROM: f64 = 0.5 * 8.802_969_193_111_305_429_598_8e+01;
    let size = x.abs();
    if size > ONE_FROM {
        return 1.0_f64.copysign(x);
    }
    if size >= 0.625 {
        let value = 1.0 - 2.0 / (exp(2.0 * size) + 1.0);
        return if x < 0.0 { -value } else { value };
    }
    if x == 0.0 {
        return x;
    }
    let s = x * x;
    x + x
        * s
        * ((-9.643_991_794_250_522_386_28e-1 * s + -9.928_772_310_019_185_865_64e1) * s
            + -1.614_687_684_417_084_479_52e3)
        / (((s + 1.128_116_784_916_329_314_02e2) * s + 2.235_488_390_601_004_485_83e3) * s
            + 4.844_063_053_251_254_860_48e3)
}

/// Inverse hyperbolic sine.
pub fn asinh(x: f64) -> f64 {
    if !x.is_finite() {
        return x;
    }
    let size = if x < 0.0 { -x } else { x };
    let value = if size > 268_435_456.0 {
        ln(size) + LN_2
    } else if size > 2.0 {
        ln(2.0 * size + 1.0 / ((size * size + 1.0).sqrt() + size))
    } else if size < 1.0 / 268_435_456.0 {
        size
    } else {
        ln_1p(size + size * size / (1.0 + (1.0 + size * size).sqrt()))
    };
    if x < 0.0 { -value } else { value }
}

/// Inverse hyperbolic cosine.
pub fn acosh(x: f64) -> f64 {
    if x < 1.0 || x.is_nan() {
        return f64::NAN;
    }
    if x == 1.0 {
        return 0.0;
    }
    if x >= 268_435_456.0 {
        return ln(x) + LN_2;
    }
    if x > 2.0 {
        return ln(2.0 * x - 1.0 / (x + (x * x - 1.0).sqrt()));
    }
    let t = x - 1.0;
    ln_1p(t + (2.0 * t + t * t).sqrt())
}

/// Inverse hyperbolic tangent.
pub fn atanh(x: f64) -> f64 {
    if x.is_nan() || x.abs() > 1.0 {
        return f64::NAN;
    }
    if x.abs() == 1.0 {
        return f64::INFINITY.copysign(x);
    }
    let size = if x < 0.0 { -x } else { x };
    let value = if size < 1.0 / 268_435_456.0 {
        size
    } else if size < 0.5 {
        let double = size + size;
        0.5 * ln_1p(double + double * size / (1.0 - size))
    } else {
        0.5 * ln_1p((size + size) / (1.0 - size))
    };
    if x < 0.0 { -value } else { value }
}
