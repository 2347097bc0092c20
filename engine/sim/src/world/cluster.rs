//! What only a cluster has: its register, its promises, and what goes wrong between its nodes.
use super::World;
use super::host::Host;
use super::schedule::Turn;
use crate::machine::{End, MemberConfig};
use crate::node::Node;
use crate::plan::{ClusterPlan, node_host};
use crate::violation::{Checked, ensure};
use gds_core::journal::Durability;
use gds_core::label::SessionNames;
use gds_core::replication::{Member, NodeId, RegisterState, RegisterValue, Set};
use gds_core::time::MILLISECOND_NS;
use gds_wire::session::Session;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

/// What a cluster has shown of itself so far.
#[derive(Default)]
pub(super) struct Cluster {
    /// For each epoch, who committed in it.
    primaries: BTreeMap<u32, Member>,
    /// How much of the register's history has been looked at.
    swaps_seen: usize,
    /// A leader is to hand over until then.
    hand_over_until_ns: u64,
}

/// The number by which nodes and register know a node.
pub(super) fn node_id(place: usize) -> NodeId {
    NodeId(place as u8 + 1)
}

impl World {
    /// Reads the register before a start, and begins a cluster where there is none yet. `None`: it was not heard, or there is no cluster.
    pub(super) fn prepare_member(&mut self, place: usize) -> Option<RegisterState> {
        let mut register = self.register.borrow_mut();
        let mut state = register.read_at_once(place)?;
        let machine = &mut self.hosts[place].machine;
        if state.value.is_none() {
            // Only a node whose journal is empty may begin a cluster; another one would give numbers again that were given.
            assert!(machine.is_blank(), "the register never forgets, and a journal begins after it");
            let name = format!("{:010}", 1_700_000_000 + place);
            let stream = Session::padded(&name).expect("ten digits");
            let value = RegisterValue {
                stream,
                epoch: 0,
                leader: node_id(place),
                set: Set::default(),
                sessions: SessionNames::default(),
            };
            state = register.swap_at_once(place, value)?;
        }
        Some(state)
    }

    /// What a starting member is told.
    pub(super) fn member_config(&self, place: usize, register: RegisterState) -> MemberConfig {
        let plan = self.plan.cluster.as_ref().expect("a member has a cluster");
        MemberConfig { node: node_id(place), nodes: self.plan.nodes, plan: plan.clone(), register }
    }

    /// The promises that hold after every lap of a member: one primary in each epoch, and what is committed is with every member.
    pub(super) fn check_member(&mut self, place: usize, committed_before: u64) -> Checked {
        self.check_swaps()?;
        let node = self.hosts[place].process();
        let committed = node.bus.progress.committed.get();
        if committed == committed_before {
            return Ok(());
        }
        let (leads, incarnation) = (node.leads(), node.incarnation());
        self.tell(|| format!("node {place} commits up to {committed}; it leads {leads:?}"));
        let Some(epoch) = leads else { return Ok(()) };
        if !self.is_believed(place) {
            return Ok(());
        }
        let me = Member { node: node_id(place), incarnation };
        let primary = *self.cluster.primaries.entry(epoch).or_insert(me);
        ensure!(
            primary == me,
            "one primary in an epoch",
            "{me} commits number {committed} in epoch {epoch}, in which {primary} committed"
        );
        self.check_members_have(me, epoch, committed)
    }

    /// Every member that the register names has what is committed, as durable as the stream says.
    fn check_members_have(&mut self, leader: Member, epoch: u32, committed: u64) -> Checked {
        let state = self.register.borrow_mut().state().clone();
        let Some(value) = state.value else { return Ok(()) };
        self.check_counted(usize::from(leader.node.0) - 1, epoch, &value)?;
        // A person made somebody else lead, and this one has not heard of it.
        if self.history.is_suspect && value.epoch > epoch {
            return Ok(());
        }
        for member in value.set.members() {
            let Some(node) =
                self.hosts.get(usize::from(member.node.0) - 1).and_then(|host| host.node.as_ref())
            else {
                continue;
            };
            if node.incarnation() != member.incarnation || node.death.borrow().is_dead() {
                continue;
            }
            let progress = &node.bus.progress;
            let has = match self.hosts[usize::from(member.node.0) - 1].machine.durability() {
                Durability::Fsync => progress.durable.get(),
                Durability::Memory => progress.sequenced.get(),
            };
            ensure!(
                has >= committed,
                "members have what is committed",
                "{leader} has committed number {committed}, and {member}, of the set {} at revision {}, has only {has}",
                value.set,
                state.revision
            );
        }
        Ok(())
    }

