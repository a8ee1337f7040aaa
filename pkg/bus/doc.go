// Package bus is the only way services talk to each other: JetStream streams with
// one table of contents (Topology), one way to publish, one loop that consumes.
//
// The order of effects in every handler is decide, write, publish, and only then
// does the loop acknowledge: a handler returns nil, an error, RetryAfter, Permanent
// or Unavailable, and the loop in consume.go turns that into ack, delayed nak,
// in-progress, or terminate with a dead letter. Nothing else acknowledges. Before
// the loop acknowledges a batch it asks the Syncer to put on disk what the handlers
// published, so that an acknowledgement never outlives its effect in a power cut.
//
// The promise is at-least-once delivery; handlers make it effectively once by
// keying every write. JetStream's dedup window only saves work.
package bus
