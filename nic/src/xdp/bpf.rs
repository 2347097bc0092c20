//! The bpf(2) system call behind safe functions: maps, programs, links.
//!
//! Attributes are laid out as linux/bpf.h has them, cut off after the last field used: the kernel takes what is missing as zero.
//! Every byte of padding is a field, since the kernel refuses what is not zero.
#![allow(unsafe_code)] // Reason: bpf(2) takes pointers and sizes, and its memory maps are shared; libc has no wrapper for it.
use memmap2::{MmapOptions, MmapRaw};
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};

// linux/bpf.h: commands.
const MAP_CREATE: libc::c_int = 0;
const MAP_UPDATE_ELEM: libc::c_int = 2;
const PROG_LOAD: libc::c_int = 5;
const PROG_TEST_RUN: libc::c_int = 10;
const PROG_GET_FD_BY_ID: libc::c_int = 13;
const OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const LINK_CREATE: libc::c_int = 28;
const LINK_UPDATE: libc::c_int = 29;

const MAP_TYPE_ARRAY: u32 = 2;
const MAP_TYPE_XSKMAP: u32 = 17;
const MAP_MMAPABLE: u32 = 1 << 10;
const PROG_TYPE_XDP: u32 = 6;
const ATTACH_TYPE_XDP: u32 = 37;

/// Longest name of a program or map, with the zero after it.
const NAME_BYTES: usize = 16;
/// Room for the verifier's log.
const LOG_BYTES: usize = 1 << 20;
/// Its verbosity: each instruction with the state of the registers.
const LOG_LEVEL: u32 = 1;
/// Counters are mapped by whole pages.
const PAGE_BYTES: usize = 4096;

/// # Safety
/// `attributes` is laid out as the kernel expects for `command`, and the pointers in it are valid for what the command does.
unsafe fn bpf<A>(command: libc::c_int, attributes: &mut A) -> io::Result<RawFd> {
    let size = size_of::<A>() as libc::c_uint;
    // SAFETY: `attributes` is live, writable, and of the size passed; the caller vouches for what it points to.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attributes, size) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as RawFd) }
}

/// # Safety
/// As [`bpf`], for a command that returns a new descriptor.
unsafe fn bpf_open<A>(command: libc::c_int, attributes: &mut A) -> io::Result<OwnedFd> {
    // SAFETY: the caller's conditions are the same.
    let fd = unsafe { bpf(command, attributes) }?;
    // SAFETY: the kernel just opened it (closed on exec), and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn name_bytes(name: &str) -> [u8; NAME_BYTES] {
    assert!(name.len() < NAME_BYTES, "the kernel cuts names at {NAME_BYTES} bytes");
    let mut bytes = [0; NAME_BYTES];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    bytes
}

/// What a map holds.
pub(super) enum MapKind {
    /// AF_XDP sockets by index.
    Sockets { entries: u32 },
    /// One value of so many bytes, which can be mapped into memory.
    Words { bytes: u32 },
}

/// Makes a map.
pub(super) fn create_map(kind: MapKind, name: &str) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Attributes {
        map_type: u32,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
        map_flags: u32,
        inner_map_fd: u32,
        numa_node: u32,
        map_name: [u8; NAME_BYTES],
    }
    const _: () = assert!(size_of::<Attributes>() == 44);
    let (map_type, value_size, max_entries, map_flags) = match kind {
        MapKind::Sockets { entries } => (MAP_TYPE_XSKMAP, 4, entries, 0),
        MapKind::Words { bytes } => (MAP_TYPE_ARRAY, bytes, 1, MAP_MMAPABLE),
    };
    let mut attributes = Attributes {
        map_type,
        key_size: 4,
        value_size,
        max_entries,
        map_flags,
        inner_map_fd: 0,
        numa_node: 0,
        map_name: name_bytes(name),
    };
    // SAFETY: laid out as MAP_CREATE has it; it holds no pointers.
    unsafe { bpf_open(MAP_CREATE, &mut attributes) }
}

