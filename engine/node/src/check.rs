//! What a configuration must satisfy, each rule once. A finding names key, value and what would do.
use crate::config::{AgentName, Cluster, Config, Etcd, Gap, Idle, Peer, SchemaKind, TableRight, Transport};
use crate::settings;
use gds_core::bus::sessions::SESSIONS_MAX;
use gds_core::journal::GROUP_BYTES_MAX;
use gds_core::replication::NODES_MAX;
use gds_core::snapshot::CHUNK_BYTES;
use gds_register::RegisterConfig;
use gds_wire::declaration::TableName;
use gds_wire::envelope::max_block_bytes;
use gds_wire::session::{Session, SessionPattern};
use std::collections::BTreeSet;
use std::fmt::Display;
use std::net::Ipv4Addr;

/// Everything wrong with `config`; empty when nothing is.
pub fn findings(config: &Config) -> Vec<String> {
    let mut found = Findings::default();
    stream(config, &mut found);
    network(config, &mut found);
    tables(config, &mut found);
    admission(config, &mut found);
    sizes(config, &mut found);
    users(config, &mut found);
    if config.cluster.node > 0 {
        cluster(config, &mut found);
    }
    layout(config, &mut found);
    if found.0.is_empty() {
        // These compute with values that are known to be possible by now.
        declaration(config, &mut found);
        retained(config, &mut found);
    }
    found.0
}

#[derive(Default)]
struct Findings(Vec<String>);

impl Findings {
    fn unless(&mut self, holds: bool, key: impl Display, value: impl Display, what_would_do: impl Display) {
        if !holds {
            self.0.push(format!("{key} = {value}: {what_would_do}"));
        }
    }

    fn range<T: PartialOrd + Display>(&mut self, key: &str, value: T, low: T, high: T) {
        let holds = value >= low && value <= high;
        self.unless(holds, key, value, format!("must be {low} to {high}"));
    }
}

fn stream(config: &Config, found: &mut Findings) {
    let session = &config.stream.session;
    let valid = session.is_empty() || Session::padded(session).is_some();
    found.unless(valid, "stream.session", format!("{session:?}"), "up to ten ASCII characters, or empty");
    found.unless(
        !config.stream.directory.as_os_str().is_empty(),
        "stream.directory",
        "\"\"",
        "must name a folder, such as \"gds-data\"",
    );
}

fn network(config: &Config, found: &mut Findings) {
    let network = &config.network;
    found.range("network.max_payload_bytes", network.max_payload_bytes, 576, 3_900);
    let single =
        network.node.parse().is_ok_and(|node: Ipv4Addr| !node.is_multicast() && !node.is_unspecified());
    found.unless(
        network.node.is_empty() || single,
        "network.node",
        format!("{:?}", network.node),
        "the node's IPv4 address, such as \"10.0.0.5\", or empty where it is on this host",
    );
    found.unless(
        !network.ingress_groups.is_empty() && network.ingress_groups.len() <= 16,
        "network.ingress_groups",
        format!("{} groups", network.ingress_groups.len()),
        "name 1 to 16 multicast groups",
    );
    let own = [
        ("network.downstream_group", network.downstream_group),
        ("network.acknowledgement_group", network.acknowledgement_group),
    ];
    let ingress = network.ingress_groups.iter().map(|group| ("network.ingress_groups", *group));
    for (key, group) in ingress.chain(own) {
        found.unless(
            group.is_multicast(),
            key,
            group,
            "must be a multicast address, 224.0.0.0 to 239.255.255.255",
        );
    }
    let rewinders = &network.rewinders;
    found.unless(rewinders.len() <= 16, "network.rewinders", rewinders.len(), "at most 16");
    for rewinder in rewinders {
        let single = !rewinder.ip().is_multicast() && !rewinder.ip().is_unspecified() && rewinder.port() != 0;
        found.unless(single, "network.rewinders", rewinder, "the IPv4 address and UDP port of one rewinder");
    }
    let mut seen = BTreeSet::new();
    let udp = [
        ("network.ingress_port", network.ingress_port),
        ("network.downstream_port", network.downstream_port),
        ("network.acknowledgement_port", network.acknowledgement_port),
        ("network.rewinder_port", network.rewinder_port),
    ];
    let Cluster { node, port, history_port, .. } = config.cluster;
    let of_a_cluster = [("cluster.port", port), ("cluster.history_port", history_port)];
    for (key, port) in udp.into_iter().chain(of_a_cluster.into_iter().filter(|_| node > 0)) {
        found.unless(port != 0, key, port, "must be 1 to 65535");
        found.unless(seen.insert(port), key, port, "each UDP port of a node must be another one");
    }
    found.unless(network.query_port != 0, "network.query_port", 0, "must be 1 to 65535");
    let shared = node > 0 && history_port == network.query_port;
    found.unless(
        !shared,
        "cluster.history_port",
        history_port,
        "snapshots are given there over TCP: network.query_port must be another one",
    );
    af_xdp(config, found);
}

