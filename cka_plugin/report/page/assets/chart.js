// Charts in SVG: lines along depth with their intervals, intervals in rows, lines between two columns.

const WIDEST_CHART = 680;
const room = () => Math.min(WIDEST_CHART, Math.max(290, document.documentElement.clientWidth - 50));
const text = (x, y, words, attributes = {}) => s("text", { x, y, ...attributes }, words);

// Ends and steps of an axis that holds all values.
function axis(values, fixed = null) {
  const finite = values.filter((value) => !missing(value) && Number.isFinite(value));
  let [low, high] = fixed || [Math.min(...finite), Math.max(...finite)];
  if (!finite.length && !fixed) [low, high] = [0, 1];
  if (high - low < 1e-6) [low, high] = [low - 0.05, high + 0.05];
  const rough = (high - low) / 4;
  const size = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((times) => times * size).find((one) => one >= rough);
  const from = Math.floor(low / step + 1e-9) * step;
  let to = Math.ceil(high / step - 1e-9) * step;
  if (high <= 1.001 && to > 1 && low < 1) to = 1; // similarities and shares end at 1, but for rounding
  const ticks = [];
  for (let tick = from; tick <= to + step / 100; tick += step) ticks.push(Math.round(tick / step) * step);
  return { low: from, high: to, ticks, digits: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
}

// Lines over relative depth: series of { name, x, y, low, high, dashed, labels, bad }, and marks of { x, label }.
function lineChart({ title, series, yTitle, fixed = null, marks = [], tall = 240 }) {
  const WIDE = room();
  const [left, right, top, bottom] = [52, 12, 12, 40];
  const values = series.flatMap((one) => [...one.y, ...(one.low || []), ...(one.high || [])]);
  const y = axis(values, fixed);
  const place = (value) => top + (tall - top - bottom) * (1 - (value - y.low) / (y.high - y.low));
  const across = (value) => left + (WIDE - left - right) * value;
  const picture = s("svg", { viewBox: `0 0 ${WIDE} ${tall}`, role: "img", "aria-label": title, class: "chart" });
  for (const tick of y.ticks) {
    picture.append(s("line", { x1: left, x2: WIDE - right, y1: place(tick), y2: place(tick), class: "grid" }),
      text(left - 6, place(tick) + 4, tick.toFixed(y.digits), { class: "end" }));
  }
  for (const tick of [0, 0.25, 0.5, 0.75, 1]) {
    picture.append(text(across(tick), tall - bottom + 16, String(tick), { class: "middle" }));
  }
  picture.append(text(left + (WIDE - left - right) / 2, tall - 6, "relative depth", { class: "middle title" }),
    text(14, top + (tall - top - bottom) / 2, yTitle,
      { class: "middle title", transform: `rotate(-90 14 ${top + (tall - top - bottom) / 2})` }));
  for (const mark of marks) {
    picture.append(s("line", { x1: across(mark.x), x2: across(mark.x), y1: top, y2: tall - bottom, class: "mark" },
      s("title", {}, mark.label)));
  }
  series.forEach((one, number) => {
    const kind = `series-${number}`;
    for (const run of runsOf(one.x.map((_, i) => one.low && !missing(one.low[i]) && !missing(one.high[i])))) {
      const up = run.map((i) => `${across(one.x[i])},${place(one.high[i])}`);
      const back = [...run].reverse().map((i) => `${across(one.x[i])},${place(one.low[i])}`);
      picture.append(s("polygon", { points: [...up, ...back].join(" "), class: `band ${kind}` }));
    }
    for (const run of runsOf(one.y.map((value) => !missing(value)))) {
      const points = run.map((i) => `${across(one.x[i])},${place(one.y[i])}`).join(" ");
      picture.append(s("polyline", { points, class: `line ${kind}${one.dashed ? " dashed" : ""}` }));
      if (one.dashed) continue;
      for (const i of run) {
        if (one.y.length > 80 && !(one.bad && one.bad[i])) continue;
        const bad = one.bad && one.bad[i] ? " bad" : "";
        picture.append(s("circle", { cx: across(one.x[i]), cy: place(one.y[i]), r: bad ? 4.5 : 3, class: `dot ${kind}${bad}` },
          s("title", {}, `${one.labels ? one.labels[i] : ""}: ${written(one.y[i])}`)));
      }
    }
  });
  const legend = h("ul", { class: "legend" }, series.map((one, number) =>
    h("li", {}, h("span", { class: `key series-${number}${one.dashed ? " dashed" : ""}`, "aria-hidden": "true" }), one.name)));
  return h("figure", {}, picture, h("figcaption", {}, legend));
}

// A name of no more letters than this, parts cut to their first letters before its middle is left out.
const elided = (name, most, layer = true) =>
  fitted({ measureText: (words) => ({ width: words.length }) }, name, Math.floor(most), layer);

// Runs of places for which something holds.
function runsOf(holds) {
  const runs = [];
  holds.forEach((yes, i) => {
    if (!yes) return;
    if (i > 0 && holds[i - 1]) runs.at(-1).push(i);
    else runs.push([i]);
  });
  return runs;
}

// Rows of { label, value, low, high, strong } with a line at 0.
function forest({ title, rows, xTitle }) {
  const WIDE = room();
  const [left, right, top, each] = [WIDE < 500 ? 100 : 150, 14, 8, 18];
  const tall = top + rows.length * each + 38;
  const x = axis([0, ...rows.flatMap((row) => [row.value, row.low, row.high])]);
  const across = (value) => left + ((WIDE - left - right) * (value - x.low)) / (x.high - x.low);
  const picture = s("svg", { viewBox: `0 0 ${WIDE} ${tall}`, role: "img", "aria-label": title, class: "chart" });
  for (const tick of x.ticks) {
    picture.append(s("line", { x1: across(tick), x2: across(tick), y1: top, y2: tall - 36, class: tick === 0 ? "zero" : "grid" }),
      text(across(tick), tall - 22, `${(100 * tick).toFixed(0)}`, { class: "middle" }));
  }
  picture.append(text(WIDE / 2, tall - 6, elided(xTitle, WIDE / 6.6, false), { class: "middle title" }));
  rows.forEach((row, i) => {
    const y = top + (i + 0.5) * each;
    const said = `${row.label}: ${written(row.value, "signed")} points [${written(row.low, "signed")}, ${written(row.high, "signed")}]`;
    const label = elided(row.label, left / 7);
    picture.append(text(left - 8, y + 4, label, { class: "end" }));
    if (missing(row.value)) return;
    picture.append(s("line", { x1: across(row.low), x2: across(row.high), y1: y, y2: y, class: row.strong ? "whisker strong" : "whisker" }),
      s("circle", { cx: across(row.value), cy: y, r: 4, class: row.strong ? "point strong" : "point" }, s("title", {}, said)));
  });
  return h("figure", {}, picture);
}

// Lines from the layers of one model to their best matches in another.
function bipartite({ title, names, left, right, links, scale }) {
  const most = Math.max(left.length, right.length);
  const tall = Math.min(Math.max(24 + most * 18, 160), 620);
  const WIDE = room();
  const [from, to] = [0.31 * WIDE, 0.69 * WIDE];
  const place = (position, length) => 28 + (tall - 40) * (length === 1 ? 0.5 : position / (length - 1));
  const picture = s("svg", { viewBox: `0 0 ${WIDE} ${tall}`, role: "img", "aria-label": title, class: "chart" });
  const shorter = (label) => elided(label, from / 6.8);
  picture.append(text(from - 8, 12, elided(names[0], from / 7.6, false), { class: "end title" }),
    text(to + 8, 12, elided(names[1], from / 7.6, false), { class: "title" }));
  for (const link of links) {
    const [y1, y2] = [place(link.from, left.length), place(link.to, right.length)];
    picture.append(s("line", {
      x1: from, x2: to, y1, y2, stroke: rgb(link.value, scale), class: link.dashed ? "link dashed" : "link",
    }, s("title", {}, link.label)));
  }
  const column = (labels, x, side) => {
    const step = Math.max(1, Math.ceil(12 / ((tall - 40) / Math.max(1, labels.length - 1))));
    labels.forEach((label, i) => {
      picture.append(s("circle", { cx: x, cy: place(i, labels.length), r: labels.length > 80 ? 1.5 : 3, class: "stop" }));
      if (i % step === 0) {
        picture.append(text(x + 8 * side, place(i, labels.length) + 4, shorter(label), { class: side < 0 ? "end" : "" }));
      }
    });
  };
  column(left, from, -1);
  column(right, to, 1);
  return h("figure", {}, picture);
}
