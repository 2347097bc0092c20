//! What the store counts for its operators.
crate::counter_set! {
    /// Counters of a store. None of them decides anything.
    pub struct StoreCounters {
        /// Bus messages applied.
        messages,
        /// Transactions that took effect.
        transactions,
        /// Messages that asked for something and were rejected.
        rejected,
        /// Of those: because the declared limit of records or bytes is reached.
        rejected_limit,
        /// Records that count against the declared limit now.
        records,
        /// Bytes that count against the declared limit now.
        bytes,
        /// Bytes of the record log in use now.
        log_used_bytes,
        /// Bytes of the record log given back at its tail.
        cleaned_bytes,
        /// Records copied from the log's tail to its head because they are still wanted.
        relocated,
        /// Times the log ran short of room while a snapshot held its tail, so that the snapshot was given up.
        holds_taken_back,
        /// Index entries of emptied tables removed.
        swept,
        /// Entries in the index's stash now; should be 0 or close to it.
        index_stashed,
    }
}
