//! What ethtool tells of the card: rings, coalescing, pause frames, offloads.
use super::card;
use crate::ethtool::{self, Value};
use crate::item::{Family, Item, Judgement, Look, Setting, Shown, Takes, Verdict, Way};
use crate::knob::Knob;
use std::collections::BTreeMap;

/// Receive ring
pub static RINGS: Item = Item {
    key: "rings",
    title: "receive ring",
    family: Family::Card,
    why: "Packets that come while nobody looks wait in the card's ring. (Setting it takes the link down for a moment on some cards: not \
          while a node runs.)",
    cost: "A burst longer than the ring is lost and has to be asked for again: a gap of 100 us and more instead of none.",
    shown: Shown::Function("what does not fit is dropped (rx_missed_errors)"),
    way: Way::Running,
    takes: Takes::Number(64, 65_536),
    judge: |look| {
        let card = card(look)?;
        let values = values(look, card, ethtool::Family::Rings)?;
        let Some(ring) = values.get("rx") else {
            return Err(Verdict::Irrelevant(format!("the driver of {card} tells of no ring")));
        };
        let now: u64 = ring.now.parse().unwrap_or_default();
        let wanted = look.number().min(ring.most.unwrap_or(u64::MAX)).max(now);
        let setting = of(card, ethtool::Family::Rings, "rx", &values, &wanted.to_string());
        let most = ring.most.map_or(String::new(), |most| format!(" of {most}"));
        Ok(Judgement::by_settings(format!("{now}{most}"), wanted.to_string(), setting.into_iter().collect()))
    },
};

/// Interrupt coalescing
pub static COALESCING: Item = Item {
    key: "coalescing",
    title: "interrupt coalescing",
    family: Family::Card,
    why: "A card that puts interrupts together lets a packet wait for others before it tells the host.",
    cost: "As long as it waits: 3 to 250 us on every packet that comes alone.",
    shown: Shown::Published(
        "Linux 78cb421d185c, the ena driver: adaptive moderation off for latency; NVIDIA, Mellanox tuning guide",
    ),
    way: Way::Running,
    takes: Takes::Number(0, 10_000),
    judge: coalescing,
};

/// Pause frames
pub static PAUSE: Item = Item {
    key: "flow_control",
    title: "flow control",
    family: Family::Card,
    why: "With pause frames a card that is behind stops the switch's port, and the other way round. Without, packets are lost instead.",
    cost: "One slow receiver can hold up a port and what queues behind it; GDS fills gaps by itself.",
    shown: Shown::Nobody,
    way: Way::Running,
    takes: Takes::Word(&["on", "off"]),
    judge: |look| settings(look, ethtool::Family::Pause, &["rx", "tx"]),
};

/// Offloads
pub static OFFLOADS: Item = Item {
    key: "receive_offloads",
    title: "GRO and LRO",
    family: Family::Card,
    why: "GRO hands a burst of packets over in one piece, which GDS asks for ([network] segmentation). LRO does it in the card, for TCP \
          only, and loses where the packets began.",
    cost: "Without GRO each packet of a burst goes through the stack by itself; GRO does nothing for packets that come alone.",
    shown: Shown::Nobody,
    way: Way::Running,
    takes: Takes::Word(&["on", "off"]),
    judge: |look| {
        let card = card(look)?;
        let values = values(look, card, ethtool::Family::Features)?;
        let set = |name, wanted| of(card, ethtool::Family::Features, name, &values, wanted);
        let found: Vec<Setting> =
            [set("gro", look.word()), set("lro", "off")].into_iter().flatten().collect();
        Ok(together(found))
    },
};

/// What ethtool shows of one family.
pub fn values(
    look: &Look<'_>,
    card: &str,
    family: ethtool::Family,
) -> Result<BTreeMap<String, Value>, Verdict> {
    let error = match look.host.run("ethtool", &[family.show(), card]) {
        Ok(text) => return Ok(ethtool::parse(family, &text)),
        Err(error) => error,
    };
    let text = error.to_string();
    let lacks = ["not supported", "No such device", "no data"].iter().any(|says| text.contains(says));
    Err(if lacks {
        Verdict::Irrelevant(format!("the driver of {card} has none of it"))
    } else {
        error.into()
    })
}

/// A setting that the card has and lets be changed, or that is right already.
pub fn of(
    card: &str,
    family: ethtool::Family,
    name: &str,
    values: &BTreeMap<String, Value>,
    wanted: &str,
) -> Option<Setting> {
    let value = values.get(name)?;
    let changeable = !value.fixed || value.now == wanted;
    let knob = Knob::card(card, family, name);
    changeable.then(|| Setting { knob, now: value.now.clone(), wanted: wanted.to_owned() })
}

fn coalescing(look: &Look<'_>) -> Result<Judgement, Verdict> {
    let card = card(look)?;
    let family = ethtool::Family::Coalescing;
    let values = values(look, card, family)?;
    let set = |name, wanted: &str| of(card, family, name, &values, wanted);
    let found = [set("adaptive-rx", "off"), set("rx-usecs", &look.number().to_string())];
    Ok(together(found.into_iter().flatten().collect()))
}

/// All of these as the profile says.
fn settings(look: &Look<'_>, family: ethtool::Family, names: &[&str]) -> Result<Judgement, Verdict> {
    let card = card(look)?;
    let values = values(look, card, family)?;
    let found = names.iter().filter_map(|name| of(card, family, name, &values, look.word()));
    Ok(together(found.collect()))
}

/// A judgement of several settings, each with its name.
fn together(settings: Vec<Setting>) -> Judgement {
    let list = |value: fn(&Setting) -> &str| {
        let name = |setting: &Setting| match &setting.knob {
            Knob::Card { name, .. } => name.clone(),
            other => other.to_string(),
        };
        let words: Vec<String> = settings.iter().map(|s| format!("{} {}", name(s), value(s))).collect();
        words.join(", ")
    };
    if settings.is_empty() {
        return Judgement::bare(Verdict::Irrelevant("the driver lets none of it be changed".into()));
    }
    Judgement::by_settings(list(|setting| &setting.now), list(|setting| &setting.wanted), settings)
}
