// Search results show a summary that is fetched from each page. From a disk (file://) browsers
// refuse that, so there the list comes without summaries.
if (location.protocol === "file:" && typeof DOCUMENTATION_OPTIONS !== "undefined") {
  DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
}

// A formula or plot wider than a narrow screen scrolls in its own box: the keyboard must reach it.
function letWideThingsBeFocused() {
  for (const wide of document.querySelectorAll("mjx-container[display], .gb-figure")) {
    if (wide.scrollWidth > wide.clientWidth) wide.tabIndex = 0;
    else wide.removeAttribute("tabindex");
  }
}
window.addEventListener("load", () => {
  letWideThingsBeFocused();
  window.MathJax?.startup?.promise?.then(letWideThingsBeFocused);
  window.addEventListener("resize", letWideThingsBeFocused);
});

// On a narrow screen the tables of contents are dialogs. Who leaves one with the keyboard is back
// where it was opened.
for (const side of ["primary", "secondary"]) {
  const dialog = document.getElementById(`pst-${side}-sidebar-modal`);
  let opener = null;
  document.querySelector(`.${side}-toggle`)?.addEventListener("click", ({ currentTarget }) => {
    opener = currentTarget;
  });
  dialog?.addEventListener("close", () => setTimeout(() => opener?.focus()));
}

// Paper is white: a page is printed in the light theme, whatever is on the screen.
// What is folded is printed open.
let screenTheme = null;
let folded = [];
window.addEventListener("beforeprint", () => {
  screenTheme = document.documentElement.dataset.theme;
  document.documentElement.dataset.theme = "light";
  folded = [...document.querySelectorAll("details:not([open])")];
  for (const box of folded) box.open = true;
});
window.addEventListener("afterprint", () => {
  if (screenTheme) document.documentElement.dataset.theme = screenTheme;
  for (const box of folded) box.open = false;
});

// A guess stands beside the result once it was written down. It stays in this page.
document.addEventListener("change", ({ target }) => {
  if (!target.closest?.(".gb-guess")) return;
  for (const result of document.querySelectorAll(`.gb-result[data-guess="${target.name}"]`)) {
    let yours = result.querySelector(".gb-yours");
    if (!yours) result.append((yours = Object.assign(document.createElement("span"), { className: "gb-yours" })));
    yours.textContent = target.value ? ` Your guess: ${target.value}.` : "";
  }
});
