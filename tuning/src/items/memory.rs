//! Pages.
use super::{at_least, nodes, pinned};
use crate::item::{Family, Item, Judgement, Look, Setting, Shown, Takes, Verdict, Way};
use crate::knob::{Knob, Shape};

const HUGEPAGE_BYTES: u64 = 2 << 20;

/// 2 MiB pages
pub static HUGEPAGES: Item = Item {
    key: "hugepages",
    title: "hugepages of 2 MiB",
    family: Family::Memory,
    why: "The ring, the index and the record log are touched at random: on ordinary pages nearly every touch needs a page walk first. On \
          the pinned processors' own NUMA node.",
    cost: "A page walk costs 20 to 100 ns, several for each message; in a virtual machine, where pages are looked up twice, more.",
    shown: Shown::Measured(
        "random reads over 512 MiB in a virtual machine, 270 ns on ordinary pages, 180 ns on hugepages",
    ),
    way: Way::Running,
    takes: Takes::Nothing,
    judge: hugepages,
};

/// 1 GiB pages
pub static GIGANTIC: Item = Item {
    key: "gigantic_pages",
    title: "hugepages of 1 GiB",
    family: Family::Memory,
    why: "GDS takes pages of 2 MiB; memory set apart as pages of 1 GiB is lost for it, and can hardly be given back while the host runs.",
    cost: "The node may find too little memory although the host has enough.",
    shown: Shown::Function("GDS asks for no such pages"),
    way: Way::Boot,
    takes: Takes::Nothing,
    judge: |look| {
        let pages = look.host.number("/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages")?;
        let judgement = Judgement::of(pages == 0, pages.to_string(), "0");
        Ok(judgement.how(
            "take hugepagesz=1G hugepages=... off the kernel command line, unless something else uses them",
        ))
    },
};

/// Transparent hugepages
pub static TRANSPARENT: Item = Item {
    key: "transparent_hugepages",
    title: "transparent hugepages",
    family: Family::Memory,
    why: "With `always`, the kernel makes hugepages of any memory of any process behind its back; with `madvise`, of that for which GDS asks.",
    cost: "Moving memory together stalls whoever touches it: hundreds of microseconds.",
    shown: Shown::Published("redis.io, latency: the same stalls in another store"),
    way: Way::Running,
    takes: Takes::Word(&["always", "madvise", "never"]),
    judge: |look| {
        let path = "/sys/kernel/mm/transparent_hugepage/enabled".to_owned();
        super::one(look, Knob::File { path, shape: Shape::Choice }, look.word())
    },
};

/// Swapping
pub static SWAPPINESS: Item = Item {
    key: "swappiness",
    title: "swappiness",
    family: Family::Memory,
    why: "How willingly the kernel swaps out memory of processes to keep files cached; a journal fills that cache all day.",
    cost: "A page that was swapped out is read back from disk at its next touch: milliseconds. Hugepages are never swapped out.",
    shown: Shown::Nobody,
    way: Way::Running,
    takes: Takes::Number(0, 200),
    judge: |look| {
        let swaps = look.host.read("/proc/swaps")?;
        if swaps.lines().count() < 2 {
            return Err(Verdict::Irrelevant("this host has no swap space".into()));
        }
        super::one(look, Knob::text("/proc/sys/vm/swappiness"), look.number())
    },
};

fn hugepages(look: &Look<'_>) -> Result<Judgement, Verdict> {
    let pages = look.wanted.memory_bytes.div_ceil(HUGEPAGE_BYTES);
    if pages == 0 {
        return Err(Verdict::Irrelevant("how much memory the node takes was not told (--config)".into()));
    }
    let nodes = nodes(look)?;
    let home = pinned(look).ok().and_then(|pinned| nodes.iter().find(|(_, cores)| cores.covers(pinned)));
    let (path, place) = match home {
        Some((node, _)) if nodes.len() > 1 => (
            format!("/sys/devices/system/node/node{node}/hugepages/hugepages-2048kB/nr_hugepages"),
            format!(" on node {node}"),
        ),
        _ => ("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages".to_owned(), String::new()),
    };
    let setting = at_least(look, &path, pages)?;
    let wanted = format!("{} or more{place}", pages);
    let now = format!("{}{place}", setting.now);
    if !setting.is_right() && !fits(look, &setting)? {
        let judgement = Judgement::of(false, now, wanted);
        return Ok(judgement
            .how("less than twice that is free on this host: more memory, or lower [limits] and [ring]"));
    }
    Ok(Judgement::by_settings(now, wanted, vec![setting]))
}

/// Would at least as much memory again stay free for everything else?
fn fits(look: &Look<'_>, setting: &Setting) -> Result<bool, Verdict> {
    let about = look.host.read("/proc/meminfo")?;
    let line = about.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    let kib = kib.ok_or_else(|| Verdict::Unknown("/proc/meminfo does not say what is available".into()))?;
    let number = |text: &str| text.parse::<u64>().unwrap_or_default();
    let more = number(&setting.wanted).saturating_sub(number(&setting.now));
    Ok(more.saturating_mul(HUGEPAGE_BYTES) / 1024 <= kib / 2)
}
