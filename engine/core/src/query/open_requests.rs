//! A client's requests that are not answered to the end, kept so that they can be sent again after a broken link.
//!
//! A request is sent in an Unsequenced Data packet, which may be lost with the connection; its answers are sequenced, and are
//! not. So after a resume a request is sent again unless an answer to it has arrived. If the first sending did arrive, the
//! server takes the second for a resend of an open range or watch, or answers twice; the client drops what is no longer open.
use gds_wire::query::{Answer, AnswerBody, Query, Request};
use std::collections::VecDeque;

/// The id of a request; never used twice by one client.
pub type RequestId = u64;

/// Ids carry the place in the table, so that an answer finds its request at once.
const PLACE_BITS: u32 = 16;

/// How to go on with a request in another session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Renewal {
    /// Ask again.
    Same,
    /// Ask from this number on.
    Range { next: u64, to: u64 },
    /// Watch from this number on; 0: from wherever the stream is.
    Watch { next: u64 },
}

#[derive(Debug)]
struct Place {
    id: Option<RequestId>,
    at_least: u64,
    payload: Vec<u8>,
    renewal: Renewal,
    answered: bool,
    cancelled: bool,
}

/// See the module.
#[derive(Debug)]
pub struct OpenRequests {
    places: Vec<Place>,
    free: Vec<usize>,
    /// To be sent: the request, or its cancel.
    queue: VecDeque<(RequestId, bool)>,
    drawn: u64,
}

impl OpenRequests {
    /// An empty table for this many requests.
    pub fn new(requests_max: usize) -> Self {
        assert!(requests_max <= 1 << PLACE_BITS, "more requests than an id can tell apart");
        let place = || Place {
            id: None,
            at_least: 0,
            payload: Vec::with_capacity(320),
            renewal: Renewal::Same,
            answered: false,
            cancelled: false,
        };
        Self {
            places: (0..requests_max).map(|_| place()).collect(),
            free: (0..requests_max).rev().collect(),
            queue: VecDeque::with_capacity(2 * requests_max),
            drawn: 0,
        }
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether this one is open.
    pub fn is_open(&self, id: RequestId) -> bool {
        self.place(id).is_some()
    }

    /// Opens a request: `encode(id, into)` writes it. `None` when too many are open or it does not fit `scratch`.
    pub fn open(
        &mut self,
        query: OpenQuery,
        at_least: u64,
        scratch: &mut [u8],
        encode: impl FnOnce(RequestId, &mut [u8]) -> Option<usize>,
    ) -> Option<RequestId> {
        let at = *self.free.last()?;
        let id = (self.drawn + 1) << PLACE_BITS | at as u64;
        let bytes = encode(id, scratch)?;
        self.free.pop();
        self.drawn += 1;
        let place = &mut self.places[at];
        place.payload.clear();
        place.payload.extend_from_slice(&scratch[..bytes]);
        place.renewal = match query {
            OpenQuery::Once => Renewal::Same,
            OpenQuery::Range { from, to } => Renewal::Range { next: from, to },
            OpenQuery::Watch { from } => Renewal::Watch { next: from },
        };
        (place.id, place.at_least, place.answered, place.cancelled) = (Some(id), at_least, false, false);
        self.queue.push_back((id, false));
        Some(id)
    }

    /// Asks for the end of an open request; false when there is no such one or that was done before.
    pub fn cancel(&mut self, id: RequestId) -> bool {
        match self.place_mut(id) {
            Some(place) if !place.cancelled => {
                place.cancelled = true;
                self.queue.push_back((id, true));
                true
            }
            _ => false,
        }
    }

    /// Takes note of an answer; false when its request is not open, so that it is a repetition. The last one frees the place.
    pub fn on_answer(&mut self, answer: &Answer<'_>) -> bool {
        let Some(place) = self.place_mut(answer.request_id) else { return false };
        place.answered = true;
        if let AnswerBody::Messages(messages) = &answer.body
            && let Renewal::Range { next, .. } | Renewal::Watch { next } = &mut place.renewal
        {
            // Whatever number a server says, it must not overflow.
            *next = answer.sequence.saturating_add(messages.count() as u64);
        }
        if answer.last {
            place.id = None;
            self.free.push((answer.request_id & ((1 << PLACE_BITS) - 1)) as usize);
        }
        true
    }

    /// The payload to send next, written into the front of `into`; how many bytes it took.
    pub fn next_payload(&mut self, into: &mut [u8]) -> Option<usize> {
        while let Some(&(id, cancel)) = self.queue.front() {
            let Some(place) = self.place(id) else {
                self.queue.pop_front();
                continue;
            };
            let bytes = if cancel {
                Request { request_id: id, at_least: 0, query: Query::Cancel }.encode(into)?
            } else {
                into.get_mut(..place.payload.len())?.copy_from_slice(&place.payload);
                place.payload.len()
            };
            self.queue.pop_front();
            return Some(bytes);
        }
        None
    }

    /// The session goes on after a break: what has no answer yet is sent again. Returns how many.
    pub fn resend(&mut self) -> u64 {
        self.requeue(|place| !place.answered)
    }

    /// Another session begins: everything open is asked again, ranges and watches from where they had come. Returns how many.
    pub fn renew(&mut self) -> u64 {
        for place in self.places.iter_mut().filter(|place| place.id.is_some()) {
            place.answered = false;
            let query = match place.renewal {
                Renewal::Range { next, to } if to == 0 || next <= to => Query::Range { from: next, to },
                // All of it has come but the end.
                Renewal::Range { next, .. } => Query::Range { from: next, to: next - 1 },
                Renewal::Watch { next } => Query::Watch { from: next },
                Renewal::Same => continue,
            };
            let request_id = place.id.expect("it is open");
            let bytes = place.payload.len();
            let request = Request { request_id, at_least: place.at_least, query };
            assert_eq!(
                request.encode(&mut place.payload),
                Some(bytes),
                "the same request has the same length"
            );
        }
        self.requeue(|_| true)
    }

    fn requeue(&mut self, again: impl Fn(&Place) -> bool) -> u64 {
        self.queue.clear();
        let mut open: Vec<&Place> = self.places.iter().filter(|place| place.id.is_some()).collect();
        open.sort_unstable_by_key(|place| place.id);
        let mut sent_again = 0;
        for place in open {
            let id = place.id.expect("it is open");
            if again(place) {
                self.queue.push_back((id, false));
                sent_again += 1;
            }
            if place.cancelled {
                self.queue.push_back((id, true));
            }
        }
        sent_again
    }

    fn place(&self, id: RequestId) -> Option<&Place> {
        let place = self.places.get((id & ((1 << PLACE_BITS) - 1)) as usize)?;
        (place.id == Some(id)).then_some(place)
    }

    fn place_mut(&mut self, id: RequestId) -> Option<&mut Place> {
        let place = self.places.get_mut((id & ((1 << PLACE_BITS) - 1)) as usize)?;
        (place.id == Some(id)).then_some(place)
    }
}

/// What kind of request is opened, as far as going on with it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenQuery {
    /// A get, multi-get or status.
    Once,
    /// A range.
    Range {
        /// The first number.
        from: u64,
        /// The last; 0: the newest.
        to: u64,
    },
    /// A watch.
    Watch {
        /// The first number; 0: the next.
        from: u64,
    },
}
