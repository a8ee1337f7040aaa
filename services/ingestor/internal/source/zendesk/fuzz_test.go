package zendesk_test

import (
	"testing"

	"github.com/throughline-dev/throughline/services/ingestor/internal/source/zendesk"
)

// FuzzRead: a trigger's body is read or not, and a member that is read twice is dropped.
func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"ticket_id":"1","description":"he said "no", twice","requester_email":"a@b.example"}`))
	f.Add([]byte(`{"ticket":{"id":1}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		fields, repeated, _ := zendesk.Read(body)
		for _, name := range repeated {
			if _, kept := fields[name]; kept {
				t.Fatalf("%q occurs twice and is believed", name)
			}
		}
	})
}
