// The page on a check: what moved along depth, the layers worst first, classes, changed predictions, examples.

async function check() {
  const [{ layers, errors: found, examples: moved }, pictures] = await Promise.all(["check", "pictures"].map(unpack));
  const { names, depths, cka, low, high, threshold, failed } = layers.chart;
  const series = [
    { name: "CKA with the baseline; red: below its threshold", x: depths, y: cka, low, high, labels: names, bad: failed },
    { name: "threshold", x: depths, y: threshold, dashed: true },
  ];
  const gone = names.filter((_, i) => missing(cka[i]));
  byId("picture").append(
    h("h2", {}, "Along depth"),
    lineChart({ title: "CKA of each layer with the same layer of the baseline", series, yTitle: "CKA", tall: 320 }),
    ...(gone.length ? [note(`Without a similarity: ${gone.slice(0, 12).join(", ")}${gone.length > 12 ? ` and ${gone.length - 12} more` : ""}.`)] : []),
    tableOfPicture("Table of layers", () => layers.table));

  const parts = [["Layers, worst first", () => tableOf(layers.table, { mark: (i) => layers.table.columns[7].values[i].startsWith("fail") }), true]];
  if (moved.places.length) {
    parts.push(["Examples that moved most", () => [
      note("Alignment with the baseline: 1 as before, 0 where similarities to the other examples have nothing in common with those before."),
      h("ul", { class: "gallery" }, moved.places.map((place, i) => {
        const [id, alignment, , layer, label, before, now] = moved.table.columns.map((column) => column.values[i]);
        return card(pictures, { id, place }, [
          h("p", {}, "alignment ", h("b", {}, written(alignment, "depth")), ` (least at ${layer})`),
          label === null ? null : h("p", {}, "label ", h("b", {}, label)),
          before === null ? null : h("p", {}, before === now ? `predicted ${now}, as before` : `was ${before}, is `, before === now ? null : h("b", {}, now)),
        ].filter((line) => line));
      })),
      tableOfPicture("Table of examples", () => moved.table),
    ], true]);
  }
  if (!unknown(found)) {
    const [name, n, , , difference, lower, upper, , , significant] = found.classes.columns.map((column) => column.values);
    let rows = name.map((label, i) => ({ label, n: n[i], value: -difference[i], low: -upper[i], high: -lower[i], strong: significant[i] }))
      .filter((row, i) => !missing(difference[i])).sort((one, other) => one.value - other.value);
    if (rows.length > 40) rows = rows.filter((row) => row.value !== 0);
    if (rows.length > 40) rows = [...rows.slice(0, 20), ...rows.slice(-20)];
    parts.push(["Classes", () => [
      forest({ title: "change of accuracy by class", rows, xTitle: "accuracy now minus before, points" }),
      note(`Filled: differs beyond chance after correction (${found.correction}, ${found.alpha}).`),
      tableOf(found.classes, { mark: (i) => significant[i] }),
    ], true]);
    if (found.disagreements) parts.push(["Predictions that changed", () => disagreements(pictures, found, ["before", "now"]), true]);
  }
  byId("parts").append(...parts.map(([title, draw, open]) => fold(title, draw, open)));
}
