//! Whether anything that was acknowledged may be missing: judged by how the journal was written, not by what the configuration says now.
use super::old_ring::OldRing;
use super::{StartConfig, Surroundings};
use crate::agent::Fault;
use crate::journal::{Durability, Recovered};
use crate::label::Label;
use crate::mutation::{Mutation, active};
use gds_wire::session::Session;

/// What a person does about a loss that nothing can mend.
pub(super) const FORCED: &str = "`gds force-lead --config node.toml` says what may be missing, and `gds force-lead --config node.toml --accept-loss` goes on without it, in a new \
     session";

/// The directory's label as a start finds it.
pub(super) struct Guard {
    found: Option<Label>,
    /// Under which durability the journals were written.
    written: Durability,
}

impl Guard {
    pub(super) fn of<S: Surroundings>(config: &StartConfig, around: &mut S) -> Result<Self, Fault> {
        let found = around.label()?;
        // Where the label is gone, nobody can say more than that the ring was needed.
        let written = found.as_ref().map_or(Durability::Memory, |label| label.durability);
        let believed = active(Mutation::GuardByConfiguration);
        let written = if believed { config.journal.durability } else { written };
        Self::refuse_member(config, around)?;
        Ok(Self { found, written })
    }

    /// A lone node commits by itself what it finds. The journal of a member may lack what others committed, and have what nobody did.
    fn refuse_member<S: Surroundings>(config: &StartConfig, around: &mut S) -> Result<(), Fault> {
        if config.cluster.is_some() {
            return Ok(());
        }
        let Some(life) = around.life()? else { return Ok(()) };
        Err(Fault(format!(
            "this directory was a member's of a cluster (life {}), and cluster.node is 0 now: others may have acknowledged messages that are not in it. Give the \
             configuration its [cluster] again; or, to go on alone, {FORCED}",
            life.incarnation
        )))
    }

    /// Whether the ring may have what the journal does not. An older ring beside a journal that has everything says nothing.
    pub(super) fn needs_ring(&self) -> bool {
        self.written == Durability::Memory
    }

    /// Why messages may have been lost. A lone node that had any does not go on.
    pub(super) fn loss(
        &self,
        config: &StartConfig,
        stream: Session,
        (old_ring, has_journal): (&OldRing, bool),
        recovered: &Recovered,
    ) -> Result<Option<String>, Fault> {
        let is_there = recovered.stream.is_some() || old_ring.stream().is_some();
        if let Some(found) = self.found.as_ref().filter(|found| found.stream != stream && is_there) {
            return Err(Fault(format!(
                "journal and ring belong to stream {stream}, and the directory's label says {}: name the directories that belong together",
                found.stream
            )));
        }
        // A directory has its label only once it has a segment.
        let journal_gone = (!has_journal && self.found.is_some()).then_some("its journal is gone");
        let Some(why) = old_ring.lost(self.written, recovered).or(journal_gone) else {
            return Ok(None);
        };
        match (config.cluster, &self.found) {
            (Some(_), _) => Ok(Some(why.to_owned())),
            (None, found) if recovered.last > 0 => {
                let how = match found {
                    Some(_) => "was written with durability \"memory\"",
                    None => "has no label that says how it was written",
                };
                Err(Fault(format!(
                    "{why}, and the journal {how} and was not closed in order: messages above {} may have been acknowledged and are lost, whatever stream.durability \
                     says now. The stream stays stopped, so that no number is given twice. {FORCED}",
                    recovered.last
                )))
            }
            (None, Some(label)) => Err(Fault(format!(
                "{why}, and nothing is left of stream {}: messages may have been acknowledged and are lost. Restore the journal; or begin a new \
                 stream, under another name, in another directory",
                label.stream
            ))),
            (None, None) => Ok(None),
        }
    }

    /// The label as this start leaves it.
    pub(super) fn label(&self, config: &StartConfig, stream: Session) -> Label {
        let found = self.found.as_ref().filter(|found| found.stream == stream);
        let known = found.map(|found| found.sessions.clone()).unwrap_or_default();
        let sessions = config.sessions.clone().unwrap_or(known);
        Label { stream, durability: config.journal.durability, sessions }
    }

    /// Whether the label will say that the journal has everything, and some of it may be in the ring alone.
    pub(super) fn is_left_behind(&self, config: &StartConfig) -> bool {
        self.written == Durability::Memory && config.journal.durability == Durability::Fsync
    }

    /// Puts the label on the directory, where it is another than the one found. Before anything is acknowledged under what it says, and once what was acknowledged
    /// before is as it says.
    pub(super) fn keep<S: Surroundings>(&self, label: &Label, around: &mut S) -> Result<(), Fault> {
        if self.found.as_ref() == Some(label) {
            return Ok(());
        }
        around.keep_label(label)
    }
}
