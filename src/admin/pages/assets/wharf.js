// Keeps the page fresh and sends its forms. Everything shown comes ready from the server; nothing is drawn here.
"use strict";

const FRESH_MS = 2000;
const PICTURE_MS = 5000;
const token = document.querySelector('meta[name="wharf-token"]').content;

/** Asks for this page again and puts in the parts that are different. */
async function refresh() {
  const parts = document.querySelectorAll("[data-live]");
  if (!parts.length) return;
  let answer, text;
  try {
    answer = await fetch(location.pathname, { headers: { accept: "text/html" } });
    text = await answer.text();
  } catch {
    document.body.classList.add("stale");
    return;
  }
  if (answer.status === 401) return location.reload();
  document.body.classList.toggle("stale", !answer.ok && answer.status !== 404);
  if (answer.status === 404) return location.assign("/");
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(text, "text/html");
  for (const part of parts) {
    const next = fresh.querySelector(`[data-live="${part.dataset.live}"]`);
    // A part whose button is at work, or into which somebody has typed, is left alone until that is over.
    if (!next || part.querySelector("[data-busy]") || typed(part) || same(part, next)) continue;
    const focus = part.contains(document.activeElement) ? path(part, document.activeElement) : null;
    const picture = part.querySelector("[data-snapshot]");
    part.replaceChildren(...next.childNodes);
    keepPicture(part, picture);
    if (focus) part.querySelector(focus)?.focus();
  }
}

/** Whether two parts show the same, but for what this script has put in. */
function same(part, next) {
  const bare = (node) => {
    const copy = node.cloneNode(true);
    for (const picture of copy.querySelectorAll("[data-snapshot]")) {
      picture.removeAttribute("src");
      picture.hidden = true;
    }
    for (const said of copy.querySelectorAll("output, [data-snapshot-age]")) said.replaceChildren();
    return copy.innerHTML;
  };
  return bare(part) === bare(next);
}

function typed(part) {
  return [...part.querySelectorAll("input")].some((input) => input.value !== input.defaultValue);
}

function path(part, element) {
  const form = element.closest("form[data-api]");
  return form ? `form[data-api="${form.dataset.api}"] ${element.localName}` : null;
}

function keepPicture(part, before) {
  const now = part.querySelector("[data-snapshot]");
  if (!now || !before?.getAttribute("src")) return;
  now.src = before.src;
  now.hidden = false;
}

async function picture() {
  const image = document.querySelector("[data-snapshot]");
  if (!image) return;
  const age = document.querySelector("[data-snapshot-age]");
  try {
    const answer = await fetch(`${image.dataset.snapshot}?format=jpeg`, { headers: { accept: "application/json" } });
    const body = await answer.json();
    if (!answer.ok) {
      age.textContent = body.error;
      return;
    }
    image.src = body.image;
    image.hidden = false;
    age.textContent = `Taken ${Math.round(body.age_ms / 1000)} s ago.`;
  } catch {
    // The next turn shows whether wharf is there at all.
  }
}

/** Sends a form to the API: `data-api="METHOD /path"`, its fields as JSON. */
async function send(form) {
  const [method, place] = form.dataset.api.split(" ");
  const said = form.querySelector("output");
  const say = (text, wrong) => {
    if (!said) return;
    said.textContent = text;
    said.classList.toggle("wrong", wrong);
  };
  const fields = {};
  for (const [name, value] of new FormData(form)) fields[name] = value === "" ? null : value;
  const button = form.querySelector("button");
  button.disabled = true;
  form.dataset.busy = "";
  try {
    const answer = await fetch(place, {
      method,
      headers: { "content-type": "application/json", "x-wharf-token": token },
      body: method === "DELETE" ? undefined : JSON.stringify(fields),
    });
    const text = await answer.text();
    const body = text ? JSON.parse(text) : {};
    if (!answer.ok) {
      say(body.error || `It answered ${answer.status}.`, true);
      return;
    }
    if (form.dataset.then) {
      location.assign(form.dataset.then.replace("{id}", encodeURIComponent(body.id ?? "")));
      return;
    }
    say(form.dataset.said || (form.closest("[data-live]") ? "" : "Saved."), false);
    if (body.secret) {
      const place = document.querySelector("[data-secret]");
      place.querySelector("code").textContent = body.secret;
      place.hidden = false;
    }
  } catch {
    say("wharf did not answer.", true);
  } finally {
    button.disabled = false;
    delete form.dataset.busy;
  }
  refresh();
}

document.addEventListener("submit", (event) => {
  const form = event.target.closest("form[data-api]");
  if (!form) return;
  event.preventDefault();
  if (form.dataset.confirm && !confirm(form.dataset.confirm)) return;
  send(form);
});

/** Does something now and again, while the page can be seen; the next turn waits for the last one, however that ended. */
async function every(ms, what) {
  for (;;) {
    await new Promise((done) => setTimeout(done, ms));
    if (document.hidden) continue;
    try {
      await what();
    } catch (error) {
      console.error(error);
    }
  }
}

picture();
every(FRESH_MS, refresh);
every(PICTURE_MS, picture);
