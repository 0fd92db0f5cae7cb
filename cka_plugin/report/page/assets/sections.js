// What is shown of a pair of models, part by part.

const unknown = (found) => found === null || found === undefined || "reason" in found;
const reasonOf = (found, otherwise) => note(found && found.reason ? found.reason : otherwise);

// The text of a cell of the heatmap of a pair.
function cellText({ names, models, pair }, i, j) {
  const [a, b] = models;
  const cka = pair.cka.at(i, j);
  const common = (model, k) => (model.common[k] === model.layers[k] ? "" : `${model.common[k]}, `);
  const side = (model, k) => `${model.layers[k]} (${common(model, k)}depth ${model.depths[k].toFixed(2)})`;
  const calibrated = pair.calibrated ? `; above chance ${written(pair.calibrated.at(i, j))}` : "";
  const value = Number.isNaN(cka)
    ? "no CKA: one of the two layers is constant or holds NaN"
    : `CKA ${written(cka)} [${range(pair.low.at(i, j), pair.high.at(i, j))}]${calibrated}`;
  return `${names[0]}: ${side(a, i)} × ${names[1]}: ${side(b, j)}. ${value}`;
}

// Similarity of one layer of either model with all layers of the other.
function profile({ names, models, pair }, i, j) {
  const [a, b] = models;
  const column = (matrix, k) => Array.from({ length: matrix.rows }, (_, row) => matrix.at(row, k));
  const row = (matrix, k) => Array.from({ length: matrix.columns }, (_, c) => matrix.at(k, c));
  const series = [
    { name: `${names[0]} ${a.layers[i]} with the layers of ${names[1]}`, x: b.depths, labels: b.layers,
      y: row(pair.cka, i), low: row(pair.low, i), high: row(pair.high, i) },
    { name: `${names[1]} ${b.layers[j]} with the layers of ${names[0]}`, x: a.depths, labels: a.layers,
      y: column(pair.cka, j), low: column(pair.low, j), high: column(pair.high, j) },
  ];
  const marks = [{ x: b.depths[j], label: b.layers[j] }, { x: a.depths[i], label: a.layers[i] }];
  return h("div", {},
    h("h4", {}, `Profiles of ${a.layers[i]} and ${b.layers[j]}`),
    lineChart({ title: `CKA along depth of ${a.layers[i]} and ${b.layers[j]}`, series, yTitle: "CKA", marks }),
    tableOfPicture("Table of this profile", () => ({
      caption: `profile of ${names[0]} ${a.layers[i]}`,
      columns: [
        { label: `layer of ${names[1]}`, format: "text", values: b.layers },
        { label: "depth", format: "depth", values: b.depths },
        { label: "CKA", format: "number", values: series[0].y },
        { label: "low", format: "number", values: series[0].low },
        { label: "high", format: "number", values: series[0].high },
      ],
    })));
}

// Every cell of the heatmap as a row.
function cells({ names, models, pair }) {
  const [a, b] = models;
  const { rows, columns } = pair.cka;
  const over = (make) => Array.from({ length: rows * columns }, (_, k) => make(Math.floor(k / columns), k % columns));
  const figures = [["CKA", pair.cka], ["low", pair.low], ["high", pair.high]];
  if (pair.calibrated) figures.push(["above chance", pair.calibrated]);
  return {
    caption: `CKA of every layer of ${names[0]} with every layer of ${names[1]}`,
    columns: [
      { label: names[0], format: "text", values: over((i) => a.layers[i]) },
      { label: "depth", format: "depth", values: over((i) => a.depths[i]) },
      { label: names[1], format: "text", values: over((_, j) => b.layers[j]) },
      { label: "its depth", format: "depth", values: over((_, j) => b.depths[j]) },
      ...figures.map(([label, matrix]) => ({ label, format: "number", values: over((i, j) => matrix.at(i, j)) })),
    ],
  };
}

function correspondence({ names, models, pair, scale }) {
  const found = pair.correspondence;
  if (unknown(found)) return reasonOf(found, "A model corresponds to itself, layer by layer.");
  const [a, b] = models;
  const [, , match, , cka, low, high, , , tied] = found.table.columns.map((column) => column.values);
  const place = new Map(b.layers.map((layer, j) => [layer, j]));
  const links = match.flatMap((layer, i) => layer === null ? [] : [{
    from: i, to: place.get(layer), value: cka[i], dashed: tied[i] === true,
    label: `${a.layers[i]} – ${b.layers[place.get(layer)]}: CKA ${written(cka[i])} [${range(low[i], high[i])}]${tied[i] ? ", tied with the runner-up" : ""}`,
  }]);
  return [
    h("p", {}, `Each layer of ${names[0]} (left) and the layer of ${names[1]} most like it; dashed where a paired jackknife cannot tell it from the runner-up.`),
    bipartite({ title: `best matches of the layers of ${names[0]} in ${names[1]}`, names, left: a.layers, right: b.layers, links, scale }),
    colourBar(scale, "CKA"),
    found.only_in_b.length ? note(`Nothing in ${names[0]} resembles these layers of ${names[1]} (best CKA below 0.3, a convention): ${found.only_in_b.join(", ")}.`) : null,
    unknown(pair.chance) && pair.chance ? note(`Chance: ${pair.chance.reason}`) : null,
    tableOfPicture("Table of best matches", () => found.table),
  ];
}

