//! What is compared: nodes over their query ports, and journals in directories.
use super::compare::Log;
use crate::arguments::Verify;
use crate::cluster::no_answer;
use crate::exit::Failure;
use crate::progress::Progress;
use crate::{journal, text};
use gds_client::Reader;
use gds_core::journal::{JournalRead, JournalReader, MESSAGE_BYTES_MAX, Message, walk};
use gds_core::memory::ring::chained;
use gds_node::ports::Files;
use gds_wire::acknowledgement::Acknowledgement;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One of those compared.
pub struct Subject {
    /// What a person calls it.
    pub name: String,
    /// The stream it says it has.
    pub stream: String,
    /// Where its store stands; `None`: it has none, or none that can be asked.
    pub store: Option<StoreMark>,
    kept: (u64, u64),
    source: Source,
}

/// Where a store stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreMark {
    /// The last message applied.
    pub applied: u64,
    /// Digest of the state behind it.
    pub digest: u128,
}

/// A message's place in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The epoch it was first numbered under; 0 where that is not known.
    pub epoch: u32,
    /// The running checksum of all messages up to it.
    pub chain: u64,
}

enum Source {
    Node(Box<Reader>),
    Directory(Box<Directory>),
}

struct Directory {
    files: Files,
    reader: JournalReader,
    message: Vec<u8>,
}

/// What is to be compared.
#[derive(Clone, Debug)]
pub enum Target {
    /// A node and its query port, or why that is not known here.
    Node(String, Result<SocketAddrV4, String>),
    /// The folder of a journal.
    Directory(PathBuf),
}

impl Target {
    /// The journal of the stream in this directory, or in the folder of the journal itself.
    pub fn directory(path: &Path) -> Result<Self, Failure> {
        let inner = path.join("bus");
        let folder = if inner.is_dir() { inner } else { path.to_owned() };
        journal::open(&folder)?;
        Ok(Self::Directory(folder))
    }

    /// What a person calls it.
    pub fn name(&self) -> String {
        match self {
            Self::Node(name, Ok(address)) => format!("{name} at {address}"),
            Self::Node(name, Err(_)) => name.clone(),
            Self::Directory(folder) => format!("directory {}", folder.display()),
        }
    }

    /// Looks at it for the first time; or why it cannot be compared.
    pub fn open(&self, arguments: &Verify, timeout: Duration) -> Result<Subject, String> {
        let mut subject = match self {
            Self::Node(_, Err(why)) => return Err(why.clone()),
            Self::Node(_, Ok(address)) => {
                let reader = Reader::open_at(*address, &arguments.user, &arguments.password, timeout);
                let reader = reader.map_err(|error| format!("no answer: {}", no_answer(error)))?;
                let source = Source::Node(Box::new(reader));
                Subject { name: self.name(), stream: String::new(), store: None, kept: (1, 0), source }
            }
            Self::Directory(folder) => open_directory(self.name(), folder)?,
        };
        subject.look()?;
        let (first, last) = subject.kept;
        if last < first {
            return Err("it has no message yet".into());
        }
        // Whoever cannot tell running checksums says so here.
        subject.mark(last)?;
        Ok(subject)
    }
}

/// Checks the whole journal, and opens it for questions.
fn open_directory(name: String, folder: &Path) -> Result<Subject, String> {
    let mut files = Files::open_to_read(folder).map_err(|error| error.to_string())?;
    let mut progress = Progress::new(None, &format!("messages of {}", folder.display()));
    let mut check = ChainCheck::default();
    let walked = walk(&mut files, None, 0, &mut |group| {
        progress.set(group.next() - 1);
        group.messages().for_each(|message| check.take(&message));
    });
    progress.finish();
    let walked = walked.map_err(|error| error.to_string())?;
    if let Some(why) = check.wrong {
        return Err(why);
    }
    let Some(stream) = walked.stream else { return Err("it has no message yet".into()) };
    let reader = JournalReader::new(stream);
    let source =
        Source::Directory(Box::new(Directory { files, reader, message: vec![0; MESSAGE_BYTES_MAX] }));
    let kept = (walked.first, walked.last);
    Ok(Subject { name, stream: stream.to_string(), store: None, kept, source })
}

/// Whether the running checksums in a journal are those of its messages.
#[derive(Default)]
struct ChainCheck {
    before: Option<u64>,
    /// Why they are not.
    wrong: Option<String>,
}

