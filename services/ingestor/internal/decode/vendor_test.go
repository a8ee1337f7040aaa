package decode_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/schemas"
	"github.com/throughline-dev/throughline/services/ingestor/internal/change"
	"github.com/throughline-dev/throughline/services/ingestor/internal/decode"
)

var received = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// fixtures lists every recorded webhook payload as the delivery it makes.
func fixtures(t testing.TB) map[string]event.Delivery {
	t.Helper()
	out := map[string]event.Delivery{}
	for _, kind := range []string{"slack", "intercom", "zendesk", "email", "jira", "linear", "github"} {
		names, err := fs.Glob(schemas.Webhooks, "webhooks/"+kind+"/*.json")
		if err != nil || len(names) == 0 {
			t.Fatalf("no fixtures of %s: %v", kind, err)
		}
		for _, name := range names {
			if strings.HasPrefix(path.Base(name), "api_") {
				continue // an answer of the REST interface
			}
			body, err := schemas.Webhooks.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			d := event.Delivery{ID: "dlv_" + path.Base(name), Connection: "acme-" + kind, Kind: kind, ReceivedAt: received, Headers: map[string]string{"content-type": "application/json"}, Body: body}
			var form struct {
				ContentType string `json:"content_type"`
				Body        string `json:"body"`
			}
			if err := json.Unmarshal(body, &form); err == nil && form.ContentType != "" {
				d.Headers["content-type"], d.Body = form.ContentType, []byte(form.Body)
			}
			out[kind+"/"+strings.TrimSuffix(path.Base(name), ".json")] = d
		}
	}
	return out
}

// show writes changes in one line each, times in UTC.
func show(cs []change.Change) string {
	var out []string
	for _, c := range cs {
		switch c := c.(type) {
		case change.MessageUpserted:
			out = append(out, fmt.Sprintf("said %s | %s v%d | %s <%s> %s | %s | %q | %s", c.Place.External, c.ID, c.Version, c.Author.ID, c.Author.Email, c.Author.Name, c.At.Format(time.RFC3339Nano), c.Text, c.URL))
		case change.MessageDeleted:
			out = append(out, fmt.Sprintf("unsaid %s | %s | %s", c.Place.External, c.ID, c.At.Format(time.RFC3339Nano)))
		case change.ConversationDeleted:
			out = append(out, fmt.Sprintf("gone %s", c.Place.External))
		case change.CustomerErased:
			out = append(out, fmt.Sprintf("erased %s%s <%s>", c.Author.ID, c.Customer, c.Author.Email))
		case change.TicketChanged:
			k := c.Ticket
			k.Body, k.Title = "", ""
			out = append(out, fmt.Sprintf("%s from %q/%q %+v title=%q body=%d", c.Type, c.Previous, c.PreviousCategory, k, c.Ticket.Title, len(c.Ticket.Body)))
		case change.ConversationStated:
			out = append(out, fmt.Sprintf("stated %s v%d: %s", c.Place.External, c.Version, show(asChanges(c.Messages))))
		case change.Disconnected:
			out = append(out, "disconnected")
		default:
			out = append(out, fmt.Sprintf("%+v", c))
		}
	}
	return strings.Join(out, "\n")
}

func asChanges(ms []change.MessageUpserted) (out []change.Change) {
	for _, m := range ms {
		out = append(out, m)
	}
	return out
}

func TestEveryFixtureHasTheRightEffect(t *testing.T) {
	t.Parallel()
	all := fixtures(t)
	for name, want := range golden {
		d, ok := all[name]
		if !ok {
			t.Errorf("%s: no such fixture", name)
			continue
		}
		got, err := decode.Changes(config.Connection{}, d)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if show(got) != want {
			t.Errorf("%s:\n got %s\nwant %s", name, show(got), want)
		}
	}
	for name := range all {
		if _, ok := golden[name]; !ok {
			got, err := decode.Changes(config.Connection{}, all[name])
			t.Errorf("%s has no expected effect; it has %s %v", name, show(got), err)
		}
	}
}

