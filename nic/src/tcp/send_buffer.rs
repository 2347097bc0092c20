//! Bytes that wait to be sent: a ring of fixed size.
use std::io::{self, IoSlice, Write};

/// A first-in first-out of bytes that never grows.
pub(super) struct SendBuffer {
    bytes: Box<[u8]>,
    start: usize,
    length: usize,
}

impl SendBuffer {
    pub(super) fn new(capacity: usize) -> Self {
        // Zeroed memory of this size comes from the kernel untouched: it takes up room only once written to.
        Self { bytes: vec![0; capacity].into_boxed_slice(), start: 0, length: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub(super) fn len(&self) -> usize {
        self.length
    }

    pub(super) fn clear(&mut self) {
        (self.start, self.length) = (0, 0);
    }

    /// Takes as much of the front of `bytes` as fits; returns how much.
    pub(super) fn push(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.bytes.len() - self.length);
        if taken == 0 {
            return 0;
        }
        let end = (self.start + self.length) % self.bytes.len();
        let first = taken.min(self.bytes.len() - end);
        self.bytes[end..end + first].copy_from_slice(&bytes[..first]);
        self.bytes[..taken - first].copy_from_slice(&bytes[first..taken]);
        self.length += taken;
        taken
    }

    /// Writes as much as `out` takes without waiting; what it took is gone from here.
    pub(super) fn drain(&mut self, mut out: impl Write) -> io::Result<()> {
        while self.length > 0 {
            let first = self.length.min(self.bytes.len() - self.start);
            let front = IoSlice::new(&self.bytes[self.start..self.start + first]);
            let back = IoSlice::new(&self.bytes[..self.length - first]);
            match out.write_vectored(&[front, back]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) => {
                    self.start = (self.start + sent) % self.bytes.len();
                    self.length -= sent;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.start = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes, then would block.
    struct Sink(Vec<u8>, usize);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.1);
            if taken == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.1 -= taken;
            self.0.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn should_hand_on_bytes_in_order_around_its_end() {
        let mut buffer = SendBuffer::new(10);
        let mut sink = Sink(Vec::new(), 0);
        let mut next = 0u8;
        for round in 0..50 {
            let bytes: Vec<u8> = (next..next + 4).collect();
            next = next.wrapping_add(buffer.push(&bytes) as u8);
            sink.1 = round % 6;
            buffer.drain(&mut sink).unwrap();
        }
        sink.1 = 100;
        buffer.drain(&mut sink).unwrap();
        assert!(buffer.is_empty());
        assert_eq!(sink.0, (0..next).collect::<Vec<u8>>());
    }

    #[test]
    fn should_take_no_more_than_fits() {
        let mut buffer = SendBuffer::new(10);
        assert_eq!(buffer.push(&[1; 7]), 7);
        assert_eq!(buffer.push(&[2; 7]), 3);
        assert_eq!(buffer.push(&[3; 7]), 0);
        assert_eq!(SendBuffer::new(0).push(&[1]), 0);
    }
}
