package outbound

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

func guard(t *testing.T, allow ...string) Guard {
	t.Helper()
	g, err := NewGuard(allow)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestInternalAddressesAreRefused(t *testing.T) {
	t.Parallel()
	g := guard(t)
	for _, address := range []string{
		"127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "0.1.2.3",
		"255.255.255.255", "224.0.0.1", "198.18.0.1", "240.0.0.1", "::", "::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1",
		"64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2001::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "ff02::1",
	} {
		if err := g.Check(netip.MustParseAddr(address)); !errors.As(err, new(InternalError)) {
			t.Errorf("%s: %v", address, err)
		}
	}
	for _, address := range []string{"1.1.1.1", "9.255.255.255", "11.0.0.1", "172.15.0.1", "172.32.0.1", "192.167.0.1", "100.63.0.1", "2606:4700:4700::1111", "::ffff:8.8.8.8"} {
		if err := g.Check(netip.MustParseAddr(address)); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	if err := guard(t, "10.1.0.0/16", "::1/128").Check(netip.MustParseAddr("10.1.2.3")); err != nil {
		t.Error(err)
	}
	for _, beside := range []string{"10.2.0.1", "127.0.0.1"} {
		if guard(t, "10.1.0.0/16", "::1/128").Check(netip.MustParseAddr(beside)) == nil {
			t.Errorf("%s was not allowed", beside)
		}
	}
	if _, err := NewGuard([]string{"10.0.0.1"}); err == nil {
		t.Error("an address without a length is taken for a network")
	}
}

// Whatever leads to an internal address is refused when it is dialled: the address itself, in
// any spelling that the resolver takes, a name of it, and a redirect from an allowed address.
func TestNothingLeadsToAnInternalAddress(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 16)
	behind := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.URL.Path }))
	t.Cleanup(behind.Close)
	_, port, err := net.SplitHostPort(behind.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	second, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	redirecting := &httptest.Server{Listener: second, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://127.0.0.1:"+port+"/redirected", http.StatusTemporaryRedirect)
	})}}
	redirecting.Start()
	t.Cleanup(redirecting.Close)

	client := &http.Client{Transport: guard(t, "127.0.0.2/32").Transport()}
	for _, address := range []string{
		"http://127.0.0.1:" + port + "/itself", "http://localhost:" + port + "/name", "http://[::ffff:127.0.0.1]:" + port + "/mapped", "http://[::1]:" + port + "/six",
		"http://0.0.0.0:" + port + "/any", redirecting.URL + "/first",
	} {
		res, err := client.Get(address)
		if err == nil {
			res.Body.Close()
		}
		if !errors.As(err, new(InternalError)) || !strings.Contains(err.Error(), "outbound.allow") {
			t.Errorf("%s: %v", address, err)
		}
	}
	select {
	case path := <-asked:
		t.Errorf("%s came through", path)
	default:
	}
	allowed := &http.Client{Transport: guard(t, "127.0.0.0/8").Transport()}
	res, err := allowed.Get(redirecting.URL + "/first")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if path := <-asked; path != "/redirected" {
		t.Errorf("asked for %s", path)
	}
}

// A name that was public when it was configured and is internal when it is dialled is refused:
// what is judged is the address of the connection, never the name.
func TestANameThatChangesItsAddressIsJudgedAtEachConnection(t *testing.T) {
	t.Parallel()
	g := guard(t)
	for address, ok := range map[string]bool{"1.1.1.1:443": true, "127.0.0.1:443": false, "[fe80::1%lo]:443": false, "rebound.example:443": false} {
		if err := g.control("tcp", address, nil); (err == nil) != ok {
			t.Errorf("%s: %v", address, err)
		}
	}
}
