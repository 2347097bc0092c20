//! What the kernel hands over at once: one datagram, or several of one burst.
use super::{Deliver, UdpCounters};
use std::net::SocketAddrV4;

/// One datagram, or several of `segment_bytes` each one behind another, of which the last may be shorter.
pub(super) struct Piece<'a> {
    pub(super) source: SocketAddrV4,
    pub(super) bytes: &'a [u8],
    pub(super) segment_bytes: usize,
}

impl<'a> Piece<'a> {
    /// A piece to be cut at `segment_bytes`; none: one datagram.
    #[inline]
    pub(super) fn new(source: SocketAddrV4, bytes: &'a [u8], segment_bytes: Option<usize>) -> Self {
        Self { source, bytes, segment_bytes: segment_bytes.unwrap_or(bytes.len()).max(1) }
    }

    /// Delivers at most `limit` (not 0) of its datagrams from `offset` on; those longer than `datagram_bytes_max` are counted and
    /// left out. Returns how many, and where to go on if there are more.
    #[inline]
    pub(super) fn hand_out(
        &self,
        offset: usize,
        limit: usize,
        datagram_bytes_max: usize,
        counters: &mut UdpCounters,
        deliver: &mut Deliver<'_>,
    ) -> (usize, Option<usize>) {
        let (mut start, mut handed) = (offset, 0);
        // An empty datagram is one too.
        loop {
            let end = (start + self.segment_bytes).min(self.bytes.len());
            if end - start <= datagram_bytes_max {
                deliver(self.source, &self.bytes[start..end]);
                handed += 1;
            } else {
                counters.oversize += 1;
            }
            if end == self.bytes.len() {
                return (handed, None);
            }
            start = end;
            if handed == limit {
                return (handed, Some(start));
            }
        }
    }
}

/// The distance between buffers of `bytes`: whole cache lines, and no multiple of a large power of two, or the fronts of all of
/// them, which is all that short datagrams use, would compete for the same few places in the caches.
pub(super) fn spread(bytes: usize) -> usize {
    const LINE_BYTES: usize = 64;
    const SPREAD_BYTES: usize = 2048;
    let stride = bytes.next_multiple_of(LINE_BYTES);
    if stride < 2 * SPREAD_BYTES { stride } else { stride.next_multiple_of(2 * SPREAD_BYTES) + SPREAD_BYTES }
}
