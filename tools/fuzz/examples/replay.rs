//! Runs one target on some files: `cargo run -p gds-fuzz --example replay -- TARGET FILE...`.

fn main() {
    let mut arguments = std::env::args().skip(1);
    let target = arguments.next().expect("the name of a target");
    let (_, run) = gds_fuzz::TARGETS.iter().find(|(name, _)| *name == target).expect("a target of this name");
    for file in arguments {
        println!("{file}");
        run(&std::fs::read(&file).expect("a readable file"));
    }
}
