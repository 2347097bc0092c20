//! The moment a process dies, which may be in the middle of a duty cycle.
//!
//! Everything a process does that outlives it goes through a port, a disk or the ring's words. So a death is armed with a number
//! of operations: when they are done, the ring's words are copied as they stand, and from then on nothing the process sends or
//! writes happens any more. The duty cycle runs to its end without knowing, and then the world takes the process away.
use gds_core::memory::words::SharedWords;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;

/// The life of one process.
#[derive(Default)]
pub struct Death {
    /// Operations left until it dies; `None`: nobody wants it dead.
    left: Option<u64>,
    dead: bool,
    ring: Option<SharedWords>,
    /// The ring's words at the moment of death.
    last_words: Vec<u64>,
}

/// The life of a process, shared in one thread.
pub type SharedDeath = Rc<RefCell<Death>>;

impl Death {
    /// A process that lives; `ring` is what outlives it.
    pub fn of_process(ring: SharedWords) -> SharedDeath {
        Rc::new(RefCell::new(Self { ring: Some(ring), ..Self::default() }))
    }

    /// It will die after so many operations.
    pub fn arm(&mut self, operations: u64) {
        self.left = Some(operations);
    }

    /// It will live after all.
    pub fn disarm(&mut self) {
        self.left = None;
    }

    /// True once it is dead.
    pub fn is_dead(&self) -> bool {
        self.dead
    }

    /// One operation: whether it happens.
    pub fn operation(&mut self) -> bool {
        if let Some(left) = self.left.as_mut().filter(|_| !self.dead) {
            if *left == 0 {
                self.die();
            } else {
                *left -= 1;
            }
        }
        !self.dead
    }

    /// It dies now.
    pub fn die(&mut self) {
        if !self.dead {
            self.dead = true;
            let words = self.ring.as_ref().map_or(&[][..], |ring| ring.words());
            self.last_words = words.iter().map(|word| word.load(Relaxed)).collect();
        }
    }

    /// The ring's words as they were at its death.
    pub fn last_words(&self) -> &[u64] {
        &self.last_words
    }
}
