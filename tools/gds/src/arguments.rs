//! The command line: every command, option and example in one place.
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;

/// GDS, the GENIUM Data Store: one total order for co-located exchange systems, stored, published and queryable.
#[derive(Parser)]
#[command(name = "gds", version = gds_bench::VERSION, max_term_width = 110, arg_required_else_help = true)]
#[command(
    after_help = "Start with `gds demo`: a whole trading day on this machine, no root, no configuration.\n\n\
Exit codes:\n  0  done\n  1  something failed, or a check found something\n  2  unusable arguments or configuration\n  3  the input was cut short, or is not what it claims to be\n  4  no such record\n  5  somebody cut a file short that the node has in memory (SIGBUS)"
)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Subcommand)]
pub enum Command {
    /// Run a whole appliance on loopback: a made-up trading day in, the checked result out
    Demo(Demo),
    /// Run a node until it is told to stop (SIGINT or SIGTERM)
    Run(Run),
    /// Run a rewinder and nothing else, near receivers: keep the whole stream, answer their requests, until told to stop
    Rewind(Rewind),
    /// Print the documented default configuration, or check a file
    Config(ConfigArguments),
    /// Send a capture (pcap, pcapng, BinaryFILE, gzip of either) to the ingress of a node
    Replay(Replay),
    /// Read a record, newest or as of a sequence number
    Get(Get),
    /// Read the stream from one sequence number to another
    Range(Range),
    /// Follow the stream from a sequence number on
    Watch(Watch),
    /// Write a record (insert or replace) and wait for the acknowledgement
    Put(Put),
    /// Delete a record and wait for the acknowledgement
    Delete(Delete),
    /// Show what a node says of itself
    Status(Status),
    /// Show who leads a cluster, who is in sync, how far each node is, and what is wrong
    Cluster(Cluster),
    /// Compare nodes, and what directories hold: who agrees with whom, and from which message on they differ
    Verify(Verify),
    /// Hand the lead over to another node, without a refused transaction (on the leader's machine)
    Failover(Failover),
    /// Make a stopped node lead next when no whole member is left or the register was lost; transactions may be missing
    ForceLead(ForceLead),
    /// Move a stopped node's log out of the way, so that it learns the stream anew; nothing is deleted
    SetAside(SetAside),
    /// Show where a node's time goes: how long messages take to each stage (on the node's machine)
    Stages(Stages),
    /// Show what AF_XDP has the kernel do with each packet, and what an interface has now
    Xdp(Xdp),
    /// Look into a journal's files (no node needed)
    Journal(Journal),
    /// Measure how fast it is, on this machine or under load of your own, beside what the machine could do at best
    Bench(gds_bench::command::Arguments),
    /// Look at this host's settings, change them for a node, and change them back
    Tune(crate::tune::arguments::Arguments),
    /// Print a completion script for a shell
    Completions {
        /// bash, zsh, fish, elvish or powershell
        shell: clap_complete::Shell,
    },
}

/// `gds demo`
#[derive(Args)]
pub struct Demo {
    /// ITCH 5.0 messages of the day
    #[arg(long, default_value_t = 1_000_000)]
    pub messages: u64,
    /// Seed of the day, of the losses and of the native transactions
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
    /// Packets lost on each feed line, per cent
    #[arg(long, default_value_t = 1.0, value_name = "PERCENT")]
    pub ingress_loss: f64,
    /// Downstream and acknowledgement packets lost, per cent
    #[arg(long, default_value_t = 1.0, value_name = "PERCENT")]
    pub downstream_loss: f64,
    /// How packets move
    #[arg(long, value_enum, default_value_t = TransportChoice::Auto)]
    pub transport: TransportChoice,
    /// What an acknowledgement promises
    #[arg(long, value_enum, default_value_t = DurabilityChoice::Memory)]
    pub durability: DurabilityChoice,
    /// First of the five UDP and TCP ports used on loopback (default: free ones)
    #[arg(long)]
    pub port: Option<u16>,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// How packets move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TransportChoice {
    /// io_uring where it works, else plain sockets
    Auto,
    /// io_uring or nothing
    #[value(name = "io_uring")]
    IoUring,
    /// plain sockets
    Socket,
}

