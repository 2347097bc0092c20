//! One directory of numbered files.
use super::maker::{self, Maker};
use super::plain::PlainWrites;
use super::uring::{Durability, UringWrites};
use super::{BLOCK_BYTES, FileError};
use crate::error::uring_advice;
use memmap2::{MmapMut, MmapOptions};
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Deref;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How writes reach the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// io_uring where it works, else plain calls; [`Directory::backend_reason`] tells why.
    #[default]
    Auto,
    /// io_uring with direct I/O, or nothing.
    IoUring,
    /// Plain calls through the page cache: for write-behind. A durable write waits for the disk.
    Plain,
}

/// What a new file's room is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fill {
    /// Reserved by the file system: made at once, but the first durable write to each block costs a metadata write too.
    #[default]
    Reserve,
    /// Zeros really written: durable writes are quicker later, the making takes as long as writing the file.
    Zeros,
}

/// What a directory is opened with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryConfig {
    /// Where. Made, with its parents, when it does not exist.
    pub path: PathBuf,
    /// File names end in a dot and this.
    pub suffix: String,
    /// How writes reach the disk.
    pub backend: Backend,
    /// What a new file's room is made of.
    pub fill: Fill,
    /// Most writes in flight.
    pub depth: usize,
    /// Only to be read, beside whoever writes: nothing is made or cleared away, and the directory must exist.
    pub read_only: bool,
}

impl DirectoryConfig {
    /// Files ending in `.journal`, 16 writes in flight, the best backend there is.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            suffix: "journal".into(),
            backend: Backend::Auto,
            fill: Fill::Reserve,
            depth: 16,
            read_only: false,
        }
    }
}

/// Files kept open at a time.
const OPEN_MAX: usize = 8;
/// How often [`Directory::create`] looks whether the file is there.
const LOOK: Duration = Duration::from_micros(200);
/// The number of a place for an open file that holds none.
const NONE: u64 = u64::MAX;
/// Bytes read at once for a reader, aligned as direct I/O wants it.
const READ_BYTES: usize = 1 << 20;

enum Writes<B: AsRef<[u8]> + 'static> {
    Uring(Box<UringWrites<B>>),
    Plain(PlainWrites<B>),
}

/// The place of an open file, which writes in flight hold too. Places are made once and used again, so that opening a file takes
/// nothing from the heap.
#[derive(Default)]
pub(super) struct OpenFile(Option<File>);

impl Deref for OpenFile {
    type Target = File;

    fn deref(&self) -> &File {
        self.0.as_ref().expect("only places with a file are handed out")
    }
}

/// One directory of files named by a number, such as `00000000000000000001.journal`.
///
/// `B` is an owned buffer that lends its bytes: whole blocks of [`BLOCK_BYTES`], aligned to that. It is held from
/// [`Directory::submit`] until [`Directory::poll`] gives it back. One thread submits and polls.
pub struct Directory<B: AsRef<[u8]> + 'static> {
    writes: Writes<B>,
    config: DirectoryConfig,
    reason: String,
    notices: Vec<String>,
    direct: bool,
    /// The files used last, the newest at the end; always [`OPEN_MAX`] places.
    open: Vec<(u64, Arc<OpenFile>)>,
    /// Where the names of files to be opened are written, so that this takes nothing from the heap.
    name: PathBuf,
    /// None where files are only read.
    maker: Option<Maker>,
    /// Numbers of the files of writes in flight, for their errors' sake.
    submitted: std::collections::VecDeque<u64>,
    bounce: MmapMut,
}