/// Sets the element `key` of a map to a descriptor.
pub(super) fn set_descriptor(map: BorrowedFd<'_>, key: u32, descriptor: BorrowedFd<'_>) -> io::Result<()> {
    #[repr(C)]
    struct Attributes {
        map_fd: RawFd,
        padding: u32,
        key: u64,
        value: u64,
        flags: u64,
    }
    const _: () = assert!(size_of::<Attributes>() == 32);
    let value = descriptor.as_raw_fd();
    let mut attributes = Attributes {
        map_fd: map.as_raw_fd(),
        padding: 0,
        key: (&raw const key).expose_provenance() as u64,
        value: (&raw const value).expose_provenance() as u64,
        flags: 0,
    };
    // SAFETY: laid out as MAP_UPDATE_ELEM has it; key and value are live and of the four bytes that our maps have for each.
    unsafe { bpf(MAP_UPDATE_ELEM, &mut attributes) }.map(|_| ())
}

/// The value of a map of one element, in our memory.
#[derive(Debug)]
pub(super) struct SharedWords {
    memory: MmapRaw,
    bytes: usize,
}

impl SharedWords {
    /// Maps the first `bytes` of a map's value.
    pub(super) fn map(map: BorrowedFd<'_>, bytes: usize) -> io::Result<Self> {
        let memory =
            MmapOptions::new().len(bytes.next_multiple_of(PAGE_BYTES)).map_raw_read_only(map.as_raw_fd())?;
        Ok(Self { memory, bytes })
    }

    /// The word at `offset` bytes.
    pub(super) fn read(&self, offset: usize) -> u64 {
        assert!(offset.is_multiple_of(8) && offset + 8 <= self.bytes, "offset {offset} of {}", self.bytes);
        let pointer = self.memory.as_ptr().wrapping_add(offset).cast::<u64>().cast_mut();
        // SAFETY: within the mapping, which lives as long as `self` and cannot be truncated; aligned, since mappings begin at a page;
        // everyone who writes there (the kernel) does so atomically, and it is only read here, as the mapping demands.
        let word = unsafe { AtomicU64::from_ptr(pointer) };
        word.load(Ordering::Relaxed)
    }
}

/// Why the kernel did not take a program.
pub(super) struct Refusal {
    /// What the system said.
    pub(super) cause: io::Error,
    /// What the verifier said; empty where it did not come to that.
    pub(super) log: String,
}

/// Loads an XDP program.
pub(super) fn load_program(name: &str, slots: &[[u8; 8]]) -> Result<OwnedFd, Refusal> {
    load_with_log(name, slots, &mut []).or_else(|cause| {
        // EACCES and EINVAL come from the verifier, which tells why only when it is given room for it.
        let mut log = vec![0; LOG_BYTES];
        if matches!(cause.raw_os_error(), Some(libc::EACCES | libc::EINVAL | libc::E2BIG)) {
            match load_with_log(name, slots, &mut log) {
                Ok(fd) => return Ok(fd),
                Err(_) => {
                    let text = CStr::from_bytes_until_nul(&log).unwrap_or_default();
                    let log = text.to_string_lossy().trim().to_owned();
                    return Err(Refusal { cause, log });
                }
            }
        }
        Err(Refusal { cause, log: String::new() })
    })
}

fn load_with_log(name: &str, slots: &[[u8; 8]], log: &mut [u8]) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Attributes {
        prog_type: u32,
        insn_cnt: u32,
        insns: u64,
        license: u64,
        log_level: u32,
        log_size: u32,
        log_buf: u64,
        kern_version: u32,
        prog_flags: u32,
        prog_name: [u8; NAME_BYTES],
        prog_ifindex: u32,
        expected_attach_type: u32,
    }
    const _: () = assert!(size_of::<Attributes>() == 72);
    let license = c"Apache-2.0";
    let mut attributes = Attributes {
        prog_type: PROG_TYPE_XDP,
        insn_cnt: slots.len() as u32,
        insns: slots.as_ptr().expose_provenance() as u64,
        license: license.as_ptr().expose_provenance() as u64,
        log_level: if log.is_empty() { 0 } else { LOG_LEVEL },
        log_size: log.len() as u32,
        log_buf: if log.is_empty() { 0 } else { log.as_mut_ptr().expose_provenance() as u64 },
        kern_version: 0,
        prog_flags: 0,
        prog_name: name_bytes(name),
        prog_ifindex: 0,
        expected_attach_type: ATTACH_TYPE_XDP,
    };
    // SAFETY: laid out as PROG_LOAD has it; instructions, licence and log are live and of the lengths passed, the licence ends with a
    // zero, and the kernel writes only to the log.
    unsafe { bpf_open(PROG_LOAD, &mut attributes) }
}

