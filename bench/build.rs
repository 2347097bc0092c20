//! Which commit this is built from, and how if not as usual, for reports: `GDS_VERSION`, e.g. `0.1.0 (3f2a…, changed since, by profile)`. How is what
//! the variable `GDS_BUILD` says, which `cargo xtask release` sets.
use std::process::Command;

fn main() {
    // What changes the answer: a commit, and whatever is compiled.
    let places =
        ["../engine", "../nic", "../tools", "src", "../Cargo.lock", "../Cargo.toml"].map(str::to_owned);
    let head = git(&["rev-parse", "--git-path", "logs/HEAD"]);
    for place in places.into_iter().chain(head) {
        println!("cargo::rerun-if-changed={place}");
    }
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).map_or("commit unknown".to_owned(), |commit| {
        let changed =
            git(&["status", "--porcelain", "--untracked-files=no"]).is_none_or(|lines| !lines.is_empty());
        if changed { format!("{commit}, changed since") } else { commit }
    });
    println!("cargo::rerun-if-env-changed=GDS_BUILD");
    let how = std::env::var("GDS_BUILD").map_or(String::new(), |how| format!(", {how}"));
    println!("cargo::rustc-env=GDS_VERSION={} ({commit}{how})", env!("CARGO_PKG_VERSION"));
}

fn git(arguments: &[&str]) -> Option<String> {
    let output =
        Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
