() => {
  const wrong = [];

// include contrast.js

  const page = ground(document.querySelector(".bd-main"));
  let texts = 0;
  const shown = e => getComputedStyle(e).visibility === "visible";
  const look = () => { for (const svg of document.querySelectorAll(".gb-drawing svg")) {
    const frame = svg.getBoundingClientRect();
    const scale = frame.width / svg.viewBox.baseVal.width;
    const boxes = [...svg.querySelectorAll("rect")].filter(shown);
    for (const text of [...svg.querySelectorAll("text")].filter(shown)) {
      texts += 1;
      const said = text.textContent;
      const at = text.getBoundingClientRect();
      if (at.left < frame.left - 1 || at.right > frame.right + 1) wrong.push("cut: " + said);
      const style = getComputedStyle(text);
      const size = parseFloat(style.fontSize) * scale;
      if (size < 10.5) wrong.push(size.toFixed(1) + " pixels: " + said);
      const middle = [(at.left + at.right) / 2, (at.top + at.bottom) / 2];
      const under = boxes.filter(box => {
        const r = box.getBoundingClientRect();
        return r.left <= middle[0] && middle[0] <= r.right
          && r.top <= middle[1] && middle[1] <= r.bottom;
      });
      const after = boxes.filter(box => {
        const r = box.getBoundingClientRect();
        return text.compareDocumentPosition(box) & Node.DOCUMENT_POSITION_FOLLOWING
          && getComputedStyle(box).fill !== "none" && r.left < at.right && at.left < r.right
          && r.top < at.bottom - 2 && at.top + 2 < r.bottom;
      });
      if (after.length) wrong.push("covered: " + said);
      const filled = under.filter(box => getComputedStyle(box).fill !== "none").pop();
      if (filled) {
        const r = filled.getBoundingClientRect();
        if (at.left < r.left || at.right > r.right) wrong.push("out of its box: " + said);
      }
      const behind = filled ? getComputedStyle(filled).fill : page;
      const ratio = contrast(style.fill, behind);
      if (!(ratio >= 4.5)) wrong.push(ratio.toFixed(2) + ":1 " + said);
    }
  } };
  look();
  for (const step of document.querySelectorAll(".gb-steps > input")) {
    step.checked = true;
    look();
  }
  return { texts, wrong };
}
