//! The gds command.
fn main() {}
