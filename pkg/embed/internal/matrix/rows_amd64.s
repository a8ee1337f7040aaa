#include "textflag.h"

// Every function takes n values, n a positive multiple of eight, and rounds
// after every step, as its counterpart in rows.go does.

// func extremes8(n int, x *float32) (low, high float32)
TEXT ·extremes8(SB), NOSPLIT, $0-24
	MOVQ n+0(FP), CX
	MOVQ x+8(FP), SI
	VXORPS Y0, Y0, Y0
	VXORPS Y1, Y1, Y1

extremes:
	VMOVUPS (SI), Y2
	VMINPS Y2, Y0, Y0
	VMAXPS Y2, Y1, Y1
	ADDQ $32, SI
	SUBQ $8, CX
	JNZ extremes

	VEXTRACTF128 $1, Y0, X2
	VMINPS X2, X0, X0
	VPERMILPS $0x4E, X0, X2
	VMINPS X2, X0, X0
	VPERMILPS $0xB1, X0, X2
	VMINPS X2, X0, X0
	VEXTRACTF128 $1, Y1, X2
	VMAXPS X2, X1, X1
	VPERMILPS $0x4E, X1, X2
	VMAXPS X2, X1, X1
	VPERMILPS $0xB1, X1, X2
	VMAXPS X2, X1, X1
	VMOVSS X0, low+16(FP)
	VMOVSS X1, high+20(FP)
	VZEROUPPER
	RET

// func code8(n int, dst *uint8, x *float32, inverse, shift float32)
TEXT ·code8(SB), NOSPLIT, $0-32
	MOVQ n+0(FP), CX
	MOVQ dst+8(FP), DI
	MOVQ x+16(FP), SI
	VBROADCASTSS inverse+24(FP), Y8
	VBROADCASTSS shift+28(FP), Y9

codes:
	VMULPS (SI), Y8, Y0
	VADDPS Y9, Y0, Y0
	VCVTPS2DQ Y0, Y0
	VPACKUSDW Y0, Y0, Y0
	VPACKUSWB Y0, Y0, Y0
	VEXTRACTI128 $1, Y0, X1
	VMOVD X0, (DI)
	VMOVD X1, 4(DI)
	ADDQ $32, SI
	ADDQ $8, DI
	SUBQ $8, CX
	JNZ codes

	VZEROUPPER
	RET

// func decode8(n int, dst *float32, sums, totals *int32, factors, bias *float32, step float32, zero int32)
TEXT ·decode8(SB), NOSPLIT, $0-56
	MOVQ n+0(FP), CX
	MOVQ dst+8(FP), DI
	MOVQ sums+16(FP), SI
	MOVQ totals+24(FP), DX
	MOVQ factors+32(FP), R8
	MOVQ bias+40(FP), R9
	VBROADCASTSS step+48(FP), Y8
	MOVL zero+52(FP), AX
	VMOVD AX, X9
	VPBROADCASTD X9, Y9

decodes:
	VPMULLD (DX), Y9, Y1
	VMOVDQU (SI), Y0
	VPSUBD Y1, Y0, Y0
	VCVTDQ2PS Y0, Y0
	VMULPS (R8), Y8, Y2
	VMULPS Y2, Y0, Y0
	VADDPS (R9), Y0, Y0
	VMOVUPS Y0, (DI)
	ADDQ $32, SI
	ADDQ $32, DI
	ADDQ $32, DX
	ADDQ $32, R8
	ADDQ $32, R9
	SUBQ $8, CX
	JNZ decodes

	VZEROUPPER
	RET

// func add8(n int, dst, x *float32)
TEXT ·add8(SB), NOSPLIT, $0-24
	MOVQ n+0(FP), CX
	MOVQ dst+8(FP), DI
	MOVQ x+16(FP), SI

adds:
	VMOVUPS (DI), Y0
	VADDPS (SI), Y0, Y0
	VMOVUPS Y0, (DI)
	ADDQ $32, SI
	ADDQ $32, DI
	SUBQ $8, CX
	JNZ adds

	VZEROUPPER
	RET

// geluReach, its negative, geluSteps, and the last entry that has a next one.
DATA gelus<>+0(SB)/4, $6.0
DATA gelus<>+4(SB)/4, $-6.0
DATA gelus<>+8(SB)/4, $256.0
DATA gelus<>+12(SB)/4, $3072
GLOBL gelus<>(SB), RODATA|NOPTR, $16

// func gelu8(n int, x, table *float32)
TEXT ·gelu8(SB), NOSPLIT, $0-24
	MOVQ n+0(FP), CX
	MOVQ x+8(FP), DI
	MOVQ table+16(FP), SI
	VBROADCASTSS gelus<>+0(SB), Y8
	VBROADCASTSS gelus<>+4(SB), Y9
	VBROADCASTSS gelus<>+8(SB), Y10
	VPBROADCASTD gelus<>+12(SB), Y11
	VPXOR Y12, Y12, Y12