/// What can be said of AF_XDP without a look at the interface.
fn af_xdp(config: &Config, found: &mut Findings) {
    if let Err(what) = settings::xdp(config).check() {
        found.0.push(format!("network.af_xdp.{what}"));
    }
    let network = &config.network;
    found.unless(
        network.transport != Transport::AfXdp || !settings::is_loopback(config),
        "network.transport",
        "\"af_xdp\"",
        format!(
            "not on the loopback interface (network.interface = {:?}): name a network interface, or take \"auto\"",
            network.interface
        ),
    );
}

fn tables(config: &Config, found: &mut Findings) {
    let (mut ids, mut names) = (BTreeSet::new(), BTreeSet::new());
    found.unless(config.table.len() <= 1024, "table", config.table.len(), "at most 1024 tables");
    for table in &config.table {
        found.unless(
            table.id > 0 && ids.insert(table.id),
            "table.id",
            table.id,
            "must be 1 to 65535, each once",
        );
        let fits = table.name.parse::<TableName>().is_ok();
        found.unless(
            fits,
            "table.name",
            format!("{:?}", table.name),
            "1 to 16 ASCII characters without a space",
        );
        let once = names.insert(&table.name);
        found.unless(once, "table.name", format!("{:?}", table.name), "each name once");
    }
    for schema in &config.schema {
        pattern("schema.pattern", &schema.pattern, found);
        if schema.schema == SchemaKind::Itch50 {
            let next = schema.table.checked_add(1);
            let there = ids.contains(&schema.table) && next.is_some_and(|next| ids.contains(&next));
            found.unless(
                there,
                "schema.table",
                schema.table,
                "itch50 keeps orders in this table and stocks in the next: declare both as [[table]]",
            );
        }
    }
    found.unless(config.schema.len() <= 256, "schema", config.schema.len(), "at most 256");
}

/// What the parts are together: one declaration, in one message.
fn declaration(config: &Config, found: &mut Findings) {
    let declaration = settings::declaration(config);
    if let Err(error) = declaration.check() {
        found.0.push(format!("limits, table, schema: {error}"));
    }
    let (length, room) = (declaration.encoded_bytes(), max_block_bytes(config.network.max_payload_bytes));
    found.unless(
        length <= room,
        "table, schema",
        format!("{} and {} entries", config.table.len(), config.schema.len()),
        format!("their declaration has {length} bytes and one message {room}: fewer, or a larger network.max_payload_bytes"),
    );
}

fn pattern(key: &str, text: &str, found: &mut Findings) {
    if let Err(error) = text.parse::<SessionPattern>() {
        found.0.push(format!("{key} = {text:?}: {error}"));
    }
}

fn admission(config: &Config, found: &mut Findings) {
    for rule in &config.admission {
        pattern("admission.pattern", &rule.pattern, found);
        for source in &rule.sources {
            let valid = settings::prefix(source).is_some();
            found.unless(
                valid,
                "admission.sources",
                format!("{source:?}"),
                "write address/length, such as \"10.1.2.0/24\"",
            );
        }
        found.unless(
            settings::rerequest(&rule.rerequest).is_some(),
            "admission.rerequest",
            format!("{:?}", rule.rerequest),
            "write source, none, or address:port",
        );
        if rule.gap == Gap::Skip {
            found.range("admission.skip_after_ms", rule.skip_after_ms, 1, 3_600_000);
        }
    }
    found.unless(
        (1..=256).contains(&config.admission.len()),
        "admission",
        config.admission.len(),
        "1 to 256 rules; without any nobody may submit",
    );
}

