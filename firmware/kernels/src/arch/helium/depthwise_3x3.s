@ One channel of a row of windows of 3x3, for cores with the vector extension.
@ Contract: depthwise_3x3.rs beside this file; formula: arithmetic/depthwise.rs.
@
@ A channel's values under the windows lie column by column, four rows each as in its
@ weights, so that a window is 12 bytes in a row: one vector, the last four bytes of which
@ meet weights of zero. Four windows are requantized together.

	.syntax unified

	@ r0: the channel in the ring, r1: where each row lies from there, four words,
	@ r2: bytes of a token, r3: columns, and on the stack where the columns go.
	.section .text.tadpool_helium_gather_3x3, "ax", %progbits
	.p2align 2
	.global tadpool_helium_gather_3x3
	.type	tadpool_helium_gather_3x3, %function
	.thumb_func
tadpool_helium_gather_3x3:
	push	{r4, lr}
	ldr	r4, [sp, #8]
	vldrw.32 q1, [r1]
	dls	lr, r3
1:	vldrb.u32 q0, [r0, q1]
	add	r0, r2
	vstrb.32 q0, [r4], #4
	le	lr, 1b
	pop	{r4, pc}
	.size	tadpool_helium_gather_3x3, . - tadpool_helium_gather_3x3

	@ r0: a job: columns, weights, out, bytes of a token, windows, bias, multiplier,
	@ zero. Of fewer windows than four the others are computed, and not stored.
	.section .text.tadpool_helium_convolve_3x3, "ax", %progbits
	.p2align 2
	.global tadpool_helium_convolve_3x3
	.type	tadpool_helium_convolve_3x3, %function
	.thumb_func
tadpool_helium_convolve_3x3:
	push	{r4-r10, lr}
	vpush	{d8-d11}
	ldm	r0, {r1-r3, r5, r7-r9, r12}	@ columns, weights, out, token, windows, bias, ...
	movs	r4, #12
	vctp.8	r4
	vpst
	vldrbt.u8 q0, [r2]
	vdup.32	q4, r9
	movs	r2, #0
	vidup.u32 q5, r2, #1
	vmul.i32 q5, q5, r5
	lsls	r5, r5, #2
1:	vldrw.32 q1, [r1], #4
	vmladav.s8 r2, q1, q0
	vldrw.32 q2, [r1], #4
	vmladav.s8 r4, q2, q0
	vldrw.32 q1, [r1], #4
	vmladav.s8 r6, q1, q0
	vldrw.32 q2, [r1], #4
	vmladav.s8 r10, q2, q0
	vmov	q3[2], q3[0], r2, r6
	vmov	q3[3], q3[1], r4, r10
	vadd.i32 q3, q3, r8
	vrmulh.s32 q3, q3, q4
	vctp.32	r7
	vadd.i32 q3, q3, r12
	vqmovnb.s32 q3, q3
	vqmovnb.s16 q3, q3
	vpst
	vstrbt.32 q3, [r3, q5]
	add	r3, r5
	subs	r7, #4
	bgt	1b
	vpop	{d8-d11}
	pop	{r4-r10, pc}
	.size	tadpool_helium_convolve_3x3, . - tadpool_helium_convolve_3x3