    /// Each swap leaves the register as the protocol says: nobody takes over but a member, and nobody else changes the set.
    fn check_swaps(&mut self) -> Checked {
        let history = self.register.borrow().history[self.cluster.swaps_seen..].to_vec();
        for pair in history.windows(2) {
            let [(_, before), (revision, value)] = pair else { continue };
            self.cluster.swaps_seen += 1;
            let RegisterValue { epoch, leader, set, .. } = value;
            self.tell(|| format!("revision {revision}: node {leader} leads epoch {epoch}, the set is {set}"));
            let same = value.epoch == before.epoch && value.leader == before.leader;
            let next = value.epoch == before.epoch + 1;
            let forced = self.register.borrow().forced.contains(revision);
            self.check_admitted(&before.set, value)?;
            ensure!(
                (same || next || forced)
                    && set.incarnation(value.leader).is_some()
                    && value.stream == before.stream,
                "register",
                "revision {revision} is {value:?} after {before:?}"
            );
            self.tally.add(if next { "cluster.takeovers" } else { "cluster.set changes" }, 1);
        }
        Ok(())
    }

    /// A node's log is cut back: it starts again at once, and knows where.
    pub(super) fn cut_back(&mut self, place: usize) {
        let after = self.hosts[place].process().cut_after();
        self.bury(place, End::Killed);
        let host = &mut self.hosts[place];
        host.machine.cut_after = after;
        host.start_at_ns = self.clock.now_ns();
        self.tally.add("cluster.logs cut back", 1);
    }

    /// Every node is in the set with the life it lives, and has applied everything.
    pub(super) fn is_in_sync(&self) -> bool {
        if self.plan.cluster.is_none() {
            return true;
        }
        let mut register = self.register.borrow_mut();
        let Some(value) = register.state().value.clone() else { return false };
        let in_set = |(place, host): (usize, &Host)| {
            host.node.as_ref().is_some_and(|node| {
                let member = Member { node: node_id(place), incarnation: node.incarnation() };
                let progress = &node.bus.progress;
                // What a replica has beyond the end of an idle leader's log stays until the leader has an entry there (R15).
                let all = node.leads().is_none() || progress.sequenced.get() == self.committed;
                value.set.has(member) && all && progress.applied.get() == self.committed
            })
        };
        !register.is_busy() && self.hosts.iter().enumerate().all(in_set)
    }

    /// No member of the set is whole: nobody may ever lead again, unless somebody forces it.
    pub(super) fn is_stopped_for_good(&self) -> bool {
        if self.plan.cluster.is_none() || self.phase == super::Phase::Faulty {
            return false;
        }
        let mut register = self.register.borrow_mut();
        let Some(value) = register.state().value.clone() else { return false };
        let hopeless = |member: &Member| {
            let host = &self.hosts[usize::from(member.node.0) - 1];
            let up = host.node.as_ref();
            up.is_some_and(|node| node.leads().is_none() && node.whole_since() > member.incarnation)
        };
        !register.is_busy() && value.epoch > 0 && value.set.members().iter().all(hopeless)
    }

    /// Whether the power of a node may go. With durability `memory` that loses what only its ring had; if no other member is whole, the
    /// stream is lost with it, which happens in few worlds.
    pub(super) fn may_cut_power(&mut self, place: usize) -> bool {
        if self.hosts[place].machine.durability() == Durability::Fsync {
            return true;
        }
        if self.plan.cluster.is_none() {
            return false;
        }
        let set = self.register.borrow_mut().state().value.clone().map(|value| value.set).unwrap_or_default();
        let hosts = &self.hosts;
        let others = set.members().iter().filter(|member| usize::from(member.node.0) != place + 1);
        let whole = others
            .filter(|member| hosts[usize::from(member.node.0) - 1].machine.is_whole(member.incarnation));
        whole.count() > 0 || self.random.chance(1, 40)
    }

    /// What goes wrong in a cluster alone.
    pub(super) fn cluster_chaos(&mut self) {
        let Some(plan) = self.plan.cluster.clone() else { return };
        let until_ns = self.clock.now_ns() + self.random.below(plan.trouble_max_ns);
        if self.happens(plan.cut_percent) {
            self.part(until_ns);
        }
        if self.happens(plan.isolate_percent) {
            self.isolate(until_ns);
        }
        if self.happens(plan.freeze_percent) {
            self.freeze(until_ns);
        }
        if self.happens(plan.register_percent) {
            self.lose_register(until_ns);
        }
        if self.happens(plan.wipe_percent) {
            self.wipe();
        }
        self.hand_over(&plan, until_ns);
    }

    /// Two nodes cease to reach each other, one way or both.
    fn part(&mut self, until_ns: u64) {
        let (one, other) = (self.some_node(), self.some_node());
        if one == other {
            return;
        }
        let both = self.random.chance(1, 2);
        let mut network = self.network.borrow_mut();
        network.cut(node_host(one), node_host(other), until_ns);
        if both {
            network.cut(node_host(other), node_host(one), until_ns);
        }
        drop(network);
        self.tally.add("cluster.nodes parted", 1);
        self.tell(|| format!("node {one} does not reach node {other} until {until_ns}, both ways: {both}"));
    }

