//! Nasdaq TotalView-ITCH 5.0: the messages the store understands, and the sizes of all others.
//!
//! Every message begins with the same eleven bytes. Text is padded right with spaces; prices have four decimals; a timestamp is
//! nanoseconds since midnight. Section numbers are those of the published document, "Nasdaq TotalView-ITCH 5.0".
//!
//! ```text
//!  0      1        3          5                    11
//! +------+--------+----------+--------------------+-----
//! | type | locate | tracking | timestamp ns (48)  | body
//! +------+--------+----------+--------------------+-----
//! ```
use std::fmt;

use zerocopy::network_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes every message begins with.
pub const PREFIX_BYTES: usize = 11;
/// Decimal units of one currency unit in a price of four decimals.
pub const PRICE_SCALE: u32 = 10_000;

/// Six bytes: nanoseconds since midnight.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(transparent)]
pub struct Timestamp([u8; 6]);

impl Timestamp {
    /// The lowest 48 bits of `ns`.
    pub fn new(ns: u64) -> Self {
        let [_, _, bytes @ ..] = ns.to_be_bytes();
        Self(bytes)
    }

    /// Nanoseconds since midnight.
    pub fn ns(self) -> u64 {
        let [a, b, c, d, e, f] = self.0;
        u64::from_be_bytes([0, 0, a, b, c, d, e, f])
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ns", self.ns())
    }
}

