//! Keys, values and amounts as people write and read them.
use gds_node::learning::transfer::Transfer;

/// What a key or value on the command line means.
///
/// `0x…` is bytes in hex, `u64:…` an eight-byte big-endian number, `@FILE` (values only, see [`value`]) a file's content;
/// anything else is the text itself.
pub fn key(text: &str) -> Result<Vec<u8>, String> {
    let bytes = if let Some(hex) = text.strip_prefix("0x") {
        hex_bytes(hex)
            .ok_or_else(|| format!("{text:?} is no hex: an even number of digits 0-9 a-f must follow 0x"))?
    } else if let Some(number) = text.strip_prefix("u64:") {
        let number: u64 =
            number.parse().map_err(|_| format!("{text:?} is no number of 0 to {}", u64::MAX))?;
        number.to_be_bytes().to_vec()
    } else {
        text.as_bytes().to_vec()
    };
    match bytes.len() {
        1..=255 => Ok(bytes),
        length => Err(format!("a key has 1 to 255 bytes, this one {length}")),
    }
}

/// A value: as [`key`], and `@FILE`.
pub fn value(text: &str) -> Result<Vec<u8>, String> {
    if let Some(path) = text.strip_prefix('@') {
        return std::fs::read(path).map_err(|error| format!("{path}: {error}"));
    }
    match text.strip_prefix("0x") {
        Some(hex) => hex_bytes(hex).ok_or_else(|| format!("{text:?} is no hex")),
        None => Ok(text.as_bytes().to_vec()),
    }
}

fn hex_bytes(digits: &str) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) || !digits.is_ascii() {
        return None;
    }
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok()).collect()
}

/// Bytes for a person: text where it is text, else hex.
pub fn show(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.is_empty() && text.chars().all(|letter| !letter.is_control()) => text.to_owned(),
        _ => hex(bytes),
    }
}

/// `0x…`
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::from("0x"), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string succeeds");
        text
    })
}

/// A number with thin groups: 1 234 567.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// Nanoseconds with a unit a person reads at a glance.
pub fn duration(ns: u64) -> String {
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{:.1} µs", ns as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} ms", ns as f64 / 1e6),
        _ => format!("{:.2} s", ns as f64 / 1e9),
    }
}

/// Bytes with a unit a person reads at a glance.
pub fn bytes(count: u64) -> String {
    match count {
        0..1_024 => format!("{count} B"),
        1_024..1_048_576 => format!("{:.1} KiB", count as f64 / 1_024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", count as f64 / 1_048_576.0),
        _ => format!("{:.2} GiB", count as f64 / 1_073_741_824.0),
    }
}

/// How far a snapshot is on its way.
pub fn transfer(transfer: &Transfer) -> String {
    let Transfer { sequence, chunks, there, before, bytes: gone, .. } = *transfer;
    let mut text = format!("{there} of {chunks} chunks of the snapshot at message {}", grouped(sequence));
    if before > 0 {
        text += &format!(" ({before} were there before)");
    }
    if let Some(left_ns) = transfer.left_ns() {
        let (gone, rate) = (bytes(gone), bytes(transfer.bytes_per_second()));
        text += &format!(", {gone} at {rate}/s, {} to go", minutes(left_ns));
    }
    text
}

/// A time that may be long, in whole seconds.
fn minutes(ns: u64) -> String {
    let seconds = ns.div_ceil(1_000_000_000);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3_600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_text_hex_or_numbers() {
        assert_eq!(key("abc").unwrap(), b"abc");
        assert_eq!(key("0xCAfe").unwrap(), [0xCA, 0xFE]);
        assert_eq!(key("u64:258").unwrap(), [0, 0, 0, 0, 0, 0, 1, 2]);
        assert!(key("0xabc").is_err() && key("u64:x").is_err() && key("").is_err());
        assert!(key(&"x".repeat(256)).is_err());
    }

    #[test]
    fn bytes_are_shown_as_text_only_where_they_are() {
        assert_eq!(show(b"AAPL"), "AAPL");
        assert_eq!(show(&[0, 255]), "0x00ff");
        assert_eq!(grouped(1_234_567), "1 234 567");
        assert_eq!(grouped(12), "12");
        assert_eq!(duration(1_500), "1.5 µs");
        assert_eq!(
            (bytes(1_023), bytes(1_536), bytes(3 << 29)),
            ("1023 B".into(), "1.5 KiB".into(), "1.50 GiB".into())
        );
    }

    #[test]
    fn a_transfer_says_how_far_it_is_and_how_long_it_takes_still() {
        let mut on_its_way =
            Transfer { sequence: 81_200, chunks: 120, there: 7, before: 7, ..Transfer::default() };
        let begun = "7 of 120 chunks of the snapshot at message 81 200 (7 were there before)";
        assert_eq!(transfer(&on_its_way), begun);
        on_its_way =
            Transfer { there: 40, before: 0, bytes: 10 << 20, took_ns: 40_000_000_000, ..on_its_way };
        assert_eq!(
            transfer(&on_its_way),
            "40 of 120 chunks of the snapshot at message 81 200, 10.0 MiB at 256.0 KiB/s, 1 min 20 s to go"
        );
        assert_eq!((minutes(1), minutes(7_260_000_000_000)), ("1 s".into(), "2 h 01 min".into()));
    }
}
