//! `gds run`: a node, until it is told to stop.
mod starting;

use crate::arguments::Run;
use crate::config;
use crate::exit::{Failure, Outcome};
use crate::text;
use crate::trouble::{TROUBLE_LOOK, Told};
use crate::tune;
use gds_node::config::Config;
use gds_node::node::Node;
use gds_node::step::StartError;
use serde_json::json;
use starting::Starting;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often the node is asked whether it still runs.
const LOOK: Duration = Duration::from_millis(20);

/// Starts a node, says where it is, and stops it in order.
pub fn run(arguments: &Run) -> Outcome {
    let config = config::load(arguments.config.as_deref())?;
    tune::at_start(&config)?;
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    ctrlc::set_handler(move || flag.store(true, Ordering::Release)).map_err(Failure::failed)?;
    let mut cut_after = None;
    let node = loop {
        let Some(node) = start(&config, cut_after, &stop)? else {
            tell_early_end(arguments.json);
            return Ok(());
        };
        if arguments.json {
            tell_json(&node)
        } else {
            tell(&node, &config)
        }
        run_on(&node, &stop, arguments.json);
        cut_after = node.cut_after();
        if stop.load(Ordering::Acquire) || cut_after.is_none() && !node.must_relearn() && !node.must_rename()
        {
            break node;
        }
        let what = match (cut_after, node.must_rename()) {
            (Some(_), _) => "cut_after",
            (None, true) => "rename",
            (None, false) => "relearn",
        };
        let why = node.stop().err().map(|fault| fault.to_string()).unwrap_or_default();
        tell_again(arguments.json, (what, cut_after), &why);
    };
    if arguments.end_stream && node.fault().is_none() {
        node.end_stream();
    }
    let last = node.stream().progress.sequenced.get();
    let stream = node.stream().name;
    node.stop().map_err(|fault| Failure::failed(format!("the node stopped: {fault}")))?;
    if arguments.json {
        println!("{}", json!({ "stopped": true, "stream": stream.to_string(), "last": last }));
    } else {
        println!("stopped in order: stream {stream} ends at {}", text::grouped(last));
    }
    Ok(())
}

/// Waits until it is told to stop or stops by itself, and tells what troubles it meanwhile.
fn run_on(node: &Node, stop: &AtomicBool, json: bool) {
    let (mut told, mut looked) = (Told::new(json), Instant::now());
    while !stop.load(Ordering::Acquire) && node.fault().is_none() {
        std::thread::sleep(LOOK);
        if looked.elapsed() >= TROUBLE_LOOK {
            looked = Instant::now();
            told.tell(&node.troubles());
        }
    }
}

/// Starts the node, with its log cut back first where a leader said so; `None`: it was told to stop before it ran.
fn start(config: &Config, cut_after: Option<u64>, stop: &AtomicBool) -> Result<Option<Node>, Failure> {
    let mut starting = Starting::new(stop);
    let node = Node::start_cut(config, cut_after, &mut |step| starting.watch(step));
    starting.finish();
    match node {
        Ok(node) => Ok(Some(node)),
        Err(StartError::Stopped) => Ok(None),
        Err(StartError::Fault(fault)) => Err(Failure::failed(fault)),
    }
}

fn tell_early_end(json: bool) {
    if json {
        println!("{}", json!({ "stopped": true, "ready": false }));
    } else {
        println!("stopped in order, before it ran; the next start goes on where this one ended");
    }
}

/// Why it starts again: its log is to be cut back, it needs a snapshot of another node, or the stream has another session name.
fn tell_again(json: bool, (what, cut_after): (&str, Option<u64>), why: &str) {
    if json {
        println!("{}", json!({ "ready": false, what: cut_after, "why": why }));
    } else {
        println!("{why}; starting again");
    }
}

fn tell_json(node: &Node) {
    let (addresses, report) = (node.addresses(), node.report());
    println!(
        "{}",
        json!({
            "ready": true,
            "stream": node.stream().name.to_string(),
            "acknowledgements": node.acknowledgements().name.to_string(),
            "applied": node.reader().applied(),
            "journalled": report.journalled,
            "merged_from_ring": report.merged,
            "snapshot": report.snapshot,
            "read_ns": report.read_ns,
            "replay_ns": report.replay_ns,
            "torn": report.torn.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "ingress": addresses.ingress.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "downstream": addresses.downstream.to_string(),
            "acknowledgement_group": addresses.acknowledgements.to_string(),
            "rewinder": addresses.rewinder.to_string(),
            "query": addresses.query.to_string(),
            "lost": report.lost,
            "notices": node.notices(),
        })
    );
}

fn tell(node: &Node, config: &Config) {
    let (addresses, report) = (node.addresses(), node.report());
    let number = text::grouped;
    let ingress: Vec<String> = addresses.ingress.iter().map(ToString::to_string).collect();
    let began = match (report.new, report.merged) {
        (true, _) => "new".to_owned(),
        (false, 0) => format!("{} messages from the journal", number(report.journalled)),
        (false, merged) => {
            format!(
                "{} messages from the journal, {} from the ring",
                number(report.journalled),
                number(merged)
            )
        }
    };
    let began = match report.snapshot {
        0 => began,
        snapshot => format!("{began}; the store from the snapshot at message {}", number(snapshot)),
    };
    println!("GDS node, stream {} ({began})", node.stream().name);
    println!("  ingress           {}  on {}", ingress.join(" and "), config.network.interface);
    println!("  downstream        {}  session {}", addresses.downstream, node.stream().name);
    println!("  acknowledgements  {}  session {}", addresses.acknowledgements, node.acknowledgements().name);
    println!("  rewinder          {}", addresses.rewinder);
    println!("  queries           {}  SoupBinTCP", addresses.query);
    println!(
        "  durability        {:?}, journal in {}",
        config.stream.durability,
        config.stream.directory.display()
    );
    for core in &config.core {
        let there = core.agents.iter().filter(|name| gds_node::settings::is_there(config, **name));
        let agents: Vec<&str> = there.map(|agent| agent.as_str()).collect();
        let cpu = if core.cpu < 0 { "any processor".to_owned() } else { format!("processor {}", core.cpu) };
        println!("  core              {cpu}, idle {:?}: {}", core.idle, agents.join(" "));
    }
    if config.cluster.node > 0 {
        let peers = config.cluster.peer.len();
        println!(
            "  cluster           node {} of {}, group {}:{}, register {}",
            config.cluster.node,
            peers + 1,
            config.cluster.group,
            config.cluster.port,
            config.cluster.register
        );
    }
    if let Some(lost) = &report.lost {
        println!("  lost              {lost}");
    }
    for torn in &report.torn {
        println!("  cut back          {torn}");
    }
    for notice in node.notices() {
        println!("  note              {notice}");
    }
    println!("running; SIGINT or SIGTERM stops it in order");
}
