// Package judge says what a statement is: its kind, sentiment, severity, product area, and
// how sure that is.
//
// Kind and sentiment come from linear heads over words, characters, negated words, a valence
// lexicon and wish, failure and question patterns, joined by the meaning part of a vector
// where it is of the space the heads were fitted in. Severity and area are rules. The heads
// are in heads.bin, fitted by internal/fit from the data that the folder seed describes.
//
// It promises the same answer for the same statement and vector, sentiment in [-1, 1],
// severity and confidence in [0, 1], and time linear in the length of the statement, of
// which 4 KiB are read. Confidence is a calibrated probability: of the answers at 0.8, eight
// in ten are right on texts like those the heads were calibrated on. It is pure, and fails
// on no statement.
package judge
