//! Aeron under the load that GDS gets: 200-byte messages over multicast on the loopback interface, measured by the rig's own loops
//! ([`gds_bench::schedule`]), so that its figures stand beside GDS's.
//!
//! Two ends, each a thread on a processor of its own, which drives an embedded C media driver (threading mode INVOKER) and a client of it, and
//! never sleeps: the layout in which nothing is handed from thread to thread. Everything else is Aeron's default. `gds bench` runs this
//! program where it is built, once for each run, and reads the [`Run`](gds_bench::measurement::Run) that it prints as JSON.
//!
//! Loss is Aeron's own, injected where datagrams come in; its driver reads it from the environment, for 1 %:
//!
//! ```text
//! AERON_UDP_CHANNEL_INCOMING_INTERCEPTORS=loss
//! AERON_UDP_CHANNEL_TRANSPORT_BINDINGS_LOSS_ARGS=rate=0.01|seed=7|recv-msg-mask=0xF
//! ```
#![forbid(unsafe_code)]
mod end;
mod far;
mod near;

use clap::{Parser, ValueEnum};
use end::End;
use gds_bench::addresses;
use gds_bench::cores::on_core;
use gds_bench::experiment::Draft;
use gds_bench::measurement::{Run, Subject};
use gds_bench::peer::RECORD_BYTES;
use gds_bench::schedule::{Plan, Target, closed_loop, open_loop, saturate};
use near::Near;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Aeron's multicast under the load that GDS gets; prints a run as JSON.
#[derive(Parser)]
struct Arguments {
    /// How messages come
    #[arg(value_enum)]
    pace: Pace,
    /// How long is measured, in seconds
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Messages a second, for `at-rate`
    #[arg(long, default_value_t = 20_000.0)]
    rate: f64,
    /// Processor of the far end (default: wherever the kernel puts it)
    #[arg(long)]
    far: Option<usize>,
    /// Where the drivers keep their buffers
    #[arg(long, default_value = gds_bench::node::MEMORY)]
    files: PathBuf,
    /// Processor of the near end
    #[arg(long)]
    near: Option<usize>,
}

/// How messages come.
#[derive(Clone, Copy, ValueEnum)]
enum Pace {
    /// There and back, one at a time
    Depth1,
    /// There and back, open loop
    AtRate,
    /// There and back, as fast as it goes
    Saturating,
    /// One way, as fast as it goes
    OneWay,
}

fn main() -> ExitCode {
    let measured = measure(&Arguments::parse());
    match measured.map(|run| serde_json::to_string(&run).expect("a run can be written")) {
        Ok(json) => {
            println!("{json}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("aeron: {why}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> Result<Run, String> {
    let [there, back] = addresses::udp_ports()?.map(group);
    let (ended, heard) = (AtomicBool::new(false), AtomicU64::new(0));
    let one_way = matches!(arguments.pace, Pace::OneWay);
    std::thread::scope(|scope| {
        let far = scope.spawn(|| {
            on_core(arguments.far, || {
                let mut end = End::open(&arguments.files, back, there)?;
                end.connect()?;
                if one_way { far::count(end, &ended, &heard) } else { far::echo(end, &ended) }
            })
        });
        let near = on_core(arguments.near, || {
            let mut end = End::open(&arguments.files, there, back)?;
            end.connect()?;
            if one_way { stream(arguments, end, &heard) } else { round_trips(arguments, end) }
        });
        ended.store(true, Ordering::Release);
        far.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).and(near)
    })
}

/// A group that goes with a port. Aeron wants its last number to be odd: the next one is for what receivers say.
fn group(port: u16) -> SocketAddrV4 {
    let [high, low] = port.to_be_bytes();
    SocketAddrV4::new(Ipv4Addr::new(239, 194, high, low | 1), port)
}

fn draft() -> Draft {
    Draft::new("aeron", "aeron", Subject::Peer, 1).workload(&format!("bytes_{RECORD_BYTES}"))
}

fn round_trips(arguments: &Arguments, end: End) -> Result<Run, String> {
    let mut near = Near::new(end);
    let plan = Plan::new(Duration::from_secs_f64(arguments.seconds));
    let target: &mut dyn Target = &mut near;
    let measured = match arguments.pace {
        Pace::AtRate => open_loop(target, &plan.at_rate(arguments.rate)),
        Pace::Saturating => saturate(target, &plan),
        Pace::Depth1 | Pace::OneWay => closed_loop(target, &plan),
    };
    Ok(draft().failing(near.fault()).measured(&measured))
}

/// Offers as fast as Aeron takes it; what counts is what the far end has heard.
fn stream(arguments: &Arguments, mut end: End, heard: &AtomicU64) -> Result<Run, String> {
    let message = [0x5A; RECORD_BYTES];
    let mut during = |duration: Duration| -> Result<(u64, f64), String> {
        let (begun, before) = (Instant::now(), heard.load(Ordering::Acquire));
        while begun.elapsed() < duration {
            while end.offer(&message)? {}
            end.turn()?;
        }
        Ok((heard.load(Ordering::Acquire) - before, begun.elapsed().as_secs_f64()))
    };
    let duration = Duration::from_secs_f64(arguments.seconds);
    during(duration / 5)?;
    let (count, seconds) = during(duration)?;
    Ok(draft().rate(count, count as f64 / seconds))
}
