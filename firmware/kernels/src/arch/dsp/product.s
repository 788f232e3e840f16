@ Products of two tokens with groups of four outputs, for cores with the DSP
@ extension. Contract: product.rs beside this file; layout: arithmetic/layout.rs.
@
@ A halfword of weights is 256 * odd + even, so one SMLAD of two of them adds
@ both outputs' products to one register, and SXTB16 of the low bytes gives the
@ even output's weights for a second SMLAD:
@
@     both = 256 * ODD + EVEN     modulo 2^32
@     even = EVEN
@
@ from which ODD = (both - even) / 256 follows exactly while it is below 2^23,
@ which `Layout::holds` has made sure of. Both registers start at the even
@ output's accumulator start; the odd one's is added after the division.
@
@ Registers in the loop: r0 weights, r6 tile, r1-r4 operands, and for the
@ outputs a b c d of the tokens 0 and 1
@     both: r5 r10 (a b)  r8 r12 (c d)     even: r7 r11 (a)  r9 lr (c)
@ All are taken, so everything else lives in the frame, which begins as a copy of the
@ caller's `Job`: in its order one LDM fetches what the end of a turn, or of a group,
@ wants. TURN and ENTRY take the places of `first_turn` and `rest`.

	.syntax unified

	.equ TURNS_END, 0	@ place in the tile at the start of the last of many turns
				@ or, with `DUAL_ISSUE`, at the end of the last one
	.equ ZERO, 4
	.equ OUT, 8		@ token 0, or the next tile
	.equ CONSTANTS, 12	@ of the next group, while one is being worked on
	.equ TURN, 16		@ what follows a turn: .Lagain if there are many, else as FINISH
	.equ TILE, 20
	.equ TABLE, 24		@ or, if tokens are written, bytes from token 0 to token 1
	.equ END, 28
	.equ RESIDUAL, 32	@ factors of the next group, if there are any
	.equ ENTRY, 36		@ where the unrolled loop is entered
	.equ COUNTS, 40		@ sum and squares
	.equ FINISH, 48		@ what follows the sums
	.equ WEIGHTS, 52
	.equ FRAME, 60		@ with what is pushed before, a multiple of eight

	.if DUAL_ISSUE
	.equ UNROLL, 32		@ steps of two inputs; `UNROLL` in product.rs
	.equ STEP_SIZE, 56	@ bytes of code; `STEP_SIZE` in product.rs
	.else
	.equ UNROLL, 16
	.equ STEP_SIZE, 44
	.endif

	@ Two inputs: 16 products.
	@
	@ A core that issues one instruction after the other reads by LDM: 3 of 16 cycles
	@ each, as two plain loads that follow each other would be. All four as plain loads
	@ would not overlap any better, since two read the flash and two the RAM.
	@
	@ With `DUAL_ISSUE`, a load or SXTB16 is issued beside each product but two. A product
	@ cannot take what was loaded in the cycle before, nor is SXTB16 issued as the
	@ younger of two. So a step finds the weights of a and b and both tokens loaded, and
	@ loads those of the next step, if there are `more`.
	.macro PRODUCTS ab0, ab1, cd0, cd1, a1, c1, more
	.ifeq DUAL_ISSUE
	ldm	r0!, {r1, r2}
	ldm	r6!, {r3, r4}
	.endif
	smlad	r10, r1, r4, \ab1
	.if DUAL_ISSUE
	ldr	r2, [r0], #4
	.endif
	smlad	r5, r1, r3, \ab0
	sxtb16	r1, r1
	smlad	r12, r2, r4, \cd1
	smlad	r8, r2, r3, \cd0
	sxtb16	r2, r2
	smlad	r11, r1, r4, \a1
	smlad	r7, r1, r3, r7
	.if DUAL_ISSUE * \more
	ldr	r1, [r0], #4
	.endif
	smlad	lr, r2, r4, \c1
	.if DUAL_ISSUE * \more
	ldr.w	r4, [r6, #4]
	.endif
	smlad	r9, r2, r3, r9
	.if DUAL_ISSUE * \more
	ldr	r3, [r6], #8
	.endif
	.endm

	@ The four outputs' sums: a r7 r11, b r5 r10, c r9 lr, d r8 r12.
	@ With the constants in r4; takes r1 and r6. What is `beside` the last sums may
	@ set r6. With `DUAL_ISSUE` each sum that shifts has another instruction beside it.
	.macro SPLIT beside:vararg
	ldrd	r1, r6, [r4, #-24]	@ starts of b and d
	sub	r8, r8, r9
	sub	r12, r12, lr
	sub	r5, r5, r7
	add	r8, r6, r8, asr #8
	sub	r10, r10, r11
	add	r12, r6, r12, asr #8
	add	r5, r1, r5, asr #8
	\beside
	add	r10, r1, r10, asr #8
	.endm

	@ Requantizes the sums, with the zero in r2 and the constants in r4, and saturates
	@ them by `saturate`, with `DUAL_ISSUE` beside a product; takes r1, r3, r4 and r6. What
	@ is `beside` the last of them may set r1, r3, r4 and r6.
	.macro REQUANTIZE saturate, beside:vararg
	ldmdb	r4, {r1, r3, r4, r6}
	smmlar	r7, r7, r1, r2
	smmlar	r11, r11, r1, r2
	smmlar	r5, r5, r3, r2
	\saturate	r7, #8, r7
	smmlar	r10, r10, r3, r2
	\saturate	r11, #8, r11
	smmlar	r9, r9, r4, r2
	\saturate	r5, #8, r5
	smmlar	lr, lr, r4, r2
	\saturate	r10, #8, r10
	smmlar	r8, r8, r6, r2
	\saturate	r9, #8, r9
	smmlar	r12, r12, r6, r2
	\saturate	lr, #8, lr
	\beside
	\saturate	r8, #8, r8
	\saturate	r12, #8, r12
	.endm

	@ Stores four bytes a token, of which r7 and r11 hold two, and goes on until
	@ the last group. `FETCH` has come before.
	.macro STORE
	str	r11, [r3, r8]
	str	r7, [r3], #4
	cmp	r3, r9
	bne	.Lgroup
	.endm

	@ Says, for the audit of the image, that the jump at `from` may go to `to`. The linker
	@ keeps the section out of the image.
	.macro GOES from, to
	.pushsection .tadpool.jumps, "", %progbits
	.word	\from, \to
	.popsection
	.endm

	@ The same for what follows the sums.
	.macro FINISHES from
	GOES	\from, tadpool_dsp_look_up
	GOES	\from, tadpool_dsp_count
	GOES	\from, tadpool_dsp_write
	GOES	\from, tadpool_dsp_sums
	.endm

	@ What `STORE` and the next group want.
	.macro FETCH
	ldm	sp, {r1-r6, r8, r9}
	.endm

	@ r0: the job. Returns the counts, if tadpool_dsp_count follows the sums.
	.section .text.tadpool_dsp_product, "ax", %progbits
	.p2align 2
	.global tadpool_dsp_product
	.type	tadpool_dsp_product, %function
	.thumb_func
tadpool_dsp_product:
	push	{r4-r11, lr}
	sub	sp, #FRAME
	ldm	r0!, {r1-r11, lr}
	stm	sp, {r1-r11, lr}
	ldrd	r1, r0, [r0]		@ what follows, and weights
	str	r1, [sp, #FINISH]
	@ The first turn may be short.
	adr.w	r12, .Lturn + 1
	sub	r12, r5
	str	r12, [sp, #ENTRY]
	.ifeq DUAL_ISSUE
	cmp	r10, #0
	beq	1f
	adr.w	r1, .Lagain + 1
1:
	.endif
	str	r1, [sp, #TURN]

	@ r3 out, r4 constants, r6 tile
	.p2align 2
.Lgroup:
	ldrd	r7, r9, [r4], #32	@ starts of a and c
	strd	r3, r4, [sp, #OUT]
	.if DUAL_ISSUE
	ldr	r1, [r0], #4
	ldr.w	r4, [r6, #4]
	ldr	r3, [r6], #8
	.endif
	@ The first step sets the sums.
	PRODUCTS r7, r7, r9, r9, r7, r9, 1
	.set	SKIPPED, 0
	.rept	UNROLL + 1
	GOES	9f, .Lturn - SKIPPED * STEP_SIZE
	.set	SKIPPED, SKIPPED + 1
	.endr
9:	ldr	pc, [sp, #ENTRY]
	.ifeq DUAL_ISSUE
	.p2align 2
	@ After a turn that was the last one if Z is set, as it is not at a group's start.
.Lagain:
	bne	1f
	FINISHES	9f
9:	ldr	pc, [sp, #FINISH]
	.p2align 2
1:	cmp.w	r6, r1			@ long, so that the loop is aligned
	.endif
.Lloop:
	.rept UNROLL
	PRODUCTS r5, r10, r8, r12, r11, lr, 1
	.endr
.Lturn:
	@ Nothing is skipped; another size is an error, since one of both is negative.
	.skip	.Lturn - .Lloop - UNROLL * STEP_SIZE
	.skip	UNROLL * STEP_SIZE - (.Lturn - .Lloop)
	.if DUAL_ISSUE
	ldr	r2, [sp]
	cmp	r6, r2
	bne	.Lloop
	PRODUCTS r5, r10, r8, r12, r11, lr, 0
	.endif
	.ifeq DUAL_ISSUE
	GOES	9f, .Lagain
	.endif
	FINISHES	9f
9:	ldm	sp, {r1-r4, pc}		@ end of turns, zero, out, constants

	@ What follows the sums has r1-r4 as .Lturn leaves them.

	@ Puts the table's values into the next layer's tile.
	.p2align 2
	.global tadpool_dsp_look_up
	.type	tadpool_dsp_look_up, %function
	.thumb_func
tadpool_dsp_look_up:
	SPLIT
	REQUANTIZE usat, ldr r1, [sp, #TABLE]
	ldrsb	r7, [r1, r7]
	ldrsb	r9, [r1, r9]
	ldrsb	r11, [r1, r11]
	ldrsb	lr, [r1, lr]
	ldrsb	r5, [r1, r5]
	ldrsb	r8, [r1, r8]
	ldrsb	r10, [r1, r10]
	ldrsb	r12, [r1, r12]
	pkhbt	r7, r7, r9, lsl #16	@ token 0, inputs 0 and 2 of the next layer
	pkhbt	r9, r11, lr, lsl #16	@ token 1
	pkhbt	r11, r5, r8, lsl #16	@ token 0, inputs 1 and 3
	pkhbt	r12, r10, r12, lsl #16	@ token 1
	ldm	sp, {r1-r6, r8, r10}
	stm	r3!, {r7, r9, r11, r12}
	cmp	r3, r10
	bne	.Lgroup
	b	.Lreturn

	@ Adds the residual, if there is one, and writes and counts the values, which are
	@ `q + 128`: `ZERO` is 128 higher.
	.p2align 2
	.global tadpool_dsp_count
	.type	tadpool_dsp_count, %function
	.thumb_func
tadpool_dsp_count:
	SPLIT	ldr r6, [sp, #RESIDUAL]
	cbz	r6, 1f
	str	r0, [sp, #WEIGHTS]	@ one more register
	ldr	r2, [sp, #TABLE]
	ldr	r0, [r3]		@ token 0
	ldr	r2, [r3, r2]		@ token 1
	ldrd	r3, r4, [r6], #8
	sxtb	r1, r0
	mla	r7, r1, r3, r7
	sxtb	r1, r2
	mla	r11, r1, r3, r11
	sxtb	r1, r0, ror #8
	sxtb	r3, r2, ror #8
	mla	r5, r1, r4, r5
	mla	r10, r3, r4, r10
	ldrd	r3, r4, [r6], #8
	sxtb	r1, r0, ror #16
	str	r6, [sp, #RESIDUAL]
	sxtb	r6, r2, ror #16
	mla	r9, r1, r3, r9
	asrs	r0, r0, #24
	mla	lr, r6, r3, lr
	asrs	r2, r2, #24
	mla	r8, r0, r4, r8
	ldr	r0, [sp, #WEIGHTS]
	mla	r12, r2, r4, r12
	ldm	sp, {r1-r4}
1:	REQUANTIZE usat, movs r1, #0
	ldrd	r2, r3, [sp, #COUNTS]
	pkhbt	r7, r7, r9, lsl #16
	pkhbt	r5, r5, r8, lsl #16
	smlad	r3, r7, r7, r3
	pkhbt	r11, r11, lr, lsl #16
	smlad	r3, r5, r5, r3
	pkhbt	r10, r10, r12, lsl #16
	smlad	r3, r11, r11, r3
	orr	r7, r7, r5, lsl #8
	smlad	lr, r10, r10, r3
	usada8	r12, r7, r1, r2
	orr	r11, r11, r10, lsl #8
	usada8	r12, r11, r1, r12
	eor	r7, r7, #0x80808080
	FETCH
	strd	r12, lr, [sp, #COUNTS]
	eor	r11, r11, #0x80808080
	STORE
.Lreturn:
	ldrd	r0, r1, [sp, #COUNTS]
	add	sp, #FRAME
	pop	{r4-r11, pc}
	.size	tadpool_dsp_product, . - tadpool_dsp_product

	@ Writes the values, without counting them.
	.section .text.tadpool_dsp_write, "ax", %progbits
	.p2align 2
	.global tadpool_dsp_write
	.type	tadpool_dsp_write, %function
	.thumb_func
tadpool_dsp_write:
	SPLIT
	REQUANTIZE ssat
	bfi	r7, r5, #8, #8
	bfi	r9, r8, #8, #8
	bfi	r11, r10, #8, #8
	pkhbt	r7, r7, r9, lsl #16
	bfi	lr, r12, #8, #8
	FETCH
	pkhbt	r11, r11, lr, lsl #16
	STORE
	add	sp, #FRAME
	pop	{r4-r11, pc}
	.size	tadpool_dsp_write, . - tadpool_dsp_write

	@ Stores the sums as they are: four words a token.
	.section .text.tadpool_dsp_sums, "ax", %progbits
	.p2align 2
	.global tadpool_dsp_sums
	.type	tadpool_dsp_sums, %function
	.thumb_func
tadpool_dsp_sums:
	SPLIT	ldr r6, [sp, #TABLE]
	add	r6, r3
	strd	r11, r10, [r6]
	strd	lr, r12, [r6, #8]
	strd	r7, r5, [r3], #8
	strd	r9, r8, [r3], #8
	str	r3, [sp, #OUT]
	FETCH
	cmp	r3, r9
	bne	.Lgroup
	b.w	.Lreturn
	.size	tadpool_dsp_sums, . - tadpool_dsp_sums

@ r0: packed words, at least one, r1: twice as many unpacked ones, r2: how many.
	.section .text.tadpool_dsp_unpack, "ax", %progbits
	.p2align 2
	.global tadpool_dsp_unpack
	.type	tadpool_dsp_unpack, %function
	.thumb_func
tadpool_dsp_unpack:
	push	{r4-r7, lr}
	mov	r3, #0xf0f0f0f0
	mov	r12, #0x00800080	@ `INT4_BIAS`
	.macro UNPACK low, high
	and	\low, r3, \high, lsl #4
	and	\high, \high, r3
	ssub16	\low, \low, r12
	ssub16	\high, \high, r12
	.endm
	lsrs	r2, r2, #1
	bcc	1f
	ldr	r5, [r0], #4
	UNPACK	r4, r5
	stm	r1!, {r4, r5}
	beq	2f
1:	ldrd	r5, r7, [r0], #8
	UNPACK	r4, r5
	UNPACK	r6, r7
	stm	r1!, {r4-r7}
	subs	r2, #1
	bne	1b
2:	pop	{r4-r7, pc}
	.size	tadpool_dsp_unpack, . - tadpool_dsp_unpack

@ r0, r1: values of two tokens; r2: the tile, two words for every two of both; r3: fours
@ of values, at least one.
	.section .text.tadpool_dsp_expand, "ax", %progbits
	.p2align 2
	.global tadpool_dsp_expand
	.type	tadpool_dsp_expand, %function
	.thumb_func
tadpool_dsp_expand:
	push	{r4-r11, lr}
	orr	r12, r0, r1
	tst	r12, #3			@ LDRD wants words on their boundaries
	bne	3f
	subs	r3, #4
	blo	2f
	.macro EXPAND
	ldrd	r4, r8, [r0], #8
	ldrd	r5, r9, [r1], #8
	sxtb16	r6, r4, ror #8
	sxtb16	r7, r5, ror #8
	sxtb16	r10, r8, ror #8
	sxtb16	r11, r9, ror #8
	sxtb16	r4, r4
	sxtb16	r5, r5
	sxtb16	r8, r8
	sxtb16	r9, r9
	stm	r2!, {r4-r11}
	.endm
1:	EXPAND
	EXPAND
	subs	r3, #4
	bhs	1b
2:	adds	r3, #4
	beq	4f
3:	ldr	r4, [r0], #4
	ldr	r5, [r1], #4
	sxtb16	r6, r4, ror #8
	sxtb16	r7, r5, ror #8
	sxtb16	r4, r4
	sxtb16	r5, r5
	stm	r2!, {r4-r7}
	subs	r3, #1
	bne	3b
4:	pop	{r4-r11, pc}
	.size	tadpool_dsp_expand, . - tadpool_dsp_expand
