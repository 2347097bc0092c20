//! Runs the commands that the documents show, and looks for the files that they name.
//!
//! In a fence marked `console`, each line that begins with `$ ` is run and must succeed: `cargo …` in the project's own folder, everything
//! else in a folder that goes away, with the release build of `gds` on the path. A fence marked `console ignore` is only shown
//! (its commands need a running node, or take as long as the whole check). What a fence marked `toml` holds must be a node's configuration.
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// All documents; what fails is in the log.
pub fn check(log: &mut File) -> io::Result<bool> {
    let mut documents = vec![PathBuf::from("README.md")];
    for entry in fs::read_dir("docs")? {
        documents.push(entry?.path());
    }
    documents.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    documents.sort();
    let built = crate::cargo(&["build", "--release", "--package", "gds"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    if !built.success() {
        writeln!(log, "cargo build --release --package gds failed")?;
        return Ok(false);
    }
    let folder = std::env::temp_dir().join(format!("gds-documents-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let mut holds = true;
    for document in documents {
        let text = fs::read_to_string(&document)?;
        for name in missing(&document, &text) {
            writeln!(log, "{}: FAILED: names {name}, which is not there", document.display())?;
            holds = false;
        }
        let checks = configurations(&text).into_iter().map(|configuration| {
            format!("gds config --check /dev/stdin > checked.toml <<'END'\n{configuration}END")
        });
        for command in commands(&text).into_iter().chain(checks) {
            writeln!(log, "{}: {command}", document.display())?;
            let succeeded = run(&command, &folder, log)?;
            holds &= succeeded;
            if !succeeded {
                writeln!(log, "{}: FAILED: {command}", document.display())?;
            }
        }
    }
    fs::remove_dir_all(&folder)?;
    Ok(holds)
}

/// Files that the document links to, or names in backticks by their path from the project's folder, and that do not exist.
fn missing(document: &Path, text: &str) -> Vec<String> {
    let folder = document.parent().unwrap_or(Path::new(""));
    let links = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
    let links =
        links.filter(|link| !link.is_empty() && !link.contains("://")).map(|link| (link, folder.join(link)));
    let named = text.split('`').skip(1).step_by(2).filter(|name| {
        let ours = ["engine/", "nic/", "tools/", "tuning/", "docs/"].iter().any(|top| name.starts_with(top));
        ours && !name.contains([' ', '*', '{', '<'])
    });
    let named = named.map(|name| (name, PathBuf::from(name)));
    links.chain(named).filter(|(_, path)| !path.exists()).map(|(name, _)| name.to_owned()).collect()
}

/// The commands of all `console` fences, in order.
fn commands(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut runs = false;
    let mut inside = false;
    for line in text.lines() {
        if let Some(fence) = line.strip_prefix("```") {
            inside = !inside;
            runs = inside && fence.trim() == "console";
        } else if let Some(command) = line.strip_prefix("$ ").filter(|_| runs) {
            found.push(command.to_owned());
        }
    }
    found
}

/// What all `toml` fences hold, in order; a fence in a list is indented.
fn configurations(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = text.lines().map(str::trim_start);
    while lines.by_ref().any(|line| line.trim_end() == "```toml") {
        found
            .push(lines.by_ref().take_while(|line| *line != "```").map(|line| format!("{line}\n")).collect());
    }
    found
}

fn run(command: &str, folder: &Path, log: &File) -> io::Result<bool> {
    let root = std::env::current_dir()?;
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or("target".into());
    let built = root.join(target).join("release");
    let path = format!("{}:{}", built.display(), std::env::var("PATH").unwrap_or_default());
    let place = if command.starts_with("cargo ") { root.as_path() } else { folder };
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).current_dir(place).env("PATH", path).stdin(Stdio::null());
    let status = shell.stdout(log.try_clone()?).stderr(log.try_clone()?).status()?;
    Ok(status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_console_fences_are_run() {
        let text = "```console\n$ a\noutput\n$ b c\n```\n```console ignore\n$ d\n```\n```sh\n$ e\n```\n";
        assert_eq!(commands(text), ["a", "b c"]);
    }

    #[test]
    fn configurations_are_found_in_lists_too() {
        let text =
            "1. x\n   ```toml\n   [a]\n   b = 1\n   ```\n```toml profile\nc = 2\n```\n```toml\nd = 3\n```\n";
        assert_eq!(configurations(text), ["[a]\nb = 1\n", "d = 3\n"]);
    }

    #[test]
    fn files_that_are_not_there_are_found() {
        let text =
            "[a](NOTHING.md) [b](https://example.org/x) [c](#here) `tools/nothing.rs` `engine/*` `SYSTEM`";
        assert_eq!(missing(Path::new("README.md"), text), ["NOTHING.md", "tools/nothing.rs"]);
    }
}
