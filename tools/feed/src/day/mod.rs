//! A seeded, plausible ITCH 5.0 trading day.
//!
//! [`Day`] makes messages one at a time into the caller's buffer and allocates nothing on the way. The same [`DayConfig`] gives
//! the same bytes on every machine. A day has the order of a real one: start of messages, the stock directory with each stock's
//! trading state and short-sale restriction, start of system hours, some early orders, start of market, trading, end of market,
//! end of system hours, end of messages. Timestamps never run back.
//!
//! Between those marks, message types come in the proportion of a recorded day of a large stock: of 10,000 messages 4,756 add
//! an order, 4,083 delete one, 840 execute one, 240 are trades against hidden orders, and the rest is spread over ten other
//! types. Prices are a few ticks around a middle that walks at random for each stock; orders near it, and young ones, go
//! first. Every message is valid: it names a live order and takes no more shares than there are.
//!
//! At any point [`Day::state`] tells which orders are live after the messages made so far; [`crate::orders::Orders`] is the
//! plain count to hold that against.
mod dice;
mod encode;
mod names;
#[cfg(test)]
mod tests;
mod trading;

use crate::orders::{self, LiveOrder};
use dice::Dice;
use encode::Encoder;
use std::fmt;
use trading::Trading;

/// Room that every message fits.
pub const MESSAGE_BYTES_MAX: usize = 64;
/// The most stocks a day can have.
pub const SYMBOLS_MAX: u16 = 10_000;

const HOUR_NS: u64 = 3_600_000_000_000;
const MICROSECOND_NS: u64 = 1_000;
/// When each mark of the day is set.
const MESSAGES_START_NS: u64 = 3 * HOUR_NS;
const DIRECTORY_START_NS: u64 = 3 * HOUR_NS + HOUR_NS / 12;
const SYSTEM_START_NS: u64 = 4 * HOUR_NS;
const MARKET_START_NS: u64 = 9 * HOUR_NS + HOUR_NS / 2;
const MARKET_END_NS: u64 = 16 * HOUR_NS;
const SYSTEM_END_NS: u64 = 20 * HOUR_NS;
const MESSAGES_END_NS: u64 = 20 * HOUR_NS + HOUR_NS / 12;
/// O, S, Q, M, E, C.
const SYSTEM_EVENTS: u64 = 6;
/// Directory, trading state, short-sale restriction.
const MESSAGES_PER_SYMBOL: u64 = 3;
/// One in so many order messages comes before the market starts.
const EARLY_SHARE: u64 = 50;

/// What a day is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayConfig {
    /// What makes one day different from another.
    pub seed: u64,
    /// How many messages the day has, from the first to the last.
    pub messages: u64,
    /// How many stocks.
    pub symbols: u16,
    /// Most orders that are live at once; when they are, further ones replace deletions.
    pub live_orders_max: usize,
}

impl DayConfig {
    /// A day of `messages` messages with 100 stocks, or fewer for a short day.
    pub fn new(seed: u64, messages: u64) -> Self {
        let room = messages.saturating_sub(SYSTEM_EVENTS) / (MESSAGES_PER_SYMBOL * 4);
        Self { seed, messages, symbols: room.clamp(1, 100) as u16, live_orders_max: 200_000 }
    }

    /// The fewest messages that a day with so many stocks has.
    pub fn messages_min(&self) -> u64 {
        SYSTEM_EVENTS + MESSAGES_PER_SYMBOL * u64::from(self.symbols)
    }
}

impl Default for DayConfig {
    /// A million messages.
    fn default() -> Self {
        Self::new(1, 1_000_000)
    }
}

/// A [`DayConfig`] that no day can be made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DayError {
    /// Fewer messages than the directory and the marks of the day take.
    TooFewMessages {
        /// Messages asked for.
        messages: u64,
        /// The fewest there can be.
        messages_min: u64,
    },
    /// No stock, or too many.
    Symbols {
        /// Stocks asked for.
        symbols: u16,
    },
    /// No room for any live order.
    NoLiveOrders,
}

impl fmt::Display for DayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooFewMessages { messages, messages_min } => write!(
                f,
                "a trading day of {messages} messages is too short for its stock directory; \
                 take at least {messages_min}, or fewer stocks"
            ),
            Self::Symbols { symbols } => {
                write!(f, "a trading day cannot have {symbols} stocks; take 1 to {SYMBOLS_MAX}")
            }
            Self::NoLiveOrders => f.write_str("a trading day needs room for at least one live order"),
        }
    }
}

impl std::error::Error for DayError {}

/// Makes a trading day; see the module.
#[derive(Clone, Debug)]
pub struct Day {
    config: DayConfig,
    dice: Dice,
    trading: Trading,
    made: u64,
    timestamp_ns: u64,
    /// How many messages of the day are orders and trades, and how many of those come early.
    trading_messages: u64,
    early_messages: u64,
    pace: Interval,
}

/// How far apart messages are, from now to some mark.
#[derive(Clone, Copy, Debug, Default)]
struct Interval {
    end_ns: u64,
    average_ns: u64,
    /// Messages until the average is taken anew.
    messages_left: u64,
}

/// How many messages share one [`Interval`]: a division now and then instead of one each time.
const INTERVAL_MESSAGES: u64 = 256;

