//! The store against plain models, and the rules one by one.
mod capture;
pub(crate) mod feeds;
mod model;
mod random;
mod rules;
pub(crate) mod stream;
mod threads;
