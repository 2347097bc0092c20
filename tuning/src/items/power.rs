//! How fast processors are clocked, and how deep they sleep.
use super::pinned;
use crate::item::{Family, Item, Judgement, Look, Shown, Takes, Verdict, Way};
use crate::knob::Knob;

/// Scaling governor
pub static GOVERNOR: Item = Item {
    key: "governor",
    title: "CPU governor",
    family: Family::Power,
    why: "The governor `performance` keeps a processor at its highest clock; the others lower it when there seems to be little to do.",
    cost: "After a quiet moment the first messages are handled at a fraction of the clock, until the governor has noticed: milliseconds.",
    shown: Shown::Published(
        "docs.kernel.org, admin-guide/pm/cpufreq; Red Hat, tuned profile network-latency",
    ),
    way: Way::Running,
    takes: Takes::Word(&["performance", "schedutil", "ondemand", "powersave"]),
    judge: |look| {
        let path = |core| format!("/sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor");
        let cores = pinned(look)?.iter();
        let settings: Vec<_> = cores
            .map(|core| super::setting(look, Knob::text(path(core)), look.word()))
            .collect::<Result<_, _>>()?;
        let mut now: Vec<&str> = settings.iter().map(|setting| setting.now.as_str()).collect();
        now.sort_unstable();
        now.dedup();
        Ok(Judgement::by_settings(now.join(", "), look.word(), settings))
    },
};

/// `/dev/cpu_dma_latency`
pub static SLEEP: Item = Item {
    key: "sleep_states",
    title: "sleep states",
    family: Family::Power,
    why: "A processor that sleeps deeply takes its time to wake; whoever holds /dev/cpu_dma_latency open says how long at most.",
    cost: "20 to 200 us for the first message after a pause, on threads that do not spin, and where the card's interrupts come in.",
    shown: Shown::Published("docs.kernel.org, power/pm_qos_interface"),
    way: Way::Hand,
    takes: Takes::Number(0, 1_000),
    judge: sleep,
};

fn sleep(look: &Look<'_>) -> Result<Judgement, Verdict> {
    let driver = look.host.read("/sys/devices/system/cpu/cpuidle/current_driver")?;
    if driver == "none" {
        return Err(Verdict::Irrelevant("the kernel has no say in sleep states here".into()));
    }
    let bytes = look.host.bytes("/dev/cpu_dma_latency")?;
    let Ok(bytes) = <[u8; 4]>::try_from(bytes) else {
        return Err(Verdict::Unknown("/dev/cpu_dma_latency does not hold four bytes".into()));
    };
    let now_us = i32::from_ne_bytes(bytes);
    let right = u64::try_from(now_us).is_ok_and(|now_us| now_us <= look.number());
    let now = if now_us >= 1_000_000 { "any depth".to_owned() } else { format!("waking within {now_us} us") };
    let wanted = format!("waking within {} us", look.number());
    if look.wanted.holds_cpu_dma_latency && !right {
        return Ok(Judgement::of(true, format!("{now}; the node will hold it"), wanted));
    }
    Ok(Judgement::of(right, now, wanted)
        .how("[tuning] hold_cpu_dma_latency = true: the node holds it while it runs"))
}
