package email_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/services/ingestor/internal/change"
	"github.com/throughline-dev/throughline/services/ingestor/internal/source/email"
)

var received = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func decode(t *testing.T, contentType, body string) (change.Change, error) {
	t.Helper()
	got, err := email.Decoder{Address: "feedback@acme.example"}.Decode(event.Delivery{
		Connection: "acme-mail", Kind: "email", ReceivedAt: received, Headers: map[string]string{"content-type": contentType}, Body: []byte(body),
	})
	if err != nil {
		return nil, err
	}
	if len(got) != 1 {
		t.Fatalf("%d changes", len(got))
	}
	return got[0], nil
}

// raw writes a mail with the headers that every mail has, and those given.
func raw(headers, body string) string {
	m := "From: Ada Lovelace <Ada@Initech.example>\r\nTo: feedback@acme.example\r\nMessage-ID: <m1@initech.example>\r\nDate: Sun, 22 Nov 2026 10:00:00 +0100\r\n"
	if !strings.Contains(headers, "Subject:") {
		m += "Subject: Re: hello\r\n"
	}
	return m + strings.ReplaceAll(headers, "\n", "\r\n") + "\r\n" + strings.ReplaceAll(body, "\n", "\r\n")
}

const alternative = "Content-Type: multipart/alternative; boundary=\"b1\"\n"

