//! Holds the tables of an ITCH 5.0 feed against the plain count of it.
use super::Place;
use super::model::Orders;
use gds_client::Reader;
use gds_wire::query::Key;

/// The table of orders.
pub const ORDERS: u16 = 100;
/// The table of stocks.
pub const STOCKS: u16 = 101;
/// Keys of one question.
const KEYS: usize = 200;

/// Reads the records of these order references.
fn read(reader: &mut Reader, references: &[u64]) -> Vec<Option<Vec<u8>>> {
    let keys: Vec<[u8; 8]> = references.iter().map(|reference| reference.to_be_bytes()).collect();
    let mut values = Vec::new();
    for keys in keys.chunks(KEYS) {
        let keys: Vec<Key<'_>> = keys.iter().map(|key| Key { table: ORDERS, key }).collect();
        let records = reader.get_all(&keys, 0, 0).unwrap_or_else(|error| panic!("{error}"));
        values.extend(records.into_iter().map(|record| record.map(|record| record.value)));
    }
    values
}

/// The node has each live order and each stock of the model, and none of the dead ones. Returns how many records that are.
pub fn check(place: &Place, model: &Orders) -> u64 {
    let mut reader = place.reader();
    let live: Vec<u64> = model.live.keys().copied().collect();
    for (reference, value) in live.iter().zip(read(&mut reader, &live)) {
        let value = value.unwrap_or_else(|| panic!("order {reference} is live and not there"));
        let order = &model.live[reference];
        let mut wanted = order.stock.to_vec();
        wanted.extend([order.side, 0]);
        wanted.extend(order.locate.to_be_bytes());
        wanted.extend(order.shares.to_be_bytes());
        wanted.extend(order.price.to_be_bytes());
        assert_eq!(value[..20], wanted, "order {reference}: {order:?}");
    }
    let is_dead = |reference: &u64| !model.live.contains_key(reference);
    let dead: Vec<u64> = model.dead.iter().copied().filter(is_dead).collect();
    for (reference, value) in dead.iter().zip(read(&mut reader, &dead)) {
        assert_eq!(value, None, "order {reference} is dead");
    }
    for (stock, message) in &model.stocks {
        let record = reader.get(STOCKS, stock, 0, 0).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(record.expect("the stock is there").value, *message);
    }
    reader.close();
    (model.live.len() + model.stocks.len()) as u64
}

/// Deleted records count until the horizon has passed them. Where that is one message: moves it past everything before.
pub fn pass_horizon(place: &Place) {
    for absent in ["absent 1", "absent 2"] {
        place.gds(&["delete", "records", absent]);
    }
}
