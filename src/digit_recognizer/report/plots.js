// Plots as SVG, drawn for the width that there is, and again when it changes.

const percent = (fraction, digits = 2) => `${(100 * fraction).toFixed(digits)}\u00a0%`;

// An axis maps values to 0..1. `ticks` are values; `show` writes them.
const linear = (low, high, ticks, show) => ({ at: (v) => (v - low) / (high - low), ticks, show });

function evenly(low, high, count) {
  const rough = (high - low || Math.abs(high) || 1) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((k) => k * power).find((s) => s >= rough * 0.999);
  const ticks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) ticks.push(k * step);
  return ticks;
}

// An axis from 1 to `last`, with ticks at whole numbers.
const counted = (last, count) =>
  linear(last === 1 ? 0 : 1, last, last === 1 ? [1] : evenly(1, last, count).filter(Number.isInteger), String);

// Each tenfold takes the same room. The smallest value that counts is 1e-5.
function logarithmic(values, show = (t) => `${t}`) {
  const at = (v) => Math.log10(Math.max(v, 1e-5));
  const least = Math.min(...values.map(at)), most = Math.max(...values.map(at), least + 0.3);
  const edge = 0.05 * (most - least), low = least - edge, high = most + edge;
  const powers = [...Array(7).keys()].map((i) => Math.floor(high) - i);
  const ticks = [[1, 2, 5], [1, 5], [1]]
    .map((factors) => powers.flatMap((power) => factors.map((k) => Number(`${k}e${power}`))).filter((t) => at(t) >= low && at(t) <= high))
    .find((found) => found.length < 8);
  return { at: (v) => (at(v) - low) / (high - low), ticks, show };
}

// Accuracies: each halving of the errors takes the same room, so 99 % and 99.9 % lie apart. Without
// an error, 100 % lies as far above the fewest errors as these above twice as many.
function nines(values) {
  const errors = values.map((v) => 1 - v), fewest = Math.min(0.1, ...errors.filter((e) => e > 0));
  const shown = (e) => Math.max(e, fewest / 2);
  const axis = logarithmic(errors.map(shown));
  const ticks = axis.ticks.filter((t) => t > 0.9 * fewest).map((t) => 1 - t);
  if (errors.includes(0)) ticks.push(1);
  return { at: (v) => 1 - axis.at(shown(1 - v)), ticks, show: (t) => `${Number((100 * t).toFixed(3))} %` };
}

// A frame with axes. `draw(frame)` adds what belongs inside; `label` is for screen readers.
function plot(host, { x, y, xName, label, role = "img", ratio = 0.62, left = 52 }, draw) {
  // Hidden from screen readers: the table beside the plot has the same values.
  const tip = html("div", { class: "tip", hidden: "", "aria-hidden": "true" });
  let width = 0;
  const redraw = () => {
    if (host.clientWidth === width) return;
    width = host.clientWidth;
    const height = Math.round(Math.max(220, Math.min(width * ratio, 420)));
    const root = svg("svg", { class: "plot", width, height, viewBox: `0 0 ${width} ${height}`, role, "aria-label": label });
    const px = (v) => left + x.at(v) * (width - left - 14);
    const py = (v) => height - 40 - y.at(v) * (height - 52);
    const across = (name, at) => root.append(svg("line", { class: name, x1: left, x2: width - 14, y1: at, y2: at }));
    const text = (at, down, anchor, shown) => root.append(svg("text", { x: at, y: down, "text-anchor": anchor }, shown));
    for (const tick of y.ticks) {
      across("grid", py(tick));
      text(left - 8, py(tick) + 4, "end", y.show(tick));
    }
    for (const tick of x.ticks) text(px(tick), height - 22, "middle", x.show(tick));
    across("axis", height - 40);
    text((left + width - 14) / 2, height - 4, "middle", xName);
    host.replaceChildren(root, tip);
    draw({ root, px, py, width, height, left, tip: (text, at) => showTip(tip, text, at, width) });
  };
  new ResizeObserver(redraw).observe(host);
}

function showTip(tip, text, at, width) {
  tip.hidden = !text;
  if (!text) return;
  tip.textContent = text;
  tip.style.left = `${Math.max(0, Math.min(at.x + 12, width - tip.offsetWidth))}px`;
  tip.style.top = `${Math.max(0, at.y - tip.offsetHeight - 10)}px`;
}

const path = (points) => points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)},${y.toFixed(1)}`).join("");

// Whichever of `points` ({x, y, text}) is nearest shows its text while the pointer is over the plot.
function hover({ root, tip }, points, moved = () => {}) {
  root.addEventListener("pointermove", (event) => {
    const box = root.getBoundingClientRect();
    const far = (p) => Math.hypot(p.x + box.left - event.clientX, p.y + box.top - event.clientY);
    const nearest = points.reduce((best, p) => (far(p) < far(best) ? p : best), points[0]);
    tip(nearest.text, nearest);
    moved(nearest);
  });
  root.addEventListener("pointerleave", () => tip(""));
}
