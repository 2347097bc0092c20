//! Memory of the size and kind asked for, as atomic words: on hugepages where there are any, private or in a file that
//! outlives the process.
//!
//! All access is through [`AtomicU64`], so that several threads, and a successor process after `kill -9`, may share it without
//! further rules. Every page is populated when this returns: the first touch of a page never happens on a hot path, and a
//! machine that has not enough memory says so at the start.
//!
//! A file should lie on a memory file system (`/dev/shm`, or a hugetlbfs mount): on a disk, the kernel would write dirty
//! pages back and stall the writer now and then. It lies in a [`Folder`], so that nobody but the node's user can use it, and it is locked against
//! a second process. Where that user truncates it all the same, the next touch is a SIGBUS, which no program can go on from:
//! [`tell_bus_errors`] sees to it that the process says so before it ends.
#![allow(unsafe_code)] // Reason: shared mappings; memmap2 leaves it to the caller that nobody truncates the file.
use crate::error::NicError;
use crate::folder::{Folder, FolderError};
use crate::sys::bus_error;
use memmap2::{Advice, MmapMut, MmapOptions};
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

/// Bytes of an ordinary page.
const PAGE_BYTES: usize = 4096;
/// Bytes of a hugepage.
const HUGE_BYTES: usize = 2 << 20;
/// What statfs tells for hugetlbfs.
const HUGETLBFS_MAGIC: libc::__fsword_t = 0x958458f6;

/// Whether hugepages are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HugePages {
    /// Ordinary pages.
    Never,
    /// 2 MiB pages if enough are free, else ordinary pages and a notice.
    #[default]
    Prefer,
    /// 2 MiB pages or an error.
    Require,
}

/// What kind of memory is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PagePolicy {
    /// Whether hugepages are wanted.
    pub huge: HugePages,
    /// Keep it in memory always (mlock). Failing that is a notice, not an error.
    pub lock: bool,
}

/// Why there is no memory.
#[derive(Debug)]
pub enum PagesError {
    /// [`HugePages::Require`] and not enough of them.
    HugePagesMissing {
        /// What for: a path, or `anonymous memory`.
        place: String,
        /// Bytes asked for.
        bytes: usize,
        /// 2 MiB pages needed.
        needed: usize,
        /// 2 MiB pages free.
        free: usize,
    },
    /// Another process has the file.
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// A file is there that has not one whole page.
    Stub {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        bytes: u64,
    },
    /// What lies there is not this user's own, or no file.
    Folder(FolderError),
    /// Not enough memory, or room on the file's file system.
    Full {
        /// What for: a path, or `anonymous memory`.
        place: String,
        /// Bytes asked for.
        bytes: usize,
        /// What the system said.
        cause: io::Error,
    },
    /// Anything else.
    Failed {
        /// What was attempted.
        action: &'static str,
        /// On what: a path, or `anonymous memory`.
        place: String,
        /// What the system said.
        cause: io::Error,
    },
}

impl fmt::Display for PagesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HugePagesMissing { place, bytes, needed, free } => write!(
                f,
                "{place}: {bytes} bytes need {needed} hugepages of 2 MiB and {free} are free: raise vm.nr_hugepages by {}, \
                 or let hugepages be preferred instead of required",
                needed.saturating_sub(*free)
            ),
            Self::InUse { path } => write!(
                f,
                "{} is in use by another process: is this node running already? (`fuser {}` shows which it is)",
                path.display(),
                path.display()
            ),
            Self::Stub { path, bytes } => {
                write!(f, "{} has {bytes} bytes, not one page of memory: remove it", path.display())
            }
            Self::Folder(error) => error.fmt(f),
            Self::Full { place, bytes, cause } => {
                write!(f, "{place}: no room for {bytes} bytes: {cause}; free memory, or configure less")
            }
            Self::Failed { action, place, cause } => write!(f, "cannot {action} {place}: {cause}"),
        }
    }
}

impl std::error::Error for PagesError {}

/// A mapping, populated, readable and writable as atomic words. Unmapped when dropped; a file stays.
pub struct Pages {
    map: MmapMut,
    words: usize,
    /// Held for its lock.
    file: Option<File>,
    path: Option<PathBuf>,
    existed: bool,
    page_bytes: usize,
    notices: Vec<String>,
    fallback: Option<String>,
}

