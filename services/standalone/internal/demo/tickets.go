package demo

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Ticket is a ticket of the demo; the words are ours.
type Ticket struct {
	Tracker, Key, Title, Body string
}

// Tickets are what the demo's team works on.
func Tickets() []Ticket {
	return []Ticket{
		{"jira", "PLAY-101", "Offline mode: downloaded songs will not play without internet", "Premium customers download playlists to listen offline. Reports say that downloaded songs disappear or that the app claims to be offline while the phone is connected."},
		{"jira", "PLAY-102", "Search does not find songs or the search bar is gone", "The search button and search results changed with the last update."},
		{"linear", "MOB-7", "Free listeners want to pick a song instead of shuffle only", "On phones the free plan plays playlists and artists in shuffle mode only."},
		{"linear", "MOB-12", "App crashes or freezes after the latest update", "The app closes by itself, freezes on the loading screen or stops playing after updating."},
		{"github", "throughline-demo/player#31", "Too many ads between songs", "Listeners on the free plan complain about how often advertisements interrupt the music."},
		{"github", "throughline-demo/player#45", "Premium subscription cancelled or charged although paid", "Customers who pay for premium lose their subscription, are charged again, or cannot cancel it."},
	}
}

// Stage is where a ticket stands.
type Stage struct {
	name, jiraID, jiraCategory, linearType, linearID string
}

// The stages that the demo's tickets pass.
var (
	Todo       = Stage{"To Do", "10001", "new", "unstarted", "state-todo"}
	InProgress = Stage{"In Progress", "3", "indeterminate", "started", "state-started"}
)

// Create is the webhook of a ticket's creation.
func Create(t Ticket, at time.Time) Request { return ticketRequest(t, Todo, nil, at) }

// Move is the webhook of a ticket's move between stages.
func Move(t Ticket, from, to Stage, at time.Time) Request { return ticketRequest(t, to, &from, at) }

func ticketRequest(t Ticket, stage Stage, from *Stage, at time.Time) Request {
	switch t.Tracker {
	case "jira":
		return jira(t, stage, from, at)
	case "linear":
		return linear(t, stage, from, at)
	default:
		return github(t, stage, from, at)
	}
}

func verb(from *Stage) string {
	if from == nil {
		return "create"
	}
	return "update"
}

func jira(t Ticket, stage Stage, from *Stage, at time.Time) Request {
	stamp := at.UTC().Format("2006-01-02T15:04:05.000-0700")
	project, n, _ := strings.Cut(t.Key, "-")
	change := object{"id": strconv.FormatInt(at.UnixMilli(), 10), "items": []object{}}
	event, kind := "jira:issue_created", "issue_created"
	if from != nil {
		event, kind = "jira:issue_updated", "issue_generic"
		change["items"] = []object{{"field": "status", "fieldtype": "jira", "fieldId": "status", "from": from.jiraID, "fromString": from.name, "to": stage.jiraID, "toString": stage.name}}
	}
	return Request{
		Connection: "demo-jira", Vendor: "jira", ContentType: "application/json",
		Header: map[string]string{"X-Atlassian-Webhook-Identifier": "demo-" + t.Key + "-" + stage.jiraID},
		Body: body(object{
			"timestamp": at.UnixMilli(), "webhookEvent": event, "issue_event_type_name": kind,
			"user": object{"accountId": "5c5f880629be9642ba529340", "displayName": "Demo Lead"},
			"issue": object{"id": "100" + n, "key": t.Key, "self": "https://demo.example/rest/api/2/issue/100" + n, "fields": object{
				"summary": t.Title, "description": t.Body, "project": object{"key": project}, "created": stamp, "updated": stamp, "labels": []string{},
				"issuetype": object{"name": "Story"},
				"status":    object{"id": stage.jiraID, "name": stage.name, "statusCategory": object{"key": stage.jiraCategory}},
			}},
			"changelog": change,
		}),
	}
}

func linear(t Ticket, stage Stage, from *Stage, at time.Time) Request {
	stamp := at.UTC().Format("2006-01-02T15:04:05.000Z")
	team, n, _ := strings.Cut(t.Key, "-")
	number, _ := strconv.Atoi(n)
	o := object{
		"action": verb(from), "type": "Issue", "createdAt": stamp, "organizationId": "org-demo",
		"actor": object{"id": "user-demo", "type": "user", "name": "Demo Lead"},
		"url":   "https://linear.example/demo/issue/" + t.Key,
		"data": object{
			"id": "linear-" + t.Key, "identifier": t.Key, "number": number, "title": t.Title, "description": t.Body,
			"createdAt": stamp, "updatedAt": stamp, "priority": 2, "labels": []any{}, "stateId": stage.linearID,
			"state": object{"id": stage.linearID, "name": stage.name, "type": stage.linearType},
			"team":  object{"id": "team-" + team, "key": team, "name": team},
		},
		// Linear signs the sending time inside the body.
		"webhookTimestamp": 0, "webhookId": "hook-demo",
	}
	if from != nil {
		o["updatedFrom"] = object{"stateId": from.linearID, "updatedAt": stamp}
	}
	return Request{
		Connection: "demo-linear", Vendor: "linear", ContentType: "application/json", Body: body(o),
		Header: map[string]string{"Linear-Event": "Issue", "Linear-Delivery": "demo-" + t.Key + "-" + stage.linearID},
	}
}

func github(t Ticket, stage Stage, from *Stage, at time.Time) Request {
	stamp := at.UTC().Format(time.RFC3339)
	repo, n, _ := strings.Cut(t.Key, "#")
	number, _ := strconv.Atoi(n)
	action, labels := "opened", []object{}
	o := object{}
	if from != nil {
		action = "labeled"
		o["label"] = object{"name": "in progress"}
		labels = append(labels, object{"name": "in progress"})
	}
	o["action"] = action
	o["issue"] = object{
		"id": 500000 + number, "number": number, "title": t.Title, "body": t.Body, "state": "open", "labels": labels,
		"created_at": stamp, "updated_at": stamp, "user": object{"login": "demo-lead", "type": "User"},
		"html_url": fmt.Sprintf("https://github.example/%s/issues/%d", repo, number),
	}
	o["repository"] = object{"full_name": repo, "private": false}
	o["sender"] = object{"login": "demo-lead", "type": "User"}
	return Request{
		Connection: "demo-github", Vendor: "github", ContentType: "application/json", Body: body(o),
		Header: map[string]string{"X-GitHub-Event": "issues", "X-GitHub-Delivery": "demo-" + n + "-" + action},
	}
}