/// What a run on a packet from memory gave.
pub(super) struct Ran {
    pub(super) verdict: u32,
    pub(super) packet: Vec<u8>,
    pub(super) mean_ns: u32,
}

/// Runs a program on a packet from memory.
pub(super) fn test_run(program: BorrowedFd<'_>, packet: &[u8], times: u32) -> io::Result<Ran> {
    #[repr(C)]
    struct Attributes {
        prog_fd: RawFd,
        retval: u32,
        data_size_in: u32,
        data_size_out: u32,
        data_in: u64,
        data_out: u64,
        repeat: u32,
        duration: u32,
    }
    const _: () = assert!(size_of::<Attributes>() == 40);
    let mut after = vec![0; packet.len()];
    let mut attributes = Attributes {
        prog_fd: program.as_raw_fd(),
        retval: 0,
        data_size_in: packet.len() as u32,
        data_size_out: after.len() as u32,
        data_in: packet.as_ptr().expose_provenance() as u64,
        data_out: after.as_mut_ptr().expose_provenance() as u64,
        repeat: times,
        duration: 0,
    };
    // SAFETY: laid out as PROG_TEST_RUN has it; both packets are live and of the lengths passed, and the second is writable.
    unsafe { bpf(PROG_TEST_RUN, &mut attributes) }?;
    after.truncate(attributes.data_size_out as usize);
    Ok(Ran { verdict: attributes.retval, packet: after, mean_ns: attributes.duration })
}

/// Attaches an XDP program to an interface, as long as the link lives. `flags` are those of linux/if_link.h.
pub(super) fn create_link(program: BorrowedFd<'_>, interface: u32, flags: u32) -> io::Result<OwnedFd> {
    let mut attributes: [u32; 4] = [program.as_raw_fd().cast_unsigned(), interface, ATTACH_TYPE_XDP, flags];
    // SAFETY: LINK_CREATE has program, interface, type and flags, four words; they hold no pointers.
    unsafe { bpf_open(LINK_CREATE, &mut attributes) }
}

/// Puts another program in the place of the one that is attached by a link, between two packets.
pub(super) fn update_link(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let mut attributes: [u32; 4] =
        [link.as_raw_fd().cast_unsigned(), program.as_raw_fd().cast_unsigned(), 0, 0];
    // SAFETY: LINK_UPDATE has link, new program, flags and old program, four words; they hold no pointers.
    unsafe { bpf(LINK_UPDATE, &mut attributes) }.map(|_| ())
}

/// The name of a program, by the kernel's number for it. Takes CAP_SYS_ADMIN.
pub(super) fn program_name(id: u32) -> io::Result<String> {
    #[repr(C)]
    struct Attributes {
        bpf_fd: RawFd,
        info_len: u32,
        info: u64,
    }
    /// The beginning of struct bpf_prog_info.
    #[repr(C)]
    #[derive(Default)]
    struct Info {
        kind: u32,
        id: u32,
        tag: u64,
        lengths: [u32; 2],
        instructions: [u64; 2],
        load_time: u64,
        created_by_uid: u32,
        nr_map_ids: u32,
        map_ids: u64,
        name: [u8; NAME_BYTES],
    }
    const _: () = assert!(size_of::<Info>() == 80);
    let mut by_id: [u32; 3] = [id, 0, 0];
    // SAFETY: PROG_GET_FD_BY_ID has an id, the next id and flags, three words; they hold no pointers.
    let program = unsafe { bpf_open(PROG_GET_FD_BY_ID, &mut by_id) }?;
    let mut info = Info::default();
    let mut attributes = Attributes {
        bpf_fd: program.as_raw_fd(),
        info_len: size_of::<Info>() as u32,
        info: (&raw mut info).expose_provenance() as u64,
    };
    // SAFETY: laid out as OBJ_GET_INFO_BY_FD has it; `info` is live, writable, of the length passed, and the counts in it that would
    // have the kernel write elsewhere are zero.
    unsafe { bpf(OBJ_GET_INFO_BY_FD, &mut attributes) }?;
    let name = CStr::from_bytes_until_nul(&info.name).unwrap_or_default();
    Ok(name.to_string_lossy().into_owned())
}
