//! `gds rewind`: a rewinder and nothing else, until it is told to stop.
use crate::arguments::Rewind;
use crate::config;
use crate::exit::{Failure, Outcome};
use crate::text;
use crate::trouble::{TROUBLE_LOOK, Told};
use crate::tune;
use gds_node::rewind::RewindNode;
use gds_wire::session::Session;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often it is asked whether it still runs.
const LOOK: Duration = Duration::from_millis(20);

/// Starts a rewinder, says where it is, tells what troubles it, and stops it in order.
pub fn run(arguments: &Rewind) -> Outcome {
    let config = config::load(Some(&arguments.config))?;
    tune::at_start(&config)?;
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    ctrlc::set_handler(move || flag.store(true, Ordering::Release)).map_err(Failure::failed)?;
    let mut told = Told::new(arguments.json);
    let mut waiting = |why: &str| {
        told.tell(&[why.to_owned()]);
        !stop.load(Ordering::Acquire)
    };
    let accepted = arguments.accept_session.as_deref().map(accepted).transpose()?;
    let mut node = RewindNode::start_accepting(&config, accepted, &mut waiting).map_err(Failure::failed)?;
    if arguments.json {
        tell_json(&node);
    } else {
        tell(&node);
    }
    let mut looked = Instant::now();
    while !stop.load(Ordering::Acquire) && node.fault().is_none() {
        std::thread::sleep(LOOK);
        if looked.elapsed() >= TROUBLE_LOOK {
            looked = Instant::now();
            told.tell(&node.troubles());
        }
    }
    let [stream, _] = node.streams().clone();
    node.stop().map_err(|fault| Failure::failed(format!("the rewinder stopped: {fault}")))?;
    let last = stream.progress.journalled.get();
    if arguments.json {
        println!("{}", json!({ "stopped": true, "stream": stream.session.to_string(), "last": last }));
    } else {
        println!("stopped in order: {} of stream {} is kept", text::grouped(last), stream.session);
    }
    Ok(())
}

fn accepted(name: &str) -> Result<Session, Failure> {
    name.parse().map_err(|error| Failure::usage(format!("--accept-session {name:?}: {error}")))
}

fn tell_json(node: &RewindNode) {
    let [bus, acknowledgements] = node.streams();
    let addresses = node.addresses();
    println!(
        "{}",
        json!({
            "ready": true,
            "stream": bus.session.to_string(),
            "acknowledgements": acknowledgements.session.to_string(),
            "first_kept": node.first_kept()[0],
            "acknowledgements_first_kept": node.first_kept()[1],
            "journalled": bus.publish_from - 1,
            "acknowledgements_journalled": acknowledgements.publish_from - 1,
            "rewinder": addresses.rewinder.to_string(),
            "query": addresses.query.to_string(),
            "asks": node.rewinders().iter().map(ToString::to_string).collect::<Vec<_>>(),
            "directory": node.directory().display().to_string(),
            "notices": node.notices(),
        })
    );
}

fn tell(node: &RewindNode) {
    let ([bus, acknowledgements], addresses) = (node.streams(), node.addresses());
    let asks: Vec<String> = node.rewinders().iter().map(ToString::to_string).collect();
    println!("GDS rewinder, stream {}", bus.session);
    for (name, stream, group, first) in [
        ("downstream", bus, addresses.downstream, node.first_kept()[0]),
        ("acknowledgements", acknowledgements, addresses.acknowledgements, node.first_kept()[1]),
    ] {
        let last = stream.publish_from - 1;
        let kept = match last < first {
            true => format!("begins with {}", text::grouped(first)),
            false => format!("{} to {} are kept", text::grouped(first), text::grouped(last)),
        };
        println!("  {name:<16}  {group}  session {}: {kept}", stream.session);
    }
    println!("  rewinder          {}", addresses.rewinder);
    println!("  asks              {}", asks.join(", then "));
    println!("  queries           {}  SoupBinTCP: status, range, watch", addresses.query);
    println!("  journal           {}", node.directory().display());
    for notice in node.notices() {
        println!("  note              {notice}");
    }
    if node.first_kept()[0] > 1 {
        println!(
            "  note              no rewinder had the messages before {}",
            text::grouped(node.first_kept()[0])
        );
    }
    println!("running; SIGINT or SIGTERM stops it in order");
}
