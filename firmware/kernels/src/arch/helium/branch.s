@ A branch that is added to one token of an int8 stream, for cores with the vector
@ extension. Contract: branch.rs beside this file; formula: arithmetic/stream.rs.
@
@ Factors have 32 bits, and lanes too. So each is split, f = 2^12 * high + low, and
@
@     low   = residual_low * q + factor_low * t + offset_low        below 2^21
@     total = residual_high * q + factor_high * t + offset_high + low / 2^12
@     q'    = total / 2^12
@
@ all rounded down, which is what the sum of whole products divided by 2^24 is.

	.syntax unified

	@ r0: values, r1: branch, r2: factors, r3: residual factors, and on the stack offsets
	@ and the number of channels.
	.section .text.tadpool_helium_add_branch, "ax", %progbits
	.p2align 2
	.global tadpool_helium_add_branch
	.type	tadpool_helium_add_branch, %function
	.thumb_func
tadpool_helium_add_branch:
	push	{r4-r6, lr}
	vpush	{d8-d15}
	ldrd	r4, r5, [sp, #80]
	movw	r6, #0xfff
	vdup.32	q7, r6
	dlstp.32 lr, r5
1:	vldrw.32 q2, [r3], #16
	vldrb.s32 q0, [r0]
	vshr.s32 q4, q2, #12
	vldrb.s32 q1, [r1], #4
	vand	q2, q2, q7
	vmul.i32 q4, q4, q0
	vldrw.32 q3, [r2], #16
	vmul.i32 q2, q2, q0
	vshr.s32 q5, q3, #12
	vand	q3, q3, q7
	vmul.i32 q5, q5, q1
	vldrw.32 q6, [r4], #16
	vmul.i32 q3, q3, q1
	vadd.i32 q4, q4, q5
	vadd.i32 q2, q2, q3
	vshr.s32 q5, q6, #4		@ 2^8 * offset / 2^12
	vshl.i32 q6, q6, #8
	vadd.i32 q4, q4, q5
	vand	q6, q6, q7
	vadd.i32 q2, q2, q6
	vshr.s32 q2, q2, #12
	vadd.i32 q4, q4, q2
	vshr.s32 q4, q4, #12
	vqmovnb.s32 q4, q4
	vqmovnb.s16 q4, q4
	vstrb.32 q4, [r0], #4
	letp	lr, 1b
	vpop	{d8-d15}
	pop	{r4-r6, pc}
	.size	tadpool_helium_add_branch, . - tadpool_helium_add_branch
