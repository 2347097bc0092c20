//! The command line: help, exit codes, JSON, and what is told when something is wrong.
mod common;

use common::{Node, PATIENCE, Place, Ran, Settings, gds};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

const COMMANDS: [&str; 18] = [
    "demo",
    "run",
    "config",
    "replay",
    "get",
    "range",
    "watch",
    "put",
    "delete",
    "status",
    "cluster",
    "verify",
    "failover",
    "force-lead",
    "xdp",
    "journal",
    "tune",
    "completions",
];

fn run(arguments: &[&str]) -> Ran {
    Ran::from(gds().args(arguments).output().expect("the binary runs"))
}

#[test]
fn every_command_has_help() {
    let help = run(&["--help"]).succeeded();
    for command in COMMANDS {
        assert!(help.out.contains(command), "{command} is not in {}", help.out);
        let help = run(&[command, "--help"]).succeeded();
        assert!(help.out.contains("Usage: gds") && help.err.is_empty(), "{command}: {help:?}");
        let short = run(&[command, "-h"]).succeeded();
        assert!(short.out.contains("Usage: gds"));
    }
    for command in ["list", "dump", "verify"] {
        run(&["journal", command, "--help"]).succeeded();
    }
    assert!(run(&["--version"]).succeeded().out.starts_with("gds "));
    assert!(run(&["completions", "bash"]).succeeded().out.contains("gds"));
}

#[test]
fn unusable_arguments_give_exit_code_two() {
    for arguments in [
        &[][..],
        &["unheard-of"],
        &["get"],
        &["get", "records"],
        &["put", "records", "key"],
        &["range", "x"],
        &["replay"],
        &["demo", "--transport", "pigeon"],
        &["get", "no-such-table", "key"],
        &["get", "records", "0xABC"],
        &["put", "records", "key", "value", "--expect", "maybe"],
        &["get", "records", "key", "--timeout", "0"],
        &["status", "--config", "/no/such/file.toml"],
        &["journal", "list", "/no/such/folder"],
        &["verify"],
        &["verify", "--at", "0"],
        &["verify", "--directory", "/no/such/folder", "--directory", "/no/such/folder"],
    ] {
        let ran = run(arguments);
        assert_eq!(ran.code, 2, "{arguments:?}: {ran:?}");
        assert!(!ran.err.is_empty() && ran.out.is_empty(), "{arguments:?}: {ran:?}");
    }
    let ran = run(&["get", "no-such-table", "key"]);
    assert!(ran.err.contains("no-such-table") && ran.err.contains("orders"), "{ran:?}");
}

#[test]
fn a_wrong_configuration_is_refused_naming_key_and_value() {
    let place = Place::new(&Settings::default());
    let file = place.folder().join("wrong.toml");
    let file = file.to_str().expect("a path of text");
    for (text, named) in [
        ("[ring]\nfoo = 1", &["ring", "foo"][..]),
        ("[network]\ndownstream_prot = 5", &["downstream_prot", "downstream_port"]),
        ("[ring]\npositions = 1000", &["ring.positions", "1000", "power of two"]),
        ("[stream]\ndurability = \"paper\"", &["durability", "paper", "memory", "fsync"]),
        ("[network]\ningress_port = 70000", &["ingress_port", "70000"]),
        ("[loss]\nseed = -1", &["loss", "seed"]),
        (
            "[[core]]\ncpu = 0\nidle = \"spin\"\nidle_sleep_us = 1\nagents = [\"sequencer\"]",
            &["core.agents", "store"],
        ),
        ("[ring", &["wrong.toml"]),
    ] {
        fs::write(file, text).expect("the test's folder can be written");
        for arguments in
            [&["config", "--check", file][..], &["run", "--config", file], &["status", "--config", file]]
        {
            let ran = run(arguments);
            assert_eq!(ran.code, 2, "{text}: {ran:?}");
            for named in named {
                assert!(ran.err.contains(named), "{text}: {named} is not in {ran:?}");
            }
        }
    }
    let defaults = run(&["config"]).succeeded().out;
    assert!(defaults.contains("[network]") && defaults.lines().any(|line| line.starts_with('#')));
    fs::write(file, &defaults).expect("the test's folder can be written");
    assert!(run(&["config", "--check", file]).succeeded().out.contains("every key and value is right"));
}

