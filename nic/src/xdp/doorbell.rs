//! The way out of a queue: a send ring, and the call by which the kernel hears of what is in it.
//!
//! A port has one of its own and makes the call whenever it has sent; or the ports of one thread share one by a [`Doorbell`]. Then what
//! they send waits in the ring, in the order in which it was given, until the bell is rung, and all of it costs one call. In copy mode that call
//! does all the work of sending, and does it in one go for less: the second of two packets costs two thirds of the first.
use super::XdpError;
use super::queue::Queue;
use super::umem::{Frame, SendRing};
use crate::sys::xdp;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};

/// Packets that a call takes at most before Linux 6.17.
const BATCH: u32 = 32;

/// Makes what several ports send one call to the kernel: with it in their [`UdpConfig`](crate::UdpConfig), ports over AF_XDP keep what they
/// send until it is rung. So whoever gives it to ports has to ring it, soon, and in the thread that uses the ports: it is one thread's at a time.
///
/// It is one queue's: that of the first port that was opened with it. Ports of other queues, and those over other transports, send at once
/// as ever. What nobody rings for leaves when a port has no frame left, or when one that is received from has looked around in silence (after
/// 20 µs). The queue stays this process's as long as the doorbell.
///
/// One ring, one order, one send buffer: where the card is slow, what one port has sent stands before what another sends. Ports whose packets
/// must not wait for each other belong on cores of their own, or have none.
#[derive(Clone, Default)]
pub struct Doorbell(Arc<OnceLock<Arc<Outlet>>>);

impl Doorbell {
    /// One that no port has yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells the kernel what the ports have sent since it was last told. False when there is nothing to tell. Does not wait.
    ///
    /// # Errors
    /// What the kernel says of it. A packet that it dropped is lost; what it did not take stays in the ring, and is told again with the next
    /// call where that may help, else with what comes next.
    ///
    /// # Panics
    /// When another thread uses one of its ports just now.
    #[inline]
    pub fn ring(&self) -> io::Result<bool> {
        match self.0.get() {
            Some(outlet) if outlet.is_due.load(Ordering::Relaxed) => outlet.lock().ring().map(|()| true),
            _ => Ok(false),
        }
    }

    /// The outlet that a port on this queue shares: opened with the first; none when it is another queue's.
    pub(super) fn outlet(&self, queue: &Arc<Queue>) -> Result<Option<Arc<Outlet>>, XdpError> {
        match self.0.get() {
            Some(outlet) => Ok(Arc::ptr_eq(&outlet.queue, queue).then(|| outlet.clone())),
            None => Outlet::open(queue, queue.config().ports_max).map(Arc::new).map(Some),
        }
    }

    /// A port has been opened that shares this outlet.
    pub(super) fn settle(&self, outlet: &Arc<Outlet>) {
        // Should another port have been quicker, this one's is its own; its packets leave when it has no frame left, or looks around.
        let _ = self.0.set(outlet.clone());
    }
}

impl fmt::Debug for Doorbell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.get().is_some() { "Doorbell(of a queue)" } else { "Doorbell(of none)" })
    }
}

/// A send ring with its socket.
pub(super) struct Outlet {
    queue: Arc<Queue>,
    /// There are packets in the ring that the kernel is to be told of. Beside the lock, so that it costs next to nothing to see that there
    /// are none; whoever sends or rings is of one thread, so it needs no order.
    is_due: AtomicBool,
    // Nobody ever waits for it, for the same reason.
    exit: Mutex<Exit>,
}

/// The right to send, for a moment.
pub(super) struct Sender<'a> {
    outlet: &'a Outlet,
    exit: MutexGuard<'a, Exit>,
}

/// What only the thread that sends touches.
struct Exit {
    /// There until the outlet is dropped.
    socket: Option<OwnedFd>,
    ring: SendRing,
    /// One call takes all that the ring can hold (Linux 6.17 on).
    takes_all: bool,
}

/// What is left in the ring after the kernel was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    /// Nothing, or what the driver takes by itself.
    Nothing,
    /// What another call may take.
    Some,
}

impl Outlet {
    /// With room for all that so many ports can send.
    pub(super) fn open(queue: &Arc<Queue>, ports: u32) -> Result<Self, XdpError> {
        let (socket, ring, takes_all) = queue.open_sender(ports)?;
        let exit = Mutex::new(Exit { socket: Some(socket), ring, takes_all });
        Ok(Self { queue: queue.clone(), is_due: AtomicBool::new(false), exit })
    }

    /// # Panics
    /// When another thread has it.
    #[inline]
    pub(super) fn lock(&self) -> Sender<'_> {
        let exit = match self.exit.try_lock() {
            Ok(exit) => exit,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => panic!("ports that share a doorbell are used by two threads"),
        };
        Sender { outlet: self, exit }
    }
}

impl Sender<'_> {
    /// Puts in the first `length` bytes of a frame; the kernel is not told yet.
    #[inline]
    pub(super) fn put(&mut self, frame: Frame, length: usize) {
        self.exit.ring.put(self.outlet.queue.umem(), frame, length);
        self.outlet.is_due.store(true, Ordering::Relaxed);
    }

    /// Shows the kernel what is in the ring, and wakes it up if it wants that.
    #[inline]
    pub(super) fn ring(&mut self) -> io::Result<()> {
        self.exit.ring.publish();
        let (left, told) =
            if self.exit.ring.needs_wakeup() { self.exit.wake() } else { (Left::Nothing, Ok(())) };
        self.outlet.is_due.store(left == Left::Some, Ordering::Relaxed);
        told
    }

    /// Tells the kernel once more of what it has not taken.
    pub(super) fn tend(&mut self) -> io::Result<()> {
        if self.exit.ring.waiting() > 0 { self.ring() } else { Ok(()) }
    }
}

impl Exit {
    /// Calls until the kernel has taken what it can: once, mostly. What it says first, if that is an error.
    fn wake(&mut self) -> (Left, io::Result<()>) {
        let socket = self.socket.as_ref().expect("an outlet has its socket until it is dropped");
        let mut told = Ok(());
        // What is seen of the kernel's progress may be old, so this is the most there can be left.
        let mut most = self.ring.waiting();
        while most > 0 {
            let Err(error) = xdp::wake_sender(socket.as_fd()) else { return (Left::Nothing, told) };
            most = match error.raw_os_error() {
                // It can take none now: the card is full.
                Some(libc::EAGAIN) if self.takes_all => break,
                Some(libc::EAGAIN) => most.saturating_sub(BATCH),
                // The interface's queue dropped one; those behind it are not tried.
                Some(libc::EBUSY) => {
                    told = told.and(Err(error));
                    most - 1
                }
                // Such as an interface that is down: no use to ask again at once.
                _ => return (Left::Nothing, told.and(Err(error))),
            };
        }
        (Left::Some, told)
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        let exit = self.exit.get_mut().unwrap_or_else(PoisonError::into_inner);
        // Sends what nobody rang for, and has the kernel say how far it has come.
        exit.ring.publish();
        let _ = exit.wake();
        // Once the socket is closed the kernel touches its ring no more, and it still says which frames it had not taken. (Its only
        // descriptor is ours: it is closed on exec, and never lent.)
        exit.socket = None;
        while let Some(frame) = exit.ring.take_back(self.queue.umem()) {
            self.queue.give_back(frame);
        }
    }
}
