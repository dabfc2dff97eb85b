() => {
  const room = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= room) return [];
  const wide = [...document.querySelectorAll("main *")]
    .filter(e => e.getBoundingClientRect().right > room + 1)
    .slice(0, 5)
    .map(e => e.tagName + "." + e.className + " to " + e.getBoundingClientRect().right);
  return ["page of " + document.documentElement.scrollWidth + " pixels", ...wide];
}
