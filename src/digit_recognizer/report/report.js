// The navigation marks the section that crosses a line at 15 % of the window's height.
function mark(entries) {
  for (const { target, isIntersecting } of entries) {
    const link = document.querySelector(`.contents [href="#${target.id}"]`);
    link.setAttribute("aria-current", String(isIntersecting));
    if (isIntersecting) link.closest("ul").scrollLeft = link.offsetLeft - 60;
  }
}
const inView = new IntersectionObserver(mark, { rootMargin: "-15% 0px -84% 0px" });
document.querySelectorAll("main > section").forEach((section) => inView.observe(section));

// Confusion: a cell opens its digits.
for (const button of byId("matrix").querySelectorAll("button")) {
  const { label, predicted } = button.dataset;
  const items = data.errors.filter((item) => item.label === Number(label) && item.predicted === Number(predicted));
  button.disabled = !items.length; // where only the most confident errors are here
  button.addEventListener("click", () => open(items, 0));
}

// Curves: each epoch shows its values where the pointer rests on it.
function curves(host, what, y, show) {
  const x = epochAxis(Math.max(...data.curves.map(({ epochs }) => epochs.length)));
  const label = `${what} of ${data.curves.length} members by epoch, on training and held-out rows; the table below has those of the last epoch, history.csv of each member all`;
  plot(host, { x, y, xName: "epoch", label }, ({ root, px, py }) => {
    data.curves.forEach(({ name, epochs }, number) => {
      const [held, trained] = [`val_${what}`, `train_${what}`].map((key) => epochs.map((epoch) => epoch[key]));
      const last = epochs.length - 1;
      const line = (values, style) => {
        const points = values.map((v, i) => [px(i + 1), py(v)]);
        root.append(svg("path", { class: `line ${style} s${number % 8}`, d: path(points) }));
      };
      const point = (v, i, attributes) => {
        const text = `${name}, epoch ${i + 1}\nheld out ${show(held[i])}\ntraining ${show(trained[i])}`;
        root.append(svg("circle", { cx: px(i + 1), cy: py(v), ...attributes }, svg("title", {}, text)));
      };
      line(trained, "dashed");
      line(held.slice(0, -1), ""); // the last epoch measures other rows
      for (const values of [trained, held]) values.forEach((v, i) => point(v, i, { class: "hit-area", r: 8 }));
      point(held[last], last, { class: `dot s${number % 8}`, r: 3.5 });
    });
  });
}

const all = (what) =>
  data.curves.flatMap(({ epochs }) => epochs.flatMap((epoch) => [epoch[`val_${what}`], epoch[`train_${what}`]]));
curves(byId("accuracy-plot"), "accuracy", accuracyAxis(all("accuracy")), (v) => percent(v));
curves(byId("loss-plot"), "loss", logarithmic(all("loss")), (v) => v.toFixed(4));

// Calibration: on the diagonal, confidence is accuracy.
const tenths = linear(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1], (t) => `${Math.round(100 * t)} %`);
const label = "Accuracy by confidence; the table has the values";
const calibration = { x: tenths, y: tenths, xName: "confidence", label, ratio: 0.8 };
plot(byId("reliability-plot"), calibration, ({ root, px, py, width }) => {
  root.append(svg("line", { class: "diagonal", x1: px(0), y1: py(0), x2: px(1), y2: py(1) }));
  for (const { n_rows, confidence, accuracy, low, high } of data.calibration) {
    const x = px(confidence);
    const r = Math.max(3, Math.min(width / 45, 14, 1.6 * Math.log2(n_rows)));
    const text = `${n_rows.toLocaleString("en")} rows\nconfidence ${percent(confidence)}\ncorrect ${percent(accuracy)}`;
    root.append(svg("line", { class: "whisker s0", x1: x, x2: x, y1: py(low), y2: py(high) }));
    root.append(svg("circle", { class: "bubble s0", cx: x, cy: py(accuracy), r }, svg("title", {}, text)));
  }
});
