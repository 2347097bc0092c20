//! What was there before: a file of lines, each on disk before the change that it belongs to is made.
//!
//! The first line says which start of the host and which profile it belongs to; each further line is one change: what was set, from what,
//! to what. A process that is killed between two steps leaves at most one line whose change was not made; a power cut may leave half a
//! line, whose change was not made either. So undoing all lines, backwards, gives back what was there, wherever it was interrupted.
//!
//! Only settings of the running host are kept: they end with it, so lines of an earlier start of the host are of no use and are dropped.
use crate::host::Host;
use crate::knob::Knob;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// Larger files are none of ours.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// How often, and after how long, a folder that somebody holds is tried again.
const TRIES: usize = 40;
const TRY_AGAIN: Duration = Duration::from_millis(25);
/// The layout of the file.
const VERSION: u32 = 1;

/// The file, held by this process alone.
pub struct State {
    path: PathBuf,
    header: Header,
    records: Vec<Record>,
    /// Once there is a file.
    file: Option<File>,
    dropped: bool,
    _lock: File,
}

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Header {
    gds_tune: u32,
    boot: String,
    profile: String,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What was set.
    pub knob: Knob,
    /// From what.
    pub before: String,
    /// To what.
    pub after: String,
}

/// Why the state cannot be kept or read. Nothing is changed then.
#[derive(Debug)]
pub enum StateError {
    /// Another `gds tune` is at work.
    Busy {
        /// The folder that it holds.
        folder: PathBuf,
    },
    /// The file is not what it should be.
    Damaged {
        /// Which.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
    /// It cannot be read or written.
    Failed {
        /// Which file or folder.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy { folder } => {
                write!(f, "another gds tune is at work (it holds {}): wait for it", folder.display())
            }
            Self::Damaged { path, line, what } => write!(
                f,
                "{}, line {line}: {what}; nothing was changed. If no gds tune wrote this file, name another with --state",
                path.display()
            ),
            Self::Failed { path, cause } => {
                write!(f, "{}: {cause}; run as root, or name another file with --state", path.display())
            }
        }
    }
}

impl std::error::Error for StateError {}

impl State {
    /// Takes the state at `path`, if there is one; nobody else can until this is dropped. Makes its folder, not the file.
    pub fn open(path: &Path, host: &Host, profile: &str) -> Result<Self, StateError> {
        let failed = |path: &Path| {
            let path = path.to_path_buf();
            move |cause| StateError::Failed { path, cause }
        };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(failed(folder))?;
        let lock = File::open(folder).map_err(failed(folder))?;
        hold(&lock, folder)?;
        let boot = host.read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let header = Header { gds_tune: VERSION, boot, profile: profile.to_owned() };
        let mut state = Self {
            path: path.to_path_buf(),
            header,
            records: Vec::new(),
            file: None,
            dropped: false,
            _lock: lock,
        };
        match File::open(path) {
            Ok(file) => state.load(file)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(cause) => return Err(StateError::Failed { path: path.to_path_buf(), cause }),
        }
        Ok(state)
    }

    /// The changes, oldest first. A setting that was changed several times appears several times.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Was there a state of an earlier start of the host? Its settings ended with it.
    pub fn dropped_earlier(&self) -> bool {
        self.dropped
    }

    /// Puts a change on disk. When this returns the change may be made.
    pub fn record(&mut self, record: Record) -> Result<(), StateError> {
        if self
            .records
            .iter()
            .rfind(|known| known.knob == record.knob)
            .is_some_and(|last| last.after == record.after)
        {
            return Ok(());
        }
        let line = format!("{}\n", serde_json::to_string(&record).expect("a record is plain data"));
        if self.file.is_none() {
            self.create().map_err(|cause| self.failed(cause))?;
        }
        let mut file = self.file.as_ref().expect("it was made just now");
        file.write_all(line.as_bytes()).and_then(|()| file.sync_all()).map_err(|cause| self.failed(cause))?;
        self.records.push(record);
        Ok(())
    }

