@ One row of the pooling mixer, for cores with the DSP extension. Contract:
@ pooling.rs beside this file; formula: steps/pooling.rs.
@
@ Four channels are carried along the row together, as two pairs of halfwords:
@ E holds channels 0 and 2, O channels 1 and 3. With s the sum of a window,
@
@     q' = (A * q + B * s + offset) / 2^16
@     A  = residual - 36 * factor        B = factor * 36 / n
@
@ modulo 2^32, as in the portable kernel. B is another at the row's two ends.
@
@ Registers along a row: r0 row, r1 place in it, r8 r9 sum of the left and this
@ column (E, O), r10 r11 this column, r12 offset; r2-r7 and lr are free.
@ The frame is a copy of the caller's `Row`.
@
@ The order is one for cores that issue two instructions at once: what takes bytes or
@ halfwords apart, or puts them together, can only be the older one of two, so what
@ follows it is a product or plain arithmetic, if that is possible. Loads that a core
@ for one instruction at once overlaps follow each other.

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

	@ Sums of the column one token ahead, E in lr and O in r3. The row above is
	@ kept as it was before it was written.
	.macro COLUMN
	ldm	sp, {r5-r7}		@ PREVIOUS, BELOW, AHEAD
	ldr	r2, [r6, r1]
	ldr	r3, [r5, r1]
	ldr	r4, [r7, r1]
	str	r4, [r5, r1]
	sxtb16	r6, r4, ror #8
	sxtab16	r6, r6, r3, ror #8
	sxtb16	r4, r4
	sxtab16	r3, r4, r3
	sxtab16	lr, r3, r2
	sxtab16	r3, r6, r2, ror #8
	.endm

	@ The factors at r7 become those in use.
	.macro REPLACE_FACTORS
	add	r6, sp, #FACTORS
	ldm	r7!, {r2-r5}
	stm	r6!, {r2-r5}
	ldm	r7!, {r2-r5}
	stm	r6!, {r2-r5}
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
	ldr	r12, [sp, #STRIDE]
	sub	r1, r1, r12
	COLUMN
	mov	r8, lr
	mov	r9, r3
	mov	r10, lr
	mov	r11, r3
	add	r1, r12
	add	r7, r1, r12
	str	r7, [sp, #LIMIT]
	ldr	r12, [sp, #OFFSET]
	ldr	r7, [sp, #LENGTH]
	cmp	r7, #0
	beq	.Lpool_last
	movs	r7, #0
	str	r7, [sp, #STATE]

.Lpool_next:
	COLUMN
.Lpool_sums:
	ldr	r2, [r0, r1]
	ldrd	r6, r4, [sp, #FACTORS + 16]
	sxtb	r7, r2, ror #16
	sadd16	r5, r8, lr
	mla	r6, r7, r6, r12
	sadd16	r8, r10, lr
	asrs	r7, r5, #16
	mla	r6, r7, r4, r6
	mov	r10, lr
	ldrd	lr, r7, [sp, #FACTORS]
	sxtb	r4, r2
	sxth	r5, r5
	mla	lr, r4, lr, r12
	sadd16	r4, r9, r3
	mla	lr, r5, r7, lr
	sadd16	r9, r11, r3
	ldrd	r7, r5, [sp, #FACTORS + 8]
	pkhtb	r6, r6, lr, asr #16
	sxtb	lr, r2, ror #8
	mov	r11, r3
	sxth	r3, r4
	mla	r7, lr, r7, r12
	mla	r7, r3, r5, r7
	asrs	r3, r2, #24
	ldrd	r2, lr, [sp, #FACTORS + 24]
	mla	r2, r3, r2, r12
	asrs	r3, r4, #16
	ssat16	r4, #8, r6
	mla	r3, r3, lr, r2
	ldrd	r2, lr, [sp, #SUM]
	pkhtb	r6, r3, r7, asr #16
	mov	r7, #0x00010001		@ adds both halfwords
	ldrd	r3, r5, [sp, #STRIDE]
	ssat16	r6, #8, r6
	smlad	lr, r4, r4, lr
	smlad	r2, r4, r7, r2
	uxtb16	r4, r4
	smlad	r7, r6, r7, r2
	uxtb16	r2, r6
	smlad	r6, r6, r6, lr
	strd	r7, r6, [sp, #SUM]
	orr	r2, r4, r2, lsl #8
	str	r2, [r0, r1]
	add	r1, r3
	cmp	r1, r5
	bne	.Lpool_next

	ldr	r2, [sp, #STATE]
	cmp	r2, #1
	bgt	.Lpool_group_done
	ldr	r7, [sp, #TABLE]
	beq	.Lpool_end
	ldr	r2, [sp, #PLACE]
	ldr	r3, [sp, #LENGTH]
	add	r2, r3
	cmp	r2, r1
	beq	.Lpool_last		@ two columns
	movs	r3, #1
	str	r2, [sp, #LIMIT]
	str	r3, [sp, #STATE]
	REPLACE_FACTORS
	b	.Lpool_next
.Lpool_end:
	subs	r7, #32
	REPLACE_FACTORS
.Lpool_last:
	ldr	r7, [sp, #STRIDE]
	add	r7, r1
	str	r7, [sp, #LIMIT]
	movs	r7, #2
	str	r7, [sp, #STATE]
	movs	r3, #0			@ no column to the right
	mov	lr, r3
	b	.Lpool_sums

.Lpool_group_done:
	ldr	r2, [sp, #TABLE]
	adds	r2, #32
	str	r2, [sp, #TABLE]
	ldr	r1, [sp, #PLACE]
	adds	r1, #4
	str	r1, [sp, #PLACE]
	cmp	r1, r3			@ the stride
	bne	.Lpool_group

	ldr	r0, [sp, #POOL_JOB]
	ldrd	r2, r3, [sp, #SUM]
	strd	r2, r3, [r0, #SUM]
	add	sp, #POOL_FRAME
	pop	{r4-r11, pc}
	.size	tadpool_dsp_pool_row, . - tadpool_dsp_pool_row
