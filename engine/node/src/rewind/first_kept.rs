//! Where an empty journal begins: the first message that some rewinder still has.
//!
//! A rewinder is silent below its first message, as it is when it is down. So it is asked for messages that are surely there and for message 1, and
//! once the former are answered and the latter is not, for messages between, halving the distance each time. A lost packet may make a message look gone: each
//! is asked for several times before that is believed.
use super::Waiting;
use crate::ports::Datagrams;
use gds_core::agent::Fault;
use gds_core::port::DatagramPort;
use gds_wire::mold::{Packet, Request};
use gds_wire::session::Session;
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

/// How often a message is asked for, and how long each answer is waited for.
const ATTEMPTS: usize = 5;
const ANSWER: Duration = Duration::from_millis(20);
/// Datagrams taken in one look.
const BATCH: usize = 64;
const LOOK: Duration = Duration::from_micros(100);
/// Between two attempts when nobody answers; doubled up to a second.
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// The first message of `session` that any of `rewinders` has, when `next` is the one that comes next.
pub fn find(
    session: Session,
    next: u64,
    port: &mut Datagrams,
    rewinders: &[SocketAddrV4],
    waiting: &mut Waiting<'_>,
) -> Result<u64, Fault> {
    let mut is_there = |sequence| is_there(session, sequence, port, rewinders);
    let mut pause = PAUSE;
    while next > 1 && !is_there(1) {
        if is_there(next - 1) {
            return Ok(first_between(1, next - 1, &mut is_there));
        }
        let names: Vec<String> = rewinders.iter().map(ToString::to_string).collect();
        let text = format!(
            "no rewinder answers for message 1 or {} of {session}: {}; they are asked again until one does",
            next - 1,
            names.join(", ")
        );
        if !waiting(&text) {
            return Err(Fault(format!("told to stop before any rewinder had answered for {session}")));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(PAUSE_MAX);
    }
    Ok(1)
}

/// The first number that is there, when `gone` is not and `there` is.
fn first_between(mut gone: u64, mut there: u64, is_there: &mut dyn FnMut(u64) -> bool) -> u64 {
    while there - gone > 1 {
        let middle = gone + (there - gone) / 2;
        *(if is_there(middle) { &mut there } else { &mut gone }) = middle;
    }
    there
}

/// Whether any rewinder answers with this message.
fn is_there(session: Session, sequence: u64, port: &mut Datagrams, rewinders: &[SocketAddrV4]) -> bool {
    let request = Request { session, sequence, count: 1 }.to_bytes();
    for _ in 0..ATTEMPTS {
        for rewinder in rewinders {
            port.send(*rewinder, &request);
        }
        let asked = Instant::now();
        while asked.elapsed() < ANSWER {
            let mut answered = false;
            port.receive(BATCH, &mut |_, datagram| {
                let packet = Packet::parse(datagram);
                answered |= packet.is_ok_and(|packet| {
                    packet.session == session && packet.sequence == sequence && packet.count() > 0
                });
            });
            if answered {
                return true;
            }
            std::thread::sleep(LOOK);
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_number_that_is_there_is_found_wherever_it_lies() {
        for first in 2..200 {
            let mut asked = 0;
            let found = first_between(1, 200, &mut |number| {
                asked += 1;
                number >= first
            });
            assert_eq!(found, first);
            assert!(asked <= 8, "{asked} numbers asked for");
        }
    }
}
