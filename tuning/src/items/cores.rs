//! Which processors the scheduler, the timer tick and RCU leave alone, and where they are.
use super::{nodes, online, pinned, shown};
use crate::cores::Cores;
use crate::item::{Family, Item, Judgement, Look, Shown, Takes, Verdict, Way};

const PER_CORE_THREADS: &str = "docs.kernel.org, admin-guide/kernel-per-CPU-kthreads and timers/no_hz";

/// `isolcpus`
pub static ISOLATED: Item = Item {
    key: "isolated_cores",
    title: "isolated cores",
    family: Family::Cores,
    why: "The scheduler puts no other thread on an isolated processor, and its load balancing does not visit it.",
    cost: "Any other thread may take the processor for a time slice: 1 to 10 ms in which no message is ordered.",
    shown: Shown::Published(PER_CORE_THREADS),
    way: Way::Boot,
    takes: Takes::Nothing,
    judge: |look| {
        let pinned = pinned(look)?;
        let isolated: Cores = look.host.read("/sys/devices/system/cpu/isolated")?.parse()?;
        Ok(covered(&isolated, pinned)
            .how(format!("kernel command line: isolcpus=managed_irq,domain,{pinned}")))
    },
};

/// `nohz_full`
pub static TICKLESS: Item = Item {
    key: "tickless_cores",
    title: "tickless cores",
    family: Family::Cores,
    why: "Without the timer tick a processor with one running thread is interrupted once a second instead of 100 to 1,000 times.",
    cost: "Each tick takes some microseconds and cools the caches; gds tune check --measure counts them.",
    shown: Shown::Published(PER_CORE_THREADS),
    way: Way::Boot,
    takes: Takes::Nothing,
    judge: |look| {
        let pinned = pinned(look)?;
        let path = "/sys/devices/system/cpu/nohz_full";
        if !look.host.exists(path) {
            return Err(Verdict::Irrelevant("this kernel was built without it (CONFIG_NO_HZ_FULL)".into()));
        }
        let text = look.host.read(path)?;
        // A kernel that could and was not told to writes "(null)".
        let tickless: Cores = if text.starts_with('(') { Cores::default() } else { text.parse()? };
        Ok(covered(&tickless, pinned).how(format!("kernel command line: nohz_full={pinned}")))
    },
};

/// `rcu_nocbs`
pub static CALLBACKS: Item = Item {
    key: "rcu_callbacks",
    title: "RCU callbacks elsewhere",
    family: Family::Cores,
    why: "The kernel frees memory in callbacks on the processor that gave it up; rcu_nocbs moves them to threads that run elsewhere.",
    cost: "Now and then a batch of callbacks runs in the middle of a duty cycle: tens of microseconds.",
    shown: Shown::Published(PER_CORE_THREADS),
    way: Way::Boot,
    takes: Takes::Nothing,
    judge: |look| {
        let pinned = pinned(look)?;
        let line = look.host.read("/proc/cmdline")?;
        let named = |name: &str| line.split_whitespace().find_map(|word| word.strip_prefix(name));
        // nohz_full implies it.
        let moved = match named("rcu_nocbs=").or(named("nohz_full=")) {
            None => Cores::default(),
            Some("all") => online(look)?,
            Some(list) => list.parse()?,
        };
        Ok(covered(&moved, pinned).how(format!("kernel command line: rcu_nocbs={pinned}")))
    },
};

/// SMT
pub static SIBLINGS: Item = Item {
    key: "smt_siblings",
    title: "SMT siblings",
    family: Family::Cores,
    why: "Two hardware threads of one core share its execution units and first caches.",
    cost: "Whatever runs on the sibling takes up to half of the pinned thread's speed, at moments of its own choosing.",
    shown: Shown::Published("Firedancer's configuration stage `hyperthreads`, and its tuning guide"),
    way: Way::Hand,
    takes: Takes::Nothing,
    judge: siblings,
};

/// NUMA
pub static NODE: Item = Item {
    key: "numa_node",
    title: "NUMA node of the card",
    family: Family::Cores,
    why: "Packets land in the memory of the card's node; a processor of another node reads them over the interconnect.",
    cost: "Each cache line that comes from the other node costs about 100 ns more: several for every packet.",
    shown: Shown::Published("docs.kernel.org, networking/scaling"),
    way: Way::Hand,
    takes: Takes::Nothing,
    judge: node,
};

fn covered(set: &Cores, pinned: &Cores) -> Judgement {
    Judgement::of(set.covers(pinned), shown(set), pinned.to_string())
}

fn siblings(look: &Look<'_>) -> Result<Judgement, Verdict> {
    let pinned = pinned(look)?;
    let online = online(look)?;
    let mut busy = Cores::default();
    for core in pinned.iter() {
        let path = format!("/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list");
        let siblings: Cores = look.host.read(&path)?.parse()?;
        let others = siblings.and(&online).without(&std::iter::once(core).collect());
        busy = busy.iter().chain(others.iter()).collect();
    }
    if !busy.is_empty() && busy.and(pinned).is_empty() {
        // An isolated sibling on which nothing is pinned stays idle.
        let isolated: Cores = look.host.read("/sys/devices/system/cpu/isolated")?.parse()?;
        busy = busy.without(&isolated);
    }
    let mut judgement = Judgement::of(busy.is_empty(), format!("in use: {}", shown(&busy)), "in use: none");
    for core in busy.iter() {
        judgement = judgement.how(if pinned.contains(core) {
            format!("processor {core} shares its core with another pinned one: pin to another ([[core]] cpu)")
        } else {
            format!("echo 0 > /sys/devices/system/cpu/cpu{core}/online")
        });
    }
    Ok(judgement)
}

fn node(look: &Look<'_>) -> Result<Judgement, Verdict> {
    let pinned = pinned(look)?;
    let nodes = nodes(look)?;
    if nodes.len() < 2 {
        return Err(Verdict::Irrelevant("one NUMA node".into()));
    }
    let card = super::card(look)?;
    let number = look.host.number(&format!("/sys/class/net/{card}/device/numa_node"))?;
    let Some((node, near)) = nodes.iter().find(|(node, _)| i64::from(*node) == number) else {
        return Err(Verdict::Unknown(format!("the firmware does not say on which node {card} is")));
    };
    let of: Vec<String> = nodes
        .iter()
        .filter(|(_, cores)| !cores.and(pinned).is_empty())
        .map(|(node, _)| node.to_string())
        .collect();
    let judgement = Judgement::of(
        near.covers(pinned),
        format!("card {node}, cores {}", of.join(",")),
        format!("card {node}, cores {node}"),
    );
    Ok(judgement.how(format!("pin to processors of node {node}, which are {near} ([[core]] cpu)")))
}