#[test]
fn records_are_put_read_and_deleted() {
    let place = Place::new(&Settings::default());
    let node = Node::start(&place);
    let put = place.gds(&["put", "records", "greeting", "hello", "--json"]).succeeded().json();
    let version = put["sequence"].as_u64().expect("a number");
    assert_eq!((&put["outcome"], &put["applied"]), (&json!("applied"), &json!(true)));
    let got = place.gds(&["get", "records", "greeting", "--json"]).succeeded().json();
    assert_eq!(got["value"], "hello");
    assert_eq!(got["value_hex"], "0x68656c6c6f");
    assert_eq!((&got["version"], &got["found"], &got["table"]), (&json!(version), &json!(true), &json!(1)));
    let got = place.gds(&["get", "1", "0x6772656574696e67"]).succeeded();
    assert!(got.out.starts_with("hello") && got.out.contains(&version.to_string()), "{got:?}");

    // Versions are checked.
    let refused = place.gds(&["put", "records", "greeting", "again", "--expect", "new", "--json"]);
    assert_eq!((refused.code, &refused.json()["outcome"]), (1, &json!("version mismatch")));
    let refused = place.gds(&["put", "records", "greeting", "again", "--expect", "999999"]);
    assert!(refused.code == 1 && refused.err.contains("version mismatch"), "{refused:?}");
    let expected = version.to_string();
    let again =
        place.gds(&["put", "records", "greeting", "again", "--expect", &expected, "--json"]).succeeded();
    assert!(again.json()["sequence"].as_u64() > Some(version));

    // Older states can be read.
    let old = place.gds(&["get", "records", "greeting", "--as-of", &expected, "--json"]).succeeded().json();
    assert_eq!((&old["value"], &old["as_of"]), (&json!("hello"), &json!(version)));
    let before = (version - 1).to_string();
    assert_eq!(place.gds(&["get", "records", "greeting", "--as-of", &before]).code, 4);
    let ahead = place.gds(&["get", "records", "greeting", "--as-of", "1000000"]);
    assert!(ahead.code == 1 && !ahead.err.is_empty(), "{ahead:?}");

    // Values from files, bytes, and several keys at once.
    let file = place.folder().join("value");
    fs::write(&file, [0, 1, 254, 255]).expect("the test's folder can be written");
    let from = format!("@{}", file.display());
    place.gds(&["put", "records", "u64:7", &from]).succeeded();
    let got = place.gds(&["get", "records", "u64:7", "greeting", "absent", "--json"]);
    assert_eq!(got.code, 4);
    let lines = got.json_lines();
    assert_eq!(lines.len(), 3);
    assert_eq!(
        (&lines[0]["value_hex"], &lines[0]["key"]),
        (&json!("0x0001feff"), &json!("0x0000000000000007"))
    );
    assert_eq!((&lines[1]["value"], &lines[2]["found"]), (&json!("again"), &json!(false)));

    let deleted = place.gds(&["delete", "records", "greeting"]).succeeded();
    assert!(deleted.out.contains("applied"), "{deleted:?}");
    let gone = place.gds(&["get", "records", "greeting"]);
    assert!(gone.code == 4 && gone.err.contains("greeting"), "{gone:?}");
    let gone = place.gds(&["delete", "records", "greeting", "--json"]);
    assert_eq!((gone.code, &gone.json()["outcome"]), (1, &json!("record missing")));
    let unknown = place.gds(&["put", "77", "key", "value"]);
    assert!(unknown.code == 1 && unknown.err.contains("unknown table"), "{unknown:?}");
    let long = "x".repeat(2_000);
    assert_eq!(place.gds(&["put", "records", "key", &long]).code, 2);
    node.stop();
}

