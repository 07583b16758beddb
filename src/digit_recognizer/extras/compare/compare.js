// Recipes by seconds of training and error; the browser shows the figures of the one at the pointer.
const fastest = [...data].sort((a, b) => a.seconds - b.seconds || a.errors[1] - b.errors[1]);
const front = fastest.filter(({ errors }, i) => fastest.slice(0, i).every((other) => other.errors[1] > errors[1]));
const allSeconds = data.map(({ seconds }) => seconds);
const allErrors = data.flatMap(({ errors }) => errors);
const axes = {
  x: logarithmic(allSeconds, (t) => t.toLocaleString("en")),
  y: logarithmic(allErrors, (t) => `${Number((100 * t).toPrecision(2))} %`),
  xName: "seconds of training, summed over members",
  label: `Out-of-fold error against seconds of training, both on logarithmic axes. On the Pareto front: ${front.map(({ cells }) => cells.recipe).join(", ")}. The table below has the same figures.`,
  ratio: 0.8,
};

plot(byId("plot"), axes, ({ root, px, py, width, left }) => {
  // A stair: between two points of the front, the faster one is the best there is.
  const ends = [...front.slice(1).map(({ seconds }) => px(seconds)), width - 14];
  const steps = front.flatMap(({ seconds, errors }, i) => [px(seconds), ends[i]].map((x) => [x, py(errors[1])]));
  root.append(svg("path", { class: "line s0 front", d: path(steps) }));
  const points = data.map((recipe) => ({ recipe, x: px(recipe.seconds), y: py(recipe.errors[1]) }));
  const taken = points.map(({ x, y }) => [x - 7, y - 7, x + 7, y + 7]);
  const isFree = ([l, t, r, b]) =>
    l >= left && r <= width && taken.every(([l2, t2, r2, b2]) => r < l2 || l > r2 || b < t2 || t > b2);

  for (const { recipe, x, y } of points) {
    const name = svg("text", { class: "name" }, recipe.cells.recipe);
    const [low, , high] = recipe.errors.map(py);
    const figures = Object.entries(recipe.cells).map((cell) => cell.join(" "));
    const whisker = svg("line", { class: "whisker", x1: x, x2: x, y1: low, y2: high });
    const dot = svg("circle", { class: "dot", cx: x, cy: y, r: 6 });
    const title = svg("title", {}, figures.join("\n"));
    const style = front.includes(recipe) ? "s0" : "s7";
    root.append(svg("g", { class: `point ${style}` }, whisker, dot, name, title));
    // Beside the point, where nothing else is.
    const w = name.getComputedTextLength();
    const boxes = [
      [10, 4],
      [4, 20],
      [-10 - w, 4],
      [-w / 2, 21],
      [-w / 2, -12],
      [-4 - w, 20],
    ].map(([dx, dy]) => [x + dx, y + dy - 11, x + dx + w, y + dy + 3]);
    const box = boxes.find(isFree) ?? boxes[0];
    taken.push(box);
    name.setAttribute("x", box[0]);
    name.setAttribute("y", box[3] - 3);
  }
});
