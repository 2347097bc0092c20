//! The moment a process dies, which may be in the middle of a duty cycle.
//!
//! Everything a process does that outlives it goes through a port, a disk or the ring's words. So a death is armed with a number
//! of operations: when they are done, the ring's words are copied as they stand, and from then on nothing the process sends or
//! writes happens any more. The duty cycle runs to its end without knowing, and then the world takes the process away.
use gds_core::memory::words::SharedWords;
use gds_core::random::Random;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;

/// The life of one process.
pub struct Death {
    /// Operations left until it dies; `None`: nobody wants it dead.
    left: Option<u64>,
    dead: bool,
    ring: SharedWords,
    /// The ring's words at the moment of death.
    last_words: Vec<u64>,
    /// For what it was in the middle of.
    random: Random,
}

/// The life of a process, shared in one thread.
pub type SharedDeath = Rc<RefCell<Death>>;

impl Death {
    /// A process that lives; `ring` is what outlives it.
    pub fn of_process(ring: SharedWords, seed: u64) -> SharedDeath {
        let random = Random::new(seed);
        Rc::new(RefCell::new(Self { left: None, dead: false, ring, last_words: Vec::new(), random }))
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
            self.last_words = self.ring.words().iter().map(|word| word.load(Relaxed)).collect();
            if self.random.chance(1, 2) {
                scribble(&mut self.last_words, &mut self.random);
            }
        }
    }

    /// The ring's words as they are, while it lives.
    pub fn words_now(&self) -> Vec<u64> {
        self.ring.words().iter().map(|word| word.load(Relaxed)).collect()
    }

    /// The ring's words as they were at its death.
    pub fn last_words(&self) -> &[u64] {
        &self.last_words
    }
}

/// Where a ring's header has its sizes, what it claims and what it published, in words (see `gds_core::memory::ring`).
const DATA_WORDS_AT: usize = 2;
const POSITIONS_AT: usize = 3;
const CLAIMED_AT: usize = 16;
const CLAIMED_SEQUENCE_AT: usize = 17;
const PUBLISHED_AT: usize = 32;
const END_AT: usize = 33;
const HEADER_WORDS: usize = 48;
const LINE_WORDS: usize = 16;
const WORD_BYTES: u64 = 8;

/// The process died while it was writing: whatever it had claimed beyond what it published may be anything.
fn scribble(words: &mut [u64], random: &mut Random) {
    if words[0] == 0 {
        return;
    }
    let (data_words, positions) = (words[DATA_WORDS_AT] as usize, words[POSITIONS_AT] as usize);
    let (claimed, end) = (words[CLAIMED_AT], words[END_AT]);
    let data_start = HEADER_WORDS + positions.next_multiple_of(LINE_WORDS);
    for position in (end..claimed).step_by(WORD_BYTES as usize) {
        if random.chance(1, 2) {
            let place = data_start + (position / WORD_BYTES) as usize % data_words;
            words.get_mut(place).into_iter().for_each(|word| *word = random.next_u64());
        }
    }
    for sequence in words[PUBLISHED_AT] + 1..=words[CLAIMED_SEQUENCE_AT] {
        if random.chance(1, 2) {
            let position = random.below(claimed + 1) / WORD_BYTES * WORD_BYTES;
            words
                .get_mut(HEADER_WORDS + sequence as usize % positions)
                .into_iter()
                .for_each(|word| *word = position);
        }
    }
}
