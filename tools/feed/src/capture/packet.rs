//! The datagrams of a pcap or pcapng recording.
use super::frame::{self, Link};
use super::input::Input;
use super::pcap::Pcap;
use super::pcapng::PcapNg;
use super::skipped::Skip;
use super::{CaptureError, Cut, Filter, Format, Progress, Skipped};
use std::net::SocketAddrV4;

/// One UDP datagram of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// When it was captured, in nanoseconds since the Unix epoch.
    pub timestamp_ns: u64,
    /// Who sent it.
    pub source: SocketAddrV4,
    /// Where it went: a group or a host.
    pub destination: SocketAddrV4,
    /// What it carried.
    pub payload: &'a [u8],
}

/// A captured frame: where it is in the window, and what is known of it.
pub(super) struct Frame {
    pub timestamp_ns: u64,
    pub link: Link,
    pub start: usize,
    pub end: usize,
    pub original_bytes: u32,
    pub record_bytes: usize,
}

/// What stands at the window's front.
pub(super) enum Step {
    Frame(Frame),
    /// Something without a packet in it.
    Other {
        record_bytes: usize,
        is_foreign: bool,
    },
    /// No whole record any more.
    End,
}

#[derive(Debug)]
enum Records {
    Pcap(Pcap),
    PcapNg(PcapNg),
}

/// Reads a pcap or pcapng recording, datagram by datagram.
#[derive(Debug)]
pub struct PacketCapture {
    input: Input,
    records: Records,
    filter: Filter,
    skipped: Skipped,
    packets: u64,
    /// Bytes of the record that the last call lent out.
    lent_bytes: usize,
    cut: Option<Cut>,
    done: bool,
}

impl PacketCapture {
    pub(super) fn pcap(mut input: Input, filter: Filter) -> Result<Self, CaptureError> {
        let opened = Pcap::open(&mut input)?;
        let done = opened.is_none();
        let mut capture = Self::new(input, Records::Pcap(opened.unwrap_or_default()), filter);
        if done {
            // Cut within the file header: no frame will be read, so what the header would have said does not matter.
            capture.end();
        }
        Ok(capture)
    }

    pub(super) fn pcapng(input: Input, filter: Filter) -> Self {
        Self::new(input, Records::PcapNg(PcapNg::default()), filter)
    }

    fn new(input: Input, records: Records, filter: Filter) -> Self {
        let skipped = Skipped::default();
        Self { input, records, filter, skipped, packets: 0, lent_bytes: 0, cut: None, done: false }
    }

    /// The next datagram that the filter wants; `None` at the end, or where the recording is [cut](Self::cut).
    ///
    /// # Errors
    /// [`CaptureError`], when the file cannot be read or is damaged; nothing more is read after that.
    pub fn next_datagram(&mut self) -> Result<Option<Datagram<'_>>, CaptureError> {
        let found = self.advance();
        self.done |= found.is_err();
        Ok(found?.map(|(timestamp_ns, udp)| Datagram {
            timestamp_ns,
            source: udp.source,
            destination: udp.destination,
            payload: &self.input.available()[udp.payload_start..udp.payload_end],
        }))
    }

    /// pcap or pcapng.
    pub fn format(&self) -> Format {
        match self.records {
            Records::Pcap(_) => Format::Pcap,
            Records::PcapNg(_) => Format::PcapNg,
        }
    }

    /// What was not delivered so far.
    pub fn skipped(&self) -> &Skipped {
        &self.skipped
    }

    /// Packets seen so far, delivered or not.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// After the end: where the recording is cut, if it is.
    pub fn cut(&self) -> Option<Cut> {
        self.cut
    }

    /// How far the file has been read.
    pub fn progress(&self) -> Progress {
        self.input.progress()
    }

    /// Reads on to the next wanted datagram; its range is relative to the window's front.
    fn advance(&mut self) -> Result<Option<(u64, frame::Udp)>, CaptureError> {
        self.input.consume(std::mem::take(&mut self.lent_bytes));
        while !self.done {
            let step = match &mut self.records {
                Records::Pcap(pcap) => pcap.step(&mut self.input)?,
                Records::PcapNg(pcapng) => pcapng.step(&mut self.input)?,
            };
            match step {
                Step::End => self.end(),
                Step::Other { record_bytes, is_foreign } => {
                    self.input.consume(record_bytes);
                    self.skipped.other_blocks += u64::from(is_foreign);
                }
                Step::Frame(frame) => {
                    self.packets += 1;
                    match self.wanted(&frame) {
                        Ok(udp) => {
                            self.lent_bytes = frame.record_bytes;
                            return Ok(Some((frame.timestamp_ns, udp)));
                        }
                        Err(skip) => {
                            self.skipped.count(skip);
                            self.input.consume(frame.record_bytes);
                        }
                    }
                }
            }
        }
        Ok(None)
    }

    /// The datagram in a frame, where there is one that the filter wants.
    fn wanted(&mut self, frame: &Frame) -> Result<frame::Udp, Skip> {
        let captured = &self.input.available()[frame.start..frame.end];
        let mut udp = frame::decode(frame.link, captured, frame.original_bytes)?;
        self.skipped.vlan_tags += udp.vlan_tags;
        udp.payload_start += frame.start;
        udp.payload_end += frame.start;
        if !self.filter.wants_group(&udp.destination) {
            return Err(Skip::Group);
        }
        if !self.filter.wants_port(&udp.destination) {
            return Err(Skip::Port);
        }
        Ok(udp)
    }

    fn end(&mut self) {
        self.done = true;
        self.cut = self.input.cut();
    }
}
