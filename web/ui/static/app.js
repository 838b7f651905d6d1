// What pages do beyond HTML: refresh themselves, say when they cannot, switch theme and time zone, move by keyboard, check
// packs as one types. Everything here is an extra: pages are whole without it.
"use strict";
(() => {
  const root = document.documentElement;
  const by = (id) => document.getElementById(id);
  const main = by("main");
  const make = (tag, text, name) => { const e = document.createElement(tag); e.textContent = text; if (name) e.className = name; return e; };
  const kept = (name) => { try { return localStorage.getItem(name); } catch { return null; } };
  const keep = (name, value) => { try { localStorage.setItem(name, value); } catch { /* private windows */ } };

  // The theme stands in a cookie, so that the next page comes in it at once.
  const theme = by("theme");
  theme.hidden = false;
  theme.addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    fetch("/theme", { method: "POST", body: new URLSearchParams({ theme: root.dataset.theme, back: "/" }), redirect: "manual" });
  });

  // Times: UTC as they come, local on demand.
  const zone = by("zone");
  let local = kept("zone") === "local";
  const two = (n) => String(n).padStart(2, "0");
  const times = (within) => {
    for (const e of within.querySelectorAll("time[datetime]:not(.ago)")) {
      e.dataset.utc ??= e.textContent;
      const at = new Date(e.dateTime);
      const day = e.dataset.utc.length > 8 ? `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ` : "";
      e.textContent = local && !isNaN(at) ? `${day}${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}` : e.dataset.utc;
    }
    for (const e of document.querySelectorAll(".zone")) e.textContent = local ? "local time" : "UTC";
    zone.textContent = local ? "local" : "UTC";
  };
  zone.hidden = false;
  zone.title = "Show times in UTC or in local time";
  zone.addEventListener("click", () => { local = !local; keep("zone", local ? "local" : "utc"); times(document); });
  if (local) times(document);

  // Live: news come over the stream, the page is fetched again and what differs is put in its place.
  const live = by("live");
  const news = by("news");
  const editing = by("yaml");
  let last = Date.now();
  let wanted = false;
  let waiting = 0;
  let state = "";
  const say = (now, text) => {
    if (now !== state) { state = now; live.classList.toggle("stale", now === "stale"); live.textContent = text; }
  };
  const typing = () => { const at = document.activeElement; return at && main.contains(at) && /^(INPUT|SELECT|TEXTAREA)$/.test(at.tagName) && at.type !== "checkbox"; };
  const ticked = () => main.querySelector("tbody input:checked");
  const filled = () => [...main.querySelectorAll("form[method=post] input:not([type=hidden]):not([type=checkbox])")].some((e) => e.value !== e.defaultValue);
  const ids = (within) => new Set([...within.querySelectorAll("tr[data-id]")].map((row) => row.dataset.id));
  // Nothing moves under a person's hands: not under the pointer, not in a form, not a selection.
  const busy = () => main.querySelector(".rows tbody tr:hover") || ticked() || String(getSelection()) || (ids(main).size && scrollY > 600);
  const mark = (details, at) => details.dataset.key || details.closest("section")?.id + at;
  const swap = (page) => {
    const before = ids(main);
    const open = new Map([...main.querySelectorAll("details")].map((d, i) => [mark(d, i), d.open]));
    const at = document.activeElement;
    const focused = at && main.contains(at) && (at.getAttribute("href") || at.name);
    const row = main.querySelector("tr.at")?.dataset.id;
    const fresh = page.getElementById("main");
    fresh.querySelectorAll("details").forEach((d, i) => { const was = open.get(mark(d, i)); if (was !== undefined) d.open = was; });
    for (const e of fresh.querySelectorAll("tr[data-id]")) {
      if (before.size && !before.has(e.dataset.id)) e.classList.add("new");
      if (row && e.dataset.id === row) e.classList.add("at");
    }
    if (local) times(fresh);
    fresh.querySelector("#news").remove();
    while (main.lastChild !== news) main.lastChild.remove();
    main.append(...fresh.childNodes);
    if (focused) [...main.querySelectorAll("a,button,input,summary")].find((e) => (e.getAttribute("href") || e.name) === focused)?.focus({ preventScroll: true });
  };
  const around = (page) => {
    by("trust").replaceChildren(...page.getElementById("trust").childNodes);
    document.querySelector("header nav").replaceChildren(...page.querySelector("header nav").childNodes);
    document.title = page.title;
    times(by("trust"));
  };
  const refresh = async (asked) => {
    if (!wanted || document.hidden || (!asked && (typing() || filled()))) return;
    wanted = false;
    try {
      const reply = await fetch(location.href, { headers: { accept: "text/html" } });
      if (!reply.ok) throw new Error(reply.status);
      const page = new DOMParser().parseFromString(await reply.text(), "text/html");
      last = Date.now();
      around(page);
      if (editing) return;
      if (!asked && busy()) {
        const before = ids(main);
        waiting = [...ids(page.getElementById("main"))].filter((id) => !before.has(id)).length;
        if (waiting && !news.firstChild) {
          const button = make("button", "");
          button.addEventListener("click", () => { wanted = true; news.replaceChildren(); scrollTo({ top: 0 }); refresh(true); });
          news.replaceChildren(button);
        }
        if (waiting) news.firstChild.textContent = `${waiting} new — show`;
        return;
      }
      news.replaceChildren();
      swap(page);
    } catch { wanted = true; }
  };
  if (window.EventSource && main) {
    const stream = new EventSource("/api/v1/stream");
    for (const topic of ["incident", "breaker", "pack", "delivery", "reset"]) stream.addEventListener(topic, () => { wanted = true; });
    stream.onopen = () => { last = Date.now(); say("live", "● live"); };
    setInterval(() => {
      refresh(false);
      if (stream.readyState === 1) { say("live", "● live"); return; }
      const quiet = Math.round((Date.now() - last) / 1000);
      if (quiet > 2) {
        say("stale", "");
        live.textContent = "◌ not refreshed ";
        const since = make("span", `for ${quiet} s`);
        since.setAttribute("aria-hidden", "true");
        live.append(since);
      }
    }, 1000);
    setInterval(() => { if (stream.readyState === 1) wanted = true; }, 5000);
  }

  // Keyboard.
  const help = by("help");
  const on = by("keys-on");
  on.checked = kept("keys") !== "off";
  on.addEventListener("change", () => keep("keys", on.checked ? "on" : "off"));
  by("keys").hidden = false;
  by("keys").addEventListener("click", () => help.showModal());
  let going = 0;
  const move = (step) => {
    const rows = [...main.querySelectorAll(".rows tbody tr")];
    if (!rows.length) return;
    const at = rows.findIndex((row) => row.classList.contains("at"));
    const next = rows[Math.min(Math.max(at + step, 0), rows.length - 1)];
    rows[at]?.classList.remove("at");
    next.classList.add("at");
    next.querySelector(".what a")?.focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest" });
  };
  // What a button on the page does: of the incident that is shown, or of those that are ticked, else of the row at hand.
  const act = (what) => {
    const button = main.querySelector(`form button[name=what][value=${what}]`);
    const rows = button?.form.querySelectorAll("tbody input[type=checkbox]") ?? [];
    if (rows.length && ![...rows].some((box) => box.checked)) {
      const own = button.form.querySelector("tr.at input[type=checkbox]");
      if (!own) return;
      own.checked = true;
    }
    button?.click();
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || help.open || !on.checked) return;
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) && event.target.type !== "checkbox") return;
    const key = event.key;
    if (Date.now() - going < 1500) {
      going = 0;
      const page = document.querySelector(`header nav a[data-key="${CSS.escape(key)}"]`);
      if (page) { event.preventDefault(); location.href = page.href; return; }
    }
    if (key === "g") going = Date.now();
    else if (key === "j") move(1);
    else if (key === "k") move(-1);
    else if (key === "x") main.querySelector("tr.at input[type=checkbox]")?.click();
    else if (key === "a") act("acknowledge");
    else if (key === "e") act("resolve");
    else if (key === "c") { const note = main.querySelector(".actions input[name=text]"); if (note) { event.preventDefault(); note.focus(); } }
    else if (key === "?") help.showModal();
    else if (key === "/") {
      event.preventDefault();
      const search = main.querySelector("input[type=search]");
      if (search) search.focus(); else location.href = "/incidents#search";
    }
  });
  if (location.hash === "#search") main.querySelector("input[type=search]")?.focus();

  // The editor: line numbers, mistakes as one types, and a way to their lines.
  if (editing) {
    const lines = by("lines");
    const list = by("mistakes");
    const saved = editing.value;
    let found = [...list.querySelectorAll("li")].map((e) => ({ line: Number(e.dataset.line), severity: e.className }));
    let sending = false;
    const gutter = () => {
      const count = editing.value.split("\n").length;
      const out = document.createDocumentFragment();
      for (let n = 1; n <= count; n++) {
        const here = found.filter((d) => d.line === n);
        const text = `${n}\n`;
        out.append(here.length ? make(here.some((d) => d.severity === "error") ? "b" : "i", text) : text);
      }
      lines.replaceChildren(out);
      lines.scrollTop = editing.scrollTop;
    };
    const go = (n) => {
      const before = editing.value.split("\n").slice(0, n - 1).join("\n").length + (n > 1 ? 1 : 0);
      const end = editing.value.indexOf("\n", before);
      editing.focus();
      editing.setSelectionRange(before, end < 0 ? editing.value.length : end);
      editing.scrollTop = Math.max(0, (n - 6) * 20);
    };
    const show = (diagnostics, rules) => {
      found = diagnostics;
      gutter();
      if (!diagnostics.length) { list.replaceChildren(make("p", `✓ ${rules} rules, no mistakes.`, "good")); return; }
      const items = make("ol", "", "mistakes");
      const text = editing.value.split("\n");
      for (const d of diagnostics) {
        const item = make("li", "", d.severity);
        const at = make("button", `line ${d.line}:${d.column}`);
        at.type = "button";
        at.addEventListener("click", () => go(d.line));
        item.append(make("b", `${d.severity}[${d.code}]`), " ", at, ` ${d.message}`, make("pre", text[d.line - 1] ?? ""));
        if (d.help) item.append(make("p", d.help, "help"));
        items.append(item);
      }
      list.replaceChildren(items);
    };
    let timer;
    let turn = 0;
    editing.addEventListener("input", () => {
      gutter();
      clearTimeout(timer);
      timer = setTimeout(async () => {
        const mine = ++turn;
        try {
          const reply = await fetch("/api/v1/packs/validate", { method: "POST", body: editing.value, headers: { "content-type": "application/yaml" } });
          const { diagnostics = [], rules = 0 } = await reply.json();
          if (mine === turn) show(diagnostics, rules);
        } catch { list.replaceChildren(make("p", "Cannot check: Invar does not answer.", "warn")); }
      }, 300);
    });
    editing.addEventListener("keydown", (event) => {
      // Tab indents; Escape then Tab leaves.
      if (event.key === "Escape") { editing.dataset.leave = "1"; return; }
      if (event.key === "Tab" && !event.shiftKey && !editing.dataset.leave) { event.preventDefault(); editing.setRangeText("  ", editing.selectionStart, editing.selectionEnd, "end"); editing.dispatchEvent(new Event("input")); }
      delete editing.dataset.leave;
    });
    editing.addEventListener("scroll", () => { lines.scrollTop = editing.scrollTop; });
    editing.form.addEventListener("submit", () => { sending = true; });
    addEventListener("beforeunload", (event) => { if (!sending && editing.value !== saved) event.preventDefault(); });
    gutter();
    if (editing.dataset.line) go(Number(editing.dataset.line));
  }
})();
