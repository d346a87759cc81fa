use super::*;

/// What Go 1.26 on amd64 (with fused multiply-add) answers, as bits in hex: function, arguments, result.
const REFERENCE: &str = include_str!("reference.txt");

type One = fn(f64) -> f64;
type Two = fn(f64, f64) -> f64;

const ONE: &[(&str, One)] = &[
    ("acos", acos),
    ("acosh", acosh),
    ("asin", asin),
    ("asinh", asinh),
    ("atan", atan),
    ("atanh", atanh),
    ("cos", cos),
    ("cosh", cosh),
    ("exp", exp),
    ("exp2", exp2),
    ("ln", ln),
    ("log10", log10),
    ("log2", log2),
    ("sin", sin),
    ("sinh", sinh),
    ("tan", tan),
    ("tanh", tanh),
];

const TWO: &[(&str, Two)] = &[("atan2", atan2), ("mod", |x, y| x % y), ("pow", pow)];

#[test]
fn every_bit_is_as_go_gives_it() {
    let mut wrong = Vec::new();
    let mut rows = 0;
    for row in REFERENCE.lines() {
        let mut fields = row.split(' ');
        let name = fields.next().expect("a name");
        let numbers: Vec<f64> =
            fields.map(|bits| f64::from_bits(u64::from_str_radix(bits, 16).expect("hex"))).collect();
        let find = |table: &[(&str, One)]| table.iter().find(|(have, _)| *have == name).map(|(_, f)| *f);
        let (got, expected) = match *numbers.as_slice() {
            [x, expected] => (find(ONE).expect("a function")(x), expected),
            [x, y, expected] => {
                let (_, f) = TWO.iter().find(|(have, _)| *have == name).expect("a function");
                (f(x, y), expected)
            }
            _ => panic!("{row}"),
        };
        rows += 1;
        if got.to_bits() != expected.to_bits() && !(got.is_nan() && expected.is_nan()) {
            wrong.push(format!("{name} {:?}: {got:e}, expected {expected:e}", &numbers[..numbers.len() - 1]));
        }
    }
    assert!(rows > 2500, "{rows} rows");
    assert!(wrong.is_empty(), "{} of {rows}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn extremes_follow_go() {
    let (nan, inf) = (f64::NAN, f64::INFINITY);
    assert_eq!(go_max(nan, inf), inf);
    assert!(go_max(nan, 1.0).is_nan() && go_max(1.0, nan).is_nan() && go_min(nan, 1.0).is_nan());
    assert_eq!(go_min(nan, -inf), -inf);
    assert!(go_max(-0.0, 0.0).is_sign_positive() && go_min(0.0, -0.0).is_sign_negative());
    assert_eq!((go_max(1.0, 2.0), go_min(1.0, 2.0)), (2.0, 1.0));
}
