// What pages do beyond HTML: refresh themselves, say when they cannot, switch the theme, check packs as one types.
"use strict";
(() => {
  const root = document.documentElement;
  const kept = localStorage.getItem("theme");
  if (kept) root.dataset.theme = kept;
  const theme = document.getElementById("theme");
  if (theme) {
    theme.hidden = false;
    theme.addEventListener("click", () => {
      const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
      root.dataset.theme = dark ? "light" : "dark";
      localStorage.setItem("theme", root.dataset.theme);
    });
  }

  const live = document.getElementById("live");
  const main = document.getElementById("main");
  const editing = document.getElementById("yaml");
  let last = Date.now();
  let wanted = false;

  // At most one refresh a second, and never under a person's hands.
  const busy = () => main.contains(document.activeElement) && /INPUT|SELECT|TEXTAREA|BUTTON/.test(document.activeElement.tagName);
  const refresh = async () => {
    if (!wanted || busy() || document.hidden || editing) return;
    wanted = false;
    try {
      const open = [...main.querySelectorAll("details")].map((d) => d.open);
      const reply = await fetch(location.href, { headers: { accept: "text/html" } });
      if (!reply.ok) throw new Error(reply.status);
      const page = new DOMParser().parseFromString(await reply.text(), "text/html");
      main.replaceChildren(...page.getElementById("main").childNodes);
      [...main.querySelectorAll("details")].forEach((d, i) => { if (i in open) d.open = open[i]; });
      const trust = page.getElementById("trust");
      trust.querySelector("#live").replaceWith(live);
      document.getElementById("trust").replaceChildren(...trust.childNodes);
      last = Date.now();
    } catch { wanted = true; }
  };
  if (live && window.EventSource) {
    const stream = new EventSource("/api/v1/stream");
    const news = () => { wanted = true; };
    for (const topic of ["incident", "breaker", "pack", "delivery"]) stream.addEventListener(topic, news);
    stream.onopen = () => { live.textContent = "● live"; };
    stream.onerror = () => { live.textContent = `◌ stale for ${Math.round((Date.now() - last) / 1000)} s`; };
    setInterval(refresh, 1000);
    setInterval(() => { if (stream.readyState === 1) wanted = true; }, 5000);
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || /INPUT|SELECT|TEXTAREA/.test(event.target.tagName)) return;
    if (event.key === "/") {
      const search = document.querySelector("input[type=search]");
      if (search) { event.preventDefault(); search.focus(); }
    }
  });

  if (editing) {
    let timer;
    const list = document.getElementById("mistakes");
    const line = (tag, text, name) => { const e = document.createElement(tag); e.textContent = text; if (name) e.className = name; return e; };
    editing.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(async () => {
        const reply = await fetch("/api/v1/packs/validate", { method: "POST", body: editing.value, headers: { "content-type": "application/yaml" } });
        const { diagnostics = [], rules = 0 } = await reply.json();
        if (!diagnostics.length) { list.replaceChildren(line("p", `✓ ${rules} rules, no mistakes.`, "good")); return; }
        const items = document.createElement("ol");
        items.className = "mistakes";
        for (const d of diagnostics) {
          const item = line("li", `${d.severity}[${d.code}] line ${d.line}:${d.column} ${d.message}`, d.severity);
          if (d.help) item.append(line("p", d.help, "help"));
          items.append(item);
        }
        list.replaceChildren(items);
      }, 300);
    });
  }
})();