// golden is what every recorded payload means. Titles are quoted, bodies measured.
var golden = map[string]string{
	"github/issue_comment_created":              `{Reason:not an issue}`,
	"github/issues_assigned":                    `ticket.edited.v1 from ""/"" {Workspace: Tracker:github Connection: Key:Codertocat/Hello-World#1 ExternalID:444500041 Project:Codertocat/Hello-World Title: Body: Status:open Category:open Labels:[bug] Assignee:Codertocat URL:https://github.com/Codertocat/Hello-World/issues/1 Restricted:false Deleted:false Version:1557933618000000 CreatedAt:2019-05-15 15:20:18 +0000 UTC UpdatedAt:2019-05-15 15:20:18 +0000 UTC} title="Spelling error in the README file" body=60`,
	"github/issues_labeled":                     `ticket.edited.v1 from ""/"" {Workspace: Tracker:github Connection: Key:Codertocat/Hello-World#1 ExternalID:444500041 Project:Codertocat/Hello-World Title: Body: Status:open Category:open Labels:[bug] Assignee:Codertocat URL:https://github.com/Codertocat/Hello-World/issues/1 Restricted:false Deleted:false Version:1557933618000000 CreatedAt:2019-05-15 15:20:18 +0000 UTC UpdatedAt:2019-05-15 15:20:18 +0000 UTC} title="Spelling error in the README file" body=60`,
	"github/issues_opened":                      `ticket.created.v1 from ""/"" {Workspace: Tracker:github Connection: Key:Codertocat/Hello-World#1 ExternalID:444500041 Project:Codertocat/Hello-World Title: Body: Status:open Category:open Labels:[bug] Assignee:Codertocat URL:https://github.com/Codertocat/Hello-World/issues/1 Restricted:false Deleted:false Version:1557933618000000 CreatedAt:2019-05-15 15:20:18 +0000 UTC UpdatedAt:2019-05-15 15:20:18 +0000 UTC} title="Spelling error in the README file" body=60`,
	"github/ping":                               `{Reason:handshake}`,
	"github/projects_v2_item_edited":            `{Reason:not a move of an issue}`,
	"email/mailgun_mime_absence":                `{Reason:automatic mail}`,
	"email/postmark_inbound":                    `said acme-email:postmark@initech.example | postmark@initech.example v1795338000000000 | ada@initech.example <ada@initech.example> Ada Lovelace | 2026-11-22T09:00:00Z | "Dark mode\n\nWorking at night hurts my eyes." | `,
	"email/sendgrid_inbound_raw":                `said acme-email:sendgrid@initech.example | sendgrid@initech.example v1795338000000000 | ada@initech.example <ada@initech.example> Ada Lovelace | 2026-11-22T09:00:00Z | "Still broken." | `,
	"email/ses_sns_notification":                `said acme-email:ses@initech.example | ses@initech.example v1795338000000000 | ada@initech.example <ada@initech.example> Ada Lovelace | 2026-11-22T09:00:00Z | "Invoices cannot be exported\n\nThe export stops at € 1,000." | `,
	"intercom/contact_created":                  `{Source:intercom Author:{ID:i6wc9ipe:5c96b122177026171b401e20 Name: Email:aaron@zulip.com}}`,
	"intercom/ping":                             `{Reason:handshake}`,
	"intercom/v1_conversation_admin_replied":    `{Reason:not a customer's words}`,
	"intercom/v1_conversation_user_created":     `said i6wc9ipe:21321941764 | 331494375 v1553290198000000 | i6wc9ipe:5c9553cb27e377f24eed49f7 <> Rose Poodle from St. John's | 2019-03-22T21:29:58Z | "Hello everyone!" | https://app.intercom.io/a/apps/i6wc9ipe/conversations/21321941764`,
	"intercom/v1_conversation_user_replied":     `said i6wc9ipe:21322009097 | 2824391734 v1553291307000000 | i6wc9ipe:5c9553cb27e377f24eed49f7 <jerryguitarist@gmail.com> Eeshan Garg | 2019-03-22T21:48:27Z | "Well, I need some help getting access to a developer account." | https://app.intercom.io/a/apps/i6wc9ipe/conversations/21322009097`,
	"intercom/v2_conversation_operator_replied": `{Reason:not a customer's words}`,
	"jira/cloud_comment_created":                `{Reason:not an issue}`,
	"jira/issue_created":                        `ticket.created.v1 from ""/"" {Workspace: Tracker:jira Connection: Key:TES-41 ExternalID:10040 Project:TES Title: Body: Status:To Do Category:open Labels:[test-label] Assignee: URL:https://some-instance-test.atlassian.net/browse/TES-41 Restricted:false Deleted:false Version:1550286112971000 CreatedAt:2019-02-16 03:01:52.971 +0000 UTC UpdatedAt:2019-02-16 03:01:52.971 +0000 UTC} title="Unit test summary" body=36`,
	"jira/issue_updated_assigned":               `ticket.edited.v1 from ""/"" {Workspace: Tracker:jira Connection: Key:TES-41 ExternalID:10040 Project:TES Title: Body: Status:To Do Category:open Labels:[test-label] Assignee:Test User URL:https://some-instance-test.atlassian.net/browse/TES-41 Restricted:false Deleted:false Version:1550287081707000 CreatedAt:2019-02-16 03:01:52.971 +0000 UTC UpdatedAt:2019-02-16 03:18:01.707 +0000 UTC} title="Unit test summary 1" body=57`,
	"jira/issue_updated_description_edited":     `ticket.edited.v1 from ""/"" {Workspace: Tracker:jira Connection: Key:TES-41 ExternalID:10040 Project:TES Title: Body: Status:To Do Category:open Labels:[test-label] Assignee: URL:https://some-instance-test.atlassian.net/browse/TES-41 Restricted:false Deleted:false Version:1550286601805000 CreatedAt:2019-02-16 03:01:52.971 +0000 UTC UpdatedAt:2019-02-16 03:10:01.805 +0000 UTC} title="Unit test summary 1" body=57`,
	"jira/issue_updated_status_started":         `ticket.moved.v1 from "To Do"/"" {Workspace: Tracker:jira Connection: Key:TES-41 ExternalID:10040 Project:TES Title: Body: Status:In Progress Category:in_progress Labels:[test-label] Assignee: URL:https://some-instance-test.atlassian.net/browse/TES-41 Restricted:false Deleted:false Version:1550286862002000 CreatedAt:2019-02-16 03:01:52.971 +0000 UTC UpdatedAt:2019-02-16 03:14:22.002 +0000 UTC} title="Unit test summary 1" body=57`,
	"linear/comment_create":                     `{Reason:not an issue}`,
	"linear/issue_create":                       `ticket.created.v1 from ""/"" {Workspace: Tracker:linear Connection: Key:WEB-44 ExternalID:3443a709-f2b5-46f2-a136-a0445fd432be Project:WEB Title: Body: Status:In Progress Category:in_progress Labels:[Improvement Feature Bug Custom Label] Assignee:Satyam Bansal URL:https://linear.app/webhooks/issue/WEB-44/this-is-regarding-the-outage-that-we-faced-during-111222-from-2000-to Restricted:false Deleted:false Version:1681207815037000 CreatedAt:2023-04-11 10:10:15.037 +0000 UTC UpdatedAt:2023-04-11 10:10:15.037 +0000 UTC} title="This is regarding the outage that we faced during 11/12/22 from 2000 to 2200." body=887`,
	"linear/issue_update_state":                 `ticket.moved.v1 from ""/"" {Workspace: Tracker:linear Connection: Key:KOR-11 ExternalID:236e0fe8-xxxx-xxxx-xxxx-b2df06e33810 Project:KOR Title: Body: Status:Todo Category:open Labels:[] Assignee:user@example.com URL:https://linear.app/korosuke613/issue/KOR-11/webhook-test Restricted:false Deleted:false Version:1612005857747000 CreatedAt:2021-01-30 11:19:39.427 +0000 UTC UpdatedAt:2021-01-30 11:24:17.747 +0000 UTC} title="webhook test" body=0`,
	"linear/issue_update_title":                 `ticket.edited.v1 from ""/"" {Workspace: Tracker:linear Connection: Key:WEB-44 ExternalID:3443a709-f2b5-46f2-a136-a0445fd432be Project:WEB Title: Body: Status:In Progress Category:in_progress Labels:[Improvement Feature Bug Custom Label] Assignee:Satyam Bansal URL:https://linear.app/webhooks/issue/WEB-44/this-is-regarding-the-outage-that-we-faced-on-111222-from-2000-to-2200 Restricted:false Deleted:false Version:1681208213022000 CreatedAt:2023-04-11 10:10:15.037 +0000 UTC UpdatedAt:2023-04-11 10:16:53.022 +0000 UTC} title="This is regarding the outage that we faced on 11/12/22 from 2000 to 2200 and also on 25/12/22 from 0000 to 0230" body=887`,
	"slack/app_mention":                         `said T111:C111:1595926230.009600 | 1595926230.009600 v1595926230009599 | T111:W222 <>  | 2020-07-28T08:50:30.0096Z | "@W111 Hi there!" | https://slack.com/archives/C111/p1595926230009600`,
	"slack/message_bot_modern_no_subtype":       `{Reason:post of our own}`,
	"slack/message_changed":                     `said T111:C111:1665102338.901939 | 1665102338.901939 v1665102362000000 | T111:U111 <>  | 2022-10-07T00:25:38.901939Z | "updated message" | https://slack.com/archives/C111/p1665102338901939`,
	"slack/message_deleted":                     `unsaid T111:C111:1665368619.804829 | 1665368619.804829 | 2022-10-10T02:23:49.0071Z`,
	"slack/message_file_share":                  `said T111:C111:1652227646.593159 | 1652227646.593159 v1652227646593159 | T111:U111 <>  | 2022-05-11T00:07:26.593159Z | "Hi there!" | https://slack.com/archives/C111/p1652227646593159`,
	"slack/message_shortcut_form":               `said T111:C111:1583636382.000300 | 1583636382.000300 v1583636382000299 | T111:W111 <>  | 2020-03-08T02:59:42.0003Z | "@U222 test" | https://slack.com/archives/C111/p1583636382000300`,
	"slack/message_user_rich_text":              `said T111:C111:1610261659.001400 | 1610261659.001400 v1610261659001400 | T111:W111 <>  | 2021-01-10T06:54:19.0014Z | "Hi there! Thanks for sharing the info!" | https://slack.com/archives/C111/p1610261659001400`,
	"slack/reaction_added":                      `{Reason:reaction without text}`,
	"slack/slash_command_form":                  `said T111:command:111.111.xxx | 111.111.xxx v1795348800000000 | T111:W111 <> primary-owner | 2026-11-22T12:00:00Z | "Hi" | `,
	"slack/url_verification":                    `{Reason:handshake}`,
	"zendesk/comment_added_agent_public":        `{Reason:not a customer's words}`,
	"zendesk/messaging_message_added_bot":       `{Reason:not a customer's words}`,
	"zendesk/status_changed":                    `{Reason:not a customer's words}`,
	"zendesk/ticket_created":                    `said acme-zendesk:5158 | description v1736331127000000 | acme-zendesk:8447388090494 <>  | 2025-01-08T10:12:07Z | "ticket_info_desc_2294a6e9ece2" | `,
	"zendesk/trigger_custom_payload":            `{Reason:placeholders are not filled in}`,
	"zendesk/user_active_changed":               `{Reason:not a customer's words}`,
}