#[test]
fn the_stream_is_read_and_followed() {
    let place = Place::new(&Settings { session: "CLISTREAM1", ..Settings::default() });
    let node = Node::start(&place);
    for number in 0..5 {
        place.gds(&["put", "records", &format!("key {number}"), &format!("value {number}")]).succeeded();
    }
    // The declaration, then five puts and five ends of session.
    let all = place.gds(&["range", "1", "--json"]).succeeded().json_lines();
    assert_eq!(all.len(), 11);
    assert!(all.iter().zip(1..).all(|(message, sequence)| message["sequence"] == sequence));
    assert_eq!(
        (&all[0]["kind"], &all[1]["kind"], &all[2]["kind"]),
        (&json!("declaration"), &json!("transaction"), &json!("end of session"))
    );
    assert_eq!(all[1]["body"]["operations"][0]["key"], "key 0");
    assert_eq!(place.gds(&["range", "3", "5", "--json"]).succeeded().json_lines(), all[2..5]);
    assert_eq!(place.gds(&["range", "3", "5"]).succeeded().out.lines().count(), 3);
    let ahead = place.gds(&["range", "500"]);
    assert!(ahead.code == 1 || ahead.out.is_empty(), "{ahead:?}");

    let watched = place.gds(&["watch", "--from", "1", "--limit", "11", "--json"]).succeeded().json_lines();
    assert_eq!(watched, all);
    follow(&place);

    // What a status says may be 20 ms old.
    let applied = place.settled().applied;
    let status = place.gds(&["status", "--json"]).succeeded().json();
    assert_eq!(
        (&status["stream"], &status["first_kept"], &status["records"]),
        (&json!("CLISTREAM1"), &json!(1), &json!(6))
    );
    assert!(applied >= 13 && status["counters"].as_object().expect("counters").len() > 20);
    assert_eq!(status["applied"], applied);
    assert_eq!(status["digest"].as_str().expect("text").len(), 32);
    let told = place.gds(&["status"]).succeeded();
    assert!(told.out.contains("CLISTREAM1") && told.out.contains("digest"), "{told:?}");
    let stopped = node.stop();
    assert_eq!(stopped["stream"], "CLISTREAM1");
    journal(&place, &all);
}

/// A watch from the next message on shows what comes in while it runs.
fn follow(place: &Place) {
    let mut watch = gds();
    watch.args(["watch", "--limit", "2", "--json", "--config"]).arg(place.config_file());
    let mut watch = watch.stdout(Stdio::piped()).spawn().expect("the binary runs");
    let lines = BufReader::new(watch.stdout.take().expect("it is piped")).lines();
    // It may take a moment until it follows; what is put before that is not its business.
    let deadline = Instant::now() + PATIENCE;
    let put = || place.gds(&["put", "records", "followed", "x"]).succeeded();
    while watch.try_wait().expect("it is our child").is_none() {
        put();
        assert!(Instant::now() < deadline, "the watch shows nothing");
    }
    let seen: Vec<Value> =
        lines.map(|line| serde_json::from_str(&line.expect("text")).expect("JSON")).collect();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0]["sequence"].as_u64().map(|first| first + 1), seen[1]["sequence"].as_u64());
    assert!(seen[0]["sequence"].as_u64() > Some(11));
}

/// The journals say the same as the stream did.
fn journal(place: &Place, all: &[Value]) {
    let bus = place.journal("bus");
    let bus = bus.to_str().expect("a path of text");
    let verified = run(&["journal", "verify", bus, "--json"]).succeeded().json();
    assert_eq!(
        (&verified["stream"], &verified["closed_in_order"], &verified["torn_tail"]),
        (&json!("CLISTREAM1"), &json!(true), &Value::Null)
    );
    let last = verified["last"].as_u64().expect("a number");
    assert!(last >= 13);
    let dumped = run(&["journal", "dump", bus, "--to", "11", "--json"]).succeeded().json_lines();
    assert_eq!(dumped, all);
    assert_eq!(run(&["journal", "dump", bus, "--from", "4", "--to", "6"]).succeeded().out.lines().count(), 3);
    let listed = run(&["journal", "list", bus, "--json"]).succeeded().json_lines();
    let segment = &listed[0];
    assert_eq!(
        (&segment["segment"], &segment["first"], &segment["last"]),
        (&json!(1), &json!(1), &json!(last))
    );
    run(&["journal", "list", bus]).succeeded();

    let acknowledgements = place.journal("acknowledgements");
    let acknowledgements = acknowledgements.to_str().expect("a path of text");
    let dumped = run(&["journal", "dump", acknowledgements, "--json"]).succeeded().json_lines();
    assert_eq!(dumped.len() as u64, last, "one acknowledgement for each message");
    assert_eq!(
        (&dumped[1]["body"]["outcome"], &dumped[1]["client_sequence"]),
        (&json!("applied"), &json!(1))
    );
    let both = run(&["journal", "verify", place.journal("").to_str().expect("text")]);
    let both = both.succeeded().out;
    assert!(both.contains("outcomes belong to their messages") && both.contains("applied again"), "{both}");
}

