//! Stocks and their orders, and the messages that change them.
use super::MESSAGE_BYTES_MAX;
use super::dice::Dice;
use super::encode::Encoder;
use super::names;
use crate::orders::LiveOrder;

/// A cent, in the ten-thousandths that prices are counted in.
const TICK: u32 = 100;
const PRICE_MIN: u32 = 100 * TICK;
const PRICE_MAX: u32 = 200_000 * TICK;
const PARTICIPANTS: usize = 8;
/// How deep below the middle an order can lie, in ticks, beyond the few that most do.
const DEPTH_TICKS_MAX: u32 = 40;
/// Orders of this many last ones count as young.
const YOUNG_ORDERS: u64 = 256;

/// Message types, and how many of 10,000 each is: the counts of one recorded day, with what it has none of added in ones.
const MIX: [(u32, u8); 12] = [
    (4756, b'A'),
    (4083, b'D'),
    (831, b'E'),
    (240, b'P'),
    (52, b'L'),
    (9, b'C'),
    (9, b'U'),
    (8, b'X'),
    (8, b'F'),
    (2, b'H'),
    (1, b'Y'),
    (1, b'R'),
];
const MIX_TOTAL: u32 = 10_000;

const _: () = {
    let mut total = 0;
    let mut index = 0;
    while index < MIX.len() {
        total += MIX[index].0;
        index += 1;
    }
    assert!(total == MIX_TOTAL, "the mix must add up");
};

#[derive(Clone, Debug)]
struct Stock {
    symbol: [u8; 8],
    middle: u32,
    halted: bool,
}

/// An order as it is kept: the stock by its place.
#[derive(Clone, Copy, Debug)]
struct Order {
    reference: u64,
    shares: u32,
    price: u32,
    stock: u16,
    side: u8,
    /// Place in the participants, plus one; 0 for none.
    participant: u8,
}

/// The whole market.
#[derive(Clone, Debug)]
pub(super) struct Trading {
    stocks: Vec<Stock>,
    participants: [[u8; 4]; PARTICIPANTS],
    live: Vec<Order>,
    live_max: usize,
    next_reference: u64,
    next_match: u64,
}

type Buffer = [u8; MESSAGE_BYTES_MAX];

impl Trading {
    pub fn new(dice: &mut Dice, symbols: u16, live_max: usize) -> Self {
        let stocks = names::symbols(dice, symbols)
            .into_iter()
            .map(|symbol| {
                // From a few dollars to a few hundred, low prices being more common.
                let dollars = 3 + dice.below_u32(20) * (1 + dice.below_u32(25));
                let middle = dollars * 100 * TICK + dice.below_u32(100) * TICK;
                Stock { symbol, middle, halted: false }
            })
            .collect();
        Self {
            stocks,
            participants: names::participants(dice),
            live: Vec::with_capacity(live_max),
            live_max,
            next_reference: 1_000 + dice.below(10_000),
            next_match: 100 + dice.below(1_000),
        }
    }

