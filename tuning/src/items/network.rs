//! The kernel's network stack: buffers, multicast, busy polling.
use super::{at_least, interface, setting};
use crate::item::{Family, Item, Judgement, Look, Setting, Shown, Takes, Verdict, Way};
use crate::knob::Knob;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// Busy polling
pub static BUSY_POLLING: Item = Item {
    key: "busy_polling",
    title: "busy polling, us",
    family: Family::Network,
    why: "A receive call that finds nothing looks at the card itself for so many microseconds before it gives up (net.core.busy_read, busy_poll).",
    cost: "The packet waits for the interrupt and for the kernel's turn: 5 to 10 us on a card that can be polled.",
    shown: Shown::Published(
        "Linux documentation, sysctl/net: 50 recommended; commit messages of io_uring NAPI: 42 to 32 us a round trip",
    ),
    way: Way::Running,
    takes: Takes::Number(0, 1_000),
    judge: |look| {
        let knob = |name| Knob::text(format!("/proc/sys/net/core/{name}"));
        let number = look.number();
        pair(
            "read",
            setting(look, knob("busy_read"), number)?,
            "poll",
            setting(look, knob("busy_poll"), number)?,
        )
    },
};

/// Socket buffers
pub static BUFFERS: Item = Item {
    key: "socket_buffers",
    title: "socket buffers, bytes",
    family: Family::Network,
    why: "What the kernel gives a socket at most (rmem_max, wmem_max), unless it has CAP_NET_ADMIN.",
    cost: "A stall of the reader that the buffer could have bridged becomes a gap, and has to be filled over the network.",
    shown: Shown::Function("packets that do not fit are dropped (RcvbufErrors)"),
    way: Way::Running,
    takes: Takes::Nothing,
    judge: |look| {
        let (receive, send) = (look.wanted.receive_buffer_bytes, look.wanted.send_buffer_bytes);
        let receive = at_least(look, "/proc/sys/net/core/rmem_max", receive)?;
        let send = at_least(look, "/proc/sys/net/core/wmem_max", send)?;
        pair("r", receive, "w", send)
    },
};

/// IGMP limits
pub static MEMBERSHIPS: Item = Item {
    key: "igmp_limits",
    title: "IGMP limits",
    family: Family::Network,
    why: "How many groups a socket may join (igmp_max_memberships), and how many sources it may name for each (igmp_max_msf).",
    cost: "The node does not start: the group beyond the limit is refused.",
    shown: Shown::Function("the join is refused with ENOBUFS"),
    way: Way::Running,
    takes: Takes::Number(1, 1_024),
    judge: |look| {
        let groups: BTreeSet<Ipv4Addr> = look.wanted.flows.iter().map(|(group, _)| *group).collect();
        let groups = at_least(look, "/proc/sys/net/ipv4/igmp_max_memberships", groups.len() as u64)?;
        let sources = at_least(look, "/proc/sys/net/ipv4/igmp_max_msf", look.number())?;
        pair("groups", groups, "sources", sources)
    },
};

/// Reverse path filter
pub static REVERSE_PATH: Item = Item {
    key: "reverse_path_filter",
    title: "reverse path filter",
    family: Family::Network,
    why: "The strict filter (1) drops packets whose source has its route elsewhere: feeds often come from networks that have no route here.",
    cost: "All packets of such a feed are dropped without a word.",
    shown: Shown::Function("packets are dropped (IPReversePathFilter)"),
    way: Way::Running,
    takes: Takes::Nothing,
    judge: |look| {
        let interface = interface(look)?;
        let path = |name: &str| format!("/proc/sys/net/ipv4/conf/{name}/rp_filter");
        let all = look.host.number(&path("all"))?;
        let own = setting(look, Knob::text(path(interface)), 2)?;
        // The kernel goes by the larger of both: 2 (loose) here outdoes a 1 there.
        let effective = all.max(own.now.parse().unwrap_or_default());
        let word = |filter: i64| match filter {
            0 => "off",
            1 => "strict",
            _ => "loose",
        };
        let settings = if effective == 1 { vec![own] } else { Vec::new() };
        Ok(Judgement::by_settings(word(effective), "off or loose", settings))
    },
};

