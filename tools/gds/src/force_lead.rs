//! `gds force-lead`: a node that cannot know that it may lead is made to.
use crate::arguments::ForceLead;
use crate::exit::{Failure, Outcome};
use crate::{cluster, config, text};
use gds_node::config::Config;
use gds_node::force::{Case, Claim};
use gds_node::standing::Role;
use serde_json::json;
use std::time::Duration;

/// Says what may be missing, and with the person's consent makes the node lead next.
pub fn run(arguments: &ForceLead) -> Outcome {
    let config = config::load(Some(&arguments.login.config))?;
    let heard = others(&config, arguments)?;
    let claim = Claim::of(&config, heard.epoch, arguments.keep_session).map_err(Failure::failed)?;
    if claim.case == Case::NotNeeded && config.cluster.node == 0 {
        return Err(Failure::failed(
            "this node is alone and has everything that it acknowledged: start it, and it goes on. Nothing was changed",
        ));
    }
    if claim.case == Case::NotNeeded {
        return Err(Failure::failed(format!(
            "node {} is in the in-sync set and has its whole journal: start it, and it leads by itself. Nothing was changed",
            claim.node
        )));
    }
    if claim.case == Case::RegisterLost && !heard.nodes.is_empty() {
        return Err(Failure::failed(format!(
            "the register lost what it held, and node {} runs: stop all nodes first, so that none leads in an epoch that is given out again. Nothing was changed",
            heard.nodes.join(" and node ")
        )));
    }
    if arguments.keep_session && claim.renamed().is_some() {
        return Err(Failure::failed(format!(
            "--keep-session is for a register that was lost while this node has everything. Here messages above {} may be missing for another reason: leave it out. Nothing was changed",
            text::grouped(claim.remains.last)
        )));
    }
    let lines = report(&config, &claim);
    let session = claim.after.sessions.current(claim.remains.stream);
    let named = json!({
        "node": claim.node.0, "stream": claim.remains.stream.to_string(), "last": claim.remains.last,
        "epoch": claim.after.epoch, "session": session.to_string(), "new_session": claim.renamed().is_some(),
        "says": lines, "done": arguments.accept_loss,
    });
    if !arguments.login.json {
        lines.iter().for_each(|line| println!("{line}"));
    }
    if !arguments.accept_loss {
        if arguments.login.json {
            println!("{named}");
        }
        return Err(Failure::failed(
            "nothing was changed. --accept-loss goes on without what may be missing",
        ));
    }
    let (node, epoch) = (claim.node, claim.after.epoch);
    let revision = claim.take().map_err(Failure::failed)?;
    if arguments.login.json {
        println!("{named}");
    } else if config.cluster.node == 0 {
        println!("\ndone: start the node, and it goes on as session {session}");
    } else {
        println!(
            "\ndone: the register (revision {revision}) names node {node} in epoch {epoch}. Start it: it leads. Then start the others"
        );
    }
    Ok(())
}

/// What could be heard of the other nodes.
struct Heard {
    epoch: u32,
    nodes: Vec<String>,
}

fn others(config: &Config, arguments: &ForceLead) -> Result<Heard, Failure> {
    let mut heard = Heard { epoch: 0, nodes: Vec::new() };
    if config.cluster.node == 0 {
        return Ok(heard);
    }
    let timeout = Duration::try_from_secs_f64(arguments.login.timeout)
        .map_err(|_| Failure::usage(format!("--timeout {}: a number of seconds", arguments.login.timeout)))?;
    for view in cluster::ask_nodes(config, &arguments.login, timeout) {
        let Ok(said) = view.said else { continue };
        if view.node == config.cluster.node {
            return Err(Failure::failed(format!(
                "node {} runs: stop it first, and make sure that it is the one whose journal is to count. Nothing was changed",
                view.node
            )));
        }
        if said.standing.role == Role::Leads {
            return Err(Failure::failed(format!(
                "node {} leads, in epoch {}: nothing needs to be forced; start this node and it learns. Nothing was changed",
                view.node, said.standing.epoch
            )));
        }
        heard.epoch = heard.epoch.max(said.standing.epoch);
        heard.nodes.push(view.node.to_string());
    }
    Ok(heard)
}

