//! What people and accidents do to the past: forced leads, copies taken and put back, files lost.
use super::World;
use super::cluster::node_id;
use super::host::Host;
use crate::machine::{End, Loss, PutBack, Remains, RingPutBack};
use crate::plan::HistoryPlan;
use gds_core::journal::Durability;
use gds_core::label::SessionNames;
use gds_core::replication::{Life, Member, RegisterValue, Set};
use gds_core::time::MILLISECOND_NS;

/// Epochs left out where the register lost what it held, as the node does (`EPOCHS_SKIPPED`).
const EPOCHS_SKIPPED: u32 = 1_000_000;
/// Parts of a directory that are copied between two steps of chaos, at most.
const PIECES_MAX: u64 = 8;

impl World {
    /// One step of what is done to the past.
    pub(super) fn change_history(&mut self) {
        let Some(plan) = self.plan.history.clone() else { return };
        self.copy_on();
        if let Some(place) = self.due_to_be_forced() {
            self.force_lead(place, &plan);
        }
        if self.history.acts >= plan.acts_max {
            return;
        }
        if self.happens(plan.copy_percent) {
            let place = self.some_node();
            self.begin_copy(place);
        }
        if self.happens(plan.restore_percent) {
            let place = self.some_node();
            self.put_back(place);
        }
        if self.happens(plan.loss_percent) {
            let place = self.some_node();
            self.lose_something(place);
        }
        if self.plan.cluster.is_some() && self.happens(plan.force_percent) {
            let place = self.some_node();
            match self.random.chance(1, 2) {
                true => self.force_lead(place, &plan),
                false => self.leave_behind(place),
            }
        }
    }

    /// A node stays down for a while, and is made leader by force then: the others go on meanwhile.
    fn leave_behind(&mut self, place: usize) {
        if self.hosts[place].node.is_none() {
            return;
        }
        self.bury(place, End::Killed);
        let due_ns = self.clock.now_ns() + MILLISECOND_NS * (5 + self.random.below(40));
        let host = &mut self.hosts[place];
        (host.force_due_ns, host.start_at_ns) = (Some(due_ns), u64::MAX);
        self.tell(|| format!("node {place} stays down, and will be made leader by force at {due_ns}"));
    }

    fn due_to_be_forced(&mut self) -> Option<usize> {
        let now_ns = self.clock.now_ns();
        let due = |host: &Host| host.force_due_ns.is_some_and(|due_ns| now_ns >= due_ns);
        let place = self.hosts.iter().position(due)?;
        self.let_start(place);
        Some(place)
    }

    /// A node that was to stay down may start again.
    pub(super) fn let_start(&mut self, place: usize) {
        let host = &mut self.hosts[place];
        if host.force_due_ns.take().is_some() {
            host.start_at_ns = self.clock.now_ns();
        }
    }

    fn begin_copy(&mut self, place: usize) {
        let host = &mut self.hosts[place];
        if host.node.is_some() && host.copying.is_none() {
            host.copying = Some(host.machine.begin_copy());
            self.tell(|| format!("somebody begins to copy the directory of node {place}"));
        }
    }

    fn copy_on(&mut self) {
        for place in 0..self.hosts.len() {
            let count = 1 + self.random.below(PIECES_MAX) as usize;
            let host = &mut self.hosts[place];
            let Some(mut copying) = host.copying.take() else { continue };
            match host.machine.copy_on(&mut copying, count, host.node.as_ref().map(|node| &node.death)) {
                None => host.copying = Some(copying),
                Some(copy) => {
                    host.copy = Some(copy);
                    self.tally.add("history.copies taken", 1);
                    self.tell(|| format!("the copy of the directory of node {place} is whole"));
                }
            }
        }
    }

    /// Takes a node down, if it is up. False while it is starting.
    fn take_down(&mut self, place: usize) -> bool {
        if self.hosts[place].starting.is_some() || self.hosts[place].force_due_ns.is_some() {
            return false;
        }
        self.bury(place, End::Killed);
        true
    }

    /// A copy takes the place of a node's directory.
    fn put_back(&mut self, place: usize) {
        let Some(copy) = self.hosts[place].copy.clone() else { return };
        if !self.take_down(place) {
            return;
        }
        let life = self.random.chance(1, 2);
        let ring = match self.random.below(3) {
            0 => RingPutBack::Nothing,
            1 => RingPutBack::Copied,
            _ => RingPutBack::Kept,
        };
        let what = PutBack { life, ring };
        self.tell(|| format!("a copy of the directory of node {place} takes its place: {what:?}"));
        let host = &mut self.hosts[place];
        host.hurt.get_or_insert((host.machine.keep(), host.is_tampered, None));
        host.machine.restore(copy, what);
        // Nobody goes on copying what is another past from here on.
        host.copying = None;
        self.history.acts += 1;
        self.tally.add("history.copies restored", 1);
        self.tamper(place);
        self.forgive_what_is_known(place);
    }

