package process

import (
	"fmt"
	"net"
	"os"
	"time"
)

// holder names a process in leases. Of two processes on one host only one can listen on an
// address, and services run only while theirs is listened on. So a process that is to listen
// where another did is its successor: it has the same name, and takes the leases of one that
// was killed back at once, where a stranger waits until they have expired. What containers
// share is a host name, not a network; so the network is part of the name. Where the kernel
// chooses the port, nothing is known of a predecessor, and the name is used once.
func holder(listen string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	network, err := os.Readlink("/proc/self/ns/net")
	if _, port, bad := net.SplitHostPort(listen); err != nil || bad != nil || port == "" || port == "0" {
		return fmt.Sprintf("%s-%d-%d", host, os.Getpid(), time.Now().UnixNano())
	}
	return fmt.Sprintf("%s %s %s", host, network, listen)
}
