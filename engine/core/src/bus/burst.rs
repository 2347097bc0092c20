//! Packets that leave together: of one length, one behind another in one buffer, the last of which may be shorter.
//!
//! That is what [`DatagramPort::send_segments`](crate::port::DatagramPort::send_segments) sends at the cost of little more than one packet.
//! Nothing waits for a burst to become longer: whoever fills it sends it when there is nothing more to put in.

/// Most packets of a burst, and most bytes: what a port takes at once.
const PACKETS_MAX: usize = 64;
const BYTES_MAX: usize = 65_507;

/// A burst in the making.
pub struct Burst {
    buffer: Vec<u8>,
    packet_bytes_max: usize,
    /// Where it begins and ends in the buffer.
    start: usize,
    end: usize,
    packets: usize,
    /// The length of its first packet.
    segment_bytes: usize,
    /// Nothing can follow its last packet.
    complete: bool,
}

impl Burst {
    /// An empty one, for packets of up to this length. All its memory is taken here.
    pub fn new(packet_bytes_max: usize) -> Self {
        let buffer = vec![0; BYTES_MAX.max(packet_bytes_max)];
        Self { buffer, packet_bytes_max, start: 0, end: 0, packets: 0, segment_bytes: 0, complete: false }
    }

    /// Whether it has no packet.
    pub fn is_empty(&self) -> bool {
        self.packets == 0
    }

    /// Whether it must be sent before another packet is built.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Where the next packet is built: as long as any in an empty burst, as long as the first one behind others.
    pub fn room(&mut self) -> &mut [u8] {
        let length = if self.is_empty() { self.packet_bytes_max } else { self.segment_bytes };
        self.room_for(length)
    }

    /// The same for a packet that may be the longest, and then begins a burst of its own with [`Burst::split`].
    pub fn room_for_any(&mut self) -> &mut [u8] {
        self.room_for(self.packet_bytes_max)
    }

    fn room_for(&mut self, length: usize) -> &mut [u8] {
        assert!(!self.complete, "a complete burst was not sent");
        &mut self.buffer[self.end..self.end + length]
    }

    /// Whether a packet of this length can follow those that are there.
    pub fn fits(&self, length: usize) -> bool {
        self.is_empty() || length <= self.segment_bytes
    }

    /// Takes the packet that was built at the front of the room.
    pub fn add(&mut self, length: usize) {
        assert!(self.fits(length), "{length} bytes do not follow packets of {}", self.segment_bytes);
        if self.is_empty() {
            self.segment_bytes = length;
        }
        self.packets += 1;
        self.end += length;
        self.complete = length < self.segment_bytes
            || self.packets == PACKETS_MAX
            || self.end - self.start + self.segment_bytes > BYTES_MAX
            || self.end + self.packet_bytes_max > self.buffer.len();
    }

    /// Its packets with their length, to be sent; it is empty then.
    pub fn take(&mut self) -> (&[u8], usize) {
        let packets = &self.buffer[self.start..self.end];
        (self.start, self.end, self.packets, self.complete) = (0, 0, 0, false);
        (packets, self.segment_bytes)
    }

    /// The same, and what has been built in [`Burst::room_for_any`] stays where it is, to be added.
    pub fn split(&mut self) -> (&[u8], usize) {
        let packets = &self.buffer[self.start..self.end];
        (self.start, self.packets, self.complete) = (self.end, 0, false);
        (packets, self.segment_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(burst: &mut Burst, length: usize) {
        assert!(burst.room().len() >= length);
        burst.add(length);
    }

    #[test]
    fn should_take_packets_of_one_length_and_a_shorter_one_as_the_last() {
        let mut burst = Burst::new(1400);
        assert_eq!(burst.room().len(), 1400);
        for length in [1000, 1000, 999] {
            assert!(!burst.is_complete() && burst.fits(length));
            add(&mut burst, length);
            assert!(!burst.fits(1001));
        }
        assert!(burst.is_complete());
        let (packets, segment_bytes) = burst.take();
        assert_eq!((packets.len(), segment_bytes), (2999, 1000));
        assert!(burst.is_empty() && burst.fits(1400));
    }

    #[test]
    fn should_end_at_the_most_packets_and_at_the_most_bytes() {
        for (length, count) in [(20, 64), (1023, 64), (1400, 46), (3900, 16), (65_507, 1)] {
            let mut burst = Burst::new(length);
            (0..count).for_each(|_| add(&mut burst, length));
            assert!(burst.is_complete(), "{length}");
            assert_eq!(burst.take().0.len(), count * length);
        }
    }

    #[test]
    fn should_begin_anew_with_what_was_built_and_does_not_follow() {
        let mut burst = Burst::new(1400);
        let mut sent = 0;
        for number in 0..200u8 {
            let length = 100 + usize::from(number);
            burst.room_for_any()[..length].fill(number);
            if !burst.fits(length) {
                let (packets, segment_bytes) = burst.split();
                assert_eq!((packets.len(), segment_bytes), (length - 1, length - 1));
                assert!(packets.iter().all(|byte| *byte == number - 1));
                sent += 1;
            }
            burst.add(length);
            if burst.is_complete() {
                assert_eq!(burst.take().0, vec![number; length]);
                sent += 1;
            }
        }
        assert_eq!(sent + usize::from(!burst.is_empty()), 200);
    }
}
