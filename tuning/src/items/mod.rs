//! Every item there is, in the order in which they are looked at and changed.
//!
//! The order matters where one change undoes another: a card that gets other rings may put its interrupts elsewhere, and irqbalance
//! moves whatever is not held down.
mod card;
mod cores;
mod interrupts;
mod kernel;
mod memory;
mod network;
mod power;
mod process;
mod queues;

use crate::cores::Cores;
use crate::item::{Item, Judgement, Look, Setting, Verdict};
use crate::knob::Knob;

/// All of them.
pub static ITEMS: [&Item; 38] = [
    &cores::ISOLATED,
    &cores::TICKLESS,
    &cores::CALLBACKS,
    &cores::SIBLINGS,
    &cores::NODE,
    &interrupts::BALANCER,
    &interrupts::OTHERS,
    &interrupts::WORKERS,
    &interrupts::THREADS,
    &power::GOVERNOR,
    &power::SLEEP,
    &memory::HUGEPAGES,
    &memory::GIGANTIC,
    &memory::TRANSPARENT,
    &memory::SWAPPINESS,
    &kernel::WATCHDOG,
    &kernel::TIMERS,
    &kernel::CLOCK,
    &kernel::THROTTLING,
    &kernel::MITIGATIONS,
    &card::RINGS,
    &card::COALESCING,
    &card::PAUSE,
    &card::OFFLOADS,
    &queues::CHANNELS,
    &queues::STEERING,
    &interrupts::CARD,
    &queues::RECEIVE,
    &queues::SEND,
    &queues::DEFERRED,
    &queues::FLUSH,
    &network::BUSY_POLLING,
    &network::BUFFERS,
    &network::MEMBERSHIPS,
    &network::REVERSE_PATH,
    &network::MULTICAST,
    &process::LOCKED,
    &process::TIME,
];

/// The pinned processors.
fn pinned<'a>(look: &Look<'a>) -> Result<&'a Cores, Verdict> {
    if look.wanted.cores.is_empty() {
        return Err(Verdict::Irrelevant("no thread is pinned ([[core]] cpu)".into()));
    }
    Ok(&look.wanted.cores)
}

/// The processors on line.
fn online(look: &Look<'_>) -> Result<Cores, Verdict> {
    Ok(look.host.read("/sys/devices/system/cpu/online")?.parse()?)
}

/// The processors that are left for everything else.
fn others(look: &Look<'_>) -> Result<Cores, Verdict> {
    let others = online(look)?.without(pinned(look)?);
    if others.is_empty() {
        return Err(Verdict::Irrelevant("every processor is pinned: none is left for anything else".into()));
    }
    Ok(others)
}

/// The interface.
fn interface<'a>(look: &Look<'a>) -> Result<&'a str, Verdict> {
    let name = look.wanted.interface.as_deref();
    let name = name.ok_or_else(|| Verdict::Unknown("the node's interface was not found".into()))?;
    if !look.host.exists(&format!("/sys/class/net/{name}")) {
        return Err(Verdict::Unknown(format!("this host has no interface {name}")));
    }
    Ok(name)
}

/// The interface, if there is a card behind it.
fn card<'a>(look: &Look<'a>) -> Result<&'a str, Verdict> {
    let name = interface(look)?;
    if !look.host.exists(&format!("/sys/class/net/{name}/device")) {
        return Err(Verdict::Irrelevant(format!("{name} is not a card")));
    }
    Ok(name)
}

/// NUMA nodes and their processors.
fn nodes(look: &Look<'_>) -> Result<Vec<(u32, Cores)>, Verdict> {
    let folder = "/sys/devices/system/node";
    let numbers =
        look.host.names(folder).into_iter().filter_map(|name| name.strip_prefix("node")?.parse().ok());
    let cores = |node: u32| look.host.read(&format!("{folder}/node{node}/cpulist"));
    numbers.map(|node| Ok((node, cores(node)?.parse()?))).collect()
}

/// A knob that should be set so.
fn setting(look: &Look<'_>, knob: Knob, wanted: impl ToString) -> Result<Setting, Verdict> {
    let now = knob.read(look.host)?;
    Ok(Setting { knob, now, wanted: wanted.to_string() })
}

/// A knob whose number should be at least so much.
fn at_least(look: &Look<'_>, path: &str, least: u64) -> Result<Setting, Verdict> {
    let now = look.host.number(path)?;
    let wanted = u64::try_from(now).unwrap_or_default().max(least);
    setting(look, Knob::text(path), wanted)
}

/// A judgement of one knob.
fn one(look: &Look<'_>, knob: Knob, wanted: impl ToString) -> Result<Judgement, Verdict> {
    let setting = setting(look, knob, wanted)?;
    Ok(Judgement::by_settings(setting.now.clone(), setting.wanted.clone(), vec![setting]))
}

/// A set of processors as a person reads it.
fn shown(cores: &Cores) -> String {
    if cores.is_empty() { "none".to_owned() } else { cores.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn keys_are_unique_and_every_item_says_why_and_what_it_costs() {
        let keys: BTreeSet<&str> = ITEMS.iter().map(|item| item.key).collect();
        assert_eq!(keys.len(), ITEMS.len());
        for item in ITEMS {
            assert!(item.title.len() <= 24 && item.why.len() > 20 && item.cost.len() > 10, "{}", item.key);
        }
    }
}
