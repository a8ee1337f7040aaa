package schemas

import "embed"

// Webhooks holds payloads as vendors sent them, webhooks/<system>/*.json, with
// signature vectors in webhooks/signatures/vectors.json. Sources and licences are
// in webhooks/SOURCES.md. zendesk/api_* are answers of its REST interface, not
// webhooks.
//
//go:embed webhooks
var Webhooks embed.FS
