// The report's own parts: galleries, the confusion matrix, curves, calibration, ensemble.
document.querySelectorAll("[data-gallery]").forEach(gallery);

// The navigation marks the section that crosses a line at 15 % of the window's height.
const inView = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    const link = document.querySelector(`.contents [href="#${target.id}"]`);
    link.setAttribute("aria-current", String(isIntersecting));
    if (isIntersecting) link.closest("ul").scrollLeft = link.offsetLeft - 60;
  }
}, { rootMargin: "-15% 0px -84% 0px" });
document.querySelectorAll("main > section").forEach((section) => inView.observe(section));

// Confusion: a cell opens its digits, the same cell closes them.
const choices = document.querySelectorAll("[data-cells]");
for (const button of choices) {
  button.addEventListener("click", () => {
    byId("matrix").classList.toggle("errors", button.dataset.cells === "errors");
    press(choices, button);
  });
}
const cells = [...byId("matrix").querySelectorAll("button")];
for (const button of cells) {
  button.addEventListener("click", () => {
    const opened = button.getAttribute("aria-pressed") === "false";
    press(cells, opened && button);
    byId("cell").hidden = !opened;
    if (opened) showCell(Number(button.dataset.label), Number(button.dataset.predicted), button.textContent);
  });
}

function showCell(label, predicted, total) {
  const correct = label === predicted, panel = byId("cell");
  const items = (correct ? data.uncertain : data.errors).filter((item) => item.label === label && item.predicted === predicted);
  const few = items.length === Number(total) ? "" : correct ? `, the ${items.length} least confident` : `, ${items.length} of them here`;
  panel.querySelector("h3").textContent = `Label ${label}, predicted ${predicted}: ${total}${few}`;
  showCards(panel.querySelector("ul"), panel.querySelector(".more"), items);
  panel.scrollIntoView({ block: "nearest" });
}

// Curves: both plots and the table show the epoch that the slider or the pointer chooses.
const slider = byId("epoch");
const cursors = [];

function showEpoch(epoch) {
  slider.value = epoch;
  byId("epoch-value").textContent = epoch;
  data.curves.forEach((curve, number) => {
    const row = byId("members").tBodies[0].rows[number].cells;
    ["val_accuracy", "train_accuracy", "val_loss", "train_loss"].forEach((key, i) => {
      const value = curve[key][Math.min(epoch, curve[key].length) - 1];
      row[i + 1].textContent = i < 2 ? percent(value) : value.toFixed(4);
    });
  });
  cursors.forEach((move) => move(epoch));
}

function curves(host, what, y, show) {
  const x = counted(Number(slider.max), 6);
  const label = `${what} of ${data.curves.length} members by epoch, on training and held-out rows; the table below has the values`;
  const own = cursors.push(() => {}) - 1;
  plot(host, { x, y, xName: "epoch", label }, (frame) => {
    const { root, px, py, height } = frame;
    const cursor = svg("line", { class: "cursor", y1: 12, y2: height - 40 });
    root.append(cursor);
    const points = [];
    data.curves.forEach((curve, number) => {
      const held = curve[`val_${what}`], trained = curve[`train_${what}`];
      const colour = `s${number % 8}`;
      const text = (i) => `${curve.name}, epoch ${i + 1}\nheld out ${show(held[i])}\ntraining ${show(trained[i])}`;
      for (const [values, style] of [[trained, "line dashed"], [held, "line"]]) {
        const line = values.map((v, i) => ({ x: px(i + 1), y: py(v), text: text(i), epoch: i + 1 }));
        const joined = values === held ? line.slice(0, -1) : line; // the last epoch measures other rows
        root.append(svg("path", { class: `${style} ${colour}`, d: path(joined.map(({ x, y }) => [x, y])) }));
        points.push(...line);
      }
      const end = points.at(-1); // of the held-out rows' line
      root.append(svg("circle", { class: `dot ${colour}`, cx: end.x, cy: end.y, r: 3.5 }));
    });
    cursors[own] = (epoch) => ["x1", "x2"].forEach((key) => cursor.setAttribute(key, px(epoch)));
    cursors[own](Number(slider.value));
    hover(frame, points, (point) => showEpoch(point.epoch));
  });
}

const all = (what) => data.curves.flatMap((curve) => [...curve[`val_${what}`], ...curve[`train_${what}`]]);
curves(byId("accuracy-plot"), "accuracy", nines(all("accuracy")), (v) => percent(v));
curves(byId("loss-plot"), "loss", logarithmic(all("loss")), (v) => v.toFixed(4));
slider.addEventListener("input", () => showEpoch(Number(slider.value)));

// Calibration: on the diagonal, confidence is accuracy.
const tenths = linear(0, 1, evenly(0, 1, 5), (t) => `${Math.round(100 * t)} %`);
plot(byId("reliability-plot"), { x: tenths, y: tenths, xName: "confidence", label: "Accuracy by confidence; the table below has the values", ratio: 0.8 }, (frame) => {
  const { root, px, py } = frame;
  root.append(svg("line", { class: "cursor", x1: px(0), y1: py(0), x2: px(1), y2: py(1) }));
  const points = [];
  [["before", "as it is", "s0"], ["after", "scaled", "s1"]].forEach(([key, name, colour], number) => {
    for (const { n_rows, confidence, accuracy, interval: [low, high] } of data.calibration[key]) {
      const x = px(confidence) + 6 * number - 3, y = py(accuracy); // side by side
      const r = Math.max(3, Math.min(frame.width / 45, 14, 1.6 * Math.log2(n_rows)));
      root.append(
        svg("line", { class: `whisker ${colour}`, x1: x, x2: x, y1: py(low), y2: py(high) }),
        svg("circle", { class: `bubble ${colour}`, cx: x, cy: y, r }),
      );
      points.push({ x, y, text: `${name}: ${n_rows.toLocaleString("en")} rows\nconfidence ${percent(confidence)}\ncorrect ${percent(accuracy)}` });
    }
    root.append(
      svg("circle", { class: `bubble ${colour}`, cx: px(0.04), cy: py(0.95) + 20 * number, r: 5 }),
      svg("text", { class: "name", x: px(0.04) + 12, y: py(0.95) + 20 * number + 4 }, name),
    );
  });
  hover(frame, points);
});

// Ensemble: one, two, … members together.
function bySize(host, rows, label) {
  if (!host) return;
  const values = rows.flatMap((row) => [row.low, row.high]);
  const low = Math.min(...values), high = Math.max(...values);
  const edge = (high - low) * 0.08 || 1e-5;
  const y = linear(low - edge, high + edge, evenly(low - edge, Math.min(1, high + edge), 4), (v) => `${Number((100 * v).toFixed(3))} %`);
  plot(host, { x: counted(rows.length, 8), y, xName: "members", label: `${label}; the table below has the values`, left: 66 }, (frame) => {
    const { root, px, py } = frame;
    const at = (key) => rows.map((row) => [px(row.members), py(row[key])]);
    root.append(svg("path", { class: "band s0", d: `${path([...at("high"), ...at("low").reverse()])}Z` }), svg("path", { class: "line s0", d: path(at("mean")) }));
    for (const [cx, cy] of at("mean")) root.append(svg("circle", { class: "dot s0", cx, cy, r: 4 }));
    hover(frame, at("mean").map(([x, y], i) => ({ x, y, text: `${i + 1}: ${percent(rows[i].mean, 3)}` })));
  });
}
bySize(byId("accuracy-by-size"), data.accuracy, "Out-of-fold accuracy by number of networks");
bySize(byId("agreement-by-size"), data.agreement, "Agreement with all members by number of members");
