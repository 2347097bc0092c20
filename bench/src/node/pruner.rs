//! Removes the oldest segments of a node's journals while it runs, as an operator's retention would: at several million messages a second
//! the memory of a small machine would be full within seconds.
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often it looks.
const LOOK: Duration = Duration::from_millis(50);

/// At work until dropped.
pub struct Pruner {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Pruner {
    /// Keeps about so many bytes of each journal under this folder.
    pub fn start(directory: &Path, most: u64) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let flag = stop.clone();
        let folders = ["bus", "acknowledgements"].map(|name| directory.join(name));
        let work = move || {
            while !flag.load(Ordering::Acquire) {
                folders.iter().for_each(|folder| prune(folder, most));
                std::thread::sleep(LOOK);
            }
        };
        Self { stop, thread: Some(std::thread::spawn(work)) }
    }
}

impl Drop for Pruner {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Segments are named by their number, so their names' order is theirs.
fn prune(folder: &Path, most: u64) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut segments: Vec<(PathBuf, u64)> = entries
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "journal"))
        .filter_map(|entry| Some((entry.path(), entry.metadata().ok()?.len())))
        .collect();
    segments.sort();
    let mut bytes: u64 = segments.iter().map(|(_, bytes)| bytes).sum();
    for (path, length) in segments {
        if bytes <= most {
            return;
        }
        if fs::remove_file(path).is_ok() {
            bytes -= length;
        }
    }
}
