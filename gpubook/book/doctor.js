// The box of the page of troubleshooting: compares what was pasted with every rule's symptoms, in
// the form that gpubook/doctor/plain.py gives a text. Nothing leaves the page.
(() => {
  const data = JSON.parse(document.getElementById("gb-doctor-data").textContent);
  const box = document.querySelector(".gb-doctor-search");
  const text = document.getElementById("gb-doctor-text");
  const said = document.getElementById("gb-doctor-said");

  const squeeze = (words) =>
    words
      .replace(/\x1b\[[0-9;?]{0,24}[A-Za-z]/g, "")
      .replace(/\\[nrt]/g, " ")
      .replace(/[^\x21-\x7e]/g, "")
      .replace(/["'`\\|>*]/g, "")
      .toLowerCase();

  const weight = (symptom) => symptom.join("").length;

  // The parts follow one another, each within the gap after the one before.
  const shows = (words, symptom) => {
    for (let at = words.indexOf(symptom[0]); at >= 0; at = words.indexOf(symptom[0], at + 1)) {
      let end = at + symptom[0].length;
      const all = symptom.slice(1).every((part) => {
        const next = words.indexOf(part, end);
        if (next < 0 || next - end > data.gap) return false;
        end = next + part.length;
        return true;
      });
      if (all) return true;
    }
    return false;
  };

  // A few words are enough: the beginning of a symptom counts, too.
  const begins = (words, symptom) => words.length >= 12 && symptom.some((p) => p.includes(words));

  const find = (words, test) =>
    data.rules
      .map((rule) => [rule, Math.max(0, ...rule.symptoms.filter((s) => test(words, s)).map(weight))])
      .filter(([, found]) => found > 0)
      .sort((a, b) => b[1] - a[1])
      .map(([rule]) => rule);

  const look = () => {
    const words = squeeze(text.value);
    const whole = find(words, shows);
    const found = whole.length ? whole : find(words, begins);
    const ids = new Set(found.map((rule) => rule.id));
    for (const rule of data.rules)
      document.getElementById(rule.id).hidden = ids.size > 0 && !ids.has(rule.id);
    said.replaceChildren();
    if (!words) return;
    if (!found.length) {
      said.textContent = "No rule knows this message; all are shown.";
      return;
    }
    said.append(found.length === 1 ? "This is known: " : `${found.length} are known: `);
    found.forEach((rule, n) => {
      const link = document.createElement("a");
      link.href = `#${rule.id}`;
      link.textContent = rule.title.replace(/`/g, "");
      said.append(n ? "; " : "", link);
    });
  };

  // Scripts stand before the sections, which are there once the page is read.
  const start = () => {
    box.hidden = false;
    text.addEventListener("input", look);
    look();
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
