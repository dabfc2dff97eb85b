figure => {
  const shown = e => getComputedStyle(e).visibility === "visible";
  const captions = [...figure.querySelectorAll(".gb-step-captions > li")];
  const parts = {};
  for (const part of figure.querySelectorAll("svg [class]")) {
    for (const name of part.classList) {
      if (/^(from|until)-\d$/.test(name)) (parts[name] ??= []).push(shown(part));
    }
  }
  return {
    step: Number(figure.querySelector("input:checked").value),
    captions: captions.flatMap((e, n) => (shown(e) ? [n + 1] : [])),
    parts,
    height: figure.getBoundingClientRect().height,
  };
}
