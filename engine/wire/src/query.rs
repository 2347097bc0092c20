//! Queries: requests in Unsequenced Data packets, answers in Sequenced Data packets.
//!
//! A client draws a request id for each request; every answer to it carries that id. Answers to different requests may come in
//! any order; the last answer to a request is marked. What a request asks is in [`Query`], what an answer says in
//! [`AnswerBody`].
//!
//! | request | asks for | answered by |
//! | --- | --- | --- |
//! | `G` get | a record, newest or as of a sequence number | one `g` |
//! | `M` multi-get | several records, all as of one sequence number | one `g` each, in the order asked |
//! | `R` range | bus messages by sequence number | `m` ..., then `e` |
//! | `W` watch | bus messages from a sequence number on, without end | `m` ..., and `e` when cancelled |
//! | `C` cancel | the end of the range or watch with this request id | that one's `e` |
//! | `S` status | where the node stands | one `s` |
//! | `H` checksum | the running checksum of the stream up to a sequence number | one `h` |
//!
//! Any of them may be answered by `x`, an error, which is then the last answer.
mod answer;
mod request;
mod status;

pub use answer::{
    ANSWER_HEADER_BYTES, Answer, AnswerBody, AnswerError, BusMessages, CHECKSUM_ANSWER_BYTES, Checksum,
    ErrorCode, MessagesBuilder, Record, max_value_bytes,
};
pub use request::{
    Key, Keys, MultiGet, Query, QueryError, REQUEST_HEADER_BYTES, Request, encode_multi_get, request_id,
};
pub use status::{Counters, Status, encode_status};

/// Puts bytes into a buffer one after the other, as long as they fit.
struct Writer<'a> {
    into: &'a mut [u8],
    used: usize,
}

impl<'a> Writer<'a> {
    fn new(into: &'a mut [u8]) -> Self {
        Self { into, used: 0 }
    }

    fn put(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.used.checked_add(bytes.len())?;
        self.into.get_mut(self.used..end)?.copy_from_slice(bytes);
        self.used = end;
        Some(())
    }
}

#[cfg(test)]
mod tests;
