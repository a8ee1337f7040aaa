package feedback

// Tokens counts the tokens of a text wherever a budget is given in tokens:
// ⌈UTF-8 bytes / 4⌉, so that the same text has the same size for every model and
// without a tokenizer. It is the only function that counts them.
func Tokens(text string) int { return (len(text) + 3) / 4 }
