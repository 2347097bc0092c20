//! The card's queues: how many, which packets come to which, and when the kernel looks at them.
use super::{card, interface, one, pinned};
use crate::cores::Cores;
use crate::ethtool;
use crate::item::{Family, Item, Judgement, Look, Setting, Shown, Takes, Verdict, Way};
use crate::items::card::{of, values};
use crate::knob::{Knob, Shape};

const SCALING: &str = "docs.kernel.org, networking/scaling";

/// Queues
pub static CHANNELS: Item = Item {
    key: "channels",
    title: "queues",
    family: Family::Card,
    why: "An AF_XDP socket sees one queue: with one queue it sees everything; with several, steering has to bring our packets to it. \
          (Changing it makes all queues anew: by hand, not while a node runs.)",
    cost: "Packets that come to another queue take the slow road through the kernel, or spread over processors and caches.",
    shown: Shown::Function("an AF_XDP socket is bound to one queue"),
    way: Way::Hand,
    takes: Takes::Number(1, 1_024),
    judge: |look| {
        let card = card(look)?;
        let values = values(look, card, ethtool::Family::Channels)?;
        let Some(queues) = values.get("combined").or(values.get("rx")) else {
            return Err(Verdict::Irrelevant(format!("the driver of {card} tells of no queues")));
        };
        let name = if values.contains_key("combined") { "combined" } else { "rx" };
        let wanted = look.number().min(queues.most.unwrap_or(u64::MAX)).to_string();
        let judgement = Judgement::of(queues.now == wanted, &*queues.now, &*wanted);
        Ok(judgement.how(format!("ethtool -L {card} {name} {wanted}, or steer our groups to one queue")))
    },
};

/// Steering rules
pub static STEERING: Item = Item {
    key: "steering",
    title: "steering of our groups",
    family: Family::Card,
    why: "A rule in the card brings a group's packets to one queue, so that one AF_XDP socket, or one processor, has them all.",
    cost: "Without, the card spreads them by a hash of addresses and ports, and what comes to another queue is not seen by AF_XDP.",
    shown: Shown::Function("an AF_XDP socket is bound to one queue"),
    way: Way::Running,
    takes: Takes::Number(0, 1_023),
    judge: steering,
};

/// Receive packet steering
pub static RECEIVE: Item = Item {
    key: "receive_steering",
    title: "RPS",
    family: Family::Card,
    why: "RPS hands packets from the processor of the interrupt to another one, by software.",
    cost: "An interrupt between processors and a cold cache for every packet: 1 to 5 us.",
    shown: Shown::Published(SCALING),
    way: Way::Running,
    takes: Takes::Nothing,
    judge: |look| {
        let card = card(look)?;
        let settings = masks(look, card, "rx-", "rps_cpus", &Cores::default())?;
        let on = settings.iter().filter(|setting| !setting.is_right()).count();
        Ok(Judgement::by_settings(format!("on {on} of {} queues", settings.len()), "off", settings))
    },
};

/// Transmit packet steering
pub static SEND: Item = Item {
    key: "send_steering",
    title: "XPS",
    family: Family::Card,
    why: "XPS gives each processor its own queue for sending; a pinned one that is in no queue's mask takes any.",
    cost: "A lock and a cache line shared with others at each sending: some 100 ns when both send at once.",
    shown: Shown::Nobody,
    way: Way::Hand,
    takes: Takes::Nothing,
    judge: |look| {
        let (card, pinned) = (card(look)?, pinned(look)?);
        let queues = masks(look, card, "tx-", "xps_cpus", &Cores::default())?;
        let masks: Vec<Cores> =
            queues.iter().map(|queue| Cores::from_mask(&queue.now)).collect::<Result<_, _>>()?;
        let served: Cores = masks.iter().flat_map(Cores::iter).collect();
        // No mask at all: the kernel chooses by a hash, the same for every processor.
        let right = served.is_empty() || served.covers(pinned);
        let now = if served.is_empty() { "not used".to_owned() } else { format!("cores {served}") };
        let judgement = Judgement::of(right, now, format!("not used, or cores {pinned}"));
        Ok(judgement.how(format!("echo MASK > /sys/class/net/{card}/queues/tx-0/xps_cpus")))
    },
};

/// `napi_defer_hard_irqs`
pub static DEFERRED: Item = Item {
    key: "deferred_interrupts",
    title: "deferred interrupts",
    family: Family::Card,
    why: "How often the kernel looks at a queue that was empty before it turns the card's interrupt on again (napi_defer_hard_irqs). For \
          busy polling on a real card; never on veth.",
    cost: "With no one polling, each packet waits for gro_flush_timeout: on veth a round trip took 235 us.",
    shown: Shown::Measured("AF_XDP on veth, 235 us a round trip with it"),
    way: Way::Running,
    takes: Takes::Number(0, 1_000),
    judge: |look| napi(look, "napi_defer_hard_irqs"),
};

/// `gro_flush_timeout`
pub static FLUSH: Item = Item {
    key: "flush_timeout",
    title: "flush timeout, ns",
    family: Family::Card,
    why: "How long a packet may lie in GRO, or a queue wait for busy polling, until a timer looks after it (gro_flush_timeout). Never on veth.",
    cost: "With no one polling, that long for each packet; 0 for ever where busy polling counts on it.",
    shown: Shown::Measured("AF_XDP on veth, 235 us a round trip with it"),
    way: Way::Running,
    takes: Takes::Number(0, 10_000_000),
    judge: |look| napi(look, "gro_flush_timeout"),
};

/// Not a card: whatever the profile says, 0.
fn napi(look: &Look<'_>, name: &str) -> Result<Judgement, Verdict> {
    let interface = interface(look)?;
    let wanted = if card(look).is_ok() { look.number() } else { 0 };
    one(look, Knob::text(format!("/sys/class/net/{interface}/{name}")), wanted)
}

/// One mask for each queue of a kind.
fn masks(
    look: &Look<'_>,
    card: &str,
    kind: &str,
    file: &str,
    wanted: &Cores,
) -> Result<Vec<Setting>, Verdict> {
    let folder = format!("/sys/class/net/{card}/queues");
    let queues = look.host.names(&folder).into_iter().filter(|name| name.starts_with(kind));
    let knob = |queue| Knob::File { path: format!("{folder}/{queue}/{file}"), shape: Shape::Mask };
    queues.map(|queue| super::setting(look, knob(queue), wanted.to_mask())).collect()
}

fn steering(look: &Look<'_>) -> Result<Judgement, Verdict> {
    let card = card(look)?;
    let queues = look.host.names(&format!("/sys/class/net/{card}/queues"));
    if queues.iter().filter(|name| name.starts_with("rx-")).count() < 2 {
        return Err(Verdict::Irrelevant("one queue: everything comes to it".into()));
    }
    let features = values(look, card, ethtool::Family::Features)?;
    let Some(filters) = of(card, ethtool::Family::Features, "ntuple", &features, "on") else {
        return Err(Verdict::Irrelevant(format!("{card} cannot steer by address")));
    };
    let ready = filters.is_right();
    let mut settings = vec![filters];
    for (group, port) in look.wanted.flows.iter().copied() {
        let knob = Knob::Steering { interface: card.to_owned(), group, port };
        let now = if ready { knob.read(look.host)? } else { crate::knob::NONE.to_owned() };
        settings.push(Setting { knob, now, wanted: look.number().to_string() });
    }
    let there = settings[1..].iter().filter(|setting| setting.is_right()).count();
    let now = format!("{there} of {} to queue {}", settings.len() - 1, look.number());
    Ok(Judgement::by_settings(now, format!("all to queue {}", look.number()), settings))
}