/// What an acknowledgement promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DurabilityChoice {
    /// survives kill -9
    Memory,
    /// survives a power cut
    Fsync,
}

/// `gds run`
#[derive(Args)]
pub struct Run {
    /// Configuration laid over the defaults (see `gds config`)
    #[arg(long, short)]
    pub config: Option<PathBuf>,
    /// Print one JSON line when ready, and one at the end
    #[arg(long)]
    pub json: bool,
    /// End the stream for good when stopping: the end-of-session train is sent, nothing can be added later
    #[arg(long)]
    pub end_stream: bool,
}

/// `gds rewind`
#[derive(Args)]
#[command(
    after_help = "Receives the stream and the acknowledgements like any listener, fills what it missed from network.rewinders (nearest first) and the node \
(network.node), and keeps both in the folder `rewinder` of stream.directory. It answers on network.rewinder_port, and `gds status`, `range` and `watch` on \
network.query_port, at the address of network.interface. Receivers that name it in network.rewinders ask it first.\n\n\
Example (rewinder.toml, on a machine of its own):\n  [network]\n  interface = \"eth0\"\n  node = \"10.0.0.5\"\n\n  gds rewind --config rewinder.toml\n  gds status --server 10.0.1.9:26404"
)]
pub struct Rewind {
    /// Configuration laid over the defaults (see `gds config`): groups and ports as the nodes have them
    #[arg(long, short, value_name = "FILE")]
    pub config: PathBuf,
    /// Go on with this MoldUDP64 session of the stream, after a forced lead: what was kept of another one is set aside, and this one is kept from its beginning
    #[arg(long, value_name = "SESSION")]
    pub accept_session: Option<String>,
    /// Print one JSON line when ready, one for each trouble, and one at the end
    #[arg(long)]
    pub json: bool,
}

/// `gds config`
#[derive(Args)]
pub struct ConfigArguments {
    /// Check this file instead of printing the defaults
    #[arg(long, value_name = "FILE")]
    pub check: Option<PathBuf>,
}

/// Where the node is: the defaults are those of the default configuration.
#[derive(Args, Clone)]
pub struct NodeAddress {
    /// Take groups, ports and interface from this configuration file
    #[arg(long, short)]
    pub config: Option<PathBuf>,
    /// Query server, address:port
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub server: Option<SocketAddrV4>,
    /// User to log in as
    #[arg(long, default_value = "reader")]
    pub user: String,
    /// Password (or the environment variable GDS_PASSWORD)
    #[arg(long, env = "GDS_PASSWORD", default_value = "reader", hide_env_values = true)]
    pub password: String,
    /// Give up after so many seconds without an answer
    #[arg(long, default_value_t = 5.0, value_name = "SECONDS")]
    pub timeout: f64,
    /// Print JSON, one object a line
    #[arg(long)]
    pub json: bool,
}

