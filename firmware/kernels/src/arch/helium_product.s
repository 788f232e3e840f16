@ Products of four tokens with pairs of outputs, for cores with the M-profile
@ vector extension. Contract and layout: helium.rs and layout.rs.
@
@ Registers in the loop: r1 tile, r3 weights, r5 constants, r7 place of output,
@ r9 end of the tile, r11 end of the constants, and the sums of tokens 0 to 3
@     first output: r0 r2 r4 r6      second output: r8 r10 r12 lr
@ (VMLADAVA adds to even registers only). q4 zero point, q5 places of the eight
@ results behind r7 as halfwords, q7 those of the first output's four as words.

	.syntax unified

	.equ H_CONSTANTS, 0	@ of the caller's `Job`
	.equ H_WEIGHTS, 4
	.equ H_OUT, 8
	.equ H_LIMIT, 12
	.equ H_END, 16
	.equ H_ZERO, 20
	.equ H_TILE, 24
	.equ H_VECTORS, 28
	.equ H_TABLE, 32	@ or the residual factors
	.equ H_PLACES, 36	@ eight halfwords, then four words
	.equ H_PAIRS, 68	@ of outputs before the next vector of the next tile

	.equ H_BASE, 0		@ of the frame
	.equ H_ENTRY, 4
	.equ H_OTHER, 8		@ table or residual factors
	.equ H_LEFT, 12		@ pairs left in a vector of the next tile
	.equ H_FRAME, 16

	@ 16 inputs: 128 products.
	.macro VECTORS multiply
	vldrb.8	q0, [r3], #16
	vldrb.8	q2, [r1], #16
	\multiply\().s8	r0, q0, q2
	vldrb.8	q1, [r3], #16
	\multiply\().s8	r8, q1, q2
	vldrb.8	q3, [r1], #16
	\multiply\().s8	r2, q0, q3
	vldrb.8	q2, [r1], #16
	\multiply\().s8	r10, q1, q3
	\multiply\().s8	r4, q0, q2
	vldrb.8	q3, [r1], #16
	\multiply\().s8	r12, q1, q2
	\multiply\().s8	r6, q0, q3
	\multiply\().s8	lr, q1, q3
	.endm

	@ Saves registers and loads what the loop wants. The first vector is outside
	@ of the loop, which is entered in its middle if an odd number is left.
	.macro BEGIN name
	.section .text.\name, "ax", %progbits
	.p2align 2
	.global \name
	.type	\name, %function
	.thumb_func
