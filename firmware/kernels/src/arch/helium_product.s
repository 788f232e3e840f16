@ Products of four tokens with pairs of outputs, for cores with the M-profile
@ vector extension. Contract and layout: helium.rs and layout.rs.
@
@ Registers in the loop: r1 tile, r3 weights, r5 constants, r7 place of output,
@ r9 end of the tile, and the sums of tokens 0 to 3
@     first output: r0 r2 r4 r6      second output: r8 r10 r12 lr
@ (VMLADAVA adds to even registers only). q4 zero point, q5 places of the eight
@ results behind r7 as halfwords, q7 those of the first output's four as words.
@ The frame is a copy of the caller's `Job`.

	.syntax unified

	.equ H_TILE, 0
	.equ H_ENTRY, 4		@ how many vectors a token has; where to enter the loop
	.equ H_END, 8		@ end of the constants
	.equ H_TABLE, 12
	.equ H_RESIDUAL, 16
	.equ H_FINISH, 20	@ what follows the sums
	.equ H_CONSTANTS, 24
	.equ H_WEIGHTS, 28
	.equ H_LIMIT, 32
	.equ H_OUT, 36
	.equ H_ZERO, 40
	.equ H_PLACES, 44	@ eight halfwords, then four words
	.equ H_FRAME, 24

	@ 16 inputs: 128 products.
	.macro VECTORS
	vldrb.8	q0, [r3], #16
	vldrb.8	q2, [r1], #16
	vmladava.s8	r0, q0, q2
	vldrb.8	q1, [r3], #16
	vmladava.s8	r8, q1, q2
	vldrb.8	q3, [r1], #16
	vmladava.s8	r2, q0, q3
	vldrb.8	q2, [r1], #16
	vmladava.s8	r10, q1, q3
	vmladava.s8	r4, q0, q2
	vldrb.8	q3, [r1], #16
	vmladava.s8	r12, q1, q2
	vmladava.s8	r6, q0, q3
	vmladava.s8	lr, q1, q3
	.endm

	@ The sums as vectors of tokens, first and second output.
	.macro COLLECT
	vmov	q0[2], q0[0], r0, r4	@ the first register to the lower lane
	vmov	q0[3], q0[1], r2, r6
	vmov	q1[2], q1[0], r8, r12
	vmov	q1[3], q1[1], r10, lr
	.endm

	@ Requantized sums as halfwords, the outputs of a token side by side.
	@ Saturating to 16 bits first changes nothing: zero points are small.
	.macro RESULTS
	ldrd	r0, r2, [r5], #8
	vdup.32	q2, r0
	vdup.32	q3, r2
	vrmulh.s32	q0, q0, q2
	vrmulh.s32	q1, q1, q3
	vqmovnb.s32	q0, q0
	vqmovnt.s32	q0, q1
	vqadd.s16	q0, q0, q4
	.endm

	.section .text.tadpool_helium_product, "ax", %progbits
	.p2align 2
	.global tadpool_helium_write
	.type	tadpool_helium_write, %function
	.thumb_func
tadpool_helium_write:
	adr.w	r3, .Lhelium_write
	b	.Lhelium_start
	.global tadpool_helium_activate
	.type	tadpool_helium_activate, %function
	.thumb_func
tadpool_helium_activate:
	adr.w	r3, .Lhelium_activate
	b	.Lhelium_start
	.global tadpool_helium_update
	.type	tadpool_helium_update, %function
	.thumb_func
tadpool_helium_update:
	adr.w	r3, .Lhelium_update

.Lhelium_start:
	push	{r4-r11, lr}
	vpush	{d8-d15}
	sub	sp, #H_FRAME
	ldm	r0, {r4-r8}
	stm	sp, {r4-r8}
	orr	r3, r3, #1		@ Thumb
	str	r3, [sp, #H_FINISH]
	@ An odd number of vectors enters the loop in its middle.
	adr.w	r2, .Lhelium_even
	lsls	r5, r5, #31
	bpl	1f
	adr.w	r2, .Lhelium_odd
1:	orr	r2, r2, #1
	str	r2, [sp, #H_ENTRY]
	ldr	r5, [r0, #H_CONSTANTS]
	ldr	r3, [r0, #H_WEIGHTS]
	ldr	r9, [r0, #H_LIMIT]
	ldr	r7, [r0, #H_OUT]
	ldr	r1, [r0, #H_ZERO]
	vdup.16	q4, r1
	add	r0, #H_PLACES
	vldrh.16	q5, [r0]
	vldrw.32	q7, [r0, #16]
	movs	r11, #8			@ pairs in a vector of the next tile

	.p2align 2
.Lhelium_pair:
	ldrd	r0, r8, [r5], #8
	ldr	r1, [sp, #H_TILE]
	mov	r2, r0
	mov	r4, r0
	mov	r6, r0
	mov	r10, r8
	mov	r12, r8
	mov	lr, r8
	ldr	pc, [sp, #H_ENTRY]
	.p2align 2
.Lhelium_even:
	VECTORS
.Lhelium_odd:
	VECTORS
	cmp	r1, r9
	bne	.Lhelium_even
	COLLECT
	ldr	pc, [sp, #H_FINISH]

	.p2align 2
.Lhelium_update:
	ldr	r2, [sp, #H_RESIDUAL]
	adds	r0, r7, #1
	ldrd	r4, r6, [r2], #8
	vldrb.s32	q2, [r7, q7]
	vldrb.s32	q3, [r0, q7]
	str.w	r2, [sp, #H_RESIDUAL]	@ wide: ADR reaches whole words
	vmla.s32	q0, q2, r4
	vmla.s32	q1, q3, r6
.Lhelium_write:
	RESULTS
	ldr	r1, [sp, #H_END]
	vqmovnb.s16	q0, q0
	vstrb.16	q0, [r7, q5]
	adds	r7, #2
	cmp	r5, r1
	bne	.Lhelium_pair
	b	.Lhelium_return

	.p2align 2
.Lhelium_activate:
	RESULTS
	ldr	r0, [sp, #H_TABLE]
	vqmovunb.s16	q0, q0
	vmovlb.u8	q0, q0
	ldr	r1, [sp, #H_END]
	vldrb.u16	q1, [r0, q0]
	vstrb.16	q1, [r7, q5]
	adds	r7, #2
	subs	r11, #1
	itt	eq
	addeq	r7, #48			@ over the other tokens' values
	moveq	r11, #8
	cmp	r5, r1
	bne	.Lhelium_pair

.Lhelium_return:
	add	sp, #H_FRAME
	vpop	{d8-d15}
	pop	{r4-r11, pc}
	.size	tadpool_helium_update, . - tadpool_helium_update

@ r0: values of one token, r1: how many, r2: its place in the tile.
	.section .text.tadpool_helium_expand, "ax", %progbits
	.p2align 2
	.global tadpool_helium_expand
	.type	tadpool_helium_expand, %function
	.thumb_func
tadpool_helium_expand:
	push	{r7, lr}
	dlstp.8	lr, r1
1:	vldrb.8	q0, [r0], #16
	vstrb.8	q0, [r2], #64
	letp	lr, 1b
	pop	{r7, pc}
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
