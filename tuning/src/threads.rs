//! The kernel's own threads as `/proc/ID/stat` and `/proc/ID/status` tell of them (proc_pid_stat(5), proc_pid_status(5)).
//!
//! Some belong to one processor and cannot be put elsewhere (`ksoftirqd/1`, `migration/1`, `kworker/...`); the others run where the
//! scheduler likes, and `taskset` moves them.
use crate::host::{Host, HostError};

/// A thread of the kernel (`PF_KTHREAD`).
const KERNEL: u64 = 0x0020_0000;
/// Nobody may say where it runs (`PF_NO_SETAFFINITY`).
const BOUND: u64 = 0x0400_0000;

/// A process, by what its first thread is: of the kernel's own each has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// Its number, which another may have after it.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// When it was started, in ticks since the host was: with the number it names this thread and no other.
    pub start_ticks: u64,
    /// The processor time that it has had, in ticks.
    pub busy_ticks: u64,
    flags: u64,
}

impl Thread {
    /// Reads a `stat`; `None` when it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, rest) = text.split_once(" (")?;
        // A name may have anything in it; what comes after it are letters and numbers.
        let (name, rest) = rest.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        // As the manual counts them: number, name, state, ...
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        Some(Self {
            id: id.parse().ok()?,
            name: name.to_owned(),
            start_ticks: number(22)?,
            busy_ticks: number(14)?.saturating_add(number(15)?),
            flags: number(9)?,
        })
    }

    /// The one that has this number now.
    pub fn of(host: &Host, id: u32) -> Option<Self> {
        Self::parse(&host.read(&format!("/proc/{id}/stat")).ok()?)
    }

    /// All kernel threads that can be put on other processors, by their numbers. A threaded interrupt's is not among them: the kernel
    /// moves it with its interrupt.
    pub fn movable(host: &Host) -> Vec<Self> {
        let ids = host.names("/proc").into_iter().filter_map(|name| name.parse().ok());
        ids.filter_map(|id| Self::of(host, id)).filter(Self::is_movable).collect()
    }

    fn is_movable(&self) -> bool {
        self.flags & (KERNEL | BOUND) == KERNEL && !self.name.starts_with("irq/")
    }
}

/// The processors that a thread may run on, as a list.
pub fn affinity(host: &Host, id: u32) -> Result<String, HostError> {
    let path = format!("/proc/{id}/status");
    let status = host.read(&path)?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let list = list.ok_or_else(|| HostError::Absent { path: format!("Cpus_allowed_list in {path}") })?;
    Ok(list.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn kernel_threads_that_can_be_moved_are_told_from_all_others() {
        let stat = |name: &str, flags: u64| {
            let text = format!(
                "77 ({name}) S 2 0 0 0 -1 {flags} 0 0 0 0 3 58795 0 0 20 0 1 0 170 0 0 18446744073709551615 0"
            );
            Thread::parse(&text).expect("it is a stat")
        };
        let thread = stat("kdamond.0", 0x0020_8040);
        assert_eq!((thread.id, thread.start_ticks, thread.busy_ticks), (77, 170, 58798));
        assert!(thread.is_movable());
        for (name, flags) in
            [("ksoftirqd/1", 0x0420_8040), ("kdamond.0", 0x0040_0100), ("irq/25-ACPI:Ged", 0x0020_8040)]
        {
            assert!(!stat(name, flags).is_movable(), "{name}");
        }
        let odd = stat("x) S 2 0 (y", 0x0040_0100);
        assert!(odd.name == "x) S 2 0 (y" && !odd.is_movable());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[0-9]{0,12} ?\\(?[a-z/() 0-9]{0,12}\\)?( -?[0-9]{1,21}| S){0,24}") {
            if let Some(thread) = Thread::parse(&text) {
                prop_assert!(text.contains(&thread.name));
            }
        }
    }
}
