//! What is told when a page of a file in memory is gone: the kernel sends SIGBUS to whoever touches it.
#![allow(unsafe_code)] // Reason: sigaction, and a handler that may only call what is safe in one.
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// The exit code of a process that was told.
pub(crate) const EXIT_CODE: i32 = 5;

/// What the handler writes; made before, since it may not make anything.
static TEXT: OnceLock<Box<[u8]>> = OnceLock::new();
/// Another thread writes already.
static TOLD: AtomicBool = AtomicBool::new(false);

/// From here on SIGBUS ends the process with this text on standard error, and with [`EXIT_CODE`]. The first text stays.
pub(crate) fn tell(text: &str) -> io::Result<()> {
    TEXT.get_or_init(|| text.as_bytes().into());
    // SAFETY: a sigaction of zeros is valid: no handler, no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = end as extern "C" fn(libc::c_int) as usize;
    action.sa_flags = libc::SA_ONSTACK;
    // SAFETY: `action` is valid for the call; `end` has the signature that it is without SA_SIGINFO, and only calls what a handler may.
    match unsafe { libc::sigaction(libc::SIGBUS, &action, std::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The handler: no allocation, no lock, no return.
extern "C" fn end(_signal: libc::c_int) {
    if TOLD.swap(true, Ordering::AcqRel) {
        // Whoever came first ends the process; until then nothing may touch the memory again.
        loop {
            // SAFETY: takes and touches nothing.
            unsafe { libc::pause() };
        }
    }
    let text = TEXT.get().map_or(&b"gds: SIGBUS\n"[..], |text| text);
    // SAFETY: `text` is static and readable for its length; write may be called in a handler.
    unsafe { libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len()) };
    // SAFETY: takes nothing, and may be called in a handler.
    unsafe { libc::_exit(EXIT_CODE) }
}
