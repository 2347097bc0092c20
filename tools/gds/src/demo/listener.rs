//! The demo's independent listener: hears the stream by multicast, fills gaps, and keeps a store of its own.
use gds_client::{Listener, ListenerConfig, Network};
use gds_core::bus::ReceiverCounters;
use gds_core::store::{Store, StoreCapacity, StoreConfig, StoreMemory};
use gds_feed::orders::LiveOrder;
use gds_node::config::Config;
use gds_node::settings;
use gds_wire::envelope::max_block_bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A checksum over messages and their numbers, in their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    value: u64,
    count: u64,
}

impl Chain {
    /// The next message.
    pub fn add(&mut self, sequence: u64, message: &[u8]) {
        let link = u64::from(gds_wire::checksum(message)) ^ (sequence << 32);
        self.value = (self.value.rotate_left(7) ^ link).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.count += 1;
    }
}

/// What the listener has to tell at the end.
pub struct Heard {
    /// The last message.
    pub last: u64,
    /// All messages, in order.
    pub chain: Chain,
    /// Digest of the store it kept.
    pub store_digest: u128,
    /// What it counted.
    pub counters: Arc<ReceiverCounters>,
}

/// The listener in its thread.
pub struct Follower {
    thread: JoinHandle<Option<Heard>>,
    stop: Arc<AtomicBool>,
}

impl Follower {
    /// Joins the downstream group. `heard` shows how far it is.
    pub fn start(network: &Network, config: &Config, heard: Arc<AtomicU64>) -> Result<Self, String> {
        let mut listener =
            Listener::open(network, ListenerConfig::bus(network)).map_err(|error| error.to_string())?;
        let store_config = StoreConfig { block_bytes_max: max_block_bytes(config.network.max_payload_bytes) };
        let capacity = StoreCapacity::for_declaration(&settings::declaration(config), &store_config);
        let mut store = Store::new(store_config, StoreMemory::heap(&capacity));
        let stop = Arc::<AtomicBool>::default();
        let stopped = stop.clone();
        let follow = move || {
            let mut chain = Chain::default();
            while !listener.ended() {
                let taken = listener.poll(&mut |sequence, message| {
                    chain.add(sequence, message);
                    store.apply(sequence, message);
                });
                if taken == 0 {
                    if stopped.load(Ordering::Acquire) {
                        return None;
                    }
                    heard.store(store.applied(), Ordering::Relaxed);
                    std::thread::yield_now();
                }
            }
            Some(Heard {
                last: store.applied(),
                chain,
                store_digest: store.digest(),
                counters: listener.counters().clone(),
            })
        };
        let thread = std::thread::Builder::new()
            .name("listener".into())
            .spawn(follow)
            .map_err(|error| error.to_string())?;
        Ok(Self { thread, stop })
    }

    /// Waits until it has heard the end of the stream.
    pub fn finish(self, patience: Duration) -> Result<Heard, String> {
        let deadline = Instant::now() + patience;
        while !self.thread.is_finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.stop.store(true, Ordering::Release);
        match self.thread.join() {
            Ok(Some(heard)) => Ok(heard),
            Ok(None) => Err(format!(
                "the listener did not hear the end of the stream within {} s",
                patience.as_secs()
            )),
            Err(_) => Err("the listener's thread panicked".into()),
        }
    }
}

/// Whether a record of the orders table is this order.
pub fn is_order(value: &[u8], order: &LiveOrder) -> bool {
    let number =
        |at: usize| value.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
    value.len() == 24
        && value[..8] == order.stock
        && value[8] == order.side
        && number(12) == Some(order.shares)
        && number(16) == Some(order.price)
}
