package tracker_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
)

// operation reads the name of a GraphQL request's operation and leaves the
// body as it was.
func operation(r *http.Request) string {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return ""
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	var in struct {
		OperationName string `json:"operationName"`
	}
	if json.Unmarshal(body, &in) != nil {
		return ""
	}
	return in.OperationName
}
