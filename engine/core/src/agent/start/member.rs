//! What is different where the node is a member of a cluster.
use super::acknowledgements::recover_acknowledgements;
use super::old_ring::OldRing;
use super::{StartConfig, Stream, Surroundings};
use crate::agent::{Fault, StoreAgent};
use crate::bus::sessions::{SessionTable, UNREADABLE_ADVICE, unreadable_declaration};
use crate::bus::stream_reader::{StreamRead, StreamReader};
use crate::disk::Disk;
use crate::journal::{MESSAGE_BYTES_MAX, cut, recover};
use crate::replication::epochs::{EpochRuns, RUNS_MAX};
use crate::replication::{INCARNATION_MAX, Life, NodeId, RegisterValue};
use crate::time::{MILLISECOND_NS, Time};
use gds_wire::envelope::Message;

/// What a member of a cluster starts with. The register is read before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClusterStart {
    /// Ring and journal are cut after this message before anything else reads them; nothing happens where they end before (R15).
    pub cut_after: Option<u64>,
    /// The incarnation under which the register names this node, 0 where it does not. If the node itself does not remember that life,
    /// it counts as having lost something since, and its new incarnation is a later one.
    pub registered: u64,
    /// The incarnation that begins is not below this one, so that no life is lived twice, also where the directory went back (R24).
    pub incarnation_min: u64,
}

impl ClusterStart {
    /// Of a node before its start: what the register holds, the life that it remembers, and what its wall clock shows.
    ///
    /// A node that remembers no life where the stream has begun may have lived all the same: somebody emptied its directory. The others heed
    /// its newest life alone (R13), so the next one must be later than any of those; the clock sees to it.
    pub fn of(node: NodeId, register: &RegisterValue, remembered: Option<Life>, now: Time) -> Self {
        let named = register.set.incarnation(node).unwrap_or(0);
        let forgotten = remembered.is_none() && register.epoch > 0;
        let registered = if forgotten { named.max(now.wall_ns / MILLISECOND_NS) } else { named };
        Self { cut_after: None, registered, incarnation_min: now.wall_ns / MILLISECOND_NS }
    }
}

/// What a member of a cluster is besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberStart {
    /// The life that begins; it is durable.
    pub life: Life,
    /// The epochs of the last entry known to be committed and of all above it.
    pub epochs: EpochRuns,
    /// The running checksum of the log up to the last entry known to be committed.
    pub chain: u64,
    /// The stream has no declaration yet, or the configuration says something new: whoever leads should declare.
    pub declaration_due: bool,
}

/// Cuts the ring and then the journal after message `after`. A process that dies between the two leaves a ring that ends before the
/// journal, which the next start takes for what it is.
pub(super) fn cut_back<S: Surroundings>(
    config: &StartConfig,
    ring: OldRing,
    after: u64,
    disk: &mut S::Disk,
    around: &mut S,
) -> Result<OldRing, Fault> {
    let stream = config.stream.expect("a member knows its stream");
    if let Some(found) = ring.stream().filter(|&found| found != stream) {
        return Err(Fault(format!(
            "the ring file belongs to stream {found}, not to {stream}: name the right stream or directory"
        )));
    }
    let acknowledged = recover_acknowledgements(stream, None, around)?.last();
    if acknowledged > after {
        return Err(Fault(format!(
            "the leader's log and this node's part after message {after}, and message {acknowledged} has been acknowledged here: one of \
             the two has another stream's past. Nothing was changed; keep both nodes' directories for the record, and let this node begin \
             with an empty one"
        )));
    }
    let mut chain = 0;
    recover(disk, Some(stream), ring.known_last(), &mut |group| {
        let kept = group.messages().take_while(|message| message.sequence <= after).last();
        chain = kept.map_or(chain, |message| message.chain);
    })
    .map_err(Fault::from)?;
    let ring = ring.cut(after, chain);
    cut(disk, Some(stream), ring.known_last(), after).map_err(Fault::from)?;
    Ok(ring)
}

