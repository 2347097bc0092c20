//! Clocks, cores and settings of the calling thread; the process's user; random numbers.
#![allow(unsafe_code)] // Reason: libc calls that std does not offer; each is wrapped in a safe function.

/// Reads one of the kernel's clocks.
///
/// # Panics
/// When the kernel has no such clock: a programmer error.
pub(crate) fn clock_ns(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid, writable timespec for the duration of the call.
    let result = unsafe { libc::clock_gettime(clock, &mut time) };
    assert!(result == 0, "clock {clock} does not exist");
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The core the calling thread runs on at this moment.
pub(crate) fn current_core() -> Option<usize> {
    // SAFETY: takes no arguments and touches no memory of ours.
    let core = unsafe { libc::sched_getcpu() };
    usize::try_from(core).ok()
}

/// The cores the calling thread may run on, ascending; empty when the kernel does not say.
pub(crate) fn allowed_cores() -> Vec<usize> {
    // 8192 cores: the kernel refuses a mask smaller than its own, and this is its largest configuration.
    let mut mask = [0u64; 128];
    // SAFETY: `mask` is writable for exactly the byte count passed; the pointer is only written to; 0 is the calling thread.
    let result = unsafe { libc::sched_getaffinity(0, size_of_val(&mask), mask.as_mut_ptr().cast()) };
    if result != 0 {
        return Vec::new();
    }
    (0..mask.len() * 64).filter(|&core| mask[core / 64] >> (core % 64) & 1 == 1).collect()
}

/// Lets the calling thread's sleeps end when asked, rather than up to 50 us later.
pub(crate) fn sleep_precisely() {
    // SAFETY: PR_SET_TIMERSLACK takes one integer by value and touches no memory. Failure only leaves the default.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1 as libc::c_ulong) };
}

/// The user that the process acts as.
pub(crate) fn effective_user() -> u32 {
    // SAFETY: takes no arguments, touches no memory of ours and cannot fail.
    unsafe { libc::geteuid() }
}

/// Numbers that nobody can foresee, from the kernel.
pub(crate) fn random(into: &mut [u8; 16]) -> std::io::Result<()> {
    loop {
        // SAFETY: `into` is writable for the length passed; up to 256 bytes come whole once there are any.
        let drawn = unsafe { libc::getrandom(into.as_mut_ptr().cast(), into.len(), 0) };
        match usize::try_from(drawn) {
            Ok(drawn) if drawn == into.len() => return Ok(()),
            Ok(_) => {}
            Err(_) => {
                let error = std::io::Error::last_os_error();
                if error.kind() != std::io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}
