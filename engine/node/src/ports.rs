//! The engine's ports and disks over `gds-nic`. Nothing here decides anything.
use gds_core::counter_set;
use gds_core::disk::{Disk, DiskError, DiskWrite};
use gds_core::memory::words::Words;
use gds_core::port::{ConnectionId, DatagramPort, StreamEvent, StreamPort};
use gds_nic::{Backend, Directory, DirectoryConfig, FileError, Pages, TcpEvent, TcpPort, UdpPort};
use std::net::SocketAddrV4;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use zerocopy::IntoBytes;

counter_set! {
    /// What a UDP port counts.
    pub struct PortCounters {
        /// Datagrams received.
        received,
        /// Datagrams the kernel dropped because they were not taken in time, or there was no frame for them.
        dropped_by_kernel,
        /// Of these, over AF_XDP, those for which the port's ring was full.
        ring_full,
        /// Of these, over AF_XDP, those for which there was no frame.
        frames_short,
        /// Over AF_XDP, datagrams dropped because they are not from one of the senders.
        strangers,
        /// Over AF_XDP, packets dropped because they are no whole datagrams for the port.
        malformed,
        /// Over AF_XDP, datagrams received through the kernel: fragments, from other queues, or from this host.
        through_kernel,
        /// Datagrams longer than any taken, dropped.
        oversize,
        /// Times the receive had run out of buffers and was armed anew; nothing is lost by it.
        rearmed,
        /// Datagrams sent.
        sent,
        /// Over AF_XDP, datagrams that went through the kernel: to addresses it had to find out, or on other interfaces.
        sent_through_kernel,
        /// Datagrams not taken by the kernel, for any reason.
        unsent,
        /// Datagrams dropped on purpose (`[loss]`).
        lost_on_purpose,
    }
}

/// Datagrams over a UDP socket.
pub struct Datagrams {
    port: UdpPort,
    counters: Arc<PortCounters>,
    calls: u32,
}

/// Calls between two looks at what the kernel dropped, and at what was counted while nothing came.
const SHOWN_CALLS: u32 = 256;

impl Datagrams {
    /// Over this port.
    pub fn new(port: UdpPort) -> Self {
        Self { port, counters: Arc::default(), calls: 0 }
    }

    /// What it counts; what the kernel dropped, a moment behind.
    pub fn counters(&self) -> Arc<PortCounters> {
        self.counters.clone()
    }

    /// The port itself.
    pub fn port(&self) -> &UdpPort {
        &self.port
    }

    /// A call of the port is over. Shows what it has counted, at once if it did something and else now and then; what the kernel dropped,
    /// which takes a system call to learn, only now and then.
    #[inline]
    fn called(&mut self, worked: bool) {
        self.calls = self.calls.wrapping_add(1);
        let asks = self.calls.is_multiple_of(SHOWN_CALLS);
        if worked || asks {
            self.show();
        }
        if asks {
            self.ask_kernel();
        }
    }

    fn show(&self) {
        let counts = self.port.counters();
        self.counters.received.set(counts.received);
        self.counters.oversize.set(counts.oversize);
        self.counters.rearmed.set(counts.rearmed);
        self.counters.malformed.set(counts.malformed);
        self.counters.through_kernel.set(counts.through_kernel);
        self.counters.sent.set(counts.sent);
        self.counters.sent_through_kernel.set(counts.sent_through_kernel);
        self.counters.unsent.set(counts.send_full + counts.send_failed);
        self.counters.lost_on_purpose.set(counts.loss_received + counts.loss_sent);
    }

    fn ask_kernel(&self) {
        let rings = self.port.ring_drops();
        self.counters.ring_full.set(rings.ring_full);
        self.counters.frames_short.set(rings.frames_short);
        self.counters.strangers.set(rings.strangers);
        self.counters.dropped_by_kernel.set(self.port.drops());
    }
}

impl DatagramPort for Datagrams {
    fn receive(&mut self, limit: usize, deliver: &mut dyn FnMut(SocketAddrV4, &[u8])) -> usize {
        let received = self.port.receive(limit, deliver);
        self.called(received > 0);
        received
    }

