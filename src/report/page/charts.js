// Line charts as inline SVG: lines of several runs over one x axis that all charts share, zoomed by dragging, read by
// pointer or by keys. And numbers as people read them.
"use strict";

// --- numbers ----------------------------------------------------------------------------------------------------------

const thinSpace = "\u202f";
const minus = "\u2212";

function signed(text) {
  return text.replace(/-/g, minus);
}

/** A whole number, its digits in threes: 60 000. */
function grouped(value) {
  return signed(Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, thinSpace));
}

/** A count on an axis: 500, 25k, 1.2M. */
function compact(value) {
  for (const [size, letter] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]])
    if (Math.abs(value) >= size) return signed(`${+(value / size).toFixed(2)}${letter}`);
  return signed(`${+value.toFixed(2)}`);
}

/** Four digits, with an exponent where zeros would hide them: 0.6931, 2e−4. */
function short(value) {
  if (value === null || value === undefined) return "not finite";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-3 || size >= 1e6) return signed(value.toExponential(3).replace(/\.?0+e/, "e").replace("e+", "e"));
  return signed(`${+value.toPrecision(4)}`);
}

function percent(value) {
  return value === null || value === undefined ? "not finite" : `${(100 * value).toFixed(1)}${thinSpace}%`;
}

/** Seconds as 12 s, 3:07 min, 2:05:00 h. */
function duration(seconds) {
  if (seconds === null || seconds === undefined) return "unknown";
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)}${thinSpace}s`;
  const total = Math.round(seconds);
  const two = (n) => String(n).padStart(2, "0");
  const [h, m, s] = [Math.floor(total / 3600), Math.floor(total / 60) % 60, total % 60];
  return h > 0 ? `${grouped(h)}:${two(m)}:${two(s)}${thinSpace}h` : `${m}:${two(s)}${thinSpace}min`;
}

// --- curves -----------------------------------------------------------------------------------------------------------

/**
 * The running median over `window` values, an odd number: value i is the median of those from i - window/2 to
 * i + window/2 that there are. What is not finite (null) is left out; where nothing is left there is null.
 */
function runningMedian(values, window) {
  const half = (window - 1) / 2;
  const sorted = [];
  const place = (value) => {  // the first that is not less
    let [low, high] = [0, sorted.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sorted[middle] < value) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  const enter = (value) => value !== null && sorted.splice(place(value), 0, value);
  const leave = (value) => value !== null && sorted.splice(place(value), 1);
  for (let i = 0; i < Math.min(half, values.length); ++i) enter(values[i]);
  return values.map((_, i) => {
    if (i + half < values.length) enter(values[i + half]);
    if (i - half > 0) leave(values[i - half - 1]);
    const count = sorted.length;
    if (count === 0) return null;
    return count % 2 === 1 ? sorted[(count - 1) / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
  });
}

/** Multiples of 1, 2 or 5 times a power of ten from `low` to `high`, about `wanted` of them. */
function plainTicks(low, high, wanted, least = 0) {
  const rough = Math.max((high - low) / wanted, least);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough * (1 - 1e-9));
  return multiples(step, low, high);
}

/** Of `step`, from `low` to `high`: at most 100, should the numbers be too near each other to count. */
function multiples(step, low, high) {
  const first = Math.ceil(low / step - 1e-9);
  const count = Math.floor(high / step + 1e-9) - first + 1;
  return Array.from({ length: Math.min(Math.max(count, 0), 100) }, (_, i) => (first + i) * step);
}

function timeTicks(low, high, wanted) {
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400];
  const rough = (high - low) / wanted;
  const step = rough < 1 ? null : steps.find((size) => size >= rough);
  if (step === null) return plainTicks(low, high, wanted);
  return multiples(step ?? 86400 * Math.ceil(rough / 86400), low, high);
}

/** Powers of ten; with their double and fivefold where there are few of them. None or one where the range is narrow. */
function logTicks(low, high) {
  const [first, last] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
  const factors = last - first <= 3 ? [1, 2, 5] : [1];
  const every = Math.max(1, Math.ceil((last - first) / 6));
  const ticks = [];
  for (let k = first; k <= last; k += every)
    for (const factor of factors) {
      const tick = factor * 10 ** k;
      if (tick >= low * (1 - 1e-9) && tick <= high * (1 + 1e-9)) ticks.push(tick);
    }
  return ticks;
}

/** How plain ticks are written: all with as many decimals, or digits where zeros would hide them. */
function textOfTicks(ticks) {
  const step = ticks.length > 1 ? ticks[1] - ticks[0] : 0;
  const digits = step > 0 ? Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) : 4;
  if (digits > 4) {
    const greatest = Math.max(...ticks.map(Math.abs));
    const behind = Math.min(3, Math.max(0, Math.floor(Math.log10(greatest)) - Math.floor(Math.log10(step) + 1e-9)));
    return (tick) => Math.abs(tick) < step / 2 ? "0" : signed(tick.toExponential(behind));
  }
  if (Math.max(...ticks.map(Math.abs)) >= 1e4) return compact;
  return (tick) => signed((Math.abs(tick) < step / 2 ? 0 : tick).toFixed(digits));
}

/** What a chart's x axis may show, by the column of the data that it is. */
const xAxes = {
  step: { name: "Step", label: "step (updates of G)", ticks: (a, b, n) => plainTicks(a, b, n, 1), tick: compact,
          value: (x) => `step ${grouped(x)}` },
  epoch: { name: "Epoch", label: "epoch", ticks: plainTicks, tick: compact, value: (x) => `epoch ${short(x)}` },
  images_seen: { name: "Images", label: "real images seen", ticks: (a, b, n) => plainTicks(a, b, n, 1), tick: compact,
                 value: (x) => `${grouped(x)} images` },
  seconds: { name: "Time", label: "time of training", ticks: timeTicks, tick: duration, value: duration },
};

// --- elements ---------------------------------------------------------------------------------------------------------

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

/** An HTML element; text among the children stays text, whatever is in it. */
function html(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

/** A short piece of a line, as it looks in the chart. */
function swatch(line) {
  return svg("svg", { class: "swatch", width: 22, height: 10, "aria-hidden": "true" },
             svg("line", { class: line.dashed ? "dashed" : null, x1: 1, x2: 21, y1: 5, y2: 5, stroke: line.colour }));
}

// --- charts -----------------------------------------------------------------------------------------------------------

/** What all charts of a page share: the column on the x axis, the part of it that is shown, and the median's window. */
const view = {
  x: "step",
  domain: null,  // [from, to]; null: everything
  window: 1,
  charts: [],
  changed: () => {},
  set(changes) {
    Object.assign(view, changes);
    if (view.domain) view.domain = view.readable(view.domain);
    for (const chart of view.charts) chart.draw();
    view.changed();
  },
  /** The domain, widened where it is so narrow that the digits of numbers end within it. */
  readable([from, to]) {
    const least = 1e-6 * Math.max(...view.charts.map((chart) => chart.extent()).map(([low, high]) => high - low));
    if (to - from >= least) return [from, to];
    const middle = (from + to) / 2;
    return [middle - least / 2, middle + least / 2];
  },
  point(x) {
    for (const chart of view.charts) chart.point(x);
  },
};

/**
 * spec.title, spec.unit (what is on the y axis), spec.note (a sentence below), spec.lines: [{name, columns, values,
 * colour, dashed}], where columns are the run's and values the line's own. Optional: spec.range [least, most],
 * spec.reference {value, name}, spec.format of a value, spec.ticks, spec.log (whether it begins so), spec.window (the
 * least window of the median).
 */
class Chart {
  constructor(spec) {
    this.spec = { format: short, window: 1, ...spec };
    this.log = spec.log === true;
    this.tip = html("div", { class: "tip", hidden: true });
    this.spoken = html("p", { class: "unseen", "aria-live": "polite" });
    this.svg = svg("svg", { "aria-hidden": "true" });
    this.plot = html("div", {
      class: "plot", tabindex: 0, role: "application", "aria-roledescription": "chart",
      "aria-label": `${spec.title}: ${spec.lines.map((line) => line.name).join(", ")}. Left and right read values, ` +
                    "plus and minus zoom, 0 shows everything.",
      onpointermove: (event) => this.moved(event),
      onpointerdown: (event) => this.pressed(event),
      onpointerup: (event) => this.released(event),
      onpointerleave: () => this.left(),
      onpointercancel: () => this.left(),
      onblur: () => this.left(),
      ondblclick: () => view.set({ domain: null }),
      onkeydown: (event) => this.key(event),
    }, this.svg, this.tip, this.spoken);
    this.logButton = html("button", {
      type: "button", class: "log", "aria-pressed": String(this.log), title: "Logarithmic y axis",
      "aria-label": `Logarithmic axis of ${spec.title}`,
      onclick: () => {
        this.log = !this.log;
        this.logButton.setAttribute("aria-pressed", String(this.log));
        this.draw();
      },
    }, "log");
    this.legend = html("ul", { class: "legend" });
    this.figure = html("figure", { class: spec.wide ? "chart wide" : "chart" },
                       html("figcaption", {},
                            html("div", {}, html("h3", {}, spec.title), html("span", { class: "unit" }, spec.unit),
                                 spec.range ? null : this.logButton),
                            this.legend),
                       this.plot, spec.note ? html("p", { class: "note" }, spec.note) : null);
    view.charts.push(this);
    new ResizeObserver(() => this.draw()).observe(this.plot);
  }

  window() {
    return Math.max(view.window, this.spec.window);
  }

  /** All of the x axis. */
  extent() {
    let [low, high] = [Infinity, -Infinity];
    for (const line of this.spec.lines)
      for (const x of line.columns[view.x])
        if (x !== null) [low, high] = [Math.min(low, x), Math.max(high, x)];
    if (low > high) return [0, 1];
    // From the beginning, which has no record of its own.
    return [Math.min(0, low), high > 0 ? high : 1];
  }

  domain() {
    return view.domain ?? this.extent();
  }

  /** What is drawn: for each line its raw values and, where there is a window, its medians. */
  strokes() {
    const window = this.window();
    const strokes = [];
    for (const line of this.spec.lines) strokes.push({ line, values: line.values, kind: window > 1 ? "raw" : "plain" });
    if (window > 1)
      for (const line of this.spec.lines) {
        if (line.window !== window) [line.window, line.median] = [window, runningMedian(line.values, window)];
        strokes.push({ line, values: line.median, kind: "median" });
      }
    return strokes;
  }

  yRange(strokes, from, to) {
    if (this.spec.range) return this.spec.range;
    let [low, high] = [Infinity, -Infinity];
    for (const { line, values } of strokes)
      values.forEach((value, i) => {
        const x = line.columns[view.x][i];
        if (value === null || x === null || x < from || x > to || (this.log && value <= 0)) return;
        [low, high] = [Math.min(low, value), Math.max(high, value)];
      });
    if (low > high) return this.log ? [0.1, 10] : [0, 1];
    if (this.log) {
      const room = low === high ? 2 : (high / low) ** 0.04;
      return [low / room, high * room];
    }
    const room = low === high ? Math.abs(low) * 0.2 || 1 : (high - low) * 0.05;
    // A curve that comes near zero shows it, and so does a constant.
    const floor = low >= 0 && (low < 0.3 * high || low === high) ? 0 : low - room;
    return [floor, high + room];
  }

  draw() {
    const width = this.plot.clientWidth;
    const height = this.plot.clientHeight;
    if (width === 0) return;
    const frame = { left: 58, right: width - 14, top: 8, bottom: height - 38 };
    const [from, to] = this.domain();
    const strokes = this.strokes();
    const [low, high] = this.yRange(strokes, from, to);
    const across = (x) => frame.left + (x - from) / (to - from) * (frame.right - frame.left);
    const raised = (y) => this.log ? Math.log(y) : y;
    const unit = (frame.bottom - frame.top) / (raised(high) - raised(low));
    const up = (y) => frame.bottom - (raised(y) - raised(low)) * unit;
    Object.assign(this, { frame, from, to, across });

    const nodes = [];
    const powers = this.log ? logTicks(low, high) : [];
    const yTicks = this.spec.ticks ?? (powers.length > 1 ? powers : plainTicks(low, high, 5));
    const tickText = this.spec.tick ?? (powers.length > 1 ? short : textOfTicks(yTicks));
    for (const tick of yTicks) {
      const y = up(tick);
      nodes.push(svg("line", { class: "grid", x1: frame.left, x2: frame.right, y1: y, y2: y }),
                 svg("text", { class: "tick", x: frame.left - 8, y, dy: "0.32em", "text-anchor": "end" },
                     tickText(tick)));
    }
    const axis = xAxes[view.x];
    for (const tick of axis.ticks(from, to, Math.max(2, Math.floor((frame.right - frame.left) / 90)))) {
      const x = across(tick);
      nodes.push(svg("line", { class: "mark", x1: x, x2: x, y1: frame.bottom, y2: frame.bottom + 4 }),
                 svg("text", { class: "tick", x, y: frame.bottom + 16, "text-anchor": "middle" }, axis.tick(tick)));
    }
    nodes.push(svg("line", { class: "axis", x1: frame.left, x2: frame.right, y1: frame.bottom, y2: frame.bottom }),
               svg("text", { class: "label", x: (frame.left + frame.right) / 2, y: height - 6,
                             "text-anchor": "middle" }, axis.label));
    const { reference } = this.spec;
    if (reference)
      nodes.push(svg("line", { class: "reference", x1: frame.left, x2: frame.right, y1: up(reference.value),
                               y2: up(reference.value) },
                     svg("title", {}, reference.name)));

    const clip = `clip-${view.charts.indexOf(this)}`;
    nodes.push(svg("clipPath", { id: clip },
                   svg("rect", { x: frame.left, y: frame.top - 2, width: frame.right - frame.left,
                                 height: frame.bottom - frame.top + 4 })));
    const drawn = svg("g", { "clip-path": `url(#${clip})` });
    for (const { line, values, kind } of strokes) {
      const points = this.points(line, values, from, to).map((p) => p && [across(p[0]), up(p[1])]);
      const shape = `${kind}${line.dashed ? " dashed" : ""}`;
      drawn.append(svg("path", { class: shape, d: path(points), stroke: line.colour }));
      if (points.length <= 40 && kind !== "median")
        for (const p of points)
          if (p) drawn.append(svg("circle", { class: kind, cx: p[0], cy: p[1], r: 2.2, fill: line.colour }));
    }
    this.cross = svg("line", { class: "cross", y1: frame.top, y2: frame.bottom, visibility: "hidden" });
    this.chosen = svg("rect", { class: "chosen", y: frame.top, height: frame.bottom - frame.top,
                                visibility: "hidden" });
    nodes.push(drawn, this.cross, this.chosen);
    this.svg.setAttribute("width", width);
    this.svg.setAttribute("height", height);
    this.svg.replaceChildren(...nodes);
    this.drawLegend();
  }

  drawLegend() {
    const items = this.spec.legend ?? this.spec.lines;
    this.legend.replaceChildren(...items.map((line) => html("li", {}, swatch(line), line.name)));
    if (this.spec.window > 1)
      this.legend.append(html("li", { class: "window" }, `bold: median of ${this.window()} points`));
  }

  /** [x, y] of what is to be seen, and one more to either side; null where the line is broken. */
  points(line, values, from, to) {
    const xs = line.columns[view.x];
    let first = xs.findIndex((x) => x !== null && x >= from);
    if (first < 0) first = xs.length;
    let last = xs.length - 1;
    while (last >= 0 && (xs[last] === null || xs[last] > to)) --last;
    const points = [];
    for (let i = Math.max(0, first - 1); i <= Math.min(xs.length - 1, last + 1); ++i) {
      const [x, y] = [xs[i], values[i]];
      points.push(x === null || y === null || (this.log && y <= 0) ? null : [x, y]);
    }
    return points;
  }

  // --- reading and zooming

  at(event) {
    const x = event.clientX - this.plot.getBoundingClientRect().left;
    const inside = Math.min(Math.max(x, this.frame.left), this.frame.right);
    return this.from + (inside - this.frame.left) / (this.frame.right - this.frame.left) * (this.to - this.from);
  }

  /** The record of the line that is nearest to x; -1 without any in sight. */
  nearest(line, x) {
    let best = -1;
    line.columns[view.x].forEach((at, i) => {
      if (at === null || at < this.from || at > this.to) return;
      if (best < 0 || Math.abs(at - x) < Math.abs(line.columns[view.x][best] - x)) best = i;
    });
    return best;
  }

  /** Where x's crosshair stands: at the nearest record. Null: there is none. */
  point(x) {
    if (!this.cross) return null;
    let at = null;
    for (const line of x === null ? [] : this.spec.lines) {
      const own = line.columns[view.x][this.nearest(line, x)];
      if (own !== undefined && (at === null || Math.abs(own - x) < Math.abs(at - x))) at = own;
    }
    this.cross.setAttribute("visibility", at === null ? "hidden" : "visible");
    if (at !== null)
      for (const end of ["x1", "x2"]) this.cross.setAttribute(end, this.across(at));
    return at;
  }

  show(x) {
    view.point(x);
    const at = this.point(x);
    this.tip.hidden = at === null;
    if (at === null) return;
    const rows = this.spec.lines.map((line) => {
      const i = this.nearest(line, at);
      if (i < 0) return null;
      const raw = this.spec.format(line.values[i]);
      const value = this.window() > 1 ? `${this.spec.format(line.median[i])} (raw ${raw})` : raw;
      return { line, value };
    }).filter((row) => row !== null);
    this.tip.replaceChildren(html("strong", {}, xAxes[view.x].value(at)),
                             ...rows.map(({ line, value }) => html("div", {}, swatch(line), html("span", {}, line.name),
                                                                   html("b", {}, value))));
    const px = this.across(at);
    const onRight = px < this.plot.clientWidth / 2;
    this.tip.style.left = onRight ? `${px + 10}px` : "auto";
    this.tip.style.right = onRight ? "auto" : `${this.plot.clientWidth - px + 10}px`;
    this.read = at;
    this.words = `${xAxes[view.x].value(at)}: ${rows.map(({ line, value }) => `${line.name} ${value}`).join(", ")}`;
  }

  moved(event) {
    if (!this.frame) return;
    this.show(this.at(event));
    if (this.pressedAt === undefined) return;
    const [a, b] = [this.across(this.pressedAt), this.across(this.at(event))];
    this.chosen.setAttribute("x", Math.min(a, b));
    this.chosen.setAttribute("width", Math.abs(b - a));
    this.chosen.setAttribute("visibility", "visible");
  }

  pressed(event) {
    if (event.button !== 0 || !this.frame) return;
    this.plot.setPointerCapture(event.pointerId);
    this.pressedAt = this.at(event);
  }

  released(event) {
    if (this.pressedAt === undefined) return;
    const ends = [this.pressedAt, this.at(event)].sort((a, b) => a - b);
    const wide = this.across(ends[1]) - this.across(ends[0]) > 6;
    this.pressedAt = undefined;
    this.chosen.setAttribute("visibility", "hidden");
    if (wide) view.set({ domain: ends });
  }

  left() {
    this.pressedAt = undefined;
    if (this.chosen) this.chosen.setAttribute("visibility", "hidden");
    this.tip.hidden = true;
    view.point(null);
  }

  key(event) {
    const xs = [...new Set(this.spec.lines.flatMap((line) => line.columns[view.x]))]
      .filter((x) => x !== null && x >= this.from && x <= this.to).sort((a, b) => a - b);
    if (xs.length === 0) return;
    const now = this.tip.hidden || !xs.includes(this.read) ? -1 : xs.indexOf(this.read);
    const far = Math.max(1, Math.round(xs.length / 20));
    const to = {
      ArrowRight: now + 1, ArrowLeft: now < 0 ? xs.length - 1 : now - 1, PageDown: now + far, PageUp: now - far,
      Home: 0, End: xs.length - 1,
    }[event.key];
    if (to !== undefined) {
      this.show(xs[Math.min(Math.max(to, 0), xs.length - 1)]);
      this.spoken.textContent = this.words;
    } else if (event.key === "+" || event.key === "=") {
      this.zoom(now < 0 ? (this.from + this.to) / 2 : this.read, 0.5);
    } else if (event.key === "-") {
      this.zoom((this.from + this.to) / 2, 2);
    } else if (event.key === "0" || event.key === "Escape") {
      view.set({ domain: null });
    } else {
      return;
    }
    event.preventDefault();
  }

  zoom(middle, factor) {
    const [low, high] = this.extent();
    const size = (this.to - this.from) * factor;
    if (size >= high - low) return view.set({ domain: null });
    const from = Math.min(Math.max(middle - size / 2, low), high - size);
    return view.set({ domain: [from, from + size] });
  }
}

/** An SVG path through points, begun anew after each null. */
function path(points) {
  let text = "";
  let pen = "M";
  for (const point of points) {
    if (point) text += `${pen}${point[0].toFixed(1)} ${point[1].toFixed(1)}`;
    pen = point ? "L" : "M";
  }
  return text;
}
