//! SoupBinTCP 3.00: numbered messages on a TCP connection, with logins, heartbeats and resumption.
//!
//! A packet is a length, a type byte and a payload; the length counts the type byte and the payload but not itself (S15). Each
//! Sequenced Data packet has the next number, which is not on the wire: the login's answer says where counting begins.
//!
//! Readings taken where implementations disagree: fields are accepted with spaces or NUL bytes on either side and written
//! padded as published (S1); a blank requested number is 0, and a number too large for 64 bits is as large as can be (S3);
//! logins of 47 (3.00) and 52 bytes (4.10) are accepted (S14); user and password are compared without regard to case (S16); a
//! length of 0 is an error (S8); payloads are capped at 32,766 bytes, since a well-known client reads the length as signed
//! (S9); `A` and `S` are the only reject codes (S10).
use std::fmt;

use crate::session::{SESSION_BYTES, Session};

/// Bytes before the payload: length and type.
pub const PACKET_HEADER_BYTES: usize = 3;
/// Longest payload that is written, and accepted unless a [`Decoder`] is told otherwise.
pub const MAX_PAYLOAD_BYTES: usize = 32_766;
/// Longest packet with its length and type.
pub const MAX_PACKET_BYTES: usize = PACKET_HEADER_BYTES + MAX_PAYLOAD_BYTES;
/// Bytes of a user name.
pub const USER_BYTES: usize = 6;
/// Bytes of a password.
pub const PASSWORD_BYTES: usize = 10;
/// Payload of a Login Request of version 3.00.
pub const LOGIN_BYTES: usize = 46;
/// Payload of a Login Request of version 4.10, which ends with the client's heartbeat timeout.
pub const LOGIN_TIMEOUT_BYTES: usize = 51;
/// Payload of a Login Accepted.
pub const LOGIN_ACCEPTED_BYTES: usize = 30;
/// Longest packet a client may send before it is logged in: a Login Request of version 4.10.
pub const MAX_LOGIN_PACKET_BYTES: usize = PACKET_HEADER_BYTES + LOGIN_TIMEOUT_BYTES;
/// Largest sequence number: implementations keep it in a signed 64-bit integer (S12).
pub const MAX_SEQUENCE: u64 = i64::MAX as u64;

const SEQUENCE_BYTES: usize = 20;
const TIMEOUT_BYTES: usize = 5;

/// Type of Debug packets, both ways: free text, ignored.
pub const DEBUG: u8 = b'+';
/// Type of Unsequenced Data packets, both ways.
pub const UNSEQUENCED_DATA: u8 = b'U';
/// Type of Login Accepted packets, from the server.
pub const LOGIN_ACCEPTED: u8 = b'A';
/// Type of Login Rejected packets, from the server.
pub const LOGIN_REJECTED: u8 = b'J';
/// Type of Sequenced Data packets, from the server.
pub const SEQUENCED_DATA: u8 = b'S';
/// Type of Server Heartbeat packets.
pub const SERVER_HEARTBEAT: u8 = b'H';
/// Type of End of Session packets, from the server.
pub const END_OF_SESSION: u8 = b'Z';
/// Type of Login Request packets, from the client.
pub const LOGIN_REQUEST: u8 = b'L';
/// Type of Client Heartbeat packets.
pub const CLIENT_HEARTBEAT: u8 = b'R';
/// Type of Logout Request packets, from the client.
pub const LOGOUT_REQUEST: u8 = b'O';

/// A whole Server Heartbeat packet.
pub const SERVER_HEARTBEAT_PACKET: [u8; 3] = [0, 1, SERVER_HEARTBEAT];
/// A whole Client Heartbeat packet.
pub const CLIENT_HEARTBEAT_PACKET: [u8; 3] = [0, 1, CLIENT_HEARTBEAT];
/// A whole End of Session packet.
pub const END_OF_SESSION_PACKET: [u8; 3] = [0, 1, END_OF_SESSION];
/// A whole Logout Request packet.
pub const LOGOUT_REQUEST_PACKET: [u8; 3] = [0, 1, LOGOUT_REQUEST];

/// Why bytes are no SoupBinTCP. The connection cannot be read on after it and is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SoupError {
    /// A length of 0: there is no type byte.
    ZeroLength,
    /// A packet longer than the reader allows.
    TooLong {
        /// Its bytes, with length and type.
        packet_bytes: usize,
        /// Bytes allowed.
        packet_bytes_max: usize,
    },
    /// A type byte this side does not receive.
    UnknownType(u8),
    /// A payload of another size than its type has.
    PayloadLength {
        /// The packet's type.
        kind: u8,
        /// Bytes of payload.
        length: usize,
    },
    /// A number field that is not digits padded with spaces, or is too large.
    Number {
        /// The packet's type.
        kind: u8,
    },
    /// A reject code other than `A` and `S`.
    RejectCode(u8),
}

