// The box of the page of troubleshooting: compares what was pasted with every rule's symptoms, in
// the form that gpubook/doctor/plain.py gives a text. Nothing leaves the page.
(() => {
  const data = JSON.parse(document.getElementById("gb-doctor-data").textContent);
  const box = document.querySelector(".gb-doctor-search");
  const text = document.getElementById("gb-doctor-text");
  const said = document.getElementById("gb-doctor-said");

  // What is left out stands together in most texts, so whole runs of it are dropped at once.
  const squeeze = (words) =>
    words
      .replace(/\x1b\[[0-9;?]{0,24}[A-Za-z]/g, "")
      .replace(/\\[nrt]/g, " ")
      .replace(/(?:[^\x21-\x7e]|["'`\\|>*])+/g, "")
      .toLowerCase();

  // As in gpubook/doctor/rules.py: literals with bounded gaps, which take time linear in the text.
  const escaped = (part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  for (const rule of data.rules)
    rule.symptoms = rule.symptoms.map((parts) => ({
      parts,
      longest: parts.reduce((a, b) => (b.length > a.length ? b : a)),
      weight: parts.join("").length,
      pattern: new RegExp(parts.map(escaped).join(`[^\\0]{0,${data.gap}}?`)),
    }));

  const shows = (words, symptom) => words.includes(symptom.longest) && symptom.pattern.test(words);

  // A few words are enough: the beginning of a symptom counts, too.
  const begins = (words, { parts }) => words.length >= 12 && parts.some((p) => p.includes(words));

  // What follows from another problem comes after it, as in gpubook/doctor/diagnose.py.
  const ranked = (found) => {
    const follows = new Set(found.flatMap(({ rule }) => rule.explains));
    return found
      .sort((a, b) => follows.has(a.rule.id) - follows.has(b.rule.id) || b.weight - a.weight)
      .map(({ rule }) => rule);
  };

  // The search of a long log gives way to the next key every few milliseconds, and to the search
  // that this key starts.
  let latest = 0;
  const find = async (words, test) => {
    const mine = latest;
    const found = [];
    let since = performance.now();
    for (const rule of data.rules) {
      const weights = rule.symptoms.filter((s) => test(words, s)).map((s) => s.weight);
      if (weights.length) found.push({ rule, weight: Math.max(...weights) });
      if (performance.now() - since < 8) continue;
      await new Promise((done) => setTimeout(done));
      if (mine !== latest) return null;
      since = performance.now();
    }
    return ranked(found);
  };

  const look = async () => {
    latest += 1;
    const words = squeeze(text.value);
    let found = words ? await find(words, shows) : [];
    if (found?.length === 0) found = await find(words, begins);
    if (found) show(found, words);
  };

  const fold = (id) => document.getElementById(id)?.querySelector("details");

  const show = (found, words) => {
    const ids = new Set(found.map((rule) => rule.id));
    for (const rule of data.rules) {
      document.getElementById(rule.id).hidden = ids.size > 0 && !ids.has(rule.id);
      if (ids.size) fold(rule.id).open = ids.has(rule.id);
    }
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

  // A long log is searched when no key has come for a moment.
  let waiting = 0;
  const soon = () => {
    clearTimeout(waiting);
    if (text.value.length < 20000) look();
    else waiting = setTimeout(look, 150);
  };

  // Who follows a link to a rule wants to read it.
  const unfold = () => {
    const aim = fold(location.hash.slice(1));
    if (aim) aim.open = true;
  };

  // Scripts stand before the sections, which are there once the page is read.
  const start = () => {
    box.hidden = false;
    addEventListener("hashchange", unfold);
    unfold();
    text.addEventListener("input", soon);
    look();
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