    /// A node whose journal was not closed in order and whose ring is gone knows that something may be missing.
    fn forgive_what_is_known(&mut self, place: usize) {
        let machine = &self.hosts[place].machine;
        if machine.was_memory() && !machine.has_ring() && !machine.is_closed() {
            self.hosts[place].is_tampered = false;
        }
    }

    /// Something is lost of what a node keeps.
    fn lose_something(&mut self, place: usize) {
        if self.hosts[place].hurt.is_some() || !self.take_down(place) {
            return;
        }
        let loss = self.hosts[place].machine.draw_loss();
        if loss == Loss::RingSwapped {
            let other = self.some_node();
            return self.swap_rings(place, other);
        }
        let host = &mut self.hosts[place];
        let kept = host.machine.keep();
        if !host.machine.lose(loss) {
            return;
        }
        // A node that is alone and has nothing at all left is a new one.
        if self.plan.cluster.is_none() && !host.machine.was_memory() && host.machine.remains().is_none() {
            return host.machine.put_back(kept);
        }
        host.hurt = Some((kept, host.is_tampered, Some(loss)));
        self.history.acts += 1;
        self.tally.add(loss.name(), 1);
        self.tell(|| format!("node {place} loses something: {loss:?}"));
        let machine = &self.hosts[place].machine;
        let unknowable = match loss {
            // The last of what was synced, and nothing else knows of it.
            Loss::LastSegment(true) => !machine.was_memory() || machine.is_closed(),
            _ => false,
        };
        if unknowable {
            self.tamper(place);
        }
    }

    /// Two nodes have each other's ring.
    fn swap_rings(&mut self, one: usize, other: usize) {
        if one == other || self.hosts[other].hurt.is_some() || !self.take_down(other) {
            return;
        }
        let kept = [one, other].map(|place| self.hosts[place].machine.keep());
        let (low, high) = (one.min(other), one.max(other));
        let [low, high] = self.hosts.get_disjoint_mut([low, high]).expect("two of them");
        if !low.machine.swap_rings(&mut high.machine) {
            return;
        }
        for (place, kept) in [one, other].into_iter().zip(kept) {
            let host = &mut self.hosts[place];
            host.hurt = Some((kept, host.is_tampered, Some(Loss::RingSwapped)));
        }
        self.history.acts += 1;
        self.tally.add(Loss::RingSwapped.name(), 1);
        self.tell(|| format!("nodes {one} and {other} have each other's rings"));
    }

    /// A node that is down is made leader by force, as `gds force-lead` does it.
    fn force_lead(&mut self, place: usize, plan: &HistoryPlan) {
        let Some(held) = self.register.borrow_mut().state().value.clone().filter(|held| held.epoch > 0)
        else {
            return;
        };
        let alone = self.happens(plan.alone_percent);
        let busy = |place: &usize| self.hosts[*place].starting.is_some();
        if busy(&place) || alone && (0..self.hosts.len()).any(|place| busy(&place)) {
            return;
        }
        self.bury(place, End::Killed);
        let Some(remains) = self.hosts[place].machine.remains() else { return };
        if alone {
            let later_ns = self.clock.now_ns() + self.random.below(20 * MILLISECOND_NS);
            for other in (0..self.hosts.len()).filter(|other| *other != place) {
                self.bury(other, End::Killed);
                self.hosts[other].force_due_ns = None;
                self.hosts[other].start_at_ns = later_ns;
            }
        }
        let lost = !self.history.is_register_lost && self.happens(plan.register_percent);
        let Some(value) = self.claim(place, &remains, (!lost).then_some(&held), held.stream) else {
            // It leads by itself.
            return;
        };
        let behind = remains.last < self.truth.shown_last();
        self.tell(|| {
            format!("node {place} is made leader by force with {remains:?}, the register lost: {lost}, the others down: {alone}")
        });
        let incarnation = value.set.incarnation(node_id(place));
        if !self.hosts[place].machine.claim(&remains, incarnation, &remains.sessions) {
            return;
        }
        self.register.borrow_mut().force(value);
        self.history.acts += 1;
        self.history.is_register_lost |= lost;
        self.hosts[place].start_at_ns = self.clock.now_ns() + self.random.below(2 * MILLISECOND_NS);
        self.hosts[place].hurt = None;
        self.hosts[place].force_due_ns = None;
        self.tally.add("history.leads forced", 1);
        self.tally.add(if behind { "history.leads forced behind" } else { "history.leads forced ahead" }, 1);
        self.tally.add("history.registers lost", u64::from(lost));
        self.tamper(place);
    }

