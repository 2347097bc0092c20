//! What can go wrong with a register.
use gds_wire::session::Session;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why a register gave no answer.
#[derive(Debug)]
pub enum RegisterError {
    /// A setting cannot be used.
    Setting {
        /// Which, as the configuration calls it, its value, and what would do.
        what: String,
    },
    /// A file could not be used.
    File {
        /// What was done to it: "read", "rename".
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
        /// Whether the swap may have happened.
        swap_in_doubt: bool,
    },
    /// Another process held the lock for too long.
    Locked {
        /// The file that is locked.
        path: PathBuf,
        /// How long we waited.
        waited: Duration,
    },
    /// What the register holds is no value of ours.
    Damaged {
        /// Where it is.
        place: String,
        /// What is wrong with it.
        why: String,
    },
    /// No endpoint gave an answer within the time.
    Silent {
        /// The endpoints tried, each with what came of it.
        tried: Vec<String>,
        /// Whether the swap may have happened, or may still happen.
        swap_in_doubt: bool,
    },
    /// An endpoint refused the request.
    Refused {
        /// Which.
        endpoint: String,
        /// What it said.
        why: String,
        /// Whether the swap may have happened, or may still happen, through an endpoint asked before.
        swap_in_doubt: bool,
    },
    /// An endpoint belongs to another etcd cluster than the one asked first.
    OtherCluster {
        /// Which.
        endpoint: String,
        /// The number of its cluster.
        cluster: String,
        /// The number of the cluster asked first.
        expected: String,
        /// Whether the swap may have happened, or may still happen.
        swap_in_doubt: bool,
    },
    /// The register names another stream than it did.
    OtherStream {
        /// Which it named.
        expected: Session,
        /// Which it names.
        found: Session,
    },
    /// The register holds an older epoch than it did, at a newer revision.
    EpochWentBack {
        /// Which it held.
        from: u32,
        /// Which it holds.
        to: u32,
    },
    /// The register is at an older revision than it was.
    WentBack {
        /// Where it was.
        from: u64,
        /// Where it is.
        to: u64,
    },
}

impl RegisterError {
    /// Whether the swap that was asked for may have happened, or may still happen. Never true for a read.
    pub fn may_have_happened(&self) -> bool {
        match self {
            Self::File { swap_in_doubt, .. }
            | Self::Silent { swap_in_doubt, .. }
            | Self::Refused { swap_in_doubt, .. }
            | Self::OtherCluster { swap_in_doubt, .. } => *swap_in_doubt,
            Self::Setting { .. }
            | Self::Locked { .. }
            | Self::Damaged { .. }
            | Self::OtherStream { .. }
            | Self::EpochWentBack { .. }
            | Self::WentBack { .. } => false,
        }
    }
}

impl fmt::Display for RegisterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setting { what } => f.write_str(what)?,
            Self::File { doing, path, cause, .. } => write!(
                f,
                "register {}: cannot {doing} it: {cause}; all nodes of the cluster must be able to write there",
                path.display()
            )?,
            Self::Locked { path, waited } => write!(
                f,
                "register: another process has held the lock on {} for {} ms; if one of the nodes is frozen, kill it (`fuser {}` names it)",
                path.display(),
                waited.as_millis(),
                path.display()
            )?,
            Self::Damaged { place, why } => write!(
                f,
                "register {place}: it holds something else than it should: {}; if another program writes there, name another place; if not, stop all nodes, \
                 remove it (`etcdctl del KEY`, or the file), and see with `gds force-lead` which of them is to lead next",
                shortened(why)
            )?,
            Self::Silent { tried, .. } => {
                let certificates = match tried.iter().any(|endpoint| endpoint.starts_with("https://")) {
                    true => ", and that each side takes the other's certificate",
                    false => "",
                };
                let tried = tried.join("; ");
                write!(
                    f,
                    "register: no answer from etcd ({tried}); check that it runs and can be reached{certificates}"
                )?
            }
            Self::Refused { endpoint, why, .. } => write!(f, "register: etcd at {endpoint} refused: {why}")?,
            Self::OtherCluster { endpoint, cluster, expected, .. } => write!(
                f,
                "register: etcd at {endpoint} belongs to cluster {cluster}, and not to cluster {expected} as the others: name \
                 the endpoints of one etcd cluster only"
            )?,
            Self::OtherStream { expected, found } => write!(
                f,
                "register: it names stream {found}, and named {expected}, which this cluster holds: another cluster writes to the same place, or somebody did; name \
                 another place for that one. What this one held is lost: stop all its nodes, and see with `gds force-lead` which of them is to lead next"
            )?,
            Self::EpochWentBack { from, to } => write!(
                f,
                "register: it holds epoch {to}, and held {from}: it was written by hand, and may give out an epoch twice; stop all nodes, and see with `gds force-lead` \
                 which of them is to lead next"
            )?,
            Self::WentBack { from, to } => write!(
                f,
                "register: it went back from revision {from} to {to}: it was deleted, or restored from a backup, and may give out \
                 an epoch twice; stop all nodes, and see with `gds force-lead` which of them is to lead next"
            )?,
        }
        if self.may_have_happened() { f.write_str(" (the swap may have happened)") } else { Ok(()) }
    }
}

/// Not more of a text than a person reads: what is wrong may repeat what somebody has put there.
fn shortened(text: &str) -> String {
    const CHARACTERS: usize = 300;
    let rest = text.chars().count().saturating_sub(CHARACTERS);
    let head: String = text.chars().take(CHARACTERS).collect();
    if rest == 0 { head } else { format!("{head}… ({rest} characters more)") }
}

impl std::error::Error for RegisterError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { cause, .. } => Some(cause),
            _ => None,
        }
    }
}
