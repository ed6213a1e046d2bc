//! Compiles tables of system calls into a filter for the kernel (seccomp's BPF), when the program is built.
//!
//! The kernel asks a filter at every call, and from 5.11 on remembers the answer; for that it asks for every number there
//! is when the filter is installed. So rows stand sorted, in groups that are passed over as a whole: few steps lead to each
//! answer. Every row holds its own answers, so that no jump is longer than a group.

use super::architecture::ARCHITECTURE;
use super::table::{Argument, Arguments, Row};

/// One instruction of a filter, laid out as the kernel's `struct sock_filter`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Instruction {
    pub(super) code: u16,
    pub(super) then_skip: u8,
    pub(super) else_skip: u8,
    pub(super) value: u32,
}

/// The instructions that a table takes.
pub(super) const fn length(table: &[Row]) -> usize {
    let (mut length, mut row) = (PROLOGUE + (table.len().div_ceil(GROUP) - 1) * AROUND_GROUP, 0);
    while row < table.len() {
        length += row_length(&table[row]);
        row += 1;
    }
    length
}

/// The instructions that a row takes: which call it is, what its arguments are, the answer.
pub(super) const fn row_length(row: &Row) -> usize {
    match row.arguments {
        Arguments::Any => 2,
        Arguments::OneOf(combinations) => {
            let (mut length, mut combination) = (2, 0);
            while combination < combinations.len() {
                length += combination_length(combinations[combination]);
                combination += 1;
            }
            length
        }
    }
}

/// Each argument is loaded and compared, then comes the answer.
pub(super) const fn combination_length(combination: &[Argument]) -> usize {
    2 * combination.len() + 1
}

pub(super) const PROLOGUE: usize = 4;
pub(super) const EPILOGUE: usize = 1;
/// So many rows are asked one by one.
pub(super) const GROUP: usize = 6;
/// What stands before and after each group but the last.
pub(super) const AROUND_GROUP: usize = 2;

// Where the kernel shows a filter the call, from `struct seccomp_data`.
pub(super) const AT_NUMBER: u32 = 0;
pub(super) const AT_ARCHITECTURE: u32 = 4;
pub(super) const AT_ARGUMENTS: u32 = 16;

pub(super) const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
pub(super) const IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
pub(super) const IF_AT_LEAST: u32 = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
pub(super) const JUMP: u32 = libc::BPF_JMP | libc::BPF_JA;
pub(super) const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
pub(super) const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
/// The call is not made, and the process ends after it has logged the number of the call.
pub(super) const DENY: u32 = libc::SECCOMP_RET_TRAP;

pub(super) const fn instruction(code: u32, value: u32, then_skip: usize, else_skip: usize) -> Instruction {
    assert!(then_skip < 256 && else_skip < 256, "a jump reaches 255 instructions");
    Instruction { code: code as u16, then_skip: then_skip as u8, else_skip: else_skip as u8, value }
}

/// The row with the lowest number from `number` on.
pub(super) const fn next(table: &[Row], number: i64) -> Option<&Row> {
    let (mut found, mut row): (Option<&Row>, usize) = (None, 0);
    while row < table.len() {
        let lower = match found {
            Some(found) => table[row].number < found.number,
            None => true,
        };
        if lower && table[row].number >= number {
            found = Some(&table[row]);
        }
        row += 1;
    }
    found
}

/// Compiles tables, one behind the other: what a table has no row for is asked of the next.
pub(super) const fn compile<const N: usize>(tables: &[&[Row]]) -> [Instruction; N] {
    // What no table has a row for reaches the last instruction.
    let mut out = [instruction(RETURN, DENY, 0, 0); N];
    let (mut at, mut table) = (0, 0);
    while table < tables.len() {
        let after = at + length(tables[table]);
        // Another architecture's numbers mean other calls.
        out[at] = instruction(LOAD, AT_ARCHITECTURE, 0, 0);
        out[at + 1] = instruction(IF_EQUAL, ARCHITECTURE, 1, 0);
        out[at + 2] = instruction(RETURN, DENY, 0, 0);
        out[at + 3] = instruction(LOAD, AT_NUMBER, 0, 0);
        at += PROLOGUE;
        let (mut rows, mut group) = (0, None);
        let mut row = next(tables[table], 0);
        while let Some(this) = row {
            if rows % GROUP == 0 {
                if let Some(before) = group {
                    // Its call is none of that group, whose numbers are all lower; and what reached the group's end is
                    // none of this table, as its number is lower than all that follow.
                    out[at] = instruction(JUMP, (after - at - 1) as u32, 0, 0);
                    at += 1;
                    out[before] = instruction(IF_AT_LEAST, this.number as u32, at - before - 1, 0);
                }
                // The last group is never passed over.
                if rows + GROUP < tables[table].len() {
                    group = Some(at);
                    at += 1;
                }
            }
            at = compile_row(&mut out, at, this);
            rows += 1;
            row = next(tables[table], this.number + 1);
        }
        assert!(at == after, "a table takes its length");
        table += 1;
    }
    out
}

/// Writes a row's instructions at `at`. Returns where the next ones stand.
pub(super) const fn compile_row(out: &mut [Instruction], mut at: usize, row: &Row) -> usize {
    let end = at + row_length(row);
    out[at] = instruction(IF_EQUAL, row.number as u32, 0, end - at - 1);
    at += 1;
    match row.arguments {
        Arguments::Any => out[at] = instruction(RETURN, ALLOW, 0, 0),
        Arguments::OneOf(combinations) => {
            let mut combination = 0;
            while combination < combinations.len() {
                let arguments = combinations[combination];
                let next = at + combination_length(arguments);
                let mut argument = 0;
                while argument < arguments.len() {
                    let Argument { index, value } = &arguments[argument];
                    out[at] = instruction(LOAD, AT_ARGUMENTS + 8 * *index, 0, 0);
                    out[at + 1] = instruction(IF_EQUAL, *value, 0, next - at - 2);
                    at += 2;
                    argument += 1;
                }
                out[at] = instruction(RETURN, ALLOW, 0, 0);
                at = next;
                combination += 1;
            }
            // The row is this call's only one.
            out[at] = instruction(RETURN, DENY, 0, 0);
        }
    }
    end
}
