//! How far a snapshot is on its way, as either side sees it.
use gds_core::time::SECOND_NS;
use serde::{Deserialize, Serialize};

/// A snapshot on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// Its message.
    pub sequence: u64,
    /// Its chunks.
    pub chunks: u32,
    /// Chunks that the learner has.
    pub there: u32,
    /// Chunks that it had before: of an earlier connection or start.
    pub before: u32,
    /// Bytes that have gone since.
    pub bytes: u64,
    /// For how long they have gone, ns.
    pub took_ns: u64,
}

impl Transfer {
    /// Bytes a second, so far.
    pub fn bytes_per_second(&self) -> u64 {
        per(self.bytes, self.took_ns, SECOND_NS)
    }

    /// How long the rest takes if it goes on so, ns; `None`: nothing has gone yet.
    pub fn left_ns(&self) -> Option<u64> {
        let gone = u64::from(self.there.saturating_sub(self.before));
        let left = u64::from(self.chunks.saturating_sub(self.there));
        (gone > 0).then(|| per(self.took_ns, gone, left))
    }
}

/// `amount` of each `of`, for so many; it may be large.
fn per(amount: u64, of: u64, count: u64) -> u64 {
    let product = u128::from(amount) * u128::from(count) / u128::from(of.max(1));
    u64::try_from(product).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_takes_as_long_as_what_came_with_this_connection_says() {
        let transfer = Transfer {
            sequence: 90,
            chunks: 120,
            there: 40,
            before: 20,
            bytes: 5 << 20,
            took_ns: 10 * SECOND_NS,
        };
        assert_eq!(transfer.bytes_per_second(), 512 << 10);
        assert_eq!(transfer.left_ns(), Some(40 * SECOND_NS));
        let begun = Transfer { there: 20, bytes: 0, ..transfer };
        assert_eq!((begun.bytes_per_second(), begun.left_ns()), (0, None));
        assert_eq!(Transfer { there: 120, ..transfer }.left_ns(), Some(0));
    }
}
