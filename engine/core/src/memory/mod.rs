//! Lock-free structures over shared words: one writer each, any number of readers that never block it.
//!
//! | module | holds |
//! | --- | --- |
//! | [`words`] | memory as atomic words: the trait that hugepages, shared files and the heap all meet |
//! | [`ring`] | the recent end of a stream; outlives the process when its words are a shared file |
//! | [`index`] | the hash table from key to newest record version |
//! | [`record_log`] | record versions in the order in which they were written |
//!
//! Every access that may race with the writer goes through an [`AtomicU64`](words::AtomicU64), so nothing
//! here is `unsafe`. A reader copies first and asks afterwards whether what it copied was still there; what
//! it got is then either whole or reported as gone, never torn. With `--cfg loom` the words are loom's, and
//! the modules named `models` explore the interleavings.
pub mod index;
pub mod record_log;
pub mod ring;
pub mod words;

pub use index::{Candidates, Index, IndexConfig, IndexFull, IndexWriter, Slot};
pub use record_log::{
    Fate, Reclaimed, RecordBuf, RecordHeader, RecordLog, RecordLogConfig, RecordLogWriter, RecordVersion,
    RecordView,
};
pub use ring::{Read, Ring, RingConfig, RingError, RingIdentity, RingReader, RingWriter};
pub use words::{HeapWords, SharedWords, Words};
