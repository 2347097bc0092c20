//! `gds bench echo`.
use super::table;
use crate::cores::{Cores, on_core};
use crate::echo::{Cast, Echo, EchoClient, EchoConfig};
use crate::report::numbers::{count, time};
use crate::schedule::{Measured, Plan, closed_loop, open_loop};
use crate::workload::BLOCK_BYTES;
use clap::Args;
use gds_nic::Transport;
use std::time::Duration;

/// `gds bench echo`
#[derive(Args)]
#[command(
    after_help = "A packet of one 200-byte message goes to a thread on another processor and comes back; nothing is done in between. Multicast goes to one \
group and comes back on another, as on the bus. No acknowledgement of GDS on this machine can be quicker than that.\n\n\
Examples:\n  gds bench echo                      one packet at a time\n  gds bench echo --rate 100000        open loop, at a rate"
)]
pub struct EchoCommand {
    /// Messages a second, open loop (default: one at a time)
    #[arg(long, value_name = "MESSAGES")]
    rate: Option<f64>,
    /// How long each is measured
    #[arg(long, default_value_t = 2.0, value_name = "SECONDS")]
    seconds: f64,
}

/// Measures every combination.
pub fn run(arguments: &EchoCommand) -> Result<(), String> {
    let mut plan = Plan::new(super::load::seconds(arguments.seconds)?);
    if let Some(rate) = arguments.rate {
        plan = plan.at_rate(super::load::rate(rate)?);
    }
    let cores = Cores::choose();
    let mut rows = Vec::new();
    for cast in [Cast::Unicast, Cast::Multicast] {
        for transport in [Transport::Socket, Transport::IoUring] {
            let name = format!("{} over {transport}", cast.as_str());
            rows.push(match measure(EchoConfig::new(transport, cast, cores.system), cores, &plan) {
                Ok(measured) => row(name, &measured),
                Err(why) => {
                    eprintln!("{name}: {why}");
                    continue;
                }
            });
        }
    }
    print!("{}", table::text(&HEAD, &rows));
    Ok(())
}

/// Head of a table of latencies.
pub const HEAD: [&str; 9] = ["", "rate /s", "lost", "p50", "p90", "p99", "p99.9", "longest", "verdict"];

/// A row of it.
pub fn row(name: String, measured: &Measured) -> Vec<String> {
    let quantile = |share| time(measured.latency.value_at_quantile(share) as f64);
    let figures = [0.5, 0.9, 0.99, 0.999, 1.0].map(quantile);
    let verdict = measured.failed().map_or("counts".to_owned(), |why| format!("FAILED: {why}"));
    [name, count(measured.rate), measured.lost().to_string()]
        .into_iter()
        .chain(figures)
        .chain([verdict])
        .collect()
}

fn measure(config: EchoConfig, cores: Cores, plan: &Plan) -> Result<Measured, String> {
    let echo = Echo::start(config)?;
    on_core(cores.load, || {
        let mut client = EchoClient::open(&echo, BLOCK_BYTES)?;
        Ok(if plan.rate > 0.0 { open_loop(&mut client, plan) } else { closed_loop(&mut client, plan) })
    })
    .inspect(|_| std::thread::sleep(Duration::from_millis(10)))
}