macro_rules! message {
    ($(#[$meta:meta])* $name:ident, $bytes:literal { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
        #[repr(C)]
        pub struct $name { $($(#[$field_meta])* pub $field: $type,)* }

        const _: () = assert!(size_of::<$name>() == $bytes);
    };
}

message! {
    /// What every message begins with.
    Prefix, 11 {
        /// The type byte.
        kind: u8,
        /// The stock's number, today.
        locate: U16,
        /// Nasdaq's own.
        tracking: U16,
        /// When.
        timestamp: Timestamp,
    }
}

message! {
    /// `S`, section 1.1: something happened to the whole system.
    ///
    /// ```text
    ///  0         11     12
    /// +---------+------+
    /// | prefix  | event|
    /// +---------+------+
    /// ```
    SystemEvent, 12 {
        /// What every message begins with.
        prefix: Prefix,
        /// `O` start of messages, `S` of system hours, `Q` of market hours, `M` end of market hours, `E` of system hours, `C` of messages.
        event: u8,
    }
}

message! {
    /// `R`, section 1.2.1: a stock that can be traded today.
    ///
    /// ```text
    ///  0       11      19        20      21         25    26     27        29     30
    /// +-------+-------+---------+-------+----------+-----+------+---------+------+--
    /// | prefix| stock | category| status| round lot| only| class| sub-type| auth.|
    /// +-------+-------+---------+-------+----------+-----+------+---------+------+--
    ///   30          31    32     33    34             38       39
    /// --+----------+-----+------+-----+--------------+---------+
    ///   | threshold| IPO | LULD | ETP | ETP leverage | inverse |
    /// --+----------+-----+------+-----+--------------+---------+
    /// ```
    StockDirectory, 39 {
        /// What every message begins with.
        prefix: Prefix,
        /// The stock's symbol.
        stock: [u8; 8],
        /// Where it is listed.
        market_category: u8,
        /// Its issuer's standing.
        financial_status: u8,
        /// Shares of one round lot.
        round_lot: U32,
        /// `Y` when only round lots are accepted.
        round_lots_only: u8,
        /// Kind of security.
        classification: u8,
        /// Kind of security, finer.
        sub_type: [u8; 2],
        /// `P` live, `T` test.
        authenticity: u8,
        /// Under the short sale threshold rule.
        short_sale_threshold: u8,
        /// Set up for an IPO.
        ipo: u8,
        /// Limit up, limit down tier.
        luld_tier: u8,
        /// An exchange traded product.
        etp: u8,
        /// Its leverage.
        etp_leverage: U32,
        /// An inverse one.
        inverse: u8,
    }
}

message! {
    /// `A`, section 1.3.1: a new order.
    ///
    /// ```text
    ///  0       11          19    20       24      32      36
    /// +-------+-----------+-----+--------+-------+-------+
    /// | prefix| reference | side| shares | stock | price |
    /// +-------+-----------+-----+--------+-------+-------+
    /// ```
    AddOrder, 36 {
        /// What every message begins with.
        prefix: Prefix,
        /// The order's number, unique today.
        reference: U64,
        /// `B` buy, `S` sell.
        side: u8,
        /// Shares.
        shares: U32,
        /// The stock's symbol.
        stock: [u8; 8],
        /// Price, four decimals.
        price: U32,
    }
}

message! {
    /// `F`, section 1.3.2: a new order of a named participant.
    ///
    /// ```text
    ///  0                                                36            40
    /// +------------------------------------------------+-------------+
    /// | as an `A`                                      | attribution |
    /// +------------------------------------------------+-------------+
    /// ```
    AddOrderMpid, 40 {
        /// What an `A` has; its type is `F`.
        order: AddOrder,
        /// The participant.
        attribution: [u8; 4],
    }
}

message! {
    /// `E`, section 1.4.1: an order was executed, in part or whole, at its price.
    ///
    /// ```text
    ///  0       11          19       23             31
    /// +-------+-----------+--------+--------------+
    /// | prefix| reference | shares | match number |
    /// +-------+-----------+--------+--------------+
    /// ```
    Executed, 31 {
        /// What every message begins with.
        prefix: Prefix,
        /// The order.
        reference: U64,
        /// Shares executed.
        shares: U32,
        /// The execution's number.
        match_number: U64,
    }
}

message! {
    /// `C`, section 1.4.2: an order was executed at another price.
    ///
    /// ```text
    ///  0                                     31          32      36
    /// +-------------------------------------+-----------+-------+
    /// | as an `E`                           | printable | price |
    /// +-------------------------------------+-----------+-------+
    /// ```
    ExecutedWithPrice, 36 {
        /// What an `E` has; its type is `C`.
        executed: Executed,
        /// `Y` when it counts as a trade of its own.
        printable: u8,
        /// Price, four decimals.
        price: U32,
    }
}

message! {
    /// `X`, section 1.4.3: shares of an order were cancelled.
    ///
    /// ```text
    ///  0       11          19       23
    /// +-------+-----------+--------+
    /// | prefix| reference | shares |
    /// +-------+-----------+--------+
    /// ```
    Cancel, 23 {
        /// What every message begins with.
        prefix: Prefix,
        /// The order.
        reference: U64,
        /// Shares cancelled.
        shares: U32,
    }
}

message! {
    /// `D`, section 1.4.4: an order is gone.
    ///
    /// ```text
    ///  0       11          19
    /// +-------+-----------+
    /// | prefix| reference |
    /// +-------+-----------+
    /// ```
    Delete, 19 {
        /// What every message begins with.
        prefix: Prefix,
        /// The order.
        reference: U64,
    }
}

message! {
    /// `U`, section 1.4.5: an order is gone and another is in its place, of the same side, stock and attribution.
    ///
    /// ```text
    ///  0       11              19              27       31      35
    /// +-------+---------------+---------------+--------+-------+
    /// | prefix| old reference | new reference | shares | price |
    /// +-------+---------------+---------------+--------+-------+
    /// ```
    Replace, 35 {
        /// What every message begins with.
        prefix: Prefix,
        /// The order that is gone.
        old_reference: U64,
        /// The order in its place.
        new_reference: U64,
        /// Its shares.
        shares: U32,
        /// Its price, four decimals.
        price: U32,
    }
}

/// Bytes of a message of this type; `None` when ITCH 5.0 has no such type.
pub const fn size_of_type(kind: u8) -> Option<usize> {
    Some(match kind {
        b'S' => 12,
        b'R' => 39,
        b'H' => 25,
        b'Y' => 20,
        b'L' => 26,
        b'V' => 35,
        b'W' => 12,
        b'K' => 28,
        b'J' => 35,
        b'h' => 21,
        b'A' | b'C' => 36,
        b'F' | b'Q' => 40,
        b'E' => 31,
        b'X' => 23,
        b'D' | b'B' => 19,
        b'U' => 35,
        b'P' => 44,
        b'I' => 50,
        b'N' => 20,
        b'O' => 48,
        _ => return None,
    })
}

/// One message, by reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// `S`
    SystemEvent(&'a SystemEvent),
    /// `R`
    StockDirectory(&'a StockDirectory),
    /// `A`
    AddOrder(&'a AddOrder),
    /// `F`
    AddOrderMpid(&'a AddOrderMpid),
    /// `E`
    Executed(&'a Executed),
    /// `C`
    ExecutedWithPrice(&'a ExecutedWithPrice),
    /// `X`
    Cancel(&'a Cancel),
    /// `D`
    Delete(&'a Delete),
    /// `U`
    Replace(&'a Replace),
    /// Any other type, of its right size.
    Other {
        /// The type byte.
        kind: u8,
        /// The whole message.
        bytes: &'a [u8],
    },
}

/// Why bytes are no ITCH 5.0 message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItchError {
    /// There are none.
    Empty,
    /// No such type.
    UnknownType(u8),
    /// Not the size of its type.
    Size {
        /// The type byte.
        kind: u8,
        /// Bytes there are.
        length: usize,
        /// Bytes there should be.
        expected: usize,
    },
}

impl fmt::Display for ItchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Empty => f.write_str("an ITCH 5.0 message without a byte"),
            Self::UnknownType(kind) => write!(f, "ITCH 5.0 has no message type 0x{kind:02x}"),
            Self::Size { kind, length, expected } => {
                let kind = char::from(kind);
                write!(f, "an ITCH 5.0 message of type {kind} has {expected} bytes; this one has {length}")
            }
        }
    }
}

impl std::error::Error for ItchError {}

/// Reads one message.
pub fn parse(bytes: &[u8]) -> Result<Message<'_>, ItchError> {
    let kind = *bytes.first().ok_or(ItchError::Empty)?;
    let expected = size_of_type(kind).ok_or(ItchError::UnknownType(kind))?;
    let message = match kind {
        b'S' => SystemEvent::ref_from_bytes(bytes).ok().map(Message::SystemEvent),
        b'R' => StockDirectory::ref_from_bytes(bytes).ok().map(Message::StockDirectory),
        b'A' => AddOrder::ref_from_bytes(bytes).ok().map(Message::AddOrder),
        b'F' => AddOrderMpid::ref_from_bytes(bytes).ok().map(Message::AddOrderMpid),
        b'E' => Executed::ref_from_bytes(bytes).ok().map(Message::Executed),
        b'C' => ExecutedWithPrice::ref_from_bytes(bytes).ok().map(Message::ExecutedWithPrice),
        b'X' => Cancel::ref_from_bytes(bytes).ok().map(Message::Cancel),
        b'D' => Delete::ref_from_bytes(bytes).ok().map(Message::Delete),
        b'U' => Replace::ref_from_bytes(bytes).ok().map(Message::Replace),
        _ => (bytes.len() == expected).then_some(Message::Other { kind, bytes }),
    };
    message.ok_or(ItchError::Size { kind, length: bytes.len(), expected })
}

impl<'a> Message<'a> {
    /// What every message begins with.
    pub fn prefix(&self) -> &'a Prefix {
        match *self {
            Self::SystemEvent(message) => &message.prefix,
            Self::StockDirectory(message) => &message.prefix,
            Self::AddOrder(message) => &message.prefix,
            Self::AddOrderMpid(message) => &message.order.prefix,
            Self::Executed(message) => &message.prefix,
            Self::ExecutedWithPrice(message) => &message.executed.prefix,
            Self::Cancel(message) => &message.prefix,
            Self::Delete(message) => &message.prefix,
            Self::Replace(message) => &message.prefix,
            Self::Other { bytes, .. } => {
                Prefix::ref_from_prefix(bytes).expect("every type is longer than the prefix").0
            }
        }
    }
}

#[cfg(test)]
mod tests;