impl Pages {
    /// Private memory of at least `bytes`, all zeros.
    pub fn anonymous(bytes: usize, policy: PagePolicy) -> Result<Self, PagesError> {
        assert!(bytes > 0, "memory of no bytes");
        let place = || "anonymous memory".to_string();
        let mut fallback = None;
        if policy.huge != HugePages::Never {
            let length = bytes.next_multiple_of(HUGE_BYTES);
            let (needed, free) = (length / HUGE_BYTES, free_hugepages());
            // A populated mapping beyond what is free would be killed rather than refused: so count first.
            let mapped =
                (needed <= free).then(|| MmapOptions::new().len(length).huge(Some(21)).populate().map_anon());
            match mapped {
                Some(Ok(map)) => return Ok(Self::finish(map, None, false, HUGE_BYTES, policy)),
                _ if policy.huge == HugePages::Require => {
                    return Err(PagesError::HugePagesMissing { place: place(), bytes, needed, free });
                }
                _ => {
                    fallback = Some(format!(
                        "{bytes} bytes of memory are on ordinary pages: {needed} hugepages of 2 MiB needed, {free} free; raise \
                         vm.nr_hugepages for steadier latency"
                    ));
                }
            }
        }
        let length = bytes.next_multiple_of(PAGE_BYTES);
        // Not populated by the mapping itself: the advice must come before the pages.
        let map = MmapOptions::new().len(length).map_anon().map_err(|cause| full(place(), bytes, cause))?;
        advise_huge(&map, policy);
        populate(&map).map_err(|cause| full(place(), bytes, cause))?;
        Ok(Self { fallback, ..Self::finish(map, None, false, PAGE_BYTES, policy) })
    }

    /// Shared memory in a file of a folder, which keeps its content when the process dies. A new one is all zeros, of at least
    /// `bytes`. One that is there with content stays as it is; of it as many whole pages are mapped as there are, and no more than hold `bytes` and
    /// `old_bytes`: [`Pages::existed`] and [`Pages::bytes`] tell.
    pub fn file(
        folder: &Folder,
        name: &str,
        bytes: usize,
        old_bytes: usize,
        policy: PagePolicy,
    ) -> Result<Self, PagesError> {
        assert!(bytes > 0, "memory of no bytes");
        let path = folder.path().join(name);
        let place = || path.display().to_string();
        let failed = |action| {
            let place = place();
            move |cause| PagesError::Failed { action, place, cause }
        };
        let file = open_locked(folder, name, &path)?;
        let (hugetlbfs, on_memory) = file_system(&file).map_err(failed("look at the file system of"))?;
        let page_bytes = if hugetlbfs { HUGE_BYTES } else { PAGE_BYTES };
        if !hugetlbfs && policy.huge == HugePages::Require {
            let needed = bytes.div_ceil(HUGE_BYTES);
            return Err(PagesError::HugePagesMissing { place: place(), bytes, needed, free: 0 });
        }
        let (existed, length) =
            lengthen(&file, bytes, old_bytes, page_bytes).map_err(|error| match error {
                Unfit::Stub(bytes) => PagesError::Stub { path: path.clone(), bytes },
                Unfit::Unknown(cause) => failed("read the length of")(cause),
                Unfit::NoRoom(cause) => {
                    let _ = fs::remove_file(folder.through(name)); // Leave nothing half-made behind.
                    full(place(), bytes, cause)
                }
            })?;
        // SAFETY: the file is locked by us, so no process that keeps to the lock truncates or maps it; its length is at least
        // `length`, whole pages, all of them reserved; what is in it is only ever seen through atomics.
        let map = unsafe { MmapOptions::new().len(length).map_mut(&file) }
            .map_err(|cause| full(place(), length, cause))?;
        advise_huge(&map, policy);
        populate(&map).map_err(|cause| full(place(), length, cause))?;
        let wanted_huge = !hugetlbfs && policy.huge == HugePages::Prefer;
        let fallback = wanted_huge
            .then(|| format!("{} is on ordinary pages; a hugetlbfs mount would give hugepages", place()));
        let mut pages = Self::finish(map, Some(file), existed, page_bytes, policy);
        if !hugetlbfs && !on_memory {
            pages.notices.push(format!(
                "{} is on a disk, not in memory: writes to it stall now and then; put it under /dev/shm or a hugetlbfs mount",
                place()
            ));
        }
        Ok(Self { path: Some(path), fallback, ..pages })
    }

