// Package outbound sends requests to addresses that somebody else chose: the base_url of a
// workspace's connection, the URL of an alert, a link in a vendor's answer, a redirect.
//
// It promises that nobody can have Throughline look behind the operator's firewall: a
// connection is made to a public address, or to a network that the operator has allowed, and
// to nothing else. The address is judged when it is dialled, after names were resolved, so that
// a redirect and a name that means another address the second time are judged like the first.
//
// It refuses to guess whom a proxy reaches: where the environment names an HTTP proxy, the
// proxy's own address has to be allowed, and the proxy decides about what lies behind it.
package outbound

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

// InternalError is the reason why an address was not dialled.
type InternalError struct{ Address netip.Addr }

// Error says what to do where the address is meant.
func (e InternalError) Error() string {
	return fmt.Sprintf("refuse to call the internal address %s: if it is meant, add its network to outbound.allow of the configuration", e.Address)
}

// internal are the networks that the IANA registries of special-purpose addresses call not
// globally reachable, and those that carry another address within theirs.
var internal = prefixes(
	"0.0.0.0/8",       // this network
	"10.0.0.0/8",      // private
	"100.64.0.0/10",   // shared, of carriers
	"127.0.0.0/8",     // loopback
	"169.254.0.0/16",  // link-local, where clouds keep credentials
	"172.16.0.0/12",   // private
	"192.0.0.0/24",    // protocol assignments
	"192.0.2.0/24",    // documentation
	"192.88.99.0/24",  // 6to4 relays
	"192.168.0.0/16",  // private
	"198.18.0.0/15",   // benchmarks
	"198.51.100.0/24", // documentation
	"203.0.113.0/24",  // documentation
	"224.0.0.0/4",     // multicast
	"240.0.0.0/4",     // reserved, and broadcast
	"::/96",           // unspecified, loopback, IPv4-compatible
	"64:ff9b::/96",    // NAT64: an IPv4 address within
	"64:ff9b:1::/48",  // the same, local
	"100::/64",        // discard
	"2001::/23",       // protocol assignments, Teredo among them
	"2001:db8::/32",   // documentation
	"2002::/16",       // 6to4: an IPv4 address within
	"3fff::/20",       // documentation
	"5f00::/16",       // segment routing
	"fc00::/7",        // unique local
	"fe80::/10",       // link-local
	"fec0::/10",       // site-local, once
	"ff00::/8",        // multicast
)

func prefixes(all ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(all))
	for i, p := range all {
		out[i] = netip.MustParsePrefix(p)
	}
	return out
}

// Guard judges addresses.
type Guard struct{ allowed []netip.Prefix }

// NewGuard makes a guard that lets public addresses pass, and the networks of allow. A network
// that is none is an error.
func NewGuard(allow []string) (Guard, error) {
	var g Guard
	for _, text := range allow {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return Guard{}, fmt.Errorf("outbound.allow: %w", err)
		}
		g.allowed = append(g.allowed, p.Masked())
	}
	return g, nil
}

// Check is an InternalError for an address that may not be called.
func (g Guard) Check(a netip.Addr) error {
	a = a.Unmap().WithZone("")
	for _, p := range g.allowed {
		if p.Contains(a) {
			return nil
		}
	}
	if !a.IsValid() {
		return InternalError{a}
	}
	for _, p := range internal {
		if p.Contains(a) {
			return InternalError{a}
		}
	}
	return nil
}

// control judges what is about to be dialled: a numeric address, whatever name it came from.
func (g Guard) control(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("refuse to call what is no address: %w", err)
	}
	return g.Check(at.Addr())
}

// Transport sends requests to where the guard lets them, over a pool of its own, with the
// usual limits of time.
func (g Guard) Transport() *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second, Control: g.control}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, ForceAttemptHTTP2: true, TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConns: 100, IdleConnTimeout: 90 * time.Second, ExpectContinueTimeout: time.Second,
	}
}
