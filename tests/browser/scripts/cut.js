() => [...document.querySelectorAll("article code")]
  .filter(e => !e.closest("pre, .pst-scrollable-table-container, .gb-table, .gb-terminal"))
  .filter(e => e.getBoundingClientRect().right > document.documentElement.clientWidth)
  .map(e => e.textContent)