/// What comes next in the day.
enum Part {
    SystemEvent { code: u8, at_ns: u64 },
    Directory { symbol: usize, step: u64 },
    Trading { messages_left: u64, end_ns: u64 },
    Over,
}

impl Day {
    /// The beginning of the day that `config` makes.
    ///
    /// # Errors
    /// [`DayError`], naming what is wrong with `config`.
    pub fn new(config: DayConfig) -> Result<Self, DayError> {
        let DayConfig { messages, symbols, .. } = config;
        if symbols == 0 || symbols > SYMBOLS_MAX {
            return Err(DayError::Symbols { symbols });
        }
        let messages_min = config.messages_min();
        if messages < messages_min {
            return Err(DayError::TooFewMessages { messages, messages_min });
        }
        if config.live_orders_max == 0 {
            return Err(DayError::NoLiveOrders);
        }
        let mut dice = Dice::new(config.seed);
        let trading = Trading::new(&mut dice, symbols, config.live_orders_max);
        let trading_messages = messages - messages_min;
        Ok(Self {
            config,
            dice,
            trading,
            made: 0,
            timestamp_ns: MESSAGES_START_NS,
            trading_messages,
            early_messages: trading_messages / EARLY_SHARE,
            pace: Interval::default(),
        })
    }

    /// Makes the next message into the front of `buffer`; returns its length, or `None` after the last.
    pub fn next_message(&mut self, buffer: &mut [u8; MESSAGE_BYTES_MAX]) -> Option<usize> {
        let length = match self.part() {
            Part::Over => return None,
            Part::SystemEvent { code, at_ns } => {
                // A few microseconds past the hour, as real ones are.
                self.timestamp_ns = self.timestamp_ns.max(at_ns + self.dice.below(50 * MICROSECOND_NS));
                Encoder::begin(buffer, b'S', 0, self.timestamp_ns).bytes([code]).len()
            }
            Part::Directory { symbol, step } => {
                let wait_ns = 1 + self.dice.below(80 * MICROSECOND_NS);
                self.timestamp_ns = self.timestamp_ns.max(DIRECTORY_START_NS) + wait_ns;
                self.trading.directory(step, symbol, self.timestamp_ns, buffer)
            }
            Part::Trading { messages_left, end_ns } => {
                self.wait(messages_left, end_ns);
                self.trading.message(&mut self.dice, self.timestamp_ns, buffer)
            }
        };
        self.made += 1;
        Some(length)
    }

    /// What the day is made from.
    pub fn config(&self) -> &DayConfig {
        &self.config
    }

    /// How many messages have been made.
    pub fn made(&self) -> u64 {
        self.made
    }

    /// Which orders are live after the messages made so far.
    pub fn state(&self) -> DayState<'_> {
        DayState { trading: &self.trading }
    }

    fn part(&self) -> Part {
        let directory = 1 + MESSAGES_PER_SYMBOL * u64::from(self.config.symbols);
        let market_start = directory + 1 + self.early_messages;
        let market_end = directory + 2 + self.trading_messages;
        let event = |code, at_ns| Part::SystemEvent { code, at_ns };
        match self.made {
            0 => event(b'O', MESSAGES_START_NS),
            at if at < directory => {
                // All directory entries come first, then each stock's states.
                let symbols = u64::from(self.config.symbols);
                Part::Directory { symbol: ((at - 1) % symbols) as usize, step: (at - 1) / symbols }
            }
            at if at == directory => event(b'S', SYSTEM_START_NS),
            at if at < market_start => {
                Part::Trading { messages_left: market_start - at, end_ns: MARKET_START_NS }
            }
            at if at == market_start => event(b'Q', MARKET_START_NS),
            at if at < market_end => Part::Trading { messages_left: market_end - at, end_ns: MARKET_END_NS },
            at if at == market_end => event(b'M', MARKET_END_NS),
            at if at == market_end + 1 => event(b'E', SYSTEM_END_NS),
            at if at == market_end + 2 => event(b'C', MESSAGES_END_NS),
            _ => Part::Over,
        }
    }

    /// Lets time pass before a message: most come in bursts, an eighth after a pause, and all before `end_ns`.
    fn wait(&mut self, messages_left: u64, end_ns: u64) {
        if self.pace.messages_left == 0 || self.pace.end_ns != end_ns {
            let average_ns = (end_ns.saturating_sub(self.timestamp_ns) / messages_left).max(1);
            self.pace = Interval { end_ns, average_ns, messages_left: INTERVAL_MESSAGES.min(messages_left) };
        }
        self.pace.messages_left -= 1;
        let average_ns = self.pace.average_ns;
        let longest_ns = if self.dice.bits() & 7 == 0 { 14 * average_ns } else { average_ns / 4 };
        let last_ns = end_ns.saturating_sub(1).max(self.timestamp_ns);
        self.timestamp_ns = (self.timestamp_ns + 1 + self.dice.below(longest_ns)).min(last_ns);
    }
}

/// The orders that are live after the messages made so far.
#[derive(Clone, Copy, Debug)]
pub struct DayState<'a> {
    trading: &'a Trading,
}

impl DayState<'_> {
    /// How many orders are live.
    pub fn live_orders(&self) -> usize {
        self.trading.live().len()
    }

    /// The live orders, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = LiveOrder> + '_ {
        self.trading.live()
    }

    /// The [`orders::digest`] of the live orders.
    pub fn digest(&self) -> u64 {
        orders::digest(self.iter())
    }
}
