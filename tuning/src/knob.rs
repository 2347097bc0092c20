//! Everything that can be set on a running host, each with how it is read, written, and said to a shell.
use crate::cores::Cores;
use crate::ethtool::{self, Family};
use crate::host::{Host, HostError};
use crate::threads::{self, Thread};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::Ipv4Addr;

/// A setting without any rule, service or queue.
pub const NONE: &str = "none";
/// A service that runs.
pub const RUNNING: &str = "running";
/// A service that does not.
pub const STOPPED: &str = "stopped";

/// One thing that can be set, by its place alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Knob {
    /// A file of `/proc` or `/sys`.
    File {
        /// Its path on the host.
        path: String,
        /// What it holds.
        shape: Shape,
    },
    /// A setting of a network card.
    Card {
        /// The interface.
        interface: String,
        /// Which of ethtool's options has it.
        family: Family,
        /// Its name as ethtool is told.
        name: String,
    },
    /// A card's rule for one group and port: the queue's number, or [`NONE`].
    Steering {
        /// The interface.
        interface: String,
        /// Destination address.
        group: Ipv4Addr,
        /// Destination port.
        port: u16,
    },
    /// A service of systemd: [`RUNNING`] or [`STOPPED`].
    Service {
        /// Its name, which is that of its process, too.
        name: String,
    },
    /// The processors that a kernel thread may run on. Another thread that has its number later is not it.
    Thread {
        /// Its number.
        id: u32,
        /// Its name.
        name: String,
        /// When it was started, in ticks since the host was.
        start_ticks: u64,
    },
}

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// A number or a word.
    Text,
    /// One word of several, in brackets: `always [madvise] never`.
    Choice,
    /// A list of processors.
    List,
    /// A mask of processors.
    Mask,
}

impl Shape {
    /// The value in a file's text.
    fn value(self, text: &str) -> String {
        match self {
            Self::Choice => {
                let chosen = text.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
                chosen.map_or(text, |(chosen, _)| chosen).to_owned()
            }
            Self::Text | Self::List | Self::Mask => text.to_owned(),
        }
    }

    fn same(self, one: &str, other: &str) -> bool {
        let equal = |read: fn(&str) -> Option<Cores>| match (read(one), read(other)) {
            (Some(one), Some(other)) => one == other,
            _ => one == other,
        };
        match self {
            Self::Text | Self::Choice => one == other,
            Self::List => equal(|text| text.parse().ok()),
            Self::Mask => equal(|text| Cores::from_mask(text).ok()),
        }
    }
}

impl Knob {
    /// A file that holds a number or a word.
    pub fn text(path: impl Into<String>) -> Self {
        Self::File { path: path.into(), shape: Shape::Text }
    }

    /// A card's setting.
    pub fn card(interface: &str, family: Family, name: &str) -> Self {
        Self::Card { interface: interface.to_owned(), family, name: name.to_owned() }
    }

    /// Where a kernel thread runs.
    pub fn thread(thread: &Thread) -> Self {
        Self::Thread { id: thread.id, name: thread.name.clone(), start_ticks: thread.start_ticks }
    }

    /// What it is set to.
    pub fn read(&self, host: &Host) -> Result<String, HostError> {
        match self {
            Self::File { path, shape } => Ok(shape.value(&host.read(path)?)),
            Self::Card { interface, family, name } => {
                let values = ethtool::parse(*family, &host.run("ethtool", &[family.show(), interface])?);
                let value = values.get(name).map(|value| value.now.clone());
                value.ok_or_else(|| HostError::Absent {
                    path: format!("{name} of {interface} (ethtool {})", family.show()),
                })
            }
            Self::Steering { .. } => {
                Ok(self.rule(host)?.map_or(NONE.to_owned(), |rule| rule.queue.to_string()))
            }
            Self::Service { name } => Ok(if host.runs(name) { RUNNING } else { STOPPED }.to_owned()),
            Self::Thread { id, .. } => match Thread::of(host, *id) {
                Some(thread) if Self::thread(&thread) == *self => threads::affinity(host, *id),
                _ => Err(HostError::Absent { path: self.to_string() }),
            },
        }
    }

    /// Sets it.
    pub fn write(&self, host: &Host, value: &str) -> Result<(), HostError> {
        if let Self::File { path, .. } = self {
            return host.write(path, value);
        }
        let location = match self {
            Self::Steering { .. } => self.rule(host)?.map(|rule| rule.location),
            _ => None,
        };
        if let (Self::Steering { interface, .. }, Some(location)) = (self, location) {
            host.run("ethtool", &["-N", interface, "delete", &location.to_string()])?;
            if value == NONE {
                return Ok(());
            }
        }
        let words = self.words(value);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        host.run(words[0], &words[1..]).map(|_| ())
    }

