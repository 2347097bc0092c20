//! `gds cluster`: who leads, who is in sync, how far each node is, and what is wrong.
mod findings;
mod show;

use crate::arguments::{Cluster, ClusterLogin};
use crate::config;
use crate::exit::{Failure, Outcome};
use gds_client::{ClientError, Network, Reader};
use gds_core::replication::RegisterState;
use gds_node::config::Config;
use gds_node::control::{self, Answer, Order};
use gds_node::settings;
use gds_node::standing::{self, Gives, Role, Standing};
use std::io::{IsTerminal, Write};
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Between two pictures of a watch.
const WATCH: Duration = Duration::from_secs(1);
/// Between two looks of a wait.
const LOOK: Duration = Duration::from_millis(50);
/// Clears a terminal.
const CLEAR: &str = "\x1b[H\x1b[2J\x1b[3J";

/// What a cluster looks like.
pub struct Picture {
    /// How its register is called.
    pub register_name: String,
    /// What it holds, or why it does not say.
    pub register: Result<RegisterState, String>,
    /// Every node, in the order of their numbers.
    pub nodes: Vec<NodeView>,
    /// The least that must be in sync.
    pub min_in_sync: usize,
    /// What the node on this machine says of the register, if there is one and it has trouble.
    pub own_trouble: Option<String>,
}

/// One node.
pub struct NodeView {
    /// Its number.
    pub node: u8,
    /// Its query port, where that is known here.
    pub address: Option<SocketAddrV4>,
    /// What it says, or why it says nothing.
    pub said: Result<Said, String>,
}

/// What a node says.
pub struct Said {
    /// Its stream.
    pub stream: String,
    /// The last message it has applied.
    pub applied: u64,
    /// The last that it knows to be committed.
    pub committed: u64,
    /// How it stands in the cluster.
    pub standing: Standing,
    /// What else is wrong with it: places of its journals that cannot be read, rewinders that segments wait for, a leader that does not answer.
    pub troubles: Vec<String>,
}

/// Shows it.
pub fn run(arguments: &Cluster) -> Outcome {
    let login = &arguments.login;
    let config = config::load(Some(&login.config))?;
    member(&config)?;
    if arguments.watch {
        return watch(&config, login);
    }
    let patience = arguments.wait.map_or(Ok(Duration::ZERO), |seconds| seconds_of("--wait", seconds))?;
    let began = Instant::now();
    loop {
        let picture = Picture::take(&config, login)?;
        if picture.findings().is_empty() || began.elapsed() >= patience {
            return tell(&picture, login.json);
        }
        std::thread::sleep(LOOK);
    }
}

/// Draws a picture every second until interrupted. The last one decides how the command ends.
fn watch(config: &Config, login: &ClusterLogin) -> Outcome {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    ctrlc::set_handler(move || flag.store(true, Ordering::Release)).map_err(Failure::failed)?;
    let redraws = std::io::stdout().is_terminal() && !login.json;
    loop {
        let picture = Picture::take(config, login)?;
        if redraws {
            print!("{CLEAR}");
        }
        let outcome = tell(&picture, login.json);
        let next = Instant::now() + WATCH;
        while Instant::now() < next && !stop.load(Ordering::Acquire) {
            std::thread::sleep(LOOK);
        }
        if stop.load(Ordering::Acquire) {
            return outcome;
        }
    }
}

fn tell(picture: &Picture, json: bool) -> Outcome {
    let findings = picture.findings();
    let text =
        if json { format!("{}\n", show::json(picture, &findings)) } else { show::text(picture, &findings) };
    let written = std::io::stdout().write_all(text.as_bytes());
    written.map_err(Failure::failed)?;
    if findings.is_empty() { Ok(()) } else { Err(Failure::failed("")) }
}

/// The number of the configuration's node in its cluster.
pub fn member(config: &Config) -> Result<u8, Failure> {
    settings::cluster_node(config).map(|node| node.0).ok_or_else(|| {
        Failure::usage("this configuration is of a node that is alone (cluster.node = 0): docs/FAILOVER.md shows how a cluster is configured")
    })
}

/// A time given in seconds.
fn seconds_of(option: &str, seconds: f64) -> Result<Duration, Failure> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| Failure::usage(format!("{option} {seconds}: a number of seconds")))
}

