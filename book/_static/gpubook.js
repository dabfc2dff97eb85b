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
