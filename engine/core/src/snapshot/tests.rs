//! Snapshots of stores that go on, torn and mutated ones, and those given up.
use super::{GivenUp, OpenSnapshot, Snapshot, SnapshotWriter, Writing, survey};
use crate::journal::memory_disk::MemoryDisk;
use crate::store::{Store, StoreImage};
use gds_wire::session::Session;

mod arrival;
mod damage;
mod whole;

pub const STREAM: Session = Session(*b"1700000000");
/// Segments of two chunks.
pub const SEGMENT_BYTES: u64 = 2 * super::CHUNK_BYTES as u64;

/// Takes one snapshot after the other, step by step.
pub struct Camera {
    pub disk: MemoryDisk,
    pub writer: SnapshotWriter,
    /// When nobody is at it.
    image: Option<Box<StoreImage>>,
    imaging: Option<Box<StoreImage>>,
    digest: u128,
    writing: bool,
    /// Why the last one was given up.
    pub given_up: Option<GivenUp>,
}

impl Camera {
    pub fn new(store: &Store) -> Self {
        Self {
            disk: MemoryDisk::new(),
            writer: SnapshotWriter::new(STREAM, SEGMENT_BYTES, store.version_walk()),
            image: Some(Box::default()),
            imaging: None,
            digest: 0,
            writing: false,
            given_up: None,
        }
    }

    /// Does a slice of what is next: a snapshot that is whole now, and the digest that the store had then.
    pub fn step(&mut self, store: &mut Store) -> Option<(Snapshot, u128)> {
        if let Some(mut image) = self.image.take() {
            image.clear(store.image_room());
            if store.begin_image(&mut image).is_err() {
                self.image = Some(image);
                return None;
            }
            self.digest = store.digest();
            self.imaging = Some(image);
        } else if let Some(mut image) = self.imaging.take() {
            if store.go_on_with_image(&mut image) {
                let next = self.segments().last().map_or(1, |last| last + 1);
                self.writer.begin(image, next);
                self.writing = true;
            } else {
                self.imaging = Some(image);
            }
        } else {
            match self.writer.duty(&mut self.disk, true) {
                Writing::Going(_) => {}
                Writing::Taken(snapshot, image) => {
                    (self.image, self.writing) = (Some(image), false);
                    return Some((snapshot, self.digest));
                }
                Writing::Over(why, segments, image) => {
                    (self.image, self.writing, self.given_up) = (Some(image), false, Some(why));
                    segments.for_each(|segment| crate::disk::Disk::remove(&mut self.disk, segment).unwrap());
                }
            }
        }
        None
    }

    /// Takes one while nothing else happens.
    pub fn take(&mut self, store: &mut Store) -> Snapshot {
        loop {
            if let Some((snapshot, digest)) = self.step(store) {
                assert_eq!((snapshot.sequence, digest), (store.applied(), store.digest()));
                return snapshot;
            }
            assert_eq!(self.given_up, None);
        }
    }

    fn segments(&mut self) -> Vec<u64> {
        crate::disk::Disk::segments(&mut self.disk).unwrap()
    }
}
