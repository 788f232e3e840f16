//! The products of [`Rows`](crate::arithmetic::layout::Rows) for Armv7-M: eight instructions
//! for four products, and a loop of eight inputs, whose pointers move as they load. The
//! compiler moves them all the time, or has no registers left.

#![allow(unsafe_code)]

use core::arch::global_asm;

use crate::arch::calls;

// SAFETY: signature and contract as in the assembly below.
unsafe extern "C" {
    fn tadpool_armv7m_dots(
        w0: *const i8,
        w1: *const i8,
        x0: *const i16,
        x1: *const i16,
        count: usize,
        sums: *mut [i32; 4],
    );
}

/// Two output channels times two tokens: `[w0 x0, w0 x1, w1 x0, w1 x1]`, of as many inputs as
/// all four have.
pub(crate) fn dots(w0: &[i8], w1: &[i8], x0: &[i16], x1: &[i16]) -> [i32; 4] {
    // SAFETY: it reads and writes what it says.
    unsafe { calls::dots(tadpool_armv7m_dots, w0, w1, x0, x1) }
}

// r0 r1 weights, r2 r3 tokens, r4-r7 sums, r8-r11 operands, r12 inputs that are left.
global_asm!(
    ".section .text.tadpool_armv7m_dots, \"ax\", %progbits",
    ".p2align 2",
    ".global tadpool_armv7m_dots",
    ".type tadpool_armv7m_dots, %function",
    ".thumb_func",
    ".macro TADPOOL_DOTS",
    "mla r4, r8, r10, r4",
    "mla r5, r8, r11, r5",
    "mla r6, r9, r10, r6",
    "mla r7, r9, r11, r7",
    ".endm",
    // An input of a turn of eight, whose pointers have been moved.
    ".macro TADPOOL_DOTS_BEHIND back",
    "ldrsb r8, [r0, #-\\back]",
    "ldrsb r9, [r1, #-\\back]",
    "ldrsh r10, [r2, #-2 * \\back]",
    "ldrsh r11, [r3, #-2 * \\back]",
    "TADPOOL_DOTS",
    ".endm",
    "tadpool_armv7m_dots:",
    "push {{r4-r11, lr}}",
    "ldr r12, [sp, #36]",
    "movs r4, #0",
    "movs r5, #0",
    "movs r6, #0",
    "movs r7, #0",
    "subs r12, #8",
    "blo 3f",
    "2: ldrsb r8, [r0], #8",
    "ldrsb r9, [r1], #8",
    "ldrsh r10, [r2], #16",
    "ldrsh r11, [r3], #16",
    "TADPOOL_DOTS",
    "TADPOOL_DOTS_BEHIND 7",
    "TADPOOL_DOTS_BEHIND 6",
    "TADPOOL_DOTS_BEHIND 5",
    "TADPOOL_DOTS_BEHIND 4",
    "TADPOOL_DOTS_BEHIND 3",
    "TADPOOL_DOTS_BEHIND 2",
    "TADPOOL_DOTS_BEHIND 1",
    "subs r12, #8",
    "bhs 2b",
    "3: adds r12, #8",
    "beq 5f",
    "4: ldrsb r8, [r0], #1",
    "ldrsb r9, [r1], #1",
    "ldrsh r10, [r2], #2",
    "ldrsh r11, [r3], #2",
    "TADPOOL_DOTS",
    "subs r12, #1",
    "bne 4b",
    "5: ldr r0, [sp, #40]",
    "stm r0, {{r4-r7}}",
    "pop {{r4-r11, pc}}",
    ".purgem TADPOOL_DOTS",
    ".purgem TADPOOL_DOTS_BEHIND",
    ".size tadpool_armv7m_dots, . - tadpool_armv7m_dots",
);
