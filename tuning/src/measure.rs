//! How long a thread that is pinned and never sleeps is kept from running, and by which interrupts.
//!
//! A thread on each processor reads the clock over and over; the time between two readings is what one reading costs, or what
//! something else took. Not beside a running node: two spinning threads on a processor take turns.
use crate::cores::Cores;
use crate::host::Host;
use crate::interrupts::Interrupts;
use gds_nic::{clock, cores};
use hdrhistogram::Histogram;
use std::thread;
use std::time::Duration;

/// Longest gap that is told apart.
const GAP_NS_MAX: u64 = 10_000_000_000;
/// A gap of so much is somebody else's doing.
pub const DISTURBANCE_NS: u64 = 1_000;
/// How often it is told how far it has come.
const LOOK: Duration = Duration::from_millis(50);

/// What one processor was kept from.
pub struct Measured {
    /// Which.
    pub core: u32,
    /// Times between two readings of the clock, in nanoseconds; or why it was not measured.
    pub gaps: Result<Histogram<u64>, String>,
    /// Interrupts meanwhile: id, name, count.
    pub interrupts: Vec<(String, String, u64)>,
    /// For how long.
    pub duration: Duration,
}

impl Measured {
    /// Timer interrupts.
    pub fn timer(&self) -> u64 {
        self.count(is_timer)
    }

    /// All other interrupts.
    pub fn other(&self) -> u64 {
        self.count(|id, name| !is_timer(id, name))
    }

    fn count(&self, which: fn(&str, &str) -> bool) -> u64 {
        self.interrupts.iter().filter(|(id, name, _)| which(id, name)).map(|(_, _, count)| count).sum()
    }

    /// Gaps from `low_ns` on and below `high_ns`.
    pub fn gaps_between(&self, low_ns: u64, high_ns: u64) -> u64 {
        self.gaps.as_ref().map_or(0, |gaps| gaps.count_between(low_ns, high_ns - 1))
    }

    /// The share of the time that was taken by gaps of [`DISTURBANCE_NS`] and more, 0 to 1.
    pub fn taken(&self) -> f64 {
        let Ok(gaps) = &self.gaps else { return 0.0 };
        let long = gaps.iter_recorded().filter(|step| step.value_iterated_to() >= DISTURBANCE_NS);
        let ns: f64 = long.map(|step| step.value_iterated_to() as f64 * step.count_at_value() as f64).sum();
        ns / self.duration.as_nanos() as f64
    }
}

fn is_timer(id: &str, name: &str) -> bool {
    id == "LOC" || name.to_ascii_lowercase().contains("timer")
}

/// Measures all of them at the same time. `progress` is told how much of the time is over.
pub fn measure(
    host: &Host,
    set: &Cores,
    duration: Duration,
    progress: &mut dyn FnMut(Duration),
) -> Vec<Measured> {
    let read = || Interrupts::parse(&host.read("/proc/interrupts").unwrap_or_default());
    let before = read();
    let began = clock::monotonic_ns();
    let spinners: Vec<_> =
        set.iter().map(|core| (core, thread::spawn(move || spin(core as usize, duration)))).collect();
    while spinners.iter().any(|(_, spinner)| !spinner.is_finished()) {
        thread::sleep(LOOK);
        progress(Duration::from_nanos(clock::monotonic_ns() - began).min(duration));
    }
    let after = read();
    let measured = |(core, spinner): (u32, thread::JoinHandle<_>)| Measured {
        core,
        gaps: spinner.join().unwrap_or_else(|_| Err("the measuring thread died".into())),
        interrupts: after.since(&before, core),
        duration,
    };
    spinners.into_iter().map(measured).collect()
}

fn spin(core: usize, duration: Duration) -> Result<Histogram<u64>, String> {
    let mut gaps = Histogram::new_with_bounds(1, GAP_NS_MAX, 3).expect("the bounds are right");
    cores::pin(core).map_err(|error| error.to_string())?;
    let mut last = clock::monotonic_ns();
    let end = last + duration.as_nanos() as u64;
    while last < end {
        let now = clock::monotonic_ns();
        gaps.saturating_record(now - last);
        // Recording counts as part of the next gap, so that nothing that happens is missed.
        last = now;
    }
    Ok(gaps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_is_measured_and_told_how_far_it_is() {
        let core = gds_nic::cores::allowed()[0] as u32;
        let mut told = 0;
        let set = std::iter::once(core).collect();
        let measured = measure(&Host::this(), &set, Duration::from_millis(100), &mut |_| told += 1);
        assert!(told > 0 && measured.len() == 1 && measured[0].core == core);
        let gaps = measured[0].gaps.as_ref().expect("measured");
        assert!(gaps.len() > 1_000, "{} readings in 100 ms", gaps.len());
        assert_eq!(measured[0].gaps_between(0, GAP_NS_MAX * 2), gaps.len());
        // The last gap may reach beyond the end by as much as it is long.
        assert!(measured[0].taken() <= 1.01 + gaps.max() as f64 / 100e6);
    }

    #[test]
    fn a_core_that_is_not_there_is_told() {
        let set = std::iter::once(8_000).collect();
        let measured = measure(&Host::this(), &set, Duration::from_millis(10), &mut |_| {});
        assert!(measured[0].gaps.as_ref().is_err_and(|why| why.contains("this machine has cores")));
    }
}
