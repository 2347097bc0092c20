//! Watchdogs, timers, the clock, and what is told only.
use super::one;
use crate::item::{Family, Item, Judgement, Look, Shown, Takes, Verdict, Way};
use crate::knob::Knob;

/// NMI watchdog
pub static WATCHDOG: Item = Item {
    key: "nmi_watchdog",
    title: "NMI watchdog",
    family: Family::Kernel,
    why: "The watchdog for hard lock-ups interrupts every processor every few seconds, by a performance counter that others then lack.",
    cost: "An interrupt that cannot be masked, some microseconds, every ten seconds on each processor.",
    shown: Shown::Published(
        "docs.kernel.org, admin-guide/lockup-watchdogs; Red Hat, tuned profile cpu-partitioning",
    ),
    way: Way::Running,
    takes: Takes::Number(0, 1),
    judge: |look| one(look, Knob::text("/proc/sys/kernel/nmi_watchdog"), look.number()),
};

/// Timer migration
pub static TIMERS: Item = Item {
    key: "timer_migration",
    title: "timer migration",
    family: Family::Kernel,
    why: "Whether timers that are armed on an idle processor may be moved to a busy one. Advice on it goes both ways.",
    cost: "At worst a timer of somebody else now and then, some microseconds.",
    shown: Shown::Nobody,
    way: Way::Running,
    takes: Takes::Number(0, 1),
    judge: |look| one(look, Knob::text("/proc/sys/kernel/timer_migration"), look.number()),
};

/// Clock source
pub static CLOCK: Item = Item {
    key: "clock_source",
    title: "clock source",
    family: Family::Kernel,
    why: "GDS reads the clock several times for each message. The processor's own counter (tsc) is read without entering the kernel.",
    cost: "Another source may need a system call or an access to a device: 20 ns become 200 ns to 2 us for each reading.",
    shown: Shown::Published("AWS, clock source of EC2 instances; Red Hat, low-latency tuning: timestamps"),
    way: Way::Running,
    takes: Takes::Word(&["tsc", "kvm-clock", "arch_sys_counter"]),
    judge: clock,
};

/// Real-time throttling
pub static THROTTLING: Item = Item {
    key: "realtime_throttling",
    title: "real-time throttling",
    family: Family::Kernel,
    why: "GDS runs no thread at real-time priority, so the throttle never holds it back; without it, a real-time thread of somebody else \
          that spins takes a processor for good.",
    cost: "None for GDS while it is on; a host that hangs when it is off and another program goes wrong.",
    shown: Shown::Nobody,
    way: Way::Hand,
    takes: Takes::Nothing,
    judge: |look| {
        let runtime_us = look.host.number("/proc/sys/kernel/sched_rt_runtime_us")?;
        let now = if runtime_us < 0 { "off".to_owned() } else { format!("on, {runtime_us} us a period") };
        let judgement = Judgement::of(runtime_us >= 0, now, "on");
        Ok(judgement.how("sysctl -w kernel.sched_rt_runtime_us=950000, unless another program needs it off"))
    },
};

/// Mitigations
pub static MITIGATIONS: Item = Item {
    key: "mitigations",
    title: "mitigations",
    family: Family::Kernel,
    why: "Guards against leaks through speculative execution make each system call dearer. Whether a host can do without them is for \
          its owner to say: told, never changed.",
    cost: "100 ns to 1 us for each system call, by processor; the longer the fewer messages a call carries.",
    shown: Shown::Nobody,
    way: Way::Hand,
    takes: Takes::Nothing,
    judge: |look| {
        let folder = "/sys/devices/system/cpu/vulnerabilities";
        let texts = look.host.names(folder).into_iter();
        let texts: Vec<String> = texts.flat_map(|name| look.host.read(&format!("{folder}/{name}"))).collect();
        if texts.is_empty() {
            return Err(Verdict::Unknown("this kernel does not tell".into()));
        }
        let count = |word: &str| texts.iter().filter(|text| text.contains(word)).count();
        let now = format!("{} at work, {} open", count("Mitigation"), count("Vulnerable"));
        Ok(Judgement::of(true, now, "told, never changed"))
    },
};

fn clock(look: &Look<'_>) -> Result<Judgement, Verdict> {
    let folder = "/sys/devices/system/clocksource/clocksource0";
    let there = look.host.read(&format!("{folder}/available_clocksource"))?;
    let knob = Knob::text(format!("{folder}/current_clocksource"));
    if there.split_whitespace().any(|name| name == look.word()) {
        return one(look, knob, look.word());
    }
    let judgement = Judgement::of(false, knob.read(look.host)?, look.word());
    Ok(judgement.how(format!(
        "{} is not among {there}: the kernel took it for unsteady (dmesg | grep -i {0}), or the processor has none",
        look.word()
    )))
}
