package space

import "golang.org/x/sys/cpu"

//go:noescape
func dotAVX2(a, b *int8, n int) int32

// dot is the inner product of two rows of the same padded length. Integers
// make it exact: the kernel and the plain loop agree to the bit.
func dot(a, b []int8) int32 {
	if cpu.X86.HasAVX2 && len(a)%lane == 0 && len(a) > 0 && len(a) == len(b) {
		return dotAVX2(&a[0], &b[0], len(a))
	}
	return dotPlain(a, b)
}