impl fmt::Display for SoupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ZeroLength => f.write_str("a SoupBinTCP packet of length 0, without a type"),
            Self::TooLong { packet_bytes, packet_bytes_max } => write!(
                f,
                "a SoupBinTCP packet of {packet_bytes} bytes; at most {packet_bytes_max} are allowed here"
            ),
            Self::UnknownType(kind) => {
                write!(f, "a SoupBinTCP packet of type 0x{kind:02x}, which this side does not receive")
            }
            Self::PayloadLength { kind, length } => {
                let kind = char::from(kind);
                write!(f, "a SoupBinTCP packet of type {kind} cannot have a payload of {length} bytes")
            }
            Self::Number { kind } => {
                write!(f, "a SoupBinTCP packet of type {} has a field that is no number", char::from(kind))
            }
            Self::RejectCode(code) => {
                write!(f, "a SoupBinTCP login rejected with the unknown code 0x{code:02x}")
            }
        }
    }
}

impl std::error::Error for SoupError {}

/// One packet. SoupBinTCP 3.00, section 2: "SoupBinTCP Packet Types".
///
/// ```text
///  0        2      3
/// +--------+------+---------
/// | length | type | payload
/// +--------+------+---------
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The type byte.
    pub kind: u8,
    /// What follows it.
    pub payload: &'a [u8],
}

/// Takes packets from the front of received bytes. It keeps nothing: the caller keeps what is not yet whole.
#[derive(Clone, Copy, Debug)]
pub struct Decoder {
    packet_bytes_max: usize,
}

impl Decoder {
    /// A decoder of packets up to `packet_bytes_max` bytes, length and type included; a buffer of that size holds any packet.
    pub fn new(packet_bytes_max: usize) -> Self {
        Self { packet_bytes_max }
    }

    /// The first packet in `bytes` and how many bytes it took; `None` when it is not whole yet.
    pub fn decode<'a>(&self, bytes: &'a [u8]) -> Result<Option<(Packet<'a>, usize)>, SoupError> {
        let Some((length, rest)) = bytes.split_first_chunk::<2>() else {
            return Ok(None);
        };
        let length = usize::from(u16::from_be_bytes(*length));
        let packet_bytes = 2 + length;
        if length == 0 {
            return Err(SoupError::ZeroLength);
        }
        if packet_bytes > self.packet_bytes_max {
            return Err(SoupError::TooLong { packet_bytes, packet_bytes_max: self.packet_bytes_max });
        }
        match rest.get(..length) {
            Some([kind, payload @ ..]) => Ok(Some((Packet { kind: *kind, payload }, packet_bytes))),
            _ => Ok(None),
        }
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new(MAX_PACKET_BYTES)
    }
}

/// Writes a packet whose payload is `parts`, one after the other, into the front of `into`. How many bytes it took; `None`, with
/// nothing written, when the payload is longer than [`MAX_PAYLOAD_BYTES`] or the packet does not fit.
pub fn encode(kind: u8, parts: &[&[u8]], into: &mut [u8]) -> Option<usize> {
    let payload_bytes: usize = parts.iter().map(|part| part.len()).sum();
    if payload_bytes > MAX_PAYLOAD_BYTES {
        return None;
    }
    let packet = into.get_mut(..PACKET_HEADER_BYTES + payload_bytes)?;
    packet[..2].copy_from_slice(&(1 + payload_bytes as u16).to_be_bytes());
    packet[2] = kind;
    let mut used = PACKET_HEADER_BYTES;
    for part in parts {
        packet[used..used + part.len()].copy_from_slice(part);
        used += part.len();
    }
    Some(used)
}

