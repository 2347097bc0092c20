//! A bare TCP echo: so many bytes there, so many back, and nothing done in between. Both sides look again and again, as pinned agents do.
use crate::cores::Cores;
use crate::schedule::Target;
use gds_nic::{Idle, IdleStrategy, cores};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// A running echo with one connection to it: an operation is a request, answered by its answer.
pub struct TcpEcho {
    stream: TcpStream,
    request: Vec<u8>,
    answer: Vec<u8>,
    /// Bytes of the answer that are still to come, and to which operation.
    open: Option<(u64, usize)>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl TcpEcho {
    /// Starts the far side and connects to it.
    ///
    /// # Errors
    /// What could not be opened.
    pub fn start(
        cores: Cores,
        idle: IdleStrategy,
        request_bytes: usize,
        answer_bytes: usize,
    ) -> Result<Self, String> {
        let text = |error: std::io::Error| format!("TCP echo: {error}");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(text)?;
        let stream = TcpStream::connect(listener.local_addr().map_err(text)?).map_err(text)?;
        let (far, _) = listener.accept().map_err(text)?;
        for side in [&stream, &far] {
            side.set_nodelay(true).map_err(text)?;
            side.set_nonblocking(true).map_err(text)?;
        }
        let stop = Arc::<AtomicBool>::default();
        let flag = stop.clone();
        let thread = std::thread::spawn(move || {
            if let Some(core) = cores.system {
                // Not to be had: it runs elsewhere, slower; the system's own start will tell.
                let _ = cores::pin(core);
            }
            answer(far, &flag, idle, request_bytes, answer_bytes);
        });
        let (request, answer) = (vec![b'q'; request_bytes], vec![0; answer_bytes]);
        Ok(Self { stream, request, answer, open: None, stop, thread: Some(thread) })
    }
}

/// The far side.
fn answer(
    mut far: TcpStream,
    stop: &AtomicBool,
    idle: IdleStrategy,
    request_bytes: usize,
    answer_bytes: usize,
) {
    let (mut request, answer) = (vec![0; request_bytes], vec![b'a'; answer_bytes]);
    let mut idle = Idle::new(idle);
    let mut missing = request_bytes;
    while !stop.load(Ordering::Acquire) {
        match far.read(&mut request[..missing]) {
            Ok(0) => return,
            Ok(count) => missing -= count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => idle.idle(0),
            Err(_) => return,
        }
        if missing == 0 {
            missing = request_bytes;
            // A few hundred bytes always fit an empty send buffer.
            if far.write_all(&answer).is_err() {
                return;
            }
        }
    }
}

impl Target for TcpEcho {
    fn submit(&mut self, number: u64) -> bool {
        if self.open.is_some() || self.stream.write_all(&self.request).is_err() {
            return false;
        }
        self.open = Some((number, self.answer.len()));
        true
    }

    fn poll(&mut self, _now_ns: u64, answered: &mut dyn FnMut(u64)) -> usize {
        let Some((number, missing)) = self.open else { return 0 };
        let Ok(count) = self.stream.read(&mut self.answer[..missing]) else { return 0 };
        self.open = (missing > count).then_some((number, missing - count));
        if self.open.is_none() {
            answered(number);
        }
        count
    }
}

impl Drop for TcpEcho {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::{Plan, closed_loop};
    use std::time::Duration;

    #[test]
    fn every_request_is_answered() {
        let mut echo = TcpEcho::start(Cores::unpinned(), IdleStrategy::Yield, 40, 220).unwrap();
        let plan = Plan { idle: IdleStrategy::Yield, ..Plan::new(Duration::from_millis(100)) };
        let measured = closed_loop(&mut echo, &plan);
        assert_eq!(measured.failed(), None);
    }
}