impl<B: AsRef<[u8]> + 'static> Directory<B> {
    /// Opens the directory, makes it if need be, and clears away files whose making was interrupted.
    pub fn open(config: DirectoryConfig) -> Result<Self, FileError> {
        let path = config.path.clone();
        let failed = |operation| move |cause| FileError::new(operation, &path, cause);
        assert!(config.depth > 0, "a directory with room for no writes");
        if !config.read_only {
            fs::create_dir_all(&config.path).map_err(failed.clone()("make the directory"))?;
        }
        let (writes, reason) = Self::open_writes(&config)?;
        let bounce = MmapOptions::new()
            .len(READ_BYTES)
            .map_anon()
            .map_err(failed.clone()("allocate a read buffer for"))?;
        let mut directory = Self {
            direct: matches!(writes, Writes::Uring(_)),
            writes,
            reason,
            notices: Vec::new(),
            open: std::iter::repeat_with(|| (NONE, Arc::default())).take(OPEN_MAX).collect(),
            name: name_buffer(&config.path, &config.suffix),
            maker: None,
            submitted: std::collections::VecDeque::with_capacity(config.depth),
            bounce,
            config,
        };
        if directory.config.read_only {
            directory.numbers()?; // It must exist.
            return Ok(directory);
        }
        for number in directory.numbered("new")? {
            let path = directory.unfinished(number);
            fs::remove_file(&path).map_err(|cause| FileError::new("remove", &path, cause))?;
        }
        directory.probe_direct()?;
        let started = Maker::start(&directory.config.path, &directory.config.suffix, directory.config.fill);
        directory.maker = Some(started.map_err(failed("start the thread that makes files in"))?);
        Ok(directory)
    }

    fn open_writes(config: &DirectoryConfig) -> Result<(Writes<B>, String), FileError> {
        let plain = || Writes::Plain(PlainWrites::new(config.depth));
        if config.backend == Backend::Plain {
            return Ok((plain(), "plain: configured".into()));
        }
        match UringWrites::new(config.depth) {
            Ok(ring) if config.backend == Backend::IoUring => {
                Ok((Writes::Uring(Box::new(ring)), "io_uring: configured".into()))
            }
            Ok(ring) => Ok((Writes::Uring(Box::new(ring)), "io_uring: the kernel has all it needs".into())),
            Err(cause) if config.backend == Backend::IoUring => {
                let advice = uring_advice(&cause);
                Err(FileError::NoUring { path: config.path.clone(), cause, advice })
            }
            Err(cause) => Ok((plain(), format!("plain: io_uring: {cause}; {}", uring_advice(&cause)))),
        }
    }

    /// Finds out whether this file system has direct I/O, with a file that is gone again afterwards.
    fn probe_direct(&mut self) -> Result<(), FileError> {
        if !self.direct {
            return Ok(());
        }
        let path = self.unfinished(u64::MAX);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).custom_flags(libc::O_DIRECT);
        let opened = options.open(&path);
        let _ = fs::remove_file(&path);
        match opened {
            Ok(_) => Ok(()),
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                self.direct = false;
                self.notices.push(format!(
                    "the file system of {} has no direct I/O: writes go through the page cache",
                    self.config.path.display()
                ));
                Ok(())
            }
            Err(cause) => Err(FileError::new("create a file in", &self.config.path, cause)),
        }
    }

    /// What was taken: [`Backend::IoUring`] or [`Backend::Plain`].
    pub fn backend(&self) -> Backend {
        match self.writes {
            Writes::Uring(_) => Backend::IoUring,
            Writes::Plain(_) => Backend::Plain,
        }
    }

    /// Why that was taken, in words.
    pub fn backend_reason(&self) -> &str {
        &self.reason
    }

    /// Lines an operator should see.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// The file of this number, whether it exists or not.
    pub fn path(&self, number: u64) -> PathBuf {
        self.config.path.join(format!("{number:020}.{}", self.config.suffix))
    }

    fn unfinished(&self, number: u64) -> PathBuf {
        self.config.path.join(format!("{number:020}.new"))
    }

    /// The files there are, ascending.
    pub fn numbers(&self) -> Result<Vec<u64>, FileError> {
        self.numbered(&self.config.suffix)
    }

    fn numbered(&self, suffix: &str) -> Result<Vec<u64>, FileError> {
        let failed = |cause| FileError::new("list", &self.config.path, cause);
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.config.path).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let parsed = name.to_str().and_then(|name| name.split_once('.')).filter(|(_, s)| *s == suffix);
            if let Some(number) = parsed.filter(|(n, _)| n.len() == 20).and_then(|(n, _)| n.parse().ok()) {
                numbers.push(number);
            }
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Makes a file of `bytes` zeros (whole blocks) and makes it and its name durable; waits for the disk. On an error
    /// nothing is left behind. A file of this number must not exist, unless [`Directory::prepare`] is making it: then that is waited for.
    pub fn create(&mut self, number: u64, bytes: u64) -> Result<(), FileError> {
        while !self.prepare(number, bytes)? {
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Has a file made like [`Directory::create`] by a thread of the directory's own, without waiting: true once it is there, false
    /// while it is being made; then ask again, with the same number, and for no other one before.
    ///
    /// # Panics
    /// When `bytes` are not whole blocks, or another file is being made.
    pub fn prepare(&mut self, number: u64, bytes: u64) -> Result<bool, FileError> {
        assert!(
            bytes > 0 && bytes.is_multiple_of(BLOCK_BYTES as u64),
            "a file of {bytes} bytes is not whole blocks"
        );
        let maker = self.maker.as_ref().expect("a directory that is only read makes no files");
        maker.prepare(number, bytes).map_err(|cause| FileError::new("create", &self.path(number), cause))
    }

    /// Length of a file in bytes.
    pub fn length(&mut self, number: u64) -> Result<u64, FileError> {
        let path = self.path(number);
        fs::metadata(&path)
            .map(|about| about.len())
            .map_err(|cause| FileError::new("read the length of", &path, cause))
    }

    /// Removes a file and makes that durable. Writes to it that are in flight finish, to no effect.
    pub fn remove(&mut self, number: u64) -> Result<(), FileError> {
        if let Some(found) = self.open.iter().position(|(open, _)| *open == number) {
            self.open[..=found].rotate_right(1);
            place_for(&mut self.open[0]).0 = None;
        }
        let path = self.path(number);
        fs::remove_file(&path)
            .and_then(|()| maker::sync_directory(&self.config.path))
            .map_err(|cause| FileError::new("remove", &path, cause))
    }

    /// The open file of this number, opened if need be.
    fn file(&mut self, number: u64) -> io::Result<&Arc<OpenFile>> {
        if let Some(found) = self.open.iter().position(|(open, _)| *open == number) {
            self.open[found..].rotate_left(1);
        } else {
            let flags = if self.direct { libc::O_DIRECT } else { 0 };
            let name = &mut self.name;
            write_name(name, number, &self.config.suffix);
            let mut options = OpenOptions::new();
            let file = options.read(true).write(!self.config.read_only).custom_flags(flags).open(name)?;
            self.open.rotate_left(1);
            place_for(&mut self.open[OPEN_MAX - 1]).0 = Some(file);
            self.open[OPEN_MAX - 1].0 = number;
        }
        Ok(&self.open[OPEN_MAX - 1].1)
    }

    /// Reads at most `into.len()` bytes from `offset`; fewer only at the end of the file. Waits for the disk.
    pub fn read(&mut self, number: u64, offset: u64, into: &mut [u8]) -> Result<usize, FileError> {
        let file = match self.file(number) {
            Ok(file) => file.clone(),
            Err(cause) => return Err(FileError::new("read", &self.path(number), cause)),
        };
        let mut done = 0;
        while done < into.len() {
            // Whole blocks around what is wanted, through an aligned buffer: what direct I/O asks for.
            let position = offset + done as u64;
            let start = position - position % BLOCK_BYTES as u64;
            let skip = (position - start) as usize;
            let wanted = (skip + into.len() - done).next_multiple_of(BLOCK_BYTES).min(READ_BYTES);
            let got = match file.read_at(&mut self.bounce[..wanted], start) {
                Ok(got) => got,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(cause) => return Err(FileError::new("read", &self.path(number), cause)),
            };
            let useful = got.saturating_sub(skip).min(into.len() - done);
            if useful == 0 {
                break;
            }
            into[done..done + useful].copy_from_slice(&self.bounce[skip..skip + useful]);
            done += useful;
        }
        Ok(done)
    }

    /// Starts a write of all of `buffer` at `offset`; with `sync`, it completes only when it, and all that was written to the file
    /// before, would survive a power cut. An empty buffer with `sync` only syncs.
    ///
    /// # Panics
    /// When offset or length are not whole blocks, the buffer is not aligned to a block, or `depth` writes are in flight.
    pub fn submit(&mut self, number: u64, offset: u64, buffer: B, sync: bool) {
        let bytes = buffer.as_ref();
        assert!(offset.is_multiple_of(BLOCK_BYTES as u64), "offset {offset} is not whole blocks");
        assert!(
            (sync || !bytes.is_empty()) && bytes.len().is_multiple_of(BLOCK_BYTES),
            "{} bytes are not whole blocks",
            bytes.len()
        );
        assert!(
            !self.direct || bytes.is_empty() || bytes.as_ptr().addr().is_multiple_of(BLOCK_BYTES),
            "the buffer is not aligned to a block"
        );
        let bytes_are_empty = bytes.is_empty();
        let file = self.file(number).map(Arc::clone);
        let file = file.as_ref().map_err(|error| match error.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => error.kind().into(),
        });
        let durability = match sync {
            false => Durability::None,
            // Direct writes are on the device when they complete, so the flush and the metadata of one cover those before it.
            true if self.direct && !bytes_are_empty => Durability::Write,
            true => Durability::File,
        };
        match &mut self.writes {
            Writes::Uring(ring) => ring.submit(file, offset, buffer, durability),
            Writes::Plain(plain) => plain.submit(file.map(|file| &***file), offset, buffer, sync),
        }
        self.submitted.push_back(number);
    }

    /// The next finished write, with its buffer given back; in the order of submission.
    #[inline]
    pub fn poll(&mut self) -> Option<(B, Result<(), FileError>)> {
        let (buffer, result) = match &mut self.writes {
            Writes::Uring(ring) => ring.poll(),
            Writes::Plain(plain) => plain.poll(),
        }?;
        let number = self.submitted.pop_front().expect("every finished write was submitted");
        let result = result.map_err(|cause| FileError::new("write to", &self.path(number), cause));
        Some((buffer, result))
    }

    /// Writes submitted and not yet given back.
    pub fn in_flight(&self) -> usize {
        match &self.writes {
            Writes::Uring(ring) => ring.in_flight(),
            Writes::Plain(plain) => plain.in_flight(),
        }
    }
}

/// Empties a place that is to be used again. One that a write in flight still holds is left to it, and another is made.
fn place_for((number, place): &mut (u64, Arc<OpenFile>)) -> &mut OpenFile {
    *number = NONE;
    if Arc::get_mut(place).is_none() {
        *place = Arc::default();
    }
    Arc::get_mut(place).expect("nobody else holds it")
}

/// Room for the name of any file of a directory.
pub(super) fn name_buffer(directory: &Path, suffix: &str) -> PathBuf {
    let mut name = directory.join(format!("{:020}.{suffix}", 0));
    name.reserve_exact(16);
    name
}

/// Writes the name of another file of the same directory.
pub(super) fn write_name(name: &mut PathBuf, number: u64, suffix: &str) {
    name.set_file_name("");
    write!(name.as_mut_os_string(), "{number:020}.{suffix}").expect("a path takes any text");
}
