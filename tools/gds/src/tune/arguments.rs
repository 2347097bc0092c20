//! The command line of `gds tune`.
use clap::Args;
use std::path::PathBuf;

/// Where `apply` keeps what was there before.
pub const STATE: &str = "/var/lib/gds/tune.json";

/// `gds tune`
#[derive(Args)]
#[command(
    after_help = "Examples:\n  gds tune check --config node.toml\n  gds tune plan --config node.toml > plan.sh\n  \
gds tune apply --config node.toml\n  gds tune revert\n\ndocs/TUNING.md takes a host from nothing to tuned, and explains every item."
)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Subcommand,
}

/// What `gds tune` can do.
#[derive(clap::Subcommand)]
pub enum Subcommand {
    /// Show each setting: is, should be, why, and how to change it; change nothing
    Check(Check),
    /// Print the shell commands that `apply` stands for, and what is to be done by hand
    Plan {
        /// For what.
        #[command(flatten)]
        about: About,
    },
    /// Change what the profile lets be changed on the running host; what was there is kept on disk first
    Apply {
        /// For what.
        #[command(flatten)]
        about: About,
        /// How.
        #[command(flatten)]
        change: Change,
    },
    /// Set everything back to what was there before `apply`, also after one that was interrupted
    Revert(Revert),
    /// Print what to install for the next start of the host: kernel command line, sysctl.d, udev rule, systemd units
    Files(Files),
}

/// For what node and which kind of host.
#[derive(Args)]
pub struct About {
    /// The node's configuration file: its pinned processors, interface, groups and memory (default: the defaults)
    #[arg(long, short)]
    pub config: Option<PathBuf>,
    /// colo (bare metal), cloud (virtual machine), a file, or auto: the one that fits [default: auto]
    #[arg(long)]
    pub profile: Option<String>,
    /// Pinned processors instead of the configuration's, such as 2-3,8
    #[arg(long, value_name = "LIST")]
    pub cores: Option<String>,
    /// Interface instead of the configuration's
    #[arg(long)]
    pub interface: Option<String>,
    /// A folder that holds a host's /sys, /proc, /dev and its programs in bin, instead of this host
    #[arg(long, value_name = "DIRECTORY")]
    pub root: Option<PathBuf>,
}

/// `gds tune check`
#[derive(Args)]
pub struct Check {
    /// For what.
    #[command(flatten)]
    pub about: About,
    /// Spin on each pinned processor for so long and show what it is kept from running by (not beside a running node)
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "5")]
    pub measure: Option<f64>,
    /// Explain every item, not only those that are wrong
    #[arg(long)]
    pub explain: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// How changes are made.
#[derive(Args)]
pub struct Change {
    /// Where what was there before is kept
    #[arg(long, value_name = "FILE", default_value = STATE)]
    pub state: PathBuf,
    /// Wait so long between two steps, to watch what each does
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 0)]
    pub pause_ms: u64,
}

/// `gds tune revert`
#[derive(Args)]
pub struct Revert {
    /// How.
    #[command(flatten)]
    pub change: Change,
    /// Set back also what somebody else has changed since
    #[arg(long, conflicts_with = "forget")]
    pub force: bool,
    /// Leave what somebody else has changed since as it is, and forget what was there
    #[arg(long)]
    pub forget: bool,
    /// As for apply
    #[arg(long, value_name = "DIRECTORY")]
    pub root: Option<PathBuf>,
}

/// `gds tune files`
#[derive(Args)]
pub struct Files {
    /// For what.
    #[command(flatten)]
    pub about: About,
    /// Write them below this folder instead of printing them; nothing is installed
    #[arg(long, value_name = "DIRECTORY")]
    pub directory: Option<PathBuf>,
    /// Where gds will be installed
    #[arg(long, value_name = "FILE", default_value = "/usr/local/bin/gds")]
    pub program: String,
}