gelus:
	VMOVUPS (DI), Y0
	VADDPS Y8, Y0, Y1
	VMULPS Y10, Y1, Y1           // where among the entries
	VCVTTPS2DQ Y1, Y2
	VPMAXSD Y12, Y2, Y2
	VPMINSD Y11, Y2, Y2
	VPCMPEQD Y3, Y3, Y3
	VGATHERDPS Y3, (SI)(Y2*4), Y4
	VPCMPEQD Y3, Y3, Y3
	VGATHERDPS Y3, 4(SI)(Y2*4), Y5
	VCVTDQ2PS Y2, Y2
	VSUBPS Y2, Y1, Y1
	VSUBPS Y4, Y5, Y5
	VMULPS Y1, Y5, Y5
	VADDPS Y5, Y4, Y4
	VCMPPS $2, Y9, Y0, Y3        // x <= -reach: zero
	VBLENDVPS Y3, Y12, Y4, Y4
	VCMPPS $5, Y8, Y0, Y3        // not x < reach: x
	VBLENDVPS Y3, Y0, Y4, Y4
	VMOVUPS Y4, (DI)
	ADDQ $32, DI
	SUBQ $8, CX
	JNZ gelus

	VZEROUPPER
	RET

// func total8(n int, x *float32, sums *[8]float32)
TEXT ·total8(SB), NOSPLIT, $0-24
	MOVQ n+0(FP), CX
	MOVQ x+8(FP), SI
	MOVQ sums+16(FP), DI
	VXORPS Y0, Y0, Y0

totals:
	VADDPS (SI), Y0, Y0
	ADDQ $32, SI
	SUBQ $8, CX
	JNZ totals

	VMOVUPS Y0, (DI)
	VZEROUPPER
	RET

// func spread8(n int, x *float32, mean float32, sums *[8]float32)
TEXT ·spread8(SB), NOSPLIT, $0-32
	MOVQ n+0(FP), CX
	MOVQ x+8(FP), SI
	VBROADCASTSS mean+16(FP), Y8
	MOVQ sums+24(FP), DI
	VXORPS Y0, Y0, Y0

spreads:
	VMOVUPS (SI), Y1
	VSUBPS Y8, Y1, Y1
	VMOVUPS Y1, (SI)
	VMULPS Y1, Y1, Y1
	VADDPS Y1, Y0, Y0
	ADDQ $32, SI
	SUBQ $8, CX
	JNZ spreads

	VMOVUPS Y0, (DI)
	VZEROUPPER
	RET

// func rescale8(n int, x *float32, by float32, scale, shift *float32)
TEXT ·rescale8(SB), NOSPLIT, $0-40
	MOVQ n+0(FP), CX
	MOVQ x+8(FP), DI
	VBROADCASTSS by+16(FP), Y8
	MOVQ scale+24(FP), R8
	MOVQ shift+32(FP), R9

rescales:
	VMULPS (DI), Y8, Y0
	VMULPS (R8), Y0, Y0
	VADDPS (R9), Y0, Y0
	VMOVUPS Y0, (DI)
	ADDQ $32, DI
	ADDQ $32, R8
	ADDQ $32, R9
	SUBQ $8, CX
	JNZ rescales

	VZEROUPPER
	RET

// func score8(n int, scores, query, keys *float32)
TEXT ·score8(SB), NOSPLIT, $0-32
	MOVQ n+0(FP), CX
	MOVQ scores+8(FP), DI
	MOVQ query+16(FP), R8
	MOVQ keys+24(FP), DX
	LEAQ (CX*4), R9              // from one row of keys to the next

	CMPQ CX, $32
	JLT scores

// Thirty-two scores at a time, as long as there are as many.
wide:
	VXORPS Y0, Y0, Y0
	VXORPS Y1, Y1, Y1
	VXORPS Y2, Y2, Y2
	VXORPS Y3, Y3, Y3
	MOVQ DX, SI
	MOVQ R8, R10
	MOVQ $32, R11

wideDimensions:
	VBROADCASTSS (R10), Y4
	VMULPS (SI), Y4, Y5
	VADDPS Y5, Y0, Y0
	VMULPS 32(SI), Y4, Y6
	VADDPS Y6, Y1, Y1
	VMULPS 64(SI), Y4, Y7
	VADDPS Y7, Y2, Y2
	VMULPS 96(SI), Y4, Y8
	VADDPS Y8, Y3, Y3
	ADDQ R9, SI
	ADDQ $4, R10
	DECQ R11
	JNZ wideDimensions

	VMOVUPS Y0, (DI)
	VMOVUPS Y1, 32(DI)
	VMOVUPS Y2, 64(DI)
	VMOVUPS Y3, 96(DI)
	ADDQ $128, DI
	ADDQ $128, DX
	SUBQ $32, CX
	CMPQ CX, $32
	JGE wide
	TESTQ CX, CX
	JZ scored

scores:
	VXORPS Y0, Y0, Y0
	MOVQ DX, SI
	MOVQ R8, R10
	MOVQ $32, R11