/// What a client sends, read from its packets by the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientPacket<'a> {
    /// `L`
    Login(Login),
    /// `U`
    UnsequencedData(&'a [u8]),
    /// `R`
    Heartbeat,
    /// `O`
    Logout,
    /// `+`
    Debug(&'a [u8]),
}

impl<'a> ClientPacket<'a> {
    /// Reads a packet that a client sent.
    pub fn parse(packet: Packet<'a>) -> Result<Self, SoupError> {
        Ok(match packet.kind {
            LOGIN_REQUEST => Self::Login(Login::parse(packet.payload)?),
            UNSEQUENCED_DATA => Self::UnsequencedData(packet.payload),
            CLIENT_HEARTBEAT => Self::Heartbeat,
            LOGOUT_REQUEST => Self::Logout,
            DEBUG => Self::Debug(packet.payload),
            kind => return Err(SoupError::UnknownType(kind)),
        })
    }
}

/// What a server sends, read from its packets by the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerPacket<'a> {
    /// `A`
    LoginAccepted(LoginAccepted),
    /// `J`
    LoginRejected(RejectCode),
    /// `S`
    SequencedData(&'a [u8]),
    /// `U`
    UnsequencedData(&'a [u8]),
    /// `H`
    Heartbeat,
    /// `Z`
    EndOfSession,
    /// `+`
    Debug(&'a [u8]),
}

impl<'a> ServerPacket<'a> {
    /// Reads a packet that a server sent.
    pub fn parse(packet: Packet<'a>) -> Result<Self, SoupError> {
        Ok(match packet.kind {
            LOGIN_ACCEPTED => Self::LoginAccepted(LoginAccepted::parse(packet.payload)?),
            LOGIN_REJECTED => match *packet.payload {
                [code] => Self::LoginRejected(RejectCode::from_u8(code).ok_or(SoupError::RejectCode(code))?),
                _ => {
                    let (kind, length) = (LOGIN_REJECTED, packet.payload.len());
                    return Err(SoupError::PayloadLength { kind, length });
                }
            },
            SEQUENCED_DATA => Self::SequencedData(packet.payload),
            UNSEQUENCED_DATA => Self::UnsequencedData(packet.payload),
            SERVER_HEARTBEAT => Self::Heartbeat,
            END_OF_SESSION => Self::EndOfSession,
            DEBUG => Self::Debug(packet.payload),
            kind => return Err(SoupError::UnknownType(kind)),
        })
    }
}

/// A login. SoupBinTCP 3.00, "Login Request Packet"; the timeout is of 4.10.
///
/// ```text
///  0        2     3        9            19                  29                   49           54
/// +--------+-----+--------+------------+-------------------+--------------------+ - - - - - -+
/// | length | 'L' | user   | password   | requested session | requested sequence | timeout ms |
/// +--------+-----+--------+------------+-------------------+--------------------+ - - - - - -+
/// ```
///
/// User and password are padded right, session and numbers left. Fields are held here padded right with spaces.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Login {
    user: [u8; USER_BYTES],
    password: [u8; PASSWORD_BYTES],
    /// The session to resume; [`Session::BLANK`] for the current one, or a new one.
    pub session: Session,
    /// The number wanted next; 0: only what is new.
    pub sequence: u64,
    /// How long the server may hear nothing before it takes the client for gone, in ms (4.10). `None` when not given, or 0.
    pub heartbeat_timeout_ms: Option<u32>,
}

impl Login {
    /// A login of version 3.00. `None` when the user is longer than 6 characters, the password longer than 10, either is not
    /// printable ASCII, or the number is above [`MAX_SEQUENCE`].
    pub fn new(user: &str, password: &str, session: Session, sequence: u64) -> Option<Self> {
        let (user, password) = (padded_text(user)?, padded_text(password)?);
        let login = Self { user, password, session, sequence, heartbeat_timeout_ms: None };
        (sequence <= MAX_SEQUENCE).then_some(login)
    }

    /// Reads the payload of a Login Request.
    pub fn parse(payload: &[u8]) -> Result<Self, SoupError> {
        let kind = LOGIN_REQUEST;
        if payload.len() != LOGIN_BYTES && payload.len() != LOGIN_TIMEOUT_BYTES {
            return Err(SoupError::PayloadLength { kind, length: payload.len() });
        }
        let (user, rest) = payload.split_at(USER_BYTES);
        let (password, rest) = rest.split_at(PASSWORD_BYTES);
        let (session, rest) = rest.split_at(SESSION_BYTES);
        let (sequence, timeout) = rest.split_at(SEQUENCE_BYTES);
        let number = |field| parse_number(field).ok_or(SoupError::Number { kind });
        let timeout_ms = number(timeout)?;
        Ok(Self {
            user: left_justified(user),
            password: left_justified(password),
            session: Session(left_justified(session)),
            sequence: number(sequence)?,
            heartbeat_timeout_ms: u32::try_from(timeout_ms).ok().filter(|&timeout_ms| timeout_ms != 0),
        })
    }

    /// The user, without padding.
    pub fn user(&self) -> &[u8] {
        stripped(&self.user)
    }

    /// Whether this is that user with that password, without regard to the case of ASCII letters.
    pub fn is(&self, user: &str, password: &str) -> bool {
        let user_matches = stripped(&self.user).eq_ignore_ascii_case(stripped(user.as_bytes()));
        let password_matches = stripped(&self.password).eq_ignore_ascii_case(stripped(password.as_bytes()));
        user_matches & password_matches
    }

    /// Writes the whole packet, of version 4.10 when there is a timeout; its length, or `None` when it does not fit.
    pub fn encode(&self, into: &mut [u8]) -> Option<usize> {
        let session = right_justified::<SESSION_BYTES>(self.session.name());
        let sequence = number_field::<SEQUENCE_BYTES>(self.sequence.min(MAX_SEQUENCE));
        let timeout =
            self.heartbeat_timeout_ms.map(|ms| number_field::<TIMEOUT_BYTES>(u64::from(ms.min(99_999))));
        let timeout = timeout.as_ref().map_or(&[][..], |field| &field[..]);
        encode(LOGIN_REQUEST, &[&self.user, &self.password, &session, &sequence, timeout], into)
    }
}

impl fmt::Debug for Login {
    /// Everything but the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("user", &String::from_utf8_lossy(self.user()))
            .field("session", &self.session)
            .field("sequence", &self.sequence)
            .field("heartbeat_timeout_ms", &self.heartbeat_timeout_ms)
            .finish_non_exhaustive()
    }
}

/// The answer to a good login. SoupBinTCP 3.00, "Login Accepted Packet".
///
/// ```text
///  0        2     3                  13                   33
/// +--------+-----+------------------+--------------------+
/// | length | 'A' | session          | sequence           |
/// +--------+-----+------------------+--------------------+
/// ```
///
/// Both are padded left with spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoginAccepted {
    /// The session that is now open.
    pub session: Session,
    /// The number of the next Sequenced Data packet.
    pub sequence: u64,
}

