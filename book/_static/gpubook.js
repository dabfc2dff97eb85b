// Search results show a summary that is fetched from each page. From a disk (file://) browsers
// refuse that, so there the list comes without summaries.
if (location.protocol === "file:" && typeof DOCUMENTATION_OPTIONS !== "undefined") {
  DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
}
