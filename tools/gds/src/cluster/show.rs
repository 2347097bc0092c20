//! A cluster's picture as text and as JSON.
use super::{NodeView, Picture, Said};
use crate::text;
use gds_core::replication::Member;
use gds_node::standing::{Role, Takeover};
use serde_json::{Value, json};

const NONE: &str = "–";

/// For people.
pub fn text(picture: &Picture, findings: &[String]) -> String {
    let mut out = heading(picture);
    out += &format!("register {}\n\n", register_line(picture));
    out += &format!(
        "{:>4}  {:<21} {:<8} {:<8} {:>14} {:>10} {:>16} {:>12} {:>10} {:>10}\n",
        "node", "queries at", "role", "in sync", "life", "epoch", "applied", "missing", "since", "heard"
    );
    for view in &picture.nodes {
        out += &row(picture, view);
    }
    if let Some((leader, takeover)) = last_takeover(picture) {
        out += &format!("\nlast takeover: node {}, {}\n", leader.node, steps(&takeover));
    }
    out += "\n";
    for finding in findings {
        out += &format!("! {finding}\n");
    }
    if findings.is_empty() {
        out += "✓ every node is in sync, and the register answers\n";
    }
    out
}

fn heading(picture: &Picture) -> String {
    let streams: Vec<&str> = picture.said().map(|(_, said)| said.stream.as_str()).collect();
    let held = picture.register.as_ref().ok().and_then(|state| state.value.as_ref());
    let stream = held
        .map(|held| held.sessions.current(held.stream).to_string())
        .or_else(|| streams.first().map(|name| (*name).to_owned()));
    let stream = stream.map_or_else(String::new, |stream| format!(", stream {stream}"));
    match picture.leader() {
        Some((view, said)) => {
            format!("GDS cluster{stream}: node {} leads in epoch {}\n", view.node, said.standing.epoch)
        }
        None => format!("GDS cluster{stream}: nobody leads\n"),
    }
}

fn register_line(picture: &Picture) -> String {
    let name = &picture.register_name;
    match &picture.register {
        Err(_) => format!("{name}: no answer"),
        Ok(state) => match &state.value {
            None => format!("{name}: holds nothing"),
            Some(held) if held.epoch == 0 => {
                format!("{name}, revision {}: nobody has led yet", state.revision)
            }
            Some(held) => format!(
                "{name}, revision {}: epoch {}, leader {}, in sync (node.life) {}",
                state.revision, held.epoch, held.leader, held.set
            ),
        },
    }
}

fn row(picture: &Picture, view: &NodeView) -> String {
    let address = view.address.map_or_else(|| NONE.to_owned(), |address| address.to_string());
    let Ok(said) = &view.said else {
        let Some((teacher, gives)) = picture.teacher(view.node) else {
            return format!("{:>4}  {address:<21} no answer\n", view.node);
        };
        let (there, chunks) = (gives.transfer.there, gives.transfer.chunks);
        return format!(
            "{:>4}  {address:<21} learns: {there} of {chunks} chunks from node {teacher}\n",
            view.node
        );
    };
    let standing = &said.standing;
    let role = match standing.role {
        Role::Alone => "alone",
        Role::Leads => "leads",
        Role::Follows => "follows",
    };
    let [missing, since, heard] = lag(picture, view.node);
    format!(
        "{:>4}  {address:<21} {role:<8} {:<8} {:>14} {:>10} {:>16} {missing:>12} {since:>10} {heard:>10}\n",
        view.node,
        if is_in_sync(picture, view.node, said) { "yes" } else { "no" },
        standing.incarnation,
        standing.epoch,
        text::grouped(said.applied),
    )
}

/// What the leader knows of a replica: entries missing, for how long, and how long ago it was heard.
fn lag(picture: &Picture, node: u8) -> [String; 3] {
    let known = picture.leader().and_then(|(_, said)| {
        said.standing.replicas.iter().find(|replica| replica.node == node && replica.incarnation > 0)
    });
    let Some(replica) = known else { return [NONE; 3].map(str::to_owned) };
    let since = if replica.behind == 0 { NONE.to_owned() } else { text::duration(replica.behind_ns) };
    [text::grouped(replica.behind), since, text::duration(replica.silent_ns)]
}

fn is_in_sync(picture: &Picture, node: u8, said: &Said) -> bool {
    let member = Member { node: gds_core::replication::NodeId(node), incarnation: said.standing.incarnation };
    match picture.register.as_ref().ok().and_then(|state| state.value.as_ref()) {
        Some(held) => held.set.has(member),
        None => said.standing.is_in_sync,
    }
}

fn last_takeover(picture: &Picture) -> Option<(&NodeView, Takeover)> {
    let (view, said) = picture.leader()?;
    said.standing.takeover.map(|takeover| (view, takeover))
}

fn steps(takeover: &Takeover) -> String {
    let commit = match takeover.commit_ns {
        0 => "nothing committed since".to_owned(),
        ns => format!("{} to the first commit", text::duration(ns)),
    };
    let silence = match takeover.silence_ns {
        0 => "handed over".to_owned(),
        ns => format!("{} of silence", text::duration(ns)),
    };
    format!("{silence}, {} until the register had it, {commit}", text::duration(takeover.register_ns))
}

/// For programs.
pub fn json(picture: &Picture, findings: &[String]) -> Value {
    json!({
        "well": findings.is_empty(),
        "leader": picture.leader().map(|(view, _)| view.node),
        "register": register_json(picture),
        "nodes": picture.nodes.iter().map(|view| node_json(picture, view)).collect::<Vec<_>>(),
        "findings": findings,
    })
}

fn register_json(picture: &Picture) -> Value {
    let mut value = json!({ "name": picture.register_name });
    match &picture.register {
        Err(why) => value["error"] = json!(why),
        Ok(state) => {
            value["revision"] = json!(state.revision);
            if let Some(held) = &state.value {
                let member =
                    |member: &Member| json!({ "node": member.node.0, "incarnation": member.incarnation });
                value["stream"] = json!(held.stream.to_string());
                value["session"] = json!(held.sessions.current(held.stream).to_string());
                value["epoch"] = json!(held.epoch);
                value["leader"] = json!(held.leader.0);
                value["in_sync"] = held.set.members().iter().map(member).collect();
            }
        }
    }
    value
}

fn node_json(picture: &Picture, view: &NodeView) -> Value {
    let address = view.address.map(|address| address.to_string());
    match &view.said {
        Err(why) => {
            let mut value = json!({ "node": view.node, "address": address, "error": why });
            if let Some((teacher, gives)) = picture.teacher(view.node) {
                value["learns"] = json!({ "from": teacher, "transfer": gives.transfer });
            }
            value
        }
        Ok(said) => json!({
            "node": view.node, "address": address, "stream": said.stream, "applied": said.applied,
            "committed": said.committed, "in_sync": is_in_sync(picture, view.node, said), "standing": said.standing,
        }),
    }
}
