//go:build !amd64

package matrix

// Best returns the fastest kernel this processor can run.
func Best() Kernel { return Portable() }

// Dot returns the inner product of a and b by the fastest kernel. b must be at
// least as long as a; what it has beyond is not read.
func Dot(a, b []float32) float32 { return dotPortable(a, b) }
