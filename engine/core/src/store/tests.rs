//! The store against plain models, and the rules one by one.
mod capture;
mod feeds;
mod model;
mod random;
mod rules;
mod stream;
mod threads;
