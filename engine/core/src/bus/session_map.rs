//! A fixed-size map from session to slot number, for tables that may not allocate after start.
//!
//! Open addressing with linear probing at no more than half load; removal shifts the run back, so there are no tombstones and
//! a look-up's cost does not grow with the table's age.
use gds_wire::session::Session;

const EMPTY: u32 = u32::MAX;

/// Maps up to a fixed number of sessions to slot numbers below `u32::MAX`.
#[derive(Clone, Debug)]
pub struct SessionMap {
    places: Vec<(Session, u32)>,
    length: usize,
    entries_max: usize,
}

impl SessionMap {
    /// Room for `entries_max` sessions.
    pub fn new(entries_max: usize) -> Self {
        let places = (entries_max.max(4) * 2).next_power_of_two();
        Self { places: vec![(Session([0; 10]), EMPTY); places], length: 0, entries_max }
    }

    /// How many sessions are in it.
    pub fn len(&self) -> usize {
        self.length
    }

    /// The slot of a session.
    pub fn get(&self, session: &Session) -> Option<u32> {
        let mut place = self.home(session);
        loop {
            let (held, slot) = &self.places[place];
            if *slot == EMPTY {
                return None;
            }
            if held == session {
                return Some(*slot);
            }
            place = self.after(place);
        }
    }

    /// Adds a session that is not in the map. Panics when it is full: whoever owns the map counts its entries.
    pub fn insert(&mut self, session: Session, slot: u32) {
        assert!(self.length < self.entries_max, "session map holds {} entries already", self.length);
        assert!(slot != EMPTY);
        let mut place = self.home(&session);
        while self.places[place].1 != EMPTY {
            assert!(self.places[place].0 != session, "session {session} is in the map already");
            place = self.after(place);
        }
        self.places[place] = (session, slot);
        self.length += 1;
    }

    /// Removes a session; returns the slot it had.
    pub fn remove(&mut self, session: &Session) -> Option<u32> {
        let mut hole = self.home(session);
        while self.places[hole].0 != *session || self.places[hole].1 == EMPTY {
            if self.places[hole].1 == EMPTY {
                return None;
            }
            hole = self.after(hole);
        }
        let slot = self.places[hole].1;
        let mut place = self.after(hole);
        // Whatever follows in the run moves into the hole unless its home lies behind the hole (cyclically).
        while self.places[place].1 != EMPTY {
            let home = self.home(&self.places[place].0);
            let mask = self.places.len() - 1;
            if (place.wrapping_sub(home) & mask) >= (place.wrapping_sub(hole) & mask) {
                self.places[hole] = self.places[place];
                hole = place;
            }
            place = self.after(place);
        }
        self.places[hole].1 = EMPTY;
        self.length -= 1;
        Some(slot)
    }

    fn home(&self, session: &Session) -> usize {
        (hash_session(session) >> 32) as usize & (self.places.len() - 1)
    }

    fn after(&self, place: usize) -> usize {
        (place + 1) & (self.places.len() - 1)
    }
}

/// Mixes a session's ten bytes; the upper half is the better one.
pub fn hash_session(session: &Session) -> u64 {
    let [a, b, c, d, e, f, g, h, i, j] = session.0;
    let low = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    let high = u64::from(u16::from_le_bytes([i, j]));
    let product = u128::from(low ^ 0x9E37_79B9_7F4A_7C15) * u128::from(0xD6E8_FEB8_6659_FD93 ^ (high << 17));
    let mixed = (product >> 64) as u64 ^ product as u64 ^ high;
    mixed.wrapping_mul(0x2545_F491_4F6C_DD1D)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use std::collections::BTreeMap;

    #[test]
    fn should_agree_with_an_ordinary_map_under_random_inserts_and_removals() {
        let mut random = Random::new(7);
        let mut map = SessionMap::new(64);
        let mut model = BTreeMap::new();
        for step in 0..50_000u32 {
            let session = Session::padded(&format!("S{}", random.below(100))).unwrap();
            if random.chance(1, 2) && model.len() < 64 && !model.contains_key(&session) {
                map.insert(session, step);
                model.insert(session, step);
            } else {
                assert_eq!(map.remove(&session), model.remove(&session));
            }
            let probe = Session::padded(&format!("S{}", random.below(100))).unwrap();
            assert_eq!(map.get(&probe), model.get(&probe).copied());
            assert_eq!(map.len(), model.len());
        }
    }

    #[test]
    fn should_spread_sessions_that_differ_in_one_digit() {
        let homes: std::collections::BTreeSet<_> = (0..10_000u32)
            .map(|n| hash_session(&Session::padded(&format!("{n:010}")).unwrap()) >> 32 & 0xFFFF)
            .collect();
        assert!(homes.len() > 8_500, "only {} distinct homes", homes.len());
    }
}
