//! What happens to the cluster, and how long it takes.
use crate::cluster::{Cluster, ETCD, MEMBERS};
use crate::member::counter;
use gds_core::random::Random;
use std::time::{Duration, Instant};

/// Whom it meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Whoever leads.
    Leader,
    /// The next but so many behind the leader.
    Replica(usize),
    /// Not a node.
    Nobody,
}

/// Every kind of fault, and whom it meets.
pub const KINDS: [(&str, Target); 15] = [
    ("kill", Target::Leader),
    ("kill", Target::Replica(0)),
    ("freeze", Target::Leader),
    ("freeze", Target::Replica(0)),
    ("cut off from nodes", Target::Leader),
    ("cut off from nodes", Target::Replica(0)),
    ("cut off from etcd", Target::Leader),
    ("cut off from etcd", Target::Replica(0)),
    ("cut off from nodes and etcd", Target::Leader),
    ("cut off from nodes and etcd", Target::Replica(0)),
    ("stop", Target::Leader),
    ("stop", Target::Replica(0)),
    ("kill etcd", Target::Nobody),
    ("kill while etcd is away", Target::Leader),
    ("kill while etcd is away", Target::Replica(0)),
];

/// One fault.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    pub kind: &'static str,
    pub target: Target,
    /// How long it lasts, once it has shown.
    pub rest: Duration,
}

/// So many faults, every kind in each round; or those that meet the leader of one kind alone.
pub fn draw(random: &mut Random, count: u64, kind: Option<&str>) -> Vec<Fault> {
    let wanted =
        |(of, target): &(&str, Target)| kind.is_none_or(|kind| *of == kind && *target == Target::Leader);
    assert!(KINDS.iter().any(wanted), "no such fault: {kind:?}");
    let mut faults = Vec::new();
    while (faults.len() as u64) < count {
        let mut round = KINDS;
        for place in (1..round.len()).rev() {
            round.swap(place, random.below(place as u64 + 1) as usize);
        }
        for (kind, target) in round.into_iter().filter(wanted) {
            let replica = random.below(MEMBERS as u64 - 1) as usize;
            let target = if let Target::Replica(_) = target { Target::Replica(replica) } else { target };
            let rest = Duration::from_millis(50 + random.below(750));
            faults.push(Fault { kind, target, rest });
        }
    }
    faults.truncate(count as usize);
    faults
}

/// What was measured.
#[derive(Default)]
pub struct Figures {
    faults: usize,
    /// Of primaries killed: until the next acknowledgement, and in between silence, register, first commit, in milliseconds.
    takeovers: Vec<[f64; 4]>,
}

impl Figures {
    /// p50 and worst of each.
    pub fn print(&self) {
        println!(
            "{} faults, of which {} killed a primary while etcd was there",
            self.faults,
            self.takeovers.len()
        );
        if self.takeovers.is_empty() {
            return;
        }
        let names = ["to the next acknowledgement", "  silence", "  register", "  first commit"];
        for (column, name) in names.iter().enumerate() {
            let mut times: Vec<f64> = self.takeovers.iter().map(|row| row[column]).collect();
            times.sort_by(f64::total_cmp);
            let (half, worst) = (times[(times.len() - 1) / 2], times[times.len() - 1]);
            println!("  {name:<30} p50 {half:>7.1} ms   worst {worst:>7.1} ms");
        }
    }
}

/// Lets it happen, undoes it, and waits until all is well again.
pub fn suffer(cluster: &mut Cluster, fault: Fault, figures: &mut Figures) {
    let (leader, standing) = cluster.leader_but(None).expect("all is well before");
    let victim = match fault.target {
        Target::Leader | Target::Nobody => leader,
        Target::Replica(turn) => (leader + 1 + turn) % MEMBERS,
    };
    let before = cluster.acknowledged();
    cluster.ears.watch(leader);
    let began = Instant::now();
    let leads = victim == leader;
    let succeeded = |cluster: &mut Cluster| {
        if leads {
            cluster.await_successor(leader, standing.epoch);
        }
    };
    match fault.kind {
        "kill" => {
            cluster.members[victim].kill();
            succeeded(cluster);
            rest(cluster, fault);
            cluster.members[victim].start();
        }
        "freeze" => {
            cluster.members[victim].signal("STOP");
            succeeded(cluster);
            rest(cluster, fault);
            cluster.members[victim].signal("CONT");
        }
        "stop" => {
            cluster.members[victim].stop();
            succeeded(cluster);
            rest(cluster, fault);
            cluster.members[victim].start();
        }
        "cut off from nodes" => {
            cut(cluster, victim, false);
            rest(cluster, fault);
        }
        "cut off from etcd" => {
            cluster.mesh.cut(victim, ETCD);
            rest(cluster, fault);
        }
        "cut off from nodes and etcd" => {
            cut(cluster, victim, true);
            succeeded(cluster);
            rest(cluster, fault);
        }
        "kill etcd" => {
            cluster.etcd.kill();
            rest(cluster, fault);
            cluster.etcd.start_again();
        }
        "kill while etcd is away" => {
            cluster.etcd.kill();
            cluster.members[victim].kill();
            rest(cluster, fault);
            cluster.etcd.start_again();
            succeeded(cluster);
            cluster.members[victim].start();
        }
        other => panic!("no such fault: {other}"),
    }
    cluster.mesh.mend_all();
    cluster.heal();
    figures.faults += 1;
    let next = cluster.ears.next_after(began);
    let now = cluster.leader();
    let report = cluster.members[now].status().expect("all is well");
    let step = |name: &str| counter(&report, &format!("replication.takeover_{name}_ns")) as f64 / 1e6;
    let mut told = String::new();
    if let Some(next) = next.filter(|_| now != leader) {
        let row = [next.as_secs_f64() * 1e3, step("silence"), step("register"), step("commit")];
        told = format!(
            "; node {} leads, next acknowledgement after {:.1} ms (silence {:.1}, register {:.1}, first commit {:.1})",
            now + 1,
            row[0],
            row[1],
            row[2],
            row[3]
        );
        if fault.kind == "kill" {
            figures.takeovers.push(row);
        }
    }
    let who = if fault.target == Target::Nobody { String::new() } else { format!(" {}", victim + 1) };
    println!(
        "{:>3} {} {:?}{who} for {} ms{told}; well after {} ms, {} acknowledged",
        figures.faults,
        fault.kind,
        fault.target,
        fault.rest.as_millis(),
        began.elapsed().as_millis(),
        cluster.acknowledged() - before
    );
}

fn rest(cluster: &Cluster, fault: Fault) {
    cluster.ears.check();
    std::thread::sleep(fault.rest);
}

/// Cuts a node off from the others, and maybe from etcd; clients still reach it.
pub fn cut(cluster: &Cluster, victim: usize, etcd: bool) {
    let others = (0..MEMBERS).filter(|other| *other != victim);
    others.chain(etcd.then_some(ETCD)).for_each(|other| cluster.mesh.cut(victim, other));
}
