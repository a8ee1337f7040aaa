package decode_test

import (
	"strings"
	"testing"

	"github.com/throughline-dev/throughline/pkg/config"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/services/ingestor/internal/decode"
)

// traps are deliveries that integrations are known to get wrong. want is a part of what
// they mean; "!" before it says that it must not be there.
var traps = []struct {
	name, kind, body string
	headers          map[string]string
	want             []string
}{
	{"mrkdwn unescapes once", "slack", msg(`"text":"a &amp;lt; b <@U1|ada> <#C2|general> <!here> <!subteam^S1|@team> <!date^1^{date}|today> <https://x.example|docs> <mailto:a@x.example> &lt;b&gt;"`),
		nil, []string{`"a &lt; b @ada #general @here @team today docs a@x.example <b>"`}},
	{"rich text is preferred and not unescaped", "slack", msg(`"text":"lossy","blocks":[{"type":"rich_text","elements":[{"type":"rich_text_section","elements":[{"type":"text","text":"R&amp;D "},{"type":"link","url":"https://x.example","text":"docs"},{"type":"emoji","name":"wave","unicode":"1f44b"}]},{"type":"rich_text_list","elements":[{"type":"rich_text_section","elements":[{"type":"text","text":"one"}]},{"type":"rich_text_section","elements":[{"type":"text","text":"two"}]}]}]}]`),
		nil, []string{`"R&amp;D docs👋\n- one\n- two"`, "!lossy"}},
	{"a thread is one conversation", "slack", msg(`"text":"reply","thread_ts":"1700000000.000100"`), nil, []string{"said T1:C1:1700000000.000100 | 1700000001.000200"}},
	{"a broadcast is its reply", "slack", msg(`"subtype":"thread_broadcast","text":"reply","thread_ts":"1700000000.000100","root":{}`), nil, []string{"said T1:C1:1700000000.000100 | 1700000001.000200"}},
	{"an unfurl keeps version and text", "slack", slackEdit(`"ts":"1700000001.000200","user":"U1","text":"see https://x.example","attachments":[{}]`, `"ts":"1700000001.000200","user":"U1","text":"see https://x.example"`), nil, []string{"v1700000001000200", `"see https://x.example"`}},
	{"an edit without edited takes the event's time", "slack", slackEdit(`"ts":"1700000001.000200","user":"U1","text":"new"`, `"ts":"1700000001.000200","user":"U1","text":"old"`), nil, []string{"v1700000009000000", `"new"`}},
	{"a tombstone deletes", "slack", slackEdit(`"subtype":"tombstone","user":"USLACKBOT","ts":"1700000001.000200","thread_ts":"1700000001.000200","text":"This message was deleted."`, `"ts":"1700000001.000200","user":"U1","text":"old"`), nil, []string{"unsaid T1:C1:1700000001.000200 | 1700000001.000200", "!said T1:C1:1700000001.000200 | 1700000001.000200 v"}},
	{"an edit by a bot is a bot's", "slack", slackEdit(`"ts":"1.2","bot_id":"B1","text":"new"`, `"ts":"1.2"`), nil, []string{"post of a bot"}},
	{"a classic bot", "slack", msg(`"subtype":"bot_message","bot_id":"B7","text":"hi"`), nil, []string{"post of a bot"}},
	{"Slack Connect keeps the author's team", "slack", msg(`"text":"hi","user_team":"T9"`), nil, []string{"T9:U1"}},
	{"our own app's posts, allowed or not", "slack", strings.Replace(msg(`"bot_id":"B1","app_id":"A1","text":"digest"`), `"team_id"`, `"api_app_id":"A1","team_id"`, 1), nil, []string{"post of our own"}},
	{"a name in the message", "slack", msg(`"text":"hi","user_profile":{"real_name":"Ada Lovelace","display_name":"ada"}`), nil, []string{"T1:U1 <> Ada Lovelace"}},
	{"a member's address", "slack", `{"type":"event_callback","team_id":"T1","event":{"type":"user_change","user":{"id":"U1","team_id":"T1","profile":{"real_name":"Ada","email":"ada@x.example"}}}}`, nil, []string{"Author:{ID:T1:U1 Name:Ada Email:ada@x.example}"}},
	{"a bot's address", "slack", `{"type":"event_callback","team_id":"T1","event":{"type":"user_change","user":{"id":"U1","is_bot":true,"profile":{"email":"b@x.example"}}}}`, nil, []string{"not a person"}},
	{"a foreign member's name", "slack", `{"type":"event_callback","team_id":"T1","event":{"type":"user_change","user":{"id":"U9","team_id":"T2","profile":{"real_name":"Ada"}}}}`, nil, []string{"{Source:slack ID:T2:U9 Name:Ada Of:T2}"}},
	{"a channel's name", "slack", `{"type":"event_callback","team_id":"T1","event":{"type":"channel_rename","channel":{"id":"C9","name":"billing"}}}`, nil, []string{"{Source:slack ID:C9 Name:billing Of:}"}},
	{"a team's name", "slack", `{"type":"event_callback","team_id":"T1","event":{"type":"team_rename","name":"Globex"}}`, nil, []string{"{Source:slack ID:T1 Name:Globex Of:}"}},
	{"an org-wide install", "slack", strings.Replace(msg(`"text":"hi"`), `"team_id":"T1"`, `"team_id":null,"context_team_id":null,"enterprise_id":"E1","authorizations":[{"enterprise_id":"E1","team_id":null,"user_id":"UB","is_bot":true,"is_enterprise_install":true}]`, 1), nil, []string{"said E1:C1:1700000001.000200", "E1:U1"}},
	{"joins are nothing", "slack", msg(`"subtype":"channel_join","text":"<@U1> has joined"`), nil, []string{"not a customer's message"}},
	{"rate limited", "slack", `{"type":"app_rate_limited","minute_rate_limited":1}`, nil, []string{"rate limited by slack"}},
	{"an undeleted ticket", "zendesk", `{"type":"zen:event-type:ticket.undeleted","time":"2026-01-01T00:00:00Z","detail":{"id":"7"},"event":{}}`, nil, []string{"At:2026-01-01 00:00:00"}},
	{"uninstalled", "slack", `{"type":"event_callback","event":{"type":"app_uninstalled"}}`, nil, []string{"disconnected"}},

	{"v2 reply", "intercom", intercom("conversation.user.replied", `"type":"conversation","id":"7","contacts":{"contacts":[{"id":"c1"}]},"source":{"author":{"id":"c1","type":"lead","email":"a@x.example","name":"Ada"},"body":"<p>first</p>"},"conversation_parts":{"conversation_parts":[{"id":"p1","part_type":"comment","body":"<p>Ex&amp;port<br>fails</p>","author":{"type":"lead","id":"c1"},"created_at":1700000000}]}`),
		nil, []string{`said app:7 | p1`, `<a@x.example> Ada`, `"Ex&port\nfails"`, "!first"}},
	{"notes never", "intercom", intercom("conversation.user.replied", `"type":"conversation","id":"7","conversation_parts":{"conversation_parts":[{"id":"p1","part_type":"note","body":"secret","author":{"type":"user","id":"c1"}}]}`), nil, []string{"not a customer's words", "!secret"}},
	{"an agent's note topic", "intercom", intercom("conversation.admin.noted", `"type":"conversation","id":"7"`), nil, []string{"not a customer's words"}},
	{"Fin as a user", "intercom", intercom("conversation.user.replied", `"type":"conversation","id":"7","conversation_parts":{"conversation_parts":[{"id":"p1","part_type":"comment","body":"x","author":{"type":"user","id":"c1","from_ai_agent":true}}]}`), nil, []string{"not a customer's words"}},
	{"skinny deletion", "intercom", intercom("conversation.deleted", `"type":"conversation","conversation_id":"7"`), nil, []string{"gone app:7"}},
	{"redaction", "intercom", intercom("conversation_part.redacted", `"type":"conversation","id":"7","conversation_parts":{"conversation_parts":[{"id":"p1","redacted":true,"body":"<i>redacted</i>","author":{"type":"user","id":"c1"}}]}`), nil, []string{"unsaid app:7 | p1"}},
	{"erasure", "intercom", intercom("contact.deleted", `"type":"contact","id":"c1","email":"a@x.example"`), nil, []string{"erased app:c1 <a@x.example>"}},
	{"rating", "intercom", intercom("conversation.rating.added", `"type":"conversation","id":"7","contacts":{"contacts":[{"id":"c1"}]},"conversation_rating":{"rating":1,"remark":"slow","created_at":1700000000}`), nil, []string{`| rating v1700000000000000`, `"slow"`}},
	{"ticket", "intercom", intercom("ticket.created", `"type":"ticket","id":"9","contacts":{"contacts":[{"id":"c1"}]},"ticket_attributes":{"_default_description_":"broken","n":3}`), nil, []string{"said app:ticket:9 | description", `"broken"`}},
	{"ticket reply", "intercom", intercom("ticket.contact.replied", `"type":"ticket_ticket_part","id":"1","ticket_part":{"id":"tp","part_type":"comment","body":"again","author":{"type":"user","id":"c1"}},"ticket":{"id":"9"}`), nil, []string{"said app:ticket:9 | tp", `"again"`}},

	{"public end user", "zendesk", comment(`"is_public":true,"author":{"id":"1","is_staff":false,"name":"Ada"}`), nil, []string{"said acme-zendesk:5 | 77", "acme-zendesk:1", `"Export fails"`}},
	{"private comment", "zendesk", comment(`"is_public":false,"author":{"id":"1","is_staff":false}`), nil, []string{"not public", "!Export"}},
	{"missing is_public is private", "zendesk", comment(`"author":{"id":"1","is_staff":false}`), nil, []string{"not public"}},
	{"missing is_staff is staff", "zendesk", comment(`"is_public":true,"author":{"id":"1"}`), nil, []string{"not a customer's words"}},
	{"messaging end user", "zendesk", `{"type":"zen:event-type:messaging_ticket.message_added","time":"2025-02-11T14:32:05.254571515Z","detail":{"id":"141"},"event":{"actor":{"id":"9","type":"end_user","name":"Ada"},"message":{"id":"m1","body":"hi"}}}`, nil, []string{"said acme-zendesk:141 | m1", "2025-02-11T14:32:05.254571Z"}},
	{"made private", "zendesk", `{"type":"zen:event-type:ticket.comment_made_private","time":"2025-01-08T14:25:30Z","detail":{"id":"5"},"event":{"comment":{"id":"77"}}}`, nil, []string{"unsaid acme-zendesk:5 | 77"}},
	{"spam", "zendesk", `{"type":"zen:event-type:ticket.marked_as_spam","detail":{"id":"5"},"event":{}}`, nil, []string{"gone acme-zendesk:5"}},
	{"user deleted", "zendesk", `{"type":"zen:event-type:user.deleted","detail":{"id":"5"},"event":{}}`, nil, []string{"erased acme-zendesk:5"}},
	{"tags may be null", "zendesk", `{"type":"zen:event-type:ticket.tags_changed","detail":{"id":"5","tags":null},"event":{"current":null,"previous":{}}}`, nil, []string{"not a customer's words"}},
	{"agent on behalf", "zendesk", `{"type":"zen:event-type:ticket.created","detail":{"id":"5","is_public":true,"requester_id":"1","submitter_id":"2","description":"x"},"event":{}}`, nil, []string{"not a customer's words"}},
	{"trigger", "zendesk", `{"ticket_id":"5158","description":"Export fails","requester_email":"a@x.example","updated_at":"2025-01-08T14:25:30Z"}`, nil, []string{"said acme-zendesk:5158 | description", "<a@x.example>", `"Export fails"`}},
	{"trigger with numbers and nesting", "zendesk", `{"ticket":{"id":5158,"description":"Export fails"}}`, nil, []string{"said acme-zendesk:5158", "requester of 5158"}},
	{"trigger with broken JSON", "zendesk", "{\"ticket_id\": \"5158\", \"description\": \"It says \"no rows\"\nand stops, \"always\"\", \"requester_email\": \"a@x.example\"}", nil, []string{`"It says \"no rows\"\nand stops, \"always\""`, "<a@x.example>"}},
	{"words that forge a member", "zendesk", `{"ticket_id":"5158","description":"x", "requester_email": "ceo@big.example","latest_comment":"y","requester_email":"a@x.example"}`, nil, []string{"requester of 5158", "!ceo@", "!a@x"}},
	{"a survey's remark", "zendesk", `{"type":"zen:event-type:ticket.csat_received","time":"2025-01-08T14:25:30Z","detail":{"id":"5","requester_id":"1"},"event":{"survey_response":{"answers":[{"type":"rating_scale","rating":1},{"type":"open_ended","value":"Too slow"}]}}}`, nil, []string{"said acme-zendesk:5 | satisfaction", `"Too slow"`, "acme-zendesk:1"}},
	{"a rating's comment", "zendesk", `{"type":"zen:event-type:ticket.csat_received","detail":{"id":"5","requester_id":"1"},"event":{"current":{"score":"bad","comment":"Too slow"},"previous":null}}`, nil, []string{`"Too slow"`}},
	{"a rating without words", "zendesk", `{"type":"zen:event-type:ticket.csat_received","detail":{"id":"5","requester_id":"1"},"event":{"current":{"score":"good","comment":null}}}`, nil, []string{"rating without a remark"}},
	{"the old rating, by a trigger", "zendesk", `{"ticket_id":"5158","requester_email":"a@x.example","satisfaction":{"current_rating":"Bad","current_comment":"Nobody answered"}}`, nil, []string{"| satisfaction v", `"Nobody answered"`, "!description"}},
	{"merged", "zendesk", `{"type":"zen:event-type:ticket.merged","detail":{"id":"5"},"event":{"target_ticket_id":"6"}}`, nil, []string{"merged into another ticket"}},
	{"permanently deleted", "zendesk", `{"type":"zen:event-type:ticket.permanently_deleted","detail":{"id":"5"},"event":{}}`, nil, []string{"gone acme-zendesk:5"}},
	{"a comment is redacted", "zendesk", `{"type":"zen:event-type:ticket.comment_redacted","time":"2025-01-08T14:25:30Z","detail":{"id":"5"},"event":{"comment":{"id":"77","body":"x \u2587\u2587"}}}`, nil, []string{"unsaid acme-zendesk:5 | 77"}},
	{"minimal trigger", "zendesk", `{"ticket_id":"5158"}`, nil, []string{"ticket without text"}},
	{"private trigger", "zendesk", `{"ticket_id":"5158","description":"x","is_public":false}`, nil, []string{"not public"}},

	{"status and resolution in one event", "jira", jiraUpdate(`{"field":"resolution","toString":"Done"},{"field":"status","fromString":"In Progress","toString":"Done"}`, `"status":{"name":"Done","statusCategory":{"key":"done"}}`), nil, []string{`ticket.moved.v1 from "In Progress"`, "Category:done"}},
	{"empty changelog", "jira", jiraUpdate(``, `"assignee":{"displayName":"Ada"}`), nil, []string{"ticket.edited.v1", "Assignee:Ada"}},
	{"generic is not moved", "jira", jiraUpdate(`{"field":"summary"}`, `"summary":"x"`), nil, []string{"ticket.edited.v1"}},
	{"security level", "jira", jiraUpdate(`{"field":"summary"}`, `"security":{"id":"1"}`), nil, []string{"Restricted:true"}},
	{"moved between projects", "jira", jiraUpdate(`{"field":"Key","fromString":"OLD-1","toString":"P-1"}`, `"summary":"x"`), nil, []string{"ticket.deleted.v1", "Key:OLD-1", "Deleted:true", "Key:P-1"}},
	{"deleted", "jira", `{"timestamp":1700000000000,"webhookEvent":"jira:issue_deleted","issue":{"id":"1","key":"P-1","fields":{"updated":"2020-01-01T00:00:00.000+0000"}}}`, nil, []string{"ticket.deleted.v1", "Version:1700000000000000"}},
	{"comment without issue", "jira", `{"timestamp":1,"webhookEvent":"comment_updated","comment":{"body":"<!-- throughline:v1 key=P-1 -->"}}`, nil, []string{"not an issue"}},
	{"ADF is no text", "jira", jiraUpdate(`{"field":"summary"}`, `"description":{"type":"doc"}`), nil, []string{"body=0"}},

	{"archived", "linear", linear("update", `"archivedAt":"2024-01-01T00:00:00Z"`, `"archivedAt":null`), nil, []string{"ticket.deleted.v1"}},
	{"un-archived", "linear", linear("update", `"archivedAt":null`, `"archivedAt":"2024-01-01T00:00:00Z"`), nil, []string{"ticket.edited.v1", "Deleted:false"}},
	{"removed", "linear", linear("remove", `"trashed":true`, ``), nil, []string{"ticket.deleted.v1"}},
	{"completed", "linear", linear("update", `"state":{"name":"Done","type":"completed"}`, `"stateId":"x"`), nil, []string{"ticket.moved.v1", "Category:done"}},
	{"null stateId", "linear", linear("update", `"state":{"name":"Done","type":"completed"}`, `"stateId":null`), nil, []string{"ticket.edited.v1"}},
	{"another team", "linear", linear("update", `"previousIdentifiers":["OPS-9"]`, `"teamId":"x"`), nil, []string{"Key:OPS-9", "ticket.deleted.v1", "Key:ENG-1"}},

	{"closed", "github", issue("closed", `"state":"closed","state_reason":"completed","body":null`), nil, []string{`ticket.moved.v1 from "open"/"open"`, "Category:done"}},
	{"not planned", "github", issue("closed", `"state":"closed","state_reason":"not_planned"`), nil, []string{"Status:closed as not planned", "Category:done"}},
	{"reopened", "github", issue("reopened", `"state":"open"`), nil, []string{`ticket.moved.v1 from "closed"/"done"`, "Category:open"}},
	{"transferred", "github", issue("transferred", `"state":"open"`), nil, []string{"ticket.deleted.v1"}},
	{"pull request", "github", issue("closed", `"state":"closed","pull_request":{}`), nil, []string{"not an issue"}},
	{"moved on a board", "github", board(`"Status"`, `{"name":"In Progress"}`), map[string]string{"x-github-event": "projects_v2_item"}, []string{"{Node:I_1 Status:In Progress Category:in_progress Version:1704153600000000"}},
	{"another field of a board", "github", board(`"Size"`, `{"name":"L"}`), nil, []string{"not a move of an issue"}},
	{"a move that tells not where to", "github", board(`"Status"`, `null`), nil, []string{"not a move of an issue"}},
	{"another event", "github", issue("closed", `"state":"closed"`), map[string]string{"x-github-event": "pull_request"}, []string{"not an issue"}},

	{"entry", "feedback", `[{"id":"1","text":"x","author":{"id":"u1","email":"A@x.example"},"created_at":"2025-01-01T00:00:00Z"}]`, nil, []string{"stated acme-feedback:1 v1735689600000000", "u1 <A@x.example>"}},
	{"agents' turns are left out", "webhook", `{"type":"feedback.created","data":{"id":"1","author":{"name":"Ada"},"messages":[{"from":"Ada","text":"one"},{"from":"agent","text":"two"},{"from":"Bob","text":"three"},{"text":"four"}]}}`, nil, []string{`"one"`, `"four"`, "!two", "!three"}},
	{"deleted entry", "webhook", `{"type":"feedback.deleted","data":{"id":"1"}}`, nil, []string{"gone acme-webhook:1"}},
	{"accounts", "accounts", `[{"id":"a","value":5,"domains":["@X.example"]}]`, nil, []string{"Domains:[x.example]"}},
	{"deletion", "deletion", `{"item":"itm_x"}`, nil, []string{"Item:itm_x"}},
	{"customer erasure", "erasure", `{"customer":"cus_x"}`, nil, []string{"erased cus_x"}},
}

