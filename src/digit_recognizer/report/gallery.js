// Galleries of digits: cards that open, two rows of them and the rest on demand.

const picture = (item) => html("img", { class: "digit", src: item.image, alt: "" });
// Of a test row, which has no label: the digits that members predict, the most frequent first.
const votes = (item) => DIGITS.filter((d) => item.votes[d]).sort((a, b) => item.votes[b] - item.votes[a]);
// Blue is the label, or the prediction where nobody knows the label; red is a wrong prediction.
const colorClass = (item, digit) =>
  digit === (item.label ?? item.predicted) ? "true" : digit === item.predicted ? "false" : "";
const rowName = (item) => (item.votes ? `ImageId ${item.row}` : `Row ${item.row}`);

function verdict(item) {
  if (!item.votes) return `label ${item.label}, predicted ${item.predicted}`;
  const predictions = votes(item).map((d) => `${d} predicted by ${item.votes[d]}`);
  return predictions.join(", ");
}

function shortVerdict(item) {
  if (!item.votes) return html("b", {}, `${item.label} → `, html("span", { class: "false" }, `${item.predicted}`));
  const [first, ...others] = votes(item);
  return html("span", {}, html("b", {}, `${first}`), ...others.map((d) => ` or ${d}`));
}

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
  const label = `${rowName(item)}: ${verdict(item)}, confidence ${confidence}`;
  const button = html("button", { "aria-label": label, "aria-haspopup": "dialog" }, picture(item), shortVerdict(item));
  if (item.votes && votes(item).length > 1) {
    const counts = votes(item).map((d) => item.votes[d]);
    button.append(html("small", { class: "soft" }, counts.join(" : ")));
  }
  button.append(bars(item), html("small", { class: "soft" }, rowName(item)));
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
  shown.replaceChildren(
    html("h2", { id: "dialog-title" }, rowName(item)),
    html("p", { class: "soft" }, verdict(item)),
    picture(item),
    html("table", { "aria-label": "Probabilities" }, html("tbody", {}, ...rows)),
  );
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
