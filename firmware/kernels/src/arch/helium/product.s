@ Products of four tokens with pairs of outputs, for cores with the M-profile
@ vector extension. Contract: product.rs beside this file; layout:
@ arithmetic/layout.rs.
@
@ Registers in the loop: r1 tile, r3 weights, r5 constants, r7 place of output,
@ r9 end of the tile, r11 end of the constants or residual factors, and the sums
@ of tokens 0 to 3
@     first output: r0 r2 r4 r6      second output: r8 r10 r12 lr
@ (VMLADAVA adds to even registers only). q1 and q2 weights of the outputs, q3 and
@ q0 tokens in turn, q4 zero point, q5 places of the eight results behind r7 as
@ halfwords, q6 zeros in odd bytes, q7 places of the first output's four as words.
@
@ Two vector instructions overlap if they are of different kinds, so a load stands
@ between two multiplications. Therefore the last token of 16 inputs is multiplied
@ where the next ones are loaded, and a pair of outputs is started where the one
@ before it is written.

	.syntax unified

	@ The frame: where the tile begins, zero, and
	.equ H_REST, 8		@ vectors for ALONE, which has no sum in lr; else zero
	.equ H_ENTRY, 12	@ what follows the first vector
	.equ H_OTHER, 16	@ table, or end of the constants if r11 is not
	.equ H_FULL, 20		@ where a vector of the next tile is full
	.equ H_FRAME, 28	@ with what is pushed before, a multiple of eight

	.equ H_ALONE, 40	@ bytes of ALONE
	.equ H_VECTOR, 56	@ bytes of VECTOR
	.equ H_LOOP_END, 4	@ bytes behind the last VECTOR

	@ Starts a pair of outputs but for r1 and the sums of token 3, which are the first
	@ words of the frame: all of the first 16 inputs that PRODUCTS has not.
	.macro START
	vldrb.8	q1, [r3], #16
	vldrb.8	q2, [r3], #16
	vldrb.8	q3, [r1], #16
	vmladav.s8	r0, q1, q3
	vmladav.s8	r8, q2, q3
	.endm

	@ An instruction of START for the next pair, if there is one.
	.macro NEXT is_next, instruction:vararg
	.if \is_next
	\instruction
	.endif
	.endm

	@ Token 3 of 16 inputs, and the others of the next 16: 128 products. `check` is an
	@ instruction behind the last load.
	.macro VECTOR check:vararg
	vldrb.8	q3, [r1], #16
	vmladava.s8	r6, q1, q0
	vldrb.8	q1, [r3], #16
	vmladava.s8	lr, q2, q0
	vldrb.8	q2, [r3], #16
	vmladava.s8	r0, q1, q3
	vldrb.8	q0, [r1], #16
	vmladava.s8	r8, q2, q3
	vldrb.8	q3, [r1], #16
	vmladava.s8	r2, q1, q0
	vmladava.s8	r10, q2, q0
	vldrb.8	q0, [r1], #16
	vmladava.s8	r4, q1, q3
	\check
	vmladava.s8	r12, q2, q3
	.endm

	@ What follows the first vector if the tile has only one token: as many as lr
	@ says. Goes on behind PRODUCTS.
	.macro ALONE
	wls	lr, lr, 9f
7:	vldrb.8	q3, [r1], #64
	vldrb.8	q1, [r3], #16
	vmladava.s8	r0, q1, q3
	vldrb.8	q2, [r3], #16
	vmladava.s8	r8, q2, q3
	le	lr, 7b
