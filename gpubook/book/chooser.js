// The chooser of drivers, images and cards: looks up the answers that were worked out when the page
// was made. Nothing leaves the page.
(() => {
  const data = JSON.parse(document.getElementById("gb-chooser-data").textContent);
  const form = document.getElementById("gb-chooser");
  const [verdict, text] = form.querySelectorAll("[role=status] > *");

  // What a typed driver changes: the sentence about it, and whether the rest still counts.
  const ofDriver = (typed, { first, last }) => {
    const branch = Number.parseInt(typed, 10);
    if (!typed.trim() || first === undefined) return ["", true];
    if (!(branch > 0)) return [` A driver is a number such as 580.95.05, not ${typed}.`, true];
    if (branch < first) return [` Yours, ${branch}, is too old.`, false];
    if (last !== null && branch > last) return [` Yours, ${branch}, no longer knows this card.`, false];
    return [` Yours, ${branch}, does.`, true];
  };

  const show = () => {
    const capability = Object.values(data.cards)[form.card.selectedIndex];
    const found = data.answers[data.pairs[capability][form.image.selectedIndex]];
    const [sentence, serves] = ofDriver(form.driver.value, found);
    verdict.textContent = serves ? `${found.verdict}.` : "Does not run with your driver.";
    text.textContent = found.drivers + sentence + found.rest;
  };
  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  show();
})();
