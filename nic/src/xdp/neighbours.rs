//! Where datagrams to single addresses go: a bounded memory of what the kernel's routes and neighbours say.
//!
//! An address that is new is looked up at once. When the kernel does not know its Ethernet address yet, or the way does not lead
//! out of our interface, datagrams to it go through the kernel, which also makes it ask for that address. What is remembered is
//! looked up again once a second, while there is nothing else to do, if it is in use; a neighbour that the kernel has not heard of
//! for long gets one datagram through the kernel then, so that it asks again: frames of our own do not.
use super::packet::Mac;
use super::routing::Routing;
use crate::clock::monotonic_ns;
use std::io;
use std::net::Ipv4Addr;

/// Addresses remembered; of more than that the longest unchecked is forgotten.
const SETS: usize = 64;
const WAYS: usize = 4;
/// How old knowledge may be before it is looked up again in a quiet moment, and how old when there is none.
const QUIET_AGE_NS: u64 = 1_000_000_000;
const BUSY_AGE_NS: u64 = 10_000_000_000;
/// How long the kernel may take to find out what it did not know.
const RETRY_NS: u64 = 5_000_000;
/// Uses between two looks at the clock.
const USES: u32 = 1024;

/// How to send to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// In a frame of ours, to this Ethernet address.
    Frame(Mac),
    /// Through the kernel.
    Kernel,
}

#[derive(Clone, Copy)]
struct Entry {
    to: Ipv4Addr,
    way: Way,
    checked_ns: u64,
    /// Sent to since it was checked, so many times.
    uses: u32,
    /// The next datagram goes through the kernel.
    remind: bool,
}

const NOBODY: Entry =
    Entry { to: Ipv4Addr::UNSPECIFIED, way: Way::Kernel, checked_ns: 0, uses: 0, remind: false };

/// The memory.
pub(super) struct Neighbours {
    routing: Routing,
    interface: u32,
    entries: Box<[Entry]>,
    /// The entry looked at in the next quiet moment.
    next: usize,
}

impl Neighbours {
    /// Of an interface.
    pub(super) fn open(interface: u32) -> io::Result<Self> {
        let entries = vec![NOBODY; SETS * WAYS].into_boxed_slice();
        Ok(Self { routing: Routing::open()?, interface, entries, next: 0 })
    }

    /// The way to an address that is no group.
    #[inline]
    pub(super) fn way(&mut self, to: Ipv4Addr) -> Way {
        let first = set_of(to);
        let found = (first..first + WAYS).find(|&index| self.entries[index].to == to);
        let Some(index) = found else { return self.learn(to) };
        let entry = &mut self.entries[index];
        entry.uses = entry.uses.wrapping_add(1);
        if entry.remind {
            entry.remind = false;
            return Way::Kernel;
        }
        if entry.way == Way::Kernel {
            self.check_if_older(index, RETRY_NS);
        } else if entry.uses.is_multiple_of(USES) {
            self.check_if_older(index, BUSY_AGE_NS);
        }
        self.entries[index].way
    }

    /// Looks up what is old and in use. To be called in quiet moments; does a little at a time.
    pub(super) fn tend(&mut self) {
        // Most entries are not in use: pass over a set of them at a time.
        for _ in 0..WAYS {
            let index = self.next;
            self.next = (index + 1) % self.entries.len();
            if self.entries[index].uses > 0 {
                return self.check_if_older(index, QUIET_AGE_NS);
            }
        }
    }

    #[cold]
    fn learn(&mut self, to: Ipv4Addr) -> Way {
        let first = set_of(to);
        let oldest = (first..first + WAYS)
            .min_by_key(|&index| self.entries[index].checked_ns)
            .expect("a set has entries");
        self.entries[oldest] = Entry { to, ..NOBODY };
        self.check_if_older(oldest, 0);
        self.entries[oldest].way
    }

    #[cold]
    fn check_if_older(&mut self, index: usize, age_ns: u64) {
        let now_ns = monotonic_ns();
        let Entry { to, checked_ns, .. } = self.entries[index];
        if now_ns.saturating_sub(checked_ns) < age_ns {
            return;
        }
        let route = self.routing.route(to).filter(|route| route.interface == self.interface);
        let known = route.and_then(|route| {
            let neighbour = self.routing.neighbour(self.interface, route.next)?;
            Some((Way::Frame(neighbour.mac), neighbour.is_stale))
        });
        let (way, remind) = known.unwrap_or((Way::Kernel, false));
        self.entries[index] = Entry { to, way, checked_ns: now_ns, uses: 0, remind };
    }
}

/// The first entry of the set an address belongs to.
#[inline]
fn set_of(to: Ipv4Addr) -> usize {
    let spread = u32::from(to).wrapping_mul(0x9e37_79b1);
    (spread >> 26) as usize % SETS * WAYS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interface::Interface;

    #[test]
    fn should_stay_bounded_and_leave_what_it_cannot_know_to_the_kernel() {
        let lo = Interface::default().resolve().unwrap();
        let mut neighbours = Neighbours::open(lo.index).unwrap();
        for number in 0..2000u32 {
            let to = Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 0, 0, 1)) + number);
            assert_eq!(neighbours.way(to), Way::Kernel);
        }
        assert_eq!(neighbours.entries.len(), SETS * WAYS);
        (0..1000).for_each(|_| neighbours.tend());
    }
}