/// `gds stages`
#[derive(Args)]
#[command(
    after_help = "Reads a file that the node keeps in memory; the node is not disturbed. A message is received when the duty cycle begins \
that takes it.\n\nExamples:\n  gds stages --config node.toml\n  gds stages --config node.toml --seconds 10"
)]
pub struct Stages {
    /// The node's configuration file (default: the default configuration)
    #[arg(long, short)]
    pub config: Option<PathBuf>,
    /// Show the messages of the next so many seconds instead of all since the node's start
    #[arg(long)]
    pub seconds: Option<f64>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `gds xdp`
#[derive(Args)]
#[command(
    after_help = "Changes nothing and needs no privileges; the names of attached programs take CAP_SYS_ADMIN.\n\nExamples:\n  gds xdp --config node.toml\n  gds xdp --interface eth0 --json"
)]
pub struct Xdp {
    /// The node's configuration file (default: the default configuration)
    #[arg(long, short)]
    pub config: Option<PathBuf>,
    /// Another interface than the configuration's, by name or IPv4 address
    #[arg(long)]
    pub interface: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `gds replay`
#[derive(Args)]
#[command(
    after_help = "Examples:\n  gds replay day.pcap.gz --speed 10\n  gds replay S013020.itch.gz --session ITCH130200\n  \
gds replay feed.pcapng --group 233.54.12.111 --port 26477 --speed max"
)]
pub struct Replay {
    /// pcap, pcapng, BinaryFILE, or gzip of either; told apart by content
    pub file: PathBuf,
    /// Session to submit under (default: the capture's own for pcap, a name drawn at random for BinaryFILE)
    #[arg(long)]
    pub session: Option<String>,
    /// Pace: max, or 1 as recorded, 10 ten times as fast, 0.5 half
    #[arg(long, default_value = "max")]
    pub speed: String,
    /// Only packets to this group (pcap)
    #[arg(long)]
    pub group: Option<Ipv4Addr>,
    /// Only packets to this UDP port (pcap)
    #[arg(long)]
    pub port: Option<u16>,
    /// Stop after so many messages
    #[arg(long)]
    pub limit: Option<u64>,
    /// Do not end the session after the last message
    #[arg(long)]
    pub keep_open: bool,
    /// Where the node is
    #[command(flatten)]
    pub node: NodeAddress,
}

/// A key on the command line: text, or hex after `0x`, or a decimal u64 after `u64:`.
#[derive(Args)]
pub struct KeyArguments {
    /// Table: id or name (names from the configuration)
    pub table: String,
    /// Key: text, 0x… for bytes, u64:… for an eight-byte number (an ITCH order reference)
    pub key: String,
}

/// `gds get`
#[derive(Args)]
#[command(
    after_help = "Examples:\n  gds get records greeting\n  gds get orders u64:98123 --json\n  gds get stocks 'AAPL    ' --as-of 5000"
)]
pub struct Get {
    /// Which record
    #[command(flatten)]
    pub key: KeyArguments,
    /// More keys of the same table (answered from one state)
    #[arg(value_name = "KEY")]
    pub more: Vec<String>,
    /// The state after this sequence number (default: the newest)
    #[arg(long, value_name = "SEQUENCE")]
    pub as_of: Option<u64>,
    /// Where the node is
    #[command(flatten)]
    pub node: NodeAddress,
}

/// `gds range`
#[derive(Args)]
pub struct Range {
    /// First sequence number
    pub from: u64,
    /// Last sequence number, inclusive (default: the newest)
    pub to: Option<u64>,
    /// The MoldUDP64 session whose numbers are meant: with another one (after a forced lead) nothing is read
    #[arg(long)]
    pub session: Option<String>,
    /// Where the node is
    #[command(flatten)]
    pub node: NodeAddress,
}

/// `gds watch`
#[derive(Args)]
pub struct Watch {
    /// First sequence number (default: the next one)
    #[arg(long)]
    pub from: Option<u64>,
    /// Stop after so many messages
    #[arg(long)]
    pub limit: Option<u64>,
    /// The MoldUDP64 session whose numbers are meant (default: the one that there is at first): with another one (after a forced lead) it ends
    #[arg(long)]
    pub session: Option<String>,
    /// Where the node is
    #[command(flatten)]
    pub node: NodeAddress,
}

/// `gds put`
#[derive(Args)]
#[command(
    after_help = "Examples:\n  gds put records greeting hello\n  gds put records 0x0001 0xCAFE --expect new"
)]
pub struct Put {
    /// Which record
    #[command(flatten)]
    pub key: KeyArguments,
    /// Value: text, 0x… for bytes, or @FILE
    pub value: String,
    /// Only if the record's version is this number, or `new` for only if there is none
    #[arg(long, value_name = "VERSION")]
    pub expect: Option<String>,
    /// Where the node is
    #[command(flatten)]
    pub node: NodeAddress,
}