    fn finish(
        map: MmapMut,
        file: Option<File>,
        existed: bool,
        page_bytes: usize,
        policy: PagePolicy,
    ) -> Self {
        let mut notices = Vec::new();
        if policy.lock
            && let Err(cause) = map.lock()
        {
            notices.push(format!(
                "{} bytes of memory may be swapped out: mlock: {cause}; raise LimitMEMLOCK (ulimit -l)",
                map.len()
            ));
        }
        let words = map.len() / size_of::<AtomicU64>();
        Self { map, words, file, path: None, existed, page_bytes, notices, fallback: None }
    }

    /// The memory.
    #[inline]
    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping is page-aligned, so aligned for u64; `words` times 8 bytes lie within it; it is writable and
        // lives as long as self; any bytes are a valid AtomicU64; nothing ever refers to it other than through this.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().cast_mut().cast::<AtomicU64>(), self.words) }
    }

    /// Length in bytes: what was asked for, rounded up to whole pages; of a file that existed, its length.
    pub fn bytes(&self) -> usize {
        self.map.len()
    }

    /// Was the file there already, with content?
    pub fn existed(&self) -> bool {
        self.existed
    }

    /// Bytes of one page: 2 MiB on hugepages, else 4096.
    pub fn page_bytes(&self) -> usize {
        self.page_bytes
    }

    /// The file, if it is in one.
    pub fn path(&self) -> Option<&Path> {
        self.file.as_ref().and(self.path.as_deref())
    }

    /// Which file it is, if it is in one: device, inode number, and length in bytes now.
    pub fn identity(&self) -> Option<(u64, u64, u64)> {
        let about = self.file.as_ref()?.metadata().ok()?;
        Some((about.dev(), about.ino(), about.len()))
    }

    /// Hugepages were preferred and this is on ordinary pages: why, and what would help. Whoever has several memories may rather
    /// tell of all in one line.
    pub fn fallback(&self) -> Option<&str> {
        self.fallback.as_deref()
    }

    /// Lines an operator should see: what else was wanted and not had.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }
}

/// Why a file cannot be mapped.
enum Unfit {
    /// So many bytes are not a page.
    Stub(u64),
    Unknown(io::Error),
    NoRoom(io::Error),
}

/// Gives a file that has nothing its room. Whether it had something, and the bytes to map: whole pages.
fn lengthen(file: &File, bytes: usize, old_bytes: usize, page_bytes: usize) -> Result<(bool, usize), Unfit> {
    let have = file.metadata().map_err(Unfit::Unknown)?.len();
    if have > 0 {
        let whole = usize::try_from(have).unwrap_or(usize::MAX) / page_bytes * page_bytes;
        let whole = whole.min(bytes.max(old_bytes).next_multiple_of(page_bytes));
        return if whole == 0 { Err(Unfit::Stub(have)) } else { Ok((true, whole)) };
    }
    let length = bytes.next_multiple_of(page_bytes);
    crate::sys::storage::reserve(file, length as u64).map_err(Unfit::NoRoom)?;
    Ok((false, length))
}

/// Opens the file, makes it if need be, and keeps others out of it.
fn open_locked(folder: &Folder, name: &str, path: &Path) -> Result<File, PagesError> {
    let file = folder.file(name).map_err(PagesError::Folder)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(PagesError::InUse { path: path.into() }),
        Err(TryLockError::Error(cause)) => {
            Err(PagesError::Failed { action: "lock", place: path.display().to_string(), cause })
        }
    }
}

/// From here on a process that touches a page of a file that has been cut short ends with this on standard error, and with the exit code
/// [`BUS_ERROR_EXIT_CODE`]. The first text stays. This is a signal handler (SIGBUS), for the whole process.
///
/// # Errors
/// When the kernel takes no handler.
pub fn tell_bus_errors(text: &str) -> io::Result<()> {
    bus_error::tell(text)
}

