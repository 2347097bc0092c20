//! A GDS node: the engine's agents on cores, over real packets and files.
//!
//! | module | holds |
//! | --- | --- |
//! | [`config`], [`check`], [`load`] | what a person writes, what must hold of it, and how it is read |
//! | [`settings`] | the same in the terms of the engine and of `nic` |
//! | [`surroundings`] | directories, memory and time of this machine |
//! | [`identity`], [`rings`] | which directory it is, and by that its files in memory |
//! | [`ring_watch`] | a ring file that is lost while the node runs |
//! | [`life`] | the file in which a member of a cluster keeps which life it lives |
//! | [`cluster`] | a member's way into its cluster |
//! | [`label`] | the file that says how the journals beside it were written |
//! | [`learning`] | snapshots from one node to another |
//! | [`step`] | what a start does that takes long, and how it is told to stop |
//! | [`standing`] | how a member stands in it, from what it counts |
//! | [`holding`] | which rewinders hold up its journal segments, from what it counts |
//! | [`unreadable`] | which places of its journals cannot be read |
//! | [`force`] | making a node lead next that cannot know that it may |
//! | [`set_aside`] | moving a stopped node's log out of the way |
//! | [`control`] | the socket over which a person's commands reach a running node |
//! | [`ports`] | the engine's ports and disks over `nic` |
//! | [`crew`] | the threads, each with the agents of one core |
//! | [`node`] | all of it together |
//! | [`rewind`] | a node that is a rewinder and nothing else |
#![forbid(unsafe_code)]
pub mod check;
pub mod clocks;
pub mod cluster;
pub mod config;
pub mod control;
pub mod crew;
pub mod force;
pub mod holding;
pub mod identity;
pub mod label;
pub mod learning;
pub mod life;
pub mod load;
pub mod node;
pub mod ports;
pub mod rewind;
pub mod ring_watch;
pub mod rings;
pub mod set_aside;
pub mod settings;
pub mod standing;
pub mod step;
pub mod surroundings;
pub mod unreadable;