#[test]
fn who_is_not_there_and_who_may_not_in_are_told() {
    let place = Place::new(&Settings::default());
    let nobody = place.gds(&["status", "--timeout", "0.3"]);
    assert!(nobody.code == 1 && nobody.err.contains("running"), "{nobody:?}");
    let node = Node::start(&place);
    let wrong = place.gds(&["status", "--password", "wrong"]);
    assert!(wrong.code == 1 && wrong.err.contains("password"), "{wrong:?}");
    let from_environment = gds()
        .args(["status", "--json", "--config"])
        .arg(place.config_file())
        .env("GDS_PASSWORD", "wrong")
        .output()
        .expect("the binary runs");
    assert_eq!(from_environment.status.code(), Some(1));
    let missing = place.gds(&["replay", "/no/such/file"]);
    assert!(missing.code == 3 && missing.err.contains("/no/such/file"), "{missing:?}");

    // A second node on the same data is told so, and the first one goes on.
    let second = Node::try_start(&place, &[]).err().expect("there is one already");
    assert!(second.code == 1 && second.err.contains("in use"), "{second:?}");
    place.gds(&["put", "records", "still", "there"]).succeeded();
    node.stop();
}

#[test]
fn an_ended_stream_takes_nothing_any_more() {
    let place = Place::new(&Settings::default());
    let node = Node::try_start(&place, &["--end-stream"]).expect("it starts");
    place.gds(&["put", "records", "key", "value"]).succeeded();
    let last = node.stop()["last"].as_u64().expect("a number");
    assert_eq!(last, 4, "declaration, put, end of session, end of stream");
    let node = Node::start(&place);
    let refused = place.gds(&["put", "records", "key", "other", "--timeout", "1"]);
    assert!(refused.code == 1 && refused.err.contains("ended"), "{refused:?}");
    let got = place.gds(&["get", "records", "key", "--json"]).succeeded().json();
    assert_eq!(got["value"], "value");
    assert_eq!(node.stop()["last"], last);
}

#[test]
fn output_may_be_cut_off_by_its_reader() {
    let place = Place::new(&Settings::default());
    let node = Node::start(&place);
    for _ in 0..3 {
        place.gds(&["put", "records", "key", "value"]).succeeded();
    }
    let mut range = gds();
    range.args(["range", "1", "--config"]).arg(place.config_file()).stdout(Stdio::piped());
    let mut range = range.spawn().expect("the binary runs");
    let out = range.stdout.take().expect("it is piped");
    let head = Command::new("true").stdin(out).status().expect("`true` is there");
    assert!(head.success());
    assert!(range.wait().expect("it is our child").success(), "a closed pipe is no failure");
    node.stop();
}

#[test]
fn xdp_shows_the_program_of_a_configuration() {
    let place = Place::new(&Settings::default());
    let file = place.config_file();
    let arguments = ["xdp", "--config", file.to_str().expect("a path of text")];
    let text = run(&arguments).succeeded().out;
    let shown: Value =
        serde_json::from_str(&run(&[&arguments[..], &["--json"]].concat()).succeeded().out).expect("JSON");
    assert_eq!((&shown["interface"], &shown["address"]), (&json!("lo"), &json!("127.0.0.1")));
    let ingress = place.ingress().to_string();
    let flows = shown["flows"].as_array().expect("a list");
    assert!(flows.contains(&json!({ "to": ingress, "senders": [], "agent": "sequencer" })), "{shown:#}");
    for line in shown["listing"].as_array().expect("a list") {
        assert!(text.contains(line.as_str().expect("text")), "{line} is not in {text}");
    }
    assert!(text.contains(&ingress), "{text}");
    let ran = run(&["xdp", "--interface", "nowhere"]);
    assert!(ran.code == 1 && ran.err.contains("no interface \"nowhere\""), "{ran:?}");
}
