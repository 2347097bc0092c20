//! Captures of real feeds, which lie beside the project and are no part of it.
use super::skip;
use std::path::{Path, PathBuf};

/// A capture, or `None` (and the reason told) where the captures are not there. `GDS_CAPTURES` names another folder.
pub fn capture(name: &str) -> Option<PathBuf> {
    let named = std::env::var_os("GDS_CAPTURES").map(PathBuf::from);
    let beside = || {
        let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
        above.map(|folder| folder.join("shared/captures")).find(|folder| folder.is_dir())
    };
    let file = named.or_else(beside).map(|folder| folder.join(name)).filter(|file| file.is_file());
    if file.is_none() {
        skip(&format!("no capture {name} in ../shared/captures or $GDS_CAPTURES"));
    }
    file
}

/// The messages of a BinaryFILE: each after its length in two bytes, the high one first.
pub fn messages(file: &[u8]) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    let mut rest = file;
    while let [high, low, after @ ..] = rest {
        let (message, behind) = after.split_at(usize::from(*high) << 8 | usize::from(*low));
        messages.push(message.to_vec());
        rest = behind;
    }
    messages
}

/// The messages as a BinaryFILE.
pub fn binary_file(messages: &[Vec<u8>]) -> Vec<u8> {
    let record = |message: &Vec<u8>| [&(message.len() as u16).to_be_bytes(), message.as_slice()].concat();
    messages.iter().flat_map(record).collect()
}

/// A made-up trading day, as messages.
pub fn made_up_day(seed: u64, messages: u64) -> Vec<Vec<u8>> {
    use gds_feed::day::{Day, DayConfig, MESSAGE_BYTES_MAX};
    let mut day = Day::new(DayConfig::new(seed, messages)).expect("such a day can be");
    let mut buffer = [0; MESSAGE_BYTES_MAX];
    let mut made = Vec::new();
    while let Some(length) = day.next_message(&mut buffer) {
        made.push(buffer[..length].to_vec());
    }
    made
}
