//! Nasdaq TotalView-ITCH 5.0: a feed as two tables, the live orders and the stock directory.
//!
//! The first table of the schema's declaration holds the orders. Key: the order reference number, 8 bytes
//! big-endian. Value, 24 bytes ([`Order`]):
//!
//! ```text
//!  0          8      9          10       12       16      20            24
//! +----------+------+----------+--------+--------+-------+-------------+
//! | stock    | side | 0        | locate | shares | price | attribution |
//! +----------+------+----------+--------+--------+-------+-------------+
//! ```
//!
//! The next table holds the stocks. Key: the stock's 8 characters. Value: its newest Stock Directory message,
//! all 39 bytes.
//!
//! | message | what it does |
//! | --- | --- |
//! | `S` event `O` | both tables are empty from here on: references are used anew each day |
//! | `R` | puts the stock |
//! | `A`, `F` | inserts the order; attribution is four spaces without `F` |
//! | `E`, `C`, `X` | takes shares off; the order goes with its last share |
//! | `D` | deletes the order |
//! | `U` | deletes the old order, inserts the new one with its stock, side, locate and attribution |
//! | others of a known size | nothing |
use super::execution::Execution;
use super::records::Found;
use gds_wire::acknowledgement::Outcome;
use gds_wire::itch::{AddOrder, Message, Replace};
use zerocopy::network_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// System event code that begins a day.
const START_OF_MESSAGES: u8 = b'O';
/// The attribution of an order that names none.
const NO_ATTRIBUTION: [u8; 4] = *b"    ";

/// Bytes of an order's value.
pub const ORDER_BYTES: usize = 24;

/// Value of a record in the table of orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Order {
    /// The stock's symbol, padded right with spaces.
    pub stock: [u8; 8],
    /// `B` or `S`, as the feed says.
    pub side: u8,
    reserved: u8,
    /// The stock's locate code of the day.
    pub locate: U16,
    /// Shares left.
    pub shares: U32,
    /// Price in 1/10,000.
    pub price: U32,
    /// Market participant, four spaces when not given.
    pub attribution: [u8; 4],
}

const _: () = assert!(size_of::<Order>() == ORDER_BYTES);

/// Executes one message of a feed whose orders are in `orders` and whose stocks are in the table after it.
pub(super) fn execute(message: &Message<'_>, orders: u16, execution: &mut Execution<'_>) -> Outcome {
    execute_message(message, orders, execution).unwrap_or_else(|outcome| outcome)
}

/// The records that [`execute`] looks up.
pub(super) fn keys(message: &Message<'_>, orders: u16, key: &mut impl FnMut(u16, &[u8])) {
    match message {
        Message::SystemEvent(_) | Message::Other { .. } => {}
        Message::StockDirectory(directory) => key(orders + 1, &directory.stock),
        Message::AddOrder(add) => key(orders, add.reference.as_bytes()),
        Message::AddOrderMpid(add) => key(orders, add.order.reference.as_bytes()),
        Message::Executed(executed) => key(orders, executed.reference.as_bytes()),
        Message::ExecutedWithPrice(priced) => key(orders, priced.executed.reference.as_bytes()),
        Message::Cancel(cancel) => key(orders, cancel.reference.as_bytes()),
        Message::Delete(delete) => key(orders, delete.reference.as_bytes()),
        Message::Replace(replaced) => {
            key(orders, replaced.old_reference.as_bytes());
            key(orders, replaced.new_reference.as_bytes());
        }
    }
}

fn execute_message(
    message: &Message<'_>,
    orders: u16,
    execution: &mut Execution<'_>,
) -> Result<Outcome, Outcome> {
    let stocks = orders + 1;
    match message {
        Message::SystemEvent(event) if event.event == START_OF_MESSAGES => {
            execution.empty(&[orders, stocks])?
        }
        Message::SystemEvent(_) | Message::Other { .. } => return Ok(Outcome::NoOperation),
        Message::StockDirectory(directory) => {
            let found = execution.find(stocks, &directory.stock)?;
            execution.write(&found, &directory.stock, directory.as_bytes())?;
        }
        Message::AddOrder(add) => insert(add, NO_ATTRIBUTION, orders, execution)?,
        Message::AddOrderMpid(add) => insert(&add.order, add.attribution, orders, execution)?,
        Message::Executed(executed) => reduce(executed.reference, executed.shares, orders, execution)?,
        Message::ExecutedWithPrice(priced) => {
            reduce(priced.executed.reference, priced.executed.shares, orders, execution)?;
        }
        Message::Cancel(cancel) => reduce(cancel.reference, cancel.shares, orders, execution)?,
        Message::Delete(delete) => {
            let key = delete.reference.to_bytes();
            let (found, _) = live_order(&key, orders, execution)?;
            execution.delete(&found, &key);
        }
        Message::Replace(replaced) => replace(replaced, orders, execution)?,
    }
    Ok(Outcome::Applied)
}

fn insert(
    add: &AddOrder,
    attribution: [u8; 4],
    orders: u16,
    execution: &mut Execution<'_>,
) -> Result<(), Outcome> {
    let key = add.reference.to_bytes();
    let found = execution.find(orders, &key)?;
    if found.version().is_some() {
        return Err(Outcome::OrderExists);
    }
    let order = Order {
        stock: add.stock,
        side: add.side,
        reserved: 0,
        locate: add.prefix.locate,
        shares: add.shares,
        price: add.price,
        attribution,
    };
    execution.write(&found, &key, order.as_bytes())
}

/// Takes shares off an order.
fn reduce(reference: U64, shares: U32, orders: u16, execution: &mut Execution<'_>) -> Result<(), Outcome> {
    let key = reference.to_bytes();
    let (found, mut order) = live_order(&key, orders, execution)?;
    let left = order.shares.get().checked_sub(shares.get()).ok_or(Outcome::QuantityExceeded)?;
    if left == 0 {
        execution.delete(&found, &key);
        return Ok(());
    }
    order.shares = left.into();
    execution.write(&found, &key, order.as_bytes())
}

fn replace(message: &Replace, orders: u16, execution: &mut Execution<'_>) -> Result<(), Outcome> {
    let (old_key, new_key) = (message.old_reference.to_bytes(), message.new_reference.to_bytes());
    let (old, order) = live_order(&old_key, orders, execution)?;
    let new = execution.find(orders, &new_key)?;
    if new.version().is_some() {
        return Err(Outcome::OrderExists);
    }
    execution.delete(&old, &old_key);
    let order = Order { shares: message.shares, price: message.price, ..order };
    execution.write(&new, &new_key, order.as_bytes())
}

/// A live order. What somebody's own transaction put into the table without being an order counts as none.
fn live_order(key: &[u8], orders: u16, execution: &mut Execution<'_>) -> Result<(Found, Order), Outcome> {
    let found = execution.find(orders, key)?;
    if found.version().is_none() {
        return Err(Outcome::UnknownOrder);
    }
    let order = Order::read_from_bytes(execution.value(&found)).map_err(|_| Outcome::UnknownOrder)?;
    Ok((found, order))
}