dimensions:
	VBROADCASTSS (R10), Y1
	VMULPS (SI), Y1, Y1
	VADDPS Y1, Y0, Y0
	ADDQ R9, SI
	ADDQ $4, R10
	DECQ R11
	JNZ dimensions

	VMOVUPS Y0, (DI)
	ADDQ $32, DI
	ADDQ $32, DX
	SUBQ $8, CX
	JNZ scores

scored:
	VZEROUPPER
	RET

// The constants of exp in rows.go, in the order of their use.
DATA exps<>+0(SB)/4, $-87.0
DATA exps<>+4(SB)/4, $1.44269504088896340736
DATA exps<>+8(SB)/4, $0.693359375
DATA exps<>+12(SB)/4, $2.12194440e-4
DATA exps<>+16(SB)/4, $0.00138888888888888888889
DATA exps<>+20(SB)/4, $0.00833333333333333333333
DATA exps<>+24(SB)/4, $0.04166666666666666666667
DATA exps<>+28(SB)/4, $0.16666666666666666666667
DATA exps<>+32(SB)/4, $0.5
DATA exps<>+36(SB)/4, $1.0
GLOBL exps<>(SB), RODATA|NOPTR, $40

// func exponents8(n int, scores *float32, scale, highest float32, sums *[8]float32)
TEXT ·exponents8(SB), NOSPLIT, $0-32
	MOVQ n+0(FP), CX
	MOVQ scores+8(FP), DI
	VBROADCASTSS scale+16(FP), Y8
	VBROADCASTSS highest+20(FP), Y9
	MOVQ sums+24(FP), SI
	VBROADCASTSS exps<>+4(SB), Y10
	VBROADCASTSS exps<>+8(SB), Y11
	VBROADCASTSS exps<>+12(SB), Y12
	VBROADCASTSS exps<>+36(SB), Y13
	VBROADCASTSS exps<>+0(SB), Y14
	VXORPS Y0, Y0, Y0
	VXORPS Y15, Y15, Y15

exponents:
	VMULPS (DI), Y8, Y1
	VSUBPS Y9, Y1, Y1            // x
	VMULPS Y10, Y1, Y2
	VCVTPS2DQ Y2, Y2             // n
	VCVTDQ2PS Y2, Y3
	VMULPS Y11, Y3, Y4
	VSUBPS Y4, Y1, Y4
	VMULPS Y12, Y3, Y3
	VADDPS Y3, Y4, Y4            // r
	VBROADCASTSS exps<>+16(SB), Y5
	VMULPS Y5, Y4, Y5
	VBROADCASTSS exps<>+20(SB), Y6
	VADDPS Y6, Y5, Y5
	VMULPS Y4, Y5, Y5
	VBROADCASTSS exps<>+24(SB), Y6
	VADDPS Y6, Y5, Y5
	VMULPS Y4, Y5, Y5
	VBROADCASTSS exps<>+28(SB), Y6
	VADDPS Y6, Y5, Y5
	VMULPS Y4, Y5, Y5
	VBROADCASTSS exps<>+32(SB), Y6
	VADDPS Y6, Y5, Y5
	VMULPS Y4, Y5, Y5
	VADDPS Y13, Y5, Y5
	VMULPS Y4, Y5, Y5
	VADDPS Y13, Y5, Y5
	VPSLLD $23, Y2, Y2
	VPADDD Y2, Y5, Y5
	VCMPPS $1, Y14, Y1, Y6       // x < -87: zero
	VBLENDVPS Y6, Y15, Y5, Y5
	VMOVUPS Y5, (DI)
	VADDPS Y5, Y0, Y0
	ADDQ $32, DI
	SUBQ $8, CX
	JNZ exponents

	VMOVUPS Y0, (SI)
	VZEROUPPER
	RET

// func gather32(n int, dst, weights, values *float32, stride int)
//
// n is how many rows of 32 values there are, stride bytes apart; it need not be
// a multiple of eight.
TEXT ·gather32(SB), NOSPLIT, $0-40
	MOVQ n+0(FP), CX
	MOVQ dst+8(FP), DI
	MOVQ weights+16(FP), R8
	MOVQ values+24(FP), SI
	MOVQ stride+32(FP), R9
	VXORPS Y0, Y0, Y0
	VXORPS Y1, Y1, Y1
	VXORPS Y2, Y2, Y2
	VXORPS Y3, Y3, Y3

gathers:
	VBROADCASTSS (R8), Y4
	VMULPS (SI), Y4, Y5
	VADDPS Y5, Y0, Y0
	VMULPS 32(SI), Y4, Y6
	VADDPS Y6, Y1, Y1
	VMULPS 64(SI), Y4, Y7
	VADDPS Y7, Y2, Y2
	VMULPS 96(SI), Y4, Y8
	VADDPS Y8, Y3, Y3
	ADDQ $4, R8
	ADDQ R9, SI
	DECQ CX
	JNZ gathers

	VMOVUPS Y0, (DI)
	VMOVUPS Y1, 32(DI)
	VMOVUPS Y2, 64(DI)
	VMOVUPS Y3, 96(DI)
	VZEROUPPER
	RET
