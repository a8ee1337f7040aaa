// Package mcpserver gives coding agents the live context of tickets over the Model
// Context Protocol: a few read-only tools, each ticket's brief as a resource that can be
// subscribed to, prompts to start a ticket and to review a change, and, for tokens with the
// scope decide, tools that record a person's decision. It speaks both generations of the
// protocol on one address, and over stdio.
//
// It promises: a session belongs to the workspace of the token that opened it, and
// nothing of another workspace can be asked for, listed, subscribed to or told apart
// from what does not exist; every answer says as of when it is, of which revision, and
// how far the clusters lag; words of customers, and of people in trackers, stand only
// inside the fences of package fence, with a delimiter drawn for that one answer, in
// text and in structured fields alike, never in names, descriptions, addresses or
// errors; an answer fits its budget in tokens and says what it left out.
//
// It refuses to write anything but decisions, which carry who, when and why and can be taken
// back, to send anything anywhere, and to be cached by anyone but the caller.
package mcpserver
