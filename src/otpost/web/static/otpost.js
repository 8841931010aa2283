// What plain forms cannot do: copy a code, take the keyboard to what went wrong, say what has arrived, stay in place.
"use strict";

const say = (words) => {
  const place = document.getElementById("said");
  if (place) {
    place.textContent = "";
    window.setTimeout(() => { place.textContent = words; }, 50);
  }
};

// What stands on the page by the id of its place: only a change of it is said.
const states = {};

const prepare = (root) => {
  for (const button of root.querySelectorAll("[data-copy]")) button.hidden = false;
  for (const field of root.querySelectorAll("[data-select]")) field.addEventListener("focus", () => field.select());
  const told = root.matches && root.matches("[data-say]") ? root : root.querySelector("[data-say]");
  if (told && root !== document) say(told.dataset.say);
  const looked = root.matches && root.matches("[data-state]") ? [root] : root.querySelectorAll("[data-state]");
  for (const one of looked) {
    if (one.id in states && states[one.id] !== one.dataset.state) say(`${one.dataset.state}.`);
    states[one.id] = one.dataset.state;
  }
};

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.classList.add("is-copied");
    say(document.getElementById("said").dataset.copied);
    window.setTimeout(() => button.classList.remove("is-copied"), 2000);
  } catch {
    say(document.getElementById("said").dataset.notCopied);
  }
});

document.addEventListener("submit", (event) => {
  const asked = event.target.dataset.confirm;
  if (asked && !window.confirm(asked)) event.preventDefault();
});

document.addEventListener("keydown", (event) => {
  const menu = document.querySelector(".side-narrow[open]");
  if (event.key === "Escape" && menu) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

// A session that has ended is begun again in place.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.xhr.status === 401) {
    event.detail.shouldSwap = true;
    event.detail.isError = false;
  }
});
document.addEventListener("htmx:load", (event) => prepare(event.detail.elt));

const begin = () => {
  prepare(document);
  const wrong = document.querySelector("[data-focus]");
  if (wrong) wrong.focus();
};
if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
else begin();
