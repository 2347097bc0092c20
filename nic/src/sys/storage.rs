//! Room and durability of files.
#![allow(unsafe_code)] // Reason: fallocate and per-write durability, which std does not offer; wrapped in safe functions.
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// The flag by which one write is durable when it is complete.
pub(crate) const DSYNC: libc::c_int = libc::RWF_DSYNC;

/// Gives the file `bytes` of room, reading as zeros; the length is at least that afterwards.
pub(crate) fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    let length = libc::off_t::try_from(bytes).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    loop {
        // SAFETY: the descriptor is open for the call; integers by value otherwise.
        if unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, length) } == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINTR) => {}
            // Some file systems cannot reserve: the length alone must do there.
            Some(libc::EOPNOTSUPP) => return file.set_len(bytes),
            _ => return Err(error),
        }
    }
}

/// Writes all of `bytes` at `offset`; with `sync`, returns only when they would survive a power cut.
pub(crate) fn write_all_at(file: &File, mut bytes: &[u8], mut offset: u64, sync: bool) -> io::Result<()> {
    let flags = if sync { DSYNC } else { 0 };
    while !bytes.is_empty() {
        let vector = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        // SAFETY: `vector` is live and describes exactly `bytes`, which a write only reads; the descriptor is open.
        let written = unsafe { libc::pwritev2(file.as_raw_fd(), &vector, 1, offset as libc::off_t, flags) };
        match usize::try_from(written) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                bytes = &bytes[count..];
                offset += count as u64;
            }
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
    Ok(())
}
