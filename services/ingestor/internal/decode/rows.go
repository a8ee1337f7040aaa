package decode

import (
	"encoding/json"
	"fmt"
	"regexp"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/feedback"
)

var validCustomer = regexp.MustCompile(`^cus_[a-z2-7]{26}$`)

var itemColumns = []string{
	"workspace", "id", "revision", "source", "connection", "conversation", "customer", "customer_name", "customer_email",
	"account_id", "account_name", "text", "messages", "url", "created_at", "updated_at", "accepted_at", "delivery", "sequence", "deleted",
}

func itemRow(it feedback.Item, o event.Origin) []any {
	messages, _ := json.Marshal(it.Messages) // strings, numbers and times: cannot fail
	var deleted uint8
	if len(it.Messages) == 0 {
		deleted = 1
	}
	return []any{
		it.Workspace, it.ID, uint64(it.Revision), string(it.Source), it.Connection, it.Conversation, it.Customer.ID, it.Customer.Name, it.Customer.Email,
		it.Account.ID, it.Account.Name, it.Text, string(messages), it.URL, it.CreatedAt, it.UpdatedAt, o.AcceptedAt, o.Delivery, o.Sequence, deleted,
	}
}

var accountColumns = []string{"workspace", "id", "name", "domains", "value", "currency", "plan", "segment", "version", "deleted"}

func accountRow(workspace string, a feedback.Account, version uint64) []any {
	domains := a.Domains
	if domains == nil {
		domains = []string{}
	}
	return []any{workspace, a.ID, a.Name, domains, a.Value, a.Currency, a.Plan, a.Segment, version, uint8(0)}
}

// token names a block of rows by its content, so that the same block inserted again is
// recognised and another block never taken for it.
func token(table string, rows [][]any) string { return feedback.ID(table, fmt.Sprint(rows)) }
