//! The keeper: a thread of a node that asks the register, so that the pinned core never waits for it.
//!
//! The core's side is a [`KeeperPort`]: two slots without locks, one for the request and one for the answer, and a wake-up for a keeper that
//! sleeps (a system call, and rare: a node asks when it starts, when somebody falls silent, or joins). Every request is answered within the register's own time limit;
//! an error is told to the node as silence, and to people in words: [`Keeper::trouble`].
//!
//! A keeper that nobody asks reads the register by itself now and then. So a register that is away, or a login that has run out, shows
//! before it is needed.
//!
//! A register never goes back, and names one stream. One that does go back (deleted, or restored from a backup) could give out an epoch twice, and one that names
//! another stream is another cluster's; their answers are kept from the node.
use crate::{Register, RegisterError};
use gds_core::counter_set;
use gds_core::replication::{RegisterAnswer, RegisterPort, RegisterRequest, RegisterState};
use gds_wire::session::Session;
use rtrb::{Consumer, Producer, RingBuffer};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

/// A keeper asked for nothing for so long reads by itself.
const IDLE_READ: Duration = Duration::from_secs(10);

counter_set! {
    /// What the register was asked, and what it said.
    pub struct KeeperCounters {
        /// Requests of the node.
        asked,
        /// Swaps done.
        swapped,
        /// Swaps refused: the register was at another revision.
        refused,
        /// Requests of the node that got no answer.
        silent,
        /// Reads while the node asked for nothing.
        idle_reads,
        /// Reads among these that got no answer.
        idle_silent,
        /// Longest time until an answer came or was given up, in microseconds.
        longest_us,
    }
}

/// The thread; dropping it ends it.
#[derive(Debug)]
pub struct Keeper {
    told: Arc<Told>,
    counters: Arc<KeeperCounters>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread and others tell each other.
#[derive(Debug, Default)]
struct Told {
    end: AtomicBool,
    trouble: Mutex<Option<String>>,
}

impl Keeper {
    /// Starts the thread, and gives the node's way to it.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(register: Box<dyn Register + Send>) -> io::Result<(Self, KeeperPort)> {
        Self::start_with(register, None, IDLE_READ)
    }

    /// The same for a register that held this when it was read before.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_from(
        register: Box<dyn Register + Send>,
        known: &RegisterState,
    ) -> io::Result<(Self, KeeperPort)> {
        Self::start_with(register, Some(known), IDLE_READ)
    }

    fn start_with(
        register: Box<dyn Register + Send>,
        known: Option<&RegisterState>,
        idle_read: Duration,
    ) -> io::Result<(Self, KeeperPort)> {
        let (request, requests) = RingBuffer::new(1);
        let (answers, answer) = RingBuffer::new(1);
        let told = Arc::new(Told::default());
        let counters = Arc::new(KeeperCounters::default());
        let newest = known.map_or(0, |known| known.revision);
        let held = known.and_then(|known| known.value.as_ref()).map(|value| (value.stream, value.epoch));
        let (told_there, counters_there) = (told.clone(), counters.clone());
        let work = Work { register, idle_read, newest, held, told: told_there, counters: counters_there };
        let thread = thread::Builder::new().name("register".into()).spawn(|| work.run(requests, answers))?;
        let port = KeeperPort { request, answer, keeper: thread.thread().clone(), under_way: false };
        Ok((Self { told, counters, thread: Some(thread) }, port))
    }

    /// Its counters.
    pub fn counters(&self) -> Arc<KeeperCounters> {
        self.counters.clone()
    }

    /// Why the register did not answer when it was last asked; `None` when it did. Not for a pinned core: it takes a lock.
    pub fn trouble(&self) -> Option<String> {
        self.told.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Keeper {
    /// Waits for an answer that is under way, for the register's time limit at most.
    fn drop(&mut self) {
        self.told.end.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A panic of the thread has been shown already.
            let _ = thread.join();
        }
    }
}

/// What the thread has.
struct Work {
    register: Box<dyn Register + Send>,
    idle_read: Duration,
    /// The newest revision seen.
    newest: u64,
    /// The stream that it named, and the newest epoch.
    held: Option<(Session, u32)>,
    told: Arc<Told>,
    counters: Arc<KeeperCounters>,
}

