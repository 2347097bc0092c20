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
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, TryLockError};

/// Makes what several ports send one call to the kernel: with it in their [`UdpConfig`](crate::UdpConfig), ports over AF_XDP keep what they
/// send until it is rung. So whoever gives it to ports has to ring it, soon, and in the thread that uses the ports: it is one thread's at a time.
///
/// It is one queue's: that of the first port it was given to. Ports of other queues, and those over other transports, send at once
/// as ever. What is not rung for by then leaves when a port has no frame left, or looks at the socket beside it (after 20 µs).
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
    /// What the kernel says of it. What it did not take stays in the ring, and is told again with what comes next.
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

    /// The outlet of its ports on this queue, opened with the first of them; none when it is another queue's.
    pub(super) fn outlet(&self, queue: &Arc<Queue>) -> Result<Option<Arc<Outlet>>, XdpError> {
        if self.0.get().is_none() {
            let outlet = Arc::new(Outlet::open(queue, queue.config().ports_max)?);
            // Should another thread have been quicker, its outlet is as good.
            let _ = self.0.set(outlet);
        }
        Ok(self.0.get().filter(|outlet| Arc::ptr_eq(&outlet.queue, queue)).cloned())
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
    /// There are packets in the ring that the kernel was not told of. Beside the lock, so that it costs next to nothing to see that there
    /// are none; whoever sends or rings is of one thread, so it needs no order.
    is_due: AtomicBool,
    // Nobody ever waits for it, for the same reason.
    way: Mutex<Way>,
}

/// The right to send, for a moment.
pub(super) struct Sender<'a> {
    outlet: &'a Outlet,
    way: MutexGuard<'a, Way>,
}

struct Way {
    /// There until the outlet is dropped.
    socket: Option<OwnedFd>,
    ring: SendRing,
}

impl Outlet {
    /// With room for all that so many ports can send.
    pub(super) fn open(queue: &Arc<Queue>, ports: u32) -> Result<Self, XdpError> {
        let (socket, ring) = queue.open_sender(ports)?;
        let way = Mutex::new(Way { socket: Some(socket), ring });
        Ok(Self { queue: queue.clone(), is_due: AtomicBool::new(false), way })
    }

    /// # Panics
    /// When another thread has it.
    #[inline]
    pub(super) fn lock(&self) -> Sender<'_> {
        let way = match self.way.try_lock() {
            Ok(way) => way,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => panic!("ports that share a doorbell are used by two threads"),
        };
        Sender { outlet: self, way }
    }
}

impl Sender<'_> {
    /// Puts in the first `length` bytes of a frame; the kernel is not told yet.
    #[inline]
    pub(super) fn put(&mut self, frame: Frame, length: usize) {
        self.way.ring.put(self.outlet.queue.umem(), frame, length);
        self.outlet.is_due.store(true, Ordering::Relaxed);
    }

    /// Shows the kernel what is in the ring, and wakes it up if it wants that.
    #[inline]
    pub(super) fn ring(&mut self) -> io::Result<()> {
        self.outlet.is_due.store(false, Ordering::Relaxed);
        self.way.ring.publish();
        if self.way.ring.needs_wakeup() { self.way.wake() } else { Ok(()) }
    }

    /// Tells the kernel once more of what it has not taken.
    pub(super) fn tend(&mut self) -> io::Result<()> {
        if self.way.ring.waiting() > 0 { self.ring() } else { Ok(()) }
    }
}

impl Way {
    fn wake(&mut self) -> io::Result<()> {
        let socket = self.socket.as_ref().expect("an outlet has its socket until it is dropped");
        let mut waiting = self.ring.waiting();
        while waiting > 0 {
            match xdp::wake_sender(socket.as_fd()) {
                Ok(()) => return Ok(()),
                // It has taken a part, and wants to be asked again; or it can take none now: then the next call asks again.
                Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => {}
                // Such as one frame that the interface's queue dropped; the others wait.
                Err(error) => return Err(error),
            }
            let left = self.ring.waiting();
            if left == waiting {
                break;
            }
            waiting = left;
        }
        Ok(())
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        let way = self.way.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Once the socket is closed the kernel touches its ring no more, and it still says which frames it had not taken. (Its only
        // descriptor is ours: it is closed on exec, and never lent.)
        way.socket = None;
        while let Some(frame) = way.ring.take_back(self.queue.umem()) {
            self.queue.give_back(frame);
        }
    }
}
