//! The instructions of the kernel's BPF machine that the redirect program needs: as values, as text, and as the kernel's bytes.
//!
//! The machine has 64-bit registers `r0` to `r10`. `w0` to `w10` are their lower halves: what writes one clears the upper half.
//! IPv4 addresses are compared as `w`, because an immediate value is sign-extended for a comparison of 64 bits.
use std::fmt;

// The bytes of an instruction are laid out for machines that keep the least significant byte first.
const _: () = assert!(cfg!(target_endian = "little"));

/// One register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Register(u8);

/// Results of calls; the program's verdict at its end.
pub(super) const R0: Register = Register(0);
/// First argument of calls, lost with each; the context at the program's start.
pub(super) const R1: Register = Register(1);
/// Second argument of calls, lost with each.
pub(super) const R2: Register = Register(2);
/// Third argument of calls, lost with each.
pub(super) const R3: Register = Register(3);
/// Kept over calls.
pub(super) const R6: Register = Register(6);
/// Kept over calls.
pub(super) const R7: Register = Register(7);
/// Kept over calls.
pub(super) const R8: Register = Register(8);
/// Kept over calls.
pub(super) const R9: Register = Register(9);

/// How many bytes a load takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    /// One.
    Byte,
    /// Two.
    Half,
    /// Four.
    Word,
}

/// What a register is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operand {
    /// Another register.
    Register(Register),
    /// A value.
    Value(i32),
}

/// When a jump is taken. Comparisons of size are unsigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// `==`
    Equal,
    /// `!=`
    Differs,
    /// `>`
    Above,
    /// `<`
    Below,
}

/// The maps that the program uses. Their descriptors are put in when it is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Map {
    /// AF_XDP sockets by index.
    Sockets,
    /// One value: all counters.
    Counters,
}

/// Descriptors of the maps, as the kernel wants them in instructions.
#[derive(Clone, Copy, Debug)]
pub(super) struct MapDescriptors {
    /// Of [`Map::Sockets`].
    pub(super) sockets: i32,
    /// Of [`Map::Counters`].
    pub(super) counters: i32,
}

/// Functions of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    /// `bpf_redirect_map(map, index, verdict where the slot is empty)`
    RedirectMap = 51,
    /// `bpf_xdp_get_buff_len(context)`: bytes of the frame.
    FrameBytes = 188,
}

/// One instruction. `Target` is where it jumps to: a label while assembling, then a number of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Instruction<Target> {
    /// `to = from`, 64 bits.
    Copy { to: Register, from: Register },
    /// `to = value`, 32 bits.
    Set { to: Register, value: i32 },
    /// `to += value`, 64 bits: also for addresses.
    Add { to: Register, value: i32 },
    /// `to &= mask`, 32 bits.
    And { to: Register, mask: i32 },
    /// The two lower bytes, swapped from the order of the wire; the rest cleared.
    FromWire16 { register: Register },
    /// `to = *(base + offset)`, the rest cleared.
    Load { to: Register, width: Width, base: Register, offset: i16 },
    /// `*(base + offset) += from`, 64 bits, atomically.
    AtomicAdd { base: Register, offset: i16, from: Register },
    /// `to = map`, for calls. Two slots.
    LoadMap { to: Register, map: Map },
    /// `to = &map.value[offset]`. Two slots.
    LoadMapValue { to: Register, map: Map, offset: i32 },
    /// Jumps if `left when right`; 64 bits if `wide`, else 32.
    JumpIf { left: Register, when: When, right: Operand, wide: bool, to: Target },
    /// Jumps.
    Jump { to: Target },
    /// Calls a function of the kernel.
    Call { function: Function },
    /// Ends with the verdict in `r0`.
    Exit,
}

impl<Target> Instruction<Target> {
    /// Slots of eight bytes it takes.
    pub(super) fn slots(&self) -> usize {
        if matches!(self, Self::LoadMap { .. } | Self::LoadMapValue { .. }) { 2 } else { 1 }
    }

    /// The same, with its target replaced.
    pub(super) fn map_target<Other>(self, replace: impl FnOnce(Target) -> Other) -> Instruction<Other> {
        match self {
            Self::Copy { to, from } => Instruction::Copy { to, from },
            Self::Set { to, value } => Instruction::Set { to, value },
            Self::Add { to, value } => Instruction::Add { to, value },
            Self::And { to, mask } => Instruction::And { to, mask },
            Self::FromWire16 { register } => Instruction::FromWire16 { register },
            Self::Load { to, width, base, offset } => Instruction::Load { to, width, base, offset },
            Self::AtomicAdd { base, offset, from } => Instruction::AtomicAdd { base, offset, from },
            Self::LoadMap { to, map } => Instruction::LoadMap { to, map },
            Self::LoadMapValue { to, map, offset } => Instruction::LoadMapValue { to, map, offset },
            Self::JumpIf { left, when, right, wide, to } => {
                Instruction::JumpIf { left, when, right, wide, to: replace(to) }
            }
            Self::Jump { to } => Instruction::Jump { to: replace(to) },
            Self::Call { function } => Instruction::Call { function },
            Self::Exit => Instruction::Exit,
        }
    }
}