/// The exit code of a process that has lost memory under its hands.
pub const BUS_ERROR_EXIT_CODE: i32 = bus_error::EXIT_CODE;

fn full(place: String, bytes: usize, cause: io::Error) -> PagesError {
    PagesError::Full { place, bytes, cause }
}

/// Asks for transparent hugepages where real ones are not had; whether it helps is the kernel's affair.
fn advise_huge(map: &MmapMut, policy: PagePolicy) {
    if policy.huge != HugePages::Never {
        let _ = map.advise(Advice::HugePage);
    }
}

/// Has every page in memory, writable.
fn populate(map: &MmapMut) -> io::Result<()> {
    map.advise(Advice::PopulateWrite)
}

/// 2 MiB hugepages that nobody has or has reserved.
fn free_hugepages() -> usize {
    let read = |name: &str| -> usize {
        fs::read_to_string(format!("/sys/kernel/mm/hugepages/hugepages-2048kB/{name}"))
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(0)
    };
    read("free_hugepages").saturating_sub(read("resv_hugepages"))
}

/// Is it hugetlbfs; is it in memory at all?
fn file_system(file: &File) -> io::Result<(bool, bool)> {
    // SAFETY: a statfs of zeros is valid: plain integers.
    let mut about: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: the descriptor is open; `about` is writable.
    if unsafe { libc::fstatfs(file.as_raw_fd(), &mut about) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let hugetlbfs = about.f_type == HUGETLBFS_MAGIC;
    Ok((hugetlbfs, hugetlbfs || about.f_type == libc::TMPFS_MAGIC))
}

/// The kernel's name for this run of the machine: another after every boot. Memory files of another boot are worthless.
pub fn boot_id() -> Result<[u8; 16], NicError> {
    let path = "/proc/sys/kernel/random/boot_id";
    let text = fs::read_to_string(path).map_err(|cause| NicError::Setting {
        what: format!("cannot read {path}: {cause}; is /proc mounted?"),
    })?;
    let digits: Vec<u8> = text.bytes().filter_map(|b| (b as char).to_digit(16).map(|d| d as u8)).collect();
    let pairs: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    pairs.try_into().map_err(|_| NicError::Setting { what: format!("{path} holds no boot id: {text:?}") })
}

/// 128 bits that nobody has drawn before.
pub fn draw_id() -> Result<[u8; 16], NicError> {
    let mut id = [0; 16];
    crate::sys::process::random(&mut id)
        .map(|()| id)
        .map_err(|cause| NicError::Setting { what: format!("the kernel gives no random numbers: {cause}") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering::Relaxed;

    const ORDINARY: PagePolicy = PagePolicy { huge: HugePages::Never, lock: false };

    #[test]
    fn should_give_zeros_rounded_up_to_whole_pages() {
        let pages = Pages::anonymous(5000, ORDINARY).unwrap();
        assert_eq!((pages.bytes(), pages.words().len(), pages.page_bytes()), (8192, 1024, 4096));
        assert!(pages.words().iter().all(|word| word.load(Relaxed) == 0));
        pages.words()[1023].store(7, Relaxed);
        assert_eq!(pages.words()[1023].load(Relaxed), 7);
        assert!(pages.notices().is_empty());
    }

    #[test]
    fn should_fall_back_to_ordinary_pages_with_a_notice() {
        let bytes = (free_hugepages() + 1) * HUGE_BYTES;
        if bytes > 1 << 30 {
            println!("skipped: too many hugepages are free to run out of them");
            return;
        }
        let pages = Pages::anonymous(bytes, PagePolicy { huge: HugePages::Prefer, lock: false }).unwrap();
        assert_eq!(pages.page_bytes(), PAGE_BYTES);
        assert!(pages.fallback().unwrap().contains("vm.nr_hugepages"), "{:?}", pages.fallback());
        let error =
            Pages::anonymous(bytes, PagePolicy { huge: HugePages::Require, lock: false }).err().unwrap();
        assert!(matches!(error, PagesError::HugePagesMissing { .. }));
        assert!(error.to_string().contains("raise vm.nr_hugepages by 1"), "{error}");
    }

    #[test]
    fn should_use_hugepages_when_there_are_some() {
        if free_hugepages() == 0 {
            println!("skipped: no hugepages are free (sysctl vm.nr_hugepages=8 would give some)");
            return;
        }
        let pages = Pages::anonymous(5000, PagePolicy { huge: HugePages::Require, lock: false }).unwrap();
        assert_eq!((pages.bytes(), pages.page_bytes()), (HUGE_BYTES, HUGE_BYTES));
    }

    /// A folder for rings in memory.
    fn folder() -> (tempfile::TempDir, Folder) {
        let place = tempfile::tempdir_in("/dev/shm").unwrap();
        let folder = Folder::open(&place.path().join("own")).unwrap();
        (place, folder)
    }

    #[test]
    fn should_find_in_a_file_what_was_left_there() {
        let (_place, folder) = folder();
        let pages = Pages::file(&folder, "ring", 10_000, 0, ORDINARY).unwrap();
        assert!(!pages.existed());
        assert_eq!(pages.bytes(), 12_288);
        pages.words()[1535].store(42, Relaxed);
        drop(pages);
        let pages = Pages::file(&folder, "ring", 999_999, 12_288, ORDINARY).unwrap();
        assert!(pages.existed());
        assert_eq!((pages.bytes(), pages.words()[1535].load(Relaxed)), (12_288, 42));
        assert_eq!(pages.path(), Some(folder.path().join("ring").as_path()));
        assert_eq!(pages.identity().unwrap().2, 12_288);
    }

    #[test]
    fn should_take_whole_pages_of_a_file_of_any_length() {
        let (_place, folder) = folder();
        for (have, bytes) in
            [(4096, 4096), (4097, 4096), (12_287, 8192), (1 << 20, 12_288), (1 << 40, 12_288)]
        {
            folder.file("ring").unwrap().set_len(have).unwrap();
            let pages = Pages::file(&folder, "ring", 5000, 12_288, ORDINARY).unwrap();
            assert_eq!((pages.existed(), pages.bytes()), (true, bytes), "{have}");
        }
        folder.file("ring").unwrap().set_len(4095).unwrap();
        let error = Pages::file(&folder, "ring", 4096, 0, ORDINARY).err().unwrap();
        assert!(matches!(error, PagesError::Stub { bytes: 4095, .. }), "{error}");
        folder.file("ring").unwrap().set_len(0).unwrap();
        assert!(!Pages::file(&folder, "ring", 4096, 0, ORDINARY).unwrap().existed());
    }

    #[test]
    fn should_refuse_a_file_that_another_holds() {
        let (_place, folder) = folder();
        let _held = Pages::file(&folder, "ring", 4096, 0, ORDINARY).unwrap();
        let error = Pages::file(&folder, "ring", 4096, 0, ORDINARY).err().unwrap();
        assert!(matches!(error, PagesError::InUse { .. }));
        assert!(error.to_string().contains("is this node running already?"), "{error}");
    }

    #[test]
    fn should_leave_no_file_behind_when_there_is_no_room() {
        let (_place, folder) = folder();
        let error = Pages::file(&folder, "ring", 1 << 50, 0, ORDINARY).err().unwrap();
        assert!(matches!(error, PagesError::Full { .. }), "{error}");
        assert!(!folder.path().join("ring").exists());
    }

    #[test]
    fn should_say_that_a_disk_is_no_place_for_it() {
        let directory = tempfile::tempdir_in("/var/tmp").unwrap();
        let folder = Folder::open(&directory.path().join("own")).unwrap();
        let pages = Pages::file(&folder, "ring", 4096, 0, ORDINARY).unwrap();
        if pages.notices().is_empty() {
            println!("skipped: /var/tmp is in memory here");
        } else {
            assert!(pages.notices()[0].contains("/dev/shm"));
        }
    }

    #[test]
    fn should_name_the_boot() {
        let id = boot_id().unwrap();
        assert_ne!(id, [0; 16]);
        assert_eq!(id, boot_id().unwrap());
    }

    #[test]
    fn should_draw_another_id_each_time() {
        assert_ne!(draw_id().unwrap(), draw_id().unwrap());
    }
}
