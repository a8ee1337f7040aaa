package store

import (
	"errors"
	"strings"
)

// splitStatements cuts a script at the semicolons that end statements: not those
// in quotes ('…', "…", `…`, with backslash escapes), in heredocs ($tag$…$tag$)
// or in comments. Comments are left out of the result, and so are empty
// statements. A quote or comment that is not closed is an error.
func splitStatements(script string) ([]string, error) {
	var statements []string
	var current strings.Builder
	flush := func() {
		if s := strings.TrimSpace(current.String()); s != "" {
			statements = append(statements, s)
		}
		current.Reset()
	}
	for rest := script; rest != ""; {
		n, keep := 1, true
		switch {
		case strings.HasPrefix(rest, "--"), strings.HasPrefix(rest, "# "), strings.HasPrefix(rest, "#!"):
			if n = strings.IndexByte(rest, '\n'); n < 0 {
				n = len(rest)
			}
			keep = false
		case strings.HasPrefix(rest, "/*"):
			end := strings.Index(rest[2:], "*/")
			if end < 0 {
				return nil, errors.New("split script: a comment is not closed")
			}
			n, keep = 2+end+2, false
			current.WriteByte(' ')
		case rest[0] == '\'' || rest[0] == '"' || rest[0] == '`':
			if n = quotedLength(rest); n < 0 {
				return nil, errors.New("split script: a quote is not closed")
			}
		case rest[0] == '$':
			var err error
			if n, err = heredocLength(rest); err != nil {
				return nil, err
			}
		case rest[0] == ';':
			flush()
			keep = false
		}
		if keep {
			current.WriteString(rest[:n])
		}
		rest = rest[n:]
	}
	flush()
	return statements, nil
}

// quotedLength is the length of the quoted text that s begins with, -1 when it
// does not end. A doubled quote reads as two texts side by side, which comes to
// the same here.
func quotedLength(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case s[0]:
			return i + 1
		}
	}
	return -1
}

// heredocLength is the length of the heredoc that s begins with, 1 when s begins
// with a lone dollar sign.
func heredocLength(s string) (int, error) {
	tagEnd := strings.IndexFunc(s[1:], func(r rune) bool {
		return r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
	if tagEnd < 0 || s[1+tagEnd] != '$' {
		return 1, nil
	}
	tag := s[:tagEnd+2]
	end := strings.Index(s[len(tag):], tag)
	if end < 0 {
		return 0, errors.New("split script: a heredoc is not closed")
	}
	return len(tag) + end + len(tag), nil
}
