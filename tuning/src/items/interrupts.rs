//! Where interrupts and the kernel's own threads run.
use super::{card, interface, nodes, others, pinned};
use crate::cores::Cores;
use crate::item::{Family, Item, Judgement, Look, Setting, Shown, Takes, Verdict, Way};
use crate::knob::{Knob, RUNNING, STOPPED, Shape};
use crate::threads::Thread;

/// irqbalance
pub static BALANCER: Item = Item {
    key: "irqbalance",
    title: "irqbalance",
    family: Family::Interrupts,
    why: "irqbalance moves interrupts between processors every ten seconds, back onto those that were cleared of them.",
    cost: "Interrupts come back to the pinned processors some seconds after they were moved away.",
    shown: Shown::Published("Firedancer's configuration stage `irq-balance`"),
    way: Way::Running,
    takes: Takes::Nothing,
    judge: |look| {
        pinned(look)?;
        let knob = Knob::Service { name: "irqbalance".into() };
        let now = if look.host.runs("irqbalance") { RUNNING } else { STOPPED };
        let setting = Setting { knob, now: now.into(), wanted: STOPPED.into() };
        Ok(Judgement::by_settings(now, STOPPED, vec![setting]))
    },
};

/// Affinity of all interrupts but the card's
pub static OTHERS: Item = Item {
    key: "interrupts",
    title: "other interrupts",
    family: Family::Interrupts,
    why: "An interrupt stops the thread that runs where it comes in.",
    cost: "1 to 20 us each time a disk, a timer chip or another card has something to say.",
    shown: Shown::Published("docs.kernel.org, core-api/irq/irq-affinity"),
    way: Way::Running,
    takes: Takes::Nothing,
    judge: other_interrupts,
};

/// Affinity of the card's interrupts
pub static CARD: Item = Item {
    key: "card_interrupts",
    title: "the card's interrupts",
    family: Family::Card,
    why: "The card's interrupts, and the kernel's share of the work for each packet, run where they come in: on an unpinned processor of \
          the card's node.",
    cost: "The pinned thread stops for each interrupt, 2 to 50 us; on a far node every packet crosses the interconnect twice.",
    shown: Shown::Published("docs.kernel.org, networking/scaling; Firedancer's stage `irq-affinity`"),
    way: Way::Running,
    takes: Takes::Nothing,
    judge: card_interrupts,
};

/// Unbound workqueues
pub static WORKERS: Item = Item {
    key: "kernel_workers",
    title: "kernel workers",
    family: Family::Interrupts,
    why: "Work that the kernel puts off runs in its worker threads, on any processor of their mask.",
    cost: "A worker takes the processor for as long as its work takes: tens to hundreds of microseconds.",
    shown: Shown::Published("docs.kernel.org, core-api/workqueue and admin-guide/kernel-per-CPU-kthreads"),
    way: Way::Running,
    takes: Takes::Nothing,
    judge: |look| {
        let others = others(look)?;
        let path = "/sys/devices/virtual/workqueue/cpumask";
        let now = Cores::from_mask(&look.host.read(path)?)?;
        let wanted = left(&now, &others);
        let knob = Knob::File { path: path.into(), shape: Shape::Mask };
        let setting = super::setting(look, knob, wanted.to_mask())?;
        Ok(Judgement::by_settings(format!("on {now}"), format!("on {wanted}"), vec![setting]))
    },
};

/// Kernel threads that can be moved one by one
pub static THREADS: Item = Item {
    key: "kernel_threads",
    title: "kernel threads",
    family: Family::Interrupts,
    why: "Kernel threads that belong to no processor (kdamond, kswapd, kcompactd, khugepaged, rcu_preempt, jbd2) run wherever they find \
          room, on a pinned processor too.",
    cost: "The pinned thread waits until one has done its work: with a busy one 1 % of its time, up to 8 ms at once.",
    shown: Shown::Measured(
        "in a virtual machine a spinning thread stood ready without its processor for 103 ms in 10 s, with kdamond.0 elsewhere for 10 ms",
    ),
    way: Way::Running,
    takes: Takes::Nothing,
    judge: kernel_threads,
};

/// Kernel threads told by name at most.
const NAMES_MAX: usize = 3;

/// Those of `now` that are left for everything else; all that are, when `now` has none of them.
fn left(now: &Cores, others: &Cores) -> Cores {
    Some(now.and(others)).filter(|left| !left.is_empty()).unwrap_or_else(|| others.clone())
}

