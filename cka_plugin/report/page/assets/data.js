// The data: compressed in elements that no browser runs, unpacked when asked for; and how figures are written.

const STEP = 1e4;
const MISSING = -32768;
const unpacking = new Map();

// The content of one element, with its arrays as matrices; the same promise for whoever asks again.
function unpack(id) {
  if (!unpacking.has(id)) unpacking.set(id, unpacked(id));
  return unpacking.get(id);
}

async function unpacked(id) {
  const bytes = Uint8Array.from(atob(byId(id).textContent), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const content = await new Response(stream).arrayBuffer();
  const length = new DataView(content).getUint32(0, true);
  const header = new TextDecoder().decode(new Uint8Array(content, 4, length));
  return JSON.parse(header, (key, value) =>
    value !== null && typeof value === "object" && "$" in value ? matrixOf(content, 4 + length, value) : value);
}

// Numbers in rows and columns; NaN where there is none. One row is a list.
function matrixOf(content, start, { $: offset, shape, type }) {
  const count = shape.reduce((a, b) => a * b, 1);
  const columns = shape.length > 1 ? shape[1] : 1;
  const values = type === "i2"
    ? wholes(new Uint8Array(content, start + offset, 2 * count), count)
    : Float64Array.from(new Float32Array(content, start + offset, count));
  return { rows: shape[0], columns, values, at: (i, j = 0) => values[i * columns + j] };
}

// Whole numbers, all low bytes before all high ones.
function wholes(bytes, count) {
  const values = new Float64Array(count);
  for (let k = 0; k < count; k++) {
    const whole = ((bytes[k] | (bytes[count + k] << 8)) << 16) >> 16;
    values[k] = whole === MISSING ? NaN : whole / STEP;
  }
  return values;
}

const missing = (value) => value === null || value === undefined || Number.isNaN(value);

const FORMATS = {
  text: (v) => String(v),
  whole: (v) => v.toLocaleString("en-US"),
  number: (v) => v.toFixed(3),
  fine: (v) => v.toFixed(4),
  depth: (v) => v.toFixed(2),
  p: (v) => (v === 0 ? "< 1e-300" : v >= 0.001 ? v.toFixed(3) : v.toExponential(1)),
  percent: (v) => `${(100 * v).toFixed(1)}%`,
  signed: (v) => `${v > 0 ? "+" : ""}${(100 * v).toFixed(1)}`,
  flag: (v) => (v ? "yes" : ""),
};

const written = (value, format = "number") => (missing(value) ? "–" : FORMATS[format](value));

const range = (low, high) => (missing(low) || missing(high) ? "no interval" : `${written(low)} to ${written(high)}`);

const count = (number, what) => `${number.toLocaleString("en-US")} ${what}${number === 1 ? "" : "s"}`;
