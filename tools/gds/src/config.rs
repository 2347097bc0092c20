//! `gds config`, and how every command finds the configuration.
use crate::arguments::{ConfigArguments, NodeAddress};
use crate::exit::{Failure, Outcome};
use gds_client::{Network, Reader};
use gds_node::config::Config;
use gds_node::load::DEFAULT_TOML;
use std::path::Path;
use std::time::Duration;

/// Prints the documented defaults, or checks a file.
pub fn run(arguments: &ConfigArguments) -> Outcome {
    let Some(file) = &arguments.check else {
        print!("{DEFAULT_TOML}");
        return Ok(());
    };
    let config = Config::load(file).map_err(Failure::usage)?;
    println!("{}: every key and value is right", file.display());
    for core in &config.core {
        let agents: Vec<&str> = core.agents.iter().map(|agent| agent.as_str()).collect();
        let cpu = if core.cpu < 0 { "not pinned".to_owned() } else { format!("processor {}", core.cpu) };
        println!("  core ({cpu}, idle {:?}): {}", core.idle, agents.join(", "));
    }
    let cluster = &config.cluster;
    if cluster.node > 0 {
        println!("  node {} of {}, register {}", cluster.node, cluster.peer.len() + 1, cluster.register);
    }
    Ok(())
}

/// The configuration in a file, or the defaults.
pub fn load(file: Option<&Path>) -> Result<Config, Failure> {
    file.map_or_else(|| Ok(Config::default()), |file| Config::load(file).map_err(Failure::usage))
}

/// The node a command talks to.
pub fn network(node: &NodeAddress) -> Result<Network, Failure> {
    Network::of(&load(node.config.as_deref())?).map_err(Failure::failed)
}

/// A login to it.
pub fn reader(node: &NodeAddress, network: &Network) -> Result<Reader, Failure> {
    let server = node.server.unwrap_or(network.addresses().query);
    Reader::open_at(server, &node.user, &node.password, timeout(node)?).map_err(Failure::failed)
}

/// How long to wait for answers.
pub fn timeout(node: &NodeAddress) -> Result<Duration, Failure> {
    Duration::try_from_secs_f64(node.timeout)
        .ok()
        .filter(|timeout| !timeout.is_zero())
        .ok_or_else(|| Failure::usage(format!("--timeout {}: a number of seconds above 0", node.timeout)))
}

/// A table by number, or by its name in the configuration.
pub fn table(network: &Network, text: &str) -> Result<u16, Failure> {
    let tables = &network.config().table;
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    tables.iter().find(|table| table.name == text).map(|table| table.id).ok_or_else(|| {
        let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
        Failure::usage(format!("no table {text:?}; there are {}", names.join(", ")))
    })
}
