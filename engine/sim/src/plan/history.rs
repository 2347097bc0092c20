//! What a seed decides of a world in which people and disks go back in time.
use super::{Plan, pick};
use gds_core::random::Random;
use gds_core::time::MILLISECOND_NS;

/// What is done to the past: chances are per hundred chaos steps.
#[derive(Clone, Debug)]
pub struct HistoryPlan {
    /// So often at most, of all kinds together.
    pub acts_max: u64,
    /// A node is made leader by force.
    pub force_percent: u64,
    /// ... while the others are down as well, per hundred.
    pub alone_percent: u64,
    /// ... after the register lost what it held, per hundred.
    pub register_percent: u64,
    /// Somebody begins to copy a node's directory while it runs.
    pub copy_percent: u64,
    /// Somebody puts a copy in the place of the directory.
    pub restore_percent: u64,
    /// Something is lost of a node's files while it is down.
    pub loss_percent: u64,
    /// A node's next start is configured with the other durability, per hundred starts.
    pub durability_percent: u64,
}

impl Plan {
    /// The plan of a seed for such a world: one node in some, a cluster in most.
    pub fn of_history(seed: u64) -> Self {
        let random = &mut Random::new(seed ^ 0x3C6E_F372_FE94_F82B);
        let base = random.next_u64();
        let mut plan = if random.chance(1, 4) { Self::of(base) } else { Self::of_cluster(base) };
        plan.seed = seed;
        plan.history = Some(history(random));
        plan.feeds.truncate(1);
        plan.clients = plan.clients.min(2);
        plan.blocks_per_client = plan.blocks_per_client.min(60);
        plan.messages_per_feed = plan.messages_per_feed.min(50);
        plan.faulty_ns = MILLISECOND_NS * (60 + *pick(random, &[20, 60, 120]));
        plan.names_max = 30 + random.below(20);
        // Everybody around the nodes is replaced each time, and finds room.
        plan.start.declaration.limits.sessions_max = 500;
        // Lives that are numbered by the clock are not to run back.
        plan.chaos.jump_percent = 0;
        plan
    }
}

fn history(random: &mut Random) -> HistoryPlan {
    let percent = |random: &mut Random, most: u64| {
        if random.chance(1, 3) { 0 } else { 1 + random.below(most) }
    };
    HistoryPlan {
        acts_max: 1 + random.below(6),
        force_percent: percent(random, 15),
        alone_percent: *pick(random, &[0, 50, 100]),
        register_percent: *pick(random, &[0, 20]),
        copy_percent: percent(random, 20),
        restore_percent: percent(random, 20),
        loss_percent: percent(random, 15),
        durability_percent: *pick(random, &[0, 0, 30]),
    }
}