/// Slot of the kernel's program.
pub(super) type Slot = [u8; 8];

// linux/bpf_common.h and linux/bpf.h: classes, sizes, modes, operations and sources that make up an opcode.
const LD: u8 = 0x00;
const LDX: u8 = 0x01;
const STX: u8 = 0x03;
const ALU: u8 = 0x04;
const JMP: u8 = 0x05;
const JMP32: u8 = 0x06;
const ALU64: u8 = 0x07;
const WORD: u8 = 0x00;
const HALF: u8 = 0x08;
const BYTE: u8 = 0x10;
const DOUBLE: u8 = 0x18;
const IMMEDIATE: u8 = 0x00;
const MEMORY: u8 = 0x60;
const ATOMIC: u8 = 0xc0;
const ADD: u8 = 0x00;
const AND: u8 = 0x50;
const MOVE: u8 = 0xb0;
const END: u8 = 0xd0;
const TO_BIG_ENDIAN: u8 = 0x08;
const FROM_REGISTER: u8 = 0x08;
const JUMP_ALWAYS: u8 = 0x00;
const CALL: u8 = 0x80;
const EXIT: u8 = 0x90;
// linux/bpf.h: what the immediate value of a two-slot load is.
const PSEUDO_MAP_FD: Register = Register(1);
const PSEUDO_MAP_VALUE: Register = Register(2);

const NONE: Register = Register(0);

fn slot(opcode: u8, to: Register, from: Register, offset: i16, value: i32) -> Slot {
    let [offset_low, offset_high] = offset.to_le_bytes();
    let [v0, v1, v2, v3] = value.to_le_bytes();
    [opcode, to.0 | from.0 << 4, offset_low, offset_high, v0, v1, v2, v3]
}

impl Instruction<i16> {
    /// Appends the kernel's form of it.
    pub(super) fn encode(&self, maps: MapDescriptors, out: &mut Vec<Slot>) {
        let wide_load = |to, kind, map, second| {
            let descriptor = match map {
                Map::Sockets => maps.sockets,
                Map::Counters => maps.counters,
            };
            [slot(LD | DOUBLE | IMMEDIATE, to, kind, 0, descriptor), slot(0, NONE, NONE, 0, second)]
        };
        let one = match *self {
            Self::LoadMap { to, map } => return out.extend(wide_load(to, PSEUDO_MAP_FD, map, 0)),
            Self::LoadMapValue { to, map, offset } => {
                return out.extend(wide_load(to, PSEUDO_MAP_VALUE, map, offset));
            }
            Self::Copy { to, from } => slot(ALU64 | MOVE | FROM_REGISTER, to, from, 0, 0),
            Self::Set { to, value } => slot(ALU | MOVE, to, NONE, 0, value),
            Self::Add { to, value } => slot(ALU64 | ADD, to, NONE, 0, value),
            Self::And { to, mask } => slot(ALU | AND, to, NONE, 0, mask),
            Self::FromWire16 { register } => slot(ALU | END | TO_BIG_ENDIAN, register, NONE, 0, 16),
            Self::Load { to, width, base, offset } => {
                slot(LDX | MEMORY | width.opcode(), to, base, offset, 0)
            }
            Self::AtomicAdd { base, offset, from } => {
                slot(STX | DOUBLE | ATOMIC, base, from, offset, i32::from(ADD))
            }
            Self::JumpIf { left, when, right, wide, to } => {
                let opcode = when.opcode() | if wide { JMP } else { JMP32 };
                match right {
                    Operand::Register(right) => slot(opcode | FROM_REGISTER, left, right, to, 0),
                    Operand::Value(value) => slot(opcode, left, NONE, to, value),
                }
            }
            Self::Jump { to } => slot(JMP | JUMP_ALWAYS, NONE, NONE, to, 0),
            Self::Call { function } => slot(JMP | CALL, NONE, NONE, 0, function as i32),
            Self::Exit => slot(JMP | EXIT, NONE, NONE, 0, 0),
        };
        out.push(one);
    }
}

impl Width {
    fn opcode(self) -> u8 {
        match self {
            Self::Byte => BYTE,
            Self::Half => HALF,
            Self::Word => WORD,
        }
    }

    fn bits(self) -> u8 {
        match self {
            Self::Byte => 8,
            Self::Half => 16,
            Self::Word => 32,
        }
    }
}

impl When {
    fn opcode(self) -> u8 {
        match self {
            Self::Equal => 0x10,
            Self::Above => 0x20,
            Self::Differs => 0x50,
            Self::Below => 0xa0,
        }
    }

    fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::Differs => "!=",
            Self::Above => ">",
            Self::Below => "<",
        }
    }
}

impl fmt::Display for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sockets => "sockets",
            Self::Counters => "counters",
        })
    }
}

