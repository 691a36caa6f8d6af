#include "textflag.h"

// Every pixel is four bytes B, G, R, unused. VPMADDUBSW multiplies unsigned bytes with signed ones, and 157 does not fit
// into a signed byte: the green of luma is taken twice, as 79 and 78, over the unused byte.

// B G R G of each pixel.
DATA shuffleBGRG<>+0(SB)/8, $0x0506050401020100
DATA shuffleBGRG<>+8(SB)/8, $0x0d0e0d0c090a0908
GLOBL shuffleBGRG<>(SB), RODATA|NOPTR, $16

DATA coefY<>+0(SB)/4, $0x4e2f4f10 // 16 B, 79 G, 47 R, 78 G
GLOBL coefY<>(SB), RODATA|NOPTR, $4
DATA coefU<>+0(SB)/4, $0x00e6a970 // 112 B, -87 G, -26 R
GLOBL coefU<>(SB), RODATA|NOPTR, $4
DATA coefV<>+0(SB)/4, $0x00709af6 // -10 B, -102 G, 112 R
GLOBL coefV<>(SB), RODATA|NOPTR, $4

DATA baseY<>+0(SB)/4, $0x10801080 // 16<<8 + 128
GLOBL baseY<>(SB), RODATA|NOPTR, $4
DATA baseUV<>+0(SB)/4, $0x80808080 // 128<<8 + 128
GLOBL baseUV<>(SB), RODATA|NOPTR, $4

// The lanes' order after two rounds of horizontal adding and packing.
DATA order<>+0(SB)/8, $0x0000000400000000
DATA order<>+8(SB)/8, $0x0000000500000001
DATA order<>+16(SB)/8, $0x0000000600000002
DATA order<>+24(SB)/8, $0x0000000700000003
GLOBL order<>(SB), RODATA|NOPTR, $32

// LUMA converts the 32 pixels in Y0..Y3 to 32 bytes at (DST); it uses Y4..Y7.
#define LUMA(DST) \
	VPSHUFB    Y15, Y0, Y4; \
	VPSHUFB    Y15, Y1, Y5; \
	VPMADDUBSW Y14, Y4, Y4; \
	VPMADDUBSW Y14, Y5, Y5; \
	VPHADDW    Y5, Y4, Y4; \
	VPSHUFB    Y15, Y2, Y6; \
	VPSHUFB    Y15, Y3, Y7; \
	VPMADDUBSW Y14, Y6, Y6; \
	VPMADDUBSW Y14, Y7, Y7; \
	VPHADDW    Y7, Y6, Y6; \
	VPADDW     Y11, Y4, Y4; \
	VPADDW     Y11, Y6, Y6; \
	VPSRLW     $8, Y4, Y4; \
	VPSRLW     $8, Y6, Y6; \
	VPACKUSWB  Y6, Y4, Y4; \
	VPERMD     Y4, Y9, Y4; \
	VMOVDQU    Y4, (DST)

// HALVE averages the pairs of pixels in A and B, and leaves eight pixels in A, lanes mixed: A0 A1 B0 B1 | A2 A3 B2 B3.
#define HALVE(A, B, T) \
	VPSRLQ  $32, A, T; \
	VPAVGB  T, A, A; \
	VPSRLQ  $32, B, T; \
	VPAVGB  T, B, B; \
	VSHUFPS $0x88, B, A, A

// CHROMA makes 16 samples of the 16 pixels in Y0 and Y2 with the coefficients COEF, and stores them at (DST).
#define CHROMA(COEF, DST) \
	VPMADDUBSW   COEF, Y0, Y4; \
	VPMADDUBSW   COEF, Y2, Y5; \
	VPHADDW      Y5, Y4, Y4; \
	VPADDW       Y10, Y4, Y4; \
	VPSRLW       $8, Y4, Y4; \
	VEXTRACTI128 $1, Y4, X5; \
	VPACKUSWB    X5, X4, X4; \
	VPSHUFB      X8, X4, X4; \
	VMOVDQU      X4, (DST)

// The order of a chroma row's bytes after CHROMA's packing. HALVE leaves, for pixels numbered 0..15 (0-3 of Y0, 4-7 of
// Y1, 8-11 of Y2, 12-15 of Y3), 0 1 4 5 | 2 3 6 7 and 8 9 12 13 | 10 11 14 15, so packed: 0 1 4 5 8 9 12 13 2 3 6 7 10 11 14 15.
DATA orderUV<>+0(SB)/8, $0x0b0a030209080100
DATA orderUV<>+8(SB)/8, $0x0f0e07060d0c0504
GLOBL orderUV<>(SB), RODATA|NOPTR, $16

// func convertAVX2(above, below, y0, y1, u, v *byte, blocks int)
TEXT ·convertAVX2(SB), NOSPLIT, $0-56
	MOVQ above+0(FP), SI
	MOVQ below+8(FP), DI
	MOVQ y0+16(FP), R8
	MOVQ y1+24(FP), R9
	MOVQ u+32(FP), R10
	MOVQ v+40(FP), R11
	MOVQ blocks+48(FP), CX

	VBROADCASTI128 shuffleBGRG<>(SB), Y15
	VPBROADCASTD   coefY<>(SB), Y14
	VPBROADCASTD   coefU<>(SB), Y13
	VPBROADCASTD   coefV<>(SB), Y12
	VPBROADCASTD   baseY<>(SB), Y11
	VPBROADCASTD   baseUV<>(SB), Y10
	VMOVDQU        order<>(SB), Y9
	VMOVDQU        orderUV<>(SB), X8

loop:
	VMOVDQU 0(DI), Y0
	VMOVDQU 32(DI), Y1
	VMOVDQU 64(DI), Y2
	VMOVDQU 96(DI), Y3
	LUMA(R9)
	VMOVDQU 0(SI), Y0
	VMOVDQU 32(SI), Y1
	VMOVDQU 64(SI), Y2
	VMOVDQU 96(SI), Y3
	LUMA(R8)

	VPAVGB 0(DI), Y0, Y0
	VPAVGB 32(DI), Y1, Y1
	VPAVGB 64(DI), Y2, Y2
	VPAVGB 96(DI), Y3, Y3
	HALVE(Y0, Y1, Y4)
	HALVE(Y2, Y3, Y4)
	CHROMA(Y13, R10)
	CHROMA(Y12, R11)

	ADDQ $128, SI
	ADDQ $128, DI
	ADDQ $32, R8
	ADDQ $32, R9
	ADDQ $16, R10
	ADDQ $16, R11
	DECQ CX
	JNZ  loop

	VZEROUPPER
	RET
