within => {
// include contrast.js

  const wrong = new Map();
  for (const word of document.querySelectorAll(`:is(${within}) pre span`)) {
    if (!word.textContent.trim() || !word.checkVisibility()) continue;
    const style = getComputedStyle(word);
    const [colour, behind] = [style.color, ground(word)];
    const plain = alpha(colour) === 1 && alpha(behind) === 1 && style.opacity === "1";
    if (plain && contrast(colour, behind) >= 4.5) continue;
    wrong.set(`${colour} on ${behind}`, word.textContent);
  }
  return [...wrong].map(([colours, word]) => `contrast of code: ${colours}, as in ${word}`);
}