fn kernel_threads(look: &Look<'_>) -> Result<Judgement, Verdict> {
    let (pinned, others) = (pinned(look)?, others(look)?);
    let movable = Thread::movable(look.host);
    if movable.is_empty() {
        return Err(Verdict::Unknown(
            "no kernel thread can be seen here: look from outside of the container".into(),
        ));
    }
    let (mut settings, mut found) = (Vec::new(), Vec::new());
    for thread in &movable {
        let knob = Knob::thread(thread);
        // It may have ended meanwhile.
        let Ok(now) = knob.read(look.host) else { continue };
        let allowed: Cores = now.parse()?;
        if !allowed.and(pinned).is_empty() {
            settings.push(Setting { knob, now, wanted: left(&allowed, &others).to_string() });
            found.push(thread);
        }
    }
    found.sort_by_key(|thread| std::cmp::Reverse(thread.busy_ticks));
    let mut now = format!("{} of {} may run on pinned cores", found.len(), movable.len());
    if !found.is_empty() {
        let busiest: Vec<&str> = found.iter().take(NAMES_MAX).map(|thread| &*thread.name).collect();
        now += &format!(", busiest: {}", busiest.join(", "));
    }
    Ok(Judgement::by_settings(now, "none", settings))
}

/// The interrupts of the card, by number.
fn of_card(look: &Look<'_>, card: &str) -> Vec<u32> {
    // A virtio card is a child of the PCI device that has the interrupts.
    let folders = ["device/msi_irqs", "device/../msi_irqs"];
    let names = folders.iter().map(|folder| look.host.names(&format!("/sys/class/net/{card}/{folder}")));
    names.filter(|names| !names.is_empty()).take(1).flatten().filter_map(|name| name.parse().ok()).collect()
}

/// What takes an interrupt has a folder in the interrupt's own: the others come to nobody.
fn is_taken(look: &Look<'_>, number: u32) -> bool {
    let folder = format!("/proc/irq/{number}");
    look.host.names(&folder).iter().any(|name| look.host.path(&format!("{folder}/{name}")).is_dir())
}

/// The interrupts that may come to a pinned processor.
#[derive(Default)]
struct Moves {
    /// Those that can be moved, and where to.
    settings: Vec<Setting>,
    /// Those that the kernel manages itself, and that do come to a pinned processor.
    held: usize,
}

impl Moves {
    fn of(look: &Look<'_>, numbers: &[u32], to: &Cores) -> Result<Self, Verdict> {
        let pinned = pinned(look)?;
        let mut moves = Self::default();
        for number in numbers {
            let path = format!("/proc/irq/{number}/smp_affinity_list");
            let now: Cores = look.host.read(&path)?.parse()?;
            if now.and(pinned).is_empty() {
                continue;
            }
            if !look.host.is_writable(&path) {
                // A kernel that does not tell where it comes may let it come anywhere.
                let effective = look.host.read(&format!("/proc/irq/{number}/effective_affinity_list"));
                let effective: Cores = effective.map_or(Ok(now), |list| list.parse())?;
                moves.held += usize::from(!effective.and(pinned).is_empty());
                continue;
            }
            let knob = Knob::File { path, shape: Shape::List };
            moves.settings.push(super::setting(look, knob, left(&now, to))?);
        }
        Ok(moves)
    }

    fn judgement(self, numbers: &[u32], wanted: impl Into<String>) -> Judgement {
        let on_pinned = self.settings.iter().filter(|setting| setting.knob != default_affinity()).count();
        let mut now = format!("{} of {} on pinned cores", on_pinned + self.held, numbers.len());
        if self.held == 0 {
            return Judgement::by_settings(now, wanted, self.settings);
        }
        now += &format!(", {} held by the kernel", self.held);
        let judgement = Judgement { settings: self.settings, ..Judgement::of(false, now, wanted) };
        judgement.how("kernel command line: isolcpus=managed_irq,... for those that the kernel holds")
    }
}

/// Where interrupts come to that are made later.
fn default_affinity() -> Knob {
    Knob::File { path: "/proc/irq/default_smp_affinity".into(), shape: Shape::Mask }
}

fn other_interrupts(look: &Look<'_>) -> Result<Judgement, Verdict> {
    let others = others(look)?;
    let of_card = interface(look).map(|card| of_card(look, card)).unwrap_or_default();
    let numbers = look.host.names("/proc/irq").into_iter().filter_map(|name| name.parse().ok());
    let numbers: Vec<u32> =
        numbers.filter(|number| !of_card.contains(number) && is_taken(look, *number)).collect();
    let mut moves = Moves::of(look, &numbers, &others)?;
    let new = super::setting(look, default_affinity(), others.to_mask())?;
    if !Cores::from_mask(&new.now)?.and(pinned(look)?).is_empty() {
        moves.settings.push(new);
    }
    Ok(moves.judgement(&numbers, "none, new ones neither"))
}

fn card_interrupts(look: &Look<'_>) -> Result<Judgement, Verdict> {
    let (card, others) = (card(look)?, others(look)?);
    let node = look.host.number(&format!("/sys/class/net/{card}/device/numa_node")).unwrap_or(-1);
    let near = nodes(look)?.into_iter().find(|(number, _)| i64::from(*number) == node);
    let near = near.map(|(_, cores)| cores.and(&others)).filter(|cores| !cores.is_empty()).unwrap_or(others);
    let numbers = of_card(look, card);
    if numbers.is_empty() {
        return Err(Verdict::Unknown(format!("the interrupts of {card} are not told by its driver")));
    }
    Ok(Moves::of(look, &numbers, &near)?.judgement(&numbers, format!("all on {near}")))
}
