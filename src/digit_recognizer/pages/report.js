// The report's own parts: galleries, the confusion matrix, curves, calibration, ensemble.
const byId = (id) => document.getElementById(id);
document.querySelectorAll("[data-gallery]").forEach(gallery);

// Confusion: a cell opens its digits, the same cell closes them.
for (const button of document.querySelectorAll("[data-cells]")) {
  button.addEventListener("click", () => {
    byId("matrix").classList.toggle("errors", button.dataset.cells === "errors");
    for (const other of document.querySelectorAll("[data-cells]")) {
      other.setAttribute("aria-pressed", String(other === button));
    }
  });
}
const cells = [...byId("matrix").querySelectorAll("button")];
for (const button of cells) {
  button.addEventListener("click", () => {
    const opened = button.getAttribute("aria-pressed") === "false";
    for (const other of cells) other.setAttribute("aria-pressed", String(opened && other === button));
    byId("cell").hidden = !opened;
    if (opened) byId("cell").replaceChildren(...cellDigits(Number(button.dataset.label), Number(button.dataset.said), button.textContent));
  });
}

function cellDigits(label, said, total) {
  const right = label === said;
  const items = (right ? data.unsure : data.errors).filter((item) => item.label === label && item.said === said);
  const title = right ? `Label ${label}, taken for ${said}` : `Label ${label}, but taken for ${said}`;
  const all = items.length === Number(total) ? "" : right ? `, the ${items.length} least sure` : `, ${items.length} of them here`;
  return [html("h3", {}, `${title}: ${total}${all}`), html("ul", { class: "digits" }, ...items.map(card))];
}

// Curves: both plots and the table show the epoch that the slider or the pointer chooses.
const slider = byId("epoch");
const cursors = [];
const atEpoch = (values, epoch) => values[Math.min(epoch, values.length) - 1];

function showEpoch(epoch) {
  slider.value = epoch;
  byId("epoch-value").textContent = epoch;
  data.curves.forEach((curve, number) => {
    const row = byId("members").tBodies[0].rows[number].cells;
    row[1].textContent = percent(atEpoch(curve.val_accuracy, epoch));
    row[2].textContent = percent(atEpoch(curve.train_accuracy, epoch));
    row[3].textContent = atEpoch(curve.val_loss, epoch).toFixed(4);
    row[4].textContent = atEpoch(curve.train_loss, epoch).toFixed(4);
  });
  cursors.forEach((move) => move(epoch));
}

function curves(host, what, y, show) {
  const last = Number(slider.max);
  const epochs = last === 1 ? [1] : evenly(1, last, 6).filter((e) => Number.isInteger(e));
  const x = linear(last === 1 ? 0 : 1, last, epochs, String);
  const meaning = `${what} of ${data.curves.length} members by epoch, on training and held-out rows; the table below has the values`;
  cursors.push(() => {});
  const place = cursors.length - 1;
  plot(host, { x, y, xName: "epoch", meaning }, (frame) => {
    const { root, px, py, height } = frame;
    const cursor = svg("line", { class: "cursor", y1: 12, y2: height - 40 });
    root.append(cursor);
    const points = [];
    data.curves.forEach((curve, number) => {
      const held = curve[`val_${what}`], trained = curve[`train_${what}`];
      const colour = `s${number % 8}`;
      const line = (values) => path(values.map((v, i) => [px(i + 1), py(v)]));
      root.append(
        svg("path", { class: `line dashed ${colour}`, d: line(trained) }),
        svg("path", { class: `line ${colour}`, d: line(held) }),
      );
      held.forEach((v, i) => {
        const text = `${curve.name}, epoch ${i + 1}\nheld out ${show(v)}\ntraining ${show(trained[i])}`;
        points.push({ x: px(i + 1), y: py(v), text, epoch: i + 1 }, { x: px(i + 1), y: py(trained[i]), text, epoch: i + 1 });
      });
      const end = held.length;
      root.append(svg("circle", { class: `dot ${colour}`, cx: px(end), cy: py(held[end - 1]), r: 3.5 }));
    });
    cursors[place] = (epoch) => ["x1", "x2"].forEach((key) => cursor.setAttribute(key, px(epoch)));
    cursors[place](Number(slider.value));
    hover(frame, points, (point) => showEpoch(point.epoch));
  });
}

