//! The ring that outlived the last process, and whether it is any good.
use super::{StartConfig, StartMemory, Surroundings};
use crate::agent::Fault;
use crate::journal::{Durability, Recovered};
use crate::memory::ring::{Ring, RingError, RingIdentity};
use crate::memory::words::SharedWords;
use crate::mutation::{Mutation, active};
use gds_wire::session::Session;
use std::sync::Arc;

pub(super) enum OldRing {
    /// There is none any more; why.
    Gone(String),
    /// Everything that was acknowledged is in the journal, whatever the ring has.
    Unneeded,
    /// There was one, and it says nothing any more.
    Lost(String),
    Whole(Arc<Ring>),
}

impl OldRing {
    pub(super) fn open(memory: &StartMemory, is_needed: bool, config: &StartConfig) -> Result<Self, Fault> {
        let name = &memory.ring_name;
        if !is_needed || !memory.ring_needed {
            return Ok(Self::Unneeded);
        }
        if !memory.ring_existed {
            return Ok(Self::Gone(format!("{name} is gone")));
        }
        match Ring::open(memory.ring.clone()) {
            Ok(ring) if ring.identity().directory != config.directory => Err(Fault(format!(
                "{name} was written for another directory: it was copied or moved there. Nothing was changed; put this directory's own ring \
                 file back, or remove it"
            ))),
            Ok(ring) if ring.identity().boot_id == config.boot_id => Ok(Self::Whole(ring)),
            Ok(_) => Ok(Self::Lost("the machine has been started anew since the ring was written".into())),
            Err(error @ RingError::Version { .. }) => Err(Fault(format!("{name}: {error}"))),
            Err(error) => Ok(Self::Lost(format!("{name} is damaged: {error}"))),
        }
    }

    /// There is not one segment of a journal. What the ring has is then no end of anything: somebody took the journal away, and a ring
    /// that comes back by itself would be a stream that nobody expects.
    pub(super) fn without_journal(self, config: &StartConfig, name: &str) -> Result<Self, Fault> {
        let Self::Whole(ring) = &self else { return Ok(self) };
        let last = ring.last();
        if last == 0 || active(Mutation::RingWithoutJournal) {
            return Ok(self);
        }
        let why = format!(
            "{name} is the ring of stream {}, up to message {last}, and its journal is gone",
            ring.identity().stream
        );
        match config.cluster {
            Some(_) => Ok(Self::Lost(why)),
            None => Err(Fault(format!(
                "{why}: not one segment of it is there. Nothing was changed. Restore the journal; or, if it was removed on purpose, begin a new \
                 stream in another directory and remove the ring file: what was acknowledged is lost then"
            ))),
        }
    }

    /// The stream it belongs to.
    pub(super) fn stream(&self) -> Option<Session> {
        self.whole().map(|ring| ring.identity().stream)
    }

    /// Every message up to this one must be in the journal, since the ring begins behind it.
    pub(super) fn known_last(&self) -> u64 {
        self.whole().map_or(0, |ring| ring.first() - 1)
    }

    fn whole(&self) -> Option<&Ring> {
        match self {
            Self::Whole(ring) => Some(ring),
            Self::Gone(_) | Self::Unneeded | Self::Lost(_) => None,
        }
    }

    /// Without the messages above `after`, up to which the running checksum is `chain_after`.
    pub(super) fn cut(self, after: u64, chain_after: u64) -> Self {
        match self {
            Self::Whole(ring) => Self::Whole(ring.cut(after, chain_after)),
            other => other,
        }
    }

    /// Why messages may have been in the ring and nowhere else, and are gone; `None` if that cannot be. `written`: how the journal was.
    pub(super) fn lost(&self, written: Durability, recovered: &Recovered) -> Option<&str> {
        match self {
            _ if recovered.clean => None,
            Self::Lost(why) => Some(why),
            Self::Gone(why) if written == Durability::Memory => Some(why),
            Self::Gone(_) | Self::Unneeded | Self::Whole(_) => None,
        }
    }

    /// The ring to go on with: this one, or where it is none an empty one in `words`, behind the journal.
    pub(super) fn into_ring<S: Surroundings>(
        self,
        mut words: SharedWords,
        config: &StartConfig,
        session: Session,
        recovered: &Recovered,
        around: &mut S,
    ) -> Result<Arc<Ring>, Fault> {
        match self {
            Self::Whole(ring) if active(Mutation::RingForgotten) => drop(ring),
            // A cut of ring and journal ended between the two. What the ring had beyond the journal was to be cut.
            Self::Whole(ring) if config.cluster.is_some() && ring.last() < recovered.last => drop(ring),
            Self::Whole(ring) => return check_merge(&ring, recovered).map(|()| ring),
            Self::Gone(_) | Self::Unneeded | Self::Lost(_) => {}
        }
        let needed = Ring::words_needed(&config.ring);
        if words.words().len() < needed {
            words = around.ring_words()?;
        }
        if words.words().len() < needed {
            return Err(Fault(format!(
                "the ring needs {needed} words of memory and was given {}",
                words.words().len()
            )));
        }
        let identity = RingIdentity { stream: session, boot_id: config.boot_id, directory: config.directory };
        Ok(Ring::create_behind(words, config.ring, identity, recovered.last + 1, recovered.chain))
    }
}

fn check_merge(ring: &Ring, recovered: &Recovered) -> Result<(), Fault> {
    let (first, last) = (ring.first(), ring.last());
    if first > recovered.last + 1 {
        return Err(Fault(format!(
            "the journal ends with {} and the ring begins with {first}: what lies between is missing; restore the journal",
            recovered.last
        )));
    }
    if last < recovered.last {
        return Err(Fault(format!(
            "the ring ends with {last}, before the journal does ({}): it is not this journal's ring",
            recovered.last
        )));
    }
    if let Some(chain) = ring.chain_of(recovered.last).filter(|chain| *chain != recovered.chain) {
        return Err(Fault(format!(
            "ring and journal differ at message {} or before: their running checksums there are {chain:016x} and {:016x}. One of the two is another \
             copy's: name the ring and the directory that belong together, or restore the journal",
            recovered.last, recovered.chain
        )));
    }
    Ok(())
}

/// The name of the stream: what is found must agree with itself and with what is wanted.
pub(super) fn name_of(config: &StartConfig, recovered: &Recovered, ring: &OldRing) -> Result<Session, Fault> {
    let in_ring = ring.stream();
    let found = recovered.stream.or(in_ring);
    if let (Some(journal), Some(ring)) = (recovered.stream, in_ring)
        && journal != ring
    {
        return Err(Fault(format!(
            "the journal belongs to stream {journal}, the ring file to {ring}: name the directories that belong together"
        )));
    }
    match (found, config.stream) {
        (Some(found), Some(wanted)) if found != wanted => Err(Fault(format!(
            "the ring file belongs to stream {found}, not to {wanted}: name the right stream or directory; where the journal was removed on \
             purpose, remove its ring file too (`gds-USER/*.ring` in stream.ring_directory)"
        ))),
        (Some(found), _) => Ok(found),
        (None, wanted) => Ok(wanted.unwrap_or(config.new_stream)),
    }
}
