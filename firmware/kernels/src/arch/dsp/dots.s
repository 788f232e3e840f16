@ Two outputs' weights, as they are, times two tokens, for cores with the DSP extension.
@ Contract: calls.rs above this folder. Nothing need lie on a word's boundary.
@
@ Of four values a token becomes pairs 0 and 2, 1 and 3, as SXTB16 makes them of weights.

	.syntax unified

	.equ DOTS_COUNT, 36	@ inputs
	.equ DOTS_SUMS, 40

	@ Pairs of the token at \x: \even and \odd; takes r8.
	.macro PAIRS x, even, odd
	ldr	r8, [\x], #4
	ldr	\odd, [\x], #4
	pkhbt	\even, r8, \odd, lsl #16
	pkhtb	\odd, \odd, r8, asr #16
	.endm

	@ Four weights of an output times both tokens; takes r8 and lr.
	.macro FOUR w, first, second
	ldr	r8, [\w], #4
	sxtb16	lr, r8
	sxtb16	r8, r8, ror #8
	smlad	\first, lr, r9, \first
	smlad	\second, lr, r11, \second
	smlad	\first, r8, r10, \first
	smlad	\second, r8, r12, \second
	.endm

	@ r0 r1: weights, r2 r3: tokens, and on the stack how many inputs, any number, and where
	@ the four sums go.
	.section .text.tadpool_dots, "ax", %progbits
	.p2align 2
	.global tadpool_dots
	.type	tadpool_dots, %function
	.thumb_func
tadpool_dots:
	push	{r4-r11, lr}
	movs	r4, #0			@ sums: weights r0, then r1, of tokens r2 and r3
	movs	r5, #0
	movs	r6, #0
	movs	r7, #0
	ldr	r8, [sp, #DOTS_COUNT]
	bics	r9, r8, #3
	beq	2f
	add	r9, r0
	push	{r8, r9}		@ the second where whole fours of r0's weights end
1:	PAIRS	r2, r9, r10
	PAIRS	r3, r11, r12
	FOUR	r0, r4, r5
	FOUR	r1, r6, r7
	ldr	r8, [sp, #4]
	cmp	r0, r8
	bne	1b
	pop	{r8, r9}
2:	ands	r8, r8, #3
	beq	4f
3:	ldrsb	r9, [r0], #1
	ldrsh	r10, [r2], #2
	ldrsh	r11, [r3], #2
	ldrsb	r12, [r1], #1
	mla	r4, r9, r10, r4
	mla	r5, r9, r11, r5
	mla	r6, r12, r10, r6
	mla	r7, r12, r11, r7
	subs	r8, #1
	bne	3b
4:	ldr	r8, [sp, #DOTS_SUMS]
	stm	r8, {r4-r7}
	pop	{r4-r11, pc}
	.size	tadpool_dots, . - tadpool_dots
