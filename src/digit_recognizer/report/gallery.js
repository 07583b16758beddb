// Galleries of digits: cards that open, two rows of them and the rest on demand.

const picture = (item) => html("img", { class: "digit", src: item.image, alt: "" });
// Blue is the label, red a wrong prediction.
const colorClass = (item, digit) => (digit === item.label ? "label" : digit === item.predicted ? "wrong" : "");
const verdict = (item) => `label ${item.label}, predicted ${item.predicted}`;

function bars(item) {
  const chart = svg("svg", { viewBox: "0 0 100 30", preserveAspectRatio: "none" });
  for (const digit of DIGITS) {
    const height = Math.max(1.5, (30 * item.p[digit]) / 10000);
    chart.append(svg("rect", { class: colorClass(item, digit), x: digit * 10 + 1, y: 30 - height, width: 8, height }));
  }
  const scale = html("span", { class: "scale" }, DIGITS.join(" "));
  return html("span", { class: "bars", "aria-hidden": "true" }, chart, scale);
}

// The card of the digit at `at` among `items`, which the dialog can go through.
function card(items, at) {
  const item = items[at];
  const confidence = percent(item.p[item.predicted] / 10000, 1);
  const label = `Row ${item.row}: ${verdict(item)}, confidence ${confidence}`;
  const short = html("b", {}, `${item.label} → `, html("span", { class: "wrong" }, `${item.predicted}`));
  const name = html("small", { class: "soft" }, `Row ${item.row}`);
  const attributes = { "aria-label": label, "aria-haspopup": "dialog" };
  const button = html("button", attributes, picture(item), short, bars(item), name);
  button.addEventListener("click", () => open(items, at));
  return html("li", {}, button);
}

// One dialog for all digits: the browser keeps the focus inside, Escape closes it.
const shown = html("div");
const count = html("span", { class: "soft" });
const buttons = ["Previous", "Next", "Close"].map((name) => html("button", {}, name));
const choices = html("div", { class: "choices" }, ...buttons, count);
const dialog = html("dialog", { "aria-labelledby": "dialog-title" }, shown, choices);
document.body.append(dialog);
dialog.addEventListener("keydown", ({ key }) => buttons[["ArrowLeft", "ArrowRight"].indexOf(key)]?.click());

function open(items, at) {
  const item = items[at];
  const rows = DIGITS.map((digit) => {
    const proba = item.p[digit] / 10000;
    const meter = html("span", { class: `meter ${colorClass(item, digit)}`, style: `width:${100 * proba}%` });
    const head = html("th", { scope: "row" }, `${digit}`);
    return html("tr", {}, head, html("td", {}, meter), html("td", {}, percent(proba)));
  });
  const title = html("h2", { id: "dialog-title" }, `Row ${item.row}`);
  const table = html("table", { "aria-label": "Probabilities" }, html("tbody", {}, ...rows));
  shown.replaceChildren(title, html("p", { class: "soft" }, verdict(item)), picture(item), table);
  count.textContent = `${at + 1} of ${items.length.toLocaleString("en")}`;
  const [previous, next, close] = buttons;
  previous.onclick = () => open(items, (at + items.length - 1) % items.length);
  next.onclick = () => open(items, (at + 1) % items.length);
  close.onclick = () => dialog.close();
  if (!dialog.open) dialog.showModal();
}

// Every gallery of the page: two rows of cards, and a button for the others.
for (const root of document.querySelectorAll("[data-gallery]")) {
  const items = data[root.dataset.gallery];
  const list = root.querySelector("ul");
  const more = root.querySelector("button");
  const add = (from, to) => list.append(...items.slice(from, to).map((_, i) => card(items, from + i)));
  const few = 2 * getComputedStyle(list).gridTemplateColumns.split(" ").length;
  add(0, few);
  more.hidden = items.length <= few;
  more.textContent = `Show all ${items.length.toLocaleString("en")}`;
  more.addEventListener("click", () => {
    add(few);
    more.hidden = true;
    list.children[few].firstChild.focus();
  });
}