/// `gds delete`
#[derive(Args)]
pub struct Delete {
    /// Which record
    #[command(flatten)]
    pub key: KeyArguments,
    /// Only if the record's version is this number
    #[arg(long, value_name = "VERSION")]
    pub expect: Option<String>,
    /// Where the node is
    #[command(flatten)]
    pub node: NodeAddress,
}

/// `gds status`
#[derive(Args)]
pub struct Status {
    /// Where the node is
    #[command(flatten)]
    pub node: NodeAddress,
}

/// How the nodes of a cluster are asked.
#[derive(Args, Clone)]
pub struct ClusterLogin {
    /// Configuration of one of its nodes
    #[arg(long, short, value_name = "FILE")]
    pub config: PathBuf,
    /// User to log in as, on each node
    #[arg(long, default_value = "reader")]
    pub user: String,
    /// Password (or the environment variable GDS_PASSWORD)
    #[arg(long, env = "GDS_PASSWORD", default_value = "reader", hide_env_values = true)]
    pub password: String,
    /// Pass over nodes that give no answer within so many seconds
    #[arg(long, default_value_t = 1.0, value_name = "SECONDS")]
    pub timeout: f64,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `gds cluster`
#[derive(Args)]
#[command(
    after_help = "Reads the register itself, and asks each node over its query port: runs on any machine that reaches them, and disturbs none. \
Exit code 1 when something is wrong; each line that begins with ! says what, and what to do.\n\n\
Examples:\n  gds cluster --config node.toml\n  gds cluster --config node.toml --watch\n  gds cluster --config node.toml --wait 30 --json"
)]
pub struct Cluster {
    /// How the nodes are asked
    #[command(flatten)]
    pub login: ClusterLogin,
    /// Look again every second until interrupted
    #[arg(long, conflicts_with = "wait")]
    pub watch: bool,
    /// Wait until nothing is wrong, so many seconds at most
    #[arg(long, value_name = "SECONDS")]
    pub wait: Option<f64>,
}

