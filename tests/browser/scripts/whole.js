() => {
  const wrong = [];
  for (const image of document.images) {
    if (!image.complete || !image.naturalWidth) wrong.push("image " + image.src);
  }
  for (const maths of document.querySelectorAll(".math")) {
    if (!maths.querySelector("mjx-container")) wrong.push("formula " + maths.textContent);
  }
  for (const error of document.querySelectorAll("mjx-merror")) {
    wrong.push("formula error " + error.textContent);
  }
  for (const font of document.fonts) {
    if (font.status === "error") wrong.push("font " + font.family);
  }
  for (const drawing of document.querySelectorAll(".gb-drawing svg, .gb-figure svg")) {
    if (!drawing.checkVisibility()) continue;
    if (drawing.getBoundingClientRect().height < 20) wrong.push("flat drawing");
    if (!drawing.getAttribute("aria-label")) wrong.push("drawing without a text");
  }
  return wrong;
}
