//! `gds bench` as an operator meets it. What it measures is tested in the rig itself.
mod common;

use common::{Node, Place, Ran, Settings};

fn bench(arguments: &[&str]) -> Ran {
    Ran::from(common::gds().arg("bench").args(arguments).output().expect("the binary runs"))
}

#[test]
fn it_names_what_there_is() {
    let listed = bench(&["list"]).succeeded().out;
    for name in ["acknowledgement_depth_1", "saturation", "growth", "put_uniform_200", "itch_day"] {
        assert!(listed.contains(name), "{listed}");
    }
    let unknown = bench(&["all", "--only", "speed"]);
    assert!(unknown.code != 0 && unknown.err.contains("saturation"), "{unknown:?}");
    let unknown = bench(&["load", "--rate", "1", "--workload", "x"]);
    assert!(unknown.code != 0 && unknown.err.contains("put_uniform_200"), "{unknown:?}");
}

#[test]
fn it_brings_load_to_a_node_and_tells_every_answer() {
    let place = Place::new(&Settings::default());
    let node = Node::start(&place);
    let file = place.config_file();
    let file = file.to_str().expect("the path is text");
    let ran = bench(&["load", "--config", file, "--rate", "2000", "--seconds", "1"]);
    // A busy machine may miss the rate; no answer is lost.
    assert!(ran.code == 0 || ran.err.contains("reached"), "{ran:?}");
    assert!(ran.out.contains("acknowledgement") && !ran.err.contains("lost"), "{ran:?}");
    assert!(!ran.out.contains("rejected") && !ran.out.contains("trouble"), "{ran:?}");
    node.stop();
}

#[test]
fn it_writes_a_report() {
    let place = Place::new(&Settings::default());
    let out = place.folder().join("report");
    let out = out.to_str().expect("the path is text");
    let arguments = ["all", "--quick", "--repetitions", "1", "--only", "get_index", "--out", out];
    let ran = bench(&arguments).succeeded();
    assert!(ran.out.contains("get from the index"), "{ran:?}");
    for file in ["index.html", "results.json"] {
        assert!(std::fs::metadata(format!("{out}/{file}")).is_ok_and(|file| file.len() > 0), "{file}");
    }
}

#[test]
fn it_measures_two_nodes_where_hosts_can_be_had() {
    let place = Place::new(&Settings::default());
    let out = place.folder().join("report");
    let out = out.to_str().expect("the path is text");
    let mut arguments = vec!["all", "--quick", "--repetitions", "1", "--out", out];
    arguments.extend(
        ["replication", "replication_pauses", "replication_takeovers"]
            .iter()
            .flat_map(|name| ["--only", name]),
    );
    let ran = bench(&arguments).succeeded();
    let results = std::fs::read_to_string(format!("{out}/results.json")).expect("it is there");
    let results: serde_json::Value = serde_json::from_str(&results).expect("it is JSON");
    let rows = results["rows"].as_array().expect("a list");
    if rows.is_empty() {
        let why = results["skipped"][0].as_str().expect("what is left out is told");
        assert!(why.contains("no hosts"), "{why}");
        return println!("skipped: {why}");
    }
    // On a busy machine a run at a rate may fail; round trips do not.
    for row in &rows[..3] {
        assert_eq!(row["values"].as_array().map(Vec::len), Some(1), "{row}, {ran:?}");
    }
    for part in ["while a replica joins", "death"] {
        assert!(
            rows.iter().any(|row| row["what"].as_str().is_some_and(|what| what.contains(part))),
            "{part}: {rows:?}"
        );
    }
}

#[test]
fn stages_tell_where_the_time_of_a_running_node_goes() {
    let place = Place::new(&Settings::default());
    let node = Node::start(&place);
    let file = place.config_file();
    let file = file.to_str().expect("the path is text");
    bench(&["load", "--config", file, "--rate", "1000", "--seconds", "0.5"]);
    let stages = |arguments: &[&str]| {
        let mut command = common::gds();
        command.args(["stages", "--config", file]).args(arguments);
        Ran::from(command.output().expect("the binary runs"))
    };
    let told: serde_json::Value =
        serde_json::from_str(&stages(&["--json"]).succeeded().out).expect("it is JSON");
    let messages = |stage: &str| told[stage]["messages"].as_u64().expect("every stage is there");
    assert!(messages("sequenced") >= 500, "{told}");
    for stage in ["applied", "acknowledged", "published"] {
        assert_eq!(messages(stage), messages("sequenced"), "{told}");
    }
    assert!(told["acknowledged"]["p50_ns"].as_u64() >= told["sequenced"]["p50_ns"].as_u64(), "{told}");
    assert!(stages(&[]).succeeded().out.contains("journalled"));
    node.stop();
    let gone = stages(&[]);
    assert!(gone.code == 1 && gone.err.contains("does a node of this configuration run"), "{gone:?}");
}
