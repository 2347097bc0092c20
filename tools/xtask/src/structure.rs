//! Rules about the shape of the project: dependencies, unsafe code, file lengths.
use serde_json::Value;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Our crates, each with those of ours it may use, lowest first. (`docs/ARCHITECTURE.md`, development view.)
const ARROWS: &[(&str, &[&str])] = &[
    ("gds-hosts", &[]),
    ("gds-wire", &[]),
    ("gds-core", &["gds-wire"]),
    ("gds-model", &[]),
    ("gds-nic", &[]),
    ("gds-register", &["gds-core", "gds-wire"]),
    ("gds-sim", &["gds-core", "gds-wire"]),
    ("gds-node", &["gds-core", "gds-nic", "gds-register", "gds-wire"]),
    ("gds-feed", &["gds-wire"]),
    ("gds-client", &["gds-core", "gds-nic", "gds-node", "gds-wire"]),
    ("gds-tuning", &["gds-nic"]),
    ("gds-bench", &["gds-client", "gds-core", "gds-feed", "gds-hosts", "gds-nic", "gds-node", "gds-wire"]),
    (
        "gds",
        &[
            "gds-bench",
            "gds-client",
            "gds-core",
            "gds-feed",
            "gds-hosts",
            "gds-nic",
            "gds-node",
            "gds-register",
            "gds-tuning",
            "gds-wire",
        ],
    ),
    (
        "gds-fuzz",
        &[
            "gds-client",
            "gds-core",
            "gds-feed",
            "gds-nic",
            "gds-node",
            "gds-register",
            "gds-tuning",
            "gds-wire",
        ],
    ),
    ("xtask", &[]),
];

/// What the tests of every crate may use besides: hosts between which packets go.
const FOR_TESTS: &str = "gds-hosts";

/// What the lowest crates may use of others' code.
const BASE: &[&str] = &[
    "arrayvec",
    "bitflags",
    "core_affinity",
    "crc32c",
    "hdrhistogram",
    "io-uring",
    "libc",
    "loom",
    "memmap2",
    "rapidhash",
    "xxhash-rust",
    "zerocopy",
];
const LOWEST: &[&str] = &["gds-wire", "gds-core", "gds-nic"];

/// Where unsafe code may be: the modules that `nic/src/lib.rs` names, and the allocators of two tests, which
/// count.
const UNSAFE: &[&str] = &[
    "nic/src/sys",
    "nic/src/udp/batch.rs",
    "nic/src/udp/uring.rs",
    "nic/src/file/uring.rs",
    "nic/src/pages.rs",
    "nic/src/xdp/bpf.rs",
    "nic/src/xdp/ring.rs",
    "nic/src/xdp/umem.rs",
    "nic/tests/allocations.rs",
    "engine/node/tests/allocations/counting.rs",
];

/// Most lines of a source file, tests apart.
const LINES_MAX: usize = 800;

/// All rules; what breaks them is written to the log.
pub fn check(log: &mut File) -> io::Result<bool> {
    let mut found = dependencies()?;
    for folder in ["bench", "engine", "nic", "tools", "tuning"] {
        sources(Path::new(folder), &mut found)?;
    }
    for line in &found {
        writeln!(log, "{line}")?;
    }
    Ok(found.is_empty())
}

fn dependencies() -> io::Result<Vec<String>> {
    let output = crate::cargo(&["metadata", "--no-deps", "--format-version", "1"]).output()?;
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let mut found = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        let Some((_, allowed)) = ARROWS.iter().find(|(known, _)| *known == name) else {
            found.push(format!(
                "{name}: a new crate has no place in the arrows of tools/xtask/src/structure.rs yet"
            ));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let used = dependency["name"].as_str().unwrap_or_default();
            let ours = ARROWS.iter().any(|(known, _)| *known == used);
            let for_tests = dependency["kind"] == "dev";
            if ours && !allowed.contains(&used) && !(for_tests && used == FOR_TESTS) {
                found.push(format!("{name} uses {used}: arrows point only one way (docs/ARCHITECTURE.md)"));
            }
            if !ours && !for_tests && LOWEST.contains(&name) && !BASE.contains(&used) {
                found.push(format!("{name} uses {used}: the lowest crates use only {}", BASE.join(", ")));
            }
        }
    }
    Ok(found)
}

fn sources(folder: &Path, found: &mut Vec<String>) -> io::Result<()> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    entries.sort();
    for path in entries {
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                sources(&path, found)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            source(&path, found)?;
        }
    }
    Ok(())
}

fn source(path: &Path, found: &mut Vec<String>) -> io::Result<()> {
    let text = fs::read_to_string(path)?;
    let shown = path.display();
    let tests = path.components().any(|part| part.as_os_str().to_string_lossy().starts_with("tests"));
    let lines = text.lines().count();
    if lines > LINES_MAX && !tests {
        found.push(format!("{shown}: {lines} lines, more than {LINES_MAX}: is it still one noun?"));
    }
    if UNSAFE.iter().any(|place| path.starts_with(place)) {
        return Ok(());
    }
    for (number, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        let words = ["unsafe {", "unsafe fn", "unsafe impl", "allow(unsafe_code)"];
        if words.iter().any(|word| code.contains(word)) && !code.contains('"') {
            found.push(format!(
                "{shown}:{}: unsafe code is for those modules of nic alone that it names",
                number + 1
            ));
        }
    }
    Ok(())
}