fn sizes(config: &Config, found: &mut Findings) {
    let limits = &config.limits;
    found.range("limits.records_max", limits.records_max, 1, 1 << 36);
    found.range("limits.bytes_max", limits.bytes_max, 4096, 1 << 44);
    found.range("limits.sessions_max", limits.sessions_max, 2, SESSIONS_MAX as u32);
    found.range("limits.session_forget_messages", limits.session_forget_messages, 1, u64::MAX >> 1);
    found.range("limits.horizon_messages", limits.horizon_messages, 1, 1 << 32);
    found.range("ingress.window_messages", config.ingress.window_messages, 16, 1 << 24);
    found.range("ingress.held_packets", config.ingress.held_packets, 16, 1 << 20);
    found.range("ingress.retry_us", config.ingress.retry_us, 50, 1_000_000);
    for (key, value, low, high) in [
        ("ring.data_bytes", config.ring.data_bytes, 1 << 20, 1 << 38),
        ("ring.positions", config.ring.positions, 1 << 10, 1 << 32),
    ] {
        let holds = value.is_power_of_two() && (low..=high).contains(&value);
        found.unless(holds, key, value, format!("must be a power of two, {low} to {high}"));
    }
    let segment = config.journal.segment_bytes;
    found.unless(
        segment.is_multiple_of(4096) && (1 << 20..=1 << 36).contains(&segment),
        "journal.segment_bytes",
        segment,
        "must be a multiple of 4096, 1 MiB to 64 GiB",
    );
    let group = config.journal.group_bytes_max;
    found.unless(
        group.is_multiple_of(4096)
            && (8192..=GROUP_BYTES_MAX).contains(&group)
            && (group as u64) * 2 <= segment,
        "journal.group_bytes_max",
        group,
        "must be a multiple of 4096, 8 KiB to 1 MiB, and at most half of journal.segment_bytes",
    );
    found.range("journal.linger_us", config.journal.linger_us, 0, 1_000_000);
    let segment = config.snapshot.segment_bytes;
    found.unless(
        segment.is_multiple_of(CHUNK_BYTES as u64) && (1 << 20..=1 << 36).contains(&segment),
        "snapshot.segment_bytes",
        segment,
        format!("must be a multiple of {CHUNK_BYTES}, 1 MiB to 64 GiB"),
    );
    let keep = config.journal.keep_messages;
    found.unless(
        keep == 0 || config.snapshot.every_messages > 0,
        "journal.keep_messages",
        keep,
        "needs snapshots (snapshot.every_messages above 0): without one a start needs the whole journal",
    );
    let hold = config.journal.rewinder_hold_bytes;
    found.unless(
        hold == 0 || hold >= config.journal.segment_bytes || config.network.rewinders.is_empty(),
        "journal.rewinder_hold_bytes",
        hold,
        "must be 0 (segments wait for no rewinder) or at least journal.segment_bytes",
    );
    found.range(
        "rewinder.requester_bytes_per_second",
        config.rewinder.requester_bytes_per_second,
        10_000,
        1 << 40,
    );
    found.range("rewinder.requester_burst_bytes", config.rewinder.requester_burst_bytes, 4_096, 1 << 40);
    found.range("rewinder.requesters_max", config.rewinder.requesters_max, 1, 65_536);
    found.range("query.connections_max", config.query.connections_max, 1, 65_536);
    found.range("query.sessions_max", config.query.sessions_max, 1, 65_536);
    found.range("query.login_wait_ms", config.query.login_wait_ms, 100, 600_000);
    found.range("query.silence_ms", config.query.silence_ms, 1_500, 600_000);
    let loss = &config.loss;
    for (key, value) in [
        ("loss.ingress_per_mille", loss.ingress_per_mille),
        ("loss.downstream_per_mille", loss.downstream_per_mille),
        ("loss.acknowledgement_per_mille", loss.acknowledgement_per_mille),
        ("loss.rewinder_per_mille", loss.rewinder_per_mille),
    ] {
        found.range(key, value, 0, 999);
    }
}

fn retained(config: &Config, found: &mut Findings) {
    let least = settings::query(config).retained_bytes_min();
    found.range("query.retained_bytes", config.query.retained_bytes, least, 1 << 32);
}

