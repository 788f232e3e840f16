@ One channel of a row of windows of up to 7x7, for cores with the vector extension.
@ Contract: depthwise.rs beside this file; formula: arithmetic/depthwise.rs.
@
@ A channel's values under the windows lie column by column, eight rows each, so that
@ a window is 56 bytes in a row and so are its weights: four vectors.

	.syntax unified

	@ r0: the channel in the ring, r1: where each row lies from there, eight halfwords,
	@ r2: bytes of a token, r3: columns, and on the stack where the columns go.
	.section .text.tadpool_helium_gather, "ax", %progbits
	.p2align 2
	.global tadpool_helium_gather
	.type	tadpool_helium_gather, %function
	.thumb_func
tadpool_helium_gather:
	push	{r4, lr}
	ldr	r4, [sp, #8]
	vldrh.u16	q1, [r1]
	dls	lr, r3
1:	vldrb.u16	q0, [r0, q1]
	add	r0, r2
	vstrb.16	q0, [r4], #8
	le	lr, 1b
	pop	{r4, pc}
	.size	tadpool_helium_gather, . - tadpool_helium_gather

	@ r0: a job: columns, weights, out, bytes of a token, windows, bias, multiplier,
	@ zero.
	.section .text.tadpool_helium_convolve, "ax", %progbits
	.p2align 2
	.global tadpool_helium_convolve
	.type	tadpool_helium_convolve, %function
	.thumb_func
tadpool_helium_convolve:
	push	{r4-r9, lr}
	vpush	{d8-d9}
	ldm	r0, {r1-r3, r5-r9}	@ columns, weights, out, token, windows, bias, ...
	vldrb.u8	q0, [r2]
	vldrb.u8	q1, [r2, #16]
	vldrb.u8	q2, [r2, #32]
	movs	r4, #8
	vctp.8	r4
	vpst
	vldrbt.u8	q3, [r2, #48]
	dls	lr, r6
1:	mov	r4, r7
	vldrw.u32	q4, [r1]
	vmladava.s8	r4, q4, q0
	vldrw.u32	q4, [r1, #16]
	vmladava.s8	r4, q4, q1
	vldrw.u32	q4, [r1, #32]
	vmladava.s8	r4, q4, q2
	vldrw.u32	q4, [r1, #48]
	vmladava.s8	r4, q4, q3
	adds	r1, #8
	smmlar	r4, r4, r8, r9
	ssat	r4, #8, r4
	strb	r4, [r3]
	add	r3, r5
	le	lr, 1b
	vpop	{d8-d9}
	pop	{r4-r9, pc}
	.size	tadpool_helium_convolve, . - tadpool_helium_convolve