impl ChainCheck {
    /// Takes the messages in order.
    fn take(&mut self, message: &Message<'_>) {
        let Message { sequence, chain, bytes, .. } = *message;
        let before = self.before.replace(chain);
        let (is_first, number) = (before.is_none(), || text::grouped(sequence));
        let wrong = match before.or((sequence == 1).then_some(0)) {
            _ if is_first && Acknowledgement::parse(bytes).is_ok() => {
                "it holds acknowledgements: name the directory, or its folder bus".to_owned()
            }
            // A rewinder's: packets carry no running checksum, and it has not seen what came before.
            None if chain == chained(0, bytes) => {
                format!(
                    "it begins with message {}, and does not know the running checksum of what came before",
                    number()
                )
            }
            Some(before) if chain != chained(before, bytes) => {
                format!(
                    "the running checksum of message {} is not that of its bytes and those before",
                    number()
                )
            }
            _ => return,
        };
        self.wrong.get_or_insert(wrong);
    }
}

impl Directory {
    fn read(&mut self, sequence: u64) -> Result<(Mark, &[u8]), String> {
        let Self { files, reader, message } = self;
        match reader.read(sequence, files, message).map_err(|error| error.to_string())? {
            JournalRead::Message { length, epoch, chain } => Ok((Mark { epoch, chain }, &message[..length])),
            JournalRead::Absent => Err(format!("message {sequence} is no longer kept: try again")),
            JournalRead::TooSmall { .. } => {
                Err(format!("message {sequence} is longer than a message may be"))
            }
        }
    }
}

impl Subject {
    /// Asks a node again where it stands. A directory is taken as it was found.
    pub fn look(&mut self) -> Result<(), String> {
        let Source::Node(reader) = &mut self.source else { return Ok(()) };
        let report = reader.status(0).map_err(|error| format!("no answer: {}", no_answer(error)))?;
        let status = &report.status;
        self.stream = status.stream.to_string();
        self.kept = (status.first_kept, status.committed);
        // A rewinder that is nothing else has no store to count.
        let has_store = report.counters.iter().any(|(name, _)| name.starts_with("store."));
        self.store = has_store.then_some(StoreMark { applied: status.applied, digest: status.digest });
        Ok(())
    }

    /// Whether it says what is committed. A journal alone does not know.
    pub fn knows_commit(&self) -> bool {
        matches!(self.source, Source::Node(_))
    }

    /// Where a message stands in its log.
    pub fn mark(&mut self, sequence: u64) -> Result<Mark, String> {
        match &mut self.source {
            Source::Node(reader) => {
                let told = reader.checksum(sequence).map_err(no_answer)?;
                if told.sequence != sequence {
                    return Err(format!("asked for message {sequence}, it answers for {}", told.sequence));
                }
                Ok(Mark { epoch: told.epoch, chain: told.chain })
            }
            Source::Directory(directory) => Ok(directory.read(sequence)?.0),
        }
    }

    /// A message's bytes.
    pub fn message(&mut self, sequence: u64) -> Result<Vec<u8>, String> {
        match &mut self.source {
            Source::Node(reader) => {
                let mut found = None;
                let mut take = |number, bytes: &[u8]| {
                    if number == sequence {
                        found = Some(bytes.to_vec());
                    }
                };
                reader.range(sequence, sequence, &mut take).map_err(no_answer)?;
                found.ok_or_else(|| format!("the answer to a range did not have message {sequence}"))
            }
            Source::Directory(directory) => Ok(directory.read(sequence)?.1.to_vec()),
        }
    }

    /// Logs out of a node.
    pub fn close(self) {
        if let Source::Node(reader) = self.source {
            reader.close();
        }
    }
}

impl Log for Subject {
    fn kept(&self) -> (u64, u64) {
        self.kept
    }

    fn chain(&mut self, sequence: u64) -> Result<u64, String> {
        let name = self.name.clone();
        self.mark(sequence).map(|mark| mark.chain).map_err(|why| format!("{name}: {why}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong with messages from this number on, of these bytes and with these chains.
    fn wrong(first: u64, messages: &[(&[u8], u64)]) -> Option<String> {
        let mut check = ChainCheck::default();
        for (sequence, (bytes, chain)) in (first..).zip(messages) {
            check.take(&Message { sequence, epoch: 1, chain: *chain, bytes });
        }
        check.wrong
    }

    #[test]
    fn running_checksums_that_are_not_those_of_the_messages_are_found() {
        let (one, two) = (chained(0, b"one"), chained(chained(0, b"one"), b"two"));
        assert_eq!(wrong(1, &[(b"one", one), (b"two", two)]), None);
        assert_eq!(wrong(8, &[(b"two", two)]), None, "what came before is elsewhere");
        let altered = wrong(1, &[(b"one", one), (b"two", one)]).unwrap();
        assert!(altered.contains("of message 2 is not that of its bytes"), "{altered}");
        let altered = wrong(1, &[(b"own", one), (b"two", two)]).unwrap();
        assert!(altered.contains("of message 1 is not that of its bytes"), "{altered}");
        let rewinder = wrong(8, &[(b"one", one), (b"two", two)]).unwrap();
        assert!(rewinder.contains("begins with message 8"), "{rewinder}");
    }
}
