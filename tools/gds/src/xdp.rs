//! `gds xdp`: the program that AF_XDP has the kernel run for every packet, and what an interface has now.
use crate::arguments::Xdp as Arguments;
use crate::config;
use crate::exit::{Failure, Outcome};
use gds_nic::interface::ResolvedInterface;
use gds_nic::xdp::program::PROGRAM_NAME;
use gds_nic::xdp::{AttachedProgram, FilterConfig, Flow, Program, attached};
use gds_node::config::{AgentName, Config};
use gds_node::node::Addresses;
use gds_node::settings;
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddrV4};

/// Shows both; changes nothing, and needs no privileges.
pub fn run(arguments: &Arguments) -> Outcome {
    let mut config = config::load(arguments.config.as_deref())?;
    if let Some(interface) = &arguments.interface {
        config.network.interface.clone_from(interface);
    }
    let interface = settings::interface(&config).resolve().map_err(Failure::failed)?;
    let attached = attached(&settings::interface(&config)).map_err(Failure::failed)?;
    let filter = filter(&config, interface.address);
    let program = Program::assemble(&filter).map_err(Failure::usage)?;
    let shown = Shown { interface, attached, filter, program };
    if arguments.json {
        println!("{}", shown.as_json());
    } else {
        print!("{}", shown.as_text());
    }
    Ok(())
}

/// The agents that are sent datagrams, in the order of their sockets. Those that only send have a socket too, whose port is drawn
/// when a node starts.
const RECEIVERS: [AgentName; 2] = [AgentName::Sequencer, AgentName::Rewinder];

/// What a node of this configuration lets through to itself; `own` is the interface's address.
fn filter(config: &Config, own: Ipv4Addr) -> FilterConfig {
    let addresses = Addresses::of(config, own);
    let ingress = addresses.ingress.iter().copied();
    let ingress = ingress.chain([SocketAddrV4::new(own, config.network.ingress_port)]).map(|to| (to, 0));
    let flows = ingress.chain([(addresses.rewinder, 1)]);
    let flows = flows.map(|(to, socket)| Flow { to, senders: Vec::new(), socket });
    FilterConfig { flows: flows.collect(), queue: 0 }
}

fn receiver(flow: &Flow) -> &'static str {
    RECEIVERS[flow.socket as usize].as_str()
}

/// What is told.
struct Shown {
    interface: ResolvedInterface,
    attached: Vec<AttachedProgram>,
    filter: FilterConfig,
    program: Program,
}

impl Shown {
    fn as_json(&self) -> Value {
        let attached = self.attached.iter().map(|program| {
            let mode = program.mode.map_or("hardware".to_owned(), |mode| mode.to_string());
            json!({ "id": program.id, "mode": mode, "name": program.name })
        });
        let flows = self.filter.flows.iter().map(
            |flow| json!({ "to": flow.to.to_string(), "senders": flow.senders, "agent": receiver(flow) }),
        );
        json!({
            "interface": self.interface.name,
            "address": self.interface.address,
            "attached": attached.collect::<Vec<_>>(),
            "queue": self.filter.queue,
            "flows": flows.collect::<Vec<_>>(),
            "instructions": self.program.instructions(),
            "listing": self.program.to_string().lines().collect::<Vec<_>>(),
        })
    }

    fn as_text(&self) -> String {
        let mut out = format!("{} ({}) has now:\n", self.interface.name, self.interface.address);
        if self.attached.is_empty() {
            out += "  no XDP program\n";
        }
        for attached in &self.attached {
            let of_a_node = attached.name.as_deref() == Some(PROGRAM_NAME);
            out += &format!("  {attached}{}\n", if of_a_node { ", of a node" } else { "" });
        }
        out += &format!("\nA node of this configuration takes, from receive queue {}:\n", self.filter.queue);
        for flow in &self.filter.flows {
            let senders: Vec<String> = flow.senders.iter().map(Ipv4Addr::to_string).collect();
            let senders = if senders.is_empty() { "anyone".to_owned() } else { senders.join(", ") };
            out += &format!("  {:<22}from {senders} to the {}\n", flow.to.to_string(), receiver(flow));
        }
        out += "and what is sent to the ports that its other agents send from, which are drawn when it starts.\n";
        let count = self.program.instructions();
        out + &format!("\nThe program for it, {count} instructions:\n{}", self.program)
    }
}
