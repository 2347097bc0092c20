//! A ring file that is lost while the node runs: somebody removes it (systemd's RemoveIPC does, when the node's user logs out), puts another one in its
//! place, or changes its length.
//!
//! The node goes on, for it has the memory. But after `kill -9` nobody would find what only the ring has. So a thread looks at the file several times a
//! second, and once it is lost:
//!
//! 1. the sequencer commits only what the journal has, from then on;
//! 2. when the journal has everything that was committed before, too, the directory's id says that the ring counts for nothing
//!    ([`Identity::without_ring`]), and a start after `kill -9` knows that it lacks nothing;
//! 3. the next start makes a new ring file, and takes that back.
//!
//! In between the two first steps a `kill -9` leaves what a lost ring always leaves, and the next start says so.
use crate::identity::Identity;
use gds_core::agent::{Fault, SequencerOrders};
use gds_core::counter_set;
use gds_core::counters::CounterSet;
use gds_core::cursor::Progress;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(250);
/// Between two looks while the journal has not everything.
const LOOK_SOON: Duration = Duration::from_millis(5);

/// How its counters are called.
pub const SET: &str = "ring_file";

counter_set! {
    /// What becomes of the ring file.
    pub struct RingFileCounters {
        /// 1 once the file was removed, replaced or changed in length: only what the journal has is acknowledged.
        lost,
        /// 1 once the journal has everything acknowledged, and the directory says so: a start after a kill does without the ring.
        done_without,
    }
}

/// What is wrong, as a node's counters say from anywhere; each is `set.name`.
pub fn finding(counters: &[(String, u64)]) -> Option<String> {
    let is_lost = counters
        .iter()
        .any(|(name, value)| *value > 0 && name.strip_prefix(SET).is_some_and(|counter| counter == ".lost"));
    is_lost.then(|| format!("its ring file was removed or changed while it runs: {TO_DO}"))
}

const TO_DO: &str = "it acknowledges only what its journal has, which takes longer. Stop it in order and start it: that makes a new ring file. Where \
                     systemd removed it, RemoveIPC=no keeps it from doing so (docs/TUNING.md)";

/// A ring file as it was mapped.
#[derive(Clone, Debug)]
pub struct RingFile {
    /// Where it is.
    pub path: PathBuf,
    /// Device, inode number, length in bytes.
    pub identity: (u64, u64, u64),
}

impl RingFile {
    /// Why a next start would not find it, if it would not.
    fn lost(&self) -> Option<String> {
        let (device, inode, bytes) = self.identity;
        match fs::symlink_metadata(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Some("was removed".into()),
            Err(error) => Some(format!("cannot be looked at: {error}")),
            Ok(about) if (about.dev(), about.ino()) != (device, inode) => {
                Some("was replaced by another file".into())
            }
            Ok(about) if about.len() != bytes => {
                Some(format!("was changed in length, from {bytes} bytes to {}", about.len()))
            }
            Ok(_) => None,
        }
    }
}

/// What the watch needs of a node.
pub struct Watched {
    /// The file.
    pub file: RingFile,
    /// The node's directory, and who it is.
    pub directory: PathBuf,
    /// ...
    pub identity: Identity,
    /// The boot of the machine.
    pub boot_id: [u8; 16],
    /// Where the sequencer is told.
    pub orders: Arc<SequencerOrders>,
    /// How far the node has come with its stream.
    pub progress: Arc<Progress>,
}

/// The thread that looks; dropping it ends it.
#[derive(Debug)]
pub struct RingWatch {
    end: Arc<AtomicBool>,
    trouble: Arc<Mutex<Option<String>>>,
    counters: Arc<RingFileCounters>,
    thread: Option<JoinHandle<()>>,
}

impl RingWatch {
    /// Begins to look.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(watched: Watched) -> Result<Self, Fault> {
        let (end, trouble, counters) = (Arc::default(), Arc::default(), Arc::default());
        let looks = Looks {
            watched,
            trouble: Arc::clone(&trouble),
            counters: Arc::clone(&counters),
            committed_before: None,
        };
        let ends = Arc::clone(&end);
        let run = move || looks.run(&ends);
        let thread = thread::Builder::new().name("ring watch".into()).spawn(run).map_err(Fault::from)?;
        Ok(Self { end, trouble, counters, thread: Some(thread) })
    }

    /// What is wrong with the file, if anything is.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().expect("nobody panics while holding it").clone()
    }

    /// What it counts, under its name.
    pub fn counted(&self) -> (String, Arc<dyn CounterSet>) {
        (SET.to_owned(), self.counters.clone())
    }
}

impl Drop for RingWatch {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A panic of the thread has been shown already.
            let _ = thread.join();
        }
    }
}

struct Looks {
    watched: Watched,
    trouble: Arc<Mutex<Option<String>>>,
    counters: Arc<RingFileCounters>,
    /// Once the sequencer heeds the journal: what it may have committed before.
    committed_before: Option<u64>,
}

impl Looks {
    fn run(mut self, end: &AtomicBool) {
        while !end.load(Ordering::Acquire) {
            let wait = self.look();
            thread::park_timeout(wait);
        }
    }

