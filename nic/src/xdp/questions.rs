//! Questions to the kernel about links, routes and neighbours, and its answers (netlink(7), rtnetlink(7)): how they are laid out.
use crate::sys::netlink::Netlink;
use std::io;
use std::net::Ipv4Addr;

const HEAD_BYTES: usize = 16;
/// What precedes the attributes of a link.
pub(super) const LINK_BYTES: usize = 16;
/// A head, the longest of the bodies, and an attribute of one address.
const REQUEST_BYTES_MAX: usize = HEAD_BYTES + LINK_BYTES + 8;
/// Room for the description of a link, which is long for one with many queues or virtual functions.
pub(super) const LINK_REPLY_BYTES: usize = 32 << 10;

/// Asks, one question at a time.
pub(super) struct Questions {
    netlink: Netlink,
    number: u32,
}

impl Questions {
    /// In the network namespace of the calling thread.
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self { netlink: Netlink::open()?, number: 0 })
    }

    /// What the kernel says of an interface, in the room for it.
    pub(super) fn link<'a>(
        &mut self,
        interface: u32,
        reply: &'a mut [u8; LINK_REPLY_BYTES],
    ) -> io::Result<&'a [u8]> {
        let mut body = [0; LINK_BYTES];
        body[4..8].copy_from_slice(&interface.to_ne_bytes());
        self.ask((libc::RTM_GETLINK, libc::RTM_NEWLINK), &body, None, reply)
    }

    /// Asks a question of one kind for an answer of the other, of which this gives the body.
    pub(super) fn ask<'a>(
        &mut self,
        (kind, answered): (u16, u16),
        body: &[u8],
        attribute: Option<(u16, Ipv4Addr)>,
        reply: &'a mut [u8],
    ) -> io::Result<&'a [u8]> {
        self.number = self.number.wrapping_add(1);
        let mut request = [0; REQUEST_BYTES_MAX];
        let mut length = HEAD_BYTES + body.len();
        request[4..6].copy_from_slice(&kind.to_ne_bytes());
        request[6..8].copy_from_slice(&(libc::NLM_F_REQUEST as u16).to_ne_bytes());
        request[8..12].copy_from_slice(&self.number.to_ne_bytes());
        request[HEAD_BYTES..length].copy_from_slice(body);
        if let Some((kind, address)) = attribute {
            request[length..length + 2].copy_from_slice(&8u16.to_ne_bytes());
            request[length + 2..length + 4].copy_from_slice(&kind.to_ne_bytes());
            request[length + 4..length + 8].copy_from_slice(&address.octets());
            length += 8;
        }
        request[..4].copy_from_slice(&(length as u32).to_ne_bytes());
        let got = self.netlink.ask(&request[..length], reply)?;
        answer(&reply[..got], answered)
    }
}

/// The body of a reply of this kind; an error when the kernel answered with one, or with something else.
pub(super) fn answer(reply: &[u8], kind: u16) -> io::Result<&[u8]> {
    let Some((head, body)) = reply.split_first_chunk::<HEAD_BYTES>() else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let got = u16::from_ne_bytes([head[4], head[5]]);
    if got == libc::NLMSG_ERROR as u16
        && let Some(code) = body.first_chunk()
    {
        return Err(io::Error::from_raw_os_error(i32::from_ne_bytes(*code).saturating_neg()));
    }
    if got == kind { Ok(body) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// The value of an attribute behind the first `skip` bytes; none when it is not there.
pub(super) fn attribute(message: &[u8], skip: usize, kind: u16) -> Option<&[u8]> {
    let mut rest = message.get(skip..)?;
    loop {
        let (head, _) = rest.split_first_chunk::<4>()?;
        let length = usize::from(u16::from_ne_bytes([head[0], head[1]]));
        // The two highest bits say how the value is made up.
        if u16::from_ne_bytes([head[2], head[3]]) & 0x3fff == kind {
            return rest.get(4..length);
        }
        if length < 4 {
            return None;
        }
        rest = rest.get(length.next_multiple_of(4)..)?;
    }
}

/// The number that an attribute is.
pub(super) fn number(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_an_error_gives_its_number() {
        let mut reply = [0; 36];
        reply[4..6].copy_from_slice(&(libc::NLMSG_ERROR as u16).to_ne_bytes());
        reply[16..20].copy_from_slice(&(-libc::ENODEV).to_ne_bytes());
        assert_eq!(answer(&reply, libc::RTM_NEWLINK).unwrap_err().raw_os_error(), Some(libc::ENODEV));
        // Whatever the kernel says, it is read without harm.
        reply[16..20].copy_from_slice(&i32::MIN.to_ne_bytes());
        answer(&reply, libc::RTM_NEWLINK).unwrap_err();
        answer(&reply[..3], libc::RTM_NEWLINK).unwrap_err();
    }

    #[test]
    fn any_reply_is_taken_without_panic() {
        for length in 0..64u16 {
            let mut message = [0; 64];
            message[0..2].copy_from_slice(&length.to_ne_bytes());
            for cut in 0..64 {
                let _ = attribute(&message[..cut], 0, 5);
                let _ = answer(&message[..cut], 24);
            }
        }
    }
}
