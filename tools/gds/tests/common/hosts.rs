//! The node on one host and the test on another: the same tests over a network, and over AF_XDP, which needs one.
use gds_hosts::{ADDRESS, INTERFACE, rerun_on};
use std::process::{Command, Stdio};

/// How the node's packets get from its interface to it: `native` or `generic`.
const MODE: &str = "GDS_TEST_XDP_MODE";

/// Where the node is, when the test runs on the other host.
pub struct Hosts {
    pair: gds_hosts::Hosts,
    mode: String,
}

impl Hosts {
    /// The hosts, if this process runs on one of a pair.
    pub fn here() -> Option<Self> {
        let mode = std::env::var(MODE).unwrap_or_else(|_| "auto".into());
        gds_hosts::Hosts::around().map(|pair| Self { pair, mode })
    }

    /// What the configuration says of them. Bursts of the test's host arrive uncut where the node is in generic mode.
    pub fn network(&self) -> String {
        let (node, mode, segmentation) = (ADDRESS[0], &self.mode, self.mode != "generic");
        format!(
            "interface = \"{INTERFACE}\"\nnode = \"{node}\"\naf_xdp.mode = \"{mode}\"\nsegmentation = {segmentation}"
        )
    }

    /// Who may submit: this host alone, so that the program on the interface lets nobody else in either.
    pub fn admission(&self) -> String {
        format!(
            "[[admission]]\npattern = \"*\"\nsources = [\"{}/32\"]\ngap = \"wait\"\nskip_after_ms = 1000\nstart = \"one\"\n\
             rerequest = \"source\"\n",
            ADDRESS[1]
        )
    }

    /// The binary under test, on the node's host.
    pub fn gds(&self) -> Command {
        let mut command = self.pair.command(0, env!("CARGO_BIN_EXE_gds"));
        command.stdin(Stdio::null()).env_remove("GDS_PASSWORD");
        command
    }
}

/// Runs `test`, which is the body of the test of this name, with the node on another host and its AF_XDP in this mode; skips it where
/// there can be no hosts.
pub fn between_hosts(name: &str, mode: &str, test: impl FnOnce()) {
    if Hosts::here().is_some() {
        test();
    } else if let Err(why) = rerun_on(name, &[(MODE, mode)]) {
        super::skip(&format!("{name}: no network namespaces: {why}"));
    }
}
