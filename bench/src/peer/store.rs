//! Other stores under the load that GDS gets: 200-byte records, keys at random, one connection.
use super::server::{Kind, Server};
use super::{Asked, Pace, RECORD_BYTES};
use crate::cores::{Cores, on_core};
use crate::measurement::Run;
use crate::schedule::{Plan, Target, closed_loop, saturate};
use gds_core::random::Random;
use gds_nic::IdleStrategy;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;

/// Different keys.
const KEYS: u64 = 100_000;
/// Requests under way when it goes as fast as it can.
const PIPELINE: u64 = 1024;
const READ_BYTES: usize = 64 << 10;

/// A run of it; none of what cannot be asked of a store.
pub fn measure(kind: Kind, asked: &Asked<'_>, cores: Cores) -> Result<Option<Run>, String> {
    let window = match asked.pace {
        Pace::OneByOne => 1,
        Pace::AsFastAsItGoes => PIPELINE,
        Pace::AtRate(_) | Pace::OneWay => return Ok(None),
    };
    let server = Server::start(kind, cores.system)?;
    let idle = if cores.load.is_some() { IdleStrategy::Spin } else { IdleStrategy::Yield };
    let plan = Plan { idle, ..Plan::new(asked.duration) };
    on_core(cores.load, || {
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", kind.name);
        let mut client = Client::new(kind, server.connect()?, window).map_err(|error| failed(&error))?;
        let measured =
            if window == 1 { closed_loop(&mut client, &plan) } else { saturate(&mut client, &plan) };
        match client.fault {
            Some(fault) => Err(failed(&fault)),
            None => Ok(Some(asked.draft(kind.name).measured(&measured))),
        }
    })
}

/// One connection. The answers come in the order of the requests.
struct Client {
    kind: Kind,
    stream: TcpStream,
    window: u64,
    begun: u64,
    answered: u64,
    out: Vec<u8>,
    written: usize,
    /// Bytes of the present answer that have come.
    matched: usize,
    input: Box<[u8]>,
    value: Vec<u8>,
    random: Random,
    fault: Option<String>,
}

impl Client {
    fn new(kind: Kind, stream: TcpStream, window: u64) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            kind,
            stream,
            window,
            begun: 0,
            answered: 0,
            out: Vec::new(),
            written: 0,
            matched: 0,
            input: vec![0; READ_BYTES].into_boxed_slice(),
            value: vec![b'v'; RECORD_BYTES - key(0).len()],
            random: Random::new(1),
            fault: None,
        })
    }

    fn write(&mut self) -> io::Result<()> {
        while self.written < self.out.len() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.written = 0;
        Ok(())
    }

    /// Takes the answers that have come; each must be the one that says the value is stored.
    fn read(&mut self, answered: &mut dyn FnMut(u64)) -> io::Result<usize> {
        let count = match self.stream.read(&mut self.input) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(error) => return Err(error),
        };
        let (wanted, mut bytes) = (self.kind.stored, &self.input[..count]);
        while !bytes.is_empty() {
            let length = bytes.len().min(wanted.len() - self.matched);
            if bytes[..length] != wanted[self.matched..][..length] {
                let text = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).into_owned();
                return Err(io::Error::other(format!("answered {text:?}")));
            }
            bytes = &bytes[length..];
            self.matched = (self.matched + length) % wanted.len();
            if self.matched == 0 {
                answered(self.answered);
                self.answered += 1;
            }
        }
        Ok(count)
    }
}

impl Target for Client {
    fn submit(&mut self, _: u64) -> bool {
        if self.begun - self.answered >= self.window {
            return false;
        }
        self.begun += 1;
        (self.kind.set)(&key(self.random.below(KEYS)), &self.value, &mut self.out);
        true
    }

    fn poll(&mut self, _: u64, answered: &mut dyn FnMut(u64)) -> usize {
        if self.fault.is_some() {
            return 0;
        }
        match self.write().and_then(|()| self.read(answered)) {
            Ok(count) => count,
            Err(error) => {
                self.fault = Some(error.to_string());
                0
            }
        }
    }
}

fn key(number: u64) -> String {
    format!("key:{number:012}")
}
