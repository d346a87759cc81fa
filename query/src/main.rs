//! The binary `masthead`.

fn main() {}
