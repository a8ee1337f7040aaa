//go:build !amd64

package matrix

// Best returns the fastest kernel this processor can run.
func Best() Kernel { return kernels()[0] }

// kernels lists what this processor can run, the fastest first.
func kernels() []Kernel { return []Kernel{Portable()} }

// Dot returns the inner product of a and b. b must be at least as long as a;
// what it has beyond is not read.
func Dot(a, b []float32) float32 { return dotPortable(a, b) }
