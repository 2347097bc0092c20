//! `gds verify` over real nodes and their directories: who agrees, and the first message in which others differ, held against the streams read whole.
mod common;

use common::{Node, Place, Ran, Settings, gds};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the test's folder can be written");
    for entry in fs::read_dir(from).expect("it is there") {
        let entry = entry.expect("it can be read");
        let (kind, to) = (entry.file_type().expect("it can be read"), to.join(entry.file_name()));
        if kind.is_dir() {
            copy(&entry.path(), &to);
        } else if kind.is_file() {
            fs::copy(entry.path(), to).expect("it can be copied");
        }
    }
}

fn put(place: &Place, keys: &[&str]) {
    for key in keys {
        place.gds(&["put", "records", key, "value"]).succeeded();
    }
}

fn verify(arguments: &[&str]) -> Ran {
    Ran::from(gds().arg("verify").args(arguments).output().expect("the binary runs"))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("it is text")
}

/// Names of a side's members, with how far they agree.
fn members(side: &Value) -> Vec<(&str, u64)> {
    let members = side["members"].as_array().expect("a list");
    let member = |member: &'_ Value| member["agrees_to"].as_u64().expect("a number");
    members.iter().map(|value| (value["name"].as_str().expect("text"), member(value))).collect()
}

/// A node that had this much when its directory was copied.
fn stopped_node(keys: &[&str]) -> (Place, u64) {
    let place = Place::new(&Settings::default());
    let node = Node::start(&place);
    put(&place, keys);
    let last = place.settled().applied;
    node.stop();
    (place, last)
}

#[test]
fn two_nodes_that_went_apart_differ_from_exactly_that_message_on() {
    let (one, shared) = stopped_node(&["a", "b", "c", "d", "e"]);
    let (other, kept) = (Place::new(&Settings::default()), one.folder().join("kept"));
    copy(&one.journal(""), &other.journal(""));
    copy(&one.journal(""), &kept);
    let _nodes = [Node::start(&one), Node::start(&other)];
    put(&one, &["f", "g"]);
    put(&other, &["h", "i", "j"]);

    let streams = [one.stream(), other.stream()];
    let same = streams[0].iter().zip(&streams[1]).take_while(|(left, right)| left == right).count() as u64;
    assert!(same >= shared && same < streams[0].len() as u64, "{same} of {shared} and more are shared");
    let files = [text(&one.config_file()).to_owned(), text(&other.config_file()).to_owned()];
    let both = ["--config", &files[0], "--config", &files[1]];

    let ran = verify(&[&both[..], &["--directory", text(&kept), "--json"]].concat());
    assert_eq!(ran.code, 1, "{ran:?}");
    let found = ran.json();
    assert_eq!((&found["agree"], &found["at"]), (&json!(false), &json!(shared)), "{found}");
    assert_eq!(found["sides"][1]["differs_from"], json!(same + 1), "{found}");
    assert_eq!(found["sides"].as_array().map(Vec::len), Some(2), "{found}");
    let difference = &found["differences"][0];
    assert_eq!(difference["sequence"], json!(same + 1));
    let queries = [&other, &one].map(|place| format!("node at {}", place.network().addresses().query));
    assert_eq!(members(&found["sides"][0])[0], (&*queries[0], streams[1].len() as u64), "it has the most");
    assert_eq!(members(&found["sides"][1]), [(&*queries[1], streams[0].len() as u64)]);
    let kept_name = format!("directory {}", kept.join("bus").display());
    assert_eq!(members(&found["sides"][0])[1], (&*kept_name, shared));
    assert_eq!(found["agree_with_all"], json!([kept_name]), "it ends before they part");
    for (has, stream) in difference["has"].as_array().expect("a list").iter().zip([&streams[1], &streams[0]])
    {
        let bytes = &stream[same as usize];
        assert_eq!(has["checksum"], json!(gds_wire::checksum(bytes)), "{has}");
        assert_eq!(has["message"]["sequence"], json!(same + 1));
    }

    let shown = verify(&both);
    let line = format!("! B differs from A from message {} on; up to {same} they agree", same + 1);
    assert!(shown.code == 1 && shown.out.contains(&line) && !shown.out.contains('✓'), "{shown:?}");
    let number = same.to_string();
    let before = verify(&[&both[..], &["--at", &number]].concat()).succeeded();
    assert!(before.out.contains(&format!("✓ all agree up to message {same}")), "{before:?}");
    let number = (same + 1).to_string();
    assert_eq!(verify(&[&both[..], &["--at", &number]].concat()).code, 1);
    let beyond = verify(&[&both[..], &["--at", "1000000"]].concat());
    assert!(beyond.code == 1 && beyond.err.matches("was not compared: it has messages 1 to").count() == 2);
}

#[test]
fn a_node_and_copies_of_its_directory_agree() {
    let (place, last) = stopped_node(&["a", "b", "c"]);
    let [early, late] = ["early", "late"].map(|name| place.folder().join(name));
    copy(&place.journal(""), &early);
    let node = Node::start(&place);
    put(&place, &["d", "e"]);
    let all = place.settled().applied;
    node.stop();
    copy(&place.journal(""), &late);
    let node = Node::start(&place);
    let now = place.settled().applied;

    let config = place.config_file();
    let arguments =
        ["--config", text(&config), "--directory", text(&early), "--directory", text(&late), "--json"];
    let found = verify(&arguments).succeeded().json();
    assert_eq!((&found["agree"], &found["at"]), (&json!(true), &json!(last)), "{found}");
    let agree_to: Vec<u64> = members(&found["sides"][0]).into_iter().map(|(_, up_to)| up_to).collect();
    assert_eq!(
        (agree_to, found["sides"].as_array().map(Vec::len)),
        (vec![now, last, all], Some(1)),
        "{found}"
    );
    node.stop();

    let alone = ["--directory", text(&early), "--directory", text(&late)];
    let shown = verify(&alone).succeeded();
    assert!(shown.out.contains(&format!("✓ all agree up to message {last}")), "{shown:?}");
    let silent = verify(&[&alone[..], &["--config", text(&config), "--timeout", "0.1"]].concat());
    assert!(silent.code == 1 && silent.out.contains("was not compared: no answer"), "{silent:?}");
    let outcomes = late.join("acknowledgements");
    let wrong = verify(&[&alone[..2], &["--directory", text(&outcomes)]].concat());
    assert!(wrong.code == 1 && wrong.err.contains("it holds acknowledgements"), "{wrong:?}");
    let single = verify(&alone[..2]);
    assert!(single.code == 2 && single.err.contains("all there is to compare"), "{single:?}");
}