func msg(members string) string {
	return `{"type":"event_callback","team_id":"T1","event":{"type":"message","channel":"C1","user":"U1","ts":"1700000001.000200",` + members + `}}`
}

func slackEdit(now, before string) string {
	return `{"type":"event_callback","team_id":"T1","event":{"type":"message","subtype":"message_changed","channel":"C1","ts":"1700000009.000000","event_ts":"1700000009.000000","message":{` + now + `},"previous_message":{` + before + `}}}`
}

func intercom(topic, item string) string {
	return `{"type":"notification_event","app_id":"app","topic":"` + topic + `","created_at":1700000001,"data":{"item":{` + item + `}}}`
}

func comment(members string) string {
	return `{"type":"zen:event-type:ticket.comment_added","time":"2025-01-08T14:25:30Z","detail":{"id":5},"event":{"comment":{"id":"77","body":"Export fails",` + members + `}}}`
}

func jiraUpdate(items, fields string) string {
	return `{"timestamp":1700000000000,"webhookEvent":"jira:issue_updated","issue_event_type_name":"issue_generic","issue":{"id":"1","key":"P-1","self":"https://j.example/rest/api/2/issue/1","fields":{` + fields + `}},"changelog":{"items":[` + items + `]}}`
}

func linear(action, data, from string) string {
	return `{"action":"` + action + `","type":"Issue","createdAt":"2024-01-02T00:00:00Z","data":{"id":"x","number":1,"team":{"key":"ENG"},"title":"t",` + data + `},"updatedFrom":{` + from + `}}`
}

