//! The products of [`Rows`](crate::arithmetic::layout::Rows) for Armv7-M: eight instructions
//! for four products, and a loop of eight inputs, whose pointers move as they load. The
//! compiler moves them all the time, or has no registers left.

#![allow(unsafe_code)]

use core::arch::global_asm;

pub(crate) use crate::arch::calls::dots;

// r0 r1 weights, r2 r3 tokens, r4-r7 sums, r8-r11 operands, r12 inputs that are left.
global_asm!(
    ".section .text.tadpool_dots, \"ax\", %progbits",
    ".p2align 2",
    ".global tadpool_dots",
    ".type tadpool_dots, %function",
    ".thumb_func",
    ".macro TADPOOL_MEET",
    "mla r4, r8, r10, r4",
    "mla r5, r8, r11, r5",
    "mla r6, r9, r10, r6",
    "mla r7, r9, r11, r7",
    ".endm",
    // An input of a turn of eight, whose pointers have been moved.
    ".macro TADPOOL_BEHIND back",
    "ldrsb r8, [r0, #-\\back]",
    "ldrsb r9, [r1, #-\\back]",
    "ldrsh r10, [r2, #-2 * \\back]",
    "ldrsh r11, [r3, #-2 * \\back]",
    "TADPOOL_MEET",
    ".endm",
    "tadpool_dots:",
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
    "TADPOOL_MEET",
    "TADPOOL_BEHIND 7",
    "TADPOOL_BEHIND 6",
    "TADPOOL_BEHIND 5",
    "TADPOOL_BEHIND 4",
    "TADPOOL_BEHIND 3",
    "TADPOOL_BEHIND 2",
    "TADPOOL_BEHIND 1",
    "subs r12, #8",
    "bhs 2b",
    "3: adds r12, #8",
    "beq 5f",
    "4: ldrsb r8, [r0], #1",
    "ldrsb r9, [r1], #1",
    "ldrsh r10, [r2], #2",
    "ldrsh r11, [r3], #2",
    "TADPOOL_MEET",
    "subs r12, #1",
    "bne 4b",
    "5: ldr r0, [sp, #40]",
    "stm r0, {{r4-r7}}",
    "pop {{r4-r11, pc}}",
    ".purgem TADPOOL_MEET",
    ".purgem TADPOOL_BEHIND",
    ".size tadpool_dots, . - tadpool_dots",
);
