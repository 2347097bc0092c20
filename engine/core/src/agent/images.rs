//! Images of the store: wanted by one agent, made by another.
//!
//! The image itself travels: empty from the one that wants it to the store's agent, full back again. Each way has one place, so neither
//! ever waits for the other, and nothing is allocated.
use crate::store::{ImageRoom, Store, StoreImage, VersionWalk};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// What came back.
pub(super) enum Made {
    /// The store as of a message.
    Image(Box<StoreImage>),
    /// Nothing: what the image must have room for now.
    Room(Box<StoreImage>, ImageRoom),
}

/// The end of whoever wants images.
pub struct ImagePort {
    wanted: SyncSender<Box<StoreImage>>,
    made: Receiver<Made>,
    room: ImageRoom,
    /// For the writer of what the images show.
    walk: VersionWalk,
}

/// [`ImagePort`] without what its owner needs elsewhere.
pub(super) struct ImageOrders {
    wanted: SyncSender<Box<StoreImage>>,
    made: Receiver<Made>,
}

impl ImagePort {
    pub(super) fn split(self) -> (ImageOrders, ImageRoom, VersionWalk) {
        (ImageOrders { wanted: self.wanted, made: self.made }, self.room, self.walk)
    }
}

impl ImageOrders {
    /// Asks for an image; `image` is cleared. Not before the last one has come back.
    pub fn ask(&self, image: Box<StoreImage>) {
        // The store's agent is gone only while the node stops: then no image comes.
        let _ = self.wanted.try_send(image);
    }

    pub fn take(&self) -> Option<Made> {
        self.made.try_recv().ok()
    }
}

/// The store's end.
pub(super) struct ImageDesk {
    wanted: Receiver<Box<StoreImage>>,
    made: SyncSender<Made>,
    making: Option<Box<StoreImage>>,
}

impl ImageDesk {
    /// Both ends, for this store.
    pub fn open(store: &Store) -> (Self, ImagePort) {
        let (wanted, orders) = sync_channel(1);
        let (made, images) = sync_channel(1);
        let desk = Self { wanted: orders, made, making: None };
        (desk, ImagePort { wanted, made: images, room: store.image_room(), walk: store.version_walk() })
    }

    /// Between two messages: begins an image, or goes on with it. Returns how much it did.
    pub fn duty(&mut self, store: &mut Store) -> usize {
        if let Some(mut image) = self.making.take() {
            if store.go_on_with_image(&mut image) {
                self.give(Made::Image(image));
            } else {
                self.making = Some(image);
            }
            return 1;
        }
        let Ok(mut image) = self.wanted.try_recv() else { return 0 };
        match store.begin_image(&mut image) {
            Ok(()) => self.making = Some(image),
            Err(room) => self.give(Made::Room(image, room)),
        }
        1
    }

    fn give(&self, made: Made) {
        // Whoever wanted it may be gone, when the node stops.
        let _ = self.made.try_send(made);
    }
}
