//! Messages to MoldUDP64 downstream packets.
//!
//! A [`Packetizer`] puts as many messages into a packet as fit and hands a packet out when the next message does not fit any
//! more, or when its oldest message has waited for the configured time. It reads no clock and sends nothing.
use gds_wire::mold::{
    BLOCK_LENGTH_BYTES, HEADER_BYTES, MAX_MESSAGES, MAX_PAYLOAD_BYTES, end_of_session, heartbeat,
};
use gds_wire::session::Session;
use std::fmt;

/// How messages become packets.
#[derive(Clone, Copy, Debug)]
pub struct PacketizerConfig {
    /// The session that the packets are of.
    pub session: Session,
    /// Number of the first message.
    pub first_sequence: u64,
    /// Largest UDP payload, header included.
    pub payload_bytes_max: usize,
    /// How long the oldest message of a packet may wait for company; 0 waits for none.
    pub linger_ns: u64,
}

impl PacketizerConfig {
    /// A session from number 1 on, in packets of up to [`MAX_PAYLOAD_BYTES`], with a wait of 100 µs.
    pub fn new(session: Session) -> Self {
        Self { session, first_sequence: 1, payload_bytes_max: MAX_PAYLOAD_BYTES, linger_ns: 100_000 }
    }
}

/// A message that no packet can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageTooLong {
    /// The message's length.
    pub bytes: usize,
    /// The longest that fits.
    pub bytes_max: usize,
}

impl fmt::Display for MessageTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, bytes_max } = self;
        write!(f, "a message of {bytes} bytes does not fit a packet, {bytes_max} do; allow larger packets")
    }
}

impl std::error::Error for MessageTooLong {}

/// Fills packets; see the module.
#[derive(Debug)]
pub struct Packetizer {
    config: PacketizerConfig,
    packet: Vec<u8>,
    count: u16,
    /// Number of the first message in the packet that is being filled.
    first_sequence: u64,
    /// When the packet that is being filled must go.
    due_ns: u64,
}

impl Packetizer {
    /// A packetizer with an empty packet.
    ///
    /// # Panics
    /// When a packet has no room for a message of one byte.
    pub fn new(config: PacketizerConfig) -> Self {
        let least = HEADER_BYTES + BLOCK_LENGTH_BYTES + 1;
        assert!(
            config.payload_bytes_max >= least,
            "a packet of {} bytes holds no message",
            config.payload_bytes_max
        );
        let mut packet = Vec::with_capacity(config.payload_bytes_max);
        packet.resize(HEADER_BYTES, 0);
        Self { config, packet, count: 0, first_sequence: config.first_sequence, due_ns: 0 }
    }

    /// Takes a message; returns its number. `send` is given the packet before it when that is full, and the packet it is in
    /// when none may wait.
    ///
    /// # Errors
    /// [`MessageTooLong`], with nothing changed, when no packet can carry it.
    pub fn push(
        &mut self,
        now_ns: u64,
        message: &[u8],
        send: &mut dyn FnMut(&[u8]),
    ) -> Result<u64, MessageTooLong> {
        let bytes_max =
            (self.config.payload_bytes_max - HEADER_BYTES - BLOCK_LENGTH_BYTES).min(usize::from(u16::MAX));
        if message.len() > bytes_max {
            return Err(MessageTooLong { bytes: message.len(), bytes_max });
        }
        let block_bytes = BLOCK_LENGTH_BYTES + message.len();
        if self.packet.len() + block_bytes > self.config.payload_bytes_max || self.count == MAX_MESSAGES {
            self.flush(send);
        }
        if self.count == 0 {
            self.due_ns = now_ns.saturating_add(self.config.linger_ns);
        }
        let sequence = self.next_sequence();
        self.packet.extend_from_slice(&(message.len() as u16).to_be_bytes());
        self.packet.extend_from_slice(message);
        self.count += 1;
        if self.config.linger_ns == 0 {
            self.flush(send);
        }
        Ok(sequence)
    }

    /// Number of the next message.
    pub fn next_sequence(&self) -> u64 {
        self.first_sequence + u64::from(self.count)
    }

    /// When the packet that is being filled must go; `None` while it is empty.
    pub fn due_ns(&self) -> Option<u64> {
        (self.count > 0).then_some(self.due_ns)
    }

    /// Hands out the packet that is being filled if its time has come; returns whether it did.
    pub fn flush_due(&mut self, now_ns: u64, send: &mut dyn FnMut(&[u8])) -> bool {
        let due = self.due_ns().is_some_and(|due_ns| now_ns >= due_ns);
        if due {
            self.flush(send);
        }
        due
    }

    /// Hands out the packet that is being filled, unless it is empty.
    pub fn flush(&mut self, send: &mut dyn FnMut(&[u8])) {
        if self.count == 0 {
            return;
        }
        self.packet[..HEADER_BYTES].copy_from_slice(&heartbeat(self.config.session, self.first_sequence));
        self.packet[HEADER_BYTES - 2..HEADER_BYTES].copy_from_slice(&self.count.to_be_bytes());
        send(&self.packet);
        self.first_sequence = self.next_sequence();
        self.count = 0;
        self.packet.truncate(HEADER_BYTES);
    }

