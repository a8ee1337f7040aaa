//go:build !amd64

package space

// dot is the inner product of two rows of the same padded length.
func dot(a, b []int8) int32 { return dotPlain(a, b) }
