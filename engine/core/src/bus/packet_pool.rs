//! A fixed number of buffers for packets that came too early.

/// Slots of equal size in one allocation.
#[derive(Debug)]
pub struct PacketPool {
    bytes: Vec<u8>,
    packet_bytes_max: usize,
    lengths: Vec<u32>,
    free: Vec<u32>,
}

impl PacketPool {
    /// Room for `packets` datagrams of at most `packet_bytes_max` bytes each.
    pub fn new(packets: usize, packet_bytes_max: usize) -> Self {
        let slots = u32::try_from(packets).expect("fewer than 2^32 packets");
        Self {
            bytes: vec![0; packets * packet_bytes_max],
            packet_bytes_max,
            lengths: vec![0; packets],
            free: (0..slots).rev().collect(),
        }
    }

    /// How many more can be held.
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// True when a datagram of this length can be held at all.
    pub fn fits(&self, length: usize) -> bool {
        length <= self.packet_bytes_max
    }

    /// Copies a datagram in. `None` when every slot is taken or it is too long for one.
    pub fn put(&mut self, datagram: &[u8]) -> Option<u32> {
        if !self.fits(datagram.len()) {
            return None;
        }
        let slot = self.free.pop()?;
        let start = slot as usize * self.packet_bytes_max;
        self.bytes[start..start + datagram.len()].copy_from_slice(datagram);
        self.lengths[slot as usize] = datagram.len() as u32;
        Some(slot)
    }

    /// What a slot holds.
    pub fn get(&self, slot: u32) -> &[u8] {
        let start = slot as usize * self.packet_bytes_max;
        &self.bytes[start..start + self.lengths[slot as usize] as usize]
    }

    /// Gives a slot back.
    pub fn release(&mut self, slot: u32) {
        assert!(self.free.len() < self.lengths.len(), "slot {slot} released twice");
        self.free.push(slot);
    }
}
