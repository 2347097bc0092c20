//! The bytes of a recording: buffered, unpacked where they are gzip, and with their offset known.
use super::{CaptureError, Cut, Progress};
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is read at least at once.
const CHUNK_BYTES: usize = 256 * 1024;
const GZIP_MAGIC: [u8; 2] = [0x1F, 0x8B];

/// A window over the recording. The window's front is what has not been consumed yet.
pub(super) struct Input {
    path: PathBuf,
    reader: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Of `buffer[start]`, in the uncompressed recording.
    offset: u64,
    ended: bool,
    gzip: bool,
    gzip_cut: bool,
    read_bytes: Arc<AtomicU64>,
    total_bytes: Option<u64>,
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input")
            .field("path", &self.path)
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}

impl Input {
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        let failed = |cause| CaptureError::Open { path: path.into(), cause };
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        let total_bytes = metadata.is_file().then_some(metadata.len());
        Self::new(path, Box::new(file), total_bytes)
    }

    pub fn new(
        path: &Path,
        reader: Box<dyn Read + Send>,
        total_bytes: Option<u64>,
    ) -> Result<Self, CaptureError> {
        let read_bytes = Arc::new(AtomicU64::new(0));
        let mut counting = Counting { reader, read_bytes: read_bytes.clone() };
        let mut head = Vec::new();
        counting
            .by_ref()
            .take(GZIP_MAGIC.len() as u64)
            .read_to_end(&mut head)
            .map_err(|cause| CaptureError::Read { path: path.into(), offset: 0, cause })?;
        let gzip = head == GZIP_MAGIC;
        let whole = Cursor::new(head).chain(counting);
        let reader: Box<dyn Read + Send> =
            if gzip { Box::new(MultiGzDecoder::new(whole)) } else { Box::new(whole) };
        Ok(Self {
            path: path.into(),
            reader,
            buffer: vec![0; CHUNK_BYTES],
            start: 0,
            end: 0,
            offset: 0,
            ended: false,
            gzip,
            gzip_cut: false,
            read_bytes,
            total_bytes,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the window begins.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    pub fn available(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    pub fn progress(&self) -> Progress {
        Progress { read_bytes: self.read_bytes.load(Ordering::Relaxed), total_bytes: self.total_bytes }
    }

    /// Makes the window hold at least `bytes`, unless the recording ends before; returns how many it holds.
    pub fn ensure(&mut self, bytes: usize) -> Result<usize, CaptureError> {
        while self.end - self.start < bytes && !self.ended {
            self.fill(bytes)?;
        }
        Ok(self.end - self.start)
    }

    /// Moves the window's front forward over what has been used.
    pub fn consume(&mut self, bytes: usize) {
        assert!(bytes <= self.end - self.start, "consumed {bytes} bytes that are not there");
        self.start += bytes;
        self.offset += bytes as u64;
    }

    /// Steps over `bytes` without holding them; returns how many there were.
    pub fn skip(&mut self, bytes: u64) -> Result<u64, CaptureError> {
        let mut left = bytes;
        while left > 0 {
            let step = (self.ensure(1)? as u64).min(left);
            if step == 0 {
                break;
            }
            self.consume(step as usize);
            left -= step;
        }
        Ok(bytes - left)
    }

    /// The cut, when the record at the window's front is not whole and the recording has ended; also when the gzip stream
    /// stopped short between two records.
    pub fn cut(&self) -> Option<Cut> {
        let trailing_bytes = (self.end - self.start) as u64;
        (self.ended && (trailing_bytes > 0 || self.gzip_cut)).then_some(Cut {
            offset: self.offset,
            trailing_bytes,
            in_gzip: self.gzip_cut,
        })
    }

    pub fn error_empty(&self) -> CaptureError {
        if self.gzip_cut {
            return self.error_damaged("the gzip stream stops before its first byte of content".into());
        }
        CaptureError::Empty { path: self.path.clone() }
    }

    /// The record at the window's front is wrong.
    pub fn error_damaged(&self, what: String) -> CaptureError {
        CaptureError::Damaged { path: self.path.clone(), offset: self.offset, what }
    }

    fn fill(&mut self, wanted: usize) -> Result<(), CaptureError> {
        if self.buffer.len() - self.start < wanted || self.end == self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        match self.reader.read(&mut self.buffer[self.end..]) {
            Ok(0) => self.ended = true,
            Ok(read) => self.end += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if self.gzip && error.kind() == io::ErrorKind::UnexpectedEof => {
                self.ended = true;
                self.gzip_cut = true;
            }
            Err(cause) => return Err(self.failed(cause)),
        }
        Ok(())
    }

    fn failed(&self, cause: io::Error) -> CaptureError {
        let path = self.path.clone();
        let offset = self.offset + (self.end - self.start) as u64;
        match cause.kind() {
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData if self.gzip => {
                CaptureError::Gzip { path, offset, cause }
            }
            _ => CaptureError::Read { path, offset, cause },
        }
    }
}

/// Counts what is read of the file itself.
struct Counting {
    reader: Box<dyn Read + Send>,
    read_bytes: Arc<AtomicU64>,
}

impl Read for Counting {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(into)?;
        self.read_bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
