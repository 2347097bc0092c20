//! What the stream has declared so far.
use super::Stream;
use crate::agent::Fault;
use crate::bus::UNREADABLE_ADVICE;
use crate::bus::stream_reader::StreamRead;
use crate::disk::Disk;
use crate::journal::{Group, MESSAGE_BYTES_MAX};
use crate::store::Declared;
use gds_wire::declaration::Declaration;
use gds_wire::envelope::{Kind, Message};
use std::fmt;

/// Everything that the stream declares, as far as it is kept. Memory is sized by the largest of it, so it must be known before anything is
/// applied; it is gathered while the journal is checked, so that this costs no reading of its own.
#[derive(Default)]
pub(super) struct Declarations {
    /// With the number of the message.
    declared: Vec<(u64, Declaration)>,
    /// The first message that was none.
    fault: Option<Fault>,
}

impl Declarations {
    pub(super) fn of_group(&mut self, group: &Group<'_>) {
        for message in group.messages() {
            self.of_message(message.sequence, message.bytes);
        }
    }

    /// Of what only the ring has.
    pub(super) fn of_ring(&mut self, bus: &Stream, from: u64, disk: &mut dyn Disk) -> Result<(), Fault> {
        let mut bytes = vec![0; MESSAGE_BYTES_MAX];
        let (mut reader, last) = (bus.reader(from), bus.progress.sequenced.get());
        while reader.next_sequence() <= last {
            let sequence = reader.next_sequence();
            match reader.read(last, disk, &mut bytes).map_err(Fault::from)? {
                StreamRead::Message { length, .. } => self.of_message(sequence, &bytes[..length]),
                _ => {
                    return Err(Fault(format!("message {sequence} is not in the ring: restore the journal")));
                }
            }
        }
        Ok(())
    }

    fn of_message(&mut self, sequence: u64, message: &[u8]) {
        if let Err(fault) = self.accept(sequence, message) {
            self.fault.get_or_insert(fault);
        }
    }

    fn accept(&mut self, sequence: u64, message: &[u8]) -> Result<(), Fault> {
        let unreadable = |why: &dyn fmt::Display| {
            Fault(format!("message {sequence} of the stream cannot be read ({why}): {UNREADABLE_ADVICE}"))
        };
        let message = Message::parse(message).map_err(|error| unreadable(&error))?;
        if message.envelope.kind() == Kind::Declare {
            let declaration = Declaration::parse(message.body).map_err(|error| unreadable(&error))?;
            self.declared.push((sequence, declaration));
        }
        Ok(())
    }

    /// All of them, where this was declared up to message `sequence`.
    pub(super) fn behind(&self, mut before: Declared, sequence: u64) -> Result<Declared, Fault> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        for (_, declaration) in self.declared.iter().filter(|(number, _)| *number > sequence) {
            before.accept(declaration);
        }
        Ok(before)
    }
}

/// Whether a stream that has declared this must hear of this declaration.
pub(super) fn says_something_new(declaration: &Declaration, declared: &Declared) -> bool {
    declared.declaration() != Some(&declared.with(declaration))
}
