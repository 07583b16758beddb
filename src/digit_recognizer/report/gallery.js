// Galleries of digits: cards that open, filters, two rows and the rest on demand.

function picture({ index }) {
  const style = `--x:${index % data.columns};--y:${Math.floor(index / data.columns)}`;
  return html("span", { class: "digit", style, "aria-hidden": "true" });
}

const votes = (item) => DIGITS.filter((d) => item.votes[d]).sort((a, b) => item.votes[b] - item.votes[a]);
// Blue is the label, or the prediction where nobody knows the label; red is a wrong prediction.
const kind = (item, digit) => (digit === (item.label ?? item.predicted) ? "true" : digit === item.predicted ? "false" : "");
const rowName = (item) => ("label" in item ? `row ${item.row}` : `ImageId ${item.row}`);

function verdict(item) {
  if ("label" in item && item.label !== item.predicted) return `label ${item.label}, predicted ${item.predicted}`;
  if ("label" in item) return `label ${item.label}, correct`;
  if (!item.votes) return `predicted ${item.predicted}`;
  return votes(item).map((d) => `${d} predicted by ${item.votes[d]}`).join(", ");
}

function shortVerdict(item) {
  const [first, ...others] = item.votes ? votes(item) : [item.label ?? item.predicted];
  const shown = html("span", { class: "verdict" }, html("b", {}, `${first}`), ...others.map((d) => ` or ${d}`));
  if (kind(item, item.predicted) === "false") shown.append(" → ", html("b", { class: "false" }, `${item.predicted}`));
  return shown;
}

function bars(item) {
  const chart = svg("svg", { viewBox: "0 0 100 30", preserveAspectRatio: "none" });
  for (const digit of DIGITS) {
    const height = Math.max(1.5, (30 * item.p[digit]) / 10000);
    chart.append(svg("rect", { class: kind(item, digit), x: digit * 10 + 1, y: 30 - height, width: 8, height }));
  }
  return html("span", { class: "bars", "aria-hidden": "true" }, chart, html("span", { class: "scale" }, DIGITS.join(" ")));
}

// The card of the digit at `at` among `items`, which the dialog can go through.
function card(items, at) {
  const item = items[at];
  const confidence = percent(item.p[item.predicted] / 10000, 1);
  const label = `${rowName(item)}: ${verdict(item)}, confidence ${confidence}`;
  const button = html("button", { "aria-label": label, "aria-haspopup": "dialog" }, picture(item), shortVerdict(item));
  if (item.votes) button.append(html("span", { class: "votes soft" }, votes(item).map((d) => item.votes[d]).join(" : ")));
  button.append(bars(item), html("span", { class: "row" }, rowName(item)));
  button.addEventListener("click", () => open(items, at));
  return html("li", {}, button);
}

// One dialog for all digits: the browser keeps the focus inside, Escape closes it.
const shown = html("div"), steps = [["Previous", -1], ["Next", 1], ["Close", 0]].map(([name, step]) => [html("button", {}, name), step]);
const dialog = document.body.appendChild(html("dialog", { "aria-labelledby": "dialog-title" }, shown, html("div", { class: "choices" }, ...steps.map(([button]) => button))));
dialog.addEventListener("keydown", ({ key }) => ({ ArrowLeft: steps[0][0], ArrowRight: steps[1][0] })[key]?.click());

function open(items, at) {
  const item = items[at];
  const rows = DIGITS.map((digit) => {
    const proba = item.p[digit] / 10000;
    const meter = html("span", { class: `meter ${kind(item, digit)}`, style: `width:${100 * proba}%` });
    return html("tr", {}, html("th", { scope: "row" }, `${digit}`), html("td", {}, meter), html("td", {}, percent(proba)));
  });
  const name = rowName(item);
  shown.replaceChildren(
    html("h2", { id: "dialog-title" }, name[0].toUpperCase() + name.slice(1)),
    html("p", { class: "soft" }, verdict(item)),
    picture(item),
    html("table", {}, html("caption", { class: "hidden" }, "Probabilities"), html("tbody", {}, ...rows)),
  );
  for (const [button, step] of steps) button.onclick = () => (step ? open(items, (at + step + items.length) % items.length) : dialog.close());
  if (!dialog.open) dialog.showModal();
}

// Fill a visible `list` with the first two rows of `items`; the button `more` adds the others.
function showCards(list, more, items) {
  const few = 2 * getComputedStyle(list).gridTemplateColumns.split(" ").length;
  const cards = (from, to) => items.slice(from, to).map((_, i) => card(items, from + i));
  list.replaceChildren(...cards(0, few));
  more.hidden = items.length <= few;
  more.textContent = `Show all ${items.length.toLocaleString("en")}`;
  more.onclick = () => {
    list.append(...cards(few));
    more.hidden = true;
    list.children[few].firstChild.focus();
  };
}

// A gallery: two rows of filters, a count, cards, and a button for all.
function gallery(root) {
  const items = data[root.dataset.gallery];
  const chosen = { label: "", predicted: "" };
  const filter = () => {
    const found = items.filter((item) => Object.entries(chosen).every(([key, digit]) => digit === "" || item[key] === Number(digit)));
    root.querySelector(".count").textContent = `${found.length.toLocaleString("en")} of ${items.length.toLocaleString("en")}`;
    showCards(root.querySelector("ul"), root.querySelector(".more"), found);
  };
  for (const button of root.querySelectorAll("[data-key]")) {
    const { key, digit } = button.dataset;
    button.disabled = digit !== "" && !items.some((item) => item[key] === Number(digit));
    button.addEventListener("click", () => {
      chosen[key] = digit;
      press(root.querySelectorAll(`[data-key="${key}"]`), button);
      filter();
    });
  }
  filter();
}
