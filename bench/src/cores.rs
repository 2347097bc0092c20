//! Which processor does what: the system under test (or the far side of a floor) on one, the load on another.
use gds_nic::cores;
use std::process::{Command, Stdio};

/// Two processors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cores {
    /// Where the system under test runs, or the floor's far side; `None`: wherever the kernel puts it.
    pub system: Option<usize>,
    /// Where the load comes from.
    pub load: Option<usize>,
}

impl Cores {
    /// Isolated ones if there are two, else the last two this process may use; unpinned where there is but one.
    pub fn choose() -> Self {
        let isolated = cores::isolated();
        let list = if isolated.len() >= 2 { isolated } else { cores::allowed() };
        match list[..] {
            [.., load, system] => Self { system: Some(system), load: Some(load) },
            _ => Self::unpinned(),
        }
    }

    /// No pinning: for tests beside others.
    pub fn unpinned() -> Self {
        Self { system: None, load: None }
    }
}

/// Does `work` in a thread of its own, on that processor, and waits for it. The calling thread stays free to run anywhere, and so do the
/// processes it starts.
///
/// # Errors
/// What `work` says, or why the processor cannot be had.
pub fn on_core<T: Send>(
    core: Option<usize>,
    work: impl FnOnce() -> Result<T, String> + Send,
) -> Result<T, String> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            if let Some(core) = core {
                cores::pin(core).map_err(|error| error.to_string())?;
            }
            work()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Lets this thread run before all that is not urgent on its processor, and at once: for a load that sleeps between its operations on a processor that others
/// use, so that it is not the load that is late. What this thread starts from now on is as urgent.
///
/// # Errors
/// That the kernel does not allow it.
pub fn become_urgent() -> Result<(), String> {
    let this = std::fs::read_link("/proc/thread-self").map_err(|error| error.to_string())?;
    let thread = this.file_name().and_then(|name| name.to_str()).ok_or("a thread without a number")?;
    tell("chrt", &["--fifo", "--pid", "10", thread])
}

/// Lets all threads of a process run before others of their processor, but for urgent ones.
///
/// # Errors
/// That the kernel does not allow it.
pub fn favour(process: u32) -> Result<(), String> {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).map_err(|error| error.to_string())?;
    let threads = threads.flatten().filter_map(|thread| thread.file_name().into_string().ok());
    let threads: Vec<String> = threads.collect();
    let mut arguments = vec!["-n", "-20", "-p"];
    arguments.extend(threads.iter().map(String::as_str));
    tell("renice", &arguments)
}

fn tell(program: &str, arguments: &[&str]) -> Result<(), String> {
    let told = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    match told {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(format!("{program} {} is not allowed here", arguments.join(" "))),
        Err(error) => Err(format!("{program} (package util-linux): {error}")),
    }
}
