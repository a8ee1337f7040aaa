// Package extract finds, in what a customer wrote, the spans that each ask for one thing,
// tell of one problem, praise or question.
//
// It works in two steps. Clauses cuts a text into sentences and the parts of sentences that
// can stand alone, leaving out what is not the customer's own statement: quoted history,
// signatures, greetings, thanks, code and logs. Spans lets a judge say what each clause is,
// and joins neighbours that go on about the same thing.
//
// Every span it returns is a substring of the text at those byte offsets, begins and ends
// between characters, is not empty, and lies after the span before it. That holds for every
// string whatever, broken UTF-8 included. Time is linear in the length of the text, of which
// at most MaxText bytes are read.
//
// It is pure: it knows nothing of models, and refuses no input.
package extract
