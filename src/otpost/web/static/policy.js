// The sender policy's form, where there are scripts: what Enter presses, where the keyboard goes, and a word before leaving.
"use strict";

(() => {
  const form = () => document.getElementById("policy");
  let touched = false;
  let leaving = false;

  const prepare = () => {
    const here = form();
    if (!here) return;
    const show = here.querySelector("[data-shows]");
    if (show) show.hidden = true;
    touched = false;
  };

  const goToFocus = () => {
    const here = form();
    const wanted = here && here.querySelector("[data-focus]");
    if (wanted) wanted.focus();
  };

  document.addEventListener("change", (event) => {
    const here = form();
    if (!here || event.target.name !== "sender_service") return;
    here.requestSubmit(here.querySelector("[data-shows]"));
  });

  document.addEventListener("input", (event) => {
    if (event.target.form && event.target.form === form()) touched = true;
  });

  document.addEventListener("keydown", (event) => {
    const field = event.target;
    if (event.key !== "Enter" || event.isComposing || field.tagName !== "INPUT" || !form() || field.form !== form()) return;
    const group = field.closest("[data-enter]");
    const button = group && group.querySelector(`button[value="${group.dataset.enter}"]`);
    if (!button) return;
    event.preventDefault();
    button.click();
  });

  // The page that comes back for a form with mistakes is shown as well, and so is a refusal by a limit.
  document.addEventListener("htmx:beforeSwap", (event) => {
    if ([409, 422, 429].includes(event.detail.xhr.status)) {
      event.detail.shouldSwap = true;
      event.detail.isError = false;
    }
  });
  document.addEventListener("htmx:afterSettle", (event) => {
    if (event.detail.elt.id !== "policy") return;
    prepare();
    goToFocus();
  });
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.target === form()) form().setAttribute("aria-busy", "true");
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    leaving = Boolean(event.detail.xhr && event.detail.xhr.getResponseHeader("HX-Redirect"));
  });
  document.addEventListener("submit", () => { leaving = true; });

  window.addEventListener("beforeunload", (event) => {
    const here = form();
    if (!here || leaving || !(touched || "changed" in here.dataset)) return;
    event.preventDefault();
  });

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", prepare);
  else prepare();
})();
