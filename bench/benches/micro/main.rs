//! What each step costs by itself: `cargo bench -p gds-bench`, with a filter behind `--` if wanted. `cargo test`
//! tries each once, with little data.
mod common;
mod index;
mod journal;
mod parse;
mod query;
mod ring;
mod sequence;
mod store;

fn main() {
    let mut criterion = common::criterion();
    for bench in
        [parse::bench, sequence::bench, ring::bench, index::bench, store::bench, journal::bench, query::bench]
    {
        bench(&mut criterion);
    }
    criterion.final_summary();
}
