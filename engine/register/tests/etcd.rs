//! The register in a real etcd: alone and in a cluster of three, with users, over TLS, frozen, killed, and behind a line that loses answers.
#[path = "etcd/certificates.rs"]
mod certificates;
mod common;
#[path = "etcd/proxy.rs"]
mod proxy;
#[path = "etcd/server.rs"]
mod server;

use certificates::Certificates;
use common::value;
use gds_core::replication::RegisterState;
use gds_register::etcd::Login;
use gds_register::{Etcd, EtcdConfig, Register, RegisterConfig, RegisterError, SwapAnswer};
use proxy::Proxy;
use server::{Server, config, free_port, there_is_etcd};
use std::time::Duration;

fn open(config: &EtcdConfig) -> Box<dyn Register + Send> {
    gds_register::open(&RegisterConfig::Etcd(config.clone())).expect("the configuration is good")
}

/// The revision after a swap that must be done.
fn swapped(answer: Result<SwapAnswer, RegisterError>) -> u64 {
    match answer {
        Ok(SwapAnswer::Swapped(revision)) => revision,
        other => panic!("not swapped: {other:?}"),
    }
}

fn holds(revision: u64, epoch: u32, node: u8) -> RegisterState {
    RegisterState { revision, value: Some(value(epoch, node, 1)) }
}