    /// A heartbeat that tells of every message handed out.
    pub fn heartbeat(&self) -> [u8; HEADER_BYTES] {
        heartbeat(self.config.session, self.first_sequence)
    }

    /// An end of session after the last message taken. Call [`Packetizer::flush`] before.
    pub fn end_of_session(&self) -> [u8; HEADER_BYTES] {
        end_of_session(self.config.session, self.next_sequence())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gds_wire::mold::{Kind, Packet};
    use proptest::prelude::*;

    fn packetizer(payload_bytes_max: usize, linger_ns: u64) -> Packetizer {
        let session = Session::padded("FEED").unwrap();
        Packetizer::new(PacketizerConfig { session, first_sequence: 5, payload_bytes_max, linger_ns })
    }

    #[test]
    fn a_packet_goes_when_the_next_message_does_not_fit() {
        let mut sent = Vec::new();
        let mut packetizer = packetizer(20 + 2 * 12, 100);
        for expected in 5..10 {
            assert_eq!(packetizer.push(0, &[7; 10], &mut |packet| sent.push(packet.to_vec())), Ok(expected));
        }
        assert_eq!(sent.len(), 2);
        let packet = Packet::parse(&sent[1]).unwrap();
        assert_eq!((packet.sequence, packet.kind, packet.trailing_bytes), (7, Kind::Messages(2), 0));
        assert!(packet.messages().all(|(_, message)| message == [7; 10]));
    }

    #[test]
    fn a_packet_goes_when_its_oldest_message_has_waited() {
        let mut packetizer = packetizer(1400, 100);
        let mut sent = 0;
        let mut send = |_: &[u8]| sent += 1;
        assert_eq!(packetizer.due_ns(), None);
        packetizer.push(1_000, b"one", &mut send).unwrap();
        packetizer.push(1_090, b"two", &mut send).unwrap();
        assert_eq!(packetizer.due_ns(), Some(1_100));
        assert!(!packetizer.flush_due(1_099, &mut send));
        assert!(packetizer.flush_due(1_100, &mut send));
        assert!(!packetizer.flush_due(2_000, &mut send));
        assert_eq!(sent, 1);
        assert_eq!(packetizer.next_sequence(), 7);
    }

    #[test]
    fn without_a_wait_each_message_goes_alone() {
        let mut sent = 0;
        let mut packetizer = packetizer(1400, 0);
        packetizer.push(0, b"", &mut |_| sent += 1).unwrap();
        packetizer.push(0, b"x", &mut |_| sent += 1).unwrap();
        assert_eq!(sent, 2);
    }

    #[test]
    fn a_message_that_no_packet_carries_is_refused_and_nothing_changes() {
        let mut packetizer = packetizer(100, 100);
        let error = packetizer.push(0, &[0; 79], &mut |_| panic!("nothing is full")).unwrap_err();
        assert_eq!(error, MessageTooLong { bytes: 79, bytes_max: 78 });
        assert_eq!(packetizer.next_sequence(), 5);
        assert!(packetizer.push(0, &[0; 78], &mut |_| ()).is_ok());
    }

    #[test]
    fn heartbeat_and_end_tell_the_next_number() {
        let mut packetizer = packetizer(100, 100);
        packetizer.push(0, b"x", &mut |_| ()).unwrap();
        // Not handed out yet, so a listener must not ask for it yet.
        assert_eq!(Packet::parse(&packetizer.heartbeat()).unwrap().sequence, 5);
        packetizer.flush(&mut |_| ());
        assert_eq!(Packet::parse(&packetizer.heartbeat()).unwrap().sequence, 6);
        let end = packetizer.end_of_session();
        assert_eq!(Packet::parse(&end).unwrap().kind, Kind::EndOfSession);
    }

    proptest! {
        #[test]
        fn packets_hold_every_message_once_and_in_order(
            messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 0..60),
            payload_bytes_max in 103_usize..400,
        ) {
            let mut packetizer = packetizer(payload_bytes_max, 10);
            let mut packets: Vec<Vec<u8>> = Vec::new();
            for message in &messages {
                packetizer.push(0, message, &mut |packet| packets.push(packet.to_vec())).unwrap();
            }
            packetizer.flush(&mut |packet| packets.push(packet.to_vec()));
            let mut expected = 5;
            let mut seen = Vec::new();
            for packet in &packets {
                prop_assert!(packet.len() <= payload_bytes_max);
                for (sequence, message) in Packet::parse(packet).unwrap().messages() {
                    prop_assert_eq!(sequence, expected);
                    expected += 1;
                    seen.push(message.to_vec());
                }
            }
            prop_assert_eq!(seen, messages);
        }
    }
}
