// The page on a comparison: which pair is shown, and its parts.

async function comparison() {
  const index = await unpack("index");
  const { names, scale } = index;
  const many = names.length > 2;
  const place = byId("pair");
  if (!index.paired) { // very many models: pairs have pages of their own
    byId("picture").append(...zoo(index, null));
    const tables = [["Models", index.overview], ["Families", index.families]].filter(([, table]) => !missing(table));
    if (!missing(index.map)) place.append(h("h2", {}, "Map"), ...modelMap(index));
    place.append(...tables.flatMap(([label, table]) => [h("h2", {}, label), tableOf(table)]));
    return;
  }
  const map = new Heatmap({
    label: "CKA of every layer of one model with every layer of another", hint: "Enter shows the profiles of both layers",
    pick: (i, j) => showProfile(i, j),
  });
  let state = null;
  const profiles = h("div", { class: "profiles" });
  const showProfile = (i, j) => profiles.replaceChildren(profile(state, i, j));
  const heat = h("div", {}, map.element);

  const choose = [0, 1].map((side) => h("select", { "aria-label": side ? "other model" : "one model" },
    names.map((name, i) => h("option", { value: i }, name))));
  const chooser = h("div", { class: "chooser" }, choose[0], h("span", { "aria-hidden": "true" }, "×"), choose[1]);
  const title = h("h2");
  const parts = h("div");

  async function show(i, j, focus = false) {
    if (i > j) [i, j] = [j, i];
    const [pair, a, b, pictures] = await Promise.all(
      [`pair-${i}-${j}`, `model-${i}`, `model-${j}`, "pictures"].map(unpack));
    choose[0].value = i;
    choose[1].value = j;
    const same = i === j;
    state = { names: [names[i], names[j]], models: [a, b], pair, pictures, scale };
    title.textContent = same ? `${names[i]} with itself` : `${names[i]} and ${names[j]}`;
    map.show({
      matrix: pair.cka, rows: a.layers, columns: b.layers, names: state.names, scale, lines: [a.stages, b.stages],
      start: startOf(pair.cka), read: (row, column) => cellText(state, row, column),
    });
    profiles.replaceChildren();
    const open = new Map([...parts.children].map((part) => [part.dataset.part, part.open]));
    const made = [
      ["layers", "Layers", () => [many ? heat : null, profiles, tableOfPicture("Table of all cells", () => cells(state))], true],
      ["correspondence", "Correspondence", () => correspondence(state), !same],
      ["levels", "What the similarity is held against", () => levels(state), false],
      ["blocks", "Block structure", () => blocks(state), same],
      ["errors", "Errors", () => errors(state), false],
      ["examples", "Examples placed differently", () => examples(state), false],
    ].map(([id, label, draw, first]) => {
      const part = fold(label, draw, open.has(id) ? open.get(id) : first);
      part.dataset.part = id;
      return part;
    });
    parts.replaceChildren(...made);
    showProfile(map.row, map.column);
    if (focus) title.scrollIntoView({ block: "start" });
  }

  for (const one of choose) one.addEventListener("change", () => show(Number(choose[0].value), Number(choose[1].value)));
  place.append(...(names.length > 1 ? [title, chooser] : [title]), parts);
  if (many) {
    byId("picture").append(...zoo(index, (i, j) => show(i, j, true)));
    byId("found").parentElement.append(h("h4", {}, "Models"), tableOf(index.overview));
  }
  else byId("picture").append(heat);
  await show(0, names.length > 1 ? 1 : 0);
}

// Where reading begins: the row whose largest value is smallest, and that value.
function startOf(matrix) {
  let [best, start] = [Infinity, [0, 0]];
  for (let i = 0; i < matrix.rows; i++) {
    let [most, at] = [-Infinity, 0];
    for (let j = 0; j < matrix.columns; j++) {
      if (matrix.at(i, j) > most) [most, at] = [matrix.at(i, j), j];
    }
    if (most > -Infinity && most < best) [best, start] = [most, [i, at]];
  }
  return start;
}

// All models: the similarity of each with each, and a row a model.
function zoo({ names, similarity, scale }, pick) {
  const map = new Heatmap({
    label: "Mean CKA at equal depth of every model with every other", hint: pick ? "Enter shows the pair" : "", pick,
    widest: pick ? 540 : 620,
  });
  map.show({
    matrix: similarity, rows: names, columns: names, names: ["", ""], scale, down: true, measure: "mean CKA at equal depth",
    start: [0, 1], read: (i, j) => `${names[i]} × ${names[j]}: ${written(similarity.at(i, j))}`,
  });
  const over = (make) => names.flatMap((_, i) => names.map((__, j) => make(i, j)));
  return [map.element, note(pick ? "A click, or Enter, shows the pair below."
    : "Neighbours in the tree of clusters stand side by side. A pair has a page of its own: compare its two files."),
    tableOfPicture("Table of pairs", () => ({
      caption: "mean CKA at equal depth",
      columns: [
        { label: "model", format: "text", values: over((i) => names[i]) },
        { label: "other", format: "text", values: over((_, j) => names[j]) },
        { label: "mean CKA", format: "number", values: over((i, j) => similarity.at(i, j)) },
      ],
    }))];
}