const all = (what) => data.curves.flatMap((curve) => [...curve[`val_${what}`], ...curve[`train_${what}`]]);
curves(byId("accuracy-plot"), "accuracy", nines(all("accuracy")), (v) => percent(v));
curves(byId("loss-plot"), "loss", logarithmic(all("loss")), (v) => v.toFixed(4));
slider.addEventListener("input", () => showEpoch(Number(slider.value)));

// Calibration: dots on the diagonal mean what they say.
function interval(hits, rows) {
  const z2 = 1.96 ** 2, share = hits / rows, centre = (share + z2 / (2 * rows)) / (1 + z2 / rows);
  const half = (1.96 * Math.sqrt((share * (1 - share)) / rows + z2 / (4 * rows * rows))) / (1 + z2 / rows);
  return [centre - half, centre + half];
}

const tenths = linear(0, 1, evenly(0, 1, 5), (t) => `${Math.round(100 * t)} %`);
plot(byId("reliability-plot"), { x: tenths, y: tenths, xName: "how sure", meaning: "Accuracy by confidence; the table below has the values", ratio: 0.8 }, (frame) => {
  const { root, px, py } = frame;
  root.append(svg("line", { class: "cursor", x1: px(0), y1: py(0), x2: px(1), y2: py(1) }));
  const points = [];
  [["before", "as said", "s0"], ["after", "scaled", "s1"]].forEach(([key, name, colour], number) => {
    for (const bin of data.calibration[key]) {
      const x = px(bin.confidence), share = bin.hits / bin.n_rows, [low, high] = interval(bin.hits, bin.n_rows);
      const r = Math.max(3, Math.min(frame.width / 45, 14, 1.6 * Math.log2(bin.n_rows)));
      root.append(
        svg("line", { class: `whisker ${colour}`, x1: x, x2: x, y1: py(low), y2: py(high) }),
        svg("circle", { class: `bubble ${colour}`, cx: x, cy: py(share), r }),
      );
      const text = `${name}: ${bin.n_rows.toLocaleString("en")} rows\n${percent(bin.confidence)} sure\n${percent(share)} right`;
      points.push({ x, y: py(share), text });
    }
    root.append(
      svg("circle", { class: `bubble ${colour}`, cx: px(0.04), cy: py(0.95) + 20 * number, r: 5 }),
      svg("text", { class: "name", x: px(0.04) + 12, y: py(0.95) + 20 * number + 4 }, name),
    );
  });
  hover(frame, points);
});

// Ensemble: one, two, … members together.
function bySize(host, rows, key, meaning, show) {
  if (!host) return;
  const values = rows.flatMap((row) => [row[key], row.low ?? row[key], row.high ?? row[key]]);
  const low = Math.min(...values), high = Math.max(...values);
  const edge = (high - low) * 0.08 || 1e-5;
  const y = linear(low - edge, high + edge, evenly(low - edge, high + edge, 4), show);
  const sizes = evenly(1, rows.length, 8).filter((n) => Number.isInteger(n));
  const x = linear(rows.length === 1 ? 0 : 1, rows.length, sizes, String);
  plot(host, { x, y, xName: "members", meaning: `${meaning}; the table below has the values`, left: 66 }, (frame) => {
    const { root, px, py } = frame;
    const at = (row, value) => [px(row.members), py(value)];
    if ("low" in rows[0]) {
      const around = [...rows.map((row) => at(row, row.high)), ...rows.map((row) => at(row, row.low)).reverse()];
      root.append(svg("path", { class: "band s0", d: `${path(around)}Z` }));
    }
    root.append(svg("path", { class: "line s0", d: path(rows.map((row) => at(row, row[key]))) }));
    const points = rows.map((row) => {
      const [cx, cy] = at(row, row[key]);
      root.append(svg("circle", { class: "dot s0", cx, cy, r: 4 }));
      return { x: cx, y: cy, text: `${row.members}: ${show(row[key])}` };
    });
    hover(frame, points);
  });
}
bySize(byId("accuracy-by-size"), data.accuracy, "accuracy", "Out-of-fold accuracy by number of networks", (v) => v.toFixed(5));
bySize(byId("gain-by-size"), data.gain, "gain", "Promised gain on the test rows by number of members", (v) => v.toFixed(5));