9:	vdup.32	q3, r0
	vdup.32	q1, r8
	b.w	8f
	.endm

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
	adr.w	r1, 4f + 1		@ Thumb
	bl	tadpool_helium_begin
	ldr	lr, [sp, #H_REST]
	.endm

	@ Says, for the audit of the image, that the jump at `from` may go to `to`. The linker
	@ keeps the section out of the image.
	.macro H_GOES from, to
	.pushsection .tadpool.jumps, "", %progbits
	.word	\from, \to
	.popsection
	.endm

	@ The sums of a pair of outputs that was started, the first one's in q3 and the
	@ second one's in q1. The loop does four vectors a turn and is entered where it
	@ does the remainder first, or left at once if no vector follows the first.
	.macro PRODUCTS
6:	vldrb.8	q0, [r1], #16
	vmladav.s8	r2, q1, q0
	vldrb.8	q3, [r1], #16
	vmladav.s8	r10, q2, q0
	vldrb.8	q0, [r1], #16
	vmladav.s8	r4, q1, q3
	vmladav.s8	r12, q2, q3
	H_GOES	9f, 3f
	H_GOES	9f, 4f
	H_GOES	9f, 4f + H_VECTOR
	H_GOES	9f, 4f + 2 * H_VECTOR
	H_GOES	9f, 4f + 3 * H_VECTOR
	H_GOES	9f, 4f + 4 * H_VECTOR + H_LOOP_END
9:	ldr	pc, [sp, #H_ENTRY]
	.p2align 2
3:	ALONE
	.p2align 2
4:	VECTOR
	VECTOR
	VECTOR
	VECTOR	cmp r1, r9
	bne.n	4b
	@ Nothing is skipped; another size is an error, since one of both is negative.
	.skip	. - 3b - H_ALONE - 4 * H_VECTOR - H_LOOP_END
	.skip	H_ALONE + 4 * H_VECTOR + H_LOOP_END - (. - 3b)
	vmladava.s8	r6, q1, q0
	vmov	q3[2], q3[0], r0, r4	@ the first register to the lower lane
	vmladava.s8	lr, q2, q0
	vmov	q1[2], q1[0], r8, r12
	vmov	q3[3], q3[1], r2, r6
	vmov	q1[3], q1[1], r10, lr
8:
	.endm

	@ Requantizes to q0 as halfwords, the outputs of a token side by side. The zero
	@ point is still to be added: saturating to 16 bits first changes nothing, since
	@ zero points are small.
	.macro REQUANTIZE
	ldm	r5!, {r0, r2, r4, r6}	@ starts and multipliers
	vadd.i32	q3, q3, r0
	vdup.32	q2, r4
	vadd.i32	q1, q1, r2
	vrmulh.s32	q3, q3, q2
	vdup.32	q0, r6
	vrmulh.s32	q1, q1, q0
	vqmovnb.s32	q0, q3
	vqmovnt.s32	q0, q1
	.endm

	@ Adds the zero point and writes q0, and starts the next pair: the lines with NEXT
	@ are the frame's first words and START, between the others.
	.macro WRITE is_next
	NEXT	\is_next, ldm sp, {r1, r6, lr}
	NEXT	\is_next, vldrb.8 q1, [r3], #16
	vqadd.s16	q0, q0, q4
	NEXT	\is_next, vldrb.8 q2, [r3], #16
	vqmovnb.s16	q0, q0
	NEXT	\is_next, vldrb.8 q3, [r1], #16
	NEXT	\is_next, vmladav.s8 r0, q1, q3
	vstrb.16	q0, [r7, q5]
	NEXT	\is_next, vmladav.s8 r8, q2, q3
	.endm

	@ The same by way of the table. Leaves H_FULL in r4.
	.macro ACTIVATE is_next
	vqadd.s16	q0, q0, q4
	NEXT	\is_next, ldm sp, {r1, r6, lr}
	vqmovunb.s16	q6, q0
	NEXT	\is_next, vldrb.8 q1, [r3], #16
	ldrd	r2, r4, [sp, #H_OTHER]
	NEXT	\is_next, vldrb.8 q2, [r3], #16
	NEXT	\is_next, vldrb.8 q3, [r1], #16
	NEXT	\is_next, vmladav.s8 r0, q1, q3
	vldrb.u16	q0, [r2, q6]
	NEXT	\is_next, vmladav.s8 r8, q2, q3
	vstrb.16	q0, [r7, q5]
	.endm

	.macro END name
	add	sp, #H_FRAME
	vpop	{d8-d15}
	pop	{r4-r11, pc}
	.size	\name, . - \name
	.endm

	BEGIN	tadpool_helium_write
	b	6f
5:	WRITE	1
	adds	r7, #2
	PRODUCTS
	REQUANTIZE
	cmp	r5, r11
	bne	5b
	WRITE	0
	END	tadpool_helium_write

	BEGIN	tadpool_helium_update
	b	6f
5:	WRITE	1
	adds	r7, #2
	PRODUCTS
	vldrb.s16	q2, [r7, q5]
	ldrd	r8, r10, [r11], #8
	vmovlb.s16	q0, q2
	vmla.s32	q3, q0, r8
	vmovlt.s16	q2, q2
	vmla.s32	q1, q2, r10
	REQUANTIZE
	ldr	r0, [sp, #H_OTHER]
	cmp	r5, r0
	bne	5b
	WRITE	0
	END	tadpool_helium_update

	BEGIN	tadpool_helium_sums
	b	6f
5:	ldm	sp, {r1, r6, lr}
	START
	PRODUCTS
	ldm	r5!, {r0, r2, r4, r6}	@ starts and multipliers
	vadd.i32	q3, q3, r0
	vadd.i32	q1, q1, r2
	vstrw.32	q3, [r7, q7]
	adds	r7, #4
	vstrw.32	q1, [r7, q7]
	adds	r7, #4
	cmp	r5, r11
	bne	5b
	END	tadpool_helium_sums

	BEGIN	tadpool_helium_activate
	vmov.i32	q6, #0
	b	6f
7:	adds	r7, #48			@ over the other tokens' values
	add	r4, r7, #16
	str	r4, [sp, #H_FULL]
	b	6f
5:	ACTIVATE	1
	adds	r7, #2
	cmp	r7, r4
	beq	7b
	PRODUCTS
	REQUANTIZE
	cmp	r5, r11
	bne	5b
	ACTIVATE	0
	END	tadpool_helium_activate

@ Fills the frame, loads what the loop wants and starts the first pair of outputs, but
@ for lr. r0: job, r1: the loop, with ALONE before it.
	.section .text.tadpool_helium_begin, "ax", %progbits
	.p2align 2
	.global tadpool_helium_begin
	.type	tadpool_helium_begin, %function
	.thumb_func
tadpool_helium_begin:
	ldm	r0!, {r5, r7, r9, r11, r12}
	ldm	r0!, {r2, r3, r4, r6, r8, r10}
	vdup.16	q4, r6
	vldrh.16	q5, [r0]
	vldrw.32	q7, [r0, #16]
	cmp	r4, #1
	beq	2f
	cbz	r3, 3f
	movs	r4, #0
	rsbs	r3, r3, #0		@ vectors of the loop to leave out
	and	r3, #3
	movs	r6, #H_VECTOR
	mla	r6, r3, r6, r1
1:	movs	r3, #0
	stm	sp, {r2, r3, r4, r6, r8, r10}
	mov	r3, r12
	ldm	sp, {r1, r6}
	START
	bx	lr
2:	mov	r4, r3
	sub	r6, r1, #H_ALONE
	b	1b
3:	movs	r4, #0
	add	r6, r1, #4 * H_VECTOR + H_LOOP_END
	b	1b
	.size	tadpool_helium_begin, . - tadpool_helium_begin

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
