package judge

// Whole judges an item as one: a title or a text, and what stands under it, which may be
// empty. vector is the embedding of the text in the space named; it may be nil.
func (j *Judge) Whole(space string, vector []float32, text, body string) Judgement {
	return j.Judge(space, vector, Titled(text, body)...)
}
