package repocheck

import (
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// registries are hosts that no file may name: whoever builds this may get packages from
// elsewhere. They are put together here so that this file does not name them either.
var registries = []string{
	"registry.npmjs" + ".org", "registry.yarnpkg" + ".com", "proxy.golang" + ".org", "sum.golang" + ".org",
	"pypi" + ".org", "files.pythonhosted" + ".org", "repo1.maven" + ".org", "deb.debian" + ".org",
	"static.crates" + ".io", "index.crates" + ".io", "crates" + ".io", "index.docker" + ".io", "registry-1.docker" + ".io",
}

// lockFiles may record addresses of packages, in lines such as recorded.
var lockFiles = []string{"package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml", "bun.lock", "uv.lock", "poetry.lock"}

var recorded = regexp.MustCompile(`(?m)^\s*(?:"resolved":|resolved |"?tarball"?:|registry = |source = \{ registry|url = )`)

func namesRegistry(text string) string {
	lower := strings.ToLower(text)
	for _, r := range registries {
		if strings.Contains(lower, r) {
			return r
		}
	}
	return ""
}

func TestNoFileNamesARegistry(t *testing.T) {
	t.Parallel()
	if namesRegistry("GOPROXY=https://Proxy.golang"+".org") == "" || !recorded.MatchString("{\n  \"resolved\": \"https:") {
		t.Fatal("the rule finds nothing in a text that breaks it")
	}
	for f, text := range contents(t) {
		if line := recorded.FindString(text); line != "" && slices.Contains(lockFiles, path.Base(f)) {
			t.Errorf("%s records where packages came from (%s): they come from where the machine gets them", f, strings.TrimSpace(line))
		}
		if r := namesRegistry(text); r != "" {
			t.Errorf("%s names %s: packages are named by name, and come from where the machine gets them", f, r)
		}
	}
}

// secrets are shapes of real credentials. Only a text that has the mark is looked at
// closely: most have none, and some are large.
var secrets = []struct {
	name    string
	mark    string
	pattern *regexp.Regexp
	sample  string
}{
	{"a private key", "-----BEGIN ", regexp.MustCompile(`-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----`), "-----BEGIN RSA " + "PRIVATE KEY-----"},
	{"a Slack token", "xox", regexp.MustCompile(`xox[abeoprs]-\d{6,}`), "xoxb" + "-123456789012-abc"},
	{"a Slack webhook", "hooks.slack.com/services/T", regexp.MustCompile(`hooks\.slack\.com/services/T[A-Z0-9]{6,}/B`), "hooks.slack.com/services/" + "T0123456/B1"},
	{"a GitHub token", "gh", regexp.MustCompile(`\bgh[pousr]_[A-Za-z0-9]{36}`), "ghp" + "_" + strings.Repeat("a1", 18)},
	{"a GitHub token", "github_pat_", regexp.MustCompile(`\bgithub_pat_[A-Za-z0-9_]{60}`), "github" + "_pat_" + strings.Repeat("a1", 30)},
	{"an AWS key", "AKIA", regexp.MustCompile(`\bAKIA[0-9A-Z]{16}\b`), "AKIA" + "ABCDEFGHIJKLMNOP"},
	{"an Atlassian token", "ATATT", regexp.MustCompile(`\bATATT3[A-Za-z0-9_-]{60}`), "ATATT" + "3" + strings.Repeat("a", 60)},
	{"a Linear key", "lin_api_", regexp.MustCompile(`\blin_api_[A-Za-z0-9]{32}`), "lin" + "_api_" + strings.Repeat("a1", 16)},
	{"an OpenAI key", "sk-", regexp.MustCompile(`\bsk-(?:proj-)?[A-Za-z0-9]{32}`), "sk" + "-" + strings.Repeat("a1", 16)},
	{"a JSON web token", "eyJ", regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{15,}\.eyJ[A-Za-z0-9_-]{15,}\.`), "eyJ" + strings.Repeat("a", 20) + ".eyJ" + strings.Repeat("b", 20) + ".c"},
	{"a Standard Webhooks secret", "whsec_", regexp.MustCompile(`\bwhsec_[A-Za-z0-9+/]{24,}`), "whsec" + "_" + strings.Repeat("a", 24)},
}

// looksLike cuts the text to the lines that have the mark before it matches.
func looksLike(mark string, pattern *regexp.Regexp, text string) bool {
	for {
		i := strings.Index(text, mark)
		if i < 0 {
			return false
		}
		if window := text[max(0, i-1):min(len(text), i+200)]; pattern.MatchString(window) {
			return true
		}
		text = text[i+len(mark):]
	}
}

// Published examples and made-up values of fixtures are the only things that may look
// like a secret.
var secretExceptions = []exception{
	{"schemas/webhooks/signatures/vectors.json holds what looks like a Standard Webhooks secret", "the example in the specification of Standard Webhooks"},
}

func TestNoFileHoldsASecret(t *testing.T) {
	t.Parallel()
	for _, s := range secrets {
		if !looksLike(s.mark, s.pattern, s.sample) {
			t.Errorf("the rule for %s finds nothing in a text that breaks it", s.name)
		}
	}
	var findings []string
	for f, text := range contents(t) {
		for _, s := range secrets {
			if looksLike(s.mark, s.pattern, text) {
				findings = append(findings, f+" holds what looks like "+s.name)
			}
		}
	}
	except(t, findings, secretExceptions)
}
