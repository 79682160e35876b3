// Colours as Airflow's, a part of the page that keeps itself up to date, links that leave the frame.
"use strict";

const LIVE_SECONDS = 3;

const outside = () => {
  try {
    return window.parent !== window && window.parent.document;
  } catch {
    return null; // a frame of another site: the headers forbid it, and it has nothing to read
  }
};

const setTheme = () => {
  const parent = outside();
  const names = parent ? parent.documentElement.classList : [];
  const chosen = ["dark", "light"].find((name) => names.contains?.(name)) ?? localStorage.getItem("theme");
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
  else delete document.documentElement.dataset.theme;
};

setTheme();
if (outside()) {
  new MutationObserver(setTheme).observe(outside().documentElement, { attributeFilter: ["class"] });
}

// The frame may not navigate its parent, but a link of the parent's own may.
document.addEventListener("click", (event) => {
  const link = event.target.closest('a[target="_top"]');
  const parent = outside();
  if (!link || !parent || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  const copy = parent.createElement("a");
  copy.href = link.href;
  parent.body.append(copy);
  copy.click();
  copy.remove();
});

document.addEventListener("submit", (event) => {
  // A download leaves the page as it is.
  if (event.target.method !== "post" || "download" in event.target.dataset) return;
  event.target.querySelector("button").disabled = true;
});

const addCopyButton = (text) => {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = text.dataset.copy;
  button.addEventListener("click", () => {
    text.select();
    // The old way also works in a frame and without TLS.
    button.textContent = document.execCommand("copy") ? "Copied" : "Press Ctrl+C to copy";
  });
  text.after(button);
};

const runsOf = (place) => place.querySelector("[data-runs]")?.dataset.runs;

const refresh = async (url) => {
  if (document.hidden) return;
  const answer = await fetch(url, { credentials: "same-origin" });
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  // A run began or ended: the rest of the page is old.
  if (runsOf(fresh) !== runsOf(document)) location.reload();
  for (const part of fresh.querySelectorAll("[data-part]")) {
    const old = document.querySelector(`[data-part="${part.dataset.part}"]`);
    // A person about to follow a link there must not lose it.
    if (old && !old.contains(document.activeElement)) old.replaceWith(part);
  }
};

document.addEventListener("DOMContentLoaded", () => {
  const live = document.querySelector("[data-live]");
  if (live) {
    const again = () =>
      refresh(live.dataset.live)
        .catch(() => {
          // What is shown stays, and says that it is old.
          const read = document.querySelector('[data-part="read"]');
          read.className = "bad";
          read.textContent = `${read.textContent.split(";")[0]}; cannot be read again, trying …`;
        })
        .finally(() => setTimeout(again, 1000 * LIVE_SECONDS));
    setTimeout(again, 1000 * LIVE_SECONDS);
  }
  document.querySelectorAll("[data-copy]").forEach(addCopyButton);
  const whole = document.querySelector("[data-reload]");
  if (whole) {
    setInterval(() => {
      if (!document.hidden && document.activeElement === document.body) location.reload();
    }, 1000 * Number(whole.dataset.reload));
  }
});
