//! What all experiments need: where and how long to measure, and how a run on a node, or on an echo, is made.
use super::{Draft, Found};
use crate::cores::{Cores, on_core};
use crate::echo::{Echo, EchoClient, EchoConfig};
use crate::floor::stream::{self, Call};
use crate::load::Transactions;
use crate::measurement::{Latency, Run, Stage, histogram};
use crate::node::{Layout, Node, Settings};
use crate::peer::{self, Asked};
use crate::road::{End, Road};
use crate::schedule::{Measured, Plan};
use crate::workload::{BLOCK_BYTES, CANONICAL, Workload};
use gds_core::stages::{StageCounts, highest_of};
use gds_nic::{Transport, UdpConfig, UdpPort};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Somebody wants this process to end. It is a process that is interrupted, so this is the process's.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// No more runs are to be begun; those that would be fail. Returns whether that was known already.
pub fn interrupt() -> bool {
    INTERRUPTED.swap(true, Ordering::AcqRel)
}

/// Was it?
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Acquire)
}

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// For the report: five repetitions, full length.
    Full,
    /// For a look: two repetitions, short.
    Quick,
}

/// Where, with what and how long.
pub struct Bench<'a> {
    /// The binary under test.
    pub gds: PathBuf,
    /// Where it runs and where the load comes from.
    pub cores: Cores,
    /// How much is measured.
    pub extent: Extent,
    /// Repetitions, if not those of the extent.
    pub repetitions: Option<u32>,
    /// The program that measures Aeron, where it is built.
    pub aeron: Option<PathBuf>,
    /// A folder on the disk that is measured.
    pub disk: PathBuf,
    /// The seed of the workloads.
    pub seed: u64,
    /// Is told what is being done.
    pub tell: &'a dyn Fn(&str),
    /// Workloads made so far.
    pub workloads: RefCell<BTreeMap<String, Arc<Workload>>>,
}