impl<Target: fmt::Display> fmt::Display for Instruction<Target> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Copy { to, from } => write!(f, "r{} = r{}", to.0, from.0),
            Self::Set { to, value } => write!(f, "w{} = {value}", to.0),
            Self::Add { to, value } => write!(f, "r{} += {value}", to.0),
            Self::And { to, mask } => write!(f, "w{} &= {mask:#x}", to.0),
            Self::FromWire16 { register } => write!(f, "r{0} = be16 r{0}", register.0),
            Self::Load { to, width, base, offset } => {
                write!(f, "r{} = *(u{} *)(r{} + {offset})", to.0, width.bits(), base.0)
            }
            Self::AtomicAdd { base, offset, from } => {
                write!(f, "lock *(u64 *)(r{} + {offset}) += r{}", base.0, from.0)
            }
            Self::LoadMap { to, map } => write!(f, "r{} = {map}", to.0),
            Self::LoadMapValue { to, map, offset } => write!(f, "r{} = &{map}[{offset}]", to.0),
            Self::JumpIf { left, when, right, wide, to } => {
                let letter = if *wide { 'r' } else { 'w' };
                write!(f, "if {letter}{} {} ", left.0, when.symbol())?;
                match right {
                    Operand::Register(right) => write!(f, "{letter}{}", right.0)?,
                    Operand::Value(value) => write!(f, "{value:#x}")?,
                }
                write!(f, " goto {to}")
            }
            Self::Jump { to } => write!(f, "goto {to}"),
            Self::Call { function: Function::RedirectMap } => f.write_str("call redirect_map"),
            Self::Call { function: Function::FrameBytes } => f.write_str("call xdp_get_buff_len"),
            Self::Exit => f.write_str("exit"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(instruction: Instruction<i16>) -> Vec<Slot> {
        let mut out = Vec::new();
        instruction.encode(MapDescriptors { sockets: 7, counters: 9 }, &mut out);
        assert_eq!(out.len(), instruction.slots());
        out
    }

    /// Bytes as `llvm-mc -triple bpfel` gives them for the text beside.
    #[test]
    fn instructions_have_the_kernels_bytes() {
        let wide_jump = Instruction::JumpIf {
            left: R2,
            when: When::Above,
            right: Operand::Register(R1),
            wide: true,
            to: -2,
        };
        let narrow_jump = Instruction::JumpIf {
            left: R3,
            when: When::Differs,
            right: Operand::Value(-1),
            wide: false,
            to: 5,
        };
        let cases: [(Instruction<i16>, Slot); 13] = [
            (Instruction::Copy { to: R6, from: R1 }, [0xbf, 0x16, 0, 0, 0, 0, 0, 0]), // r6 = r1
            (Instruction::Set { to: R0, value: 2 }, [0xb4, 0x00, 0, 0, 2, 0, 0, 0]),  // w0 = 2
            (Instruction::Add { to: R2, value: 42 }, [0x07, 0x02, 0, 0, 42, 0, 0, 0]), // r2 += 42
            (Instruction::And { to: R3, mask: 0xff3f }, [0x54, 0x03, 0, 0, 0x3f, 0xff, 0, 0]), // w3 &= 0xff3f
            (Instruction::FromWire16 { register: R2 }, [0xdc, 0x02, 0, 0, 16, 0, 0, 0]), // r2 = be16 r2
            (
                Instruction::Load { to: R1, width: Width::Half, base: R7, offset: 12 },
                [0x69, 0x71, 12, 0, 0, 0, 0, 0], // r1 = *(u16 *)(r7 + 12)
            ),
            (
                Instruction::Load { to: R1, width: Width::Byte, base: R7, offset: 23 },
                [0x71, 0x71, 23, 0, 0, 0, 0, 0], // r1 = *(u8 *)(r7 + 23)
            ),
            (
                Instruction::AtomicAdd { base: R8, offset: 8, from: R1 },
                [0xdb, 0x18, 8, 0, 0, 0, 0, 0], // lock *(u64 *)(r8 + 8) += r1
            ),
            (wide_jump, [0x2d, 0x12, 0xfe, 0xff, 0, 0, 0, 0]), // if r2 > r1 goto -2
            (narrow_jump, [0x56, 0x03, 5, 0, 0xff, 0xff, 0xff, 0xff]), // if w3 != -1 goto +5
            (Instruction::Jump { to: 3 }, [0x05, 0, 3, 0, 0, 0, 0, 0]), // goto +3
            (Instruction::Call { function: Function::RedirectMap }, [0x85, 0, 0, 0, 51, 0, 0, 0]), // call 51
            (Instruction::Exit, [0x95, 0, 0, 0, 0, 0, 0, 0]),  // exit
        ];
        for (instruction, bytes) in cases {
            assert_eq!(encoded(instruction), [bytes], "{instruction}");
        }
    }

    #[test]
    fn maps_take_two_slots_with_their_descriptor_in_the_first() {
        assert_eq!(
            encoded(Instruction::LoadMap { to: R1, map: Map::Sockets }),
            [[0x18, 0x11, 0, 0, 7, 0, 0, 0], [0; 8]]
        );
        assert_eq!(
            encoded(Instruction::LoadMapValue { to: R8, map: Map::Counters, offset: 32 }),
            [[0x18, 0x28, 0, 0, 9, 0, 0, 0], [0, 0, 0, 0, 32, 0, 0, 0]]
        );
    }
}