#[test]
fn a_value_stays_until_it_is_swapped_at_its_revision() {
    if !there_is_etcd() {
        return;
    }
    let server = Server::start(None);
    let (mut one, mut other) = (open(&server.config()), open(&server.config()));
    assert_eq!(one.read().expect("read"), RegisterState { revision: 0, value: None });
    let first = swapped(one.swap(0, &value(1, 1, 1)));
    assert_eq!(other.read().expect("read"), holds(first, 1, 1));
    assert_eq!(other.swap(0, &value(1, 2, 1)).expect("swap"), SwapAnswer::Holds(holds(first, 1, 1)));
    assert_eq!(other.swap(first + 1, &value(1, 2, 1)).expect("swap"), SwapAnswer::Holds(holds(first, 1, 1)));
    // What others keep in etcd moves its revision, and not the register's. "b3RoZXI=" is "other".
    server.administer("/v3/kv/put", r#"{"key": "b3RoZXI=", "value": "b3RoZXI="}"#);
    assert_eq!(one.read().expect("read"), holds(first, 1, 1));
    let second = swapped(other.swap(first, &value(2, 2, 1)));
    assert_eq!((second, one.read().expect("read")), (first + 2, holds(second, 2, 2)));
    assert_eq!(one.swap(first, &value(2, 1, 1)).expect("swap"), SwapAnswer::Holds(holds(second, 2, 2)));
}

#[test]
fn what_is_no_register_is_refused_and_left_alone() {
    if !there_is_etcd() {
        return;
    }
    let server = Server::start(None);
    // "L2dkcy9zdHJlYW0=" is "/gds/stream", "b3RoZXI=" is "other".
    server.administer("/v3/kv/put", r#"{"key": "L2dkcy9zdHJlYW0=", "value": "b3RoZXI="}"#);
    let mut register = open(&server.config());
    let error = register.read().expect_err("no value of ours");
    assert!(matches!(error, RegisterError::Damaged { .. }), "{error:?}");
    assert!(error.to_string().contains("etcd key \"/gds/stream\""), "{error}");
    let error = register.swap(0, &value(1, 1, 1)).expect_err("no value of ours");
    assert!(matches!(error, RegisterError::Damaged { .. }) && !error.may_have_happened(), "{error:?}");
}

#[test]
fn an_endpoint_that_is_down_is_passed_over() {
    if !there_is_etcd() {
        return;
    }
    let mut server = Server::start(None);
    let down = format!("http://127.0.0.1:{}", free_port());
    let mut register = open(&config([down.clone(), server.endpoint()]));
    let first = swapped(register.swap(0, &value(1, 1, 1)));
    assert_eq!(register.read().expect("read"), holds(first, 1, 1));
    server.kill();
    let error = register.swap(first, &value(2, 1, 1)).expect_err("nobody is there");
    assert!(matches!(&error, RegisterError::Silent { tried, .. } if tried.len() == 2), "{error:?}");
    assert!(error.to_string().contains(&down) && error.to_string().contains(&server.endpoint()), "{error}");
    assert!(!register.read().expect_err("nobody is there").may_have_happened(), "a read is never in doubt");
    server.start_again();
    assert_eq!(
        register.read().expect("read"),
        holds(first, 1, 1),
        "it is there again, with what it was told"
    );
    swapped(register.swap(first, &value(2, 1, 1)));
}

#[test]
fn nothing_is_in_doubt_where_nobody_could_be_reached() {
    let mut register = open(&config([format!("http://127.0.0.1:{}", free_port())]));
    let error = register.swap(0, &value(1, 1, 1)).expect_err("nobody is there");
    assert!(matches!(error, RegisterError::Silent { .. }) && !error.may_have_happened(), "{error:?}");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[test]
fn a_frozen_etcd_is_silence_and_a_doubt() {
    if !there_is_etcd() {
        return;
    }
    let server = Server::start(None);
    let mut register = open(&EtcdConfig { timeout: Duration::from_millis(200), ..server.config() });
    let first = swapped(register.swap(0, &value(1, 1, 1)));
    server.freeze();
    let error = register.swap(first, &value(2, 1, 1)).expect_err("frozen");
    assert!(matches!(error, RegisterError::Silent { .. }) && error.may_have_happened(), "{error:?}");
    assert!(error.to_string().contains("no answer in time"), "{error}");
    assert!(!register.read().expect_err("frozen").may_have_happened());
    server.thaw();
    let mut register = open(&server.config());
    // The old swap may arrive between the two requests: then the second one says so.
    let state = register.read().expect("read");
    let swap = register.swap(state.revision, &value(3, 1, 1)).expect("swap");
    let state = match swap {
        SwapAnswer::Swapped(revision) => holds(revision, 3, 1),
        SwapAnswer::Holds(state) => holds(state.revision, 2, 1),
    };
    assert_eq!(register.read().expect("read"), state);
}

#[test]
fn a_swap_whose_answer_is_lost_is_in_doubt_and_told_by_the_next_answer() {
    if !there_is_etcd() {
        return;
    }
    let server = Server::start(None);
    let proxy = Proxy::start(server.port);
    let mut register =
        open(&EtcdConfig { timeout: Duration::from_millis(500), ..config([proxy.endpoint()]) });
    let first = swapped(register.swap(0, &value(1, 1, 1)));
    proxy.lose_answers(true);
    let error = register.swap(first, &value(2, 1, 1)).expect_err("no answer comes");
    assert!(error.may_have_happened(), "{error:?}");
    assert!(error.to_string().contains("the swap may have happened"), "{error}");
    proxy.wait_for_a_lost_answer();
    proxy.lose_answers(false);
    let second = holds(first + 1, 2, 1);
    assert_eq!(register.swap(first, &value(2, 1, 1)).expect("swap"), SwapAnswer::Holds(second.clone()));
    assert_eq!(register.read().expect("read"), second);
}

#[test]
fn a_swap_whose_answer_is_lost_is_asked_for_again_at_the_next_endpoint() {
    if !there_is_etcd() {
        return;
    }
    let server = Server::start(None);
    let proxy = Proxy::start(server.port);
    let endpoints = [proxy.endpoint(), server.endpoint()];
    let mut register = open(&EtcdConfig { timeout: Duration::from_millis(1_000), ..config(endpoints) });
    let first = swapped(register.swap(0, &value(1, 1, 1)));
    proxy.lose_answers(true);
    let answer = register.swap(first, &value(2, 1, 1)).expect("the second endpoint answers");
    assert_eq!(answer, SwapAnswer::Holds(holds(first + 1, 2, 1)), "the first swap was done, and only once");
}

#[test]
fn three_go_on_without_one_and_not_without_two() {
    if !there_is_etcd() {
        return;
    }
    let servers = Server::start_three();
    let mut register = open(&config(servers.iter().map(Server::endpoint)));
    let mut revision = swapped(register.swap(0, &value(1, 1, 1)));
    for (frozen, epoch) in servers.iter().zip(2..) {
        frozen.freeze();
        // If it was their leader, the other two elect one first.
        let done = (0..20).find_map(|_| match register.swap(revision, &value(epoch, 1, 1)) {
            Ok(SwapAnswer::Swapped(revision)) => Some(revision),
            Ok(SwapAnswer::Holds(state)) if state.value == Some(value(epoch, 1, 1)) => Some(state.revision),
            Ok(SwapAnswer::Holds(state)) => panic!("somebody else's: {state:?}"),
            Err(error) => {
                assert!(matches!(error, RegisterError::Silent { .. }), "{error:?}");
                None
            }
        });
        revision = done.expect("two of three go on");
        frozen.thaw();
    }
    servers[0].freeze();
    servers[1].freeze();
    let mut register = open(&EtcdConfig { timeout: Duration::from_millis(500), ..servers[2].config() });
    let error = register.read().expect_err("one of three knows nothing for sure");
    assert!(matches!(error, RegisterError::Silent { .. }), "{error:?}");
    servers[0].thaw();
    servers[1].thaw();
}

#[test]
fn endpoints_of_two_clusters_are_noticed() {
    if !there_is_etcd() {
        return;
    }
    let (mut one, other) = (Server::start(None), Server::start(None));
    let mut register = open(&config([one.endpoint(), other.endpoint()]));
    swapped(register.swap(0, &value(1, 1, 1)));
    one.kill();
    let error = register.read().expect_err("not the same cluster");
    assert!(matches!(&error, RegisterError::OtherCluster { endpoint, .. } if *endpoint == other.endpoint()));
    assert!(error.to_string().contains("one etcd cluster only"), "{error}");
}

#[test]
fn users_log_in_and_log_in_again_when_etcd_has_forgotten_them() {
    if !there_is_etcd() {
        return;
    }
    let mut server = Server::start(None);
    let with = |user: &str, password: &str| {
        let login = Login { user: user.into(), password: password.into() };
        EtcdConfig { login: Some(login), ..server.config() }
    };
    let (good, wrong) = (with("gds", "gds"), with("gds", "guess"));
    let mut register = open(&good);
    let first = swapped(register.swap(0, &value(1, 1, 1)));
    server.ask_for_users();
    let second = swapped(register.swap(first, &value(2, 1, 1)));

    let refused = |config: &EtcdConfig| match open(config).read().expect_err("refused") {
        RegisterError::Refused { why, .. } => why,
        other => panic!("{other:?}"),
    };
    assert!(refused(&server.config()).contains("set cluster.etcd.user"), "{}", refused(&server.config()));
    assert!(refused(&wrong).contains("login of user \"gds\""), "{}", refused(&wrong));
    let elsewhere = EtcdConfig { key: "/others/stream".into(), ..good.clone() };
    assert!(refused(&elsewhere).contains("permission denied"), "{}", refused(&elsewhere));

    server.kill();
    server.start_again();
    let third = swapped(register.swap(second, &value(3, 1, 1)));
    assert_eq!(open(&good).read().expect("read"), holds(third, 3, 1));
}

#[test]
fn over_tls_both_sides_know_each_other_by_their_certificates() {
    if !there_is_etcd() {
        return;
    }
    let (certificates, foreign) = (Certificates::new(), Certificates::new());
    let server = Server::start(Some(certificates.server()));
    let tls = |ca: &Certificates, own: Option<&Certificates>| EtcdConfig {
        ca_file: Some(ca.ca()),
        certificate_file: own.map(Certificates::client),
        key_file: own.map(Certificates::client_key),
        ..server.config()
    };
    let mut register = open(&tls(&certificates, Some(&certificates)));
    let first = swapped(register.swap(0, &value(1, 1, 1)));
    assert_eq!(register.read().expect("read"), holds(first, 1, 1));

    let error =
        open(&tls(&foreign, Some(&certificates))).swap(first, &value(2, 9, 1)).expect_err("a foreign server");
    assert!(matches!(error, RegisterError::Silent { .. }) && !error.may_have_happened(), "{error:?}");
    assert!(error.to_string().contains("certificate"), "{error}");
    for own in [None, Some(&foreign)] {
        let error =
            open(&tls(&certificates, own)).swap(first, &value(2, 9, 1)).expect_err("a foreign client");
        assert!(matches!(error, RegisterError::Silent { .. }), "{error:?}");
        assert!(error.to_string().contains("each side takes the other's certificate"), "{error}");
    }
    assert_eq!(register.read().expect("read"), holds(first, 1, 1));
}

#[test]
fn files_that_cannot_be_used_are_named_at_the_start() {
    let (certificates, foreign) = (Certificates::new(), Certificates::new());
    let good = EtcdConfig {
        ca_file: Some(certificates.ca()),
        certificate_file: Some(certificates.client()),
        key_file: Some(certificates.client_key()),
        ..config(["https://127.0.0.1:1".into()])
    };
    Etcd::new(&good).expect("these fit");
    for (wrong, names) in [
        (
            EtcdConfig { ca_file: Some("nowhere.pem".into()), ..good.clone() },
            "cluster.etcd.ca_file = \"nowhere.pem\"",
        ),
        (EtcdConfig { ca_file: Some(certificates.client_key()), ..good.clone() }, "cluster.etcd.ca_file"),
        (EtcdConfig { certificate_file: Some("/dev/null".into()), ..good.clone() }, "no certificate"),
        (EtcdConfig { key_file: Some(certificates.client()), ..good.clone() }, "cluster.etcd.key_file"),
        (EtcdConfig { key_file: Some(foreign.client_key()), ..good.clone() }, "cluster.etcd.key_file"),
        (EtcdConfig { endpoints: vec![], ..good.clone() }, "cluster.etcd.endpoints"),
    ] {
        let error = Etcd::new(&wrong).expect_err(names);
        assert!(
            matches!(error, RegisterError::Setting { .. }) && error.to_string().contains(names),
            "{error}"
        );
    }
}
