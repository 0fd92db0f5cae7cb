// The page: its theme, what is printed, and which kind of page it is.

const theme = byId("theme");
theme.hidden = false;
const preferred = matchMedia("(prefers-color-scheme: dark)");
const dark = () => (document.documentElement.dataset.theme || (preferred.matches ? "dark" : "light")) === "dark";
const nameTheme = () => { theme.textContent = dark() ? "Light" : "Dark"; };
theme.addEventListener("click", () => {
  document.documentElement.dataset.theme = dark() ? "light" : "dark";
  nameTheme();
  document.dispatchEvent(new Event("themechange"));
});
preferred.addEventListener("change", () => {
  nameTheme();
  document.dispatchEvent(new Event("themechange"));
});
nameTheme();
window.addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll("details:not(details details)")) { // tables of pictures stay folded
    part.open = true;
    if (part.draw) part.draw();
  }
});

const kinds = { comparison, check };
kinds[document.body.dataset.kind]().then(
  () => { document.body.dataset.ready = "yes"; },
  (error) => {
    byId("pair").append(note(`This page could not be drawn: ${error.message}. It takes a browser of 2023 or newer.`));
    throw error;
  });
