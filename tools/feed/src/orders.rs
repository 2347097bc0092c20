//! Live ITCH 5.0 orders, counted plainly.
//!
//! [`Orders`] is written from the message table of the ITCH 5.0 specification alone, with byte offsets and a hash map, so that
//! a store that claims to hold the same orders can be held against something that shares no code with it.
use std::collections::HashMap;
use std::fmt;

/// One order that can still trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LiveOrder {
    /// Its reference number, unique within the day.
    pub reference: u64,
    /// `B` or `S`.
    pub side: u8,
    /// Shares left.
    pub shares: u32,
    /// Price in ten-thousandths.
    pub price: u32,
    /// The stock's symbol, padded on the right with spaces.
    pub stock: [u8; 8],
    /// The stock's number on this day.
    pub locate: u16,
    /// Who placed it, for orders that say so.
    pub attribution: Option<[u8; 4]>,
}

impl LiveOrder {
    /// A digest of reference, side, shares, price and stock, made to be summed.
    pub fn digest(&self) -> u64 {
        let mut mixed = 0;
        let parts = [
            self.reference,
            u64::from(self.side),
            u64::from(self.shares) << 32 | u64::from(self.price),
            u64::from_be_bytes(self.stock),
        ];
        for part in parts {
            mixed = mix(mixed ^ part);
        }
        mixed
    }
}

/// The digest of a set of orders: the wrapping sum of each one's, so that order does not matter.
pub fn digest(orders: impl Iterator<Item = LiveOrder>) -> u64 {
    orders.fold(0, |sum, order| sum.wrapping_add(order.digest()))
}

/// The finalizer of SplitMix64, which changes half of the bits for each one changed.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

/// A message that does not follow from the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderError {
    /// An order message of another size than its type has.
    Size {
        /// The message's type.
        kind: u8,
        /// Its length.
        bytes: usize,
    },
    /// It names an order that is not live.
    Unknown {
        /// The reference.
        reference: u64,
    },
    /// It adds an order that is live already.
    Exists {
        /// The reference.
        reference: u64,
    },
    /// It takes more shares than are left.
    Shares {
        /// The reference.
        reference: u64,
        /// Shares left.
        left: u32,
        /// Shares taken.
        taken: u32,
    },
}

impl fmt::Display for OrderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size { kind, bytes } => {
                write!(f, "message of type {:?} has {bytes} bytes; ITCH 5.0 says otherwise", *kind as char)
            }
            Self::Unknown { reference } => write!(f, "order {reference} is not live"),
            Self::Exists { reference } => write!(f, "order {reference} is live already"),
            Self::Shares { reference, left, taken } => {
                write!(f, "order {reference} has {left} shares left; {taken} were taken")
            }
        }
    }
}

impl std::error::Error for OrderError {}

/// The orders that are live after the messages applied so far.
#[derive(Clone, Debug, Default)]
pub struct Orders {
    live: HashMap<u64, LiveOrder>,
}

impl Orders {
    /// No orders.
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies one message. Those that do not concern orders, and those of types that ITCH 5.0 does not have, change nothing.
    ///
    /// # Errors
    /// [`OrderError`], with nothing changed.
    pub fn apply(&mut self, message: &[u8]) -> Result<(), OrderError> {
        let Some(&kind) = message.first() else {
            return Ok(());
        };
        let size = match kind {
            b'A' => 36,
            b'F' => 40,
            b'E' => 31,
            b'C' => 36,
            b'X' => 23,
            b'D' => 19,
            b'U' => 35,
            _ => return Ok(()),
        };
        if message.len() != size {
            return Err(OrderError::Size { kind, bytes: message.len() });
        }
        let reference = u64_at(message, 11);
        match kind {
            b'A' | b'F' => self.add(LiveOrder {
                reference,
                side: message[19],
                shares: u32_at(message, 20),
                price: u32_at(message, 32),
                stock: array_at(message, 24),
                locate: u16::from_be_bytes(array_at(message, 1)),
                attribution: (kind == b'F').then(|| array_at(message, 36)),
            }),
            b'E' | b'C' | b'X' => self.take(reference, u32_at(message, 19)),
            b'D' => self.live.remove(&reference).map(|_| ()).ok_or(OrderError::Unknown { reference }),
            _ => {
                let &old = self.live.get(&reference).ok_or(OrderError::Unknown { reference })?;
                let new = u64_at(message, 19);
                if self.live.contains_key(&new) {
                    return Err(OrderError::Exists { reference: new });
                }
                self.live.remove(&reference);
                let (shares, price) = (u32_at(message, 27), u32_at(message, 31));
                self.add(LiveOrder { reference: new, shares, price, ..old })
            }
        }
    }

    /// How many orders are live.
    pub fn len(&self) -> usize {
        self.live.len()
    }

    /// Is none live?
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// The live order with this reference.
    pub fn get(&self, reference: u64) -> Option<&LiveOrder> {
        self.live.get(&reference)
    }

    /// All live orders, by rising reference.
    pub fn sorted(&self) -> Vec<LiveOrder> {
        let mut orders: Vec<_> = self.live.values().copied().collect();
        orders.sort_unstable_by_key(|order| order.reference);
        orders
    }

