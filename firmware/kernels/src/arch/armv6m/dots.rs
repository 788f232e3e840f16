//! The products of [`Rows`](crate::layout::Rows) for Armv6-M: with eight
//! registers that all instructions take, what the compiler makes of them is
//! slower than the plainest loop.

#![allow(unsafe_code)]

use core::arch::global_asm;

// SAFETY: signature and contract as in the assembly below.
unsafe extern "C" {
    fn tadpool_armv6m_dots(
        w0: *const i8,
        x0: *const i16,
        x1: *const i16,
        count: usize,
        w1: *const i8,
        sums: *mut [i32; 4],
    );
}

/// Two output channels times two tokens: `[w0 x0, w0 x1, w1 x0, w1 x1]`.
pub(crate) fn dots(w0: &[i8], w1: &[i8], x0: &[i16], x1: &[i16]) -> [i32; 4] {
    let mut sums = [0; 4];
    let count = w0.len().min(w1.len()).min(x0.len()).min(x1.len());
    if count > 0 {
        // SAFETY: all four hold `count` values, which is not zero.
        unsafe {
            tadpool_armv6m_dots(
                w0.as_ptr(),
                x0.as_ptr(),
                x1.as_ptr(),
                count,
                w1.as_ptr(),
                &mut sums,
            );
        }
    }
    sums
}

// r0 r7 weights, r1 r2 tokens, r3 r4 offsets of a weight and of a value, r5 r6
// operands, r8-r11 sums, r12 count.
global_asm!(
    ".section .text.tadpool_armv6m_dots, \"ax\", %progbits",
    ".p2align 2",
    ".global tadpool_armv6m_dots",
    ".type tadpool_armv6m_dots, %function",
    ".thumb_func",
    "tadpool_armv6m_dots:",
    "push {{r4-r7, lr}}",
    "mov r4, r8",
    "mov r5, r9",
    "mov r6, r10",
    "mov r7, r11",
    "push {{r4-r7}}",
    "mov r12, r3",
    "ldr r7, [sp, #36]",
    "movs r3, #0",
    "movs r4, #0",
    "mov r8, r3",
    "mov r9, r3",
    "mov r10, r3",
    "mov r11, r3",
    "2: ldrsh r6, [r1, r4]",
    "ldrsb r5, [r0, r3]",
    "muls r5, r6, r5",
    "add r8, r5",
    "ldrsb r5, [r7, r3]",
    "muls r5, r6, r5",
    "add r10, r5",
    "ldrsh r6, [r2, r4]",
    "ldrsb r5, [r0, r3]",
    "muls r5, r6, r5",
    "add r9, r5",
    "ldrsb r5, [r7, r3]",
    "muls r5, r6, r5",
    "add r11, r5",
    "adds r3, #1",
    "adds r4, #2",
    "cmp r3, r12",
    "bne 2b",
    "ldr r0, [sp, #40]",
    "mov r4, r8",
    "mov r5, r9",
    "mov r6, r10",
    "mov r7, r11",
    "stm r0!, {{r4-r7}}",
    "pop {{r4-r7}}",
    "mov r8, r4",
    "mov r9, r5",
    "mov r10, r6",
    "mov r11, r7",
    "pop {{r4-r7, pc}}",
    ".size tadpool_armv6m_dots, . - tadpool_armv6m_dots",
);
