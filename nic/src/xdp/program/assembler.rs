//! Instructions in order, with labels to jump to.
use super::instruction::{Instruction, MapDescriptors, Slot};
use std::fmt;

/// A place in the program, known before it is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label(usize);

/// One instruction and what it is for.
#[derive(Debug)]
struct Line<Target> {
    instruction: Instruction<Target>,
    remark: String,
}

/// A program being written.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    lines: Vec<Line<Label>>,
    /// Names of the labels, and before which line each is.
    labels: Vec<(String, Option<usize>)>,
}

/// A program with every jump resolved.
#[derive(Debug)]
pub(super) struct Code {
    lines: Vec<Line<Jump>>,
    /// Names of the labels, and before which line each is.
    labels: Vec<(String, Option<usize>)>,
}

/// Where a jump goes: so many slots on from the instruction after it, and the label's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Jump {
    slots: i16,
    label: usize,
}

impl Assembler {
    /// A label to be placed later.
    pub(super) fn label(&mut self, name: impl Into<String>) -> Label {
        self.labels.push((name.into(), None));
        Label(self.labels.len() - 1)
    }

    /// The label stands for the next instruction.
    pub(super) fn place(&mut self, label: Label) {
        let at = &mut self.labels[label.0].1;
        assert!(at.is_none(), "a label has one place");
        *at = Some(self.lines.len());
    }

    /// The next instruction, and what it is for (empty where it speaks for itself).
    pub(super) fn emit(&mut self, instruction: Instruction<Label>, remark: impl Into<String>) {
        self.lines.push(Line { instruction, remark: remark.into() });
    }

    /// Resolves every jump.
    ///
    /// # Panics
    /// When a jump's label has no place, or it goes back or further than its 16 bits hold: mistakes in what was written.
    pub(super) fn finish(self) -> Code {
        let mut starts = Vec::with_capacity(self.lines.len() + 1);
        let mut slot = 0;
        for line in &self.lines {
            starts.push(slot);
            slot += line.instruction.slots();
        }
        starts.push(slot);
        let resolve = |index: usize, Label(label): Label| {
            let (name, at) = &self.labels[label];
            let at = at.unwrap_or_else(|| panic!("the label {name} has no place"));
            let distance = starts[at].checked_sub(starts[index + 1]);
            let slots = distance.and_then(|slots| i16::try_from(slots).ok());
            Jump { slots: slots.unwrap_or_else(|| panic!("{name} is out of reach of line {index}")), label }
        };
        let lines = self.lines.into_iter().enumerate().map(|(index, line)| Line {
            instruction: line.instruction.map_target(|label| resolve(index, label)),
            remark: line.remark,
        });
        Code { lines: lines.collect(), labels: self.labels }
    }
}

impl Code {
    /// Slots of eight bytes it takes.
    pub(super) fn slots(&self) -> usize {
        self.lines.iter().map(|line| line.instruction.slots()).sum()
    }

    /// The kernel's form of it.
    pub(super) fn encode(&self, maps: MapDescriptors) -> Vec<Slot> {
        let mut slots = Vec::with_capacity(self.slots());
        for line in &self.lines {
            line.instruction.map_target(|jump| jump.slots).encode(maps, &mut slots);
        }
        slots
    }
}

/// Column in which remarks begin.
const REMARKS: usize = 40;

impl fmt::Display for Code {
    /// A line for each label and each instruction, numbered by slots as the kernel's own listings are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut slot = 0;
        for (index, line) in self.lines.iter().enumerate() {
            for (name, _) in self.labels.iter().filter(|(_, at)| *at == Some(index)) {
                writeln!(f, "{name}:")?;
            }
            let text = line.instruction.map_target(|jump| &self.labels[jump.label].0).to_string();
            if line.remark.is_empty() {
                writeln!(f, "{slot:>5}  {text}")?;
            } else {
                writeln!(f, "{slot:>5}  {text:<REMARKS$}; {}", line.remark)?;
            }
            slot += line.instruction.slots();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::instruction::{Map, R0, R1};
    use super::*;

    const MAPS: MapDescriptors = MapDescriptors { sockets: 3, counters: 4 };

    #[test]
    fn jumps_count_slots_not_instructions() {
        let mut assembler = Assembler::default();
        let end = assembler.label("end");
        assembler.emit(Instruction::Jump { to: end }, "");
        assembler.emit(Instruction::LoadMap { to: R1, map: Map::Sockets }, "");
        assembler.emit(Instruction::Set { to: R0, value: 1 }, "");
        assembler.place(end);
        assembler.emit(Instruction::Exit, "");
        let slots = assembler.finish().encode(MAPS);
        assert_eq!(slots.len(), 5);
        assert_eq!(slots[0], [0x05, 0, 3, 0, 0, 0, 0, 0]);
    }

    fn jump_over(instructions: usize) -> Code {
        let mut assembler = Assembler::default();
        let end = assembler.label("end");
        assembler.emit(Instruction::Jump { to: end }, "");
        for _ in 0..instructions {
            assembler.emit(Instruction::Set { to: R0, value: 1 }, "");
        }
        assembler.place(end);
        assembler.emit(Instruction::Exit, "");
        assembler.finish()
    }

    #[test]
    fn the_longest_jump_is_16_bits_of_slots() {
        assert_eq!(jump_over(32_767).encode(MAPS)[0], [0x05, 0, 0xff, 0x7f, 0, 0, 0, 0]);
    }

    #[test]
    #[should_panic(expected = "end is out of reach of line 0")]
    fn a_longer_jump_is_refused() {
        jump_over(32_768);
    }

    #[test]
    #[should_panic(expected = "back is out of reach of line 1")]
    fn a_jump_back_is_refused() {
        let mut assembler = Assembler::default();
        let back = assembler.label("back");
        assembler.place(back);
        assembler.emit(Instruction::Set { to: R0, value: 1 }, "");
        assembler.emit(Instruction::Jump { to: back }, "");
        assembler.finish();
    }

    #[test]
    #[should_panic(expected = "the label nowhere has no place")]
    fn a_label_without_a_place_is_refused() {
        let mut assembler = Assembler::default();
        let nowhere = assembler.label("nowhere");
        assembler.emit(Instruction::Jump { to: nowhere }, "");
        assembler.finish();
    }

    #[test]
    fn the_listing_numbers_slots_and_names_labels() {
        let mut assembler = Assembler::default();
        let end = assembler.label("end");
        assembler.emit(Instruction::LoadMap { to: R1, map: Map::Sockets }, "all of them");
        assembler.emit(Instruction::Jump { to: end }, "");
        assembler.place(end);
        assembler.emit(Instruction::Exit, "");
        let listing = assembler.finish().to_string();
        let expected =
            format!("    0  {:<40}; all of them\n    2  goto end\nend:\n    3  exit\n", "r1 = sockets");
        assert_eq!(listing, expected);
    }
}