    /// What the register holds once a node leads by force (`judge` of the node); `None`: it need not be forced.
    fn claim(
        &mut self,
        place: usize,
        remains: &Remains,
        held: Option<&RegisterValue>,
        stream: gds_wire::session::Session,
    ) -> Option<RegisterValue> {
        let node = node_id(place);
        let registered = held.and_then(|held| held.set.incarnation(node)).unwrap_or(0);
        let held_epoch = held.map_or(0, |held| held.epoch);
        let known = remains.epoch.max(self.heard_epoch()).max(held_epoch);
        let covers = |life: Life| life.incarnation >= registered && registered >= life.whole_since;
        let is_whole = remains.is_whole && registered > 0 && remains.life.is_some_and(covers);
        let is_lost = held_epoch < known;
        if is_whole && !is_lost {
            return None;
        }
        let skipped = if is_lost { EPOCHS_SKIPPED } else { 1 };
        // Where the register alone was lost a person may say that this node has everything, and should know it.
        let has_everything = remains.is_whole && remains.last >= self.truth.shown_last();
        let keeps_name = is_lost && has_everything && self.random.chance(1, 2);
        let newest = |names: &SessionNames| names.names().last().map(|last| last.name);
        let names = held.map(|held| &held.sessions).filter(|held| newest(held) >= newest(&remains.sessions));
        let names = names.unwrap_or(&remains.sessions);
        let now = self.hosts[place].machine.time.time();
        let sessions = if keeps_name { names.clone() } else { names.renewed(stream, remains.last + 1, now) };
        let forgotten = now.wall_ns / MILLISECOND_NS;
        let lived = remains.life.map_or(forgotten, |life| life.incarnation).max(registered);
        let set = Set::of(Member { node, incarnation: lived + 1 });
        Some(RegisterValue { stream, epoch: known.saturating_add(skipped), leader: node, set, sessions })
    }

    /// A start said that something is missing or wrong: that is put right. False where nothing was done to the node's files.
    pub(super) fn put_right(&mut self, place: usize) -> bool {
        if self.plan.cluster.is_none() && self.random.chance(1, 2) && self.accept_loss(place) {
            return true;
        }
        let host = &mut self.hosts[place];
        if let Some((kept, is_tampered, _)) = host.hurt.take() {
            host.machine.put_back(kept);
            (host.is_tampered, host.copying) = (is_tampered, None);
            self.tell(|| format!("what node {place} had is put back"));
        } else if host.is_tampered && self.plan.cluster.is_some() {
            self.set_aside(place);
        } else {
            return false;
        }
        self.tally.add("history.starts refused", 1);
        true
    }

    /// A node that is alone and does not start goes on with what there is, as a person says (`gds force-lead --accept-loss`). False where it need not, or has nothing.
    fn accept_loss(&mut self, place: usize) -> bool {
        let host = &mut self.hosts[place];
        let Some(remains) = host.machine.remains().filter(|remains| !remains.is_whole) else { return false };
        let now = host.machine.time.time();
        let sessions = remains.sessions.renewed(remains.stream, remains.last + 1, now);
        if !host.machine.claim(&remains, None, &sessions) {
            return false;
        }
        (host.hurt, host.is_tampered, host.copying) = (None, true, None);
        self.tell(|| format!("node {place} goes on with what remains: {remains:?}"));
        self.tally.add("history.losses accepted", 1);
        self.tally.add("history.starts refused", 1);
        true
    }

    /// The next start may be configured with the other durability.
    pub(super) fn change_durability(&mut self, place: usize) {
        let Some(percent) = self.plan.history.as_ref().map(|plan| plan.durability_percent) else { return };
        if self.is_faulty() && self.hosts[place].machine.incarnations > 0 && self.happens(percent) {
            let machine = &mut self.hosts[place].machine;
            machine.change_durability();
            let now = machine.durability();
            self.tally.add("history.durability changed", 1);
            self.tell(|| format!("node {place} is configured with {now:?}"));
            debug_assert!(now == Durability::Memory || now == Durability::Fsync);
        }
    }
}
