// Heatmaps on a canvas: read by pointer and by arrow keys, each cell announced, Enter or a click for more.

const LABEL = 11; // pixels of the letters of layers
const GAP = 13; // the least distance of two labels
const WIDEST = 620;

// A heatmap; `show` gives it what to draw:
//   matrix, rows, columns: values and the labels of either axis, the first row at the bottom unless `down`
//   names: of the axes; scale: ends of the colours; lines: [row positions, column positions] of stages
//   boxes: [first, last] places of runs to outline on the diagonal; read: (row, column) to the text of a cell
class Heatmap {
  constructor({ label, pick = null, hint = "", widest = WIDEST }) {
    this.pick = pick;
    this.widest = widest;
    this.canvas = h("canvas", { "aria-hidden": "true" });
    const keys = "Arrow keys move, Home and End go to the ends of a row" + (hint ? `, ${hint}` : "");
    this.frame = h("div", {
      class: "heatmap", tabindex: 0, role: "application", "aria-roledescription": "heatmap", "aria-label": `${label}. ${keys}.`,
    }, this.canvas);
    this.bar = h("div");
    this.said = h("p", { class: "readout" });
    this.element = h("div", { class: "picture" }, this.frame, this.bar, this.said);
    this.frame.addEventListener("keydown", (event) => this.onKey(event));
    this.canvas.addEventListener("pointermove", (event) => this.onPointer(event));
    this.canvas.addEventListener("click", (event) => {
      if (this.onPointer(event) && this.pick) this.pick(this.row, this.column);
    });
    new ResizeObserver(() => this.draw()).observe(this.frame);
    document.addEventListener("themechange", () => this.draw());
  }

  show(shown) {
    this.shown = shown;
    [this.row, this.column] = shown.start || [0, 0];
    this.cells = null;
    this.bar.replaceChildren(colourBar(shown.scale, shown.measure || "CKA", shown.matrix.values.some(Number.isNaN)));
    this.draw();
    this.say();
  }

  say() {
    this.said.textContent = this.shown.read(this.row, this.column);
  }

  go(row, column) {
    const { matrix } = this.shown;
    this.row = Math.min(Math.max(row, 0), matrix.rows - 1);
    this.column = Math.min(Math.max(column, 0), matrix.columns - 1);
    this.draw();
    this.say();
  }

  onKey(event) {
    const up = this.shown.down ? -1 : 1;
    const moves = {
      ArrowUp: [up, 0], ArrowDown: [-up, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], PageUp: [10 * up, 0],
      PageDown: [-10 * up, 0], Home: [0, -Infinity], End: [0, Infinity],
    };
    if (event.key in moves) {
      const [rows, columns] = moves[event.key];
      this.go(this.row + rows, this.column + columns);
      announce(this.said.textContent);
    } else if ((event.key === "Enter" || event.key === " ") && this.pick) {
      this.pick(this.row, this.column);
    } else {
      return;
    }
    event.preventDefault();
  }

  onPointer(event) {
    const box = this.canvas.getBoundingClientRect();
    const { left, top, width, height } = this.area;
    const { matrix, down } = this.shown;
    const column = Math.floor(((event.clientX - box.left - left) / width) * matrix.columns);
    const from = Math.floor(((event.clientY - box.top - top) / height) * matrix.rows);
    const row = down ? from : matrix.rows - 1 - from;
    const within = column >= 0 && row >= 0 && column < matrix.columns && row < matrix.rows;
    if (within && (row !== this.row || column !== this.column)) this.go(row, column);
    return within;
  }