\name:
	push	{r4-r11, lr}
	vpush	{d8-d15}
	sub	sp, #H_FRAME
	ldr	r1, [r0, #H_ZERO]
	ldrd	r2, r3, [r0, #H_TILE]	@ and the vectors of a token
	ldr	r4, [r0, #H_TABLE]
	vdup.16	q4, r1
	ldr	r5, [r0, #H_PAIRS]
	adr.w	r1, 3f
	lsls	r3, r3, #31
	bmi	1f
	adr.w	r1, 2f
1:	orr	r1, r1, #1		@ Thumb
	str	r2, [sp, #H_BASE]
	strd	r1, r4, [sp, #H_ENTRY]
	str	r5, [sp, #H_LEFT]
	add	r1, r0, #H_PLACES
	vldrh.16	q5, [r1]
	vldrw.32	q7, [r1, #16]
	ldm	r0, {r5, r6, r7, r9, r11}
	mov	r3, r6
	.endm

	@ The sums of one pair of outputs, the first one's in q0 and the second one's
	@ in q1; multipliers in r4 and r6.
	.macro SUMS residual
	.p2align 2
5:	ldr	r1, [sp, #H_BASE]
	VECTORS	vmladav
	ldr	pc, [sp, #H_ENTRY]
	.p2align 2
4:	VECTORS	vmladava
	.p2align 2
2:	VECTORS	vmladava
	.p2align 2
3:	cmp	r1, r9
	bne	4b
	vmov	q0[2], q0[0], r0, r4	@ the first register to the lower lane
	vmov	q0[3], q0[1], r2, r6
	vmov	q1[2], q1[0], r8, r12
	vmov	q1[3], q1[1], r10, lr
	.if \residual
	ldr	r2, [sp, #H_OTHER]
	adds	r0, r7, #1
	ldrd	r4, r6, [r2], #8
	vldrb.s32	q2, [r7, q7]
	vldrb.s32	q3, [r0, q7]
	str	r2, [sp, #H_OTHER]
	vmla.s32	q0, q2, r4
	vmla.s32	q1, q3, r6
	.endif
	ldm	r5!, {r0, r2, r4, r6}	@ starts and multipliers
	vadd.i32	q0, q0, r0
	vadd.i32	q1, q1, r2
	.endm

	@ One pair of outputs. Leaves the requantized sums in q0 as halfwords, the
	@ outputs of a token side by side. Saturating to 16 bits first changes
	@ nothing: zero points are small.
	.macro PAIR residual
	SUMS	\residual
	vdup.32	q2, r4
	vdup.32	q3, r6
	vrmulh.s32	q0, q0, q2
	vrmulh.s32	q1, q1, q3
	vqmovnb.s32	q0, q0
	vqmovnt.s32	q0, q1
	vqadd.s16	q0, q0, q4
	.endm

	.macro STORE_TOKENS
	vqmovnb.s16	q0, q0
	vstrb.16	q0, [r7, q5]
	adds	r7, #2
	.endm

	.macro END name
	cmp	r5, r11
	bne	5b
	add	sp, #H_FRAME
	vpop	{d8-d15}
	pop	{r4-r11, pc}
	.size	\name, . - \name
	.endm

	BEGIN	tadpool_helium_write
	PAIR	0
	STORE_TOKENS
	END	tadpool_helium_write

	BEGIN	tadpool_helium_update
	PAIR	1
	STORE_TOKENS
	END	tadpool_helium_update

	BEGIN	tadpool_helium_sums
	SUMS	0
	vstrw.32	q0, [r7, q7]
	adds	r7, #4
	vstrw.32	q1, [r7, q7]
	adds	r7, #4
	END	tadpool_helium_sums

	BEGIN	tadpool_helium_activate
	PAIR	0
	ldrd	r0, r2, [sp, #H_OTHER]
	vqmovunb.s16	q0, q0
	vmovlb.u8	q0, q0
	subs	r2, #1
	vldrb.u16	q1, [r0, q0]
	vstrb.16	q1, [r7, q5]
	itt	eq
	addeq	r7, #48			@ over the other tokens' values
	moveq	r2, #8
	adds	r7, #2
	str	r2, [sp, #H_LEFT]
	END	tadpool_helium_activate

@ r0: tokens, r1: values of one, r2: values to the next one, r3: their place in
@ the tile, and how many tokens on the stack.
	.section .text.tadpool_helium_expand, "ax", %progbits
	.p2align 2
	.global tadpool_helium_expand
	.type	tadpool_helium_expand, %function
	.thumb_func
tadpool_helium_expand:
	push	{r4-r7, lr}
	ldr	r6, [sp, #20]
2:	mov	r4, r0
	mov	r5, r3
	dlstp.8	lr, r1
1:	vldrb.8	q0, [r4], #16
	vstrb.8	q0, [r5], #64
	letp	lr, 1b
	add	r0, r2
	adds	r3, #16
	subs	r6, #1
	bne	2b
	pop	{r4-r7, pc}
	.size	tadpool_helium_expand, . - tadpool_helium_expand

@ r0: values, r1: how many. Returns their sum in r0 and the sum of their squares
@ in r1.
	.section .text.tadpool_helium_count, "ax", %progbits
	.p2align 2
	.global tadpool_helium_count
	.type	tadpool_helium_count, %function
	.thumb_func
tadpool_helium_count:
	push	{r7, lr}
	movs	r2, #0
	mov	r12, #0
	dlstp.8	lr, r1
1:	vldrb.8	q0, [r0], #16
	vaddva.s8	r2, q0
	vmladava.s8	r12, q0, q0
	letp	lr, 1b
	mov	r0, r2
	mov	r1, r12
	pop	{r7, pc}
	.size	tadpool_helium_count, . - tadpool_helium_count
