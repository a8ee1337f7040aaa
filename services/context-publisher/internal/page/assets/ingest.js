// The lists that the ingestor owns, connections and dead letters, asked of /v1 with the
// signed-in person's cookie. Everything is written as text.
"use strict";
(() => {
  const cell = (row, text, kind) => {
    const td = row.insertCell();
    const at = kind ? td.appendChild(document.createElement(kind)) : td;
    at.textContent = text;
    return at;
  };
  const time = (row, at) => {
    if (!at) { cell(row, "never", "span").className = "dim"; return; }
    const t = cell(row, new Date(at).toLocaleString(), "time");
    t.dateTime = at;
  };
  const say = (place, text) => {
    const p = document.createElement("p");
    p.className = "dim";
    p.textContent = text;
    place.replaceChildren(p);
  };
  const ask = async (url, method) => {
    const answer = await fetch(url, { method, headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error(answer.status === 403 ? "This token may not see them: it needs the scope administer." : `The ingestor answered ${answer.status}.`);
    return answer.status === 204 ? null : answer.json();
  };
  const fill = async (place, template, empty, line) => {
    try {
      const { items } = await ask(place.dataset.from);
      if (items.length === 0) { say(place, empty); return; }
      const table = document.getElementById(template).content.firstElementChild.cloneNode(true);
      for (const item of items) line(table.tBodies[0].insertRow(), item);
      place.replaceChildren(table);
    } catch (err) {
      say(place, err instanceof TypeError ? "The ingestor cannot be reached. It serves this list; see deploy/proxy." : err.message);
    }
  };

  const connections = document.getElementById("connections");
  const look = () => fill(connections, "connection", "No connection is configured yet.", (row, c) => {
    const name = cell(row, c.id, "b");
    name.after(" ", c.type);
    const state = cell(row, c.state, "span");
    state.className = c.state === "ok" ? "status in_progress" : c.state === "waiting" ? "status" : "flag warm";
    if (c.fix) { const fix = document.createElement("p"); fix.className = "dim"; fix.textContent = c.fix; state.after(fix); }
    time(row, c.last_delivery);
    const progress = cell(row, filled.get(c.id) ?? "", "span");
    progress.className = "dim";
    const how = document.createElement("button");
    how.type = "button";
    how.className = "quiet small";
    how.textContent = "How far?";
    how.setAttribute("aria-label", `How far is the backfill of ${c.id}?`);
    how.addEventListener("click", async () => { filled.set(c.id, await filling(c.id)); progress.textContent = filled.get(c.id); });
    if (c.type === "slack" || c.type === "intercom" || c.type === "zendesk") progress.after(" ", how);
    const address = `${location.origin}/webhooks/${encodeURIComponent(c.id)}`;
    const line = cell(row, "", "div");
    line.className = "copy";
    line.appendChild(document.createElement("code")).textContent = address;
    const copy = line.appendChild(document.createElement("button"));
    copy.type = "button";
    copy.className = "quiet small";
    copy.textContent = "Copy";
    copy.setAttribute("aria-label", `Copy the address of ${c.id}`);
    copy.addEventListener("click", async () => {
      try { await navigator.clipboard.writeText(address); copy.textContent = "Copied"; } catch { getSelection().selectAllChildren(line.firstChild); }
    });
  });

  // How far a backfill is, is asked for when somebody wants to know: most connections never
  // had one.
  const filled = new Map();
  const filling = async (id) => {
    const answer = await fetch(`/v1/connections/${encodeURIComponent(id)}/backfill`);
    if (answer.status === 403) return "needs the scope administer";
    if (answer.status === 404) return "never asked for";
    if (!answer.ok) return `the ingestor answered ${answer.status}`;
    const b = await answer.json();
    const many = `${b.report?.conversations ?? 0} conversations, ${b.report?.messages ?? 0} messages`;
    return b.state === "failed" ? `failed: ${b.problem ?? ""}` : `${b.state}: ${many}`;
  };
  // The list is left alone while somebody is at work in it.
  const busy = () => connections.contains(document.activeElement) || connections.matches(":hover");
  if (connections) {
    look();
    setInterval(() => { if (!busy()) look(); }, 5000);
  }

  const letters = document.getElementById("dead-letters");
  const list = () => fill(letters, "dead-letter", "None: nothing was given up on.", (row, d) => {
    cell(row, `${d.type} ${d.durable}`);
    cell(row, d.reason);
    cell(row, String(d.attempts));
    time(row, d.at);
    const act = row.insertCell();
    for (const [word, method, path] of [["Retry", "POST", "/retry"], ["Drop", "DELETE", ""]]) {
      const b = act.appendChild(document.createElement("button"));
      b.type = "button";
      b.className = "quiet small";
      b.textContent = word;
      b.addEventListener("click", async () => {
        if (word === "Drop" && !confirm("Drop this event for good?")) return;
        try { await ask(`/v1/dead-letters/${encodeURIComponent(d.id)}${path}`, method); await list(); } catch (err) { say(letters, err.message); }
      });
    }
  });
  if (letters) list();
})();