impl Bench<'_> {
    /// The repetitions, numbered from 1.
    pub fn repetitions(&self) -> std::ops::RangeInclusive<u32> {
        let most = if self.extent == Extent::Full { 5 } else { 2 };
        1..=self.repetitions.unwrap_or(most)
    }

    /// A plan that measures for so long; a quarter of it for a look.
    pub fn plan(&self, seconds: f64) -> Plan {
        let seconds = if self.extent == Extent::Full { seconds } else { (seconds / 4.0).max(0.5) };
        Plan::new(Duration::from_secs_f64(seconds))
    }

    /// A workload, made once.
    pub fn workload(&self, name: &str) -> Arc<Workload> {
        let mut made = self.workloads.borrow_mut();
        let make =
            || Arc::new(Workload::named(name, self.seed).expect("experiments name workloads there are"));
        made.entry(name.to_owned()).or_insert_with(make).clone()
    }

    /// A node with all agents on the system's processor.
    pub fn node(&self) -> Settings {
        Settings::new(&self.gds, Layout::One(self.cores.system))
    }

    /// A node that has both processors for itself, but for the load.
    pub fn spread_node(&self) -> Settings {
        Settings::new(&self.gds, Layout::Spread(self.cores.system, self.cores.load))
    }

    /// The transports of this machine: those that can be opened.
    pub fn transports(&self) -> Vec<Transport> {
        let opens = |transport: &Transport| {
            let any = std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 0);
            UdpPort::open(UdpConfig { transport: *transport, ..UdpConfig::new(any) }).is_ok()
        };
        [Transport::Socket, Transport::IoUring].into_iter().filter(opens).collect()
    }

    /// A run of transactions on a new node; `measure` drives them from the load's processor.
    pub fn transactions(
        &self,
        draft: Draft,
        settings: &Settings,
        workload: &Arc<Workload>,
        measure: impl FnOnce(&mut Transactions) -> Measured + Send,
    ) -> Run {
        let draft = draft
            .workload(workload.name())
            .with("transport", &settings.road)
            .with("durability", &settings.durability);
        let outcome =
            Node::start(settings).and_then(|node| self.on_node(draft.clone(), node, workload, measure));
        outcome.unwrap_or_else(|why| draft.failed(why))
    }

    /// A new node, unless no more are wanted.
    pub fn start(&self, settings: &Settings) -> Result<Node, String> {
        Self::go_on()?;
        Node::start(settings)
    }

    /// Are more runs wanted?
    ///
    /// # Errors
    /// That they are not.
    pub fn go_on() -> Result<(), String> {
        if interrupted() { Err("interrupted".into()) } else { Ok(()) }
    }

    /// The same on a node that runs; it is stopped at the end.
    pub fn on_node(
        &self,
        draft: Draft,
        mut node: Node,
        workload: &Arc<Workload>,
        measure: impl FnOnce(&mut Transactions) -> Measured + Send,
    ) -> Result<Run, String> {
        let (network, road) = (node.network()?, node.road().clone());
        let before = node.stages();
        let (measured, rejected, trouble, resent) = on_core(self.cores.load, || {
            let open = || Transactions::open(&network, workload.clone(), 1);
            let mut transactions = road.on(End::Near, open)?;
            transactions.wait_until_ready()?;
            let measured = measure(&mut transactions);
            let rejected = (transactions.rejected() > 0)
                .then(|| format!("the store rejected {} transactions", transactions.rejected()));
            let trouble = transactions.trouble().map(str::to_owned);
            Ok((measured, rejected, trouble, transactions.writer().counters().resent.get()))
        })?;
        let stages = stages(before, node.stages());
        let resident = node.resident_bytes().unwrap_or(0) as f64;
        node.stop()?;
        Ok(draft
            .stages(stages)
            .figure("resent_packets", resent as f64)
            .figure("resident_mib", resident / f64::from(1 << 20))
            .failing(rejected)
            .failing(trouble)
            .measured(&measured))
    }

    /// What peers come to when they are asked the same: to be called beside the runs that they stand beside.
    pub fn peers(&self, found: &mut Found, asked: &Asked<'_>) {
        if interrupted() {
            return;
        }
        let (runs, skipped) = peer::stores(asked, self.cores);
        found.runs.extend(runs);
        found.skipped.extend(skipped);
        self.aeron(found, asked);
    }

    /// What Aeron comes to.
    pub fn aeron(&self, found: &mut Found, asked: &Asked<'_>) {
        if interrupted() {
            return;
        }
        match peer::aeron::measure(self.aeron.as_deref(), asked, self.cores) {
            Ok(run) => found.runs.push(run),
            Err(why) => found.skipped.push(why),
        }
    }

    /// A run on a bare echo on the system's processor.
    pub fn echo(
        &self,
        draft: Draft,
        config: EchoConfig,
        measure: impl FnOnce(&mut EchoClient) -> Measured + Send,
    ) -> Run {
        let draft = draft.with("transport", &config.road);
        let outcome = Self::go_on().and_then(|()| Echo::start(config)).and_then(|echo| {
            on_core(self.cores.load, || Ok(measure(&mut EchoClient::open(&echo, BLOCK_BYTES)?)))
        });
        match outcome {
            Ok(measured) => draft.measured(&measured),
            Err(why) => draft.failed(why),
        }
    }

    /// A run of packets one way, for so long.
    pub fn stream(&self, draft: Draft, road: &Road, call: Call, duration: Duration) -> Run {
        let draft = draft.workload(CANONICAL).with("transport", road).with("packets_per_call", call.packets);
        match Self::go_on().and_then(|()| stream::measure(road, call, self.cores, duration)) {
            Ok(streamed) => {
                let arrived = streamed.received as f64 / streamed.sent.max(1) as f64;
                draft
                    .figure("dropped_percent", 100.0 * (1.0 - arrived))
                    .rate(streamed.received, streamed.rate)
            }
            Err(why) => draft.failed(why),
        }
    }
}

type Counts = Option<Vec<(gds_core::stages::Stage, StageCounts)>>;

/// What the node's stages saw between two readings.
fn stages(before: Counts, after: Counts) -> Vec<Stage> {
    let (Some(before), Some(after)) = (before, after) else { return Vec::new() };
    let between = |(stage, now): (gds_core::stages::Stage, StageCounts), then: &StageCounts| {
        let mut latency = histogram();
        for (bucket, count) in now.since(then).counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            latency.saturating_record_n(highest_of(bucket).max(1), *count);
        }
        Stage { name: stage.as_str().into(), latency: Latency::of(&latency) }
    };
    after.into_iter().zip(&before).map(|(now, (_, then))| between(now, then)).collect()
}