    pub fn live(&self) -> impl ExactSizeIterator<Item = LiveOrder> + '_ {
        self.live.iter().map(|order| LiveOrder {
            reference: order.reference,
            side: order.side,
            shares: order.shares,
            price: order.price,
            stock: self.stocks[usize::from(order.stock)].symbol,
            locate: order.stock + 1,
            attribution: order.participant.checked_sub(1).map(|at| self.participants[usize::from(at)]),
        })
    }

    /// The `step`-th kind of message that opens a stock's day.
    pub fn directory(&mut self, step: u64, stock: usize, at_ns: u64, buffer: &mut Buffer) -> usize {
        match step {
            0 => self.stock_directory(stock, at_ns, buffer),
            1 => self.trading_action(stock, at_ns, buffer),
            _ => self.short_sale_restriction(stock, b'0', at_ns, buffer),
        }
    }

    /// A message of the trading day.
    pub fn message(&mut self, dice: &mut Dice, at_ns: u64, buffer: &mut Buffer) -> usize {
        let mut roll = dice.below_u32(MIX_TOTAL);
        let mut kind = b'A';
        for (share, candidate) in MIX {
            if roll < share {
                kind = candidate;
                break;
            }
            roll -= share;
        }
        match kind {
            b'D' | b'E' | b'C' | b'X' | b'U' if self.live.is_empty() => kind = b'A',
            b'A' | b'F' if self.live.len() == self.live_max => kind = b'D',
            _ => {}
        }
        let stock = dice.below(self.stocks.len() as u64) as usize;
        match kind {
            b'A' => self.add(dice, stock, false, at_ns, buffer),
            b'F' => self.add(dice, stock, true, at_ns, buffer),
            b'D' => self.delete(dice, at_ns, buffer),
            b'E' | b'C' => self.execute(dice, kind == b'C', at_ns, buffer),
            b'X' => self.cancel(dice, at_ns, buffer),
            b'U' => self.replace(dice, at_ns, buffer),
            b'P' => self.hidden_trade(dice, stock, at_ns, buffer),
            b'L' => self.participant_position(dice, stock, at_ns, buffer),
            b'H' => {
                self.stocks[stock].halted ^= true;
                self.trading_action(stock, at_ns, buffer)
            }
            b'Y' => self.short_sale_restriction(stock, b'1', at_ns, buffer),
            _ => self.stock_directory(stock, at_ns, buffer),
        }
    }

    fn add(
        &mut self,
        dice: &mut Dice,
        stock: usize,
        attributed: bool,
        at_ns: u64,
        buffer: &mut Buffer,
    ) -> usize {
        let bits = dice.bits();
        let side = if bits & 1 == 0 { b'B' } else { b'S' };
        let order = Order {
            reference: self.reference(bits >> 1),
            shares: shares(bits >> 8),
            price: self.price(dice, stock, side),
            stock: stock as u16,
            side,
            participant: if attributed { 1 + dice.below(PARTICIPANTS as u64) as u8 } else { 0 },
        };
        self.live.push(order);
        let symbol = self.stocks[stock].symbol;
        let kind = if attributed { b'F' } else { b'A' };
        let mut message = Encoder::begin(buffer, kind, order.stock + 1, at_ns);
        message.u64(order.reference).bytes([side]).u32(order.shares).bytes(symbol).u32(order.price);
        if attributed {
            message.bytes(self.participants[usize::from(order.participant) - 1]);
        }
        message.len()
    }

    fn delete(&mut self, dice: &mut Dice, at_ns: u64, buffer: &mut Buffer) -> usize {
        let at = self.pick(dice);
        let order = self.live.swap_remove(at);
        Encoder::begin(buffer, b'D', order.stock + 1, at_ns).u64(order.reference).len()
    }

    fn execute(&mut self, dice: &mut Dice, with_price: bool, at_ns: u64, buffer: &mut Buffer) -> usize {
        let at = self.pick_near(dice);
        let order = self.live[at];
        // Most executions take all that is left.
        let bits = dice.bits();
        let taken = if bits & 3 == 0 { 1 + (bits >> 32) as u32 % order.shares } else { order.shares };
        self.take(at, taken);
        self.next_match += 1 + (bits >> 2 & 3);
        let kind = if with_price { b'C' } else { b'E' };
        let mut message = Encoder::begin(buffer, kind, order.stock + 1, at_ns);
        message.u64(order.reference).u32(taken).u64(self.next_match);
        if with_price {
            message.bytes(*b"Y").u32(order.price);
        }
        message.len()
    }

    /// Takes a part of an order; one of a single share is deleted instead, as there is no part of it.
    fn cancel(&mut self, dice: &mut Dice, at_ns: u64, buffer: &mut Buffer) -> usize {
        let at = self.pick(dice);
        let order = self.live[at];
        if order.shares == 1 {
            self.live.swap_remove(at);
            return Encoder::begin(buffer, b'D', order.stock + 1, at_ns).u64(order.reference).len();
        }
        let taken = 1 + dice.below_u32(order.shares - 1);
        self.take(at, taken);
        Encoder::begin(buffer, b'X', order.stock + 1, at_ns).u64(order.reference).u32(taken).len()
    }

    fn replace(&mut self, dice: &mut Dice, at_ns: u64, buffer: &mut Buffer) -> usize {
        let at = self.pick(dice);
        let old = self.live.swap_remove(at);
        let bits = dice.bits();
        let price = self.price(dice, usize::from(old.stock), old.side);
        let new = Order { reference: self.reference(bits), shares: shares(bits >> 8), price, ..old };
        self.live.push(new);
        Encoder::begin(buffer, b'U', old.stock + 1, at_ns)
            .u64(old.reference)
            .u64(new.reference)
            .u32(new.shares)
            .u32(new.price)
            .len()
    }

    /// A trade against an order that is not shown: it has no reference.
    fn hidden_trade(&mut self, dice: &mut Dice, stock: usize, at_ns: u64, buffer: &mut Buffer) -> usize {
        let bits = dice.bits();
        self.next_match += 1 + (bits & 3);
        let Stock { symbol, middle, .. } = self.stocks[stock];
        Encoder::begin(buffer, b'P', stock as u16 + 1, at_ns)
            .u64(0)
            .bytes(*b"B")
            .u32(shares(bits >> 8))
            .bytes(symbol)
            .u32(middle)
            .u64(self.next_match)
            .len()
    }

    fn participant_position(
        &mut self,
        dice: &mut Dice,
        stock: usize,
        at_ns: u64,
        buffer: &mut Buffer,
    ) -> usize {
        let participant = self.participants[dice.below(PARTICIPANTS as u64) as usize];
        // A primary market maker, in normal mode, active.
        Encoder::begin(buffer, b'L', stock as u16 + 1, at_ns)
            .bytes(participant)
            .bytes(self.stocks[stock].symbol)
            .bytes(*b"YNA")
            .len()
    }

    fn stock_directory(&self, stock: usize, at_ns: u64, buffer: &mut Buffer) -> usize {
        // Market Q, financial status N, round lots of 100, odd lots allowed, common stock, live, no threshold, no IPO, price
        // band tier 1, no fund, no leverage, not inverse.
        Encoder::begin(buffer, b'R', stock as u16 + 1, at_ns)
            .bytes(self.stocks[stock].symbol)
            .bytes(*b"QN")
            .u32(100)
            .bytes(*b"NCZ PNN1N")
            .u32(0)
            .bytes(*b"N")
            .len()
    }

    fn trading_action(&self, stock: usize, at_ns: u64, buffer: &mut Buffer) -> usize {
        let Stock { symbol, halted, .. } = self.stocks[stock];
        let (state, reason) = if halted { (b'H', *b"LUDP") } else { (b'T', *b"    ") };
        Encoder::begin(buffer, b'H', stock as u16 + 1, at_ns)
            .bytes(symbol)
            .bytes([state, b' '])
            .bytes(reason)
            .len()
    }

    fn short_sale_restriction(&self, stock: usize, action: u8, at_ns: u64, buffer: &mut Buffer) -> usize {
        let symbol = self.stocks[stock].symbol;
        Encoder::begin(buffer, b'Y', stock as u16 + 1, at_ns).bytes(symbol).bytes([action]).len()
    }

    /// References rise, with holes.
    fn reference(&mut self, bits: u64) -> u64 {
        self.next_reference += 1 + (bits & 7);
        self.next_reference
    }

    /// A price on one side of the stock's middle, which is let walk.
    fn price(&mut self, dice: &mut Dice, stock: usize, side: u8) -> u32 {
        let middle = &mut self.stocks[stock].middle;
        let bits = dice.bits();
        match bits & 15 {
            0 => *middle = (*middle + TICK).min(PRICE_MAX),
            1 => *middle = (*middle - TICK).max(PRICE_MIN),
            _ => {}
        }
        let near = 1 + dice.geometric(12);
        let far = if bits & 0x70 == 0 { (bits >> 32) as u32 % DEPTH_TICKS_MAX } else { 0 };
        let away = (near + far) * TICK;
        if side == b'B' { *middle - away } else { *middle + away }
    }

    /// The place of a live order: a young one seven times out of eight.
    fn pick(&self, dice: &mut Dice) -> usize {
        let live = self.live.len() as u64;
        if dice.bits() & 7 == 0 {
            dice.below(live) as usize
        } else {
            (live - 1 - dice.below(live.min(YOUNG_ORDERS))) as usize
        }
    }

    /// The place of a live order: of four, the one nearest to its stock's middle, or furthest beyond it.
    fn pick_near(&self, dice: &mut Dice) -> usize {
        let distance = |at: &usize| {
            let order = &self.live[*at];
            let middle = i64::from(self.stocks[usize::from(order.stock)].middle);
            let below = middle - i64::from(order.price);
            if order.side == b'B' { below } else { -below }
        };
        let picks: [usize; 4] = std::array::from_fn(|_| self.pick(dice));
        picks.into_iter().min_by_key(distance).expect("there are four")
    }

    fn take(&mut self, at: usize, shares: u32) {
        let order = &mut self.live[at];
        order.shares -= shares;
        if order.shares == 0 {
            self.live.swap_remove(at);
        }
    }
}

/// Round lots mostly, odd lots a quarter of the time.
fn shares(bits: u64) -> u32 {
    let amount = (bits >> 8) as u32;
    match bits & 3 {
        0 => 1 + amount % 99,
        1 | 2 => 100,
        _ => 100 * (1 + amount % 10),
    }
}
