@ Products of two tokens with groups of four outputs, for cores with the DSP
@ extension. Contract and layout: dsp.rs and layout.rs.
@
@ A halfword of weights is 256 * odd + (even + 128), so one SMLAD of two of them
@ adds both outputs' products to one register, and SXTB16 of the high bytes
@ gives the odd output's weights for a second SMLAD. With S the token's sum,
@
@     both = 256 * ODD + EVEN + 128 * S        modulo 2^32
@     odd  = ODD
@
@ from which EVEN follows exactly, whatever overflowed in between. `both` starts
@ at -128 * S and `odd` at the odd output's accumulator start.
@
@ Registers in the loop: r0 weights, r1 tile, r2-r5 operands, and for the
@ outputs a b c d of the tokens 0 and 1
@     both: r6 r10 (a b)  r8 r12 (c d)     odd: r7 r11 (b)  r9 lr (d)
@ All are taken, so everything else lives in the frame, a copy of the caller's
@ `Job`.

	.syntax unified

	.equ CONSTANTS, 4
	.equ ENTRY, 16		@ where the unrolled loop is entered
	.equ LIMIT, 20		@ end of the tile
	.equ ZERO, 24
	.equ FINISH, 28		@ what follows the sums
	.equ END, 32		@ `OUT` after the last group
	.equ OUT, 36		@ tokens 0 and 1, or the next tile and the table
	.equ TABLE, 40
	.equ COUNTS, 44		@ sum and squares, or the next tile's two sums
	.equ RESIDUAL, 52
	.equ WEIGHTS, 56
	.equ JOB, 60
	.equ FRAME, 64

	.equ UNROLL, 32		@ steps of two inputs
	.equ STEP_SIZE, 48	@ bytes of code

	@ Two inputs: 16 products.
	@ LDRD takes a cycle more on a Cortex-M4 than plain loads that follow
	@ another load, and saves an issue slot and a fetch on every core.
	.macro STEP
	ldrd	r2, r3, [r0], #8
	ldrd	r4, r5, [r1], #8
	smlad	r6, r2, r4, r6
	smlad	r10, r2, r5, r10
	smlad	r8, r3, r4, r8
	smlad	r12, r3, r5, r12
	sxtb16	r2, r2, ror #8
	sxtb16	r3, r3, ror #8
	smlad	r7, r2, r4, r7
	smlad	r11, r2, r5, r11
	smlad	r9, r3, r4, r9
	smlad	lr, r3, r5, lr
	.endm

	@ The even outputs, less what the constants hold.
	.macro SPLIT
	sub	r6, r6, r7, lsl #8
	sub	r10, r10, r11, lsl #8
	sub	r8, r8, r9, lsl #8
	sub	r12, r12, lr, lsl #8
	.endm

	@ Requantizes the sums; takes r1-r5.
	.macro REQUANTIZE
	ldr	r1, [sp, #CONSTANTS]
	ldm	r1!, {r2-r5}
	add	r6, r6, r4
	add	r10, r10, r4
	add	r8, r8, r5
	add	r12, r12, r5
	ldm	r1!, {r2-r5}
	str	r1, [sp, #CONSTANTS]
	ldr	r1, [sp, #ZERO]
	smmlar	r6, r6, r2, r1
	smmlar	r10, r10, r2, r1
	smmlar	r7, r7, r3, r1
	smmlar	r11, r11, r3, r1
	smmlar	r8, r8, r4, r1
	smmlar	r12, r12, r4, r1
	smmlar	r9, r9, r5, r1
	smmlar	lr, lr, r5, r1
	.endm

	.macro SATURATE_U8
	usat	r6, #8, r6
	usat	r7, #8, r7
	usat	r8, #8, r8
	usat	r9, #8, r9
	usat	r10, #8, r10
	usat	r11, #8, r11
	usat	r12, #8, r12
	usat	lr, #8, lr
	.endm

	@ Stores four bytes a token, and goes on until the last group.
	.macro STORE first, second
	ldrd	r2, r3, [sp, #OUT]
	ldr	r1, [sp, #END]
	str	\first, [r2], #4
	str	\second, [r3], #4
	strd	r2, r3, [sp, #OUT]
	cmp	r2, r1
	bne	.Lgroup
	b	.Lreturn
	.endm

	.section .text.tadpool_dsp_product, "ax", %progbits
	.p2align 2
	.global tadpool_dsp_write
	.type	tadpool_dsp_write, %function
	.thumb_func
tadpool_dsp_write:
	adr.w	r3, .Lwrite
	b	.Lstart
	.global tadpool_dsp_write_counted
	.type	tadpool_dsp_write_counted, %function
	.thumb_func
tadpool_dsp_write_counted:
	adr.w	r3, .Lwrite_counted
	b	.Lstart
	.global tadpool_dsp_activate
	.type	tadpool_dsp_activate, %function
	.thumb_func
tadpool_dsp_activate:
	adr.w	r3, .Lactivate
	b	.Lstart
	.global tadpool_dsp_update
	.type	tadpool_dsp_update, %function
	.thumb_func
tadpool_dsp_update:
	adr.w	r3, .Lupdate

.Lstart:
	push	{r4-r11, lr}
	sub	sp, #FRAME
	mov	r1, r0
	ldm	r1!, {r4-r11}
	stm	sp, {r4-r11}
	add	r12, sp, #32
	ldm	r1, {r4-r10}
	stm	r12, {r4-r10}
	str	r0, [sp, #JOB]
	mov	r0, r10			@ weights
	orr	r3, r3, #1		@ Thumb
	str	r3, [sp, #FINISH]
	@ The first step is outside of the loop; the last `(steps - 1) % UNROLL`
	@ steps of the loop come before its first full turn.
	ldr	r2, [sp, #ENTRY]
	subs	r2, #1
	and	r2, #UNROLL - 1
	movs	r3, #STEP_SIZE
	mul	r2, r2, r3
	adr.w	r3, .Lturn
	subs	r3, r3, r2
	orr	r3, r3, #1
	str	r3, [sp, #ENTRY]

	.p2align 2
.Lgroup:
	ldm	sp, {r1, r2, r6, r10}	@ tile, constants, -128 * sums
	ldrd	r7, r9, [r2]		@ starts of the odd outputs
	ldrd	r2, r3, [r0], #8
	ldrd	r4, r5, [r1], #8
	smlad	r8, r3, r4, r6
	smlad	r12, r3, r5, r10
	smlad	r6, r2, r4, r6
	smlad	r10, r2, r5, r10
	sxtb16	r2, r2, ror #8
	sxtb16	r3, r3, ror #8
	smlad	r11, r2, r5, r7
	smlad	r7, r2, r4, r7
	smlad	lr, r3, r5, r9
	smlad	r9, r3, r4, r9
	ldr	pc, [sp, #ENTRY]
	.p2align 2
.Lloop:
	.rept UNROLL
	STEP
	.endr
	.p2align 2
.Lturn:
	ldr	r2, [sp, #LIMIT]
	cmp	r1, r2
	bne	.Lloop
	ldr	pc, [sp, #FINISH]

	.p2align 2
.Lwrite:
	SPLIT
	REQUANTIZE
	ssat	r6, #8, r6
	ssat	r7, #8, r7
	ssat	r8, #8, r8
	ssat	r9, #8, r9
	ssat	r10, #8, r10
	ssat	r11, #8, r11
	ssat	r12, #8, r12
	ssat	lr, #8, lr
	bfi	r6, r7, #8, #8
	bfi	r8, r9, #8, #8
	pkhbt	r6, r6, r8, lsl #16
	bfi	r10, r11, #8, #8
	bfi	r12, lr, #8, #8
	pkhbt	r10, r10, r12, lsl #16
	STORE	r6, r10

	.p2align 2
.Lactivate:
	SPLIT
	REQUANTIZE
	SATURATE_U8
	ldr	r1, [sp, #TABLE]
	ldrsb	r6, [r1, r6]
	ldrsb	r7, [r1, r7]
	ldrsb	r8, [r1, r8]
	ldrsb	r9, [r1, r9]
	ldrsb	r10, [r1, r10]
	ldrsb	r11, [r1, r11]
	ldrsb	r12, [r1, r12]
	ldrsb	lr, [r1, lr]
	pkhbt	r2, r6, r8, lsl #16	@ token 0, inputs 0 and 2 of the next layer
	pkhbt	r3, r10, r12, lsl #16	@ token 1
	pkhbt	r4, r7, r9, lsl #16	@ token 0, inputs 1 and 3
	pkhbt	r5, r11, lr, lsl #16	@ token 1
	ldr	r1, [sp, #OUT]
	stm	r1!, {r2-r5}
	str	r1, [sp, #OUT]
	ldrd	r6, r7, [sp, #COUNTS]
	mov	r8, #0x00010001
	sadd16	r2, r2, r4
	sadd16	r3, r3, r5
	smlad	r6, r2, r8, r6
	smlad	r7, r3, r8, r7
	strd	r6, r7, [sp, #COUNTS]
	ldr	r2, [sp, #END]
	cmp	r1, r2
	bne	.Lgroup
	b	.Lreturn

	.p2align 2
.Lwrite_counted:
	SPLIT
	b	.Lcounted

	.p2align 2
.Lupdate:
	SPLIT
	str	r0, [sp, #WEIGHTS]	@ one more register
	ldr	r1, [sp, #RESIDUAL]
	ldm	r1!, {r2-r5}
	str	r1, [sp, #RESIDUAL]
	ldr	r1, [sp, #OUT]
	ldr	r1, [r1]
	sxtb	r0, r1
	mla	r6, r0, r2, r6
	sxtb	r0, r1, ror #8
	mla	r7, r0, r3, r7
	sxtb	r0, r1, ror #16
	mla	r8, r0, r4, r8
	asr	r0, r1, #24
	mla	r9, r0, r5, r9
	ldr	r1, [sp, #OUT + 4]
	ldr	r1, [r1]
	sxtb	r0, r1
	mla	r10, r0, r2, r10
	sxtb	r0, r1, ror #8
	mla	r11, r0, r3, r11
	sxtb	r0, r1, ror #16
	mla	r12, r0, r4, r12
	asr	r0, r1, #24
	mla	lr, r0, r5, lr
	ldr	r0, [sp, #WEIGHTS]
.Lcounted:
	REQUANTIZE			@ `ZERO` is 128 higher: values are q + 128
	SATURATE_U8
	movs	r1, #0
	ldrd	r2, r3, [sp, #COUNTS]
	pkhbt	r4, r6, r8, lsl #16
	pkhbt	r5, r7, r9, lsl #16
	smlad	r3, r4, r4, r3
	smlad	r3, r5, r5, r3
	orr	r4, r4, r5, lsl #8
	usada8	r2, r4, r1, r2
	eor	r4, r4, #0x80808080
	pkhbt	r5, r10, r12, lsl #16
	pkhbt	r6, r11, lr, lsl #16
	smlad	r3, r5, r5, r3
	smlad	r3, r6, r6, r3
	orr	r5, r5, r6, lsl #8
	usada8	r2, r5, r1, r2
	eor	r5, r5, #0x80808080
	strd	r2, r3, [sp, #COUNTS]
	STORE	r4, r5

.Lreturn:
	ldrd	r2, r3, [sp, #COUNTS]
	ldr	r0, [sp, #JOB]
	strd	r2, r3, [r0, #COUNTS]
	add	sp, #FRAME
	pop	{r4-r11, pc}
	.size	tadpool_dsp_update, . - tadpool_dsp_update

@ r0, r1: four values at a time of two tokens; r2: header and values of a tile;
@ r3: how many fours, at least one.
	.section .text.tadpool_dsp_expand, "ax", %progbits
	.p2align 2
	.global tadpool_dsp_expand
	.type	tadpool_dsp_expand, %function
	.thumb_func
tadpool_dsp_expand:
	push	{r4-r11, lr}
	mov	lr, r2
	adds	r2, #16
	movs	r10, #0
	movs	r11, #0
	mvn	r12, #0x7f		@ -128 in both halves
	pkhbt	r12, r12, r12, lsl #16
	lsrs	r3, r3, #1
	bcc	2f
	adds	r3, #1
	b	3f
	.macro EXPAND
	ldr	r4, [r0], #4
	ldr	r5, [r1], #4
	sxtb16	r6, r4
	sxtb16	r7, r5
	sxtb16	r8, r4, ror #8
	sxtb16	r9, r5, ror #8
	stm	r2!, {r6-r9}
	sadd16	r6, r6, r8
	sadd16	r7, r7, r9
	smlad	r10, r6, r12, r10
	smlad	r11, r7, r12, r11
	.endm
2:	EXPAND
3:	EXPAND
	subs	r3, #1
	bne	2b
	strd	r10, r11, [lr]
	pop	{r4-r11, pc}
	.size	tadpool_dsp_expand, . - tadpool_dsp_expand