    /// A node is cut off from the other nodes, and in some cases from the register too; clients it hears and reaches.
    fn isolate(&mut self, until_ns: u64) {
        let node = self.some_node();
        let register = self.random.chance(1, 2);
        let mut network = self.network.borrow_mut();
        for other in (0..self.plan.nodes).filter(|other| *other != node) {
            network.cut(node_host(node), node_host(other), until_ns);
            network.cut(node_host(other), node_host(node), until_ns);
        }
        drop(network);
        if register {
            self.register.borrow_mut().cut(node, until_ns);
        }
        self.tally.add("cluster.nodes isolated", 1);
        self.tell(|| format!("node {node} is alone until {until_ns}, without the register: {register}"));
    }

    /// A node stands still, and goes on later as if nothing had been.
    fn freeze(&mut self, until_ns: u64) {
        let node = self.some_node();
        for slot in 0..self.schedule.len() {
            if matches!(self.schedule.slot(slot).turn, Turn::Agent(of, _) if of == node) {
                self.schedule.set(slot, until_ns, 0);
            }
        }
        self.tally.add("cluster.nodes frozen", 1);
        self.tell(|| format!("node {node} is frozen until {until_ns}"));
    }

    fn lose_register(&mut self, until_ns: u64) {
        if self.random.chance(1, 2) {
            self.register.borrow_mut().go_away(until_ns);
            self.tally.add("cluster.register away", 1);
            self.tell(|| format!("the register is away until {until_ns}"));
        } else {
            let node = self.some_node();
            self.register.borrow_mut().cut(node, until_ns);
            self.tally.add("cluster.register cut off", 1);
            self.tell(|| format!("node {node} does not reach the register until {until_ns}"));
        }
    }

    /// Somebody empties a node's directory: it knows nothing any more, not even that it lived.
    fn wipe(&mut self) {
        let place = self.some_node();
        let set = self.register.borrow_mut().state().value.clone().map(|value| value.set).unwrap_or_default();
        let whole = |member: &&Member| {
            let other = usize::from(member.node.0) - 1;
            other != place && self.hosts[other].machine.is_whole(member.incarnation)
        };
        // Nobody does that to the last one.
        if set.members().iter().filter(whole).count() == 0
            || self.hosts[place].node.is_none()
            || self.hosts[place].machine.was_wiped()
        {
            return;
        }
        self.deaths += 1;
        self.bury(place, End::PowerCut);
        self.hosts[place].machine.wipe();
        self.tally.add("cluster.nodes wiped", 1);
        self.tell(|| format!("node {place} begins with an empty directory"));
    }

    /// Now and then the leader is told to let another one lead, for a while.
    fn hand_over(&mut self, plan: &ClusterPlan, until_ns: u64) {
        let over = self.clock.now_ns() >= self.cluster.hand_over_until_ns;
        if over && self.cluster.hand_over_until_ns > 0 {
            self.stop_hand_over();
        }
        if over
            && self.happens(plan.hand_over_percent)
            && let Some(leader) =
                self.hosts.iter().position(|host| host.node.as_ref().is_some_and(|it| it.leads().is_some()))
        {
            self.cluster.hand_over_until_ns = until_ns;
            self.hosts[leader].process().orders.hand_over.store(true, Ordering::Release);
            self.tally.add("cluster.hand-overs ordered", 1);
            self.tell(|| format!("node {leader} is to hand over"));
        }
    }

    fn stop_hand_over(&mut self) {
        self.cluster.hand_over_until_ns = 0;
        for node in self.hosts.iter().filter_map(|host| host.node.as_ref()) {
            node.orders.hand_over.store(false, Ordering::Release);
        }
    }

    /// Nothing goes wrong between the nodes from here on.
    pub(super) fn stop_cluster_faults(&mut self) {
        self.register.borrow_mut().heal();
        self.stop_hand_over();
        if self.plan.cluster.is_none() {
            return;
        }
        let now_ns = self.clock.now_ns();
        for slot in 0..self.schedule.len() {
            // Whoever is frozen thaws.
            if matches!(self.schedule.slot(slot).turn, Turn::Agent(..))
                && self.schedule.slot(slot).due_ns > now_ns + MILLISECOND_NS
            {
                self.schedule.set(slot, now_ns, 0);
            }
        }
        for Host { machine, .. } in &self.hosts {
            machine.quicken_disks();
        }
    }

    /// What the members' machines say, for context.
    pub(super) fn describe_cluster(&self) -> Vec<String> {
        if self.plan.cluster.is_none() {
            return Vec::new();
        }
        let mut lines = vec![format!("register {:?}", self.register.borrow_mut().state())];
        let nodes = self.hosts.iter().enumerate();
        lines
            .extend(nodes.filter_map(|(place, host)| {
                Some(format!("node {place}: {}", describe(host.node.as_ref()?)))
            }));
        lines
    }
}

fn describe(node: &Node) -> String {
    format!(
        "incarnation {}, whole since {}, leads {:?}, knows epoch {}",
        node.incarnation(),
        node.whole_since(),
        node.leads(),
        node.epoch()
    )
}