impl Work {
    fn run(mut self, mut requests: Consumer<RegisterRequest>, mut answers: Producer<RegisterAnswer>) {
        let mut last = Instant::now();
        while !self.told.end.load(Ordering::Acquire) {
            if let Ok(request) = requests.pop() {
                let answer = self.answer(&request);
                answers.push(answer).expect("the last answer was taken before the next request was made");
                last = Instant::now();
            } else if last.elapsed() >= self.idle_read {
                self.counters.idle_reads.increment();
                if self.serve(&RegisterRequest::Read).is_none() {
                    self.counters.idle_silent.increment();
                }
                last = Instant::now();
            } else {
                thread::park_timeout(self.idle_read.saturating_sub(last.elapsed()));
            }
        }
    }

    fn answer(&mut self, request: &RegisterRequest) -> RegisterAnswer {
        self.counters.asked.increment();
        let answer = self.serve(request).unwrap_or(RegisterAnswer::Silence);
        match (&answer, request) {
            (RegisterAnswer::Silence, _) => self.counters.silent.increment(),
            (RegisterAnswer::Swapped(_), _) => self.counters.swapped.increment(),
            (RegisterAnswer::Holds(_), RegisterRequest::Swap { .. }) => self.counters.refused.increment(),
            (RegisterAnswer::Holds(_), RegisterRequest::Read) => {}
        }
        answer
    }

    /// Asks, and keeps what went wrong for people.
    fn serve(&mut self, request: &RegisterRequest) -> Option<RegisterAnswer> {
        let begin = Instant::now();
        let answer = self.register.serve(request).and_then(|answer| self.forward(answer));
        let took_us = begin.elapsed().as_micros() as u64;
        self.counters.longest_us.set(self.counters.longest_us.get().max(took_us));
        let (answer, trouble) = match answer {
            Ok(answer) => (Some(answer), None),
            Err(error) => (None, Some(error.to_string())),
        };
        *self.told.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
        answer
    }

    /// Lets through what does not go back.
    fn forward(&mut self, answer: RegisterAnswer) -> Result<RegisterAnswer, RegisterError> {
        let revision = match &answer {
            RegisterAnswer::Holds(state) => state.revision,
            RegisterAnswer::Swapped(revision) => *revision,
            RegisterAnswer::Silence => self.newest,
        };
        if revision < self.newest {
            return Err(RegisterError::WentBack { from: self.newest, to: revision });
        }
        if let RegisterAnswer::Holds(RegisterState { value: Some(value), .. }) = &answer {
            let (stream, epoch) = self.held.unwrap_or((value.stream, value.epoch));
            if value.stream != stream {
                return Err(RegisterError::OtherStream { expected: stream, found: value.stream });
            }
            if value.epoch < epoch {
                return Err(RegisterError::EpochWentBack { from: epoch, to: value.epoch });
            }
            self.held = Some((value.stream, value.epoch));
        }
        self.newest = revision;
        Ok(answer)
    }
}

/// A node's way to its keeper. Neither waits nor allocates.
#[derive(Debug)]
pub struct KeeperPort {
    request: Producer<RegisterRequest>,
    answer: Consumer<RegisterAnswer>,
    keeper: Thread,
    under_way: bool,
}

impl RegisterPort for KeeperPort {
    fn ask(&mut self, request: &RegisterRequest) -> bool {
        if self.under_way {
            return false;
        }
        self.under_way = self.request.push(request.clone()).is_ok();
        self.keeper.unpark();
        self.under_way
    }

    fn poll(&mut self) -> Option<RegisterAnswer> {
        let answer = self.answer.pop().ok()?;
        self.under_way = false;
        Some(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LockFile, SharedRegister};
    use gds_core::counters::Counter;

    fn wait_for(counter: &Counter) {
        while counter.get() == 0 {
            thread::yield_now();
        }
    }

    #[test]
    fn a_keeper_that_nobody_asks_sees_trouble_and_keeps_it_from_nobody() {
        let register = LockFile::new("/nowhere/register".as_ref());
        let idle_read = Duration::from_millis(1);
        let (keeper, mut port) = Keeper::start_with(Box::new(register), None, idle_read).expect("a thread");
        wait_for(&keeper.counters().idle_silent);
        assert!(keeper.trouble().expect("told").contains("/nowhere/register"));
        assert_eq!(port.poll(), None, "nothing was asked");
        let (keeper, mut port) =
            Keeper::start_with(Box::new(SharedRegister::new()), None, idle_read).expect("a thread");
        wait_for(&keeper.counters().idle_reads);
        assert_eq!((keeper.trouble(), port.poll()), (None, None));
        assert_eq!((keeper.counters().asked.get(), keeper.counters().idle_silent.get()), (0, 0));
    }
}
