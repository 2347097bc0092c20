//! pcapng: blocks, each with its type and length in front and its length again behind.
//!
//! Only section headers, interface descriptions and the two kinds of packet blocks are held and parsed; all others are stepped
//! over, however large they are.
use super::frame::Link;
use super::input::Input;
use super::packet::{Frame, Step};
use super::{CaptureError, RECORD_BYTES_MAX};
use pcap_parser::traits::PcapNGPacketBlock;
use pcap_parser::{
    Block, InterfaceDescriptionBlock, OptionCode, PcapNGOption, parse_block_be, parse_block_le,
};
use std::ops::Range;

const SECTION_HEADER: u32 = 0x0A0D_0D0A;
const INTERFACE_DESCRIPTION: u32 = 1;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;
const BYTE_ORDER_LITTLE: [u8; 4] = [0x4D, 0x3C, 0x2B, 0x1A];
const BYTE_ORDER_BIG: [u8; 4] = [0x1A, 0x2B, 0x3C, 0x4D];
/// Type, length, byte order.
const SECTION_START_BYTES: usize = 12;
const BLOCK_START_BYTES: usize = 8;
const BLOCK_BYTES_MIN: u32 = 12;
/// Where in its block the packet begins.
const ENHANCED_DATA: usize = 28;
const SIMPLE_DATA: usize = 12;
const INTERFACES_MAX: usize = 4096;

pub(super) fn recognizes(head: &[u8]) -> bool {
    head.starts_with(&SECTION_HEADER.to_be_bytes())
}

/// What the current section has said so far.
#[derive(Debug, Default)]
pub(super) struct PcapNg {
    big_endian: bool,
    interfaces: Vec<Interface>,
    /// For blocks that carry no time of their own.
    last_timestamp_ns: u64,
}

#[derive(Debug)]
struct Interface {
    link: Link,
    /// The most that is kept of a packet.
    snap_bytes: u32,
    /// `if_tsresol`: the high bit chooses powers of two, the rest is the negative exponent.
    resolution: u8,
    offset_seconds: i64,
}

impl PcapNg {
    /// The block at the window's front.
    pub fn step(&mut self, input: &mut Input) -> Result<Step, CaptureError> {
        if input.ensure(BLOCK_START_BYTES)? < BLOCK_START_BYTES {
            return Ok(Step::End);
        }
        let kind = self.u32(input, 0);
        if kind == SECTION_HEADER {
            if input.ensure(SECTION_START_BYTES)? < SECTION_START_BYTES {
                return Ok(Step::End);
            }
            self.big_endian = match &input.available()[8..12] {
                order if order == BYTE_ORDER_LITTLE => false,
                order if order == BYTE_ORDER_BIG => true,
                _ => return Err(input.error_damaged("a pcapng section without a byte order".into())),
            };
        }
        let length = self.u32(input, 4);
        if length < BLOCK_BYTES_MIN || !length.is_multiple_of(4) {
            return Err(input.error_damaged(format!("a pcapng block of {length} bytes")));
        }
        match kind {
            SECTION_HEADER | INTERFACE_DESCRIPTION | SIMPLE_PACKET | ENHANCED_PACKET => {
                self.held(input, length)
            }
            _ => self.other(input, length),
        }
    }

    /// A block that means something here.
    fn held(&mut self, input: &mut Input, length: u32) -> Result<Step, CaptureError> {
        let record_bytes = length as usize;
        if record_bytes > RECORD_BYTES_MAX {
            return Err(input.error_damaged(format!("a pcapng block of {length} bytes, more than is held")));
        }
        if input.ensure(record_bytes)? < record_bytes {
            return Ok(Step::End);
        }
        let bytes = &input.available()[..record_bytes];
        if self.u32(input, record_bytes - 4) != length {
            return Err(input.error_damaged("a pcapng block whose two lengths differ".into()));
        }
        let parsed = if self.big_endian { parse_block_be(bytes) } else { parse_block_le(bytes) };
        let Ok((_, block)) = parsed else {
            return Err(input.error_damaged("a pcapng block whose content does not fit its length".into()));
        };
        let found = match block {
            Block::SectionHeader(_) => {
                self.interfaces.clear();
                return Ok(Step::Other { record_bytes, is_foreign: false });
            }
            Block::InterfaceDescription(_) if self.interfaces.len() == INTERFACES_MAX => {
                return Err(input.error_damaged(format!("more than {INTERFACES_MAX} interfaces")));
            }
            Block::InterfaceDescription(description) => {
                let interface = self.interface(&description);
                self.interfaces.push(interface);
                return Ok(Step::Other { record_bytes, is_foreign: false });
            }
            block => self.packet(&block),
        };
        let Some((link, timestamp_ns, data, original_bytes)) = found else {
            return Err(input.error_damaged("a pcapng packet whose interface or length is not known".into()));
        };
        self.last_timestamp_ns = timestamp_ns;
        let Range { start, end } = data;
        Ok(Step::Frame(Frame { timestamp_ns, link, start, end, original_bytes, record_bytes }))
    }