/// `gds verify`
#[derive(Args)]
#[command(
    after_help = "Compares the running checksums of the stream at the last message that all have, which cover every message up to it, and the digests of the \
stores where they stand at one message. Where two differ it finds the first message in which they do, and shows what each has. It asks each node a few small \
questions over its query port, reads directories as they are, and changes nothing. A directory may be that of a node that is down, or a copy; its journal is \
checked as a whole.\n\n\
Without --config, --server and --directory: the node of the default configuration. A cluster's configuration stands for all its nodes. The user must be allowed to \
read every table.\n\n\
Exit code 0: all agree. 1: they differ, or not all could be compared; each line that begins with ! says what.\n\n\
Examples:\n  gds verify --config node.toml\n  gds verify --config node.toml --directory /backup/gds-data\n  gds verify --server 10.0.0.1:26404 --server 10.0.0.2:26404 --at 81200\n  \
gds verify --directory gds-data --directory /backup/gds-data --json"
)]
pub struct Verify {
    /// Configuration of a node, or of one of a cluster's nodes: all of them are compared
    #[arg(long, short, value_name = "FILE")]
    pub config: Vec<PathBuf>,
    /// Query server of another node
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub server: Vec<SocketAddrV4>,
    /// Data directory of a node (stream.directory), or a copy of one
    #[arg(long, value_name = "DIR")]
    pub directory: Vec<PathBuf>,
    /// Compare at this message instead of the last that all have
    #[arg(long, value_name = "SEQUENCE", value_parser = clap::value_parser!(u64).range(1..))]
    pub at: Option<u64>,
    /// User to log in as, on each node
    #[arg(long, default_value = "reader")]
    pub user: String,
    /// Password (or the environment variable GDS_PASSWORD)
    #[arg(long, env = "GDS_PASSWORD", default_value = "reader", hide_env_values = true)]
    pub password: String,
    /// Pass over nodes that give no answer within so many seconds
    #[arg(long, default_value_t = 5.0, value_name = "SECONDS")]
    pub timeout: f64,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `gds failover`
#[derive(Args)]
#[command(
    after_help = "Run it on the leader's machine, as the user that runs the node. The leader takes nothing more, its successor commits all that it took and \
goes on: clients resend what was under way, and no transaction is refused. Without a successor in time the node goes on as it was.\n\n\
Example:\n  gds failover --config node.toml"
)]
pub struct Failover {
    /// The node's configuration
    #[arg(long, short, value_name = "FILE")]
    pub config: PathBuf,
    /// Let the node go on as it was when nobody has taken over after so many milliseconds; 60000 at most
    #[arg(long, default_value_t = 2_000, value_name = "MILLISECONDS")]
    pub wait_ms: u64,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `gds force-lead`
#[derive(Args)]
#[command(
    after_help = "For four cases: no node is left that is in sync and has its whole journal; the register lost what it held; a node that has been alone until now \
becomes the first of a cluster; a node that is alone may have lost something, and does not start. Stop all nodes, choose the one whose journal is to count, and run this on its machine. Without --accept-loss it only says what may be \
missing, and changes nothing. With it the register names this node, and its next start leads.\n\n\
Where acknowledged transactions may be missing their numbers are given to others, and the stream goes on under a new MoldUDP64 session, of which the messages that are left are the \
first ones: nobody takes its numbers for those of the old one, and listeners, clients and rewinders go on with it only where told to (docs/FAILOVER.md).\n\n\
Examples:\n  gds force-lead --config node.toml\n  gds force-lead --config node.toml --accept-loss"
)]
pub struct ForceLead {
    /// How the other nodes are asked
    #[command(flatten)]
    pub login: ClusterLogin,
    /// Go on without what may be missing
    #[arg(long)]
    pub accept_loss: bool,
    /// Say that no other node has more, where nothing but the register was lost: the stream keeps its session
    #[arg(long)]
    pub keep_session: bool,
}

/// `gds set-aside`
#[derive(Args)]
#[command(
    after_help = "For a node that has stopped because it and the leader have shown different things, once you have decided that the leader's log counts \
(`gds verify` shows where they differ). Its journals, snapshots, life and ring go into a folder set-aside-N of its directory; its next start begins with an empty one and \
learns the stream from the others.\n\n\
Examples:\n  gds set-aside --config node.toml\n  gds set-aside --config node.toml --json"
)]
pub struct SetAside {
    /// The node's configuration
    #[arg(long, short, value_name = "FILE")]
    pub config: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `gds journal`
#[derive(Args)]
pub struct Journal {
    /// What to do with it
    #[command(subcommand)]
    pub command: JournalCommand,
}

/// What can be done with a journal.
#[derive(Subcommand)]
pub enum JournalCommand {
    /// The segments and what they hold
    List {
        /// Folder of one journal, such as gds-data/bus
        folder: PathBuf,
        /// Print JSON, one object a line
        #[arg(long)]
        json: bool,
    },
    /// The messages, decoded
    Dump {
        /// Folder of one journal, such as gds-data/bus
        folder: PathBuf,
        /// First sequence number
        #[arg(long)]
        from: Option<u64>,
        /// Last sequence number
        #[arg(long)]
        to: Option<u64>,
        /// Print JSON, one object a line
        #[arg(long)]
        json: bool,
    },
    /// Check every checksum, chain and number, and what the journals lead to: outcomes and snapshots; change nothing
    ///
    /// The stream is applied once more to a store in memory, and what comes of it is compared with the acknowledgements and with the snapshots beside them. That takes
    /// as much memory as the stream declares, at most.
    Verify {
        /// A node's directory, such as gds-data, or the folder of one journal, such as gds-data/bus
        folder: PathBuf,
        /// Check the bytes alone, and not what they lead to
        #[arg(long)]
        bytes: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}
