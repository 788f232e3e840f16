@ One row of the pooling mixer, for cores with the DSP extension. Contract and
@ formula: dsp.rs and pooling.rs.
@
@ Four channels are carried along the row together, as two pairs of halfwords:
@ E holds channels 0 and 2, O channels 1 and 3. With s the sum of a window,
@
@     q' = (A * q + B * s + offset) / 2^16
@     A  = residual - 36 * factor        B = factor * 36 / n
@
@ modulo 2^32, as in the portable kernel. B is another at the row's two ends.
@
@ Registers along a row: r0 row, r1 place in it, r2 r3 sum of the left and this
@ column (E, O), r4 r5 this column, r6 offset; r7-r12 and lr are free.
@ The frame is a copy of the caller's `Row`.

	.syntax unified

	.equ PREVIOUS, 0	@ one token ahead, as the two below
	.equ BELOW, 4
	.equ AHEAD, 8
	.equ ROW, 12
	.equ STRIDE, 16		@ channels
	.equ LIMIT, 20		@ place at which the state changes
	.equ LENGTH, 24		@ bytes of a row less one token
	.equ OFFSET, 28
	.equ TABLE, 32
	.equ SUM, 36
	.equ SQUARES, 40
	.equ PLACE, 44		@ first byte of the group in its row
	.equ STATE, 48		@ 0 at the left end, 1 between, 2 at the right end
	.equ POOL_JOB, 52
	.equ FACTORS, 56	@ A and B of the four channels
	.equ POOL_FRAME, 88

	@ Sums of the column one token ahead, E in r7 and O in r8. The row above is
	@ kept as it was before it was written.
	.macro COLUMN
	ldm	sp, {r7-r9}		@ PREVIOUS, BELOW, AHEAD
	ldr	r10, [r9, r1]
	ldr	r11, [r7, r1]
	ldr	r12, [r8, r1]
	str	r10, [r7, r1]
	sxtb16	r7, r10
	sxtb16	r8, r10, ror #8
	sxtab16	r7, r7, r11
	sxtab16	r8, r8, r11, ror #8
	sxtab16	r7, r7, r12
	sxtab16	r8, r8, r12, ror #8
	.endm

	@ The factors at lr become those in use.
	.macro REPLACE_FACTORS
	add	r12, sp, #FACTORS
	ldm	lr!, {r7-r10}
	stm	r12!, {r7-r10}
	ldm	lr, {r7-r10}
	stm	r12, {r7-r10}
	.endm

	.section .text.tadpool_dsp_pool_row, "ax", %progbits
	.p2align 2
	.global tadpool_dsp_pool_row
	.type	tadpool_dsp_pool_row, %function
	.thumb_func
tadpool_dsp_pool_row:
	push	{r4-r11, lr}
	sub	sp, #POOL_FRAME
	mov	r2, r0
	ldm	r2, {r3-r12, lr}
	stm	sp, {r3-r12, lr}
	movs	r3, #0
	str	r3, [sp, #PLACE]
	str	r0, [sp, #POOL_JOB]
	ldr	r0, [sp, #ROW]

.Lpool_group:
	ldr	r1, [sp, #TABLE]
	ldm	r1!, {r2-r9}
	add	r10, sp, #FACTORS
	stm	r10, {r2-r9}
	str	r1, [sp, #TABLE]
	ldr	r1, [sp, #PLACE]
	ldr	r6, [sp, #STRIDE]
	subs	r1, r1, r6
	COLUMN
	mov	r2, r7
	mov	r3, r8
	mov	r4, r7
	mov	r5, r8
	add	r1, r6
	add	r7, r1, r6
	str	r7, [sp, #LIMIT]
	ldr	r6, [sp, #OFFSET]
	ldr	r7, [sp, #LENGTH]
	cmp	r7, #0
	beq	.Lpool_last
	movs	r7, #0
	str	r7, [sp, #STATE]

.Lpool_next:
	COLUMN
.Lpool_sums:
	sadd16	r9, r2, r7
	sadd16	r10, r3, r8
	sadd16	r2, r4, r7
	sadd16	r3, r5, r8
	mov	r4, r7
	mov	r5, r8
	ldr	r11, [r0, r1]
	ldrd	r7, r8, [sp, #FACTORS]
	sxtb	r12, r11
	mla	lr, r12, r7, r6
	sxth	r12, r9
	mla	lr, r12, r8, lr
	ldrd	r7, r8, [sp, #FACTORS + 16]
	asr	r9, r9, #16
	mla	r12, r9, r8, r6
	sxtb	r9, r11, ror #16
	mla	r12, r9, r7, r12
	pkhtb	r9, r12, lr, asr #16
	ldrd	r7, r8, [sp, #FACTORS + 8]
	sxtb	r12, r11, ror #8
	mla	lr, r12, r7, r6
	sxth	r12, r10
	mla	lr, r12, r8, lr
	ldrd	r7, r8, [sp, #FACTORS + 24]
	asr	r10, r10, #16
	mla	r12, r10, r8, r6
	asr	r10, r11, #24
	mla	r12, r10, r7, r12
	pkhtb	r10, r12, lr, asr #16
	ssat16	r9, #8, r9
	ssat16	r10, #8, r10
	ldrd	r7, r8, [sp, #SUM]
	sadd16	r12, r9, r10
	smlad	r8, r9, r9, r8
	smlad	r8, r10, r10, r8
	sxtah	r7, r7, r12
	add	r7, r7, r12, asr #16
	strd	r7, r8, [sp, #SUM]
	uxtb16	r9, r9
	uxtb16	r10, r10
	orr	r9, r9, r10, lsl #8
	str	r9, [r0, r1]
	ldrd	r7, r8, [sp, #STRIDE]
	add	r1, r7
	cmp	r1, r8
	bne	.Lpool_next

	ldr	r8, [sp, #STATE]
	cmp	r8, #1
	bgt	.Lpool_group_done
	ldr	lr, [sp, #TABLE]
	beq	.Lpool_end
	ldr	r8, [sp, #PLACE]
	ldr	r9, [sp, #LENGTH]
	add	r8, r9
	cmp	r8, r1
	beq	.Lpool_last		@ two columns
	movs	r9, #1
	str	r8, [sp, #LIMIT]
	str	r9, [sp, #STATE]
	REPLACE_FACTORS
	b	.Lpool_next
.Lpool_end:
	sub	lr, #32
	REPLACE_FACTORS
.Lpool_last:
	ldr	r7, [sp, #STRIDE]
	add	r7, r1
	str	r7, [sp, #LIMIT]
	movs	r7, #2
	str	r7, [sp, #STATE]
	movs	r7, #0			@ no column to the right
	movs	r8, #0
	b	.Lpool_sums

.Lpool_group_done:
	ldr	r12, [sp, #TABLE]
	adds	r12, #32
	str	r12, [sp, #TABLE]
	ldr	r1, [sp, #PLACE]
	adds	r1, #4
	str	r1, [sp, #PLACE]
	cmp	r1, r7
	bne	.Lpool_group

	ldr	r0, [sp, #POOL_JOB]
	ldrd	r2, r3, [sp, #SUM]
	strd	r2, r3, [r0, #SUM]
	add	sp, #POOL_FRAME
	pop	{r4-r11, pc}
	.size	tadpool_dsp_pool_row, . - tadpool_dsp_pool_row