impl Picture {
    /// Reads the register, and asks all nodes at once.
    pub fn take(config: &Config, login: &ClusterLogin) -> Result<Self, Failure> {
        let timeout = seconds_of("--timeout", login.timeout)?;
        let asked = settings::register(config).expect("the configuration has been checked");
        let (register, nodes) = std::thread::scope(|scope| {
            let register = scope.spawn(|| {
                let mut register = gds_register::open(&asked).map_err(|error| error.to_string())?;
                register.read().map_err(|error| error.to_string())
            });
            let nodes = ask_nodes(config, login, timeout);
            (register.join().unwrap_or_else(|_| Err("the register's client failed".into())), nodes)
        });
        let own_trouble = match control::ask(&config.stream.directory, &Order::Status, timeout) {
            Ok(Answer::Status(status)) => status.register_trouble,
            _ => None,
        };
        let register_name = match config.cluster.register.as_str() {
            "etcd" => {
                format!("etcd {} key {}", config.cluster.etcd.endpoints.join(" "), config.cluster.etcd.key)
            }
            file => file.to_owned(),
        };
        Ok(Self { register_name, register, nodes, min_in_sync: config.cluster.min_in_sync, own_trouble })
    }

    /// What everybody says who says anything.
    pub fn said(&self) -> impl Iterator<Item = (&NodeView, &Said)> {
        self.nodes.iter().filter_map(|view| view.said.as_ref().ok().map(|said| (view, said)))
    }

    /// Which node gives this one a snapshot, and how far that is: it answers nothing before it has it.
    pub fn teacher(&self, node: u8) -> Option<(u8, Gives)> {
        self.said().find_map(|(view, said)| {
            said.standing.gives.filter(|gives| gives.to == node).map(|gives| (view.node, gives))
        })
    }

    /// The node that leads; of several that say so, that of the newest epoch.
    pub fn leader(&self) -> Option<(&NodeView, &Said)> {
        let leads = self.said().filter(|(_, said)| said.standing.role == Role::Leads);
        leads.max_by_key(|(_, said)| said.standing.epoch)
    }
}

/// The nodes of a cluster in the order of their numbers, each with its query port, or why that is not known here.
pub fn nodes(config: &Config) -> Vec<(u8, Result<SocketAddrV4, String>)> {
    let own = Network::of(config).map(|network| network.addresses().query).map_err(|error| {
        format!("its address is not known on this machine ({error}); set network.node in its configuration")
    });
    let own = (config.cluster.node, own);
    let peers = settings::peers(config).into_iter();
    let peers = peers.map(|(node, ip)| (node.0, Ok(SocketAddrV4::new(ip, config.network.query_port))));
    let mut nodes: Vec<(u8, Result<SocketAddrV4, String>)> = peers.chain([own]).collect();
    nodes.sort_by_key(|(node, _)| *node);
    nodes
}

/// Asks all nodes of a cluster at the same time.
pub fn ask_nodes(config: &Config, login: &ClusterLogin, timeout: Duration) -> Vec<NodeView> {
    std::thread::scope(|scope| {
        let ask = |(node, address): (u8, Result<SocketAddrV4, String>)| {
            scope.spawn(move || {
                let said = address.clone().and_then(|server| ask_node(node, server, login, timeout));
                NodeView { node, address: address.ok(), said }
            })
        };
        let asked: Vec<_> = nodes(config).into_iter().map(ask).collect();
        asked.into_iter().map(|view| view.join().expect("asking a node does not panic")).collect()
    })
}

/// Why a node gives no answer, and what to do.
pub fn no_answer(error: ClientError) -> String {
    match error {
        ClientError::Silence { seconds, .. } => {
            format!(
                "nothing within {seconds} s; start it, or see that it runs freely and that TCP reaches it"
            )
        }
        error => error.to_string(),
    }
}

fn ask_node(node: u8, server: SocketAddrV4, login: &ClusterLogin, timeout: Duration) -> Result<Said, String> {
    let mut reader = Reader::open_at(server, &login.user, &login.password, timeout).map_err(no_answer)?;
    let report = reader.status(0).map_err(no_answer)?;
    reader.close();
    Ok(Said {
        stream: report.status.stream.to_string(),
        applied: report.status.applied,
        committed: report.status.committed,
        standing: Standing::of(node, &report.counters),
        troubles: standing::troubles(&report.counters),
    })
}
