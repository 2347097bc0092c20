//! An allocator that counts what some threads take from the heap and gives back to it, and shows where.
#![allow(unsafe_code)] // Reason: an allocator that counts is an unsafe trait's implementation.
use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::fs;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering::SeqCst};

/// Backtraces printed of one watch: the first says it all, mostly.
const SHOWN: u64 = 3;

/// The system's allocator, with an eye on some threads.
pub struct Counting;

/// The kernel's numbers of the threads that are watched; 0: none is.
static WATCHED: [AtomicI32; 2] = [AtomicI32::new(0), AtomicI32::new(0)];
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static FREES: AtomicU64 = AtomicU64::new(0);

thread_local! {
    // Neither of them is made lazily or dropped, so the allocator may look at them at any time.
    static THREAD: Cell<i32> = const { Cell::new(0) };
    static SHOWING: Cell<bool> = const { Cell::new(false) };
}

// SAFETY: hands every call on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(&ALLOCATIONS, "allocation", layout.size());
        // SAFETY: the caller keeps the contract of `alloc`, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(&FREES, "free", layout.size());
        // SAFETY: the caller keeps the contract of `dealloc`, which is the same.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        note(&ALLOCATIONS, "reallocation", bytes);
        // SAFETY: the caller keeps the contract of `realloc`, which is the same.
        unsafe { System.realloc(pointer, layout, bytes) }
    }
}

fn note(counter: &AtomicU64, what: &str, bytes: usize) {
    let watched = WATCHED.each_ref().map(|number| number.load(SeqCst));
    // What showing takes from the heap itself does not count.
    if watched[0] == 0 || !watched.contains(&own_thread()) || SHOWING.get() {
        return;
    }
    let before = counter.fetch_add(1, SeqCst);
    if before < SHOWN {
        SHOWING.set(true);
        eprintln!("{what} of {bytes} bytes on the watched thread:\n{}", Backtrace::force_capture());
        SHOWING.set(false);
    }
}

fn own_thread() -> i32 {
    if THREAD.get() == 0 {
        // SAFETY: the call takes nothing and cannot fail.
        THREAD.set(unsafe { libc::gettid() });
    }
    THREAD.get()
}

/// What threads did to the heap while they were watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    pub allocations: u64,
    pub frees: u64,
}

/// Watches this process's threads of that name, one of each node in it, while `work` runs, here.
pub fn watch(thread: &str, nodes: usize, work: impl FnOnce()) -> Counts {
    let numbers = numbers_of(thread);
    assert!(numbers.len() == nodes && nodes <= WATCHED.len(), "threads named {thread}: {numbers:?}");
    ALLOCATIONS.store(0, SeqCst);
    FREES.store(0, SeqCst);
    for (watched, number) in WATCHED.iter().zip(numbers) {
        watched.store(number, SeqCst);
    }
    work();
    WATCHED.iter().for_each(|watched| watched.store(0, SeqCst));
    Counts { allocations: ALLOCATIONS.load(SeqCst), frees: FREES.load(SeqCst) }
}

fn numbers_of(thread: &str) -> Vec<i32> {
    let named = |number: &i32| {
        fs::read_to_string(format!("/proc/self/task/{number}/comm"))
            .is_ok_and(|name| name.trim_end() == thread)
    };
    let tasks = fs::read_dir("/proc/self/task").expect("a process can list its threads");
    let numbers = tasks.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    numbers.filter(named).collect()
}
