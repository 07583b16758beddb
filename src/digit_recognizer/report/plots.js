// Plots as SVG, drawn for the width that there is, and again when it changes.

const percent = (fraction, digits = 2) => `${(100 * fraction).toFixed(digits)}\u00a0%`;

// An axis maps values to 0..1. `ticks` are values; `show` writes them.
const linear = (low, high, ticks, show) => ({ at: (v) => (v - low) / (high - low), ticks, show });

// An axis from 1 to `last`, with at most eight ticks.
function epochAxis(last) {
  const step = Math.ceil(last / 8);
  const ticks = [...Array(last).keys()].map((i) => i + 1).filter((n) => n % step === 0);
  return linear(last === 1 ? 0 : 1, last, ticks, String);
}

// Each tenfold takes the same room. The smallest value that counts is 1e-5.
function logarithmic(values, show = (t) => `${t}`) {
  const at = (v) => Math.log10(Math.max(v, 1e-5));
  const least = Math.min(...values.map(at));
  const most = Math.max(...values.map(at), least + 0.3);
  const low = least - 0.05 * (most - least);
  const high = most + 0.05 * (most - least);
  const powers = [...Array(7).keys()].map((i) => Math.floor(high) - i);
  const isInside = (t) => t >= 1e-5 && at(t) >= low && at(t) <= high;
  const ticks = [[1, 2, 5], [1, 5], [1], [1, 1.5, 2, 3, 4, 6, 8]]
    .map((factors) => powers.flatMap((power) => factors.map((k) => Number(`${k}e${power}`))).filter(isInside))
    .find((found) => found.length > 1 && found.length < 8);
  return { at: (v) => (at(v) - low) / (high - low), ticks, show };
}

// Accuracies: each halving of the errors takes the same room, so 99 % and 99.9 % lie apart. Without
// an error, 100 % lies as far above the fewest errors as these above twice as many.
function accuracyAxis(values) {
  const errors = values.map((v) => 1 - v);
  const fewest = Math.min(0.1, ...errors.filter((e) => e > 0));
  const shown = (e) => Math.max(e, fewest / 2);
  const axis = logarithmic(errors.map(shown));
  const ticks = axis.ticks.filter((t) => t > 0.9 * fewest).map((t) => 1 - t);
  if (errors.includes(0)) ticks.push(1);
  return { at: (v) => 1 - axis.at(shown(1 - v)), ticks, show: (t) => `${Number((100 * t).toFixed(3))} %` };
}

// A frame with axes. `draw(frame)` adds what belongs inside; `label` is for screen readers.
function plot(host, { x, y, xName, label, ratio = 0.62 }, draw) {
  const left = 52;
  let width = 0;
  const redraw = () => {
    if (host.clientWidth === width) return;
    width = host.clientWidth;
    const height = Math.round(Math.max(220, Math.min(width * ratio, 420)));
    const viewBox = `0 0 ${width} ${height}`;
    const root = svg("svg", { class: "plot", width, height, viewBox, role: "img", "aria-label": label });
    const px = (v) => left + x.at(v) * (width - left - 14);
    const py = (v) => height - 40 - y.at(v) * (height - 52);
    const across = (name, at) => root.append(svg("line", { class: name, x1: left, x2: width - 14, y1: at, y2: at }));
    const text = (at, down, anchor, shown) =>
      root.append(svg("text", { x: at, y: down, "text-anchor": anchor }, shown));
    for (const tick of y.ticks) {
      across("grid", py(tick));
      text(left - 8, py(tick) + 4, "end", y.show(tick));
    }
    for (const tick of x.ticks) text(px(tick), height - 22, "middle", x.show(tick));
    across("axis", height - 40);
    text((left + width - 14) / 2, height - 4, "middle", xName);
    host.replaceChildren(root);
    draw({ root, px, py, width, left });
  };
  new ResizeObserver(redraw).observe(host);
}

const path = (points) => points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)},${y.toFixed(1)}`).join("");
