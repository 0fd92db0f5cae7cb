// Colours: viridis (Smith, van der Walt & Firing 2015, CC0), even to the eye, and told apart by colour-blind readers.

const VIRIDIS = "440154470d6048186a482374472d7b4537814240863e49893b528b375b8d33638d2f6b8e2c728e297a8e26828e23898e21918c" +
  "1f988b1fa08822a78528ae8032b67a3fbc734ec36b5ec96270cf5784d44b98d83eaddc30c2df23d8e219ece51bfde725";
const STOPS = VIRIDIS.match(/.{6}/g).map((hex) => [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16)));

// As many shades as an eye tells apart and more, computed once: a heatmap has 160,000 cells.
const SHADES = Array.from({ length: 1024 }, (_, shade) => {
  const place = (shade / 1023) * (STOPS.length - 1);
  const below = Math.min(Math.floor(place), STOPS.length - 2);
  return STOPS[below].map((part, i) => Math.round(part + (place - below) * (STOPS[below + 1][i] - part)));
});

// Red, green and blue of a value between the ends of a scale; what lies outside has the colour of the end.
const colour = (value, [low, high]) => SHADES[Math.round(Math.min(Math.max((value - low) / (high - low), 0), 1) * 1023)];

const rgb = (value, scale) => `rgb(${colour(value, scale).join(",")})`;

// The colour bar of a scale, with its ends, and what cells without a value look like where there are any.
function colourBar(scale, label, holes = false) {
  const bar = h("canvas", { width: 160, height: 10, "aria-hidden": "true" });
  const drawing = bar.getContext("2d");
  for (let x = 0; x < 160; x++) {
    drawing.fillStyle = rgb(scale[0] + (x / 159) * (scale[1] - scale[0]), scale);
    drawing.fillRect(x, 0, 1, 10);
  }
  const end = (value) => String(Math.round(100 * value) / 100);
  return h("div", { class: "bar" }, h("span", {}, label), h("span", {}, end(scale[0])), bar, h("span", {}, end(scale[1])),
    holes ? [h("span", { class: "hatch", "aria-hidden": "true" }), h("span", {}, "no similarity")] : []);
}
