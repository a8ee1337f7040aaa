// Package problem writes errors as RFC 9457 problem documents. Titles and details are
// written by us for people; they never repeat what the request contained.
package problem

import (
	"encoding/json"
	"net/http"
)

// Document is a problem as it is sent.
type Document struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
}

// Write answers with a problem document. title says what is wrong, detail what to do
// about it ("" if there is nothing to add).
func Write(w http.ResponseWriter, status int, title, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(Document{Type: "about:blank", Title: title, Status: status, Detail: detail})
}