fn users(config: &Config, found: &mut Findings) {
    let mut names = BTreeSet::new();
    for user in &config.user {
        let name = user.name.to_ascii_lowercase();
        let fits = (1..=6).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
        found.unless(fits, "user.name", format!("{:?}", user.name), "1 to 6 ASCII characters, no spaces");
        found.unless(
            names.insert(name),
            "user.name",
            format!("{:?}", user.name),
            "each name once (case does not count)",
        );
        let printable = user.password.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        let fits = (1..=10).contains(&user.password.len()) && printable;
        found.unless(
            fits,
            format!("user.password of {:?}", user.name),
            "(not shown)",
            "1 to 10 printable ASCII characters",
        );
        for right in &user.tables {
            if let TableRight::Word(word) = right {
                found.unless(
                    word == "*",
                    "user.tables",
                    format!("{word:?}"),
                    "table ids such as 1, or \"*\" for all",
                );
            }
        }
    }
}

/// What a node of a cluster must say.
fn cluster(config: &Config, found: &mut Findings) {
    let cluster = &config.cluster;
    let network = &config.network;
    let others = [network.downstream_group, network.acknowledgement_group];
    found.unless(
        cluster.group.is_multicast()
            && !others.iter().chain(&network.ingress_groups).any(|group| *group == cluster.group),
        "cluster.group",
        cluster.group,
        "must be a multicast address, 224.0.0.0 to 239.255.255.255, and none of [network]",
    );
    peers(&cluster.peer, cluster.node, found);
    found.range("cluster.min_in_sync", cluster.min_in_sync, 1, cluster.peer.len() + 1);
    found.range("cluster.digest_messages", cluster.digest_messages, 256, 1 << 32);
    found.range("cluster.snapshot_behind_messages", cluster.snapshot_behind_messages, 1, 1 << 62);
    let pace = cluster.snapshot_bytes_per_second;
    found.unless(
        pace == 0 || pace >= 1 << 16,
        "cluster.snapshot_bytes_per_second",
        pace,
        "must be 0 or at least 65536 (64 KiB)",
    );
    found.range("cluster.heartbeat_ms", cluster.heartbeat_ms, 1, 1_000);
    for (key, silence_ms) in [
        ("cluster.silence_ms", cluster.silence_ms),
        ("cluster.replica_silence_ms", cluster.replica_silence_ms),
    ] {
        let holds = silence_ms / 2 >= cluster.heartbeat_ms && silence_ms <= 60_000;
        found.unless(holds, key, silence_ms, "must be two times cluster.heartbeat_ms at least, up to 60000");
    }
    match settings::register(config) {
        Some(RegisterConfig::Etcd(etcd)) => {
            let Etcd { user, password, .. } = &cluster.etcd;
            let both = user.is_empty() == password.is_empty();
            found.unless(both, "cluster.etcd.user", format!("{user:?}"), "user and password: both or neither");
            if let Err(what) = etcd.check() {
                found.0.push(format!("cluster.etcd.{what}"));
            }
        }
        Some(RegisterConfig::File(_)) => {}
        None => found.unless(
            false,
            "cluster.register",
            format!("{:?}", cluster.register),
            "write etcd, or file:PATH (where all nodes are on this machine), such as \"file:/run/gds/register\"",
        ),
    }
}

fn peers(peers: &[Peer], own: u8, found: &mut Findings) {
    found.unless(
        peers.len() < NODES_MAX,
        "cluster.peer",
        format!("{} entries", peers.len()),
        format!("a cluster has at most {NODES_MAX} nodes, this one included"),
    );
    let (mut nodes, mut addresses) = (BTreeSet::from([own]), BTreeSet::new());
    for Peer { node, address } in peers {
        found.unless(
            *node > 0 && nodes.insert(*node),
            "cluster.peer.node",
            node,
            "must be 1 to 255, each node once, and not this one (cluster.node)",
        );
        let single = !address.is_multicast() && !address.is_unspecified() && !address.is_broadcast();
        found.unless(
            single && addresses.insert(*address),
            "cluster.peer.address",
            address,
            "must be the address of the node's interface, another one for each node",
        );
    }
}

