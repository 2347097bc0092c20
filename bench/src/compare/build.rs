//! The `gds` binary of a revision, built in a worktree of its own below `target/ab`.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The revision that means the working tree as it is.
pub const WORKING_TREE: &str = ".";

/// A built revision.
#[derive(Clone, Debug)]
pub struct Build {
    /// As it was asked for.
    pub revision: String,
    /// Its commit, or that it is the working tree.
    pub commit: String,
    /// The binary, a copy of its own.
    pub binary: PathBuf,
}

/// Builds the revision's `gds`; `side` (`a` or `b`) tells two builds of one commit apart. Cargo's progress goes to standard error.
pub fn build(revision: &str, side: &str) -> Result<Build, String> {
    let root = PathBuf::from(git(Path::new("."), &["rev-parse", "--show-toplevel"])?);
    let place = root.join("target/ab");
    fs::create_dir_all(&place).map_err(|error| format!("{}: {error}", place.display()))?;
    let (commit, source) = if revision == WORKING_TREE {
        ("working tree".to_owned(), root)
    } else {
        let commit = git(&root, &["rev-parse", "--verify", "--short=12", &format!("{revision}^{{commit}}")])?;
        let source = worktree(&root, &place, &commit)?;
        (commit, source)
    };
    // One place to build in: what the revisions have in common is compiled once.
    let target = place.join("build");
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--release", "--bin", "gds", "--locked"])
        .current_dir(&source)
        .env("CARGO_TARGET_DIR", &target)
        .status()
        .map_err(|error| format!("cargo: {error}"))?;
    if !status.success() {
        return Err(format!("{revision} ({commit}) does not build: see above"));
    }
    let binary = place.join(format!("gds-{side}-{}", commit.replace(' ', "-")));
    fs::copy(target.join("release/gds"), &binary)
        .map_err(|error| format!("{}: {error}", binary.display()))?;
    Ok(Build { revision: revision.to_owned(), commit, binary })
}

fn worktree(root: &Path, place: &Path, commit: &str) -> Result<PathBuf, String> {
    let source = place.join(commit);
    if !source.join("Cargo.toml").exists() {
        // Git still knows worktrees whose folder was deleted with `target`.
        git(root, &["worktree", "prune"])?;
        git(root, &["worktree", "add", "--force", "--detach", &source.to_string_lossy(), commit])?;
    }
    Ok(source)
}

fn git(directory: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(directory)
        .output()
        .map_err(|error| format!("git: {error}; it is needed to build revisions"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(format!("git {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
    }
}