func TestWhatACustomerWroteIsWhatCounts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ headers, body, want string }{
		"plain":                       {"", "The export fails.\n", "The export fails."},
		"the subject opens a thread":  {"Subject: Export to PDF fails\n", "Since Monday.\n", "Export to PDF fails\n\nSince Monday."},
		"a subject in the text":       {"Subject: export fails\n", "The Export fails since Monday.\n", "The Export fails since Monday."},
		"a subject and nothing else":  {"Subject: Please add dark mode\n", "\n", "Please add dark mode"},
		"an encoded subject":          {"Subject: =?iso-8859-1?Q?Der_Export_schl=E4gt_fehl?=\n", "\n", "Der Export schlägt fehl"},
		"Gmail's history":             {"", "Still broken.\n\nOn Fri, Nov 20, 2026 at 9:12 AM Bob from Acme <bob@acme.example> wrote:\n\n> Is it fixed?\n> Bob\n", "Still broken."},
		"an attribution on two lines": {"", "Still broken.\n\nOn Fri, Nov 20, 2026 at 9:12 AM Bob from Acme Customer Support\n<bob@acme.example> wrote:\n> Is it fixed?\n", "Still broken."},
		"an unmarked quotation":       {"", "Still broken.\n\nOn Friday Bob <bob@acme.example> wrote:\n\nIs it fixed?\nSecret roadmap.\n", "Still broken."},
		"German history":              {"", "Geht nicht.\n\nAm 20.11.2026 um 09:12 schrieb Bob <bob@acme.example>:\n> Geht es?\n", "Geht nicht."},
		"French history":              {"", "Toujours cassé.\n\nLe ven. 20 nov. 2026 à 09:12, Bob <bob@acme.example> a écrit :\n> Ça marche ?\n", "Toujours cassé."},
		"Chinese history":             {"", "还是不行。\n\nBob <bob@acme.example> 于2026年11月20日写道：\n> 好了吗\n", "还是不行。"},
		"an answer below":             {"", "On Friday Bob wrote:\n> Does it work?\n\nNo, the export fails.\n", "No, the export fails."},
		"answers in between":          {"", "> Does export work?\nNo.\n> And import?\nYes, import works.\n", "No.\nYes, import works."},
		"Outlook's history":           {"", "It fails.\n\n________________________________\nFrom: Bob <bob@acme.example>\nSent: Friday, 20 November 2026\nTo: Ada\nSubject: RE: hello\n\nIs it fixed?\n", "It fails."},
		"an original message":         {"", "It fails.\n\n-----Original Message-----\nFrom: Bob\nIs it fixed?\n", "It fails."},
		"German Outlook":              {"", "Geht nicht.\n\nVon: Bob <bob@acme.example>\nGesendet: Freitag\nAn: Ada\nBetreff: AW: hallo\n\nGeht es?\n", "Geht nicht."},
		"Zendesk's line":              {"", "It fails.\n\n##- Please type your reply above this line -##\nYour request was updated.\n", "It fails."},
		"a signature":                 {"", "It fails.\n-- \nAda Lovelace\nInitech Ltd, 1 Analytical Way\n", "It fails."},
		"closing words":               {"", "It fails when I print.\n\nBest regards,\nAda Lovelace\nHead of Engines | Initech\n+44 20 7946 0000\n", "It fails when I print."},
		"thanks inside a sentence":    {"", "Thanks, but the export still fails.\n\nThanks,\nAda\n", "Thanks, but the export still fails."},
		"words after thanks":          {"", "Thanks\n\nBut now that it works I would like to export every report that I have to a file as well, please.\n", "Thanks\n\nBut now that it works I would like to export every report that I have to a file as well, please."},
		"a telephone":                 {"", "It fails.\n\nSent from my iPhone\n", "It fails."},
		"a German telephone":          {"", "Geht nicht.\n\nVon meinem iPhone gesendet\n", "Geht nicht."},
		"a disclaimer":                {"", "It fails.\n\nThis e-mail and any attachments are confidential and intended for the addressee only.\nDelete it.\n", "It fails."},
		"a banner":                    {"", "CAUTION: This email originated from outside of the organization. Do not click links.\n\nIt fails.\n", "It fails."},
		"from: in a sentence":         {"", "It fails when I filter.\nFrom: is the field that breaks.\nPlease look.\n", "It fails when I filter.\nFrom: is the field that breaks.\nPlease look."},
		"quoted-printable":            {"Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n", "Der Export schl=E4gt seit =\nMontag fehl.\n", "Der Export schlägt seit Montag fehl."},
		"base64":                      {"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n", base64.StdEncoding.EncodeToString([]byte("Emoji 👋 fail.\n")) + "\n", "Emoji 👋 fail."},
		"Windows-1252 unsaid":         {"Content-Type: text/plain\n", "It\x92s \x80 5 too much.\n", "It’s € 5 too much."},
		"Shift JIS":                   {"Content-Type: text/plain; charset=shift_jis\n", "\x83G\x83N\x83X\x83|\x81[\x83g\n", "エクスポート"},
		"a charset that nobody knows": {"Content-Type: text/plain; charset=x-nobody\n", "It fails.\n", "It fails."},
		"flowed":                      {"Content-Type: text/plain; format=flowed\n", "It fails when \nI print.\n-- \nAda\n", "It fails when I print."},
		"text before HTML":            {alternative, "--b1\nContent-Type: text/plain\n\nIt fails.\n--b1\nContent-Type: text/html\n\n<p>It <b>fails</b>.</p>\n--b1--\n", "It fails."},
		"HTML alone":                  {"Content-Type: text/html\n", "<div>It fails &amp; burns.</div><div class=\"gmail_quote\"><div class=\"gmail_attr\">On Friday Bob wrote:</div><blockquote>secret</blockquote></div>", "It fails & burns."},
		"Outlook's HTML":              {"Content-Type: text/html\n", "<p>It fails.</p><div id=\"divRplyFwdMsg\"><b>From:</b> Bob</div><p>secret</p>", "It fails."},
		"Apple's HTML":                {"Content-Type: text/html\n", "<p>It fails.</p><blockquote type=\"cite\">secret</blockquote>", "It fails."},
		"an attachment":               {"Content-Type: multipart/mixed; boundary=b1\n", "--b1\nContent-Type: text/plain\n\nIt fails.\n--b1\nContent-Type: text/plain; name=log.txt\nContent-Disposition: attachment; filename=log.txt\n\npassword=hunter2\n--b1--\n", "It fails."},
		"a cut-off part":              {"Content-Type: multipart/mixed; boundary=b1\n", "--b1\nContent-Type: text/plain\n\nIt fails", "It fails"},
		"nested parts":                {"Content-Type: multipart/mixed; boundary=b0\n", "--b0\n" + alternative + "\n--b1\nContent-Type: text/plain\n\nIt fails.\n--b1--\n--b0--\n", "It fails."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := decode(t, "message/rfc822", raw(c.headers, c.body))
			said, ok := got.(change.MessageUpserted)
			if err != nil || !ok {
				t.Fatalf("got %+v, %v", got, err)
			}
			if said.Text != c.want {
				t.Errorf("\n got %q\nwant %q", said.Text, c.want)
			}
			if said.Author != (change.Author{ID: "ada@initech.example", Name: "Ada Lovelace", Email: "Ada@Initech.example"}) {
				t.Errorf("author %+v", said.Author)
			}
		})
	}
}

func TestMailThatNoPersonWroteIsIgnored(t *testing.T) {
	t.Parallel()
	for name, headers := range map[string]string{
		"RFC 3834":          "Auto-Submitted: auto-replied\n",
		"generated":         "Auto-Submitted: auto-generated; owner-email=x@y.example\n",
		"Exchange":          "X-Auto-Response-Suppress: All\n",
		"autoreply":         "X-Autoreply: yes\n",
		"bulk":              "Precedence: bulk\n",
		"a list":            "List-Id: <news.initech.example>\n",
		"a newsletter":      "List-Unsubscribe: <mailto:x@y.example>\n",
		"a bounce":          "Return-Path: <>\n",
		"a report":          "Content-Type: multipart/report; boundary=x; report-type=delivery-status\n",
		"out of office":     "Subject: Out of Office: hello\n",
		"Automatic reply":   "Subject: Automatic reply: hello\n",
		"Abwesenheit":       "Subject: Abwesenheitsnotiz: hallo\n",
		"réponse":           "Subject: =?utf-8?Q?R=C3=A9ponse_automatique?=\n",
		"spam":              "X-Spam-Flag: YES\n",
		"failed recipients": "X-Failed-Recipients: a@b.example\n",
	} {
		got, err := decode(t, "message/rfc822", raw(headers, "I am away.\n"))
		if _, ok := got.(change.Nothing); err != nil || !ok {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
	for _, from := range []string{"MAILER-DAEMON@mx.example", "no-reply@shop.example", "noreply+x@shop.example", "postmaster@mx.example"} {
		got, err := decode(t, "message/rfc822", strings.Replace(raw("", "x\n"), "Ada@Initech.example", from, 1))
		if _, ok := got.(change.Nothing); err != nil || !ok {
			t.Errorf("%s: got %+v, %v", from, got, err)
		}
	}
	if got, _ := decode(t, "message/rfc822", raw("Auto-Submitted: no\n", "A person.\n")); fmt.Sprintf("%T", got) != "change.MessageUpserted" {
		t.Errorf("a person's mail is ignored: %+v", got)
	}
}

func TestAThreadIsOneConversation(t *testing.T) {
	t.Parallel()
	place := func(headers string) string {
		got, err := decode(t, "message/rfc822", raw(headers, "x\n"))
		if err != nil {
			t.Fatal(err)
		}
		return got.(change.MessageUpserted).Place.External
	}
	if got := place(""); got != "acme-mail:m1@initech.example" {
		t.Errorf("a new thread: %s", got)
	}
	for name, headers := range map[string]string{
		"references":        "In-Reply-To: <b@acme.example>\nReferences: <root@initech.example> <b@acme.example>\n",
		"folded references": "References: <root@initech.example>\n <b@acme.example>\n",
		"one parent":        "In-Reply-To: <root@initech.example>\n",
	} {
		if got := place(headers); got != "acme-mail:root@initech.example" {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestWhatOurPeopleForwardIsTheCustomers(t *testing.T) {
	t.Parallel()
	ours := func(body string) string {
		return strings.Replace(raw("Subject: Fwd: hello\n", body), "Ada Lovelace <Ada@Initech.example>", "Bob <bob@acme.example>", 1)
	}
	for name, body := range map[string]string{
		"Gmail":   "FYI\n\n---------- Forwarded message ---------\nFrom: Carla <carla@umbrella.example>\nDate: Fri, 20 Nov 2026\nSubject: hello\nTo: <bob@acme.example>\n\nThe import is slow.\n\nBest regards,\nCarla\n",
		"Apple":   "FYI\n\nBegin forwarded message:\n\n> From: Carla <carla@umbrella.example>\n> Subject: hello\n>\n> The import is slow.\n",
		"Outlook": "FYI\n\n________________________________\nFrom: Carla <carla@umbrella.example>\nSent: Friday\nTo: Bob\nSubject: hello\n\nThe import is slow.\n",
	} {
		got, err := decode(t, "message/rfc822", ours(body))
		said, ok := got.(change.MessageUpserted)
		if err != nil || !ok || said.Text != "The import is slow." || said.Author.Email != "carla@umbrella.example" || said.Author.Name != "Carla" {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
	for name, body := range map[string]string{
		"an agent's answer":    "We are on it.\n",
		"a forward of our own": "FYI\n\n---------- Forwarded message ---------\nFrom: Eve <eve@acme.example>\nDate: Friday\nSubject: x\n\nSecret roadmap.\n",
	} {
		if got, err := decode(t, "message/rfc822", ours(body)); err != nil || fmt.Sprintf("%T", got) != "change.Nothing" {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
	// A customer who quotes somebody does not speak as them.
	got, err := decode(t, "message/rfc822", raw("", "Look:\n\n---------- Forwarded message ---------\nFrom: CEO <ceo@big.example>\nDate: x\nSubject: y\n\nBuild it.\n"))
	if said, ok := got.(change.MessageUpserted); err != nil || !ok || said.Author.Email != "Ada@Initech.example" || said.Text != "Look:" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestAForgedSenderJoinsNobody(t *testing.T) {
	t.Parallel()
	for results, forged := range map[string]bool{
		"mx.example; spf=pass; dkim=pass; dmarc=pass":          false,
		"mx.example; spf=fail; dkim=pass":                      false,
		"mx.example; spf=softfail; dkim=none":                  false,
		"mx.example; dmarc=fail (p=none); spf=pass":            true,
		"mx.example; spf=fail smtp.mailfrom=a.example":         true,
		"mx.example; spf=fail; dkim=fail header.d=x; arc=none": true,
	} {
		got, err := decode(t, "message/rfc822", raw("Authentication-Results: "+results+"\n", "x\n"))
		said, ok := got.(change.MessageUpserted)
		if err != nil || !ok || (said.Author.Email == "") != forged {
			t.Errorf("%s: got %+v, %v", results, got, err)
		}
	}
}

func formOf(t *testing.T, fields ...string) (contentType, body string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i := 0; i < len(fields); i += 2 {
		if err := w.WriteField(fields[i], fields[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return w.FormDataContentType(), b.String()
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestEveryProvidersEnvelope(t *testing.T) {
	t.Parallel()
	mime := raw("", "It fails.\n\n> old\n")
	multi := func(fields ...string) [2]string { a, b := formOf(t, fields...); return [2]string{a, b} }
	type m map[string]any
	headers := "From: Ada Lovelace <Ada@Initech.example>\nMessage-ID: <m1@initech.example>\nDate: Sun, 22 Nov 2026 10:00:00 +0100\nSubject: Re: hello\n"
	for name, c := range map[string][2]string{
		"SES":            {"text/plain; charset=UTF-8", asJSON(t, m{"Type": "Notification", "Message": asJSON(t, m{"notificationType": "Received", "content": mime, "receipt": m{"spfVerdict": m{"status": "PASS"}}})})},
		"SES in base64":  {"text/plain", asJSON(t, m{"Type": "Notification", "Message": asJSON(t, m{"content": base64.StdEncoding.EncodeToString([]byte(mime)), "receipt": m{"action": m{"encoding": "BASE64"}}})})},
		"SendGrid raw":   multi("SPF", "pass", "dkim", "{@initech.example : pass}", "email", mime),
		"SendGrid":       multi("headers", headers, "from", "Ada", "charsets", `{"text":"iso-8859-1"}`, "text", "It fails.\n\n> old\n"),
		"Mailgun raw":    multi("timestamp", "1", "token", "t", "signature", "s", "body-mime", mime),
		"Mailgun":        multi("from", "Ada", "message-headers", asJSON(t, [][]string{{"From", "Ada Lovelace <Ada@Initech.example>"}, {"Message-Id", "<m1@initech.example>"}, {"Subject", "Re: hello"}, {"Date", "Sun, 22 Nov 2026 10:00:00 +0100"}}), "body-plain", "It fails.\n\n> old\n"),
		"Mailgun's form": {"application/x-www-form-urlencoded", url.Values{"body-mime": {mime}}.Encode()},
		"Postmark raw":   {"application/json", asJSON(t, m{"MessageID": "22c7", "RawEmail": mime})},
		"Postmark":       {"application/json", asJSON(t, m{"FromFull": m{"Email": "Ada@Initech.example", "Name": "Ada Lovelace"}, "Subject": "Re: hello", "Date": "Sun, 22 Nov 2026 10:00:00 +0100", "TextBody": "It fails.\n\n> old\n", "Headers": []m{{"Name": "Message-ID", "Value": "<m1@initech.example>"}}})},
		"raw":            {"message/rfc822", mime},
		"mbox":           {"message/rfc822", "From ada@initech.example Sun Nov 22 10:00:00 2026\r\n" + mime},
	} {
		got, err := decode(t, c[0], c[1])
		want := change.MessageUpserted{
			Place: change.Place{Source: "email", External: "acme-mail:m1@initech.example"}, ID: "m1@initech.example", Version: 1795338000000000,
			Author: change.Author{ID: "ada@initech.example", Name: "Ada Lovelace", Email: "Ada@Initech.example"},
			At:     time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC), Changed: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC), Text: "It fails.",
		}
		if err != nil || got != change.Change(want) {
			t.Errorf("%s:\n got %+v, %v\nwant %+v", name, got, err, want)
		}
	}
	confirm, err := decode(t, "text/plain", `{"Type":"SubscriptionConfirmation","SubscribeURL":"https://sns.example/?Token=hunter2"}`)
	if fmt.Sprintf("%T", confirm) != "change.Nothing" || err != nil {
		t.Errorf("confirmation: %+v, %v", confirm, err)
	}
	spam, err := decode(t, "text/plain", asJSON(t, m{"Type": "Notification", "Message": asJSON(t, m{"content": mime, "receipt": m{"virusVerdict": m{"status": "FAIL"}}})}))
	if fmt.Sprintf("%T", spam) != "change.Nothing" || err != nil {
		t.Errorf("virus: %+v, %v", spam, err)
	}
	for name, c := range map[string][2]string{
		"another system's JSON": {"application/json", `{"hunter2":1}`},
		"words":                 {"message/rfc822", "hunter2 was here\n\nno mail"},
		"an empty form":         multi("a", "hunter2"),
		"half a form":           {"multipart/form-data; boundary=x", "--x\r\nhunter2"},
		"a picture":             {"image/png", "hunter2"},
		"no sender":             {"message/rfc822", "Message-ID: <hunter2>\r\n\r\nx"},
	} {
		if got, err := decode(t, c[0], c[1]); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}

// Mail without a time, or from the future, is taken as sent when it came; mail without an
// identity is the same mail when it comes again.
func TestOddHeadersLoseNoMail(t *testing.T) {
	t.Parallel()
	for name, head := range map[string]string{
		"no date":     "From: ada@initech.example\r\n",
		"a wild date": "From: ada@initech.example\r\nDate: someday\r\n",
		"the future":  "From: ada@initech.example\r\nDate: Mon, 01 Jan 2091 00:00:00 +0000\r\n",
		"odd from":    "From: \"Lovelace, Ada\" ada@initech.example (Ada)\r\n",
	} {
		mail := head + "\r\nIt fails.\r\n"
		a, err := decode(t, "message/rfc822", mail)
		b, again := decode(t, "message/rfc822", mail)
		said, ok := a.(change.MessageUpserted)
		if err != nil || again != nil || !ok || a != b || said.Author.Email != "ada@initech.example" || said.At.After(received) || said.ID == "" {
			t.Errorf("%s: got %+v, %v", name, a, err)
		}
	}
}