/// Multicast
pub static MULTICAST: Item = Item {
    key: "multicast",
    title: "multicast interfaces",
    family: Family::Network,
    why: "The node's interface must be up and take multicast; a group that another interface has joined, too, is received twice. (GDS's \
          own sockets turn off IP_MULTICAST_ALL: they see nothing that they did not join.)",
    cost: "No packet at all, or each one twice, where the second is thrown away after it was paid for.",
    shown: Shown::Function("without the flag the kernel refuses the join"),
    way: Way::Hand,
    takes: Takes::Nothing,
    judge: multicast,
};

fn pair(one: &str, first: Setting, other: &str, second: Setting) -> Result<Judgement, Verdict> {
    let list = |value: fn(&Setting) -> &str| format!("{one} {}, {other} {}", value(&first), value(&second));
    let (now, wanted) = (list(|setting| &setting.now), list(|setting| &setting.wanted));
    Ok(Judgement::by_settings(now, wanted, vec![first, second]))
}

fn multicast(look: &Look<'_>) -> Result<Judgement, Verdict> {
    const UP: u64 = 0x1;
    const LOOPBACK: u64 = 0x8;
    const MULTICAST: u64 = 0x1000;
    let interface = interface(look)?;
    let flags = look.host.read(&format!("/sys/class/net/{interface}/flags"))?;
    let flags = flags.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok());
    let flags = flags.ok_or_else(|| Verdict::Unknown(format!("the flags of {interface} are no number")))?;
    let up = flags & UP != 0;
    // Loopback delivers multicast without the flag.
    let takes = flags & (MULTICAST | LOOPBACK) != 0;
    let groups: BTreeSet<Ipv4Addr> = look.wanted.flows.iter().map(|(group, _)| *group).collect();
    let joined = joined(&look.host.read("/proc/net/igmp")?);
    let elsewhere: BTreeSet<String> = joined
        .into_iter()
        .filter(|(name, group)| name != interface && groups.contains(group))
        .map(|(name, _)| name)
        .collect();
    let mut now =
        [if up { "up" } else { "down" }, if takes { "multicast" } else { "no multicast" }].join(", ");
    let names: Vec<&str> = elsewhere.iter().map(String::as_str).collect();
    if !names.is_empty() {
        now += &format!("; ours on {}", names.join(","));
    }
    let judgement = Judgement::of(up && takes && names.is_empty(), now, "up, multicast");
    Ok(judgement
        .how(format!("ip link set {interface} up multicast on"))
        .how("end whatever has joined our groups on another interface (ip maddress)"))
}

/// Interfaces and the groups joined on them, from `/proc/net/igmp`.
fn joined(text: &str) -> Vec<(String, Ipv4Addr)> {
    let mut found = Vec::new();
    let mut interface = String::new();
    for line in text.lines().skip(1) {
        let mut words = line.split_whitespace();
        match words.next() {
            Some(index) if !line.starts_with([' ', '\t']) && index.bytes().all(|b| b.is_ascii_digit()) => {
                interface = words.next().unwrap_or_default().trim_end_matches(':').to_owned();
            }
            Some(group) if group.len() == 8 => {
                // As it lies in memory.
                found.extend(
                    u32::from_str_radix(group, 16).map(|word| (interface.clone(), word.to_ne_bytes().into())),
                );
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memberships_are_read_by_interface() {
        let text = "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n1\tlo        :     1      V3\n\
\t\t\t\t010000E0     1 0:00000000\t\t0\n2\teth0      :     2      V3\n\t\t\t\t0107C0EF     1 0:00000000\t\t0\n";
        let expected = [
            ("lo".to_owned(), Ipv4Addr::new(224, 0, 0, 1)),
            ("eth0".to_owned(), Ipv4Addr::new(239, 192, 7, 1)),
        ];
        assert_eq!(joined(text), expected);
        assert!(joined("").is_empty() && joined("x\n\t12345678").len() == 1);
    }
}
