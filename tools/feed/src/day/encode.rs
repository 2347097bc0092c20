//! ITCH 5.0 messages, written field after field.
//!
//! Every message begins with type, stock locate, tracking number and a timestamp of 48 bits; [`Encoder::begin`] writes those.
use super::MESSAGE_BYTES_MAX;

/// Writes one message into a buffer, from the front.
pub(super) struct Encoder<'a> {
    buffer: &'a mut [u8; MESSAGE_BYTES_MAX],
    used: usize,
}

impl<'a> Encoder<'a> {
    pub fn begin(buffer: &'a mut [u8; MESSAGE_BYTES_MAX], kind: u8, locate: u16, timestamp_ns: u64) -> Self {
        let mut encoder = Self { buffer, used: 0 };
        encoder.bytes([kind]).u16(locate).u16(0);
        let [_, _, timestamp @ ..] = timestamp_ns.to_be_bytes();
        encoder.bytes(timestamp);
        encoder
    }

    pub fn bytes<const N: usize>(&mut self, bytes: [u8; N]) -> &mut Self {
        self.buffer[self.used..self.used + N].copy_from_slice(&bytes);
        self.used += N;
        self
    }

    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.bytes(value.to_be_bytes())
    }

    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes(value.to_be_bytes())
    }

    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes(value.to_be_bytes())
    }

    /// The message's length.
    pub fn len(&self) -> usize {
        self.used
    }
}
