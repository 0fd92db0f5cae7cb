// Tables: sorted by their headings, searched, shown a hundred rows at a time, saved as CSV.

const ROWS = 100;

function tableOf(table, { order = table.order, mark = null, rows = ROWS } = {}) {
  const columns = table.columns;
  const length = columns.length ? columns[0].values.length : 0;
  let sorted = order ? { column: order[0], down: order[1] } : null;
  let asked = "";
  let shown = rows;

  const search = h("input", { type: "search", placeholder: "Search", "aria-label": `Search ${table.caption}` });
  const said = h("span", { class: "count", role: "status" });
  const save = h("button", { type: "button", class: "quiet" }, "CSV");
  const more = h("button", { type: "button", class: "quiet" }, "Show more");
  const body = h("tbody");
  const heads = columns.map((column, c) => {
    const sort = h("button", { type: "button", title: column.help || null }, column.label);
    sort.addEventListener("click", () => {
      const numeric = column.format !== "text";
      sorted = sorted && sorted.column === c ? { column: c, down: !sorted.down } : { column: c, down: numeric };
      draw();
    });
    return h("th", { scope: "col", class: column.format === "text" ? null : "figure" }, sort);
  });

  function chosen() {
    let places = Array.from({ length }, (_, i) => i);
    if (asked) {
      const texts = columns.filter((column) => column.format === "text");
      places = places.filter((i) => texts.some((column) => String(column.values[i] ?? "").toLowerCase().includes(asked)));
    }
    if (sorted) {
      const { values, format } = columns[sorted.column];
      const way = sorted.down ? -1 : 1;
      const compare = format === "text" ? (a, b) => a.localeCompare(b, "en", { numeric: true }) : (a, b) => a - b;
      places.sort((i, j) => {
        const [a, b] = [values[i], values[j]];
        if (missing(a) || missing(b)) return missing(a) - missing(b); // what is missing stands last
        return way * compare(a, b) || i - j;
      });
    }
    return places;
  }

  function draw() {
    const places = chosen();
    body.replaceChildren(...places.slice(0, shown).map((i) =>
      h("tr", mark && mark(i) ? { class: "marked" } : {}, columns.map((column, c) => {
        const cell = written(column.values[i], column.format);
        const attributes = column.format === "text" ? {} : { class: "figure" };
        return c === 0 ? h("th", { scope: "row", ...attributes }, cell) : h("td", attributes, cell);
      }))));
    heads.forEach((head, c) => {
      const way = sorted && sorted.column === c ? (sorted.down ? "descending" : "ascending") : "none";
      head.setAttribute("aria-sort", way);
    });
    said.textContent = places.length > shown ? `${shown} of ${count(places.length, "row")}` : count(places.length, "row");
    more.hidden = places.length <= shown;
  }

  search.addEventListener("input", () => {
    asked = search.value.trim().toLowerCase();
    shown = rows;
    draw();
  });
  more.addEventListener("click", () => {
    shown += 5 * rows;
    draw();
  });
  save.addEventListener("click", () => {
    const cell = (value) => (missing(value) ? "" : `"${String(value).replaceAll('"', '""')}"`);
    const lines = [columns.map((column) => cell(column.label)).join(",")];
    for (const i of chosen()) lines.push(columns.map((column) => cell(column.values[i])).join(","));
    const address = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type: "text/csv" }));
    h("a", { href: address, download: `${table.caption}.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
  });
  draw();
  const scroll = h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": table.caption },
    h("table", {}, h("caption", { class: "unseen" }, table.caption), h("thead", {}, h("tr", {}, heads)), body));
  const tools = h("div", { class: "tools" }, length > 8 ? search : null, said, save);
  return h("div", { class: "table" }, tools, scroll, more);
}

// The table of a picture, folded below it.
const tableOfPicture = (title, make) => fold(title, () => tableOf(make()), false, "h4");