func issue(action, members string) string {
	return `{"action":"` + action + `","issue":{"id":1,"number":3,"title":"t","updated_at":"2024-01-02T00:00:00Z",` + members + `},"repository":{"full_name":"o/r"},"sender":{"type":"Bot"}}`
}

func board(field, to string) string {
	return `{"action":"edited","projects_v2_item":{"id":1,"content_node_id":"I_1","content_type":"Issue","updated_at":"2024-01-02T00:00:00Z"},"changes":{"field_value":{"field_name":` + field + `,"field_type":"single_select","from":{"name":"Todo"},"to":` + to + `}},"sender":{"login":"ada"}}`
}

func TestTraps(t *testing.T) {
	t.Parallel()
	for _, c := range traps {
		t.Run(c.kind+"/"+c.name, func(t *testing.T) {
			t.Parallel()
			got, err := decode.Changes(config.Connection{}, event.Delivery{ID: "dlv_1", Connection: "acme-" + c.kind, Kind: c.kind, ReceivedAt: received, Headers: c.headers, Body: []byte(c.body)})
			if err != nil {
				t.Fatal(err)
			}
			shown := show(got)
			for _, want := range c.want {
				if no, negated := strings.CutPrefix(want, "!"); negated == strings.Contains(shown, no) {
					t.Errorf("want %s in\n%s", want, shown)
				}
			}
		})
	}
}