/// What a person must know before saying yes.
fn report(config: &Config, claim: &Claim) -> Vec<String> {
    let remains = &claim.remains;
    let last = text::grouped(remains.last);
    let held = match claim.before.value.as_ref().filter(|held| held.epoch > 0) {
        None => "holds nothing of a cluster".to_owned(),
        Some(held) => {
            format!("epoch {}, node {} leads, in sync (node.life) {}", held.epoch, held.leader, held.set)
        }
    };
    let life = remains.life.map_or_else(
        || "never a member of a cluster".to_owned(),
        |life| format!("life {}, whole since life {}", life.incarnation, life.whole_since),
    );
    let mut lines = vec![
        format!("register  {}: {held}", config.cluster.register),
        format!(
            "node {}    stream {}, {life}; its log ends with message {last}, of epoch {}",
            claim.node, remains.stream, remains.epoch
        ),
    ];
    if config.cluster.node == 0 {
        // There is no register, and it has no number.
        lines =
            vec![format!("this node stream {}, {life}; its log ends with message {last}", remains.stream)];
    }
    lines.push(missing(claim, &last));
    if remains.acknowledged > remains.last {
        lines.push(format!(
            "lost      messages {} to {} were acknowledged: their outcomes are here, and they are not",
            text::grouped(remains.last + 1),
            text::grouped(remains.acknowledged)
        ));
    }
    if !remains.is_whole && claim.case != Case::Alone {
        lines.push(format!(
            "missing   this node's own journal was not closed in order, and its ring is gone: messages above {last} may have been acknowledged by it too"
        ));
    }
    if claim.case == Case::Alone {
        lines.push(format!(
            "then      this node goes on alone with what it has, and gives the numbers from {} on to new transactions",
            text::grouped(remains.last + 1)
        ));
        lines.push(session(claim, &last));
        return lines;
    }
    lines.push(format!(
        "then      node {} leads in epoch {} or later, and gives the numbers from {} on to new transactions. Other nodes cut back what it does not \
         have; one that has acknowledged more refuses to start and must begin with an empty directory",
        claim.node,
        claim.after.epoch,
        text::grouped(remains.last + 1)
    ));
    lines.push(session(claim, &last));
    lines
}

/// Under which name the stream goes on.
fn session(claim: &Claim, last: &str) -> String {
    let stream = claim.remains.stream;
    match claim.renamed() {
        None => format!(
            "session   the stream keeps its MoldUDP64 session {}: nothing is missing",
            claim.after.sessions.current(stream)
        ),
        Some(name) => format!(
            "session   the stream goes on as MoldUDP64 session {name}: what is here are its messages 1 to {last}. Listeners, clients and rewinders that knew the session \
             before keep what they heard, take nothing of the new one for it, and go on with it where told to (docs/FAILOVER.md)"
        ),
    }
}

fn missing(claim: &Claim, last: &str) -> String {
    match claim.case {
        Case::First => {
            "missing   nothing, if this node has been alone until now: its journal becomes the first of the cluster".to_owned()
        }
        Case::Alone => {
            let mut why = Vec::new();
            if claim.remains.life.is_some() {
                why.push("this node was a member of a cluster, and is alone now: what was committed without it is not here");
            }
            if !claim.remains.is_whole {
                why.push("its journal was not closed in order, and what its ring had besides is gone");
            }
            format!("missing   everything above {last} that may have been acknowledged: {}", why.join("; "))
        }
        Case::RegisterLost => format!(
            "missing   everything above {last} that was committed without this node. Nobody can tell from here: the register that said who was in sync is \
             lost. Look at the others first (`gds journal list DIRECTORY/bus`), and choose the node whose log ends in the newest epoch, and of these the longest; where all \
             nodes are there and that one has everything, --keep-session lets the stream keep its session"
        ),
        Case::NotWhole | Case::NotNeeded => {
            let members = claim.before.value.iter().flat_map(|held| held.set.members());
            let others: Vec<String> =
                members.filter(|member| member.node != claim.node).map(|member| format!("node {}", member.node)).collect();
            let instead = if others.is_empty() {
                "No other node has more".to_owned()
            } else {
                format!("{} had everything: if it can be started with its journal whole, start that instead", others.join(" or "))
            };
            format!(
                "missing   everything above {last} that was committed without this node, and what this node lost itself. {instead}"
            )
        }
    }
}
