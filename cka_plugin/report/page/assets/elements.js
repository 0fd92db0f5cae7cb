// Elements, made by hand: what comes from the data is always text, never markup.

const SVG = "http://www.w3.org/2000/svg";

const byId = (id) => document.getElementById(id);

function put(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

const h = (tag, attributes, ...children) => put(document.createElement(tag), attributes, children);
const s = (tag, attributes, ...children) => put(document.createElementNS(SVG, tag), attributes, children);

const announce = (text) => { byId("announce").textContent = text; };

const note = (text) => h("p", { class: "note" }, text);

// A part that can be folded; what is in it is drawn when it is first opened.
function fold(title, draw, open = false, level = "h3") {
  const body = h("div", { class: "body" });
  const part = h("details", open ? { open: true } : {}, h("summary", {}, h(level, {}, title)), body);
  let drawn = false;
  part.draw = () => {
    if (drawn) return;
    drawn = true;
    body.append(...[draw()].flat().filter((child) => child));
  };
  part.addEventListener("toggle", () => part.open && part.draw());
  if (open) part.draw();
  return part;
}

// A colour of the style as the theme has it now, for canvases.
function paint(name) {
  const probe = document.body.appendChild(h("i", { class: `paint-${name}` }));
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}
