//! The configuration file of a node under test.
use super::{Layout, Member, Settings};
use crate::addresses::{Ports, group};
use std::fmt::Write as _;
use std::path::Path;

/// A node that joins takes a snapshot if it spares it so many messages: of a store filled with full packets, always.
const SNAPSHOT_BEHIND_MESSAGES: u64 = 100_000;

/// As a node reads it, in a folder of its own, and with another one for its files in memory.
///
/// # Errors
/// That there are no free ports.
pub fn configuration(settings: &Settings, folder: &Path, memory: &Path) -> Result<String, String> {
    let Settings { durability, records_max, bytes_max, loss_per_mille: loss, member, .. } = settings;
    let ports = member.as_ref().map_or_else(Ports::draw, |member| Ok(member.ports))?;
    let Ports { ingress: [ingress, other], downstream, acknowledgement, rewinder, query, .. } = ports;
    let (data_bytes, positions) = settings.ring;
    let (network, tables) = settings.road.configuration();
    Ok(format!(
        "[stream]\ndurability = \"{durability}\"\ndirectory = '{}'\nring_directory = '{}'\n\
         [network]\n{network}ingress_groups = [\"{}\", \"{}\"]\ningress_port = {ingress}\n\
         downstream_group = \"{}\"\ndownstream_port = {downstream}\n\
         acknowledgement_group = \"{}\"\nacknowledgement_port = {acknowledgement}\n\
         rewinder_port = {rewinder}\nquery_port = {query}\n\
         {tables}\
         [limits]\nrecords_max = {records_max}\nbytes_max = {bytes_max}\n\
         [ring]\ndata_bytes = {data_bytes}\npositions = {positions}\n\
         {}{}{}\
         [loss]\nseed = 7\ningress_per_mille = {loss}\ndownstream_per_mille = {loss}\nacknowledgement_per_mille = {loss}\n",
        folder.join("journal").display(),
        memory.display(),
        group(ingress),
        group(other),
        group(downstream),
        group(acknowledgement),
        snapshots(settings.snapshot_messages),
        member.as_ref().map(cluster).unwrap_or_default(),
        layout(settings),
    ))
}

/// Nothing where none are taken, so that older nodes understand it, too.
fn snapshots(every_messages: u64) -> String {
    if every_messages == 0 {
        String::new()
    } else {
        format!("[snapshot]\nevery_messages = {every_messages}\n")
    }
}

fn cluster(member: &Member) -> String {
    let Member { number, peers, ports, register, silence_ms } = member;
    let [port, history_port] = ports.replication;
    let heartbeat_ms = (silence_ms / 10).max(1);
    let mut text = format!(
        "[cluster]\nnode = {number}\nregister = 'file:{}'\n\
         group = \"{}\"\nport = {port}\nhistory_port = {history_port}\n\
         heartbeat_ms = {heartbeat_ms}\nsilence_ms = {silence_ms}\nreplica_silence_ms = {silence_ms}\n\
         snapshot_behind_messages = {SNAPSHOT_BEHIND_MESSAGES}\n",
        register.display(),
        group(port),
    );
    for (node, address) in peers {
        let _ = write!(text, "[[cluster.peer]]\nnode = {node}\naddress = \"{address}\"\n");
    }
    text
}

fn layout(settings: &Settings) -> String {
    let ordering = "\"sequencer\"";
    let answering = "\"store\", \"acknowledgement_publisher\"";
    let keeping = "\"publisher\", \"journal\", \"acknowledgement_journal\"";
    let mut reading = String::from("\"rewinder\", \"query\"");
    if settings.member.is_some() {
        reading += ", \"replica_rewinder\"";
    }
    if settings.snapshot_messages > 0 {
        reading += ", \"snapshots\"";
    }
    let writing = &format!("{ordering}, {answering}, {keeping}");
    let core = |cpu: Option<usize>, idle: &str, agents: &str| {
        let cpu = cpu.map_or("-1".to_owned(), |cpu| cpu.to_string());
        format!("[[core]]\ncpu = {cpu}\nidle = \"{idle}\"\nidle_sleep_us = 50\nagents = [{agents}]\n")
    };
    match settings.layout {
        Layout::One(cpu) => core(cpu, "spin", &format!("{writing}, {reading}")),
        Layout::Yielding(cpu) => core(cpu, "yield", &format!("{writing}, {reading}")),
        Layout::Spread(one, other) => {
            core(one, "spin", answering) + &core(other, "yield", &format!("{ordering}, {keeping}, {reading}"))
        }
        Layout::Apart(one, other) => core(one, "spin", writing) + &core(other, "sleep", &reading),
        Layout::Quiet => core(None, "sleep", writing) + &core(None, "sleep", &reading),
    }
}