fn layout(config: &Config, found: &mut Findings) {
    let mut cpus = BTreeSet::new();
    for core in &config.core {
        found.unless(
            (-1..4096).contains(&core.cpu),
            "core.cpu",
            core.cpu,
            "a processor number, or -1 for none",
        );
        if core.cpu >= 0 {
            let one = cpus.insert(core.cpu);
            found.unless(
                one,
                "core.cpu",
                core.cpu,
                "one [[core]] per processor: put its agents into one list",
            );
        }
        found.unless(
            !core.agents.is_empty(),
            "core.agents",
            "[]",
            "name at least one agent, or leave this [[core]] out",
        );
        if core.idle == Idle::Sleep {
            found.range("core.idle_sleep_us", core.idle_sleep_us, 1, 1_000_000);
        }
    }
    for agent in AgentName::ALL {
        let times = config.core.iter().flat_map(|core| &core.agents).filter(|name| **name == agent).count();
        let idle = !settings::is_there(config, agent);
        found.unless(
            times == 1 || idle && times == 0,
            "core.agents",
            format!("{} appears {times} times", agent.as_str()),
            "each agent must be on exactly one core (replica_rewinder: only in a cluster; snapshots: only where they are taken)",
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    fn refused(text: &str, key: &str, hint: &str) {
        let error = Config::parse(text, "node.toml").expect_err(text).to_string();
        assert!(error.contains(key) && error.contains(hint), "{text} gave: {error}");
    }

    #[test]
    fn impossible_values_are_refused_with_what_would_do() {
        refused("[network]\nmax_payload_bytes = 100", "network.max_payload_bytes = 100", "576");
        refused("[network]\ningress_groups = []", "network.ingress_groups", "1 to 16");
        refused("[network]\ndownstream_group = \"10.0.0.1\"", "network.downstream_group", "multicast");
        refused("[network]\ndownstream_port = 26400", "network.downstream_port", "another one");
        refused("[network]\ntransport = \"af_xdp\"", "network.transport", "loopback interface");
        refused("[network]\nnode = \"239.1.1.1\"", "network.node", "10.0.0.5");
        refused("[network]\ntransport = \"dpdk\"", "network.transport", "af_xdp");
        refused("[network.af_xdp]\nframe_bytes = 1024", "network.af_xdp.frame_bytes = 1024", "2048 or 4096");
        refused("[network.af_xdp]\nsend_frames = 100", "network.af_xdp.send_frames = 100", "power of two");
        refused("[network.af_xdp]\nmode = \"skb\"", "network.af_xdp.mode", "zero_copy");
        refused("[network.af_xdp]\nqueues = 2", "network.af_xdp", "queues");
        refused("[stream]\nsession = \"much-too-long\"", "stream.session", "ten");
        refused("[ring]\npositions = 1000", "ring.positions = 1000", "power of two");
        refused("[journal]\nsegment_bytes = 5000000", "journal.segment_bytes", "4096");
        refused(
            "[network]\nrewinders = [\"10.0.1.9:26403\"]\n[journal]\nrewinder_hold_bytes = 4096",
            "journal.rewinder_hold_bytes = 4096",
            "at least",
        );
        refused("[loss]\ningress_per_mille = 1000", "loss.ingress_per_mille", "0 to 999");
        refused("[[table]]\nid = 0\nname = \"x\"", "table.id = 0", "1 to 65535");
        refused(
            "[[admission]]\npattern = \"*a\"\nsources = []\ngap=\"wait\"\nskip_after_ms=1\nstart=\"one\"\nrerequest=\"none\"",
            "admission.pattern",
            "*",
        );
        refused("[query]\nsilence_ms = 9223372036854775807", "query.silence_ms", "600000");
        refused("[network]\nmax_payload_bytes = 9223372036854775807", "network.max_payload_bytes", "3900");
        refused("[query]\nretained_bytes = 65536", "query.retained_bytes = 65536", "must be");
        let twice = "[[table]]\nid = 1\nname = \"x\"\n[[table]]\nid = 2\nname = \"x\"";
        refused(&format!("schema = []\n{twice}"), "table.name", "each name once");
        refused("[[user]]\nname = \"\\t\"\npassword = \"x\"\ntables = []", "user.name", "1 to 6");
        refused("[[user]]\nname = \"muchtoolong\"\npassword = \"x\"\ntables = []", "user.name", "1 to 6");
    }

    #[test]
    fn an_impossible_layout_is_refused() {
        let core = |agents: &str, cpu: i64| {
            format!("[[core]]\ncpu = {cpu}\nidle = \"spin\"\nidle_sleep_us = 1\nagents = [{agents}]\n")
        };
        refused(&core("\"sequencer\"", 1), "store appears 0 times", "exactly one core");
        let all = "\"sequencer\",\"store\",\"acknowledgement_publisher\",\"publisher\",\"journal\",\"acknowledgement_journal\",\"rewinder\"";
        let twice = core(all, 1) + &core("\"query\"", 1);
        refused(&twice, "core.cpu = 1", "one [[core]] per processor");
        refused(&core("\"sequenzer\"", 1), "core[0].agents", "sequencer");
    }
    #[test]
    fn an_impossible_cluster_is_refused() {
        let table = "[cluster]\nnode = 1\nregister = \"file:register\"\n";
        let peer =
            |node: u8, address: &str| format!("[[cluster.peer]]\nnode = {node}\naddress = \"{address}\"\n");
        let whole = format!("{table}{}{}", peer(2, "10.0.0.2"), peer(3, "10.0.0.3"));
        Config::parse(&whole, "node.toml").expect("this one is possible");
        let with = |line: &str, key: &str, hint: &str| {
            refused(&whole.replacen("node = 1\n", &format!("node = 1\n{line}\n"), 1), key, hint);
        };
        with("group = \"10.0.0.9\"", "cluster.group = 10.0.0.9", "multicast");
        with("group = \"239.192.7.3\"", "cluster.group = 239.192.7.3", "none of [network]");
        with("port = 26400", "cluster.port = 26400", "another one");
        with("history_port = 26405", "cluster.history_port = 26405", "another one");
        with(
            "history_port = 26404",
            "cluster.history_port = 26404",
            "network.query_port must be another one",
        );
        with(
            "snapshot_bytes_per_second = 65535",
            "cluster.snapshot_bytes_per_second = 65535",
            "0 or at least",
        );
        with("snapshot_behind_messages = 0", "cluster.snapshot_behind_messages = 0", "1 to");
        with("heartbeat_ms = 0", "cluster.heartbeat_ms = 0", "1 to 1000");
        with("heartbeat_ms = 11", "cluster.silence_ms = 20", "two times cluster.heartbeat_ms");
        with("replica_silence_ms = 9", "cluster.replica_silence_ms = 9", "two times");
        with("min_in_sync = 4", "cluster.min_in_sync = 4", "1 to 3");
        for (node, address, key, hint) in [
            (1, "10.0.0.4", "cluster.peer.node = 1", "not this one"),
            (2, "10.0.0.4", "cluster.peer.node = 2", "each node once"),
            (0, "10.0.0.4", "cluster.peer.node = 0", "1 to 255"),
            (4, "10.0.0.3", "cluster.peer.address = 10.0.0.3", "another one"),
            (4, "239.0.0.3", "cluster.peer.address = 239.0.0.3", "interface"),
        ] {
            refused(&(whole.clone() + &peer(node, address)), key, hint);
        }
        let many: String = (2..=9).map(|node| peer(node, &format!("10.0.0.{node}"))).collect();
        refused(&format!("{table}{many}"), "cluster.peer = 8 entries", "at most 8");
        refused(
            "[cluster]\nnode = 1\nregister = \"zookeeper\"",
            "cluster.register = \"zookeeper\"",
            "file:PATH",
        );
        refused("[cluster]\nnode = 1\nregister = \"file:\"", "cluster.register = \"file:\"", "file:PATH");
        refused("[cluster]\nnode = 300", "cluster.node", "300");
        let etcd = |line: &str, key: &str, hint: &str| {
            refused(&format!("[cluster]\nnode = 1\nregister = \"etcd\"\n[cluster.etcd]\n{line}"), key, hint);
        };
        etcd(
            "endpoints = [\"10.0.0.9:2379\"]",
            "cluster.etcd.endpoints = \"10.0.0.9:2379\"",
            "http://HOST:PORT",
        );
        etcd("user = \"gds\"", "cluster.etcd.user = \"gds\"", "both or neither");
        etcd("timeout_ms = 0", "cluster.etcd.timeout_ms = 0", "10 to 60000");
        let alone = whole.replacen("node = 1", "node = 0\nmin_in_sync = 9", 1);
        Config::parse(&alone, "node.toml").expect("a node alone has no cluster to check");
    }
}
