//! Counters: what happened, how often, and what that means.
//!
//! Each component declares its own set beside its code with [`counter_set!`](crate::counter_set); whoever owns the node
//! collects the sets and shows them. Reaching a bound, dropping a packet, refusing a transaction: each has a counter here.
use std::sync::atomic::{AtomicU64, Ordering};

/// One counter with one writer and any number of readers.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `amount`. A plain load and store: there is one writer, so no locked instruction is needed.
    pub fn add(&self, amount: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
    }

    /// Adds one.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Sets a level (a number of open things, a high-water mark).
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The value now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A set of counters that can be listed.
pub trait CounterSet: Send + Sync {
    /// Calls `visit(name, help, value)` for each counter, in declaration order.
    fn for_each(&self, visit: &mut dyn FnMut(&'static str, &'static str, u64));
}

/// Declares a struct of [`Counter`]s whose doc comments are also their help texts.
#[macro_export]
macro_rules! counter_set {
    ($(#[$meta:meta])* pub struct $name:ident { $(#[doc = $help:literal] $field:ident,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Default)]
        pub struct $name { $(#[doc = $help] pub $field: $crate::counters::Counter,)+ }

        impl $crate::counters::CounterSet for $name {
            fn for_each(&self, visit: &mut dyn FnMut(&'static str, &'static str, u64)) {
                $(visit(stringify!($field), $help.trim(), self.$field.get());)+
            }
        }
    };
}
