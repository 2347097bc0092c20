//! One end of the way: a media driver and a client of it, both driven by the thread that owns them.
use gds_bench::schedule::PATIENCE;
use rusteron_client::{
    Aeron, AeronContext, AeronExclusivePublication, AeronOfferError, AeronSubscription, Handlers, IntoCString,
};
use rusteron_media_driver::{AeronDriver, AeronDriverContext, bindings::aeron_threading_mode_enum};
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::time::Instant;
use tempfile::TempDir;

/// The stream of either way: each has a group of its own.
const STREAM: i32 = 1001;
/// Fragments taken in one poll.
const FRAGMENTS: usize = 64;
/// Laps between two looks of the client's conductor at its timers and its driver's answers.
const CONDUCTOR_LAPS: u32 = 64;

/// Publishes to one group and hears another. Its driver has no thread of its own (threading mode INVOKER): of two processors each end has
/// one, and nothing is handed from thread to thread.
pub struct End {
    publication: AeronExclusivePublication,
    subscription: AeronSubscription,
    client: Aeron,
    driver: AeronDriver,
    laps: u32,
    /// The driver's files; dropped last.
    _directory: TempDir,
}

impl End {
    /// Publishes `to` this group and port and listens `from` that one; `files` is where the driver's folder is made.
    ///
    /// # Errors
    /// What Aeron says.
    pub fn open(files: &Path, to: SocketAddrV4, from: SocketAddrV4) -> Result<Self, String> {
        let directory = tempfile::Builder::new().prefix("gds-aeron-").tempdir_in(files);
        let directory = directory.map_err(|error| format!("{}: {error}", files.display()))?;
        Self::open_in(directory, to, from).map_err(|error| error.to_string())
    }

    fn open_in(directory: TempDir, to: SocketAddrV4, from: SocketAddrV4) -> Result<Self, Box<dyn Error>> {
        let files = directory.path().join("driver");
        let driver = driver(&files)?;
        let context = AeronContext::new()?;
        context.set_dir(&files.to_string_lossy().into_owned().into_c_string())?;
        context.set_use_conductor_agent_invoker(true)?;
        context.set_pre_touch_mapped_memory(true)?;
        let client = Aeron::new(&context)?;
        client.start()?;
        let turn = || -> Result<(), Box<dyn Error>> {
            driver.main_do_work()?;
            client.main_do_work()?;
            Ok(())
        };
        let adding = client.async_add_exclusive_publication(&channel(to), STREAM)?;
        let publication = loop {
            turn()?;
            if let Some(publication) = adding.poll()? {
                break publication;
            }
        };
        let adding = client.async_add_subscription(&channel(from), STREAM, Handlers::NONE, Handlers::NONE)?;
        let subscription = loop {
            turn()?;
            if let Some(subscription) = adding.poll()? {
                break subscription;
            }
        };
        Ok(Self { publication, subscription, client, driver, laps: 0, _directory: directory })
    }

    /// Waits until the other end hears this one and is heard.
    ///
    /// # Errors
    /// That it does not.
    pub fn connect(&mut self) -> Result<(), String> {
        let begun = Instant::now();
        while !(self.publication.is_connected() && self.subscription.is_connected()) {
            self.turn()?;
            if begun.elapsed() > 5 * PATIENCE {
                return Err("the two ends do not find each other".into());
            }
        }
        Ok(())
    }

    /// Publishes a message; false when there is no room for it now.
    ///
    /// # Errors
    /// That it never will be.
    pub fn offer(&self, message: &[u8]) -> Result<bool, String> {
        loop {
            match self.publication.offer(message) {
                Ok(_) => return Ok(true),
                // The next term has begun.
                Err(AeronOfferError::AdminAction) => {}
                Err(error) if error.is_retryable() => return Ok(false),
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    /// The driver sends what was offered and receives what has come. Returns how much it did.
    ///
    /// # Errors
    /// What Aeron says.
    pub fn turn(&mut self) -> Result<usize, String> {
        let work = self.driver.main_do_work().map_err(|error| error.to_string())?;
        self.laps = self.laps.wrapping_add(1);
        if self.laps.is_multiple_of(CONDUCTOR_LAPS) {
            self.client.main_do_work().map_err(|error| error.to_string())?;
        }
        Ok(work.unsigned_abs() as usize)
    }

    /// Shows the messages that have come; returns how many.
    ///
    /// # Errors
    /// What Aeron says.
    pub fn hear(&self, mut heard: impl FnMut(&[u8])) -> Result<usize, String> {
        let count = self.subscription.poll_fn(|message, _| heard(message), FRAGMENTS);
        count.map(|count| count.unsigned_abs() as usize).map_err(|error| error.to_string())
    }
}

fn driver(files: &Path) -> Result<AeronDriver, Box<dyn Error>> {
    let context = AeronDriverContext::new()?;
    context.set_dir(&files.to_string_lossy().into_owned().into_c_string())?;
    context.set_dir_delete_on_start(true)?;
    context.set_dir_delete_on_shutdown(true)?;
    context.set_threading_mode(aeron_threading_mode_enum::AERON_THREADING_MODE_INVOKER)?;
    // Buffers that are there from the start, not made page by page while it is measured.
    context.set_term_buffer_sparse_file(false)?;
    let driver = AeronDriver::new(&context)?;
    // It is driven from here on by `main_do_work`.
    driver.start(true)?;
    Ok(driver)
}

fn channel(address: SocketAddrV4) -> std::ffi::CString {
    format!("aeron:udp?endpoint={address}|interface={}", Ipv4Addr::LOCALHOST).into_c_string()
}
