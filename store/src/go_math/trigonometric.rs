//! Trigonometric functions and their inverses (Cephes), with Payne-Hanek reduction of large arguments.

use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, PI};

const SIN: [f64; 6] = [
    f64::from_bits(0x3de5_d8fd_1fd1_9ccd),
    f64::from_bits(0xbe5a_e5e5_a929_1f5d),
    f64::from_bits(0x3ec7_1de3_567d_48a1),
    f64::from_bits(0xbf2a_01a0_19bf_df03),
    f64::from_bits(0x3f81_1111_1110_f7d0),
    f64::from_bits(0xbfc5_5555_5555_5548),
];
const COS: [f64; 6] = [
    f64::from_bits(0xbda8_fa49_a086_1a9b),
    f64::from_bits(0x3e21_ee9d_7b4e_3f05),
    f64::from_bits(0xbe92_7e4f_7eac_4bc6),
    f64::from_bits(0x3efa_01a0_19c8_44f5),
    f64::from_bits(0xbf56_c16c_16c1_4f91),
    f64::from_bits(0x3fa5_5555_5555_554b),
];

fn polynomial(terms: &[f64; 6], zz: f64) -> f64 {
    terms[1..].iter().fold(terms[0], |sum, term| sum * zz + term)
}

fn sin_series(z: f64) -> f64 {
    let zz = z * z;
    z + z * zz * polynomial(&SIN, zz)
}

fn cos_series(z: f64) -> f64 {
    let zz = z * z;
    1.0 - 0.5 * zz + zz * zz * polynomial(&COS, zz)
}

/// Octant and rest of a positive argument, the rest in `[-pi/4, pi/4]`.
fn reduce(x: f64) -> (u64, f64) {
    const PI4A: f64 = f64::from_bits(0x3fe9_21fb_4000_0000);
    const PI4B: f64 = f64::from_bits(0x3e64_442d_0000_0000);
    const PI4C: f64 = f64::from_bits(0x3ce8_4698_98cc_5170);
    if x >= 536_870_912.0 {
        return reduce_large(x);
    }
    let mut octant = (x * (4.0 / PI)) as u64;
    octant += octant & 1;
    let y = octant as f64;
    (octant & 7, ((x - y * PI4A) - y * PI4B) - y * PI4C)
}

/// Bits of 4/pi, enough for every float.
const FOUR_OVER_PI: [u64; 20] = [
    0x0000_0000_0000_0001,
    0x45f3_06dc_9c88_2a53,
    0xf84e_afa3_ea69_bb81,
    0xb6c5_2b32_7887_2083,
    0xfca2_c757_bd77_8ac3,
    0x6e48_dc74_849b_a5c0,
    0x0c92_5dd4_13a3_2439,
    0xfc3b_d639_6253_4e7d,
    0xd104_6bea_5d76_8909,
    0xd338_e04d_68be_fc82,
    0x7323_ac73_06a6_73e9,
    0x3908_bf17_7bf2_5076,
    0x3ff1_2fff_bc0b_301f,
    0xde5e_2316_b414_da3e,
    0xda6c_fd9e_4f96_136e,
    0x9e8c_7ecd_3cbf_d45a,
    0xea4f_758f_d7cb_e2f6,
    0x7a0e_73ef_14a5_25d4,
    0xd7f6_bf62_3f1a_ba10,
    0xac06_608d_f8f6_d757,
];

fn reduce_large(x: f64) -> (u64, f64) {
    let bits = x.to_bits();
    // The exponent is at least 29, so this is positive.
    let place = ((bits >> 52) & 0x7ff) + 61 - 1023 - 52;
    let mantissa = (bits & super::FRACTION_MASK) | 1 << 52;
    let (digit, shift) = ((place / 64) as usize, place % 64);
    let piece = |i: usize| {
        let (high, low) = (FOUR_OVER_PI[digit + i], FOUR_OVER_PI[digit + i + 1]);
        if shift == 0 { high } else { high << shift | low >> (64 - shift) }
    };
    let high_of = |a: u64| ((u128::from(a) * u128::from(mantissa)) >> 64) as u64;
    let middle = u128::from(piece(1)) * u128::from(mantissa) + u128::from(high_of(piece(2)));
    let product = (u128::from(piece(0).wrapping_mul(mantissa)) << 64).wrapping_add(middle);
    let octant = (product >> 125) as u64;
    let rest = product << 3;
    let leading = rest.leading_zeros();
    let fraction = (rest << leading << 1) >> (128 - 52);
    let z = f64::from_bits(fraction as u64 | u64::from(1023 - (leading + 1)) << 52);
    if octant & 1 == 1 { ((octant + 1) & 7, (z - 1.0) * FRAC_PI_4) } else { (octant, z * FRAC_PI_4) }
}

