@ The affine of up to eight channels of a map, for cores with the vector extension.
@ Contract: identity.rs beside this file; formula: steps/identity.rs.

	.syntax unified

	@ r0: the channels in the first token, r1: bytes of a token, r2: tokens, r3:
	@ slopes, offsets and number of the channels.
	@
	@ Two tokens a turn, one from each end: if their number is odd, the two of the last
	@ turn are the same, and are read before they are written.
	.section .text.tadpool_helium_affine, "ax", %progbits
	.p2align 2
	.global tadpool_helium_affine
	.type	tadpool_helium_affine, %function
	.thumb_func
tadpool_helium_affine:
	push	{r4, lr}
	vpush	{d8-d15}
	vld20.32	{q0, q1}, [r3]	@ even and odd channels
	vld21.32	{q0, q1}, [r3]!
	vld20.32	{q2, q3}, [r3]
	vld21.32	{q2, q3}, [r3]!
	ldr	r3, [r3]
	vctp.16	r3
	subs	r4, r2, #1
	mla	r4, r4, r1, r0
	adds	r2, #1
	lsrs	r2, r2, #1
	dls	lr, r2
1:	vpstt
	vldrbt.s16	q4, [r0]
	vldrbt.s16	q6, [r4]
	vmovlb.s16	q5, q4
	vmul.i32	q5, q5, q0
	vmovlt.s16	q4, q4
	vmul.i32	q4, q4, q1
	vmovlb.s16	q7, q6
	vmul.i32	q7, q7, q0
	vmovlt.s16	q6, q6
	vmul.i32	q6, q6, q1
	vadd.i32	q5, q5, q2
	vadd.i32	q4, q4, q3
	vsri.32	q4, q5, #16
	vadd.i32	q7, q7, q2
	vqmovnb.s16	q4, q4
	vadd.i32	q6, q6, q3
	vsri.32	q6, q7, #16
	vqmovnb.s16	q6, q6
	vpstt
	vstrbt.16	q4, [r0]
	vstrbt.16	q6, [r4]
	add	r0, r1
	subs	r4, r4, r1
	le	lr, 1b
	vpop	{d8-d15}
	pop	{r4, pc}
	.size	tadpool_helium_affine, . - tadpool_helium_affine
