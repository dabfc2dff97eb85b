// The page "What if": moves size, format, batch, length and card through the roofline's formula and
// shows the answer beside what was recorded. `product` and `step` are those of
// gpubook/book/what_if.py, and a test compares them. Nothing leaves the page.
(() => {
  const ANSWER = (card, kind, flops, moved, memory) => {
    const peak = card.tflops[kind];
    const costs = [
      ["launch", card.launch_seconds ?? 0],
      ["memory", moved / card.bandwidth],
      ["arithmetic", flops / (peak * 1e12)],
    ];
    const [bound, seconds] = costs.reduce((a, b) => (b[1] > a[1] ? b : a));
    const intensity = flops / moved;
    const roof = Math.min(peak, (intensity * card.bandwidth) / 1e12);
    return {
      flops, moved_bytes: moved, memory_bytes: memory, intensity, roof_tflops: roof, seconds, bound,
    };
  };

  const product = (card, kind, n) => {
    const bytes = n * n * (2 * kind.size + kind.out_size);
    return ANSWER(card, kind.name, 2 * n ** 3, bytes, bytes);
  };

  const step = (card, kind, batch, length, model) => {
    const scores = 12 * model.num_hidden_layers * length * model.hidden_size;
    const flops = batch * length * (6 * model.products + scores);
    const moved = 4 * (3 * model.products + 7 * model.parameters);
    const each =
      model.hidden_size * (16 * kind.size + 2) +
      model.num_attention_heads * length * (2 * kind.size + 1);
    const kept = model.num_hidden_layers * batch * length * each;
    return ANSWER(card, kind.name, flops, moved, 16 * model.parameters + kept);
  };

  globalThis.gpubookWhatIf = { product, step };
  const place = document.getElementById("gb-what-if-data");
  if (!place) return;
  const data = JSON.parse(place.textContent);

  const scaled = (value, units) => {
    const [size, unit] = units.find(([size]) => value >= size) ?? units.at(-1);
    const shown = value / size;
    return `${shown >= 1000 ? Math.round(shown).toLocaleString("en") : shown.toPrecision(3)} ${unit}`;
  };
  const time = (s) => scaled(s, [[1, "s"], [1e-3, "ms"], [1e-6, "µs"]]);
  const bytes = (b) => scaled(b, [[2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"]]);
  const work = (f) => scaled(f, [[1e15, "PFLOP"], [1e12, "TFLOP"], [1e9, "GFLOP"], [1e6, "MFLOP"], [1e3, "kFLOP"]]);
  const short = (value) => value.toLocaleString("en", { maximumSignificantDigits: 3 });
  const WHY = {
    launch: "the launch: the GPU waits for the call",
    memory: "memory: the bytes take longer than the operations",
    arithmetic: "arithmetic: the operations take longer than the bytes",
  };

  const SVG = "http://www.w3.org/2000/svg";
  const draw = (name, attributes, text) => {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  };

  // The axes: FLOP a byte from 1 to 100,000, TFLOP/s from 0.001 to 10,000, both in tens.
  const BOX = { left: 46, right: 334, top: 10, bottom: 200, x: [0, 5], y: [-3, 4] };
  const between = (value, [from, to]) => Math.min(to, Math.max(from, Math.log10(value)));
  const at = (intensity, tflops) => [
    BOX.left + (between(intensity, BOX.x) / 5) * (BOX.right - BOX.left),
    BOX.bottom - ((between(tflops, BOX.y) + 3) / 7) * (BOX.bottom - BOX.top),
  ];
  const axes = () => {
    const made = [];
    for (let tens = 0; tens <= 5; tens += 1) {
      const [x] = at(10 ** tens, 1);
      made.push(draw("line", { x1: x, x2: x, y1: BOX.top, y2: BOX.bottom, class: "grid" }));
      const label = tens < 3 ? 10 ** tens : `${10 ** (tens - 3)}k`;
      made.push(draw("text", { x, y: BOX.bottom + 14, "text-anchor": tens === 5 ? "end" : "middle" }, label));
    }
    for (let tens = -3; tens <= 4; tens += 1) {
      const [, y] = at(1, 10 ** tens);
      made.push(draw("line", { x1: BOX.left, x2: BOX.right, y1: y, y2: y, class: "grid" }));
      const label = (10 ** tens).toLocaleString("en", { maximumFractionDigits: 3 });
      made.push(draw("text", { x: BOX.left - 4, y: y + 4, "text-anchor": "end" }, label));
    }
    made.push(draw("text", { x: BOX.right, y: BOX.bottom + 29, "text-anchor": "end" }, "FLOP a byte; upwards: TFLOP/s"));
    return made;
  };

  const picture = (svg, card, kind, answer, recorded) => {
    const peak = card.tflops[kind.name];
    const ridge = (peak * 1e12) / card.bandwidth;
    const roof = [at(1, card.bandwidth / 1e12), at(ridge, peak), at(1e5, peak)];
    const chosen = at(answer.intensity, answer.flops / answer.seconds / 1e12);
    svg.replaceChildren(
      ...axes(),
      draw("polyline", { points: roof.map((p) => p.join()).join(" "), class: "roof" }),
      ...recorded.map(({ answer: there, seconds }) => {
        const [cx, cy] = at(there.intensity, there.flops / seconds / 1e12);
        return draw("circle", { cx, cy, r: 4, class: "recorded" });
      }),
      draw("circle", { cx: chosen[0], cy: chosen[1], r: 6, class: "chosen" }),
    );
    const count = recorded.length ? `${recorded.length} recorded points` : "no recorded points";
    svg.setAttribute("aria-label",
      `Roofline of ${card.name}, ${kind.title}: ${peak} TFLOP/s from ${short(ridge)} FLOP a byte on; ` +
      `the chosen point at ${short(answer.intensity)} FLOP a byte; ${count}`);
  };

  // One half of the page: its controls, its answer, its picture and its table of recorded points.
  const half = (name, read, compute) => {
    const form = document.getElementById(`gb-what-if-${name}`);
    const field = (key) => form.querySelector(`[name="${key}"]`);
    const rows = [...document.querySelectorAll(`#gb-what-if-${name}-recorded tbody tr`)];

    const show = () => {
      const card = data.cards.find((c) => c.name === field("card").value);
      for (const option of field("kind").options) option.disabled = !(option.value in card.tflops);
      if (field("kind").selectedOptions[0].disabled) field("kind").value = "fp32";
      const kind = data.kinds.find((k) => k.name === field("kind").value);
      const given = read(field);
      const answer = compute(card, kind, given);
      const recorded = data.recorded[name]
        .filter((r) => r.card === card.name && r.kind === kind.name)
        .map((r) => ({ ...r, answer: compute(card, kind, r) }));
      const say = (key, text) => {
        form.querySelector(`[data-say="${key}"]`).textContent = text;
      };
      say("seconds", time(answer.seconds));
      say("bound", WHY[answer.bound] + (card.launch_seconds === null ? " (no launch was recorded on this card)" : ""));
      say("memory", bytes(answer.memory_bytes));
      say("work", `${work(answer.flops)}, ${bytes(answer.moved_bytes)}: ${short(answer.intensity)} FLOP a byte`);
      const same = recorded.find((r) => Object.keys(given).every((key) => r[key] === given[key]));
      say("recorded", same
        ? `${time(same.seconds)} on ${same.machine}, ${short(same.seconds / answer.seconds)} times the least`
        : recorded.length ? "not at this point; the rings are what was recorded" : "nothing, for this card and format");
      picture(form.querySelector("svg"), card, kind, answer, recorded);
      data.recorded[name].forEach((r, i) => {
        rows[i].hidden = recorded.length > 0 && !(r.card === card.name && r.kind === kind.name);
      });
    };
    form.addEventListener("input", show);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.hidden = false;
    show();
  };

  // A slider has places; what each stands for is said beside it and to a screen reader.
  const slider = (field, key) => {
    const input = field(key);
    const value = Number(input.dataset.values.split(" ")[input.value]);
    const text = value.toLocaleString("en");
    input.setAttribute("aria-valuetext", text);
    input.parentElement.querySelector("output").textContent = text;
    return value;
  };

  half("product", (field) => ({ n: slider(field, "n") }), (card, kind, { n }) => product(card, kind, n));
  half(
    "step",
    (field) => ({ batch: slider(field, "batch"), length: slider(field, "length") }),
    (card, kind, { batch, length }) => step(card, kind, batch, length, data.model),
  );
})();
