//! `gds bench load`.
use super::{echo, table};
use crate::cores::on_core;
use crate::load::Transactions;
use crate::report::numbers::{count, time};
use crate::schedule::{Measured, Plan, open_loop};
use crate::workload::{CANONICAL, Workload};
use clap::Args;
use gds_client::{Network, Reader};
use gds_nic::IdleStrategy;
use gds_node::config::Config;
use indicatif::{ProgressBar, ProgressStyle};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// `gds bench load`
#[derive(Args)]
#[command(
    after_help = "Transactions are sent on a schedule, whether or not those before them were acknowledged, and each one's latency counts from \
when it was due. So a node that stalls shows it, and a machine that cannot keep the rate is told so: the run is then marked FAILED, as it is when an \
answer was lost.\n\n\
It writes: the put workloads a million records with eight-byte keys into table 1, `itch_day` orders and stocks of sessions that begin with ITCH \
(and empties their tables first). Not for a node in production.\n\n\
Examples:\n  gds bench load --config node.toml --rate 100000 --seconds 10\n  \
gds bench load --config node.toml --rate 250000 --packed --core 3"
)]
pub struct Load {
    /// The configuration of the node (default: the defaults)
    #[arg(long, short)]
    config: Option<PathBuf>,
    /// Messages a second
    #[arg(long, value_name = "MESSAGES")]
    rate: f64,
    /// How long is measured, after a fifth of it as warm-up
    #[arg(long, default_value_t = 10.0, value_name = "SECONDS")]
    seconds: f64,
    /// What is sent (see `gds bench list`)
    #[arg(long, default_value = CANONICAL)]
    workload: String,
    /// Seed of the workload
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// As many messages are due together as fit a packet; else each by itself
    #[arg(long)]
    packed: bool,
    /// The processor to send from: it is kept busy whole
    #[arg(long)]
    core: Option<usize>,
    /// User to log in as, to ask how far the stream is
    #[arg(long, default_value = "reader")]
    user: String,
    /// Password (or the environment variable GDS_PASSWORD)
    #[arg(long, env = "GDS_PASSWORD", default_value = "reader", hide_env_values = true)]
    password: String,
}

/// A time that can be measured for.
pub fn seconds(seconds: f64) -> Result<Duration, String> {
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|duration| !duration.is_zero() && duration.as_secs() < 86_400)
        .ok_or_else(|| format!("--seconds {seconds}: a time above 0 and below a day"))
}

/// A rate that can be sent at.
pub fn rate(rate: f64) -> Result<f64, String> {
    let possible = rate.is_finite() && rate > 0.0 && rate <= 1e9;
    possible.then_some(rate).ok_or_else(|| format!("--rate {rate}: a number above 0 and up to a billion"))
}

/// Sends, and tells.
pub fn run(arguments: &Load) -> Result<(), String> {
    let workload = Arc::new(Workload::named(&arguments.workload, arguments.seed)?);
    let group = if arguments.packed { workload.per_packet() } else { 1 };
    let idle = if arguments.core.is_some() { IdleStrategy::Spin } else { IdleStrategy::Yield };
    let plan = Plan { idle, ..Plan::new(seconds(arguments.seconds)?) };
    let plan = plan.at_rate(rate(arguments.rate)?).in_groups_of(group);
    let config = match &arguments.config {
        Some(file) => Config::load(file).map_err(|error| error.to_string())?,
        None => Config::default(),
    };
    let network = Network::of(&config).map_err(|error| error.to_string())?;
    let next = next_acknowledgement(&network, arguments)?;
    let waiting = waiting(plan.warm_up + plan.duration);
    let (measured, rejected, trouble) = on_core(arguments.core, || {
        let mut transactions = Transactions::open(&network, workload.clone(), next)?;
        let measured = open_loop(&mut transactions, &plan);
        Ok((measured, transactions.rejected(), transactions.trouble().map(str::to_owned)))
    })?;
    waiting.finish_and_clear();
    tell(arguments, &workload, &measured);
    if rejected > 0 {
        println!("{rejected} transactions were rejected by the store: is it full, or has it no table 1?");
    }
    if let Some(trouble) = trouble {
        println!("trouble: {trouble}");
    }
    measured.failed().map_or(Ok(()), |why| Err(format!("the run does not count: {why}")))
}

/// The place in the acknowledgements is asked for first, so that none is missed.
fn next_acknowledgement(network: &Network, arguments: &Load) -> Result<u64, String> {
    let patience = Duration::from_secs(5);
    let mut reader = Reader::open(network, &arguments.user, &arguments.password, patience)
        .map_err(|error| error.to_string())?;
    let applied = reader.status(0).map_err(|error| error.to_string())?.status.applied;
    reader.close();
    Ok(applied + 1)
}

/// Something that moves while it is measured, drawn by nobody who could disturb: twice a second.
fn waiting(duration: Duration) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    let style = ProgressStyle::with_template("{spinner} {msg}, {elapsed}").expect("the template is right");
    bar.set_style(style);
    bar.set_message(format!("measuring for {:.0} s", duration.as_secs_f64()));
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}

fn tell(arguments: &Load, workload: &Workload, measured: &Measured) {
    println!(
        "{} messages of {} at {} a second wanted",
        count(measured.sent as f64),
        workload.name(),
        count(arguments.rate)
    );
    let name = if arguments.packed { "acknowledgement, packed" } else { "acknowledgement" };
    print!("{}", table::text(&echo::HEAD, &[echo::row(name.to_owned(), measured)]));
    println!(
        "the sender itself was late by p50 {}, p99 {}; late answers: {}",
        time(measured.lateness.value_at_quantile(0.5) as f64),
        time(measured.lateness.value_at_quantile(0.99) as f64),
        measured.late
    );
}
