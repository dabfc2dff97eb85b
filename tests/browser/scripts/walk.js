() => {
  window.walk = { all: (
// include reachable.js
)(), reached: new Set(), unseen: [] };
  document.addEventListener("focusin", ({ target }) => {
    if (walk.reached.has(target)) return;
    walk.reached.add(target);
    const seen = e => {
      const style = getComputedStyle(e);
      return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0
        || style.boxShadow !== "none";
    };
    const label = target.labels?.[0];
    if (!seen(target) && !(label && seen(label))) walk.unseen.push(target.outerHTML.slice(0, 150));
  });
  document.activeElement.blur();
  return walk.all.length;
}
