@ One channel of a row of windows of 3x3, for cores with the DSP extension.
@ Contract: depthwise_3x3.rs beside this file; formula: arithmetic/depthwise.rs.
@
@ Nothing is gathered: the window moves along the three rows of the ring and meets each
@ column once. Rows 0 and 2 of a column are a pair of halfwords, row 1 is alone, and so are
@ the weights. A column is the right one of a window, which is complete then, the middle
@ one of the next, and the left one of the window behind that: two sums are kept.
@
@ Registers: r0 the place of the window that is completed next, which lies in the oldest
@ row, a column before the one that is read; r1-r3 from there to the next column of rows 0
@ to 2; r4-r6 pairs of weights of the left, middle and right column; r7 left and middle of
@ row 1; r8 right of row 1, and the number of columns that are left in its upper half;
@ r9 and r10 sums, r11 pair, r12 alone.

	.syntax unified

	@ The frame, and the beginning of the job
	.equ T_BIAS, 0		@ of all windows but the first and last
	.equ T_MULTIPLIER, 4	@ and zero
	.equ T_PADDING, 12	@ a pair of it
	.equ T_LAST, 16		@ what the last window's bias is more
	.equ T_FRAME, 20	@ with what is pushed before, a multiple of eight

	@ Reads a column: r11 and r12. Takes lr.
	.macro T_COLUMN
	ldrsb	r11, [r0, r1]
	ldrsb	lr, [r0, r3]
	ldrsb	r12, [r0, r2]
	pkhbt	r11, r11, lr, lsl #16
	.endm

	@ Adds the column to the two windows that it does not complete.
	.macro T_WINDOWS
	smlad	r9, r11, r5, r10
	ldr	r10, [sp, #T_BIAS]
	smlabt	r9, r12, r7, r9
	smlad	r10, r11, r4, r10
	smlabb	r10, r12, r7, r10
	.endm

	@ Requantizes and stores lr.
	.macro T_STORE
	ldrd	r11, r12, [sp, #T_MULTIPLIER]
	smmlar	lr, lr, r11, r12
	ssat	lr, #8, lr
	strb	lr, [r0]
	.endm

	@ r0: the job.
	.section .text.tadpool_dsp_depthwise_3x3, "ax", %progbits
	.p2align 2
	.global tadpool_dsp_depthwise_3x3
	.type	tadpool_dsp_depthwise_3x3, %function
	.thumb_func
tadpool_dsp_depthwise_3x3:
	push	{r4-r11, lr}
	sub	sp, #T_FRAME
	ldm	r0!, {r1-r5}
	stm	sp, {r1-r5}
	ldm	r0, {r0-r5, r9}		@ place, columns 0 to 2, weights, columns, first bias
	ldr	r11, [r4]
	ldr	r12, [r4, #4]
	ldr	lr, [r4, #8]
	sub	r10, r5, #2
	cmp	r5, #1			@ for the branch behind the first column
	sxtb16	r4, r11
	sxtb16	r7, r11, ror #8
	sxtb16	r5, r12
	sxtb16	r12, r12, ror #8
	sxtb16	r6, lr
	sxtb16	r8, lr, ror #8
	pkhbt	r7, r7, r12, lsl #16
	pkhbt	r8, r8, r10, lsl #16
	ldr	r11, [sp, #T_PADDING]
	smlad	r10, r11, r4, r9
	smlabb	r10, r11, r7, r10
	T_COLUMN
	T_WINDOWS
	add	r0, r1
	beq	2f
	.p2align 2
1:	T_COLUMN
	smlad	lr, r11, r6, r9
	smlabb	lr, r12, r8, lr
	T_WINDOWS
	T_STORE
	add	r0, r1
	subs	r8, r8, #0x10000
	bcs	1b
2:	ldrd	r11, r12, [sp, #T_PADDING]
	add	r9, r12
	smlad	lr, r11, r6, r9
	smlabb	lr, r11, r8, lr
	T_STORE
	add	sp, #T_FRAME
	pop	{r4-r11, pc}
	.size	tadpool_dsp_depthwise_3x3, . - tadpool_dsp_depthwise_3x3
