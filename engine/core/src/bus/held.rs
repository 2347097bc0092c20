//! Packets held for many sessions, each session's sorted by number, in one bounded pool.
use super::packet_pool::PacketPool;
use gds_wire::mold::Packet;

const NONE: u32 = u32::MAX;

/// The packets held for one session: a list through the pool's slots.
#[derive(Clone, Copy, Debug)]
pub struct HeldList {
    head: u32,
    tail: u32,
    length: u32,
}

impl HeldList {
    /// No packet.
    pub const EMPTY: Self = Self { head: NONE, tail: NONE, length: 0 };

    /// How many packets.
    pub fn len(&self) -> usize {
        self.length as usize
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.head == NONE
    }
}

/// What became of a packet to be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holding {
    /// It is held.
    Held,
    /// One that covers it is held already.
    Duplicate,
    /// The pool is full, or it is too long for a slot.
    Full,
}

/// The pool, and the links that make lists of it.
#[derive(Debug)]
pub struct HeldPackets {
    pool: PacketPool,
    /// Per slot: first number, one above the last, next slot of the list.
    links: Vec<(u64, u64, u32)>,
}

impl HeldPackets {
    /// Room for `packets` datagrams of at most `packet_bytes_max` bytes.
    pub fn new(packets: usize, packet_bytes_max: usize) -> Self {
        Self { pool: PacketPool::new(packets, packet_bytes_max), links: vec![(0, 0, NONE); packets] }
    }

    /// How many packets are held, over all lists.
    pub fn len(&self) -> usize {
        self.links.len() - self.pool.free()
    }

    /// The number the list's first packet begins with.
    pub fn first(&self, list: &HeldList) -> Option<u64> {
        if list.is_empty() { None } else { Some(self.links[list.head as usize].0) }
    }

    /// The list's first packet.
    pub fn front(&self, list: &HeldList) -> Option<Packet<'_>> {
        if list.is_empty() {
            return None;
        }
        Some(Packet::parse(self.pool.get(list.head)).expect("only whole packets are held"))
    }

    /// Inserts a packet where its number belongs.
    pub fn insert(&mut self, list: &mut HeldList, packet: &Packet<'_>, datagram: &[u8]) -> Holding {
        let (first, end) = (packet.sequence, packet.next_sequence());
        // Packets mostly come in order, so mostly the place is the tail.
        let mut before = NONE;
        let mut after = list.head;
        if list.tail != NONE && self.links[list.tail as usize].0 < first {
            (before, after) = (list.tail, NONE);
        }
        while after != NONE && self.links[after as usize].0 < first {
            (before, after) = (after, self.links[after as usize].2);
        }
        let covered = |slot: u32| {
            slot != NONE && self.links[slot as usize].0 <= first && self.links[slot as usize].1 >= end
        };
        if covered(before) || covered(after) {
            return Holding::Duplicate;
        }
        let Some(slot) = self.pool.put(datagram) else { return Holding::Full };
        self.links[slot as usize] = (first, end, after);
        match before {
            NONE => list.head = slot,
            before => self.links[before as usize].2 = slot,
        }
        if after == NONE {
            list.tail = slot;
        }
        list.length += 1;
        Holding::Held
    }

    /// Drops the list's first packet.
    pub fn pop(&mut self, list: &mut HeldList) {
        let slot = list.head;
        assert!(slot != NONE, "popped an empty list");
        list.head = self.links[slot as usize].2;
        if list.head == NONE {
            list.tail = NONE;
        }
        list.length -= 1;
        self.pool.release(slot);
    }

    /// Drops all of the list's packets.
    pub fn clear(&mut self, list: &mut HeldList) {
        while !list.is_empty() {
            self.pop(list);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use gds_wire::mold::PacketBuilder;
    use gds_wire::session::Session;

    fn packet(first: u64, count: u64) -> Vec<u8> {
        let mut buffer = [0; 500];
        let mut builder = PacketBuilder::new(&mut buffer, Session::NODE, first);
        (0..count).for_each(|_| assert!(builder.push(b"m")));
        let length = builder.finish();
        buffer[..length].to_vec()
    }

    #[test]
    fn should_keep_lists_sorted_and_give_everything_back() {
        let mut random = Random::new(3);
        let mut held = HeldPackets::new(16, 200);
        for _ in 0..2_000 {
            let mut lists = [HeldList::EMPTY; 3];
            for _ in 0..random.below(30) {
                let datagram = packet(1 + random.below(40), 1 + random.below(5));
                let list = &mut lists[random.below(3) as usize];
                held.insert(list, &Packet::parse(&datagram).unwrap(), &datagram);
            }
            assert_eq!(held.len(), lists.iter().map(HeldList::len).sum::<usize>());
            for list in &mut lists {
                let mut last = 0;
                while let Some(front) = held.front(list) {
                    assert_eq!(held.first(list), Some(front.sequence));
                    assert!(front.sequence >= last);
                    last = front.sequence;
                    held.pop(list);
                }
                assert_eq!(list.len(), 0);
            }
            assert_eq!(held.len(), 0);
        }
    }

    #[test]
    fn should_tell_duplicates_and_a_full_pool() {
        let mut held = HeldPackets::new(1, 60);
        let mut list = HeldList::EMPTY;
        let (long, short, big) = (packet(5, 4), packet(5, 2), packet(1, 20));
        assert_eq!(held.insert(&mut list, &Packet::parse(&big).unwrap(), &big), Holding::Full);
        assert_eq!(held.insert(&mut list, &Packet::parse(&long).unwrap(), &long), Holding::Held);
        assert_eq!(held.insert(&mut list, &Packet::parse(&short).unwrap(), &short), Holding::Duplicate);
        let other = packet(20, 1);
        assert_eq!(held.insert(&mut list, &Packet::parse(&other).unwrap(), &other), Holding::Full);
    }
}
