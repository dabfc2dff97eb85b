// All groups of machine tabs show the machine that was chosen last, on this page and the next.
// Without this script each group still works by itself.
(() => {
  const KEY = "gpubook-machine";
  const NAMES = ".gb-machines > fieldset input";

  function choose(machine, except) {
    for (const input of document.querySelectorAll(NAMES)) {
      if (input.value === machine && input !== except) input.checked = true;
    }
  }

  // A browser may refuse to keep anything, for pages from a disk for instance.
  function remembered() {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null;
    }
  }

  function remember(machine) {
    try {
      localStorage.setItem(KEY, machine);
    } catch {
      // then it lasts as long as the page
    }
  }

  document.addEventListener("change", ({ target }) => {
    if (!target.matches?.(NAMES)) return;
    const before = target.getBoundingClientRect().top;
    choose(target.value, target);
    remember(target.value);
    // Groups above may have changed their height: what was clicked stays where it is.
    scrollBy({ top: target.getBoundingClientRect().top - before, behavior: "instant" });
  });
  const machine = remembered();
  if (machine) choose(machine);
})();
