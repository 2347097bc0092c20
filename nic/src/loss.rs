//! Packets dropped on purpose, from a seed, so that loss can be tested against the real program.
//!
//! The same seed and the same sequence of packets drop the same packets. Receive and send each have their own sequence, so
//! one does not disturb the other.

/// How much is dropped, in thousandths, and from which seed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LossConfig {
    /// Where the sequence starts.
    pub seed: u64,
    /// Of a thousand packets received, how many are dropped before they are seen; 0 to 1000.
    pub receive_per_mille: u16,
    /// Of a thousand packets sent, how many are dropped instead; 0 to 1000.
    pub send_per_mille: u16,
}

/// Decides packet by packet.
#[derive(Debug)]
pub(crate) struct Loss {
    receive: Dice,
    send: Dice,
}

impl Loss {
    pub(crate) fn new(config: LossConfig) -> Self {
        Self {
            receive: Dice { state: config.seed ^ 0x5245_4345_4956_4500, per_mille: config.receive_per_mille },
            send: Dice { state: config.seed ^ 0x5345_4e44_0000_0000, per_mille: config.send_per_mille },
        }
    }

    /// Is the next packet received to be dropped?
    pub(crate) fn drops_received(&mut self) -> bool {
        self.receive.falls()
    }

    /// Is the next packet sent to be dropped?
    pub(crate) fn drops_sent(&mut self) -> bool {
        self.send.falls()
    }
}

#[derive(Debug)]
struct Dice {
    state: u64,
    per_mille: u16,
}

impl Dice {
    fn falls(&mut self) -> bool {
        if self.per_mille == 0 {
            return false;
        }
        // SplitMix64: small, well spread, and its sequence is fixed for ever.
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % 1000 < u64::from(self.per_mille)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(seed: u64, per_mille: u16) -> Vec<bool> {
        let config = LossConfig { seed, receive_per_mille: per_mille, send_per_mille: 0 };
        let mut loss = Loss::new(config);
        (0..10_000).map(|_| loss.drops_received()).collect()
    }

    #[test]
    fn should_drop_the_same_packets_from_the_same_seed() {
        assert_eq!(pattern(7, 20), pattern(7, 20));
        assert_ne!(pattern(7, 20), pattern(8, 20));
    }

    #[test]
    fn should_drop_about_as_many_as_asked() {
        let dropped = pattern(1, 100).iter().filter(|&&d| d).count();
        assert!((900..1100).contains(&dropped), "{dropped}");
        assert!(pattern(1, 1000).iter().all(|&d| d));
        assert!(pattern(1, 0).iter().all(|&d| !d));
    }

    #[test]
    fn should_not_let_sends_disturb_receives() {
        let config = LossConfig { seed: 7, receive_per_mille: 20, send_per_mille: 500 };
        let mut loss = Loss::new(config);
        let mixed: Vec<bool> = (0..10_000)
            .map(|_| {
                loss.drops_sent();
                loss.drops_received()
            })
            .collect();
        assert_eq!(mixed, pattern(7, 20));
    }
}
