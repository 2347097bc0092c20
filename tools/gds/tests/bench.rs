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
