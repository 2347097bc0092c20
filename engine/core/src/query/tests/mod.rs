//! x
mod data;
mod network;
