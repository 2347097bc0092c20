//! What two revisions are compared by. Each measurement starts a node of its own, with all agents on one processor, and brings load from the
//! other.
use super::{Direction, Metric};
use crate::cores::{Cores, on_core};
use crate::experiment::{Bench, Draft, Extent};
use crate::load::{Queries, Transactions};
use crate::measurement::{Run, Subject};
use crate::node::Node;
use crate::schedule::{PATIENCE, Plan, Target as _, closed_loop, saturate};
use crate::workload::{CANONICAL, Workload};
use gds_nic::clock;
use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One transaction at a time: the median time to its acknowledgement.
pub const ACKNOWLEDGEMENT: &str = "acknowledgement, depth 1, p50";
/// Acknowledged transactions a second, with the client's window full.
pub const THROUGHPUT: &str = "throughput, saturating";
/// One get at a time: the median time to its answer.
pub const GET: &str = "get, depth 1, p50";

/// How long a latency is measured.
const LATENCY: Duration = Duration::from_millis(800);
/// How long throughput is.
const SATURATION: Duration = Duration::from_millis(1500);
/// Records that are there to be got.
const RECORDS: u64 = 100_000;
/// Of these under way while they are written: few enough for any socket's buffer.
const AHEAD: u64 = 512;
/// What the journal keeps in memory.
const KEPT_BYTES: u64 = 1 << 30;

/// All of them.
pub fn all() -> Vec<Box<dyn Metric>> {
    let cores = Cores::choose();
    let canonical = Arc::new(Workload::named(CANONICAL, 7).expect("it is the canonical one"));
    let of = |name, direction, measure| -> Box<dyn Metric> {
        Box::new(Measure { name, direction, measure, cores, workload: Arc::clone(&canonical) })
    };
    vec![
        of(ACKNOWLEDGEMENT, Direction::Lower, acknowledgement),
        of(GET, Direction::Lower, get),
        of(THROUGHPUT, Direction::Higher, throughput),
    ]
}

struct Measure {
    name: &'static str,
    direction: Direction,
    measure: fn(&Bench<'_>, &Arc<Workload>) -> Result<f64, String>,
    cores: Cores,
    workload: Arc<Workload>,
}

impl Metric for Measure {
    fn name(&self) -> &str {
        self.name
    }

    fn direction(&self) -> Direction {
        self.direction
    }

    fn measure(&mut self, binary: &Path) -> Result<f64, String> {
        let bench = Bench {
            gds: binary.to_owned(),
            cores: self.cores,
            extent: Extent::Quick,
            repetitions: Some(1),
            aeron: None,
            disk: std::env::temp_dir(),
            seed: 7,
            tell: &|_| {},
            workloads: RefCell::default(),
        };
        (self.measure)(&bench, &self.workload)
    }
}

fn counts(run: Run) -> Result<Run, String> {
    match run.failed {
        Some(why) => Err(why),
        None => Ok(run),
    }
}

fn draft() -> Draft {
    Draft::new("ab", "gds", Subject::System, 1)
}

fn acknowledgement(bench: &Bench<'_>, workload: &Arc<Workload>) -> Result<f64, String> {
    let plan = Plan::new(LATENCY);
    let run = bench.transactions(draft(), &bench.node(), workload, |target| closed_loop(target, &plan));
    let latency = counts(run)?.latency.ok_or("no latency was measured")?;
    Ok(latency.quantile_ns(0.5) as f64)
}

fn throughput(bench: &Bench<'_>, workload: &Arc<Workload>) -> Result<f64, String> {
    let mut settings = bench.node();
    settings.keep_bytes = Some(KEPT_BYTES);
    let plan = Plan::new(SATURATION);
    let run = bench.transactions(draft(), &settings, workload, |target| saturate(target, &plan));
    Ok(counts(run)?.rate)
}

fn get(bench: &Bench<'_>, _: &Arc<Workload>) -> Result<f64, String> {
    let workload = Arc::new(Workload::filling(RECORDS));
    let mut node = Node::start(&bench.node())?;
    let network = node.network()?;
    let measured = on_core(bench.cores.load, || {
        fill(&mut Transactions::open(&network, Arc::clone(&workload), 1)?)?;
        let mut queries = Queries::open(&network, Arc::clone(&workload))?;
        let measured = closed_loop(&mut queries, &Plan::new(LATENCY));
        match queries.trouble() {
            Some(trouble) => Err(trouble.to_owned()),
            None if queries.missing() > 0 => Err(format!("{} records were not found", queries.missing())),
            None => Ok(measured),
        }
    })?;
    node.stop()?;
    match measured.failed() {
        Some(why) => Err(why),
        None => Ok(measured.latency.value_at_quantile(0.5) as f64),
    }
}

/// Writes every record.
fn fill(transactions: &mut Transactions) -> Result<(), String> {
    transactions.wait_until_ready()?;
    let (mut begun, mut answered, mut heard) = (0, 0, Instant::now());
    while answered < RECORDS {
        while begun < RECORDS.min(answered + AHEAD) && transactions.submit(begun) {
            begun += 1;
        }
        let before = answered;
        transactions.poll(clock::monotonic_ns(), &mut |_| answered += 1);
        if answered > before {
            heard = Instant::now();
        } else if heard.elapsed() > PATIENCE {
            return Err(format!("{answered} of {RECORDS} records were acknowledged"));
        }
    }
    Ok(())
}
