//! The echo in its thread.
use super::{EchoConfig, Faults, Way};
use crate::road::{End, Road};
use gds_nic::{Doorbell, Idle, LossConfig, UdpConfig, UdpPort, clock, cores};
use std::collections::VecDeque;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::Duration;

/// Datagrams taken in one lap.
const DATAGRAMS_PER_LAP: usize = 64;

/// A running echo; it ends when dropped.
pub struct Echo {
    config: EchoConfig,
    way: Way,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// Whom it asks; dropped when its own thread has ended.
    _onward: Option<Box<Echo>>,
}

impl Echo {
    /// Starts it.
    ///
    /// # Errors
    /// What could not be opened, or that its processor is not to be had.
    pub fn start(config: EchoConfig) -> Result<Self, String> {
        let way = Way::find(&config)?;
        let onward = config.onward.as_deref().map(|onward| Self::start(onward.clone())).transpose()?;
        let onward_way = onward.as_ref().map(Self::way);
        let stop = Arc::<AtomicBool>::default();
        let (ready, made) = channel();
        let (flag, settings) = (stop.clone(), config.clone());
        let thread = std::thread::Builder::new()
            .name("echo".into())
            .spawn(move || match Ports::open(&settings, way, onward_way) {
                Ok(mut ports) => {
                    let _ = ready.send(Ok(()));
                    ports.run(&settings, &flag);
                }
                Err(error) => {
                    let _ = ready.send(Err(error));
                }
            })
            .map_err(|error| format!("cannot start a thread: {error}"))?;
        let echo = Self { config, way, stop, thread: Some(thread), _onward: onward.map(Box::new) };
        made.recv().unwrap_or_else(|_| Err("the echo died at its start".into()))?;
        Ok(echo)
    }

    /// What it was started with.
    pub fn config(&self) -> &EchoConfig {
        &self.config
    }

    pub(super) fn way(&self) -> Way {
        self.way
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Answers that wait for their time, oldest first.
type Held = VecDeque<(u64, SocketAddrV4, Box<[u8]>)>;

struct Ports {
    requests: UdpPort,
    answers: UdpPort,
    published: Option<UdpPort>,
    doorbell: Doorbell,
    way: Way,
    onward: Option<Onward>,
}

/// The way to the one who is asked first.
struct Onward {
    requests: UdpPort,
    answers: UdpPort,
    to: SocketAddrV4,
}

impl Onward {
    fn open(road: &Road, way: Way) -> Result<Self, String> {
        let requests = road.open(End::Near, road.sending(End::Near))?;
        Ok(Self { requests, answers: road.open(End::Near, road.receiving(way.answers))?, to: way.requests })
    }
}

impl Ports {
    fn open(config: &EchoConfig, way: Way, onward: Option<Way>) -> Result<Self, String> {
        if let Some(core) = config.core {
            cores::pin(core).map_err(|error| error.to_string())?;
        }
        let loss = (config.faults.loss_per_mille > 0).then_some(LossConfig {
            seed: 1,
            receive_per_mille: 0,
            send_per_mille: config.faults.loss_per_mille,
        });
        let road = &config.road;
        let doorbell = Doorbell::new();
        let sending = || UdpConfig { doorbell: Some(doorbell.clone()), ..road.sending(End::Far) };
        let published = config.publishes.then(|| road.open(End::Far, sending())).transpose()?;
        let onward = config.onward.as_deref().zip(onward);
        Ok(Self {
            requests: road.open(End::Far, road.receiving(way.requests))?,
            answers: road.open(End::Far, UdpConfig { loss, ..sending() })?,
            published,
            doorbell,
            way,
            onward: onward.map(|(config, way)| Onward::open(&config.road, way)).transpose()?,
        })
    }

    fn run(&mut self, config: &EchoConfig, stop: &AtomicBool) {
        let mut idle = Idle::new(config.idle);
        let mut held = Held::new();
        let mut stall_ns = config.faults.stall.map(|(every, _)| clock::monotonic_ns() + ns(every));
        while !stop.load(Ordering::Acquire) {
            if let (Some(due_ns), Some((every, length))) = (stall_ns, config.faults.stall)
                && clock::monotonic_ns() >= due_ns
            {
                std::thread::sleep(length);
                stall_ns = Some(clock::monotonic_ns() + ns(every));
            }
            let work = self.lap(&config.faults, &mut held);
            // What the kernel does not take is lost, like any packet.
            let _ = self.doorbell.ring();
            idle.idle(work);
        }
    }

    fn lap(&mut self, faults: &Faults, held: &mut Held) -> usize {
        let Self { requests, answers, published, way, onward, .. } = self;
        if let Some(onward) = onward {
            let asked = requests.receive(DATAGRAMS_PER_LAP, &mut |_, datagram| {
                onward.requests.send(onward.to, datagram);
            });
            let answered = onward.answers.receive(DATAGRAMS_PER_LAP, &mut |_, datagram| {
                answers.send(way.answers, datagram);
            });
            return asked + answered;
        }
        if faults.delay.is_zero() {
            return requests.receive(DATAGRAMS_PER_LAP, &mut |_, datagram| {
                answers.send(way.answers, datagram);
                if let Some(published) = published {
                    published.send(way.published, datagram);
                }
            });
        }
        let now_ns = clock::monotonic_ns();
        let mut work = requests.receive(DATAGRAMS_PER_LAP, &mut |_, datagram| {
            held.push_back((now_ns + ns(faults.delay), way.answers, datagram.into()));
        });
        while let Some((due_ns, to, _)) = held.front()
            && *due_ns <= now_ns
        {
            let to = *to;
            let (_, _, datagram) = held.pop_front().expect("there is a front");
            answers.send(to, &datagram);
            work += 1;
        }
        work
    }
}

fn ns(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}