/// The life that begins, made durable. Call it before anything is changed that shows what was lost: a start that is interrupted must
/// not let the next one believe that all is there.
pub(super) fn begin_life<S: Surroundings>(
    cluster: &ClusterStart,
    kept_everything: bool,
    around: &mut S,
) -> Result<Life, Fault> {
    let before = around.life()?;
    let remembered = before.map_or(0, |life| life.incarnation) >= cluster.registered;
    let life = if remembered {
        Life::next(before, kept_everything)
    } else {
        let incarnation = cluster.registered;
        Life::next(Some(Life { incarnation, whole_since: incarnation }), false)
    };
    let life = life.not_below(cluster.incarnation_min);
    if !life.is_possible() {
        return Err(Fault(format!(
            "this node would begin its life {}, and no node lives through more than {INCARNATION_MAX}: the file `life` in its directory, or the register, holds a number \
             that was damaged or made up. Where it is the register, stop all nodes, remove its value, and say with `gds force-lead` who leads; where it is the file, \
             remove it",
            life.incarnation
        )));
    }
    around.keep_life(life)?;
    Ok(life)
}

/// Why a life has lost what the one before it had; `None` if it has not.
pub(super) fn loss_of_life(life: Life, why: Option<String>) -> Option<String> {
    let lost = life.incarnation > 1 && life.whole_since == life.incarnation;
    lost.then(|| {
        why.unwrap_or_else(|| "the register names a later life of this node than it remembers".into())
    })
}

/// The log's end: what may not be committed yet, and so touches nothing but the session table (R17).
pub(super) struct Tail {
    /// The sessions as of the last message.
    pub(super) table: SessionTable,
    /// The timestamp of the last message.
    pub(super) timestamp_ns: u64,
    /// The epochs from the last committed entry on.
    pub(super) epochs: EpochRuns,
    /// The running checksum up to the last committed entry.
    pub(super) chain: u64,
}

/// Reads the log from the last committed message, where the store stands, to its end.
pub(super) fn read_tail<D: Disk>(
    bus: &Stream,
    store: &StoreAgent<D>,
    disk: &mut dyn Disk,
) -> Result<Tail, Fault> {
    let (committed, last) = (store.store().applied(), bus.progress.sequenced.get());
    let mut bytes = vec![0; MESSAGE_BYTES_MAX];
    let mut reader = bus.reader(committed.max(1));
    let (mut epochs, mut chain) = (EpochRuns::new(0, 0), 0);
    if committed > 0 {
        let (epoch, of_committed, _) = read_next(&mut reader, last, disk, &mut bytes)?;
        (epochs, chain) = (EpochRuns::new(committed, epoch), of_committed);
    }
    let mut table = store.store().sessions().clone();
    let mut timestamp_ns = store.last_timestamp_ns();
    for sequence in committed + 1..=last {
        let (epoch, _, length) = read_next(&mut reader, last, disk, &mut bytes)?;
        let message = Message::parse(&bytes[..length]).map_err(Fault::from)?;
        if let Some(why) = unreadable_declaration(&message) {
            return Err(Fault(format!(
                "message {sequence} of the stream cannot be read ({why}): {UNREADABLE_ADVICE}"
            )));
        }
        table.apply(sequence, &message);
        timestamp_ns = message.envelope.timestamp_ns();
        if epoch < epochs.last_epoch() {
            return Err(Fault(format!(
                "the journal's message {sequence} is of epoch {epoch}, and the one before of epoch {}: epochs never run back, so this is no journal of a node. Restore it from \
                 a copy, or let this node begin with an empty directory: it learns the stream from the others",
                epochs.last_epoch()
            )));
        }
        if !epochs.push(sequence, epoch) {
            return Err(Fault(format!(
                "the journal has entries of more than {RUNS_MAX} epochs from message {committed} on, the last one known to be committed: \
                 remove it, and the node learns the stream anew"
            )));
        }
    }
    Ok(Tail { table, timestamp_ns, epochs, chain })
}

/// Epoch, running checksum and length of the reader's next message, which must be there.
fn read_next(
    reader: &mut StreamReader,
    last: u64,
    disk: &mut dyn Disk,
    bytes: &mut [u8],
) -> Result<(u32, u64, usize), Fault> {
    let sequence = reader.next_sequence();
    match reader.read(last, disk, bytes).map_err(Fault::from)? {
        StreamRead::Message { epoch, chain, length, .. } => Ok((epoch, chain, length)),
        _ => Err(Fault(format!(
            "message {sequence} is neither in the ring nor in the journal: restore the journal"
        ))),
    }
}