  // The cells as a picture of one pixel each, made once.
  picture() {
    if (this.cells) return this.cells;
    const { matrix, scale, down } = this.shown;
    const picture = h("canvas", { width: matrix.columns, height: matrix.rows });
    const drawing = picture.getContext("2d");
    const pixels = drawing.createImageData(matrix.columns, matrix.rows);
    for (let row = 0; row < matrix.rows; row++) {
      const line = down ? row : matrix.rows - 1 - row;
      for (let column = 0; column < matrix.columns; column++) {
        const value = matrix.at(row, column);
        if (Number.isNaN(value)) continue; // transparent: the hatching shows
        const at = 4 * (line * matrix.columns + column);
        [pixels.data[at], pixels.data[at + 1], pixels.data[at + 2]] = colour(value, scale);
        pixels.data[at + 3] = 255;
      }
    }
    drawing.putImageData(pixels, 0, 0);
    this.cells = picture;
    return picture;
  }

  // The values within the cells, where these are large enough.
  figures(drawing, x, y, lineOf) {
    const { matrix, scale } = this.shown;
    if (x < 32 || y < 18) return;
    drawing.font = `${LABEL}px ${fontOf()}`;
    drawing.textAlign = "center";
    drawing.textBaseline = "middle";
    for (let row = 0; row < matrix.rows; row++) {
      for (let column = 0; column < matrix.columns; column++) {
        const value = matrix.at(row, column);
        if (Number.isNaN(value)) continue;
        const [red, green, blue] = colour(value, scale);
        drawing.fillStyle = 0.3 * red + 0.59 * green + 0.11 * blue > 135 ? "#000" : "#fff";
        drawing.fillText(value.toFixed(2), (column + 0.5) * x, (lineOf(row) + lineOf(row + 1)) / 2);
      }
    }
  }

  draw() {
    if (!this.shown || !this.frame.clientWidth) return;
    const { matrix, rows, columns, names, lines = [[], []], boxes = [], down } = this.shown;
    const ratio = window.devicePixelRatio || 1;
    const full = Math.min(this.frame.clientWidth, this.widest);
    const drawing = this.canvas.getContext("2d");
    const font = `${LABEL}px ${fontOf()}`;
    drawing.font = font;
    const longest = (labels) => Math.max(0, ...labels.map((label) => drawing.measureText(label).width));
    const title = names[0] || names[1] ? LABEL + 7 : 0;
    const left = Math.ceil(Math.min(longest(rows), 0.27 * full)) + title + 6;
    const width = full - left - 2;
    const upright = longest(columns) > width / matrix.columns - 6;
    const bottom = (upright ? Math.ceil(Math.min(longest(columns), 0.27 * full)) : LABEL + 2) + title + 6;
    const height = Math.round(Math.min(Math.max((width * matrix.rows) / matrix.columns, 0.35 * width), 1.15 * width));
    const total = height + bottom + 2;
    this.area = { left, top: 2, width, height };
    this.canvas.dataset.area = JSON.stringify(this.area);
    Object.assign(this.canvas, { width: full * ratio, height: total * ratio });
    Object.assign(this.canvas.style, { width: `${full}px`, height: `${total}px` });
    drawing.setTransform(ratio, 0, 0, ratio, 0, 0);
    drawing.imageSmoothingEnabled = false;
    drawing.save();
    drawing.translate(left, 2);
    drawing.fillStyle = hatching(drawing);
    drawing.fillRect(0, 0, width, height);
    drawing.drawImage(this.picture(), 0, 0, width, height);
    const [x, y] = [width / matrix.columns, height / matrix.rows];
    const lineOf = (row) => (down ? row * y : height - row * y);
    drawing.strokeStyle = "rgba(255,255,255,0.75)";
    drawing.lineWidth = 1;
    drawing.beginPath();
    for (const row of lines[0]) { drawing.moveTo(0, lineOf(row)); drawing.lineTo(width, lineOf(row)); }
    for (const column of lines[1]) { drawing.moveTo(column * x, 0); drawing.lineTo(column * x, height); }
    drawing.stroke();
    this.figures(drawing, x, y, lineOf);
    drawing.strokeStyle = "#ff5a36";
    drawing.lineWidth = 2;
    for (const [start, stop] of boxes) {
      drawing.strokeRect(start * x, Math.min(lineOf(start), lineOf(stop)), (stop - start) * x, (stop - start) * y);
    }
    const [cellX, cellY] = [this.column * x, Math.min(lineOf(this.row), lineOf(this.row + 1))];
    const [wide, tall] = [Math.max(x, 4), Math.max(y, 4)];
    drawing.strokeStyle = "#000";
    drawing.lineWidth = 3;
    drawing.strokeRect(cellX - (wide - x) / 2, cellY - (tall - y) / 2, wide, tall);
    drawing.strokeStyle = "#fff";
    drawing.lineWidth = 1.5;
    drawing.strokeRect(cellX - (wide - x) / 2, cellY - (tall - y) / 2, wide, tall);
    drawing.restore();

    drawing.fillStyle = paint("ink");
    drawing.font = font;
    drawing.textBaseline = "middle";
    drawing.textAlign = "right";
    for (const row of spread(rows.length, y)) {
      drawing.fillText(fitted(drawing, rows[row], left - title - 6), left - 4, 2 + lineOf(row) + (down ? y : -y) / 2);
    }
    for (const column of spread(columns.length, x)) {
      drawing.save();
      drawing.translate(left + (column + 0.5) * x, height + 6);
      if (upright) drawing.rotate(-Math.PI / 2);
      else drawing.translate(drawing.measureText(columns[column]).width / 2, LABEL / 2);
      drawing.fillText(fitted(drawing, columns[column], upright ? bottom - title - 6 : width), 0, 0);
      drawing.restore();
    }
    drawing.font = `600 ${LABEL + 1}px ${fontOf()}`;
    drawing.textAlign = "center";
    drawing.fillText(fitted(drawing, names[1], width, false), left + width / 2, total - LABEL / 2 - 1);
    drawing.save();
    drawing.translate(LABEL / 2 + 2, 2 + height / 2);
    drawing.rotate(-Math.PI / 2);
    drawing.fillText(fitted(drawing, names[0], height, false), 0, 0);
    drawing.restore();
  }
}

