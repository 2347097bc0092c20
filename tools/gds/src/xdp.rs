//! `gds xdp`: the program that AF_XDP has the kernel run for every packet, and what an interface has now.
use crate::arguments::Xdp as Arguments;
use crate::config;
use crate::exit::{Failure, Outcome};
use gds_nic::UdpConfig;
use gds_nic::interface::ResolvedInterface;
use gds_nic::xdp::program::PROGRAM_NAME;
use gds_nic::xdp::{AttachedProgram, FilterConfig, Flow, Program, XdpMode, attached};
use gds_node::config::AgentName;
use gds_node::settings;
use serde_json::{Value, json};
use std::net::Ipv4Addr;

/// Shows both; changes nothing, and needs no privileges.
pub fn run(arguments: &Arguments) -> Outcome {
    let mut config = config::load(arguments.config.as_deref())?;
    if let Some(interface) = &arguments.interface {
        config.network.interface.clone_from(interface);
    }
    let interface = settings::interface(&config).resolve().map_err(Failure::failed)?;
    let attached = attached(&settings::interface(&config)).map_err(Failure::failed)?;
    let ports = settings::udp_ports(&config, interface.address);
    let settings = settings::xdp(&config);
    let filter = filter(&ports, settings.queue, interface.address);
    let program = Program::assemble(&filter).map_err(Failure::usage)?;
    let agents = ports.iter().map(|(agent, _)| *agent).collect();
    let shown = Shown { interface, attached, mode: settings.mode, agents, filter, program };
    if arguments.json {
        println!("{}", shown.as_json());
    } else {
        print!("{}", shown.as_text());
    }
    Ok(())
}

/// What a node of this configuration has the kernel give it, and for which agent's port each flow is; `own` is the interface's address.
/// Ports that are drawn when a node starts are left out.
fn filter(ports: &[(AgentName, UdpConfig)], queue: u32, own: Ipv4Addr) -> FilterConfig {
    let fixed = (0..).zip(ports).filter(|(_, (_, port))| port.bind.port() != 0);
    let flows = fixed.flat_map(|(socket, (_, port))| {
        let flow = move |to| Flow { to, senders: port.senders.clone(), socket };
        port.received(own, port.bind).into_iter().map(flow)
    });
    FilterConfig { flows: flows.collect(), queue }
}

/// What is told.
struct Shown {
    interface: ResolvedInterface,
    attached: Vec<AttachedProgram>,
    mode: XdpMode,
    /// By socket.
    agents: Vec<AgentName>,
    filter: FilterConfig,
    program: Program,
}

impl Shown {
    fn agent(&self, flow: &Flow) -> &'static str {
        self.agents[flow.socket as usize].as_str()
    }

    fn as_json(&self) -> Value {
        let attached = self.attached.iter().map(|program| {
            let mode = program.mode.map_or("hardware".to_owned(), |mode| mode.to_string());
            json!({ "id": program.id, "mode": mode, "name": program.name })
        });
        let flows = self.filter.flows.iter().map(
            |flow| json!({ "to": flow.to.to_string(), "senders": flow.senders, "agent": self.agent(flow) }),
        );
        json!({
            "interface": self.interface.name,
            "address": self.interface.address,
            "attached": attached.collect::<Vec<_>>(),
            "queue": self.filter.queue,
            "mode": self.mode.to_string(),
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
        out += &format!(
            "\nOver af_xdp a node of this configuration takes, from receive queue {} in mode {}:\n",
            self.filter.queue, self.mode
        );
        for flow in &self.filter.flows {
            let senders: Vec<String> = flow.senders.iter().map(Ipv4Addr::to_string).collect();
            let senders = if senders.is_empty() { "anyone".to_owned() } else { senders.join(", ") };
            out += &format!(
                "  {:<22}from {senders}: for the {}'s port\n",
                flow.to.to_string(),
                self.agent(flow)
            );
        }
        out += "and what is sent to the ports that its other agents send from, which are drawn when it starts.\n";
        let count = self.program.instructions();
        out + &format!("\nThe program for it, {count} instructions:\n{}", self.program)
    }
}
