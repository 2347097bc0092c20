//! A folder that is one user's alone, in a place that is everybody's.
//!
//! `/dev/shm` and `/tmp` may be written by anybody: whoever is first decides what lies under a name there. So what is opened is looked at before
//! it is believed: a folder of this user with mode 0700, opened without following a link, and files in it by way of the open folder.
use crate::sys::process::effective_user;
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What others may do with a file or folder, in its mode.
const OTHERS: u32 = 0o077;

/// Why a folder, or a file in it, is not used.
#[derive(Debug)]
pub enum FolderError {
    /// It is none of ours.
    NotOurs {
        /// Its path.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A call failed.
    Failed {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
}

impl fmt::Display for FolderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOurs { path, what } => write!(
                f,
                "{}: {what}: it is not used, and was not changed. Find out who made it, and remove it, or name another place",
                path.display()
            ),
            Self::Failed { action, path, cause } => write!(f, "cannot {action} {}: {cause}", path.display()),
        }
    }
}

impl std::error::Error for FolderError {}

/// The user that this process acts as.
pub fn user() -> u32 {
    effective_user()
}

/// An open folder of this process's user.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    handle: File,
}

impl Folder {
    /// Makes the folder if it is not there, and opens it. The folder above must be there.
    ///
    /// # Errors
    /// When it is a link or no folder, another user's, or open to others.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        let failed = |action| move |cause| FolderError::Failed { action, path: path.into(), cause };
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(failed("make the folder")(error));
            }
            _ => {}
        }
        let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW;
        let handle = OpenOptions::new().read(true).custom_flags(flags).open(path);
        let handle = handle.map_err(|cause| match cause.raw_os_error() {
            Some(libc::ELOOP | libc::ENOTDIR) => not_ours(path, format!("it is {}", kind(path))),
            _ if another_owner(path).is_some() => {
                not_ours(path, owner_text(another_owner(path).unwrap_or(0)))
            }
            _ => failed("open the folder")(cause),
        })?;
        let about = handle.metadata().map_err(failed("look at the folder"))?;
        is_ours(path, &about)?;
        Ok(Self { path: path.into(), handle })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path to a file in this folder, and in no other that has got its name meanwhile.
    pub fn through(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{name}", self.handle.as_raw_fd()))
    }

    /// Opens a file in it to read and write, and makes it if it is not there.
    ///
    /// # Errors
    /// When it is a link or no file, another user's, or open to others.
    pub fn file(&self, name: &str) -> Result<File, FolderError> {
        let path = self.path.join(name);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        // Opening a pipe waits for nobody.
        options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        let file = options.open(self.through(name)).map_err(|cause| match cause.raw_os_error() {
            Some(libc::ELOOP | libc::EISDIR | libc::ENXIO) => {
                not_ours(&path, format!("it is {}", kind(&path)))
            }
            _ => FolderError::Failed { action: "open", path: path.clone(), cause },
        })?;
        let about = file.metadata();
        let about =
            about.map_err(|cause| FolderError::Failed { action: "look at", path: path.clone(), cause })?;
        if !about.is_file() {
            return Err(not_ours(&path, format!("it is {}", kind(&path))));
        }
        is_ours(&path, &about)?;
        Ok(file)
    }
}

/// Opens a file to read, not by a link, and without waiting where it is a pipe.
///
/// # Errors
/// When it is not there, or is a link.
pub fn open_to_read(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)
}

fn not_ours(path: &Path, what: String) -> FolderError {
    FolderError::NotOurs { path: path.into(), what }
}

fn is_ours(path: &Path, about: &fs::Metadata) -> Result<(), FolderError> {
    if about.uid() != effective_user() {
        return Err(not_ours(path, owner_text(about.uid())));
    }
    match about.mode() & OTHERS {
        0 => Ok(()),
        _ => Err(not_ours(
            path,
            format!("others than user {} may use it (mode {:04o})", about.uid(), about.mode() & 0o7777),
        )),
    }
}

fn another_owner(path: &Path) -> Option<u32> {
    fs::symlink_metadata(path).ok().map(|about| about.uid()).filter(|owner| *owner != effective_user())
}

fn owner_text(owner: u32) -> String {
    format!("it belongs to user {owner}, and this is user {}", effective_user())
}

/// What lies under a name, in words.
fn kind(path: &Path) -> &'static str {
    match fs::symlink_metadata(path).map(|about| about.file_type()) {
        Ok(kind) if kind.is_symlink() => "a symbolic link",
        Ok(kind) if kind.is_dir() => "a folder",
        Ok(kind) if kind.is_file() => "a file",
        _ => "neither a file nor a folder",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn place() -> tempfile::TempDir {
        tempfile::tempdir().expect("a temporary folder")
    }

    #[test]
    fn should_make_a_folder_and_files_for_its_user_alone() {
        let place = place();
        let path = place.path().join("own");
        for _ in 0..2 {
            let folder = Folder::open(&path).unwrap();
            folder.file("ring").unwrap();
            let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
            assert_eq!((mode(&path), mode(&path.join("ring"))), (0o700, 0o600));
        }
    }

    #[test]
    fn should_refuse_what_is_not_its_own_and_leave_it_as_it_is() {
        let place = place();
        let at = |name: &str| place.path().join(name);
        fs::create_dir(at("there")).unwrap();
        symlink(at("there"), at("link")).unwrap();
        fs::write(at("file"), "").unwrap();
        fs::create_dir(at("open")).unwrap();
        fs::set_permissions(at("open"), Permissions::from_mode(0o777)).unwrap();
        for (name, what) in
            [("link", "it is a symbolic link"), ("file", "it is a file"), ("open", "others than user")]
        {
            let error = Folder::open(&at(name)).unwrap_err();
            assert!(matches!(&error, FolderError::NotOurs { .. }), "{error}");
            let text = error.to_string();
            assert!(text.contains(what) && text.contains(name), "{text}");
        }
    }

    #[test]
    fn should_refuse_files_that_are_none_or_not_its_own() {
        let place = place();
        let path = place.path().join("own");
        let folder = Folder::open(&path).unwrap();
        fs::write(path.join("target"), "kept").unwrap();
        symlink(path.join("target"), path.join("link")).unwrap();
        symlink(path.join("nothing"), path.join("dangling")).unwrap();
        fs::create_dir(path.join("folder")).unwrap();
        let pipe = std::process::Command::new("mkfifo").arg(path.join("pipe")).status().unwrap();
        assert!(pipe.success());
        fs::set_permissions(path.join("target"), Permissions::from_mode(0o666)).unwrap();
        for (name, what) in [
            ("link", "a symbolic link"),
            ("dangling", "a symbolic link"),
            ("folder", "a folder"),
            ("pipe", "neither a file nor a folder"),
            ("target", "(mode 0666)"),
        ] {
            let error = folder.file(name).unwrap_err();
            let text = error.to_string();
            assert!(matches!(&error, FolderError::NotOurs { .. }) && text.contains(what), "{text}");
        }
        assert!(!path.join("nothing").exists());
        assert_eq!(fs::read_to_string(path.join("target")).unwrap(), "kept");
    }

    #[test]
    fn should_keep_to_the_folder_that_it_opened() {
        let place = place();
        let (path, moved) = (place.path().join("own"), place.path().join("moved"));
        let folder = Folder::open(&path).unwrap();
        fs::rename(&path, &moved).unwrap();
        fs::create_dir(&path).unwrap();
        folder.file("ring").unwrap();
        assert!(moved.join("ring").exists() && !path.join("ring").exists());
    }
}
