package mcpserver

import (
	"net/http"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/oauthex"

	"github.com/throughline-dev/throughline/pkg/access"
)

// metadataPath is where RFC 9728 §3.1 puts the metadata of the resource /mcp.
const metadataPath = "/.well-known/oauth-protected-resource/mcp"

// base is the address that a client reached us at: the configured public one, or the host
// of the request, which is as good as any where nothing is configured.
func (h *HTTP) base(r *http.Request) string {
	if h.o.PublicURL != "" {
		return strings.TrimRight(h.o.PublicURL, "/")
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + r.Host
}

// metadata says what a token for /mcp has to be (RFC 9728 §2). Tokens are made in the
// configuration, so that no authorization server is named.
func (h *HTTP) metadata(w http.ResponseWriter, r *http.Request) {
	auth.ProtectedResourceMetadataHandler(&oauthex.ProtectedResourceMetadata{
		Resource:               h.base(r) + "/mcp",
		ResourceName:           "Throughline",
		ScopesSupported:        []string{string(access.Read), string(access.Decide)},
		BearerMethodsSupported: []string{"header"},
	}).ServeHTTP(w, r)
}

// challenge adds to a refusal where the metadata is (RFC 9728 §5.1).
func (h *HTTP) challenge(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(&challenged{w, `Bearer realm="throughline", resource_metadata="` + h.base(r) + metadataPath + `"`}, r)
	})
}

// challenged is an answer whose 401 says where the metadata is.
type challenged struct {
	http.ResponseWriter
	value string
}

// WriteHeader implements http.ResponseWriter.
func (c *challenged) WriteHeader(status int) {
	if status == http.StatusUnauthorized {
		c.Header().Set("WWW-Authenticate", c.value)
	}
	c.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the connection.
func (c *challenged) Unwrap() http.ResponseWriter { return c.ResponseWriter }
