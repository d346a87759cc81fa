//! Prints the tables that README shows: settings, flags of `thanos query`, metrics. A test compares them.

fn main() {
    for table in
        [masthead_query::flags::render(), masthead_query::flags::thanos::render(), masthead_query::metrics::render()]
    {
        println!("{table}");
    }
}
