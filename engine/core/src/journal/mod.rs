//! The journal: the older part of a stream, on disk.
