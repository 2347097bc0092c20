//! What can be wrong with a recording.
use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a recording cannot be opened or read further. Offsets count bytes of the uncompressed recording.
#[derive(Debug)]
pub enum CaptureError {
    /// The file cannot be opened.
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The file cannot be read further.
    Read {
        /// The file.
        path: PathBuf,
        /// How far it was read.
        offset: u64,
        /// What the system said.
        cause: io::Error,
    },
    /// The gzip stream is damaged.
    Gzip {
        /// The file.
        path: PathBuf,
        /// How much of its content came out.
        offset: u64,
        /// What the decoder said.
        cause: io::Error,
    },
    /// There is nothing in it.
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A known format that is not read here.
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The format's name.
        format: &'static str,
    },
    /// No recording of any known format.
    Unknown {
        /// The file.
        path: PathBuf,
        /// Its first bytes, up to eight.
        head: Vec<u8>,
    },
    /// A BinaryFILE record of length zero that is not the last thing in the file.
    ZeroLength {
        /// The file.
        path: PathBuf,
        /// Where the zero length is.
        offset: u64,
    },
    /// A record contradicts the format; what follows cannot be found.
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the record begins.
        offset: u64,
        /// What is wrong with it.
        what: String,
    },
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open { path, cause } => {
                write!(
                    f,
                    "{}: cannot be opened ({cause}); give the path of a readable recording",
                    path.display()
                )
            }
            Self::Read { path, offset, cause } => {
                write!(f, "{}: cannot be read beyond byte {offset} ({cause}); check the disk", path.display())
            }
            Self::Gzip { path, offset, cause } => write!(
                f,
                "{}: the gzip stream is damaged after byte {offset} of its content ({cause}); \
                 `gzip -t` tells more, and what came before has been read",
                path.display()
            ),
            Self::Empty { path } => {
                write!(f, "{}: the file is empty; there is nothing to replay", path.display())
            }
            Self::Unsupported { path, format } => {
                write!(f, "{}: this is {format}, which is not read here; unpack it first", path.display())
            }
            Self::Unknown { path, head } => write!(
                f,
                "{}: neither pcap, pcapng nor BinaryFILE at byte 0 (begins with {head:02x?}); \
                 give a capture, or a file of messages that each follow a big-endian u16 length",
                path.display()
            ),
            Self::ZeroLength { path, offset } => write!(
                f,
                "{}: a record of length zero at byte {offset} with more bytes after it. In a BinaryFILE that length ends the \
                 session and is the last thing in the file; this file seems to hold zeros where lengths should be. \
                 Write it again with each message's length",
                path.display()
            ),
            Self::Damaged { path, offset, what } => write!(
                f,
                "{}: damaged at byte {offset}: {what}; what came before has been read, what follows cannot be found. \
                 Record it again, or cut it there",
                path.display()
            ),
        }
    }
}

impl std::error::Error for CaptureError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Open { cause, .. } | Self::Read { cause, .. } | Self::Gzip { cause, .. } => Some(cause),
            _ => None,
        }
    }
}
