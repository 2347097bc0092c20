//! The `gds` binary of a revision, built in a worktree of its own below `target/ab`; or a binary that is there already.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The revision that means the working tree as it is.
pub const WORKING_TREE: &str = ".";

/// A built revision.
#[derive(Clone, Debug)]
pub struct Build {
    /// As it was asked for.
    pub revision: String,
    /// Its commit, that it is the working tree, or what the binary says it is.
    pub commit: String,
    /// The binary; of a revision, a copy of its own.
    pub binary: PathBuf,
}

/// Builds the revision's `gds`; `side` (`a` or `b`) tells two builds of one commit apart. Cargo's progress goes to standard error.
/// The name of a file is of a binary to be taken as it is.
pub fn build(revision: &str, side: &str) -> Result<Build, String> {
    let file = Path::new(revision);
    if file.is_file() {
        let binary = file.canonicalize().map_err(|error| format!("{revision}: {error}"))?;
        let told = version(&binary).ok_or_else(|| format!("{revision}: does not answer --version"))?;
        return Ok(Build { revision: revision.to_owned(), commit: told, binary });
    }
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

/// What a binary says it is, e.g. `gds 0.1.0 (3f2a6c01b9d4)`.
pub fn version(binary: &Path) -> Option<String> {
    let told = Command::new(binary).arg("--version").stdin(Stdio::null()).output().ok()?;
    told.status.success().then(|| String::from_utf8_lossy(&told.stdout).trim().to_owned())
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
