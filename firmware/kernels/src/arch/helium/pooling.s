@ The pooling mixer on eight channels of a map, for cores with the vector extension.
@ Contract: pooling.rs beside this file; formula: steps/pooling.rs.
@
@ The channels are carried along each row together, as eight halfwords. With s the
@ sum of a window of n values,
@
@     q' = (residual * q + factor * e + offset) / 2^16,   e = 36 / n * s - 36 * q
@
@ modulo 2^32, as in the portable kernel; e has 15 bits.
@
@ Two rows of these channels are kept as they were before they were written: the one
@ above and the one that is being written. Once a column of both was added up, the
@ row below takes the place of the one above, and the two change roles.
@
@ While a place is written, what is kept of the column two ahead is read already; the
@ last two are beyond the row's end and not used.
@
@ Registers: r0 job, r1 above, r2 row (both the last place that was read), r3 below,
@ r4 out, r5 bytes of a token, r6 36 / n, r7 offset, r8 residual, r9 -36, r10 bytes of a
@ token of the row below, r11 6 over the rows of the window, r12 places between the
@ ends; q0 q1 factors of the even and the odd channels, q2 sum of the left and this
@ column, q3 this column, q4 the next one.

	.syntax unified

	.equ P_OUT, 0
	.equ P_STRIDE, 4
	.equ P_OFFSET, 8
	.equ P_RESIDUAL, 12
	.equ P_FACTORS, 16
	.equ P_INV_SIGMA, 20
	.equ P_LANES, 24
	.equ P_KEPT, 28		@ eight zeros, then both rows that are kept
	.equ P_READ, 32		@ columns that are read of these, two of them too many
	.equ P_ROWS, 36		@ rows that are not begun
	.equ P_ABOVE, 40		@ 6 over the rows of a window without the one below

	@ Adds the next column of both rows that are kept.
	.macro KEPT_SUM sum, free
	vldrb.s16	\sum, [r1, #8]!
	vldrb.s16	\free, [r2, #8]!
	vadd.i16	\sum, \sum, \free
	.endm

	@ Adds the row below, which takes the place of the one above.
	.macro ADD_BELOW sum, free
	vldrb.s16	\free, [r3]
	add	r3, r10
	vadd.i16	\sum, \sum, \free
	vstrb.16	\free, [r1]
	.endm

	.section .text.tadpool_helium_pool, "ax", %progbits
	.p2align 2
	.global tadpool_helium_pool
	.type	tadpool_helium_pool, %function
	.thumb_func
tadpool_helium_pool:
	push	{r4-r11, lr}
	vpush	{d8-d15}
	ldm	r0, {r4, r5, r7, r8, r9, r10, r11}
	vld20.32	{q0, q1}, [r9]
	vld21.32	{q0, q1}, [r9]
	mvn	r9, #35
	vdup.32	q2, r10
	vrmulh.s32	q0, q0, q2
	vrmulh.s32	q1, q1, q2
	vqshl.s32	q0, q0, #14	@ factors have 18 bits
	vqshl.s32	q1, q1, #14
	vshr.s32	q0, q0, #14
	vshr.s32	q1, q1, #14
	vmsr	p0, r11
	mov	r10, r5

	@ The first row, and zeros above it.
	ldrd	r2, r12, [r0, #P_KEPT]
	vmov.i32	q2, #0
	vstrb.16	q2, [r2]
	subs	r12, #2
	add	r1, r2, r12, lsl #3
	mov	r3, r4
	mov	r6, r1
	dls	lr, r12
1:	vldrb.u16	q3, [r3]
	add	r3, r5
	vstrb.16	q2, [r6, #8]!
	vstrb.16	q3, [r2, #8]!
	le	lr, 1b
	sub	r2, r2, r12, lsl #3
	b	.Lpool_row

.Lpool_row_done:
	ldr	r12, [r0, #P_READ]
	sub	r6, r1, r12, lsl #3
	sub	r1, r2, r12, lsl #3
	mov	r2, r6
.Lpool_row:
	ldrd	r6, r11, [r0, #P_ROWS]
	subs	r6, #1
	bmi	.Lpool_done
	mov	r12, #3
	strd	r6, r12, [r0, #P_ROWS]
	beq	.Lpool_last_row
	add	r11, r11, #1		@ 6 becomes 3, and 3 becomes 2
	asr	r11, r11, #1
.Lpool_first:
	KEPT_SUM	q3, q2
	ADD_BELOW	q3, q2
	KEPT_SUM	q4, q5
	vmov	q2, q3
	ldr	r12, [r0, #P_READ]
	add	r6, r11, r11, lsl #1
	mov	lr, #1
	subs	r12, #4
	bmi	.Lpool_only

.Lpool_next:
	ADD_BELOW	q4, q5
.Lpool_sums:
	vadd.i16	q6, q2, q4
	vmul.i16	q6, q6, r6
	vldrb.s16	q5, [r2, #-8]
	vadd.i16	q2, q3, q4
	vmla.s16	q6, q5, r9
	vmov	q3, q4
	vmovlb.s16	q4, q6
	vmlas.s32	q4, q0, r7
	vmovlt.s16	q6, q6
	vmlas.s32	q6, q1, r7
	vmovlb.s16	q7, q5
	vmla.s32	q4, q7, r8
	vmovlt.s16	q5, q5
	vmla.s32	q6, q5, r8
	vsri.32	q6, q4, #16
	vldrb.s16	q7, [r1, #8]!
	vqmovnb.s16	q6, q6
	vldrb.s16	q5, [r2, #8]!
	vadd.i16	q4, q5, q7
	vpst
	vstrbt.16	q6, [r4]
	add	r4, r5
	le	lr, .Lpool_next

	cmp	r12, #0
	bmi	.Lpool_row_done
	beq	.Lpool_last
	mov	lr, r12
	mov	r12, #0
	lsl	r6, r11, #1
	b	.Lpool_next
.Lpool_only:
	lsl	r11, r11, #1		@ a window of one column
.Lpool_last:
	mov	r12, #-1
	add	r6, r11, r11, lsl #1
	mov	lr, #1
	vmov.i32	q4, #0		@ no column to the right
	b	.Lpool_sums

.Lpool_last_row:
	ldr	r3, [r0, #P_KEPT]		@ zeros below
	mov	r10, #0
	b	.Lpool_first

.Lpool_done:
	vpop	{d8-d15}
	pop	{r4-r11, pc}
	.size	tadpool_helium_pool, . - tadpool_helium_pool
