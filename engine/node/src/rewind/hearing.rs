//! What a group says of a stream before anything of it is kept: its name, and how far it is.
use super::Waiting;
use crate::ports::Datagrams;
use gds_core::agent::Fault;
use gds_core::port::DatagramPort;
use gds_wire::mold::Packet;
use gds_wire::session::Session;
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

/// Datagrams taken in one look.
const BATCH: usize = 64;
/// Between two looks.
const LOOK: Duration = Duration::from_millis(1);
/// A stream at rest sends a heartbeat each second: whoever hears nothing for longer should say so.
const HEARTBEATS: Duration = Duration::from_secs(3);

/// The name of the stream that is published to a group.
pub fn name_of_the_stream(
    port: &mut Datagrams,
    group: SocketAddrV4,
    waiting: &mut Waiting<'_>,
) -> Result<Session, Fault> {
    hear(port, group, "a stream", waiting, &mut |packet| Some(packet.session))
}

/// One above the highest number of a stream, as its next packet says.
pub fn next_of(
    session: Session,
    port: &mut Datagrams,
    group: SocketAddrV4,
    waiting: &mut Waiting<'_>,
) -> Result<u64, Fault> {
    let what = format!("stream {session}");
    hear(port, group, &what, waiting, &mut |packet| {
        (packet.session == session).then(|| packet.next_sequence())
    })
}

/// Takes packets until `find` has found something in one.
fn hear<T>(
    port: &mut Datagrams,
    group: SocketAddrV4,
    what: &str,
    waiting: &mut Waiting<'_>,
    find: &mut dyn FnMut(&Packet<'_>) -> Option<T>,
) -> Result<T, Fault> {
    let began = Instant::now();
    let mut found = None;
    loop {
        port.receive(BATCH, &mut |_, datagram| {
            if found.is_none()
                && let Ok(packet) = Packet::parse(datagram)
            {
                found = find(&packet);
            }
        });
        if let Some(found) = found {
            return Ok(found);
        }
        let silence = format!(
            "nothing of {what} is heard on {group}: is a node running that publishes there, and is network.interface on its network?"
        );
        let text = if began.elapsed() > HEARTBEATS { &silence } else { "" };
        if !waiting(text) {
            return Err(Fault(format!("told to stop before anything of {what} was heard on {group}")));
        }
        std::thread::sleep(LOOK);
    }
}