/// Sine.
pub fn sin(x: f64) -> f64 {
    if x == 0.0 || x.is_nan() {
        return x;
    }
    if x.is_infinite() {
        return f64::NAN;
    }
    let (octant, z) = reduce(x.abs());
    let value = if matches!(octant & 3, 1 | 2) { cos_series(z) } else { sin_series(z) };
    if (octant > 3) != (x < 0.0) { -value } else { value }
}

/// Cosine.
pub fn cos(x: f64) -> f64 {
    if !x.is_finite() {
        return f64::NAN;
    }
    let (octant, z) = reduce(x.abs());
    let value = if matches!(octant & 3, 1 | 2) { sin_series(z) } else { cos_series(z) };
    if (octant > 3) != (octant & 3 > 1) { -value } else { value }
}

/// Tangent.
pub fn tan(x: f64) -> f64 {
    if x == 0.0 || x.is_nan() {
        return x;
    }
    if x.is_infinite() {
        return f64::NAN;
    }
    let (octant, z) = reduce(x.abs());
    let zz = z * z;
    let mut value = z;
    if zz > 1e-14 {
        let above = (f64::from_bits(0xc0c9_92d8_d24f_3f38) * zz + f64::from_bits(0x4131_99ec_a5fc_9ddd)) * zz
            + f64::from_bits(0xc171_1fea_d329_9176);
        let below = (((zz + f64::from_bits(0x40ca_b8a5_eeb3_6572)) * zz + f64::from_bits(0xc134_27bc_582a_bc96)) * zz
            + f64::from_bits(0x4177_d98f_c2ea_d8ef))
            * zz
            + f64::from_bits(0xc189_afe0_3cbe_5a31);
        value = z + z * (zz * above / below);
    }
    if octant & 2 == 2 {
        value = -1.0 / value;
    }
    if x < 0.0 { -value } else { value }
}

/// Arcus tangent of `[0, 0.66]`.
fn atan_series(x: f64) -> f64 {
    let z = x * x;
    let above = (((-8.750_608_600_031_904_122_785e-01 * z + -1.615_753_718_733_365_076_637e+01) * z
        + -7.500_855_792_314_704_667_340e+01)
        * z
        + -1.228_866_684_490_136_173_410e+02)
        * z
        + -6.485_021_904_942_025_371_773e+01;
    let below = ((((z + 2.485_846_490_142_306_297_962e+01) * z + 1.650_270_098_316_988_542_046e+02) * z
        + 4.328_810_604_912_902_668_951e+02)
        * z
        + 4.853_903_996_359_136_964_868e+02)
        * z
        + 1.945_506_571_482_613_964_425e+02;
    x * (z * above / below) + x
}

/// Arcus tangent of positive arguments.
fn atan_positive(x: f64) -> f64 {
    /// What pi/2 has beyond its float.
    const MORE_BITS: f64 = 6.123_233_995_736_765_886_130e-17;
    if x <= 0.66 {
        return atan_series(x);
    }
    // tan(3 pi / 8)
    if x > 2.414_213_562_373_095_048_80 {
        return FRAC_PI_2 - atan_series(1.0 / x) + MORE_BITS;
    }
    FRAC_PI_4 + atan_series((x - 1.0) / (x + 1.0)) + 0.5 * MORE_BITS
}

/// Arcus tangent.
pub fn atan(x: f64) -> f64 {
    if x == 0.0 {
        x
    } else if x > 0.0 {
        atan_positive(x)
    } else {
        -atan_positive(-x)
    }
}

/// Arcus sine.
pub fn asin(x: f64) -> f64 {
    if x == 0.0 {
        return x;
    }
    let size = x.abs();
    if size > 1.0 {
        return f64::NAN;
    }
    let other = (1.0 - size * size).sqrt();
    let value = if size > 0.7 { FRAC_PI_2 - atan_positive(other / size) } else { atan_positive(size / other) };
    if x < 0.0 { -value } else { value }
}

/// Arcus cosine.
pub fn acos(x: f64) -> f64 {
    FRAC_PI_2 - asin(x)
}

/// Angle of the point `(x, y)`.
pub fn atan2(y: f64, x: f64) -> f64 {
    if x.is_nan() || y.is_nan() {
        return f64::NAN;
    }
    if y == 0.0 {
        return if x.is_sign_negative() { PI } else { 0.0 }.copysign(y);
    }
    if x == 0.0 || (y.is_infinite() && x.is_finite()) {
        return FRAC_PI_2.copysign(y);
    }
    if x.is_infinite() {
        let size = match (x > 0.0, y.is_infinite()) {
            (true, true) => FRAC_PI_4,
            (true, false) => 0.0,
            (false, true) => 3.0 * PI / 4.0,
            (false, false) => PI,
        };
        return size.copysign(y);
    }
    let angle = atan(y / x);
    match x < 0.0 {
        true if angle <= 0.0 => angle + PI,
        true => angle - PI,
        false => angle,
    }
}
