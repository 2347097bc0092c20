//! Which transport a client takes: between network namespaces, on an interface on which a node would have AF_XDP.
use gds_client::{ClientError, Network};
use gds_hosts::{Hosts, INTERFACE};
use gds_nic::xdp::{XdpError, attached};
use gds_nic::{Interface, NicError, Transport};
use gds_node::config::Config;

fn network(transport: &str) -> Network {
    let text = format!("[network]\ninterface = \"{INTERFACE}\"\ntransport = \"{transport}\"\n");
    Network::of(&Config::parse(&text, "node.toml").expect("a configuration")).expect("the interface is there")
}

/// The transports of a client's two kinds of port, and how many programs the interface has while they are open.
fn taken(transport: &str) -> Result<([Transport; 2], usize), ClientError> {
    let network = network(transport);
    let ports = [network.own_port()?, network.group_port(network.addresses().downstream)?];
    let programs = attached(&Interface::Name(INTERFACE.into())).expect("the kernel answers");
    Ok((ports.each_ref().map(|port| port.port().transport()), programs.len()))
}

#[test]
fn a_client_goes_past_the_kernel_only_when_told_to() {
    let hosts = match Hosts::new() {
        Ok(hosts) => hosts,
        Err(why) => return println!("skipped: no network namespaces: {why}"),
    };
    hosts.on(0, || {
        let (transports, programs) = taken("auto").expect("sockets work everywhere");
        assert!(!transports.contains(&Transport::AfXdp), "{transports:?}");
        assert_eq!(programs, 0, "a client leaves the interface as it is");
        match taken("af_xdp") {
            Ok(taken) => assert_eq!(taken, ([Transport::AfXdp; 2], 1)),
            Err(ClientError::Nic(error @ NicError::Xdp(XdpError::Capability { .. }))) => {
                println!("skipped: {error}");
            }
            Err(error) => panic!("{error}"),
        }
    });
}