    fn send(&mut self, to: SocketAddrV4, datagram: &[u8]) -> bool {
        let sent = self.port.send(to, datagram);
        self.called(true);
        sent
    }

    fn send_segments(&mut self, to: SocketAddrV4, datagrams: &[u8], segment_bytes: usize) -> usize {
        let sent = self.port.send_segments(to, datagrams, segment_bytes);
        self.called(true);
        sent
    }
}

/// Connections over TCP sockets.
pub struct Streams(pub TcpPort);

impl StreamPort for Streams {
    fn poll(&mut self, limit: usize, deliver: &mut dyn FnMut(StreamEvent<'_>)) -> usize {
        self.0.poll(limit, &mut |event| {
            deliver(match event {
                TcpEvent::Opened(connection, from) => StreamEvent::Opened(connection, from),
                TcpEvent::Received(connection, bytes) => StreamEvent::Received(connection, bytes),
                TcpEvent::Closed(connection) => StreamEvent::Closed(connection),
            });
        })
    }

    fn write(&mut self, connection: ConnectionId, bytes: &[u8]) -> usize {
        self.0.write(connection, bytes)
    }

    fn close(&mut self, connection: ConnectionId) {
        self.0.close(connection);
    }
}

/// Shared words on pages.
pub struct PageWords(pub Pages);

impl Words for PageWords {
    fn words(&self) -> &[AtomicU64] {
        self.0.words()
    }
}

/// A write as `gds-nic` wants it: a buffer that lends exactly what is to be written.
pub struct Lent(DiskWrite);

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        self.0.blocks[..self.0.count].as_bytes()
    }
}

/// Journal segments as files of one directory.
pub struct Files(pub Directory<Lent>);

impl Files {
    /// For reading alone: nothing is made, cleared away or changed.
    pub fn open_to_read(folder: &Path) -> Result<Self, DiskError> {
        let config =
            DirectoryConfig { read_only: true, backend: Backend::Plain, ..DirectoryConfig::new(folder) };
        Directory::open(config).map(Self).map_err(disk_error)
    }

    /// The same for snapshots.
    pub fn open_snapshots_to_read(folder: &Path) -> Result<Self, DiskError> {
        let config = crate::surroundings::snapshot_directory(folder.to_owned());
        let config = DirectoryConfig { read_only: true, backend: Backend::Plain, ..config };
        Directory::open(config).map(Self).map_err(disk_error)
    }
}

impl Disk for Files {
    fn segments(&mut self) -> Result<Vec<u64>, DiskError> {
        self.0.numbers().map_err(disk_error)
    }

    fn create(&mut self, segment: u64, bytes: u64) -> Result<(), DiskError> {
        self.0.create(segment, bytes).map_err(disk_error)
    }

    fn prepare(&mut self, segment: u64, bytes: u64) -> Result<bool, DiskError> {
        self.0.prepare(segment, bytes).map_err(disk_error)
    }

    fn length(&mut self, segment: u64) -> Result<u64, DiskError> {
        self.0.length(segment).map_err(disk_error)
    }

    fn remove(&mut self, segment: u64) -> Result<(), DiskError> {
        self.0.remove(segment).map_err(disk_error)
    }

    fn read(&mut self, segment: u64, offset: u64, into: &mut [u8]) -> Result<usize, DiskError> {
        self.0.read(segment, offset, into).map_err(disk_error)
    }

    fn submit(&mut self, write: DiskWrite) {
        let (segment, offset, sync) = (write.segment, write.offset, write.sync);
        self.0.submit(segment, offset, Lent(write), sync);
    }

    fn poll(&mut self) -> Option<(DiskWrite, Result<(), DiskError>)> {
        self.0.poll().map(|(lent, result)| (lent.0, result.map_err(disk_error)))
    }

    fn wait(&mut self) -> Option<(DiskWrite, Result<(), DiskError>)> {
        loop {
            match self.poll() {
                None if self.0.in_flight() > 0 => std::thread::yield_now(),
                finished => return finished,
            }
        }
    }

    fn describe(&self, segment: u64) -> String {
        self.0.path(segment).display().to_string()
    }
}

fn disk_error(error: FileError) -> DiskError {
    if error.is_full() { DiskError::Full } else { DiskError::Failed(error.to_string()) }
}
