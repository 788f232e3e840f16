@ Ways of jumping, of moving the stack pointer and of using floats, by name: the audit must
@ refuse what begins with `bad_`, and prove what begins with `good_`. Made into forms.elf by
@
@   llvm-mc -triple=thumbv8.1m.main-none-eabi -mattr=+mve.fp,+fp-armv8d16sp -filetype=obj \
@     forms.s -o forms.o
@   rust-lld -flavor gnu --entry=evil forms.o -o forms.elf

	.syntax unified
	.thumb
	.macro	FN name
	.global	\name
	.type	\name, %function
	.thumb_func
\name:
	.endm
	.macro	END name
	.size	\name, . - \name
	.endm

	@ What the others go to.
	FN	evil
	push	{r4-r11, lr}
	sub.w	sp, sp, #4096
	vadd.f32	s0, s0, s1
	bl	rust_begin_unwind
	END	evil
	FN	rust_begin_unwind
	b	.
	END	rust_begin_unwind

	@ Jumps and calls to who knows where.
	FN	bad_call_blx
	blx	r3
	END	bad_call_blx
	FN	bad_jump_bx
	bx	r3
	END	bad_jump_bx
	FN	bad_jump_ldr
	ldr.w	pc, [r0, #4]
	END	bad_jump_ldr
	FN	bad_jump_mov
	mov	pc, r3
	END	bad_jump_mov
	FN	bad_jump_add
	add	pc, r3
	END	bad_jump_add
	FN	bad_jump_ldm
	ldm.w	r0!, {r4, pc}
	END	bad_jump_ldm
	FN	bad_jump_pop
	push	{r3}
	pop	{pc}
	END	bad_jump_pop
	FN	bad_jump_tbb
	tbb	[pc, r0]
	.byte	2, 3
	bx	lr
	END	bad_jump_tbb
	FN	bad_jump_conditional
	cmp	r0, #0
	it	ne
	movne	pc, r3
	bx	lr
	END	bad_jump_conditional
	FN	bad_jump_ldr_index
	ldr.w	pc, [r0, r1, lsl #2]
	END	bad_jump_ldr_index

	@ Jumps and calls that lead to a panic.
	FN	bad_known_ldr
	ldr.w	pc, 1f
	.p2align	2
1:	.word	evil
	END	bad_known_ldr
	FN	bad_known_pop
	ldr.w	r3, 1f
	push	{r3}
	pop	{pc}
	.p2align	2
1:	.word	evil
	END	bad_known_pop
	FN	bad_known_lr
	ldr.w	lr, 1f
	bx	lr
	.p2align	2
1:	.word	evil
	END	bad_known_lr
	FN	bad_known_blx
	push	{r4, lr}
	movw	r3, :lower16:evil
	movt	r3, :upper16:evil
	blx	r3
	pop	{r4, pc}
	END	bad_known_blx
	FN	bad_known_tail
	b.w	evil
	END	bad_known_tail
	FN	bad_known_condition
	cmp	r0, #0
	bne.w	evil
	bx	lr
	END	bad_known_condition
	FN	bad_known_cbz
	cbz	r0, 1f
	bx	lr
1:	bl	evil
	END	bad_known_cbz
	FN	bad_known_wls
	push	{r4, lr}
	wls	lr, r0, 1f
	nop
1:	bl	evil
	END	bad_known_wls

	@ Calls without an end.
	FN	bad_recursion
	push	{r4, lr}
	bl	bad_recursion
	pop	{r4, pc}
	END	bad_recursion
	FN	bad_recursion_of_two
	push	{r4, lr}
	bl	other_of_two
	pop	{r4, pc}
	END	bad_recursion_of_two
	FN	other_of_two
	push	{r4, lr}
	bl	bad_recursion_of_two
	pop	{r4, pc}
	END	other_of_two

	@ The stack pointer goes who knows where, or stays there.
	FN	bad_stack_mov
	mov	sp, r7
	bx	lr
	END	bad_stack_mov
	FN	bad_stack_sub_register
	.inst.w	0xf5a75d80	@ sub.w sp, r7, #4096, which assemblers refuse
	bx	lr
	END	bad_stack_sub_register
	FN	bad_stack_sub_variable
	push	{r4, lr}
	sub.w	sp, sp, r0
	pop	{r4, pc}
	END	bad_stack_sub_variable
	FN	bad_stack_ldr
	ldr.w	sp, [r0]
	bx	lr
	END	bad_stack_ldr
	FN	bad_stack_msr
	msr	msp, r0
	bx	lr
	END	bad_stack_msr
	FN	bad_stack_control
	msr	control, r0
	bx	lr
	END	bad_stack_control
	FN	bad_stack_loop
1:	push	{r0-r7}
	subs	r0, #1
	bne	1b
	bx	lr
	END	bad_stack_loop
	FN	bad_stack_low_overhead_loop
	dls	lr, r0
1:	push	{r4, r5}
	le	lr, 1b
	bx	lr
	END	bad_stack_low_overhead_loop
	FN	bad_stack_copy
	mov	r4, sp
	sub.w	r4, r4, #8192
	mov	sp, r4
	bx	lr
	END	bad_stack_copy
	FN	bad_stack_vector_push
	.inst.w	0xed2d1f04	@ vstrw.32 q0, [sp, #-16]!
	bx	lr
	END	bad_stack_vector_push
	FN	bad_stack_conditional
	cmp	r0, #0
	it	eq
	subeq	sp, #8
	bx	lr
	END	bad_stack_conditional
	FN	bad_lost_register
	movs	r4, #0
	bx	lr
	END	bad_lost_register

	@ Floats.
	FN	bad_float_vector_add
	vadd.f32	q0, q1, q2
	bx	lr
	END	bad_float_vector_add
	FN	bad_float_vector_fma
	vfma.f32	q0, q1, q2
	bx	lr
	END	bad_float_vector_fma
	FN	bad_float_half
	vadd.f16	s0, s0, s1
	bx	lr
	END	bad_float_half
	FN	bad_float_load
	vldr	s0, [r0]
	bx	lr
	END	bad_float_load

	@ Others.
	FN	bad_unknown
	mrc	p0, 0, r0, c0, c0, 0
	bx	lr
	END	bad_unknown
	FN	bad_data
	b	1f
	.p2align	2
1:	.word	0
	END	bad_data
	FN	bad_trap
	udf	#0
	END	bad_trap
	FN	bad_end
	nop
	END	bad_end
	.word	0

	@ What compilers write.
	FN	good_frame
	push	{r4-r7, lr}
	add	r7, sp, #12
	push.w	{r8-r11}
	vpush	{d8-d9}
	sub	sp, #40
	bl	good_leaf
	add	sp, #40
	vpop	{d8-d9}
	pop.w	{r8-r11}
	pop	{r4-r7, pc}
	END	good_frame
	FN	good_leaf
	adds	r0, #1
	bx	lr
	END	good_leaf
	FN	good_frame_pointer
	push	{r4-r7, lr}
	add	r7, sp, #12
	sub	sp, #100
	sub.w	r4, r7, #12
	mov	sp, r4
	pop	{r4-r7, pc}
	END	good_frame_pointer
	FN	good_tail
	push	{r4, lr}
	bl	good_leaf
	pop.w	{r4, lr}
	b.w	good_leaf
	END	good_tail
	FN	good_early_return
	push	{r7, lr}
	cmp	r0, #0
	it	eq
	popeq	{r7, pc}
	bl	good_leaf
	pop	{r7, pc}
	END	good_early_return
	FN	good_table
	cmp	r0, #2
	bhi	2f
	tbb	[pc, r0]
1:	.byte	(2f - 1b) / 2, (3f - 1b) / 2, (4f - 1b) / 2
	.p2align	1
2:	bx	lr
3:	adds	r0, #1
	bx	lr
4:	adds	r0, #2
	bx	lr
	END	good_table
	FN	good_jumps
	cmp	r0, #1
	bhi	1f
	adr.w	r1, 2f
	add.w	r1, r1, r0, lsl #2
	mov	pc, r1
	.p2align	2
2:	b.w	1f
	b.w	3f
1:	bx	lr
3:	adds	r0, #1
	bx	lr
	END	good_jumps
	FN	good_distances
	cmp	r0, #1
	bhi	1f
	adr	r1, 4f
	lsls	r0, r0, #1
	ldrh	r0, [r1, r0]
	lsls	r0, r0, #1
5:	add	pc, r0
	.p2align	2
4:	.short	(1f - 5b - 4) / 2, (3f - 5b - 4) / 2
1:	bx	lr
3:	adds	r0, #1
	bx	lr
	END	good_distances
	FN	good_call_of_constant
	push	{r4, lr}
	movw	r3, :lower16:good_leaf
	movt	r3, :upper16:good_leaf
	blx	r3
	pop	{r4, pc}
	END	good_call_of_constant
	FN	good_vector_loop
	push	{r4, lr}
	dlstp.8	lr, r2
1:	vldrb.8	q0, [r0], #16
	vadd.i8	q0, q0, q0
	vstrb.8	q0, [r1], #16
	letp	lr, 1b
	pop	{r4, pc}
	END	good_vector_loop
	FN	good_own_stack
	ldr	r1, 1f
	msr	msp, r1
	push	{r4, r5}
	b	.
	.p2align	2
1:	.word	own_stack + 64
	END	good_own_stack

	.bss
	.global	own_stack
	.type	own_stack, %object
	.size	own_stack, 64
own_stack:
	.space	64
