//! What the process may do, and what time it is.
use crate::item::{Family, Item, Judgement, Look, Shown, Takes, Verdict, Way};

/// Locked memory
pub static LOCKED: Item = Item {
    key: "locked_memory",
    title: "locked-memory limit",
    family: Family::Process,
    why: "Memory that must not be swapped out, and packet buffers shared with a card, count against RLIMIT_MEMLOCK, unless the process has \
          CAP_IPC_LOCK. (Judged for the process that asks: run this as the node's user.)",
    cost: "AF_XDP does not start, or the node's memory may be swapped out.",
    shown: Shown::Function("registering the memory is refused with ENOBUFS or ENOMEM"),
    way: Way::Boot,
    takes: Takes::Nothing,
    judge: locked,
};

/// Time synchronisation
pub static TIME: Item = Item {
    key: "time",
    title: "time synchronisation",
    family: Family::Process,
    why: "Stamps of messages and journals come from the host's clock. Exactly one program should set it: ptp4l and phc2sys, or chrony.",
    cost: "Latencies between hosts cannot be told, and a clock that two programs set goes back and forth.",
    shown: Shown::Function("stamps mean nothing between hosts"),
    way: Way::Hand,
    takes: Takes::Nothing,
    judge: |look| {
        const PROGRAMS: [&str; 5] = ["chronyd", "ntpd", "systemd-timesyncd", "phc2sys", "ptp4l"];
        let running: Vec<&str> = PROGRAMS.into_iter().filter(|name| look.host.runs(name)).collect();
        // ptp4l sets the card's clock, phc2sys the host's from it.
        let set = running.iter().filter(|name| **name != "ptp4l").count();
        let clocks = look.host.names("/sys/class/ptp").len();
        let now = if running.is_empty() { "nothing sets it".to_owned() } else { running.join(", ") };
        let ptp = if clocks > 0 {
            format!("; {clocks} PTP clock{}", if clocks > 1 { "s" } else { "" })
        } else {
            String::new()
        };
        let judgement = Judgement::of(set == 1, now + &ptp, "exactly one program");
        Ok(judgement.how("apt install chrony, or linuxptp where card and network have PTP"))
    },
};

fn locked(look: &Look<'_>) -> Result<Judgement, Verdict> {
    const IPC_LOCK: u64 = 1 << 14;
    let status = look.host.read("/proc/self/status")?;
    let capabilities = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let capabilities = capabilities.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
    let limits = look.host.read("/proc/self/limits")?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max locked memory"));
    let soft = line.and_then(|line| line.split_whitespace().next());
    let soft = soft.ok_or_else(|| Verdict::Unknown("/proc/self/limits does not tell it".into()))?;
    let wanted = "unlimited, or CAP_IPC_LOCK";
    let (now, right) = match (capabilities, soft) {
        (Some(capabilities), _) if capabilities & IPC_LOCK != 0 => {
            (format!("{soft} B, and CAP_IPC_LOCK"), true)
        }
        (_, "unlimited") => (soft.to_owned(), true),
        _ => (format!("{soft} B"), false),
    };
    let judgement = Judgement::of(right, now, wanted);
    Ok(judgement.how("LimitMEMLOCK=infinity in the unit (gds tune files), or ulimit -l unlimited"))
}
