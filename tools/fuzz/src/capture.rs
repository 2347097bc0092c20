//! Recordings: any file is read to its end or refused, the same in one piece, in small pieces, and inside gzip.
use flate2::Compression;
use flate2::write::GzEncoder;
use gds_feed::arbitrate::{Arbiter, ArbiterConfig};
use gds_feed::capture::{Capture, CaptureError, Cut, Ending, Filter};
use std::io::{self, Cursor, Read, Write};

use crate::arbitration::Order;

/// A file of any format into a capture reader, and its datagrams into an arbiter.
pub fn capture(data: &[u8]) {
    let Some((mode, file)) = data.split_first() else { return };
    let whole = read(Cursor::new(file.to_vec()));
    let pieces = read(Pieces { bytes: file.to_vec(), at: 0, piece: 1 + usize::from(mode >> 2) });
    assert_eq!(whole, pieces, "in one piece and in small pieces");
    match (&whole.cut, whole.error) {
        (Some(cut), None) if !cut.in_gzip && !file.starts_with(&[0x1F, 0x8B]) => {
            assert_eq!(cut.offset + cut.trailing_bytes, file.len() as u64);
        }
        (Some(_), Some(error)) => panic!("cut and in error: {error}"),
        _ => {}
    }
    if file.starts_with(&[0x1F, 0x8B]) {
        return;
    }
    match mode & 3 {
        0 => {}
        1 => assert_eq!(read(Cursor::new(gzip(file))), whole, "inside gzip"),
        2 => {
            let (front, back) = file.split_at(file.len() / 2);
            assert_eq!(
                read(Cursor::new([gzip(front), gzip(back)].concat())),
                whole,
                "inside two gzip members"
            );
        }
        _ => {
            let packed = gzip(file);
            let kept = packed.len() - 1 - usize::from(*mode) % (packed.len() / 2);
            let short = read(Cursor::new(packed[..kept].to_vec()));
            // What is refused for what its first records hold may pass when they are cut off.
            assert!(
                whole.items.starts_with(&short.items) || (whole.error.is_some() && whole.items.is_empty())
            );
            assert!(short.error.is_some() || short.cut.is_some_and(|cut| cut.in_gzip));
        }
    }
}

/// All that a recording gave.
#[derive(Debug, PartialEq, Eq)]
struct Whole {
    /// Time or offset, and bytes.
    items: Vec<(u64, Vec<u8>)>,
    skipped: String,
    cut: Option<Cut>,
    error: Option<&'static str>,
}

fn read(reader: impl Read + Send + 'static) -> Whole {
    let mut whole = Whole { items: Vec::new(), skipped: String::new(), cut: None, error: None };
    match Capture::from_reader("input", reader, Filter::default()) {
        Ok(Capture::Packets(mut packets)) => {
            let mut arbiter = Arbiter::new(ArbiterConfig::default());
            let mut order = Order::default();
            loop {
                match packets.next_datagram() {
                    Ok(Some(datagram)) => {
                        whole.items.push((datagram.timestamp_ns, datagram.payload.to_vec()));
                        arbiter.on_datagram(&datagram, &mut |what| order.take(&what, None));
                    }
                    Ok(None) => break,
                    Err(error) => {
                        whole.error = Some(kind(&error));
                        break;
                    }
                }
            }
            arbiter.finish(&mut |what| order.take(&what, None));
            assert!(matches!(packets.next_datagram(), Ok(None)), "it goes on after its end");
            whole.skipped = packets.skipped().to_string();
            whole.cut = packets.cut();
        }
        Ok(Capture::Messages(mut messages)) => {
            loop {
                match messages.next_message() {
                    Ok(Some(message)) => {
                        let _ = message.timestamp_ns();
                        whole.items.push((message.offset, message.bytes.to_vec()));
                    }
                    Ok(None) => break,
                    Err(error) => {
                        whole.error = Some(kind(&error));
                        break;
                    }
                }
            }
            assert!(matches!(messages.next_message(), Ok(None)), "it goes on after its end");
            assert_eq!(messages.messages(), whole.items.len() as u64);
            assert_eq!(messages.ending().is_some(), whole.error.is_none());
            whole.cut = messages.cut();
            whole.skipped = format!("{:?}", messages.ending().filter(|ending| *ending != Ending::Boundary));
        }
        Err(error) => whole.error = Some(kind(&error)),
    }
    whole
}

/// The error without its text, which names offsets that reading in pieces moves.
fn kind(error: &CaptureError) -> &'static str {
    drop(error.to_string());
    match error {
        CaptureError::Open { .. } => "open",
        CaptureError::Read { .. } => "read",
        CaptureError::Gzip { .. } => "gzip",
        CaptureError::Empty { .. } => "empty",
        CaptureError::Unsupported { .. } => "unsupported",
        CaptureError::Unknown { .. } => "unknown",
        CaptureError::ZeroLength { .. } => "zero length",
        CaptureError::Damaged { .. } => "damaged",
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("into memory");
    encoder.finish().expect("into memory")
}

/// Gives a few bytes at a time.
struct Pieces {
    bytes: Vec<u8>,
    at: usize,
    piece: usize,
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let rest = &self.bytes[self.at..];
        let count = self.piece.min(rest.len()).min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        self.at += count;
        Ok(count)
    }
}