    /// The [`digest`] of all live orders.
    pub fn digest(&self) -> u64 {
        digest(self.live.values().copied())
    }

    fn add(&mut self, order: LiveOrder) -> Result<(), OrderError> {
        let reference = order.reference;
        if self.live.contains_key(&reference) {
            return Err(OrderError::Exists { reference });
        }
        self.live.insert(reference, order);
        Ok(())
    }

    fn take(&mut self, reference: u64, taken: u32) -> Result<(), OrderError> {
        let order = self.live.get_mut(&reference).ok_or(OrderError::Unknown { reference })?;
        let left = order.shares;
        order.shares = left.checked_sub(taken).ok_or(OrderError::Shares { reference, left, taken })?;
        if order.shares == 0 {
            self.live.remove(&reference);
        }
        Ok(())
    }
}

fn array_at<const N: usize>(message: &[u8], at: usize) -> [u8; N] {
    message[at..at + N].try_into().expect("the range has this length")
}

fn u32_at(message: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(array_at(message, at))
}

fn u64_at(message: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(array_at(message, at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::{Capture, Filter};
    use crate::recorded::recording;

    fn message(kind: u8, bytes: usize, parts: &[(usize, &[u8])]) -> Vec<u8> {
        let mut message = vec![0; bytes];
        message[0] = kind;
        for (at, part) in parts {
            message[*at..at + part.len()].copy_from_slice(part);
        }
        message
    }

    fn add(reference: u64, shares: u32) -> Vec<u8> {
        message(b'A', 36, &[(11, &reference.to_be_bytes()), (19, b"B"), (20, &shares.to_be_bytes())])
    }

    fn execute(reference: u64, shares: u32) -> Vec<u8> {
        message(b'E', 31, &[(11, &reference.to_be_bytes()), (19, &shares.to_be_bytes())])
    }

    #[test]
    fn an_order_lives_until_its_last_share_is_taken() {
        let mut orders = Orders::new();
        orders.apply(&add(1, 100)).unwrap();
        orders.apply(&execute(1, 60)).unwrap();
        assert_eq!(orders.get(1).unwrap().shares, 40);
        assert_eq!(
            orders.apply(&execute(1, 41)),
            Err(OrderError::Shares { reference: 1, left: 40, taken: 41 })
        );
        orders.apply(&execute(1, 40)).unwrap();
        assert!(orders.is_empty());
        assert_eq!(orders.apply(&execute(1, 1)), Err(OrderError::Unknown { reference: 1 }));
    }

    #[test]
    fn a_replaced_order_keeps_side_and_stock() {
        let mut orders = Orders::new();
        orders.apply(&add(1, 100)).unwrap();
        let parts: [(usize, &[u8]); 3] =
            [(11, &1_u64.to_be_bytes()), (19, &2_u64.to_be_bytes()), (27, &7_u32.to_be_bytes())];
        orders.apply(&message(b'U', 35, &parts)).unwrap();
        let order = orders.get(2).unwrap();
        assert_eq!((orders.len(), order.side, order.shares), (1, b'B', 7));
        assert_eq!(orders.apply(&message(b'U', 35, &parts)), Err(OrderError::Unknown { reference: 1 }));
    }

    #[test]
    fn a_live_reference_cannot_be_added_again() {
        let mut orders = Orders::new();
        orders.apply(&add(1, 100)).unwrap();
        assert_eq!(orders.apply(&add(1, 50)), Err(OrderError::Exists { reference: 1 }));
        assert_eq!(orders.apply(&[b'A'; 35]), Err(OrderError::Size { kind: b'A', bytes: 35 }));
        assert_eq!(orders.get(1).unwrap().shares, 100);
    }

    #[test]
    fn the_digest_tells_sets_apart_and_not_their_order() {
        let (mut forth, mut back) = (Orders::new(), Orders::new());
        for reference in 1..50 {
            forth.apply(&add(reference, 10)).unwrap();
            back.apply(&add(50 - reference, 10)).unwrap();
        }
        assert_eq!(forth.digest(), back.digest());
        assert_eq!(forth.sorted(), back.sorted());
        back.apply(&execute(7, 1)).unwrap();
        assert_ne!(forth.digest(), back.digest());
    }

    #[test]
    fn a_real_day_leaves_the_orders_that_another_count_gave() {
        let Some(path) = recording("itch/locate-13-10k.bin") else { return };
        let Ok(Capture::Messages(mut capture)) = Capture::open(&path, Filter::default()) else {
            panic!("not messages");
        };
        let mut orders = Orders::new();
        while let Some(message) = capture.next_message().unwrap() {
            orders.apply(message.bytes).unwrap();
        }
        let live = orders.sorted();
        let shares: u64 = live.iter().map(|order| u64::from(order.shares)).sum();
        let value: u64 = live.iter().map(|order| u64::from(order.shares) * u64::from(order.price)).sum();
        let bids = live.iter().filter(|order| order.side == b'B').count();
        assert_eq!((live.len(), shares, value, bids), (215, 18_314, 257_482_273_300, 126));
    }
}
