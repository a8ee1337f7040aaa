package matrix

//go:noescape
func extremes8(n int, x *float32) (low, high float32)

//go:noescape
func code8(n int, dst *uint8, x *float32, inverse, shift float32)

//go:noescape
func decode8(n int, dst *float32, sums, totals *int32, factors, bias *float32, step float32, zero int32)

//go:noescape
func add8(n int, dst, x *float32)

//go:noescape
func gelu8(n int, x, table *float32)

//go:noescape
func total8(n int, x *float32, sums *[8]float32)

//go:noescape
func spread8(n int, x *float32, mean float32, sums *[8]float32)

//go:noescape
func rescale8(n int, x *float32, by float32, scale, shift *float32)

//go:noescape
func score8(n int, scores, query, keys *float32)

//go:noescape
func exponents8(n int, scores *float32, scale, highest float32, sums *[8]float32)

//go:noescape
func gather32(n int, dst, weights, values *float32, stride int)

var rowsAVX2 = rows{
	code: func(dst []uint8, x []float32) (step float32, zero int32) {
		if len(x)%8 != 0 {
			return codePortable(dst, x)
		}
		low, high := extremes8(len(x), &x[0])
		step, inverse, zero := steps(low, high)
		code8(len(x), &dst[0], &x[0], inverse, float32(zero))
		return step, zero
	},
	decode: func(dst []float32, sums []int32, m *Map, step float32, zero int32) {
		decode8(len(sums), &dst[0], &sums[0], &m.totals[0], &m.factors[0], &m.bias[0], step, zero)
	},
	add:  func(dst, x []float32) { add8(len(dst), &dst[0], &x[0]) },
	gelu: func(x []float32) { gelu8(len(x), &x[0], &geluTable[0]) },
	total: func(x []float32) (s [8]float32) {
		total8(len(x), &x[0], &s)
		return s
	},
	spread: func(x []float32, mean float32) (s [8]float32) {
		spread8(len(x), &x[0], mean, &s)
		return s
	},
	rescale: func(x []float32, by float32, scale, shift []float32) {
		rescale8(len(x), &x[0], by, &scale[0], &shift[0])
	},
	score: func(scores []float32, query *[HeadWidth]float32, keys []float32) {
		score8(len(scores), &scores[0], &query[0], &keys[0])
	},
	exponents: func(scores []float32, scale, highest float32) (s [8]float32) {
		exponents8(len(scores), &scores[0], scale, highest, &s)
		return s
	},
	gather: func(dst *[HeadWidth]float32, weights, values []float32, stride int) {
		gather32(len(weights), &dst[0], &weights[0], &values[0], stride*4)
	},
}
