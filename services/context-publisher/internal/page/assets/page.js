// Live updates. The page works without this file. When something changes on the server,
// the parts marked data-refresh are fetched again and replaced, but never under the
// pointer, the focus or a selection, and never while something is chosen or typed: then
// a button offers the news instead. Scroll position and open details stay as they are.
"use strict";
(() => {
  const address = document.body.dataset.live;
  const news = document.getElementById("news");
  const state = document.getElementById("link");
  if (!address || !news || !window.EventSource) return;

  const parts = () => [...document.querySelectorAll("[data-refresh][id]")];

  // busy tells whether a person is at work in a part.
  const busy = (part) => {
    if (part.matches(":hover") || part.contains(document.activeElement)) return true;
    const selection = document.getSelection();
    if (selection && !selection.isCollapsed && part.contains(selection.anchorNode)) return true;
    return part.querySelector("input:checked") !== null;
  };

  const replace = (fresh, force) => {
    let held = false;
    for (const part of parts()) {
      const next = fresh.getElementById(part.id);
      if (!next || next.outerHTML === part.outerHTML) continue;
      const open = new Set([...part.querySelectorAll("details[open][id]")].map((d) => d.id));
      const marks = new Map([...part.querySelectorAll("[data-mark][id]")].map((e) => [e.id, e.dataset.mark]));
      for (const d of next.querySelectorAll("details[id]")) d.open = open.has(d.id);
      for (const told of part.querySelectorAll("details[open][id] .change")) {
        const place = next.querySelector(`#${CSS.escape(told.closest("details").id)} [data-why]`);
        if (place) { place.replaceChildren(told.cloneNode(true)); delete place.dataset.why; }
      }
      if (next.outerHTML === part.outerHTML) continue;
      if (busy(part) && !force) { held = true; continue; }
      for (const e of next.querySelectorAll("[data-mark][id]")) {
        if (marks.get(e.id) !== e.dataset.mark) e.classList.add("fresh");
      }
      part.replaceWith(next);
    }
    const footer = fresh.getElementById("fresh");
    if (footer) document.getElementById("fresh").replaceWith(footer);
    news.hidden = !held;
  };

  let asking = false, again = false;
  const refresh = async (force) => {
    if (asking) { again = true; return; }
    asking = true;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (answer.redirected && new URL(answer.url).pathname === "/login") { location.reload(); return; }
      if (answer.ok) replace(new DOMParser().parseFromString(await answer.text(), "text/html"), force);
    } catch {
      // The server is away; the stream says so, and comes back by itself.
    } finally {
      asking = false;
      if (again) { again = false; soon(); }
    }
  };

  let timer = 0;
  const soon = () => { clearTimeout(timer); timer = setTimeout(() => refresh(false), 800); };

  news.addEventListener("click", () => refresh(true));
  const stream = new EventSource(address);
  for (const kind of ["clusters.changed", "brief.revised", "reset"]) stream.addEventListener(kind, soon);
  stream.onopen = () => { state.textContent = "live"; state.className = "live"; };
  stream.onerror = () => { state.textContent = "reconnecting"; state.className = ""; };
})();

// What would change a rank costs a question to the store, so it is asked when somebody opens
// the arithmetic. Without this file the link there leads to the cluster's own page.
(() => {
  document.addEventListener("toggle", async (event) => {
    const place = event.target.open && event.target.querySelector("[data-why]");
    if (!place) return;
    const from = place.dataset.why;
    delete place.dataset.why;
    try {
      const answer = await fetch(from, { headers: { Accept: "text/html" } });
      if (!answer.ok || answer.redirected) return;
      const part = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector(".change");
      if (part) place.replaceChildren(part);
    } catch {
      // The link stays.
    }
  }, true);
})();
