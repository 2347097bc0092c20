//! A host as tuning sees it: files under `/sys` and `/proc`, and a few programs.
//!
//! [`Host::this`] is this machine. [`Host::at`] is a tree that has the same files under another folder, and its programs in the tree's
//! own `bin`: a made-up host of a test, or a copy taken from another machine.
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Most of a file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Most entries of a folder that are looked at.
const ENTRIES_MAX: usize = 1 << 16;
/// Where administrators' programs are, whatever the user's PATH says.
const SYSTEM_PROGRAMS: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];

/// A host, or a tree that looks like one.
#[derive(Clone, Debug)]
pub struct Host {
    root: PathBuf,
    programs: Vec<PathBuf>,
}

/// Why something of a host could not be read, written or run.
#[derive(Debug)]
pub enum HostError {
    /// The kernel has no such file.
    Absent {
        /// Which.
        path: String,
    },
    /// Not allowed.
    Denied {
        /// Which.
        path: String,
    },
    /// The kernel refused, or the file is not what it should be.
    Failed {
        /// Which.
        path: String,
        /// What it said.
        cause: io::Error,
    },
    /// A program is not there.
    NotInstalled {
        /// Which.
        program: String,
    },
    /// A program ran and failed.
    Refused {
        /// What was run.
        command: String,
        /// What it said.
        says: String,
    },
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent { path } => write!(f, "this kernel has no {path}"),
            Self::Denied { path } => write!(
                f,
                "{path}: not allowed; run as root (what root may not change either, the kernel keeps for itself)"
            ),
            Self::Failed { path, cause } => write!(f, "{path}: {cause}"),
            Self::NotInstalled { program } => {
                let package = if program == "taskset" { "util-linux" } else { program };
                write!(f, "{program} is not installed: apt install {package} (or dnf install {package})")
            }
            Self::Refused { command, says } => write!(f, "{command}: {says}"),
        }
    }
}

impl std::error::Error for HostError {}

impl HostError {
    fn of(path: &str, cause: io::Error) -> Self {
        let path = path.to_owned();
        match cause.kind() {
            ErrorKind::NotFound => Self::Absent { path },
            ErrorKind::PermissionDenied => Self::Denied { path },
            _ => Self::Failed { path, cause },
        }
    }

    /// Is there simply no such thing on this host?
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent { .. })
    }
}

impl Host {
    /// This machine.
    pub fn this() -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let programs = std::env::split_paths(&path).chain(SYSTEM_PROGRAMS.map(PathBuf::from)).collect();
        Self { root: PathBuf::from("/"), programs }
    }

    /// A tree with a host's files under `root`, and its programs in `root/bin`.
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_path_buf(), programs: vec![root.join("bin")] }
    }

    /// Is it the machine this runs on?
    pub fn is_this(&self) -> bool {
        self.root == Path::new("/")
    }

    /// Where a file of the host really is.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// A file's bytes, as many as are looked at.
    pub fn bytes(&self, path: &str) -> Result<Vec<u8>, HostError> {
        let mut bytes = Vec::new();
        let file = File::open(self.path(path)).map_err(|cause| HostError::of(path, cause))?;
        file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(|cause| HostError::of(path, cause))?;
        Ok(bytes)
    }

    /// A file's text without the white space around it; what is no UTF-8 is replaced.
    pub fn read(&self, path: &str) -> Result<String, HostError> {
        Ok(String::from_utf8_lossy(&self.bytes(path)?).trim().to_owned())
    }

    /// A file that holds one number.
    pub fn number(&self, path: &str) -> Result<i64, HostError> {
        let text = self.read(path)?;
        text.parse().map_err(|_| HostError::Failed {
            path: path.to_owned(),
            cause: io::Error::other(format!("holds {text:?}, not a number")),
        })
    }

    /// Writes a value into a file that is there, with one call, as the kernel wants it.
    pub fn write(&self, path: &str, value: &str) -> Result<(), HostError> {
        let mut file = OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(self.path(path))
            .map_err(|cause| HostError::of(path, cause))?;
        file.write_all(format!("{value}\n").as_bytes()).map_err(|cause| HostError::of(path, cause))
    }

    /// Is there such a file or folder?
    pub fn exists(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// Does the kernel let anybody write the file?
    pub fn is_writable(&self, path: &str) -> bool {
        fs::metadata(self.path(path)).is_ok_and(|about| !about.permissions().readonly())
    }

    /// Names in a folder, `cpu2` before `cpu10`; none when there is no such folder.
    pub fn names(&self, folder: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path(folder)) else { return Vec::new() };
        let mut names: Vec<String> = entries
            .flatten()
            .take(ENTRIES_MAX)
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort_by_key(|name| {
            let letters = name.trim_end_matches(|letter: char| letter.is_ascii_digit()).len();
            (name[..letters].to_owned(), name[letters..].parse::<u64>().unwrap_or_default())
        });
        names
    }

    /// Is a process of this name running? (Names have 15 characters in the kernel.)
    pub fn runs(&self, process: &str) -> bool {
        let name: String = process.chars().take(15).collect();
        let processes =
            self.names("/proc").into_iter().filter(|name| name.bytes().all(|b| b.is_ascii_digit()));
        processes.into_iter().any(|id| self.read(&format!("/proc/{id}/comm")).is_ok_and(|comm| comm == name))
    }

    /// What a link points to, its last part: the driver of a device, for example.
    pub fn link_name(&self, path: &str) -> Option<String> {
        let target = fs::read_link(self.path(path)).ok()?;
        Some(target.file_name()?.to_string_lossy().into_owned())
    }

    /// Runs a program of the host to its end and gives what it printed.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<String, HostError> {
        let command = format!("{program} {}", arguments.join(" "));
        let found = self.programs.iter().map(|folder| folder.join(program)).find(|path| path.is_file());
        let Some(path) = found else { return Err(HostError::NotInstalled { program: program.to_owned() }) };
        let output = Command::new(path)
            .args(arguments)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .output()
            .map_err(|cause| HostError::Failed { path: command.clone(), cause })?;
        if !output.status.success() {
            let says = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
            return Err(HostError::Refused { command, says });
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_read_and_written_and_never_grows_files() {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir_all(tree.path().join("sys/cpu10")).unwrap();
        fs::create_dir_all(tree.path().join("sys/cpu2")).unwrap();
        fs::write(tree.path().join("sys/number"), "12345\n").unwrap();
        let host = Host::at(tree.path());
        assert_eq!(host.number("/sys/number").unwrap(), 12345);
        host.write("/sys/number", "6").unwrap();
        assert_eq!(host.number("/sys/number").unwrap(), 6);
        assert!(host.write("/sys/other", "6").unwrap_err().is_absent());
        assert_eq!(host.names("/sys"), ["cpu2", "cpu10", "number"]);
        let error = host.run("ethtool", &[]).unwrap_err().to_string();
        assert!(error.contains("apt install ethtool"), "{error}");
    }

    #[test]
    fn this_host_runs_this_process() {
        let name = Host::this().read("/proc/self/comm").unwrap();
        assert!(Host::this().runs(&name));
        assert!(!Host::this().runs("no such name"));
    }
}
