// Examples: a picture or the beginning of a text where the page holds one, else the id alone.

const MORE = 24;

// A card of one example: what is known of it, beside its picture.
function card(pictures, example, lines) {
  const held = pictures[example.place];
  const seen = held && held.image
    ? h("img", { src: held.image, alt: `example ${example.id}` })
    : held && held.text ? h("blockquote", {}, held.text) : null;
  return h("li", { class: held && held.text ? "card words" : "card" }, seen, h("div", {}, h("p", { class: "id" }, example.id), lines));
}

const strip = (pictures, examples) => h("ul", { class: "gallery strip" }, examples.map((one) => card(pictures, one, [])));

// Disagreements, filtered by who is right.
function disagreements(pictures, errors, names) {
  const list = h("ul", { class: "gallery" });
  const more = h("button", { type: "button", class: "quiet" }, "Show more");
  const choices = { all: "all", a: `${names[0]} right`, b: `${names[1]} right`, neither: "neither right" };
  const choose = h("select", { "aria-label": "Which disagreements" },
    Object.entries(choices).map(([value, label]) => h("option", { value }, label)));
  let shown = MORE;
  const sure = (value) => (missing(value) ? "" : ` (${(100 * value).toFixed(0)}%)`);
  const draw = () => {
    const rows = errors.gallery.filter((row) => choose.value === "all" || row.right === choose.value);
    list.replaceChildren(...rows.slice(0, shown).map((row) => card(pictures, row, [
      h("p", {}, "label ", h("b", {}, row.label)),
      h("p", { class: row.right === "a" ? "right" : "" }, `${row.right === "a" ? "✓" : "✗"} ${names[0]}: `, h("b", {}, row.a), sure(row.sure_a)),
      h("p", { class: row.right === "b" ? "right" : "" }, `${row.right === "b" ? "✓" : "✗"} ${names[1]}: `, h("b", {}, row.b), sure(row.sure_b)),
    ])));
    more.hidden = rows.length <= shown;
  };
  choose.addEventListener("change", () => { shown = MORE; draw(); });
  more.addEventListener("click", () => { shown += 2 * MORE; draw(); });
  draw();
  const of = errors.gallery.length < errors.disagreements ? `${errors.gallery.length} of ${errors.disagreements}` : `${errors.disagreements}`;
  return [
    h("p", {}, `${of} examples with different predictions, those first of which both models are surest.`),
    h("div", { class: "tools" }, choose), list, more,
  ];
}

function placed(pictures, examples, names) {
  const columns = Object.fromEntries(examples.table.columns.map((column) => [column.label, column.values]));
  const said = (column, i) => columns[column] && columns[column][i];
  const list = h("ul", { class: "gallery" });
  const more = h("button", { type: "button", class: "quiet" }, "Show more");
  let shown = MORE;
  const draw = () => {
    const rows = examples.places.slice(0, shown);
    list.replaceChildren(...rows.map((place, i) => card(pictures, { id: said("example", i), place }, [
      h("p", {}, "alignment ", h("b", {}, written(said("alignment", i), "depth"))),
      said("label", i) ? h("p", {}, "label ", h("b", {}, said("label", i))) : null,
      ...names.map((name) => (said(`${name} predicts`, i) ? h("p", {}, `${name}: `, h("b", {}, said(`${name} predicts`, i))) : null)),
    ].filter((line) => line))));
    more.hidden = examples.places.length <= shown;
  };
  more.addEventListener("click", () => { shown += 2 * MORE; draw(); });
  draw();
  return [list, more];
}