// Which of so many labels stand far enough apart: all, every second, third, ...
function spread(length, each) {
  const step = Math.max(1, Math.ceil(GAP / each));
  return Array.from({ length: Math.ceil(length / step) }, (_, i) => i * step);
}

// A name no wider than so many pixels: its parts cut to their first letters, from the left, until it fits; then its
// middle left out. Numbers stay: stages.0.blocks.1 is s.0.b.1 and no other layer.
function fitted(drawing, text, width, layer = true) {
  const fits = (words) => drawing.measureText(words).width <= width;
  const parts = text.split(".");
  for (let i = 0; layer && i < parts.length - 1 && !fits(parts.join(".")); i++) {
    if (!/^\d+$/.test(parts[i])) parts[i] = parts[i].slice(0, 1);
  }
  text = parts.join(".");
  if (fits(text)) return text;
  const letters = [...text];
  for (let kept = letters.length - 1; kept > 2; kept--) {
    const head = Math.ceil(kept / 3);
    const shorter = `${letters.slice(0, head).join("")}…${letters.slice(letters.length - kept + head).join("")}`;
    if (drawing.measureText(shorter).width <= width) return shorter;
  }
  return "…";
}

const fontOf = () => getComputedStyle(document.body).fontFamily;

function hatching(drawing) {
  const tile = h("canvas", { width: 6, height: 6 });
  const lines = tile.getContext("2d");
  lines.fillStyle = paint("paper");
  lines.fillRect(0, 0, 6, 6);
  lines.strokeStyle = paint("faint");
  lines.beginPath();
  for (const from of [-6, 0, 6]) { lines.moveTo(from, 6); lines.lineTo(from + 6, 0); }
  lines.stroke();
  return drawing.createPattern(tile, "repeat");
}
