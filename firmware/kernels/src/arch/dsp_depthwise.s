@ One channel of a row of windows of up to 7x7, for cores with the DSP extension.
@ Contract: dsp_depthwise.rs; formula: depthwise.rs.
@
@ A channel's values under the windows are brought into pairs of halfwords, four words
@ a column: rows 0 and 2, 1 and 3, 4 and 6, row 5 alone. Weights are brought into the
@ same pairs, but all columns of a pair one after the other, so seven of them are
@ fetched at once. Four windows are multiplied together: each pair of halfwords is
@ read once for all of them.

	.syntax unified

	.equ D_BIAS, 0
	.equ D_MULTIPLIER, 4
	.equ D_ZERO, 8
	.equ D_OUT, 12		@ place of the channel in the next token
	.equ D_STRIDE, 16		@ bytes from one token to the next
	.equ D_PAIRS, 20		@ the first column of the next windows
	.equ D_LEFT, 24		@ windows that are left
	.equ D_TAPS, 28		@ pairs of weights
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
	ldrsb	r1, [r5, r11]
	ldrsb	r3, [r7, r11]
	pkhbt	r0, r0, r2, lsl #16
	pkhbt	r1, r1, r3, lsl #16
	ldrsb	r2, [r8, r11]
	ldrsb	lr, [r10, r11]
	ldrsb	r3, [r9, r11]
	pkhbt	r2, r2, lr, lsl #16
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
	sxtb16	r5, r2, ror #8
	sxtb16	r6, r3
	sxtb16	r7, r3, ror #8
	str	r4, [r1, #4 * \at]
	str	r5, [r1, #4 * (\at + 7)]
	str	r6, [r1, #4 * (\at + 14)]
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
	@ first of the ten columns that four windows have; r4-r7 are their sums.
	.macro MEET pair
	ldm	r2!, {r0, r8-r12, lr}
	ldr	r3, [r1, #4 * \pair]
	smlad	r4, r3, r0, r4
	ldr	r3, [r1, #16 + 4 * \pair]
	smlad	r4, r3, r8, r4
	smlad	r5, r3, r0, r5
	ldr	r3, [r1, #32 + 4 * \pair]
	smlad	r4, r3, r9, r4
	smlad	r5, r3, r8, r5
	smlad	r6, r3, r0, r6
	ldr	r3, [r1, #48 + 4 * \pair]
	smlad	r4, r3, r10, r4
	smlad	r5, r3, r9, r5
	smlad	r6, r3, r8, r6
	smlad	r7, r3, r0, r7
	ldr	r3, [r1, #64 + 4 * \pair]
	smlad	r4, r3, r11, r4
	smlad	r5, r3, r10, r5
	smlad	r6, r3, r9, r6
	smlad	r7, r3, r8, r7
	ldr	r3, [r1, #80 + 4 * \pair]
	smlad	r4, r3, r12, r4
	smlad	r5, r3, r11, r5
	smlad	r6, r3, r10, r6
	smlad	r7, r3, r9, r7
	ldr	r3, [r1, #96 + 4 * \pair]
	smlad	r4, r3, lr, r4
	smlad	r5, r3, r12, r5
	smlad	r6, r3, r11, r6
	smlad	r7, r3, r10, r7
	ldr	r3, [r1, #112 + 4 * \pair]
	smlad	r5, r3, lr, r5
	smlad	r6, r3, r12, r6
	smlad	r7, r3, r11, r7
	ldr	r3, [r1, #128 + 4 * \pair]
	smlad	r6, r3, lr, r6
	smlad	r7, r3, r12, r7
	ldr	r3, [r1, #144 + 4 * \pair]
	smlad	r7, r3, lr, r7
	.endm

	@ Requantizes a window, with the multiplier in r9 and the zero in r10, and stores
	@ it at r11; r12 is the stride, r8 counts.
	.macro FINISH_WINDOW acc
	smmlar	\acc, \acc, r9, r10
	ssat	\acc, #8, \acc
	strb	\acc, [r11]
	add	r11, r12
	subs	r8, #1
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
	ldr	r4, [sp, #D_BIAS]
	ldr	r1, [sp, #D_PAIRS]
	ldr	r2, [sp, #D_TAPS]
	mov	r5, r4
	mov	r6, r4
	mov	r7, r4
	MEET	0
	MEET	1
	MEET	2
	MEET	3
	adds	r1, #64
	str	r1, [sp, #D_PAIRS]
	ldr	r8, [sp, #D_LEFT]
	add	r9, sp, #D_MULTIPLIER
	ldm	r9, {r9-r12}		@ multiplier, zero, out, stride
	FINISH_WINDOW r4
	FINISH_WINDOW r5
	FINISH_WINDOW r6
	FINISH_WINDOW r7
	str	r8, [sp, #D_LEFT]
	str	r11, [sp, #D_OUT]
	b	.Lwindows
.Lconvolved:
	add	sp, #D_FRAME
	pop	{r4-r11, pc}
	.size	tadpool_dsp_convolve, . - tadpool_dsp_convolve
