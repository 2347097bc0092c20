//! Threads on cores of their own.
//!
//! [`pin`] takes the core's number as the kernel counts it (`/sys/devices/system/cpu`), also one that is isolated and so not
//! in the thread's present mask, and verifies where the thread ended up. Pin after helper threads were started: children
//! inherit the mask.
use crate::sys::process;
use std::fmt;
use std::fs;

/// Why a thread could not be pinned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CoreError {
    /// The machine has no such core, or it is off line.
    NoSuchCore {
        /// The core asked for.
        core: usize,
        /// The cores on line, as the kernel writes them.
        online: String,
    },
    /// The kernel refused.
    Refused {
        /// The core asked for.
        core: usize,
        /// The cores this process may use.
        allowed: Vec<usize>,
    },
    /// The kernel agreed, yet the thread runs elsewhere.
    Elsewhere {
        /// The core asked for.
        core: usize,
        /// Where the thread runs.
        actual: usize,
    },
}

impl fmt::Display for CoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchCore { core, online } => {
                write!(f, "cannot pin to core {core}: this machine has cores {online}; change the layout")
            }
            Self::Refused { core, allowed } => write!(
                f,
                "cannot pin to core {core}: this process may use {allowed:?}; widen its cpuset (AllowedCPUs, taskset, \
                 container limits) or change the layout"
            ),
            Self::Elsewhere { core, actual } => {
                write!(f, "pinned to core {core}, but the thread runs on core {actual}")
            }
        }
    }
}

impl std::error::Error for CoreError {}

/// Pins the calling thread to `core` and verifies it.
pub fn pin(core: usize) -> Result<(), CoreError> {
    let online = read_list("online");
    if !expand(&online).contains(&core) {
        return Err(CoreError::NoSuchCore { core, online });
    }
    if !core_affinity::set_for_current(core_affinity::CoreId { id: core }) {
        return Err(CoreError::Refused { core, allowed: allowed() });
    }
    match process::current_core() {
        Some(actual) if actual != core => Err(CoreError::Elsewhere { core, actual }),
        _ => Ok(()),
    }
}

/// The cores the calling thread may run on, ascending.
pub fn allowed() -> Vec<usize> {
    process::allowed_cores()
}

/// The cores the kernel keeps free of other work (`isolcpus`), ascending; usually none.
pub fn isolated() -> Vec<usize> {
    expand(&read_list("isolated"))
}

/// The cores on line, ascending.
pub fn online() -> Vec<usize> {
    expand(&read_list("online"))
}

fn read_list(name: &str) -> String {
    fs::read_to_string(format!("/sys/devices/system/cpu/{name}")).unwrap_or_default().trim().to_string()
}

/// `0-2,5` is 0, 1, 2, 5.
fn expand(list: &str) -> Vec<usize> {
    let mut cores = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse::<usize>()) {
            cores.extend(first..=last);
        }
    }
    cores
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_expand_the_kernels_lists() {
        assert_eq!(expand("0-2,5"), [0, 1, 2, 5]);
        assert_eq!(expand("3"), [3]);
        assert!(expand("").is_empty());
    }

    #[test]
    fn should_pin_a_thread_where_asked() {
        std::thread::spawn(|| {
            for core in allowed() {
                pin(core).unwrap();
                assert_eq!(allowed(), [core]);
            }
        })
        .join()
        .unwrap();
    }

    #[test]
    fn should_pin_to_a_core_outside_the_present_mask() {
        let all = allowed();
        if all.len() < 2 {
            println!("skipped: needs two cores");
            return;
        }
        std::thread::spawn(move || {
            pin(all[0]).unwrap();
            pin(all[1]).unwrap();
            assert_eq!(allowed(), [all[1]]);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn should_name_the_cores_there_are_when_asked_for_another() {
        let error = pin(100_000).unwrap_err();
        assert!(matches!(error, CoreError::NoSuchCore { core: 100_000, .. }));
        assert!(error.to_string().contains("change the layout"), "{error}");
    }
}
