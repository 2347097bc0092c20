//! What the rig starts ends with the rig, even when that is killed: `kill -9` leaves nobody to clear up.
//!
//! A shell of its own waits at a pipe whose other end is ours, and the kernel closes that end when we are gone, however it happened. (A signal on
//! the parent's death, `PR_SET_PDEATHSIG`, would come as soon as the *thread* ends that started the process, and the rig starts
//! some from threads that are pinned for just that.) Where there is no shell, there is no guard.
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Interrupts of the terminal are for the rig, which ends in order then, and with it this.
const SCRIPT: &str = r#"trap '' INT TERM HUP; read -r none; kill -9 "$0"; rm -rf -- "$@""#;

/// Over one process. To be dropped when that has ended.
#[derive(Debug)]
pub struct Guard(Child);

impl Guard {
    /// Over this process and the files and folders that are to go with it.
    pub fn over(child: &Child, files: &[PathBuf]) -> Option<Self> {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(SCRIPT).arg(child.id().to_string()).args(files).stdin(Stdio::piped());
        // Held open, they would keep whoever reads our output waiting.
        shell.stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok().map(Self)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Before its pipe closes: there is nothing left to kill.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt as _;

    fn sleeper() -> Child {
        Command::new("sleep").arg("600").spawn().unwrap()
    }

    #[test]
    fn the_process_and_its_files_go_when_nobody_holds_the_pipe() {
        let folder = tempfile::tempdir().unwrap();
        let files = folder.path().join("a folder");
        std::fs::create_dir(&files).unwrap();
        let mut child = sleeper();
        let mut guard = Guard::over(&child, std::slice::from_ref(&files)).unwrap();
        // As the kernel does it when this process dies.
        drop(guard.0.stdin.take());
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        assert!(guard.0.wait().unwrap().success() && !files.exists());
    }

    #[test]
    fn a_dropped_guard_does_nothing() {
        let mut child = sleeper();
        drop(Guard::over(&child, &[]));
        assert!(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }
}
