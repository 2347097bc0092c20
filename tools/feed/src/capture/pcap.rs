//! pcap: a file header of 24 bytes, then each frame after a header of 16 (24 in one variant).
use super::frame::Link;
use super::input::Input;
use super::packet::{Frame, Step};
use super::{CaptureError, RECORD_BYTES_MAX};
use pcap_parser::{parse_pcap_frame, parse_pcap_frame_be, parse_pcap_frame_modified, parse_pcap_header};

const FILE_HEADER_BYTES: usize = 24;
/// Magic numbers, as the bytes that begin a file: microseconds, nanoseconds, both byte orders, and an old variant with larger
/// record headers.
const MAGICS: [[u8; 4]; 5] = [
    [0xD4, 0xC3, 0xB2, 0xA1],
    [0xA1, 0xB2, 0xC3, 0xD4],
    [0x4D, 0x3C, 0xB2, 0xA1],
    [0xA1, 0xB2, 0x3C, 0x4D],
    [0x34, 0xCD, 0xB2, 0xA1],
];

pub(super) fn recognizes(head: &[u8]) -> bool {
    MAGICS.iter().any(|magic| head.starts_with(magic))
}

/// What the file header says.
#[derive(Debug, Default)]
pub(super) struct Pcap {
    big_endian: bool,
    record_header_bytes: usize,
    fraction_ns: u64,
    link: Link,
}

impl Pcap {
    /// Reads the file header; `None` when the file ends within it.
    pub fn open(input: &mut Input) -> Result<Option<Self>, CaptureError> {
        if input.ensure(FILE_HEADER_BYTES)? < FILE_HEADER_BYTES {
            return Ok(None);
        }
        let Ok((_, header)) = parse_pcap_header(input.available()) else {
            return Err(input.error_damaged("the pcap file header is not one".into()));
        };
        input.consume(FILE_HEADER_BYTES);
        Ok(Some(Self {
            big_endian: header.is_bigendian(),
            record_header_bytes: if header.is_modified_format() { 24 } else { 16 },
            fraction_ns: if header.is_nanosecond_precision() { 1 } else { 1_000 },
            // The upper half may tell the length of a frame check sequence.
            link: Link::from_number((header.network.0 & 0xFFFF) as u16),
        }))
    }

    /// The frame at the window's front.
    pub fn step(&mut self, input: &mut Input) -> Result<Step, CaptureError> {
        if input.ensure(self.record_header_bytes)? < self.record_header_bytes {
            return Ok(Step::End);
        }
        let length: [u8; 4] = input.available()[8..12].try_into().expect("the range has this length");
        let length = if self.big_endian { u32::from_be_bytes(length) } else { u32::from_le_bytes(length) };
        let record_bytes = self.record_header_bytes + length as usize;
        if record_bytes > RECORD_BYTES_MAX {
            return Err(input.error_damaged(format!("a frame of {length} bytes, more than any link carries")));
        }
        if input.ensure(record_bytes)? < record_bytes {
            return Ok(Step::End);
        }
        let parse = match (self.record_header_bytes, self.big_endian) {
            (16, false) => parse_pcap_frame,
            (16, true) => parse_pcap_frame_be,
            _ => parse_pcap_frame_modified,
        };
        let Ok((_, frame)) = parse(&input.available()[..record_bytes]) else {
            return Err(input.error_damaged("a record header that makes no sense".into()));
        };
        Ok(Step::Frame(Frame {
            timestamp_ns: u64::from(frame.ts_sec) * 1_000_000_000
                + u64::from(frame.ts_usec) * self.fraction_ns,
            link: self.link,
            start: self.record_header_bytes,
            end: record_bytes,
            original_bytes: frame.origlen,
            record_bytes,
        }))
    }
}
