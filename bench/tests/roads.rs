//! Echo and stream over each backend between two hosts.
use gds_bench::cores::Cores;
use gds_bench::echo::{Cast, Echo, EchoClient, EchoConfig};
use gds_bench::floor::stream::{self, Call};
use gds_bench::road::{End, Road};
use gds_bench::schedule::{Plan, closed_loop};
use gds_hosts::{ADDRESS, Hosts};
use gds_nic::xdp::XdpMode;
use gds_nic::{IdleStrategy, Transport};
use gds_node::config::Config;
use std::sync::Arc;
use std::time::Duration;

const BRIEFLY: Duration = Duration::from_millis(100);

/// The roads that can be had here, between new hosts.
fn roads() -> Vec<Road> {
    let hosts = match Hosts::new() {
        Ok(hosts) => Arc::new(hosts),
        Err(why) => {
            println!("skipped: no network namespaces: {why}");
            return Vec::new();
        }
    };
    let opens = |road: &Road| road.check().inspect_err(|why| println!("skipped: {road}: {why}")).is_ok();
    Road::all_between(&hosts).into_iter().filter(opens).collect()
}

#[test]
fn every_backend_echoes_between_hosts() {
    for road in roads() {
        for (cast, publishes) in [(Cast::Unicast, false), (Cast::Multicast, false), (Cast::Multicast, true)] {
            let idle = IdleStrategy::Yield;
            let config = EchoConfig { idle, publishes, ..EchoConfig::new(road.clone(), cast, None) };
            let echo = Echo::start(config).unwrap();
            let mut client = EchoClient::open(&echo, 200).unwrap();
            let plan = Plan { idle: IdleStrategy::Yield, ..Plan::new(BRIEFLY) };
            let measured = closed_loop(&mut client, &plan);
            assert_eq!(measured.failed(), None, "{road}, {}", cast.as_str());
            assert!(measured.answered > 0, "{road}, {}", cast.as_str());
        }
    }
}

#[test]
fn a_stream_crosses_from_host_to_host() {
    for road in roads() {
        for (call, per_packet) in [(Call::single(1), 1), (Call::full(8), 6)] {
            let streamed = stream::measure(&road, call, Cores::unpinned(), BRIEFLY).unwrap();
            assert!(streamed.received > 0 && streamed.received <= streamed.sent, "{road}: {streamed:?}");
            assert_eq!(streamed.received % per_packet, 0, "{road}");
        }
    }
}

#[test]
fn a_node_and_its_clients_read_one_configuration() {
    for road in roads() {
        let (keys, tables) = road.configuration();
        let config = Config::parse(&format!("[network]\n{keys}{tables}"), "node.toml").expect(&tables);
        let network = config.network;
        assert_eq!((network.interface.as_str(), network.node), (road.interface(), ADDRESS[0].to_string()));
        // The kernel leaves bursts uncut on their way to a program in generic mode.
        assert_eq!(network.segmentation, road.mode != XdpMode::Generic, "{road}");
        assert_eq!(config.admission[0].sources, [format!("{}/32", road.address(End::Near))]);
    }
    let (keys, tables) = Road::from(Transport::Socket).configuration();
    assert_eq!((keys.as_str(), tables.as_str()), ("transport = \"socket\"\n", ""), "as older nodes read it");
}
