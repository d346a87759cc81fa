//! README tells the truth: its tables are those of the program.

use std::path::Path;

#[test]
fn the_tables_are_those_of_the_program() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = std::fs::read_to_string(path).expect("README.md is there");
    let tables = [
        ("settings", masthead_query::flags::render()),
        ("thanos", masthead_query::flags::thanos::render()),
        ("metrics", masthead_query::metrics::render()),
    ];
    for (name, table) in tables {
        let begin = format!("<!-- {name} -->\n");
        let part = readme.split(&begin).nth(1).and_then(|rest| rest.split(&format!("<!-- /{name} -->")).next());
        let hint = "copy it from `cargo run -p masthead-query --example readme_tables`";
        assert_eq!(part.map(str::trim), Some(table.trim()), "the table {name} of README is another one: {hint}");
    }
}