impl LoginAccepted {
    /// Reads the payload of a Login Accepted.
    pub fn parse(payload: &[u8]) -> Result<Self, SoupError> {
        let kind = LOGIN_ACCEPTED;
        if payload.len() != LOGIN_ACCEPTED_BYTES {
            return Err(SoupError::PayloadLength { kind, length: payload.len() });
        }
        let (session, sequence) = payload.split_at(SESSION_BYTES);
        let sequence = parse_number(sequence).filter(|&sequence| sequence <= MAX_SEQUENCE);
        let sequence = sequence.ok_or(SoupError::Number { kind })?;
        Ok(Self { session: Session(left_justified(session)), sequence })
    }

    /// Writes the whole packet; its length, or `None` when it does not fit.
    ///
    /// # Panics
    /// When the number is above [`MAX_SEQUENCE`].
    pub fn encode(&self, into: &mut [u8]) -> Option<usize> {
        assert!(self.sequence <= MAX_SEQUENCE, "sequence number {} is above 2^63-1", self.sequence);
        let session = right_justified::<SESSION_BYTES>(self.session.name());
        let sequence = number_field::<SEQUENCE_BYTES>(self.sequence);
        encode(LOGIN_ACCEPTED, &[&session, &sequence], into)
    }
}

/// Why a login was rejected. SoupBinTCP 3.00, "Login Rejected Packet".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RejectCode {
    /// User or password is wrong.
    NotAuthorized = b'A',
    /// The session asked for cannot be had.
    SessionNotAvailable = b'S',
}

impl RejectCode {
    /// The reason with this code, if there is one.
    pub const fn from_u8(code: u8) -> Option<Self> {
        Some(match code {
            b'A' => Self::NotAuthorized,
            b'S' => Self::SessionNotAvailable,
            _ => return None,
        })
    }

    /// The whole Login Rejected packet.
    pub const fn packet(self) -> [u8; 4] {
        [0, 2, LOGIN_REJECTED, self as u8]
    }
}

impl fmt::Display for RejectCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAuthorized => "not authorised: user or password is wrong",
            Self::SessionNotAvailable => "session not available",
        })
    }
}

/// A field without the spaces and NUL bytes on either side.
fn stripped(field: &[u8]) -> &[u8] {
    let is_text = |byte: &u8| *byte != b' ' && *byte != 0;
    match (field.iter().position(is_text), field.iter().rposition(is_text)) {
        (Some(first), Some(last)) => &field[first..=last],
        _ => &[],
    }
}

fn left_justified<const N: usize>(field: &[u8]) -> [u8; N] {
    let text = stripped(field);
    let mut padded = [b' '; N];
    padded[..text.len()].copy_from_slice(text);
    padded
}

fn right_justified<const N: usize>(text: &[u8]) -> [u8; N] {
    let mut padded = [b' '; N];
    padded[N - text.len()..].copy_from_slice(text);
    padded
}

fn padded_text<const N: usize>(text: &str) -> Option<[u8; N]> {
    let printable = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    (text.len() <= N && printable).then(|| left_justified(text.as_bytes()))
}

/// A decimal number padded on either side: 0 when blank, `u64::MAX` when larger than that, `None` when it is no number.
fn parse_number(field: &[u8]) -> Option<u64> {
    stripped(field).iter().try_fold(0_u64, |number, &digit| {
        let value = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        Some(number.saturating_mul(10).saturating_add(value))
    })
}

fn number_field<const N: usize>(mut number: u64) -> [u8; N] {
    let mut field = [b' '; N];
    for digit in field.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    field
}

#[cfg(test)]
mod tests;
