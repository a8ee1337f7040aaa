// Package trackers holds what Throughline and the trackers say to each other,
// as data: recorded requests with their answers per vendor, the Atlassian
// documents that texts become, and the part of Linear's schema in use. It
// contains no logic.
package trackers

import "embed"

// Files holds <vendor>/*.json (lists of exchanges), adf/*.md with the
// adf/*.json they become, and linear/schema.graphql.
//
//go:embed adf github jira linear slack
var Files embed.FS
