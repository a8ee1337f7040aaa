package slack

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"

	"github.com/throughline-dev/throughline/services/ingestor/internal/payload"
)

var reference = regexp.MustCompile(`<([^<>\n]+)>`)

// entities are the only three that Slack escapes, and it escapes each once.
var entities = strings.NewReplacer("&amp;", "&", "&lt;", "<", "&gt;", ">")

// Mrkdwn turns Slack's markup into text: references become their label or id, then
// entities are unescaped exactly once. Emphasis marks stay: they may be the customer's
// own asterisks.
func Mrkdwn(s string) string {
	return entities.Replace(reference.ReplaceAllStringFunc(s, func(r string) string { return resolve(r[1 : len(r)-1]) }))
}

func resolve(r string) string {
	target, label, labelled := strings.Cut(r, "|")
	switch {
	case strings.HasPrefix(target, "@"), strings.HasPrefix(target, "#"):
		if labelled && label != "" {
			return target[:1] + label
		}
		return target
	case strings.HasPrefix(target, "!subteam^"):
		if labelled && label != "" {
			return label
		}
		return "@" + strings.TrimPrefix(target, "!subteam^")
	case strings.HasPrefix(target, "!date^"):
		return label
	case strings.HasPrefix(target, "!"):
		if labelled && label != "" {
			return "@" + strings.TrimPrefix(label, "@")
		}
		return "@" + target[1:]
	case labelled && label != "":
		return label
	}
	return strings.TrimPrefix(target, "mailto:")
}

type block struct {
	Type     string    `json:"type"`
	Elements []element `json:"elements"`
}

// element is any element of a rich_text block; which fields matter depends on Type. Text
// is a string in text elements and an object in those of other blocks, where it is not
// wanted.
type element struct {
	Type      string       `json:"type"`
	Elements  []element    `json:"elements"`
	Text      payload.Text `json:"text"`
	URL       payload.Text `json:"url"`
	UserID    payload.Text `json:"user_id"`
	ChannelID payload.Text `json:"channel_id"`
	GroupID   payload.Text `json:"usergroup_id"`
	Range     payload.Text `json:"range"`
	Name      payload.Text `json:"name"`
	Unicode   payload.Text `json:"unicode"`
	Fallback  payload.Text `json:"fallback"`
	Value     payload.Text `json:"value"`
}

// UnmarshalJSON ignores elements that are not objects.
func (e *element) UnmarshalJSON(b []byte) error {
	type bare element
	var v bare
	if len(b) > 0 && b[0] == '{' {
		if err := json.Unmarshal(b, &v); err != nil {
			v = bare{}
		}
	}
	*e = element(v)
	return nil
}

// richText renders the rich_text blocks of a message, "" if it has none. Its strings are
// not escaped.
func richText(blocks []block) string {
	var out strings.Builder
	for _, b := range blocks {
		if b.Type != "rich_text" {
			continue
		}
		for _, e := range b.Elements {
			if s := out.String(); s != "" && !strings.HasSuffix(s, "\n") {
				out.WriteByte('\n')
			}
			section(&out, e)
		}
	}
	return out.String()
}

func section(out *strings.Builder, e element) {
	if e.Type != "rich_text_list" {
		for _, c := range e.Elements {
			inline(out, c)
		}
		return
	}
	for _, entry := range e.Elements {
		if s := out.String(); s != "" && !strings.HasSuffix(s, "\n") {
			out.WriteByte('\n')
		}
		out.WriteString("- ")
		section(out, entry)
	}
}

func inline(out *strings.Builder, e element) {
	switch e.Type {
	case "text":
		out.WriteString(string(e.Text))
	case "link":
		if e.Text != "" {
			out.WriteString(string(e.Text))
		} else {
			out.WriteString(strings.TrimPrefix(string(e.URL), "mailto:"))
		}
	case "user":
		out.WriteString("@" + string(e.UserID))
	case "channel":
		out.WriteString("#" + string(e.ChannelID))
	case "usergroup":
		out.WriteString("@" + string(e.GroupID))
	case "broadcast":
		out.WriteString("@" + string(e.Range))
	case "emoji":
		out.WriteString(emoji(e))
	case "date":
		out.WriteString(string(e.Fallback))
	case "color":
		out.WriteString(string(e.Value))
	}
}

// emoji writes the characters that a standard emoji stands for, and the name of a
// workspace's own.
func emoji(e element) string {
	var out strings.Builder
	for _, hex := range strings.Split(string(e.Unicode), "-") {
		n, err := strconv.ParseUint(hex, 16, 32)
		if err != nil || n < 0x20 || n > 0x10FFFF {
			return ":" + string(e.Name) + ":"
		}
		out.WriteRune(rune(n))
	}
	return out.String()
}
