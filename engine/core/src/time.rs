//! Time, as it comes in from outside.

/// The two clocks of one duty cycle, read once by whoever drives the agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Time {
    /// Nanoseconds on a clock that never runs back; timers use it.
    pub monotonic_ns: u64,
    /// Nanoseconds since the Unix epoch; may jump either way; stamps use it.
    pub wall_ns: u64,
}

/// Nanoseconds in one microsecond.
pub const MICROSECOND_NS: u64 = 1_000;
/// Nanoseconds in one millisecond.
pub const MILLISECOND_NS: u64 = 1_000_000;
/// Nanoseconds in one second.
pub const SECOND_NS: u64 = 1_000_000_000;
