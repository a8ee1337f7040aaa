package process

import "testing"

// Who listens where a killed process did takes its leases back; whoever listens elsewhere, or
// nowhere in particular, is somebody else.
func TestAProcessIsNamedForWhereItListens(t *testing.T) {
	t.Parallel()
	killed, successor := holder("127.0.0.1:8080"), holder("127.0.0.1:8080")
	if killed != successor {
		t.Error("a successor has another name")
	}
	if killed == holder("127.0.0.1:8081") {
		t.Error("two addresses have one name")
	}
	for _, anywhere := range []string{"127.0.0.1:0", "", "nonsense"} {
		if one, other := holder(anywhere), holder(anywhere); one == other {
			t.Errorf("two processes that listen on %q have one name", anywhere)
		}
	}
}