function levels({ names, models, pair }) {
  const found = pair.levels;
  if (unknown(found)) return reasonOf(found, "Levels are of two different models.");
  const [a] = models;
  const match = found.table.columns[1].values;
  const series = [
    { name: "CKA with the best match", x: a.depths, y: found.cka, low: found.low, high: found.high, labels: a.layers.map((layer, i) => `${layer} – ${match[i]}`) },
    ...found.lines.map((line) => ({ name: line.name, x: a.depths, y: line.values, dashed: true })),
  ];
  return [
    ...found.text.map((words) => h("p", {}, words)),
    lineChart({ title: `what the similarity of ${names[0]} and ${names[1]} is held against`, series, yTitle: `CKA, or ${found.measure}`, tall: 300 }),
    ...found.missing.map((words) => note(`Not known: ${words}.`)),
    tableOfPicture("Table of levels", () => found.table),
    fold("In words, layer by layer", () => h("ul", {}, found.sentences.filter((words) => words).map((words) => h("li", {}, words))), false, "h4"),
  ];
}

function blocksOf(name, model, pictures) {
  const found = model.blocks;
  if (unknown(found)) return [h("h4", {}, name), reasonOf(found, "")];
  const parts = [h("h4", {}, `${name}: ${found.verdict}`), ...found.text.map((words) => h("p", {}, words))];
  const heat = (matrix, label, boxes) => {
    const map = new Heatmap({ label: `${label} of ${name}`, widest: 480 });
    map.show({
      matrix, rows: model.layers, columns: model.layers, names: ["", label], scale: found.scale, lines: [model.stages, model.stages], boxes,
      plain: true, read: (i, j) => `${model.layers[i]} × ${model.layers[j]}: ${written(matrix.at(i, j))}`,
    });
    return map.element;
  };
  parts.push(h("div", { class: "beside" }, heat(found.cka, "CKA with itself", found.runs),
    found.without ? heat(found.without, "without first components", found.runs) : null));
  if (found.share) {
    const share = Array.from(found.share.values);
    parts.push(lineChart({
      title: `share of the first component in ${name} along depth`, yTitle: "variance held", fixed: [0, 1],
      series: [{ name: `first component, share of the variance in minibatches of ${found.batch_size}`, x: model.depths, y: share, labels: model.layers }],
    }), tableOfPicture("Table of first components", () => ({
      caption: `first component of ${name}`,
      columns: [
        { label: "layer", format: "text", values: model.layers },
        { label: "depth", format: "depth", values: model.depths },
        { label: "share of the variance", format: "percent", values: share },
      ],
    })));
  }
  if (found.evidence) parts.push(h("h4", {}, "Evidence"), tableOf(found.evidence));
  found.dominant.forEach((examples, k) => {
    if (!examples.length) return;
    const which = found.dominant.length > 1 ? ` of block ${k + 1}` : "";
    parts.push(h("h4", {}, `Dominant examples${which}`), strip(pictures, examples));
  });
  return parts;
}

function blocks({ names, models, pair, pictures }) {
  const parts = names.flatMap((name, k) => (k && names[0] === names[1] ? [] : blocksOf(name, models[k], pictures)));
  if (!unknown(pair.blocks)) parts.push(h("h4", {}, "Side by side"), h("p", {}, pair.blocks.text), pair.blocks.table.columns[0].values.length ? tableOf(pair.blocks.table) : null);
  return parts;
}

function errors({ names, pair, pictures }) {
  const found = pair.errors;
  if (unknown(found)) return reasonOf(found, "Errors are compared between two different models.");
  const parts = found.text.map((words) => h("p", {}, words));
  const columns = found.classes.columns.map((column) => column.values);
  const [name, n, , , difference, low, high, , , significant] = columns;
  let rows = name.map((label, i) => ({ label, n: n[i], value: difference[i], low: low[i], high: high[i], strong: significant[i] }))
    .filter((row) => !missing(row.value)).sort((one, other) => other.value - one.value);
  const all = rows.length;
  if (rows.length > 40) rows = rows.filter((row) => row.value !== 0);
  if (rows.length > 40) rows = [...rows.slice(0, 20), ...rows.slice(-20)];
  if (rows.length) {
    parts.push(h("h4", {}, "Classes"), forest({
      title: `difference in accuracy of ${names[0]} and ${names[1]} by class`, rows,
      xTitle: `accuracy of ${elided(names[0], 24, false)} minus ${elided(names[1], 24, false)}, points`,
    }));
    parts.push(note(`${rows.length < all ? `At most 20 classes in favour of either model, of ${all}. ` : ""}Filled: differs beyond chance after correction (${found.correction}, ${found.alpha}). Bars: ${Math.round(100 * found.level)}% intervals of each class alone.`));
  }
  parts.push(tableOf(found.classes, { mark: (i) => significant[i] }));
  if (found.disagreements) parts.push(h("h4", {}, "Disagreements"), ...disagreements(pictures, found, names));
  return parts;
}

function examples({ names, pair, pictures }) {
  const found = pair.examples;
  if (unknown(found)) return reasonOf(found, "A model places its own examples alike.");
  return [
    ...found.text.map((words) => h("p", {}, words)),
    ...placed(pictures, found, names),
    note(found.places.length < found.count ? `The ${found.places.length} placed most differently, of ${found.count.toLocaleString("en-US")}.` : "All examples."),
    tableOfPicture("Table of examples", () => found.table),
    found.classes ? fold("By class", () => tableOf(found.classes), false, "h4") : null,
  ];
}
