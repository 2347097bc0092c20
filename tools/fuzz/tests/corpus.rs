//! Every input of the corpora, through its target: what a fuzzer once found is never lost again.
use std::fs;
use std::path::{Path, PathBuf};

/// Bounds of what is kept in the repository for one target.
const FILES_MAX: usize = 100;
const BYTES_MAX: u64 = 200 << 10;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn inputs(target: &str) -> Vec<PathBuf> {
    let corpus = folder("corpus").join(target);
    let entries = fs::read_dir(&corpus).unwrap_or_else(|error| panic!("{}: {error}", corpus.display()));
    let mut inputs: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    inputs.sort();
    assert!(!inputs.is_empty(), "{} holds no input", corpus.display());
    inputs
}

/// Names the input that failed, since the panic itself cannot.
struct Name<'a>(&'a Path);

impl Drop for Name<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("input: {}", self.0.display());
        }
    }
}

fn replay(target: &str) {
    let (_, run) = gds_fuzz::TARGETS.iter().find(|(name, _)| *name == target).expect("a target of this name");
    run(&[]);
    for input in inputs(target) {
        let data = fs::read(&input).expect("a readable file");
        let _name = Name(&input);
        run(&data);
    }
}

macro_rules! replays {
    ($($target:ident)+) => {
        $(
            #[test]
            fn $target() {
                replay(stringify!($target));
            }
        )+

        #[test]
        fn every_target_is_replayed() {
            assert!(gds_fuzz::TARGETS.iter().map(|(name, _)| *name).eq([$(stringify!($target)),+]));
        }
    };
}

replays! {
    acknowledgement arbiter binary_file capture config cores declaration envelope ethtool ingress interrupts
    itch journal mold netlink packet profile query_answer query_request query_server receiver refusal register rewinder
    ring session snapshot_frame soup soup_client store submitter transaction
}

#[test]
fn every_target_has_a_fuzzer_and_a_small_corpus() {
    let manifest = fs::read_to_string(folder("libfuzzer/Cargo.toml")).expect("the fuzzers' manifest");
    for (target, _) in gds_fuzz::TARGETS {
        assert!(manifest.contains(&format!("name = \"{target}\"")), "no fuzzer for {target}");
        assert!(folder("libfuzzer/fuzz_targets").join(format!("{target}.rs")).is_file());
        let inputs = inputs(target);
        let bytes: u64 = inputs.iter().map(|input| fs::metadata(input).expect("a file").len()).sum();
        let small = inputs.len() <= FILES_MAX && bytes <= BYTES_MAX;
        assert!(small, "the corpus of {target} has {} files, {bytes} bytes: minimise it", inputs.len());
    }
    let folders = fs::read_dir(folder("corpus")).expect("the corpora").count();
    assert_eq!(folders, gds_fuzz::TARGETS.len(), "a corpus of no target");
}
