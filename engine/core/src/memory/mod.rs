//! Lock-free structures over shared words.