    /// Are both the same setting, however written?
    pub fn same(&self, one: &str, other: &str) -> bool {
        match self {
            Self::File { shape, .. } => shape.same(one, other),
            Self::Thread { .. } => Shape::List.same(one, other),
            _ => one == other,
        }
    }

    /// Is `now` what the kernel makes of `asked`? Some kernels leave processors that are off line out of a thread's affinity.
    pub fn took(&self, host: &Host, asked: &str, now: &str) -> bool {
        let Self::Thread { .. } = self else { return self.same(asked, now) };
        let online = host.read("/sys/devices/system/cpu/online").unwrap_or_default();
        match (online.parse::<Cores>(), asked.parse::<Cores>(), now.parse::<Cores>()) {
            (Ok(online), Ok(asked), Ok(now)) => asked.and(&online) == now.and(&online),
            _ => self.same(asked, now),
        }
    }

    /// The shell command that sets it.
    pub fn command(&self, value: &str) -> String {
        match self {
            Self::File { path, .. } => format!("echo {} > {path}", quoted(value)),
            Self::Thread { name, .. } => format!("{}  # {}", self.line(value), name.escape_debug()),
            _ => self.line(value),
        }
    }

    fn line(&self, value: &str) -> String {
        self.words(value).iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
    }

    /// Program and arguments that set it; for a file there are none.
    fn words(&self, value: &str) -> Vec<String> {
        let words: Vec<&str> = match self {
            Self::File { .. } => Vec::new(),
            Self::Card { interface, family, name } => vec!["ethtool", family.set(), interface, name, value],
            Self::Steering { interface, group, port } => {
                let (group, port) = (&*group.to_string(), &*port.to_string());
                let rule = ["flow-type", "udp4", "dst-ip", group, "dst-port", port, "action", value];
                return ["ethtool", "-N", interface].into_iter().chain(rule).map(str::to_owned).collect();
            }
            Self::Service { name } => {
                vec!["systemctl", if value == RUNNING { "start" } else { "stop" }, name]
            }
            Self::Thread { id, .. } => {
                return ["taskset", "-cp", value, &id.to_string()].map(str::to_owned).to_vec();
            }
        };
        words.into_iter().map(str::to_owned).collect()
    }

    fn rule(&self, host: &Host) -> Result<Option<ethtool::Rule>, HostError> {
        let Self::Steering { interface, group, port } = self else { return Ok(None) };
        let rules = ethtool::rules(&host.run("ethtool", &["-n", interface])?);
        Ok(rules.into_iter().find(|rule| (rule.group, rule.port) == (*group, *port)))
    }
}

impl fmt::Display for Knob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, .. } => f.write_str(path),
            Self::Card { interface, family, name } => {
                write!(f, "{name} of {interface} (ethtool {})", family.show())
            }
            Self::Steering { interface, group, port } => {
                write!(f, "steering of {group}:{port} on {interface}")
            }
            Self::Service { name } => write!(f, "service {name}"),
            Self::Thread { id, name, .. } => write!(f, "kernel thread {name} ({id})"),
        }
    }
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:,+@%=".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chosen_word_is_the_value() {
        assert_eq!(Shape::Choice.value("always [madvise] never"), "madvise");
        assert_eq!(Shape::Choice.value("madvise"), "madvise");
        assert!(Shape::Mask.same("3", "00000000,00000003") && !Shape::Mask.same("3", "1"));
        assert!(Shape::List.same("0,1", "0-1") && Shape::Text.same("x", "x"));
    }

    #[test]
    fn commands_are_what_a_shell_takes() {
        let file = Knob::text("/proc/sys/vm/swappiness");
        assert_eq!(file.command("0"), "echo 0 > /proc/sys/vm/swappiness");
        assert_eq!(file.command("a b'c"), "echo 'a b'\\''c' > /proc/sys/vm/swappiness");
        assert_eq!(Knob::card("eth0", Family::Rings, "rx").command("4096"), "ethtool -G eth0 rx 4096");
        let steering =
            Knob::Steering { interface: "eth0".into(), group: Ipv4Addr::new(239, 192, 7, 1), port: 26400 };
        assert_eq!(
            steering.command("0"),
            "ethtool -N eth0 flow-type udp4 dst-ip 239.192.7.1 dst-port 26400 action 0"
        );
        assert_eq!(Knob::Service { name: "irqbalance".into() }.command(STOPPED), "systemctl stop irqbalance");
        let thread = |name: &str| Knob::Thread { id: 77, name: name.into(), start_ticks: 170 };
        assert_eq!(thread("kdamond.0").command("0,2-3"), "taskset -cp 0,2-3 77  # kdamond.0");
        assert_eq!(thread("a\nb").command("0"), "taskset -cp 0 77  # a\\nb");
    }
}
