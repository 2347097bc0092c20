//! Writes a report of made-up results, to look at: `cargo run -p gds-bench --example report -- DIRECTORY`.
mod made_up;

fn main() -> std::io::Result<()> {
    let dir = std::env::args().nth(1).unwrap_or_else(|| "target/report-example".into());
    let results = made_up::results();
    print!("{}", gds_bench::report::text(&results));
    gds_bench::report::write(&results, dir.as_ref())?;
    println!("{dir}/index.html");
    Ok(())
}
