//! The engine broken on purpose is noticed. Needs the feature `mutations`; without it there is nothing to break.
#![cfg(feature = "mutations")]
use std::process::Command;

#[test]
fn should_notice_every_mutation() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_gds-sim")).arg("mutations").output().expect("the program runs");
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "not every mutation was caught:\n{table}");
    assert!(table.contains("IngressTakesTwice"), "{table}");
}
