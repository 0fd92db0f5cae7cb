// A map of very many models: the nearer, the more alike; the largest families have a colour, and their names stand in their middle.

const COLOURED = 5;
const NAMED = 14;

function modelMap({ names, map }) {
  const { x, y, families, share } = map;
  const WIDE = room();
  const [left, right, top, bottom] = [52, 12, 12, 40];
  const wide = WIDE - left - right;
  const [across, up] = [axis(x), axis(y)];
  const tall = Math.min(Math.max((wide * (up.high - up.low)) / (across.high - across.low), 200), 620);
  const placeX = (value) => left + (wide * (value - across.low)) / (across.high - across.low);
  const placeY = (value) => top + tall * (1 - (value - up.low) / (up.high - up.low));
  const picture = s("svg", {
    viewBox: `0 0 ${WIDE} ${top + tall + bottom}`, role: "img", class: "chart",
    "aria-label": `Map of ${names.length} models by the angles between them`,
  });
  for (const tick of up.ticks) {
    picture.append(s("line", { x1: left, x2: WIDE - right, y1: placeY(tick), y2: placeY(tick), class: "grid" }),
      text(left - 6, placeY(tick) + 4, tick.toFixed(up.digits), { class: "end" }));
  }
  for (const tick of across.ticks) {
    picture.append(text(placeX(tick), top + tall + 16, tick.toFixed(across.digits), { class: "middle" }));
  }
  const percent = (part) => `degrees (${(100 * part).toFixed(0)}% of squared distances)`;
  picture.append(text(left + wide / 2, top + tall + bottom - 6, percent(share[0]), { class: "middle title" }),
    text(14, top + tall / 2, percent(share[1]), { class: "middle title", transform: `rotate(-90 14 ${top + tall / 2})` }));

  const members = new Map();
  families.forEach((family, i) => members.set(family, [...(members.get(family) || []), i]));
  const largest = [...members.keys()].filter((family) => family !== null)
    .sort((a, b) => members.get(b).length - members.get(a).length);
  const kindOf = (family) => {
    const rank = largest.indexOf(family);
    return rank >= 0 && rank < COLOURED ? `spot-${rank}` : "spot-other";
  };
  names.forEach((name, i) => picture.append(
    s("circle", { cx: placeX(x[i]), cy: placeY(y[i]), r: names.length > 300 ? 2.2 : 3.5, class: `spot ${kindOf(families[i])}` },
      s("title", {}, families[i] === null ? name : `${name} (${families[i]})`))));
  const middle = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
  const taken = [];
  for (const family of largest.slice(0, NAMED)) {
    const own = members.get(family);
    const label = elided(family, 24, false);
    const at = [placeX(middle(own.map((i) => x[i]))), placeY(middle(own.map((i) => y[i]))), 3.6 * label.length];
    const free = taken.every(([otherX, otherY, half]) => Math.abs(otherY - at[1]) > 14 || Math.abs(otherX - at[0]) > half + at[2]);
    if (!free || at[0] - at[2] < left || at[0] + at[2] > WIDE - right) continue;
    taken.push(at);
    picture.append(text(at[0], at[1] + 4, label, { class: "middle spot-name" }));
  }
  const legend = h("ul", { class: "legend" }, largest.slice(0, COLOURED).map((family, rank) =>
    h("li", {}, h("span", { class: `key spot-${rank}`, "aria-hidden": "true" }), `${family} (${members.get(family).length})`)));
  return [h("figure", {}, picture, h("figcaption", {}, legend)), note("The nearer, the more alike: angles, arccos of the similarity, in the plane."),
    tableOfPicture("Table of the map", () => ({
      caption: "places of models on the map",
      columns: [
        { label: "model", format: "text", values: names },
        { label: "family", format: "text", values: families },
        { label: "to the right", format: "number", values: x },
        { label: "upwards", format: "number", values: y },
      ],
    }))];
}