    /// Takes the file away: nothing is left to undo.
    pub fn remove(self) -> Result<(), StateError> {
        match fs::remove_file(&self.path).and_then(|()| self.sync_folder()) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(self.failed(cause)),
            _ => Ok(()),
        }
    }

    fn failed(&self, cause: io::Error) -> StateError {
        StateError::Failed { path: self.path.clone(), cause }
    }

    /// A new file with its first line, in one step.
    fn create(&mut self) -> io::Result<()> {
        let fresh = self.path.with_added_extension("new");
        let mut file = File::create(&fresh)?;
        let header = serde_json::to_string(&self.header).expect("the header is plain data");
        file.write_all(format!("{header}\n").as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, &self.path)?;
        self.sync_folder()?;
        self.file = Some(OpenOptions::new().append(true).open(&self.path)?);
        Ok(())
    }

    fn sync_folder(&self) -> io::Result<()> {
        self._lock.sync_all()
    }

    fn load(&mut self, file: File) -> Result<(), StateError> {
        let mut text = String::new();
        file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(|cause| self.failed(cause))?;
        // What was cut in mid-line was not done.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let damaged = |line, what: String| StateError::Damaged { path: self.path.clone(), line, what };
        let mut lines = text[..whole].lines();
        let first = lines.next().ok_or_else(|| damaged(1, "is no state of gds tune".into()))?;
        let header: Header = serde_json::from_str(first)
            .map_err(|error| damaged(1, format!("is no state of gds tune ({error})")))?;
        if header.gds_tune != VERSION {
            return Err(damaged(1, format!("was written by another version ({})", header.gds_tune)));
        }
        if header.boot != self.header.boot {
            self.dropped = true;
            return Ok(());
        }
        let read = |(position, line)| {
            serde_json::from_str(line)
                .map_err(|error| damaged(position + 2, format!("cannot be read ({error})")))
        };
        let records: Vec<Record> = lines.enumerate().map(read).collect::<Result<_, _>>()?;
        let file = OpenOptions::new().append(true).open(&self.path).map_err(|cause| self.failed(cause))?;
        file.set_len(whole as u64).map_err(|cause| self.failed(cause))?;
        self.records = records;
        self.file = Some(file);
        Ok(())
    }
}

/// Holds the folder. A process that has just been killed may leave a child that has it for a moment longer, so this waits a little.
fn hold(lock: &File, folder: &Path) -> Result<(), StateError> {
    for _ in 0..TRIES {
        match lock.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => thread::sleep(TRY_AGAIN),
            Err(TryLockError::Error(cause)) => {
                return Err(StateError::Failed { path: folder.to_path_buf(), cause });
            }
        }
    }
    Err(StateError::Busy { folder: folder.to_path_buf() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str, before: &str, after: &str) -> Record {
        Record { knob: Knob::text(name), before: before.into(), after: after.into() }
    }

    fn place() -> (tempfile::TempDir, PathBuf, Host) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("proc/sys/kernel/random")).unwrap();
        fs::write(folder.path().join("proc/sys/kernel/random/boot_id"), "one\n").unwrap();
        let (path, host) = (folder.path().join("state/tune.json"), Host::at(folder.path()));
        (folder, path, host)
    }

    #[test]
    fn what_was_recorded_is_there_after_a_restart_of_the_process() {
        let (_folder, path, host) = place();
        let mut state = State::open(&path, &host, "colo").unwrap();
        state.record(record("/a", "1", "2")).unwrap();
        state.record(record("/b", "x y", "")).unwrap();
        state.record(record("/b", "", "")).unwrap();
        drop(state);
        let state = State::open(&path, &host, "colo").unwrap();
        assert_eq!(state.records(), [record("/a", "1", "2"), record("/b", "x y", "")]);
        state.remove().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_line_cut_anywhere_is_a_change_not_made() {
        let (_folder, path, host) = place();
        let mut state = State::open(&path, &host, "colo").unwrap();
        state.record(record("/a", "1", "2")).unwrap();
        let kept = fs::metadata(&path).unwrap().len() as usize;
        state.record(record("/b", "1", "2")).unwrap();
        drop(state);
        let whole = fs::read(&path).unwrap();
        for cut in kept..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let mut state = State::open(&path, &host, "colo").unwrap();
            assert_eq!(state.records(), [record("/a", "1", "2")]);
            state.record(record("/c", "1", "2")).unwrap();
            drop(state);
            assert_eq!(State::open(&path, &host, "colo").unwrap().records().len(), 2);
        }
    }

    #[test]
    fn what_is_no_state_is_refused_and_kept() {
        let (_folder, path, host) = place();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let good = "{\"gds_tune\":1,\"boot\":\"one\",\"profile\":\"colo\"}\n";
        for text in
            ["", "precious\n", "{\"gds_tune\":2,\"boot\":\"\",\"profile\":\"\"}\n", &format!("{good}x\n")]
        {
            fs::write(&path, text).unwrap();
            let error = State::open(&path, &host, "colo").err().expect("refused").to_string();
            assert!(error.contains("nothing was changed"), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn only_one_process_has_it_and_an_earlier_start_of_the_host_does_not_count() {
        let (folder, path, host) = place();
        let mut state = State::open(&path, &host, "colo").unwrap();
        state.record(record("/a", "1", "2")).unwrap();
        assert!(matches!(State::open(&path, &host, "colo"), Err(StateError::Busy { .. })));
        drop(state);
        fs::write(folder.path().join("proc/sys/kernel/random/boot_id"), "two\n").unwrap();
        let mut state = State::open(&path, &host, "colo").unwrap();
        assert!(state.dropped_earlier() && state.records().is_empty());
        state.record(record("/b", "1", "2")).unwrap();
        drop(state);
        assert_eq!(State::open(&path, &host, "colo").unwrap().records(), [record("/b", "1", "2")]);
    }
}
