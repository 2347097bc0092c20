//! A thread that makes files, so that whoever is in a hurry does not wait for the disk.
use super::Fill;
use super::directory::{name_buffer, write_name};
use crate::sys::storage;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// Zeros written at once.
const ZEROS_BYTES: usize = 1 << 20;

/// Nothing is ordered.
const IDLE: u8 = 0;
/// A file is to be made.
const ORDERED: u8 = 1;
/// It is there.
const MADE: u8 = 2;
/// It could not be made; the reason waits in `cause`.
const FAILED: u8 = 3;
/// The thread is to end.
const ENDING: u8 = 4;

/// What the two threads share. The one that orders owns it while it is idle, made or failed; the one that makes while it is ordered.
#[derive(Default)]
struct Order {
    state: AtomicU8,
    number: AtomicU64,
    bytes: AtomicU64,
    cause: Mutex<Option<io::Error>>,
}

/// Makes the files of one directory, one at a time.
pub(super) struct Maker {
    order: Arc<Order>,
    thread: Option<JoinHandle<()>>,
}

impl Maker {
    /// Starts the thread. It inherits the processors of the calling thread, so start it before that one is pinned.
    pub(super) fn start(directory: &Path, suffix: &str, fill: Fill) -> io::Result<Self> {
        let order = Arc::<Order>::default();
        let work = Work {
            order: order.clone(),
            directory: directory.to_path_buf(),
            unfinished: name_buffer(directory, suffix),
            path: name_buffer(directory, suffix),
            suffix: suffix.to_owned(),
            fill,
        };
        let thread = std::thread::Builder::new().name("gds-files".into()).spawn(move || work.run())?;
        Ok(Self { order, thread: Some(thread) })
    }

    /// See [`Directory::prepare`](super::Directory::prepare).
    pub(super) fn prepare(&self, number: u64, bytes: u64) -> io::Result<bool> {
        let order = &self.order;
        let state = order.state.load(Ordering::Acquire);
        if state != IDLE {
            let ordered = order.number.load(Ordering::Relaxed);
            assert!(ordered == number, "file {number} was asked for while {ordered} is being made");
        }
        match state {
            IDLE => {
                order.number.store(number, Ordering::Relaxed);
                order.bytes.store(bytes, Ordering::Relaxed);
                order.state.store(ORDERED, Ordering::Release);
                self.wake();
                Ok(false)
            }
            MADE => {
                order.state.store(IDLE, Ordering::Relaxed);
                Ok(true)
            }
            FAILED => {
                let cause = order.cause.lock().expect("nobody panics while holding it").take();
                order.state.store(IDLE, Ordering::Relaxed);
                Err(cause.expect("a failure has a cause"))
            }
            _ if self.thread.as_ref().is_some_and(JoinHandle::is_finished) => {
                Err(io::Error::other("the thread that makes files is gone"))
            }
            _ => Ok(false),
        }
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Maker {
    fn drop(&mut self) {
        // A file that is being made is finished first.
        while self.order.state.load(Ordering::Acquire) == ORDERED
            && self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
        {
            std::thread::yield_now();
        }
        self.order.state.store(ENDING, Ordering::Release);
        self.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The thread's side.
struct Work {
    order: Arc<Order>,
    directory: PathBuf,
    /// Written anew for each file.
    unfinished: PathBuf,
    path: PathBuf,
    suffix: String,
    fill: Fill,
}

impl Work {
    fn run(mut self) {
        loop {
            match self.order.state.load(Ordering::Acquire) {
                ORDERED => {
                    let (number, bytes) =
                        (self.order.number.load(Ordering::Relaxed), self.order.bytes.load(Ordering::Relaxed));
                    let state = match self.make(number, bytes) {
                        Ok(()) => MADE,
                        Err(cause) => {
                            *self.order.cause.lock().expect("nobody panics while holding it") = Some(cause);
                            FAILED
                        }
                    };
                    self.order.state.store(state, Ordering::Release);
                }
                ENDING => return,
                _ => std::thread::park(),
            }
        }
    }

    /// Under another name first, so that a file with its own name is always whole.
    fn make(&mut self, number: u64, bytes: u64) -> io::Result<()> {
        write_name(&mut self.unfinished, number, "new");
        write_name(&mut self.path, number, &self.suffix);
        if self.path.exists() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let made = fill(&self.unfinished, bytes, self.fill).and_then(|()| {
            fs::rename(&self.unfinished, &self.path)?;
            sync_directory(&self.directory)
        });
        made.inspect_err(|_| {
            let _ = fs::remove_file(&self.unfinished);
        })
    }
}

fn fill(path: &Path, bytes: u64, fill: Fill) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(path)?;
    storage::reserve(&file, bytes)?;
    if fill == Fill::Zeros {
        let zeros = vec![0; ZEROS_BYTES];
        let mut offset = 0;
        while offset < bytes {
            let count = (bytes - offset).min(zeros.len() as u64);
            file.write_all_at(&zeros[..count as usize], offset)?;
            offset += count;
        }
    }
    file.sync_all()
}

/// Makes names durable.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