    /// Looks once; how long to wait until the next time.
    fn look(&mut self) -> Duration {
        if self.counters.lost.get() == 0 {
            let Some(why) = self.watched.file.lost() else { return LOOK };
            self.watched.orders.ring_lost.store(true, Ordering::Release);
            self.tell(&why, "");
            self.counters.lost.set(1);
        }
        if self.counters.done_without.get() > 0 || !self.journal_has_everything() {
            return if self.counters.done_without.get() > 0 { LOOK } else { LOOK_SOON };
        }
        let Watched { identity, directory, boot_id, .. } = &self.watched;
        match identity.without_ring(directory, Some(*boot_id)) {
            Ok(_) => self.counters.done_without.set(1),
            Err(fault) => {
                self.tell("was removed or changed", &format!(". A kill now would lose messages: {fault}"))
            }
        }
        LOOK
    }

    fn tell(&self, why: &str, more: &str) {
        let text = format!(
            "the ring file {} {why} while the node runs: {TO_DO}{more}",
            self.watched.file.path.display()
        );
        *self.trouble.lock().expect("nobody panics while holding it") = Some(text);
    }

    /// Whether the journal has everything that was committed before the sequencer began to wait for it; what is committed since, it has anyway.
    fn journal_has_everything(&mut self) -> bool {
        let Watched { orders, progress, .. } = &self.watched;
        if self.committed_before.is_none() && orders.ring_loss_heard.load(Ordering::Acquire) {
            // Neither commit point nor watermark has ever said more than this.
            self.committed_before = Some(progress.sequenced.get());
        }
        self.committed_before.is_some_and(|before| progress.durable.get() >= before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Found;
    use std::path::Path;

    const BOOT: [u8; 16] = [3; 16];

    fn looks(place: &Path) -> Looks {
        let path = place.join("ring");
        fs::write(&path, [0; 4096]).unwrap();
        let about = fs::metadata(&path).unwrap();
        let watched = Watched {
            file: RingFile { path, identity: (about.dev(), about.ino(), about.len()) },
            directory: place.to_owned(),
            identity: Identity::draw(place).unwrap(),
            boot_id: BOOT,
            orders: Arc::default(),
            progress: Arc::default(),
        };
        Looks { watched, trouble: Arc::default(), counters: Arc::default(), committed_before: None }
    }

    fn without_ring(place: &Path) -> Option<[u8; 16]> {
        match Identity::read(place).unwrap() {
            Found::Own(identity) => identity.without_ring,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_file_that_is_there_is_no_trouble() {
        let place = tempfile::tempdir().unwrap();
        let mut looks = looks(place.path());
        assert_eq!((looks.look(), looks.counters.lost.get()), (LOOK, 0));
        assert!(looks.trouble.lock().unwrap().is_none());
        assert!(!looks.watched.orders.ring_lost.load(Ordering::Relaxed));
    }

    #[test]
    fn each_way_to_lose_it_is_told() {
        type Lose = fn(&Path);
        let lose: [(&str, Lose); 4] = [
            ("was removed", |path| fs::remove_file(path).unwrap()),
            ("was replaced by another file", |path| {
                fs::rename(path, path.with_extension("old")).unwrap();
                fs::write(path, [0; 4096]).unwrap();
            }),
            ("was changed in length, from 4096 bytes to 0", |path| fs::write(path, "").unwrap()),
            ("was changed in length, from 4096 bytes to 5000", |path| fs::write(path, [0; 5000]).unwrap()),
        ];
        for (why, lose) in lose {
            let place = tempfile::tempdir().unwrap();
            let mut looks = looks(place.path());
            lose(&looks.watched.file.path);
            looks.look();
            let trouble = looks.trouble.lock().unwrap().clone().expect("it is lost");
            assert!(trouble.contains(why), "{trouble}");
            assert!(looks.watched.orders.ring_lost.load(Ordering::Relaxed));
            let counted = [("ring_file.lost".to_owned(), looks.counters.lost.get())];
            assert!(finding(&counted).is_some());
        }
        assert_eq!(
            finding(&[("ring_file.lost".to_owned(), 0), ("ring_file.done_without".to_owned(), 1)]),
            None
        );
    }

    #[test]
    fn the_directory_does_without_the_ring_only_once_the_journal_has_what_was_committed() {
        let place = tempfile::tempdir().unwrap();
        let mut looks = looks(place.path());
        let (orders, progress) = (looks.watched.orders.clone(), looks.watched.progress.clone());
        progress.sequenced.set(90);
        progress.durable.set(90);
        fs::remove_file(&looks.watched.file.path).unwrap();
        assert_eq!(
            (looks.look(), without_ring(place.path())),
            (LOOK_SOON, None),
            "the sequencer has not heard"
        );
        progress.sequenced.set(95);
        orders.ring_loss_heard.store(true, Ordering::Release);
        assert_eq!(
            (looks.look(), without_ring(place.path())),
            (LOOK_SOON, None),
            "95 may be in the ring alone"
        );
        progress.sequenced.set(99);
        progress.durable.set(94);
        assert_eq!((looks.look(), without_ring(place.path())), (LOOK_SOON, None));
        progress.durable.set(95);
        assert_eq!((looks.look(), without_ring(place.path())), (LOOK, Some(BOOT)));
        assert_eq!(looks.counters.done_without.get(), 1);
    }
}
