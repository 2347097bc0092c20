//! Recordings, read as a stream.
//!
//! [`Capture::open`] looks at the content of a file, never at its name, and gives one of two readers:
//!
//! - [`PacketCapture`] for pcap (microsecond and nanosecond, either byte order) and pcapng (either byte order, any
//!   `if_tsresol`): the UDP datagrams over IPv4 that pass a [`Filter`]. VLAN tags are stepped over. Everything else is skipped
//!   and counted by kind in [`Skipped`].
//! - [`MessageCapture`] for BinaryFILE: its messages.
//!
//! Either may be inside gzip. A recording that stops in the middle of a record gives everything up to there and then reports a
//! [`Cut`]. Memory is bounded: one record is held at a time, and none may be larger than [`RECORD_BYTES_MAX`].
//!
//! Both readers lend: what they return borrows their buffer until the next call. After an error or the end they return `None`.
mod binary_file;
mod error;
mod filter;
mod frame;
mod input;
mod packet;
mod pcap;
mod pcapng;
#[cfg(test)]
mod samples;
mod skipped;
#[cfg(test)]
mod tests;

pub use binary_file::{Ending, MessageCapture, RecordedMessage, itch_timestamp_ns};
pub use error::CaptureError;
pub use filter::Filter;
pub use packet::{Datagram, PacketCapture};
pub use skipped::Skipped;

use input::Input;
use std::fmt;
use std::io::Read;
use std::path::Path;

/// The largest record that is read: above what any link carries, and small enough to hold.
pub const RECORD_BYTES_MAX: usize = 1 << 20;

/// What a recording's content shows it to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The older capture format, one link type a file.
    Pcap,
    /// The newer capture format, in blocks.
    PcapNg,
    /// Messages, each after a u16 length.
    BinaryFile,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pcap => "pcap",
            Self::PcapNg => "pcapng",
            Self::BinaryFile => "BinaryFILE",
        })
    }
}

/// Where a recording stops in the middle of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Where the record that is not whole begins, in bytes from the start of the (uncompressed) recording.
    pub offset: u64,
    /// How many bytes there are from there to the end.
    pub trailing_bytes: u64,
    /// The gzip stream itself stops short, so that more was recorded than can be read; `trailing_bytes` may then be 0.
    pub in_gzip: bool,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offset, trailing_bytes, in_gzip } = self;
        write!(
            f,
            "the recording is cut at byte {offset}: the {trailing_bytes} bytes that follow are no whole record"
        )?;
        if *in_gzip {
            f.write_str(" (the gzip stream stops short)")?;
        }
        Ok(())
    }
}

/// How far a reader is in its file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the file read so far (compressed bytes, where the file is gzip).
    pub read_bytes: u64,
    /// Bytes in the file, when that is known.
    pub total_bytes: Option<u64>,
}

/// An opened recording.
#[derive(Debug)]
pub enum Capture {
    /// pcap or pcapng.
    Packets(PacketCapture),
    /// BinaryFILE.
    Messages(MessageCapture),
}

impl Capture {
    /// Opens the file at `path`. `filter` applies to packets; a BinaryFILE has none.
    ///
    /// # Errors
    /// [`CaptureError`], when it cannot be opened or read, or is no recording of a known format.
    pub fn open(path: &Path, filter: Filter) -> Result<Self, CaptureError> {
        Self::detect(Input::open(path)?, filter)
    }

    /// Reads a recording from `reader`; `name` stands for it in errors.
    ///
    /// # Errors
    /// As [`Capture::open`].
    pub fn from_reader(
        name: &str,
        reader: impl Read + Send + 'static,
        filter: Filter,
    ) -> Result<Self, CaptureError> {
        Self::detect(Input::new(Path::new(name), Box::new(reader), None)?, filter)
    }

    /// What the content showed.
    pub fn format(&self) -> Format {
        match self {
            Self::Packets(packets) => packets.format(),
            Self::Messages(_) => Format::BinaryFile,
        }
    }

    fn detect(mut input: Input, filter: Filter) -> Result<Self, CaptureError> {
        if input.ensure(4)? == 0 {
            return Err(input.error_empty());
        }
        let head = input.available();
        if pcap::recognizes(head) {
            return Ok(Self::Packets(PacketCapture::pcap(input, filter)?));
        }
        if pcapng::recognizes(head) {
            return Ok(Self::Packets(PacketCapture::pcapng(input, filter)));
        }
        if let Some(format) = unsupported(head) {
            return Err(CaptureError::Unsupported { path: input.path().into(), format });
        }
        Ok(Self::Messages(MessageCapture::new(input)?))
    }
}

/// Names a format that is known and not read, by its first bytes.
fn unsupported(head: &[u8]) -> Option<&'static str> {
    const KNOWN: [(&[u8], &str); 6] = [
        (&[0x28, 0xB5, 0x2F, 0xFD], "zstd"),
        (&[0xFD, b'7', b'z', b'X'], "xz"),
        (b"BZh", "bzip2"),
        (b"PK\x03\x04", "zip"),
        (&[0x04, 0x22, 0x4D, 0x18], "lz4"),
        (&[0x1F, 0x8B], "gzip inside gzip"),
    ];
    KNOWN.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, name)| *name)
}
