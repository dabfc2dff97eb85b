// Search results show a summary that is fetched from each page. From a disk (file://) browsers
// refuse that, so there the list comes without summaries.
if (location.protocol === "file:" && typeof DOCUMENTATION_OPTIONS !== "undefined") {
  DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
}

// A formula wider than a narrow screen scrolls in its own box: the keyboard must reach it.
function letFormulasBeFocused() {
  for (const formula of document.querySelectorAll("mjx-container[display]")) {
    if (formula.scrollWidth > formula.clientWidth) formula.tabIndex = 0;
    else formula.removeAttribute("tabindex");
  }
}
window.addEventListener("load", () => {
  window.MathJax?.startup?.promise?.then(letFormulasBeFocused);
  window.addEventListener("resize", letFormulasBeFocused);
});
