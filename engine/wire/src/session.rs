//! Session names: ten bytes that say whose sequence numbers these are.
//!
//! A name shorter than ten characters is padded on the right with spaces, and names are compared as ten raw bytes; so
//! implementations that pad otherwise are told their full ten characters (readings M1, M10 in `docs/PROTOCOL.md`).
//!
//! As text, bytes that are not printable ASCII, and the backslash, are written `\x` and two hexadecimal digits. Real venues do
//! send such names: one publishes ten NUL bytes.
use std::fmt;
use std::str::FromStr;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of a session name on every wire.
pub const SESSION_BYTES: usize = 10;

/// A session name, exactly as it stands in a packet. MoldUDP64 1.00, "Downstream Packet Format": field Session.
///
/// ```text
///  0                                       10
/// +-----------------------------------------+
/// | characters, padded right with spaces    |
/// +-----------------------------------------+
/// ```
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(transparent)]
pub struct Session(pub [u8; SESSION_BYTES]);

const _: () = assert!(size_of::<Session>() == SESSION_BYTES && align_of::<Session>() == 1);

impl Session {
    /// Ten spaces: no name. In a SoupBinTCP login it asks for a new session.
    pub const BLANK: Self = Self([b' '; SESSION_BYTES]);

    /// The name under which a node itself puts messages on the stream (declarations, end of stream). Nobody else may use it.
    pub const NODE: Self = Self(*b"GDSNODE   ");

    /// `name` padded with spaces on the right; `None` unless it is 1 to 10 printable ASCII characters and not blank.
    pub fn padded(name: &str) -> Option<Self> {
        let printable = name.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        if name.len() > SESSION_BYTES || !printable || name.bytes().all(|byte| byte == b' ') {
            return None;
        }
        let mut bytes = [b' '; SESSION_BYTES];
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        Some(Self(bytes))
    }

    /// The name without the spaces that pad it.
    pub fn name(&self) -> &[u8] {
        trim_padding(&self.0)
    }

    /// True for ten spaces.
    pub fn is_blank(&self) -> bool {
        self.name().is_empty()
    }
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&escaped(self.name()))
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({self})")
    }
}

impl FromStr for Session {
    type Err = SessionError;

    /// Reads what `Display` writes.
    fn from_str(text: &str) -> Result<Self, SessionError> {
        Ok(Self(unescaped(text)?))
    }
}

/// Why a text is no session name, or no pattern of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionError {
    /// Nothing, or only spaces.
    Empty,
    /// More than ten characters.
    TooLong,
    /// A character that is not printable ASCII stands there unescaped, or a `\` without `x` and two hexadecimal digits.
    Character {
        /// Where in the text, in bytes.
        offset: usize,
    },
    /// A `*` that is not the last character of a pattern.
    Star {
        /// Where in the name, in bytes.
        offset: usize,
    },
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a session name needs 1 to 10 characters; this one is empty"),
            Self::TooLong => f.write_str("a session name has at most 10 characters; shorten it"),
            Self::Character { offset } => write!(
                f,
                "the character at offset {offset} of the session name is not printable ASCII; write other bytes as \\x and two \
                 hexadecimal digits"
            ),
            Self::Star { offset } => write!(
                f,
                "the * at offset {offset} of the session pattern is not its last character; use ? for single characters"
            ),
        }
    }
}

impl std::error::Error for SessionError {}

/// Which sessions are meant: `?` stands for any one character, a `*` at the end for any rest, the empty one included.
///
/// On the wire a pattern is ten bytes, padded on the right with spaces, so `ITCH*` is `49 54 43 48 2a 20 20 20 20 20`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionPattern([u8; SESSION_BYTES]);

impl SessionPattern {
    /// The pattern every session matches: `*`.
    pub const ANY: Self = Self(*b"*         ");

    /// Checks a pattern's wire form.
    pub fn from_bytes(bytes: [u8; SESSION_BYTES]) -> Result<Self, SessionError> {
        let name = trim_padding(&bytes);
        if name.is_empty() {
            return Err(SessionError::Empty);
        }
        match name[..name.len() - 1].iter().position(|&byte| byte == b'*') {
            Some(offset) => Err(SessionError::Star { offset }),
            None => Ok(Self(bytes)),
        }
    }

    /// The wire form.
    pub fn to_bytes(self) -> [u8; SESSION_BYTES] {
        self.0
    }

    /// Whether `session` is meant. Padding is no character: `AB?` does not match `AB`.
    pub fn matches(&self, session: &Session) -> bool {
        let name = session.name();
        let (fixed, open) = match trim_padding(&self.0) {
            [fixed @ .., b'*'] => (fixed, true),
            fixed => (fixed, false),
        };
        let long_enough = if open { name.len() >= fixed.len() } else { name.len() == fixed.len() };
        long_enough && fixed.iter().zip(name).all(|(&wanted, &byte)| wanted == b'?' || wanted == byte)
    }
}

impl From<Session> for SessionPattern {
    /// The pattern with the session's own bytes; a `?` or a final `*` in the name keeps its meaning in patterns.
    ///
    /// # Panics
    /// On a blank session, and on one with a `*` before its end.
    fn from(session: Session) -> Self {
        match Self::from_bytes(session.0) {
            Ok(pattern) => pattern,
            Err(error) => panic!("{session:?} is no pattern: {error}"),
        }
    }
}

impl fmt::Display for SessionPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&escaped(trim_padding(&self.0)))
    }
}

impl fmt::Debug for SessionPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionPattern({self})")
    }
}

impl FromStr for SessionPattern {
    type Err = SessionError;

    fn from_str(text: &str) -> Result<Self, SessionError> {
        Self::from_bytes(unescaped(text)?)
    }
}

fn trim_padding(bytes: &[u8; SESSION_BYTES]) -> &[u8] {
    let length = bytes.iter().rposition(|&byte| byte != b' ').map_or(0, |last| last + 1);
    &bytes[..length]
}

fn escaped(name: &[u8]) -> String {
    let mut text = String::with_capacity(SESSION_BYTES * 4);
    for &byte in name {
        if byte == b' ' || (byte.is_ascii_graphic() && byte != b'\\') {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

fn unescaped(text: &str) -> Result<[u8; SESSION_BYTES], SessionError> {
    let mut bytes = [b' '; SESSION_BYTES];
    let mut length = 0;
    let mut offset = 0;
    let source = text.as_bytes();
    while offset < source.len() {
        let (byte, width) = match source[offset..] {
            [b'\\', b'x', high, low, ..] => match (hexadecimal(high), hexadecimal(low)) {
                (Some(high), Some(low)) => (high << 4 | low, 4),
                _ => return Err(SessionError::Character { offset }),
            },
            [byte, ..] if byte == b' ' || (byte.is_ascii_graphic() && byte != b'\\') => (byte, 1),
            _ => return Err(SessionError::Character { offset }),
        };
        if length == SESSION_BYTES {
            return Err(SessionError::TooLong);
        }
        bytes[length] = byte;
        length += 1;
        offset += width;
    }
    if trim_padding(&bytes).is_empty() { Err(SessionError::Empty) } else { Ok(bytes) }
}

fn hexadecimal(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests;