    fn interface(&self, description: &InterfaceDescriptionBlock<'_>) -> Interface {
        let options = &description.options;
        Interface {
            link: Link::from_number(description.linktype.0 as u16),
            snap_bytes: if description.snaplen == 0 { u32::MAX } else { description.snaplen },
            resolution: option(options, OptionCode::IfTsresol).map_or(6, |[unit]| unit),
            offset_seconds: option(options, OptionCode::IfTsoffset).map_or(0, |bytes| self.i64(bytes)),
        }
    }

    /// Link, time, where in the block the frame is, and its length on the wire.
    fn packet(&self, block: &Block<'_>) -> Option<(Link, u64, Range<usize>, u32)> {
        match block {
            Block::EnhancedPacket(packet) if packet.caplen as usize <= packet.data.len() => {
                let interface = self.interfaces.get(packet.if_id as usize)?;
                let units = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
                let data = ENHANCED_DATA..ENHANCED_DATA + packet.caplen as usize;
                Some((interface.link, interface.nanoseconds(units), data, packet.origlen))
            }
            Block::SimplePacket(packet) => {
                let interface = self.interfaces.first()?;
                let captured = packet.packet_data().len().min(interface.snap_bytes as usize);
                let data = SIMPLE_DATA..SIMPLE_DATA + captured;
                Some((interface.link, self.last_timestamp_ns, data, packet.origlen))
            }
            _ => None,
        }
    }

    /// Steps over a block but for its last four bytes, which must be its length again.
    fn other(&self, input: &mut Input, length: u32) -> Result<Step, CaptureError> {
        let body_bytes = u64::from(length) - 4;
        if input.skip(body_bytes)? < body_bytes || input.ensure(4)? < 4 {
            return Ok(Step::End);
        }
        if self.u32(input, 0) != length {
            return Err(input.error_damaged("a pcapng block whose two lengths differ".into()));
        }
        Ok(Step::Other { record_bytes: 4, is_foreign: true })
    }

    fn u32(&self, input: &Input, at: usize) -> u32 {
        let bytes = input.available()[at..at + 4].try_into().expect("the range has this length");
        if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }

    fn i64(&self, bytes: [u8; 8]) -> i64 {
        if self.big_endian { i64::from_be_bytes(bytes) } else { i64::from_le_bytes(bytes) }
    }
}

impl Interface {
    /// Nanoseconds since the Unix epoch; what cannot be told so becomes the nearest that can.
    fn nanoseconds(&self, units: u64) -> u64 {
        const SECOND_NS: u128 = 1_000_000_000;
        let exponent = u32::from(self.resolution & 0x7F);
        let scaled = u128::from(units) * SECOND_NS;
        let nanoseconds = if self.resolution & 0x80 != 0 {
            scaled >> exponent
        } else {
            10_u128.checked_pow(exponent).map_or(0, |units_a_second| scaled / units_a_second)
        };
        let offset_ns = i128::from(self.offset_seconds) * SECOND_NS as i128;
        (nanoseconds as i128 + offset_ns).clamp(0, i128::from(u64::MAX)) as u64
    }
}

/// The first `N` bytes of an option, where it is there and has as many.
fn option<const N: usize>(options: &[PcapNGOption<'_>], code: OptionCode) -> Option<[u8; N]> {
    let option = options.iter().find(|option| option.code == code)?;
    option.value().get(..N)?.try_into().ok()
}
