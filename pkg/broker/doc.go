// Package broker runs a NATS server with JetStream inside this process, or as
// a process of its own, over one directory.
//
// It promises three things that a NATS server with default settings does not:
//
//   - What [Server.Sync] returned nil for survives a power cut. JetStream's own
//     acknowledgement means "written to the page cache": on a replica-1 stream
//     the server calls pwrite before it sends the acknowledgement and fsync up
//     to two minutes later. Sync closes that gap for as many messages as are
//     waiting, with one fdatasync. See schemas/decisions/0001.
//   - A failed fsync is never retried into a success. The kernel may drop the
//     dirty pages of a failed write-back and report the file clean afterwards,
//     so the first failure is kept until the process is restarted.
//   - A full disk is refused before it is full. A stream that meets ENOSPC
//     stops storing until its server is restarted, even after space is freed;
//     [Server.CheckSpace] says no while there is still room.
//
// It refuses to open a directory that another process has open, to listen
// beyond loopback without a token, and to vouch for streams kept in memory or
// written asynchronously.
//
// The package knows how nats-server lays out its files
// (jetstream/$G/streams/NAME/msgs/N.blk, as of v2.15.2). Where a stream does
// not look like that it syncs the whole file system instead, which is slower
// and needs no such knowledge.
package broker
