package vendortest

import (
	"strconv"
	"time"
)

// JiraLimited is Jira's answer to too many requests; reason is jira-burst-based,
// jira-per-issue-on-write or jira-quota-based.
func JiraLimited(reason string, after time.Duration) Fault {
	return Fault{Status: 429, Header: map[string]string{
		"Retry-After": seconds(after), "RateLimit-Reason": reason, "X-RateLimit-Remaining": "0", "Content-Type": "application/json",
	}, Body: `{"errorMessages":["Rate limit exceeded."],"errors":{}}`}
}

// LinearLimited is Linear's answer to too many requests: HTTP 400 with a code
// in the GraphQL errors, and the reset as epoch milliseconds.
func LinearLimited(reset time.Time) Fault {
	return Fault{Status: 400, Header: map[string]string{
		"X-RateLimit-Requests-Remaining": "0", "X-RateLimit-Requests-Reset": strconv.FormatInt(reset.UnixMilli(), 10), "Content-Type": "application/json",
	}, Body: `{"errors":[{"message":"Rate limit exceeded","extensions":{"type":"ratelimited","code":"RATELIMITED","statusCode":429,"userError":true,"userPresentableMessage":"Rate limit exceeded."}}]}`}
}

// LinearLimitedPage is Linear's other answer to too many requests: a 429 with
// an HTML page.
func LinearLimitedPage() Fault {
	return Fault{Status: 429, Header: map[string]string{"Content-Type": "text/html"}, Body: "<!DOCTYPE html><html><body><h1>Too many requests</h1></body></html>"}
}

// GitHubSecondaryLimit is GitHub's 403 for writing too fast; without a pause
// (zero) it says nothing about how long to wait.
func GitHubSecondaryLimit(after time.Duration) Fault {
	h := map[string]string{"Content-Type": "application/json", "X-RateLimit-Remaining": "4210", "X-RateLimit-Reset": "1"}
	if after > 0 {
		h["Retry-After"] = seconds(after)
	}
	return Fault{Status: 403, Header: h, Body: `{"message":"You have exceeded a secondary rate limit. Please wait a few minutes before you try again.","documentation_url":"https://docs.github.com/rest/overview/rate-limits-for-the-rest-api#about-secondary-rate-limits"}`}
}

// GitHubPrimaryLimit is GitHub's 403 for a used-up hour.
func GitHubPrimaryLimit(reset time.Time) Fault {
	return Fault{Status: 403, Header: map[string]string{
		"Content-Type": "application/json", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": strconv.FormatInt(reset.Unix(), 10),
	}, Body: `{"message":"API rate limit exceeded for user ID 1.","documentation_url":"https://docs.github.com/rest"}`}
}

// SlackLimited is Slack's 429.
func SlackLimited(after time.Duration) Fault {
	return Fault{Status: 429, Header: map[string]string{"Retry-After": seconds(after), "Content-Type": "application/json"}, Body: `{"ok":false,"error":"ratelimited"}`}
}

// Unavailable is a gateway's 502 with a page.
func Unavailable() Fault {
	return Fault{Status: 502, Header: map[string]string{"Content-Type": "text/html"}, Body: "<html><body>Bad gateway</body></html>"}
}

func seconds(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }
