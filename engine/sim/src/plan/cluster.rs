//! What a seed decides of a cluster, besides what it decides of any world.
use super::{Plan, pick};
use crate::node::AgentName;
use crate::register::RegisterFaults;
use gds_core::agent::start::StartConfig;
use gds_core::journal::Durability;
use gds_core::random::Random;
use gds_core::time::{MICROSECOND_NS, MILLISECOND_NS};

/// How the nodes of a cluster deal with each other, and what goes wrong between them.
#[derive(Clone, Debug)]
pub struct ClusterPlan {
    /// A leader is heard at least so often.
    pub heartbeat_ns: u64,
    /// After so much silence a standby takes over.
    pub silence_ns: u64,
    /// After so much silence, or without progress, a replica is taken out.
    pub replica_silence_ns: u64,
    /// A register that did not answer is asked again so much later.
    pub register_retry_ns: u64,
    /// How long an answer of the register is waited for.
    pub register_wait_ns: u64,
    /// With fewer in the set nothing new is taken.
    pub min_in_sync: usize,
    /// The ways to the register while things go wrong.
    pub register: RegisterFaults,
    /// Longest that a cut, a freeze, or the register's absence lasts.
    pub trouble_max_ns: u64,
    /// Chances are per hundred chaos steps: nodes cease to reach each other.
    pub cut_percent: u64,
    /// A node is cut off from all others, and maybe from everybody.
    pub isolate_percent: u64,
    /// A node stands still as a whole.
    pub freeze_percent: u64,
    /// Nobody reaches the register, or one node does not.
    pub register_percent: u64,
    /// The leader is to hand over.
    pub hand_over_percent: u64,
    /// A node's directory is replaced by an empty one.
    pub wipe_percent: u64,
}

impl Plan {
    /// The plan of a seed for a cluster.
    pub fn of_cluster(seed: u64) -> Self {
        let random = &mut Random::new(seed ^ 0xBB67_AE85_84CA_A73B);
        let mut plan = Self { seed, ..Self::of(random.next_u64()) };
        plan.nodes = *pick(random, &[2, 2, 3, 3, 3, 5]);
        plan.cluster = Some(cluster(plan.nodes, random));
        plan.clients = 1 + random.below(2) as usize;
        plan.feeds.truncate(1);
        plan.listeners = 1 + random.below(2) as usize;
        plan.readers = random.below(3) as usize;
        plan.blocks_per_client = *pick(random, &[5, 20, 60]);
        plan.messages_per_feed = *pick(random, &[10, 50]);
        plan.names_max = 8 + random.below(12);
        plan.faulty_ns = MILLISECOND_NS * (20 + *pick(random, &[10, 40, 100]));
        plan.idle_ns_max = *pick(random, &[50 * MICROSECOND_NS, 200 * MICROSECOND_NS]);
        plan.slow = plan.slow.map(|(_, _, pause_ns)| {
            let node = random.below(plan.nodes as u64) as usize;
            (node, *pick(random, &AgentName::ALL), pause_ns)
        });
        plan.chaos.deaths_max = random.below(10);
        plan
    }
}

fn cluster(nodes: usize, random: &mut Random) -> ClusterPlan {
    let percent = |random: &mut Random, most: u64| {
        if random.chance(1, 2) { 0 } else { 1 + random.below(most) }
    };
    let heartbeat_ns = *pick(random, &[300 * MICROSECOND_NS, MILLISECOND_NS]);
    ClusterPlan {
        heartbeat_ns,
        silence_ns: heartbeat_ns * *pick(random, &[4, 10]),
        replica_silence_ns: heartbeat_ns * *pick(random, &[4, 20]),
        register_retry_ns: *pick(random, &[200 * MICROSECOND_NS, 2 * MILLISECOND_NS]),
        register_wait_ns: *pick(random, &[MILLISECOND_NS, 5 * MILLISECOND_NS]),
        min_in_sync: if nodes > 1 && random.chance(1, 4) { 2 } else { 1 },
        register: RegisterFaults {
            loss_per_mille: *pick(random, &[0, 50, 300]),
            delay_max_ns: *pick(random, &[100 * MICROSECOND_NS, MILLISECOND_NS]),
            late_per_mille: *pick(random, &[0, 50, 300]),
            late_max_ns: *pick(random, &[5 * MILLISECOND_NS, 40 * MILLISECOND_NS]),
        },
        trouble_max_ns: *pick(random, &[8 * MILLISECOND_NS, 30 * MILLISECOND_NS]),
        cut_percent: percent(random, 20),
        isolate_percent: percent(random, 10),
        freeze_percent: percent(random, 10),
        register_percent: percent(random, 10),
        hand_over_percent: percent(random, 10),
        wipe_percent: percent(random, 2),
    }
}

/// Each node has rings and journals of its own sizes.
pub fn own_sizes(start: &mut StartConfig, random: &mut Random) {
    let durability = start.journal.durability;
    let StartConfig { ring, acknowledgement_ring, journal, acknowledgement_journal, .. } = start;
    ring.data_bytes = 8192 << random.below(5);
    ring.positions = 64 << random.below(6);
    acknowledgement_ring.data_bytes = 1024 << random.below(5);
    acknowledgement_ring.positions = 16 << random.below(6);
    *journal = super::journal_config(random, durability);
    *acknowledgement_journal = super::journal_config(random, Durability::Memory);
}
