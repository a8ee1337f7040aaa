package decode_test

import (
	"reflect"
	"strings"
	"testing"
)

// An issue moves on its project's board; the board's status stays when the issue is told
// of again, until it is closed.
func TestAnIssueMovesOnItsBoard(t *testing.T) {
	t.Parallel()
	d := newDecoder(t)
	at := func(body, time string) string {
		return strings.ReplaceAll(body, "2024-01-02T00:00:00Z", time)
	}
	node := func(action, members, time string) string {
		return at(issue(action, `"node_id":"I_1",`+members), time)
	}
	d.take("github", at(board(`"Status"`, `{"name":"Early"}`), "2024-01-01T00:00:00Z")) // of an issue that nobody has told of
	d.take("github", node("opened", `"state":"open"`, "2024-01-02T00:00:00Z"))
	d.take("github", at(board(`"Status"`, `{"name":"In Progress"}`), "2024-01-03T00:00:00Z"))
	d.take("github", node("labeled", `"state":"open"`, "2024-01-04T00:00:00Z"))
	d.take("github", at(board(`"Status"`, `{"name":"In Progress"}`), "2024-01-03T00:00:00Z")) // again
	d.take("github", at(board(`"Status"`, `{"name":"Todo"}`), "2024-01-02T12:00:00Z"))        // late
	d.take("github", node("closed", `"state":"closed"`, "2024-01-05T00:00:00Z"))
	d.take("github", at(board(`"Status"`, `{"name":"Done"}`), "2024-01-06T00:00:00Z")) // what the board does by itself
	d.take("github", node("reopened", `"state":"open"`, "2024-01-07T00:00:00Z"))
	want := []string{
		"ticket.created o/r#3 open", "ticket.moved o/r#3 In Progress", "ticket.edited o/r#3 In Progress",
		"ticket.moved o/r#3 closed", "ticket.moved o/r#3 open",
	}
	if got := d.brief(); !reflect.DeepEqual(got, want) {
		t.Errorf("\n got %q\nwant %q", got, want)
	}
}
