//! Room for files.
#![allow(unsafe_code)] // Reason: fallocate, which std does not offer; wrapped in a safe function.
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
