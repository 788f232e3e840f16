@ One channel of a row of windows of up to 7x7, for cores with the DSP extension.
@ Contract: depthwise.rs beside this file; formula: arithmetic/depthwise.rs.
@
@ A channel's values under the windows are brought into pairs of halfwords, four words
@ a column: rows 0 and 2, 1 and 3, 4 and 6, row 5 alone. Weights are brought into the
@ same pairs, but all columns of a pair one after the other, so seven of them are
@ fetched at once. Four windows are multiplied together: each pair of halfwords is
@ read once for all of them.

	.syntax unified

	.equ D_PAIRS, 0		@ the first column of the next windows
	.equ D_TAPS, 4		@ pairs of weights
	.equ D_BIAS, 8
	.equ D_LEFT, 12		@ windows that are left
	.equ D_MULTIPLIER, 16
	.equ D_ZERO, 20
	.equ D_OUT, 24		@ place of the channel in the next token
	.equ D_STRIDE, 28		@ bytes from one token to the next
	.equ D_FRAME, 32

	@ r0: seven rows of the ring, r1: pairs, r2: bytes of a token, r3: columns, and on
	@ the stack the channel.
	.section .text.tadpool_dsp_gather, "ax", %progbits
	.p2align 2
	.global tadpool_dsp_gather
	.type	tadpool_dsp_gather, %function
	.thumb_func