func TestConfiguredBotsSpeakForCustomers(t *testing.T) {
	t.Parallel()
	got, err := decode.Changes(config.Connection{Bots: []string{"B7"}}, event.Delivery{Kind: "slack", ReceivedAt: received, Body: []byte(msg(`"subtype":"bot_message","bot_id":"B7","text":"hi"`))})
	if err != nil || !strings.Contains(show(got), `"hi"`) {
		t.Errorf("got %s, %v", show(got), err)
	}
}

// undecodable bodies become dead letters; their reasons must not repeat them.
func TestUndecodableDeliveriesSayWhyWithoutTheWords(t *testing.T) {
	t.Parallel()
	for kind, bodies := range map[string][]string{
		"slack":    {`hunter2`, `{"type":"hunter2"}`, `{"type":"event_callback","event":{"type":"message","text":"hunter2"}}`, `{"type":"event_callback","event":{"type":"message","blocks":"hunter2"}}`},
		"intercom": {`hunter2`, `{"type":"hunter2"}`, intercom("conversation.deleted", `"hunter2":1`), intercom("conversation.user.created", `"source":{"body":"hunter2","author":{"type":"user"}}`)},
		"zendesk":  {`hunter2`, `{"ticket_id":"hunter2","description":"hunter2"}`, `{"type":"zen:event-type:ticket.comment_added","detail":{},"hunter2":1}`},
		"webhook":  {`hunter2`, `{"id":"hunter2"}`, `[{"text":"x","source":"hunter2"}]`, `{"id":"1","text":{"hunter2":1}}`},
		"jira":     {`hunter2`, `{}`, `{"webhookEvent":"jira:issue_updated","hunter2":1}`, `{"webhookEvent":7}`},
		"linear":   {`hunter2`, `{}`, `{"action":"update","type":"Issue","data":{"title":"hunter2"}}`, `{"action":"update","type":"Issue","data":"hunter2"}`},
		"github":   {`hunter2`, `{}`, `{"action":"opened","issue":{"title":"hunter2"}}`},
		"feedback": {`hunter2`, `[{"text":""}]`, `[{"text":"x","created_at":"hunter2"}]`, `[{"text":"x","url":"hunter2"}]`},
		"accounts": {`hunter2`, `[{"id":""}]`, `[{"id":"a","currency":"hunter2"}]`},
		"hunter2":  {`{}`},
	} {
		for _, body := range bodies {
			got, err := decode.Changes(config.Connection{}, event.Delivery{Kind: kind, ReceivedAt: received, Body: []byte(body)})
			if err == nil {
				t.Errorf("%s %s: accepted as %s", kind, body, show(got))
			} else if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s: the reason repeats the body: %v", kind, err)
			}
		}
	}
}