tadpool_dsp_gather:
	push	{r4-r11, lr}
	sub	sp, #8
	add	r3, r1, r3, lsl #4
	strd	r2, r3, [sp]
	mov	r12, r1
	ldr	r11, [sp, #44]
	ldm	r0, {r4-r10}
.Lgather:
	ldrsb	r0, [r4, r11]
	ldrsb	r2, [r6, r11]
	ldrsb	r3, [r8, r11]
	ldrsb	lr, [r10, r11]
	ldrsb	r1, [r7, r11]
	pkhbt	r0, r0, r2, lsl #16
	pkhbt	r2, r3, lr, lsl #16
	ldrsb	lr, [r5, r11]
	ldrsb	r3, [r9, r11]
	pkhbt	r1, lr, r1, lsl #16
	stm	r12!, {r0-r3}
	ldrd	r0, r1, [sp]
	add	r11, r0
	cmp	r12, r1
	bne	.Lgather
	add	sp, #8
	pop	{r4-r11, pc}
	.size	tadpool_dsp_gather, . - tadpool_dsp_gather

	@ One column of two words of weights, on any boundary: four pairs.
	.macro TAP at
	ldr	r2, [r0, #8 * \at]
	ldr	r3, [r0, #8 * \at + 4]
	sxtb16	r4, r2
	str	r4, [r1, #4 * \at]
	sxtb16	r5, r2, ror #8
	str	r5, [r1, #4 * (\at + 7)]
	sxtb16	r6, r3
	str	r6, [r1, #4 * (\at + 14)]
	sxtb16	r7, r3, ror #8
	str	r7, [r1, #4 * (\at + 21)]
	.endm

	@ r0: weights, seven columns of eight rows, r1: 28 words.
	.section .text.tadpool_dsp_taps, "ax", %progbits
	.p2align 2
	.global tadpool_dsp_taps
	.type	tadpool_dsp_taps, %function
	.thumb_func
tadpool_dsp_taps:
	push	{r4-r7, lr}
	TAP	0
	TAP	1
	TAP	2
	TAP	3
	TAP	4
	TAP	5
	TAP	6
	pop	{r4-r7, pc}
	.size	tadpool_dsp_taps, . - tadpool_dsp_taps

	@ The products of one pair: r2 leads to its weights in seven columns, r1 to the
	@ first of the ten columns that four windows have, and r3 is the fourth of them,
	@ which is the first that all windows have; r4-r7 are their sums, of which the last
	@ three begin as \b, \c and \d.
	@
	@ The other columns are fetched into what is not wanted any more, two at a time, as
	@ a core that issues one instruction after the other fetches two in three cycles. One
	@ that issues two at once fetches them beside products, but a product does not take
	@ what was loaded in the cycle before.
	.macro MEET pair, b, c, d
	ldm	r2!, {r0, r8-r12, lr}
	smlad	r7, r3, r0, \d
	smlad	r6, r3, r8, \c
	smlad	r5, r3, r9, \b
	smlad	r4, r3, r10, r4
	ldr	r3, [r1, #4 * \pair]
	smlad	r4, r3, r0, r4
	ldr	r3, [r1, #16 + 4 * \pair]
	smlad	r4, r3, r8, r4
	smlad	r5, r3, r0, r5
	ldr	r3, [r1, #32 + 4 * \pair]
	smlad	r6, r3, r0, r6
	ldr	r0, [r1, #64 + 4 * \pair]
	smlad	r5, r3, r8, r5
	smlad	r4, r3, r9, r4
	smlad	r7, r0, r8, r7
	ldr	r3, [r1, #80 + 4 * \pair]
	ldr	r8, [r1, #96 + 4 * \pair]
	smlad	r6, r0, r9, r6
	smlad	r5, r0, r10, r5
	smlad	r4, r0, r11, r4
	smlad	r7, r3, r9, r7
	smlad	r6, r3, r10, r6
	smlad	r5, r3, r11, r5
	smlad	r4, r3, r12, r4
	ldr	r0, [r1, #112 + 4 * \pair]
	ldr	r3, [r1, #128 + 4 * \pair]
	smlad	r7, r8, r10, r7
	smlad	r6, r8, r11, r6
	smlad	r5, r8, r12, r5
	smlad	r4, r8, lr, r4
	smlad	r7, r3, r12, r7
	smlad	r6, r3, lr, r6
	ldr	r9, [r1, #144 + 4 * \pair]
	.if \pair < 3
	ldr	r3, [r1, #48 + 4 * (\pair + 1)]
	.endif
	smlad	r7, r0, r11, r7
	smlad	r6, r0, r12, r6
	smlad	r5, r0, lr, r5
	smlad	r7, r9, lr, r7
	.endm

	@ Stores a window at r11; r12 is the stride, r8 counts.
	.macro STORE_WINDOW window
	strb	\window, [r11]
	subs	r8, #1
	add	r11, r12
	beq	.Lconvolved
	.endm

	@ r0: a job in the order of the frame.
	.section .text.tadpool_dsp_convolve, "ax", %progbits
	.p2align 2
	.global tadpool_dsp_convolve
	.type	tadpool_dsp_convolve, %function
	.thumb_func
tadpool_dsp_convolve:
	push	{r4-r11, lr}
	sub	sp, #D_FRAME
	ldm	r0, {r1-r8}
	stm	sp, {r1-r8}
.Lwindows:
	ldm	sp, {r1, r2, r4}	@ pairs, taps, bias
	ldr	r3, [r1, #48]
	MEET	0, r4, r4, r4
	MEET	1, r5, r6, r7
	MEET	2, r5, r6, r7
	MEET	3, r5, r6, r7
	adds	r1, #64
	str	r1, [sp, #D_PAIRS]
	add	r8, sp, #D_LEFT
	ldm	r8, {r8-r12}		@ left, multiplier, zero, out, stride
	@ All are requantized, so that none waits for its product.
	smmlar	r4, r4, r9, r10
	smmlar	r5, r5, r9, r10
	ssat	r4, #8, r4
	smmlar	r6, r6, r9, r10
	ssat	r5, #8, r5
	smmlar	r7, r7, r9, r10
	ssat	r6, #8, r6
	STORE_WINDOW r4
	STORE_WINDOW r5
	STORE_WINDOW r6
	ssat	r7, #8, r7
	STORE_WINDOW r7
	str	r8, [sp, #D_LEFT]
	str	r11, [sp, #D_OUT]
	b	.Lwindows
.Lconvolved:
	add	sp, #D_FRAME
	pop	{r4-r11, pc}
	.size	tadpool_dsp_convolve, . - tadpool_dsp_convolve
