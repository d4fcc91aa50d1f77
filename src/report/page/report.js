// The page: from the data that the program put into it to headings, pictures, charts and tables. One run, or several
// beside each other.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const runs = data.runs;
const alone = runs.length === 1;

const states = {
  finished: "finished",
  stopped: "stopped by request",
  failed: "failed",
  begun: "not ended: running, or killed",
  unknown: "no log",
};

// --- what the data say ------------------------------------------------------------------------------------------------

function option(run, name) {
  return run.options.find((one) => one.name === name)?.value;
}

function lastOf(run, column) {
  return run.curves.columns[column].at(-1) ?? null;
}

/** Where the run stood at a step, by the record that is nearest before it. */
function whereAt(run, step) {
  const { columns } = run.curves;
  let i = columns.step.findLastIndex((at) => at <= step);
  if (step === 0 || i < 0) return `step ${grouped(step)}`;
  return `step ${grouped(step)}, epoch ${short(columns.epoch[i])}, ${duration(columns.seconds[i])} of training`;
}

/** Sentences about what a reader should know before believing the rest: [level, text]. */
function notices(run) {
  // An error that the run has since been resumed from stands with the warnings alone.
  const errors = run.log.state === "failed" ? run.log.messages.newest.filter(({ level }) => level === "error") : [];
  const list = errors.slice(-1).map(({ text }) => ["error", text]);
  for (const [name, values] of Object.entries(run.curves.columns)) {
    // Before its first number a column may be one that the program did not have which wrote the run.
    const begun = values.findIndex((value) => value !== null);
    const broken = values.flatMap((value, i) => value === null && begun >= 0 && i > begun ? [i] : []);
    if (broken.length > 0)
      list.push(["warning", `${name} is not finite in ${broken.length} of the curve's points, first at step ` +
                            `${grouped(run.curves.columns.step[broken[0]])}.`]);
  }
  for (const { since, until, text } of run.findings)
    list.push(until === null ? ["warning", `Since step ${grouped(since)}: ${text}.`]
                             : ["note", `From step ${grouped(since)} to ${grouped(until)}: ${text}.`]);
  if (run.damage) list.push(["warning", `${run.damage}; the curves are of the records before it.`]);
  if (run.curves.records === 0) list.push(["note", "There are no records yet."]);
  if (run.curves.records_per_point > 1)
    list.push(["note", `Of ${grouped(run.curves.records)} records each ${run.curves.records_per_point} are drawn as ` +
                       "one point, their mean; metrics.jsonl has them all."]);
  if (run.evaluation?.unreadable) list.push(["warning", run.evaluation.unreadable]);
  else if (run.evaluation !== null && !run.evaluation.metrics)
    list.push(["warning", "eval.json is not as ganymede eval writes it: there are no metrics in it."]);
  return list;
}

// --- parts of the page ------------------------------------------------------------------------------------------------

function section(id, title, ...children) {
  const present = children.flat().filter((child) => child);
  if (present.length === 0) return null;
  const name = `${id}-title`;
  return html("section", { id, "aria-labelledby": name }, html("h2", { id: name }, title), ...present);
}

function table(caption, head, rows, classes = "") {
  return html("div", { class: "scroll" },
    html("table", { class: classes },
      caption ? html("caption", {}, caption) : null,
      html("thead", {}, html("tr", {}, ...head.map((cell) => html("th", { scope: "col" }, cell)))),
      html("tbody", {}, ...rows.map(([first, ...others]) =>
        html("tr", {}, html("th", { scope: "row" }, first), ...others.map((cell) => html("td", {}, cell)))))));
}

function colourOf(run) {
  return `var(--line-${runs.indexOf(run)})`;
}

/** A run's name, and beside others its colour. */
function named(run) {
  return html("span", { class: "run-name" }, alone ? null : swatch({ colour: colourOf(run) }), run.name);
}

function state(run) {
  return html("span", { class: `state ${run.log.state}` }, states[run.log.state]);
}

function stepOf(run) {
  const total = Number(option(run, "steps"));
  return grouped(lastOf(run, "step") ?? 0) + (total > 0 ? ` of ${grouped(total)}` : "");
}

function epochOf(run) {
  const total = Number(option(run, "steps")) > 0 ? null : option(run, "epochs");
  return short(lastOf(run, "epoch") ?? 0) + (total ? ` of ${total}` : "");
}

/** Images over the time of all records, whatever the last interval was like. */
function meanSpeed(run) {
  const [seconds, images] = [lastOf(run, "seconds"), lastOf(run, "images_seen")];
  return seconds > 0 ? images / seconds : null;
}

function facts(run) {
  const list = [
    ["Step", stepOf(run)],
    ["Epoch", epochOf(run)],
    ["Real images seen", grouped(lastOf(run, "images_seen") ?? 0)],
    ["Time of training", duration(lastOf(run, "seconds"))],
    ["Mean speed", meanSpeed(run) === null ? "unknown" : `${compact(Number(meanSpeed(run).toPrecision(3)))} images/s`],
  ];
  return html("dl", { class: "facts" }, ...list.map(([name, value]) =>
    html("div", {}, html("dt", {}, name), html("dd", {}, value))));
}

function about(run) {
  return [["recipe", run.recipe], ["model", option(run, "model")], ["loss", option(run, "loss")],
          ["data", option(run, "data")], ["seed", option(run, "seed")]]
    .filter(([, value]) => value).map(([name, value]) => `${name} ${value}`).join(" · ");
}

function pageHeader() {
  if (alone) {
    const [run] = runs;
    return html("header", {}, html("h1", {}, run.name, " ", state(run)), html("p", { class: "about" }, about(run)),
                facts(run));
  }
  return html("header", {}, html("h1", {}, `${runs.length} runs compared`),
    table(null, ["Run", "State", "Step", "Epoch", "Time of training", "Images/s", "About"], runs.map((run) => [
      named(run), state(run), stepOf(run), epochOf(run), duration(lastOf(run, "seconds")),
      meanSpeed(run) === null ? "unknown" : compact(Number(meanSpeed(run).toPrecision(3))), about(run)]), "runs"));
}

function noticeList() {
  const items = runs.flatMap((run) => notices(run).map(([level, text]) =>
    html("li", { class: level }, alone ? null : html("b", {}, `${run.name}: `), text)));
  return items.length === 0 ? null : html("ul", { class: "notices", "aria-label": "Notices" }, ...items);
}

// --- samples ----------------------------------------------------------------------------------------------------------

/** A picture in whole multiples of its pixels where there is room for two, so that all of them are of one size. */
function pixels(alt) {
  const image = html("img", { alt, draggable: "false" });
  const box = html("div", { class: "picture" }, image);
  const fit = () => {
    if (!image.naturalWidth || !box.clientWidth) return;
    const scale = box.clientWidth / image.naturalWidth;
    image.style.width = `${image.naturalWidth * (scale >= 2 ? Math.floor(scale) : scale)}px`;
  };
  image.addEventListener("load", fit);
  new ResizeObserver(fit).observe(box);
  return { box, image, show: (png) => { image.src = `data:image/png;base64,${png}`; } };
}

function gridFigure(title, kind, picture, caption) {
  return html("figure", { class: "grid-figure" }, html("figcaption", {}, html("h3", {}, title), caption), picture.box);
}

/** What became of the grids that are not shown. */
function missingGrids(run) {
  const { of, unreadable, shown } = run.grids;
  const name = alone ? "" : `${run.name}: `;
  const list = [];
  if (of === 0) list.push(`${name}There are no sample grids in the run's folder.`);
  if (unreadable > 0) list.push(`${name}${unreadable} of the ${of} grids in samples/ cannot be read.`);
  if (of > unreadable && shown.length === 0)
    list.push(`${name}The grids in samples/ are there, and too large for this page.`);
  else if (of - unreadable > shown.length)
    list.push(`${name}${shown.length} of the ${of} grids in samples/ are here, evenly chosen, so that the page stays ` +
              "small.");
  return list;
}

function samples() {
  const shown = runs.filter((run) => run.grids.shown.length > 0);
  const steps = [...new Set(shown.flatMap((run) => run.grids.shown.map((grid) => grid.step)))].sort((a, b) => a - b);
  const figures = shown.map((run) => {
    const picture = pixels(`Generated images of ${run.name}`);
    const caption = html("p", { class: "note" });
    const title = alone ? "Generated" : named(run);
    return {
      figure: gridFigure(title, "generated", picture, caption),
      to(step) {
        const grid = run.grids.shown.findLast((one) => one.step <= step) ?? run.grids.shown[0];
        picture.show(grid.png);
        caption.textContent = whereAt(run, grid.step);
      },
    };
  });
  const reals = new Map();  // in the order of the runs, each by the first that has it
  for (const run of runs) if (run.real && !reals.has(run.real)) reals.set(run.real, run);
  const realFigures = [...reals].map(([png, run]) => {
    const picture = pixels("Real images of the training set");
    picture.show(png);
    const told = alone || reals.size === 1 ? "" : ` of ${run.name}`;
    return gridFigure("Real", "real", picture, html("p", { class: "note" }, `from the training set${told}`));
  });
  const to = (index) => {
    for (const figure of figures) figure.to(steps[index]);
    const text = alone ? whereAt(shown[0], steps[index]) : `step ${grouped(steps[index])}`;
    slider.setAttribute("aria-valuetext", text);
    output.textContent = `step ${grouped(steps[index])}`;
  };
  const slider = html("input", {
    type: "range", id: "step-of-samples", min: 0, max: Math.max(steps.length - 1, 0), step: 1,
    oninput: () => { stop(); to(Number(slider.value)); },
  });
  slider.value = String(steps.length - 1);
  const output = html("output", { for: "step-of-samples" });
  let timer = null;
  const stop = () => {
    clearInterval(timer);
    timer = null;
    play.textContent = "Play";
  };
  const next = () => {
    slider.value = String(Number(slider.value) + 1);
    to(Number(slider.value));
    if (Number(slider.value) === steps.length - 1) stop();
  };
  const play = html("button", { type: "button", onclick: () => {
    if (timer !== null) return stop();
    if (Number(slider.value) === steps.length - 1) to(Number(slider.value = "0"));
    play.textContent = "Pause";
    timer = setInterval(next, 250);
    return undefined;
  } }, "Play");
  if (figures.length > 0) to(steps.length - 1);

  const told = runs.flatMap(missingGrids);
  if (shown.some((run) => option(run, "condition") !== "none"))
    told.push("With --condition a column has one class: 0 on the left, then 1, and so on.");
  if (shown.length > 0) told.push("A grid shows the same latent vectors all through a training.");
  return section("samples", "Samples",
    steps.length > 1 ? html("div", { class: "toolbar" }, html("label", { for: "step-of-samples" }, "Time of training"),
                            slider, output, play) : null,
    html("div", { class: alone ? "pair" : "grids" }, ...figures.map((one) => one.figure), ...realFigures),
    ...told.map((text) => html("p", { class: "note" }, text)));
}

// --- curves -----------------------------------------------------------------------------------------------------------

/** Two networks, or two kinds of images, as the charts of one run and of several tell them apart. */
function pairOf(first, second) {
  return [{ ...first, colour: "var(--line-0)", dashed: false }, { ...second, colour: "var(--line-1)", dashed: true }];
}

const allColumns = (run) => run.curves.columns;

/** The columns at the first record of each measurement, of which `stepColumn` has the step: those behind it repeat what
 * it found. */
const columnsOfEach = (stepColumn) => (run) => {
  const { columns } = run.curves;
  const measured = columns[stepColumn] ?? [];
  const rows = [...measured.keys()].filter((i) => measured[i] !== null && measured[i] !== measured[i - 1]);
  return Object.fromEntries(Object.entries(columns).map(([name, values]) => [name, rows.map((i) => values[i])]));
};

/** The lines of a chart: each kind of each run. Of several runs a colour is a run, and a dash a kind. */
function linesOf(kinds, columnsOf) {
  return runs.flatMap((run) => {
    const lines = kinds.map((kind) => ({
      name: alone ? kind.name : kinds.length > 1 ? `${run.name}, ${kind.name}` : run.name,
      columns: columnsOf(run),
      values: columnsOf(run)[kind.column] ?? [],
      colour: alone ? kind.colour : colourOf(run),
      dashed: alone ? false : kind.dashed,
    })).filter((line) => line.values.some((value) => value !== null));
    // One would hide the other.
    const same = lines.length === 2 && lines[0].values.every((value, i) => value === lines[1].values[i]);
    return same ? [{ ...lines[0], name: `${lines[0].name} and ${kinds[1].name}` }] : lines;
  });
}

/** What a chart's legend lists: of several runs the kinds alone, for the runs' colours stand above all charts. */
function legendOf(kinds) {
  return alone ? undefined : kinds.length > 1 ? kinds.map((kind) => ({ ...kind, colour: "currentColor" })) : [];
}

function chart(kinds, spec, columnsOf = allColumns) {
  const lines = linesOf(kinds, columnsOf);
  return lines.length === 0 ? null : new Chart({ lines, legend: legendOf(kinds), ...spec }).figure;
}

const evaluationChart = (kinds, spec) => chart(kinds, spec, columnsOfEach("eval_step"));
const diagnosisChart = (kinds, spec) => chart(kinds, spec, columnsOfEach("diagnosis_step"));

const wholePercent = (value) => `${Math.round(100 * value)}${thinSpace}%`;

function curves() {
  const networks = (d, g) => pairOf({ name: "D", column: d }, { name: "G", column: g });
  const images = (real, fake) => pairOf({ name: "real", column: real }, { name: "generated", column: fake });
  const one = (column, name) => [{ name, column, colour: "var(--line-0)", dashed: false }];
  const anyAbove0 = (column) => runs.some((run) => run.curves.columns[column].some((value) => value > 0));
  const charts = [
    chart(one("wasserstein_estimate", "estimate"), {
      title: "Wasserstein distance", unit: "D(real) − D(generated), up to D's Lipschitz constant",
      wide: true, window: 5,
      note: "The critic's estimate, as Arjovsky et al. (2017) plot it: it falls as samples get better. Thin: as " +
            "logged; bold: its running median.",
    }),
    chart(networks("d_loss", "g_loss"), { title: "Losses", unit: "without penalties" }),
    chart(images("d_real_accuracy", "d_fake_accuracy"), {
      title: "D's accuracy", unit: "share of images it is right about", range: [0, 1], ticks: [0, 0.25, 0.5, 0.75, 1],
      tick: wholePercent, format: percent, reference: { value: 0.5, name: "chance" } }),
    chart(images("d_real_score", "d_fake_score"), { title: "D's scores", unit: "mean output before any sigmoid" }),
    chart(networks("d_gradient_norm", "g_gradient_norm"), {
      title: "Gradient norms", unit: "L2, of the logged step", log: true }),
    anyAbove0("penalty") ? chart(one("penalty", "penalty"), {
      title: "Gradient penalty", unit: "in D's objective" }) : null,
    diagnosisChart(one("sample_diversity", "diversity"), {
      title: "Variety of samples", unit: "their pixels' variance over that of real images",
      range: [0, 1.1 * Math.max(1, ...runs.flatMap((run) => run.curves.columns.sample_diversity ?? []))],
      reference: { value: 1, name: "real images" } }),
    diagnosisChart(one("sample_classes", "digits"), {
      title: "Digits among the samples", unit: "with at least a fifth of their share, as the judge sees them",
      range: [0, 10] }),
    diagnosisChart(images("d_real_slope", "d_fake_slope"), {
      title: "D's slope", unit: "mean norm of its gradient at images" }),
    diagnosisChart(one("d_held_out_gap", "gap"), {
      title: "D on held-out images", unit: "what they lose of D's margin between real and generated",
      reference: { value: 0, name: "as training images" } }),
    diagnosisChart(networks("d_update_ratio", "g_update_ratio"), {
      title: "Size of an update", unit: "over that of the parameters" }),
    evaluationChart(one("eval_classifier_fd", "classifier-FD"), {
      title: "Classifier-FD", unit: "of --eval-every: Fréchet distance from test images in the judge's features" }),
    evaluationChart(one("eval_kid", "KID"), {
      title: "KID", unit: "of --eval-every: kernel distance from test images" }),
    evaluationChart(pairOf({ name: "precision", column: "eval_precision" },
                           { name: "recall", column: "eval_recall" }), {
      title: "Precision and recall", unit: "of --eval-every, in the judge's features", range: [0, 1] }),
    evaluationChart(one("eval_coverage", "coverage"), {
      title: "Coverage", unit: "of --eval-every: share of test images with a sample near", range: [0, 1] }),
    evaluationChart(one("eval_inception_score", "score"), {
      title: "MNIST inception score", unit: "of --eval-every", range: [1, 10] }),
    evaluationChart(one("eval_parzen", "log-likelihood"), {
      title: "Parzen log-likelihood", unit: "of --eval-every, nats" }),
    evaluationChart(one("eval_two_sample", "accuracy"), {
      title: "Two-sample 1-NN accuracy", unit: "of --eval-every", range: [0, 1],
      tick: wholePercent, format: percent, reference: { value: 0.5, name: "ideal" } }),
    evaluationChart(one("eval_1nn_error", "error"), {
      title: "1-NN classification error", unit: "of --eval-every", format: percent }),
    evaluationChart(one("eval_modes", "modes"), { title: "Modes", unit: "of --eval-every: found among the samples" }),
    chart(networks("d_learning_rate", "g_learning_rate"), { title: "Learning rates", unit: "of the last update" }),
    chart(one("images_per_second", "speed"), { title: "Speed", unit: "real images per second" }),
  ].filter((figure) => figure !== null);
  if (charts.length === 0) return null;

  const most = Math.max(...runs.map((run) => run.curves.columns.step.length));
  const axes = html("select", { id: "x-axis", onchange: () => view.set({ x: axes.value, domain: null }) },
    ...Object.entries(xAxes).map(([column, { name }]) => html("option", { value: column }, name)));
  const windows = [1, 5, 21, 101].filter((window) => window === 1 || window < most);
  const smoothing = html("select", { id: "smoothing", onchange: () => view.set({ window: Number(smoothing.value) }) },
    ...windows.map((window) =>
      html("option", { value: window }, window === 1 ? "none" : `median of ${window} points`)));
  // As much as leaves some twenty windows to see.
  view.window = windows.findLast((window) => window === 1 || 20 * window <= most);
  smoothing.value = String(view.window);
  const reset = html("button", { type: "button", onclick: () => view.set({ domain: null }) }, "Show everything");
  const thin = html("span", { class: "hint" }, "Thin lines are as logged, bold ones smoothed.");
  view.changed = () => {
    reset.disabled = view.domain === null;
    thin.hidden = view.window === 1;
  };
  view.changed();
  return section("curves", "Curves",
    html("div", { class: "toolbar" },
      html("label", { for: "x-axis" }, "Over"), axes,
      html("label", { for: "smoothing" }, "Smoothing"), smoothing, reset, thin,
      html("span", { class: "hint" }, "Drag to zoom into all charts, double-click to show everything.")),
    alone ? null : html("ul", { class: "legend" }, ...runs.map((run) => html("li", {}, named(run)))),
    html("div", { class: "charts" }, ...charts));
}

// --- evaluation -------------------------------------------------------------------------------------------------------

// Of eval.json nothing is sure but that it is JSON: a number that is not there, or is none, is null.

function fixed(digits, value) {
  return Number.isFinite(value) ? signed(value.toFixed(digits)) : null;
}

/** A mean and its standard error. */
function estimate(digits, mean, error) {
  const [text, width] = [fixed(digits, mean), fixed(digits, error)];
  return text === null || width === null ? text : `${text} ± ${width}`;
}

function share(one) {
  const text = estimate(2, 100 * one?.share, 100 * one?.standard_error);
  return typeof one?.share === "number" ? `${text}${thinSpace}%` : null;
}

/** What a classifier is right about that has learnt nothing. */
function byChance(one) {
  const text = fixed(0, 100 * one?.chance);
  return text && `${text}${thinSpace}% by chance`;
}

/** An area under the curve of membership. */
function membership({ memorisation: one }, by) {
  return estimate(3, one?.[`membership_auc_by_${by}`], one?.[`membership_auc_by_${by}_standard_error`]);
}

/** How many modes; of real stacks also in how many, for there may be fewer of them than samples. */
function modesFound(one, kind) {
  if (typeof one?.found !== "number") return null;
  const text = `${grouped(one.found)} of ${grouped(one.possible)}`;
  return kind === "samples" ? text : `${text} in ${grouped(one.count)} stacks`;
}

/** How often the judge is right: of real images about the test images, most of the others it has learnt from. */
function ganTest({ gan_test: one }, kind) {
  if (kind === "samples") return share(one?.samples);
  if (kind === "noise") return byChance(one);
  const text = share(one?.test_images);
  return text && `${text} of test images`;
}

/** name, what is best, and the text of a kind of images in `metrics`: samples, training_images (the floor) or noise. */
const measures = [
  ["Parzen log-likelihood, nats", "higher", (m, kind) =>
    kind === "samples" ? estimate(1, m.parzen?.log_likelihood, m.parzen?.standard_error) : null],
  ["two-sample 1-NN accuracy", "50 %", (m, kind) => kind === "samples" ? share(m.two_sample?.accuracy) : null],
  ["1-NN classification error", "lower", (m, kind) => kind === "samples" ? share(m["1nn_error"]) : null],
  ["GAN-train accuracy", "higher", (m, kind) => kind === "noise" ? byChance(m.gan_train) : share(m.gan_train?.[kind])],
  ["GAN-test accuracy", "higher", ganTest],
  ["near copies of training images", `1${thinSpace}%`, ({ memorisation: one }, kind) =>
    // Without an error it is an evaluation's of version 1, which took other samples for copies.
    kind === "samples" && one?.near_copies_standard_error !== undefined
    ? share({ share: one.near_copies, standard_error: one.near_copies_standard_error }) : null],
  ["distance to training images, over test images'", "1", (m, kind) =>
    kind === "samples" ? fixed(3, m.memorisation?.distance_ratio) : null],
  ["AUC of membership, by nearness", "0.5", (m, kind) => kind === "samples" ? membership(m, "distance") : null],
  ["AUC of membership, by D", "0.5", (m, kind) => kind === "samples" ? membership(m, "discriminator") : null],
  ["classifier-FD", "lower", (m, kind) => fixed(3, m.judge?.[kind]?.classifier_fd)],
  ["KID", "lower", (m, kind) => estimate(4, m.judge?.[kind]?.kid?.mean, m.judge?.[kind]?.kid?.standard_error)],
  ["precision", "higher", (m, kind) => fixed(3, m.judge?.[kind]?.precision)],
  ["recall", "higher", (m, kind) => fixed(3, m.judge?.[kind]?.recall)],
  ["density", "higher", (m, kind) => fixed(3, m.judge?.[kind]?.density)],
  ["coverage", "higher", (m, kind) => fixed(3, m.judge?.[kind]?.coverage)],
  ["MNIST inception score", "higher", (m, kind) => fixed(2, m.judge?.[kind]?.inception_score)],
  ["KL of classes from real", "lower", (m, kind) => {
    const kl = m.judge?.[kind]?.class_kl;
    return kl === null ? "∞" : fixed(4, kl);  // JSON has no infinity
  }],
  ["modes", "higher", (m, kind) => modesFound(m.modes?.[kind], kind)],
  ["KL of modes from all alike", "lower", (m, kind) => fixed(4, m.modes?.[kind]?.kl)],
];

/** What a floor or a ceiling of a run depends on. */
function basisOf({ evaluation: { data: set, samples: drawn, metrics } }) {
  return JSON.stringify([set?.digest, drawn?.count, (metrics.judge ?? metrics.modes ?? metrics.gan_test)?.weights]);
}

/** How often each class occurs among the samples, as bars beside the share of real images. */
function classBars(run) {
  const { judge } = run.evaluation.metrics;
  const [mine, real] = [judge?.samples?.class_histogram, judge?.training_images?.class_histogram];
  if (!mine || !real) return null;
  const highest = Math.max(...mine, ...real);
  const [width, height] = [34, 96];
  const bar = (x, value, name) => svg("rect", { class: name, x, width: 12, y: height - value / highest * height,
                                                height: value / highest * height });
  const text = mine.map((n, c) => `${c}: ${percent(n / judge.count)}`).join(", ");
  return html("figure", { class: "classes" },
    html("figcaption", {}, html("h3", {}, alone ? "Classes of the samples" : named(run)),
         html("ul", { class: "legend" }, html("li", {}, html("i", { class: "box mine" }), "generated"),
              html("li", {}, html("i", { class: "box real" }), "training images"))),
    svg("svg", { role: "img", "aria-label": `Share of each class among the samples: ${text}`,
                 viewBox: `0 0 ${mine.length * width} ${height + 20}` },
        ...mine.flatMap((n, c) => [bar(c * width + 4, n, "mine"), bar(c * width + 18, real[c], "real"),
                                   svg("text", { class: "tick", x: c * width + width / 2, y: height + 15,
                                                 "text-anchor": "middle" }, String(c))])));
}

/** What a reader should know of the numbers besides: sentences. */
function toldOf(run) {
  const { metrics, run: from, warnings, unmeasured } = run.evaluation;
  const list = [];
  if (from?.batch_norm) list.push(`G's batch normalisation goes by its ${from.batch_norm}`);
  const weights = [metrics.judge, metrics.modes, metrics.gan_test].find((one) => one?.weights)?.weights;
  const accuracy = metrics.judge?.recipe?.["test-accuracy"];
  const here = share(metrics.judge?.test_accuracy ?? metrics.gan_test?.test_images);
  if (weights)
    list.push(`The judge, a classifier of MNIST, has the weights ${weights}` +
              (accuracy ? `; it is right about ${percent(Number(accuracy))} of MNIST's test images` : "") +
              (here ? `${accuracy ? ", and" : "; it is right"} about ${here} of these` : ""));
  if (typeof metrics.memorisation?.verdict === "string") list.push(`Memorisation: ${metrics.memorisation.verdict}`);
  if (Array.isArray(warnings)) list.push(...warnings);
  if (unmeasured && typeof unmeasured === "object")
    for (const [name, why] of Object.entries(unmeasured))
      list.push(`Not measured: ${name.replaceAll("_", "-")} ${why}`);
  return list.map((text) => `${alone ? "" : `${run.name}: `}${text}.`);
}

/** The samples that look most like copies, beside what they would be copies of. */
function closestPairs(run) {
  if (!run.nearest) return null;
  const picture = pixels("Samples, each with the training image nearest to it");
  picture.show(run.nearest);
  return gridFigure(alone ? "Samples beside their nearest training images" : named(run), "nearest", picture,
    html("p", { class: "note" }, "First those that are much nearer to one training image than to any other."));
}

function evaluations() {
  const measured = runs.filter((run) => run.evaluation?.metrics);
  if (measured.length === 0)
    return section("evaluation", "Evaluation", html("p", { class: "note" },
      "Not measured yet: ganymede eval RUN leaves its numbers in the run's folder, and ganymede report RUN shows " +
      "them."));
  const of = (run, text, kind) => text(run.evaluation.metrics, kind);
  const rows = [];
  let apart = false;
  for (const [name, best, text] of measures) {
    const cells = measured.map((run) => of(run, text, "samples"));
    const having = measured.filter((_, i) => cells[i] !== null);
    if (having.length === 0) continue;
    // One floor and one ceiling beside several runs: only where it is that of each of them.
    const alike = having.every((run) => basisOf(run) === basisOf(having[0]));
    const ends = ["training_images", "noise"].map((kind) => of(having[0], text, kind));
    if (!alike && ends.some((end) => end !== null)) apart = true;
    rows.push([name, ...cells, ...(alike ? ends : [null, null]), best].map((cell) => cell ?? "–"));
  }
  const told = measured.map((run) => {
    const { samples: drawn, data: set, run: from } = run.evaluation;
    if (!drawn || !set || !from) return `${alone ? "eval.json" : `${run.name}: eval.json`} does not say of what it is.`;
    const now = lastOf(run, "step");
    const later = now > from.step ? `; the run has gone on to step ${grouped(now)} since` : "";
    return `${alone ? "Of" : `${run.name}: of`} step ${grouped(from.step)}: ${grouped(drawn.count)} samples of seed ` +
           `${drawn.seed} beside ${set.name}` +
           `${from.averaged_weights ? ", the moving average of G's weights" : ""}${later}.`;
  });
  for (const run of measured) told.push(...toldOf(run));
  if (apart)
    told.push("Floors and ceilings are left out where the runs were measured beside different data, with different " +
              "numbers of samples or by different judges.");
  return section("evaluation", "Evaluation",
    table(null, ["Metric", ...measured.map((run) => alone ? "Samples" : named(run)), "Floor: training images",
                 "Ceiling: noise", "Better"], rows, "numbers"),
    ...told.map((text) => html("p", { class: "note" }, text)),
    html("div", { class: "bars" }, ...measured.map(classBars).filter((bars) => bars !== null)),
    html("div", { class: "grids" }, ...measured.map(closestPairs).filter((pairs) => pairs !== null)));
}

// --- latent space -----------------------------------------------------------------------------------------------------

/** What `ganymede latent` has drawn. */
function latent() {
  const [{ latent: drawn }] = runs;
  if (!drawn) return null;
  return section("latent", "Latent space",
    html("div", { class: "grids" }, ...drawn.pictures.map(({ title, text, png }) => {
      const picture = pixels(title);
      picture.show(png);
      return gridFigure(title, "latent", picture, html("p", { class: "note" }, text));
    })),
    html("p", { class: "note" }, `Of step ${grouped(drawn.step)}, by ganymede latent.`));
}

// --- timing -----------------------------------------------------------------------------------------------------------

/** What parts of the time are drawn as one, with the same colour in every run. */
const kindsOfTime = [
  ["G", 0, ["G forward", "G backward"]],
  ["D", 1, ["D forward", "D backward", "loss", "penalty"]],
  ["images and noise", 4, ["images", "noise"]],
  ["sums", 2, ["D reduction", "G reduction"]],
  ["updates", 5, ["update"]],
  ["steps", 0, ["steps"]],
  ["between steps", 3, []],  // all others
  ["waiting", 7, ["waiting"]],
];

function kindOfTime(part) {
  return kindsOfTime.find(([, , parts]) => parts.includes(part)) ?? kindsOfTime.at(-2);
}

/** How milliseconds a step are written where a step takes so many: all with as many decimals. */
function textOfMs(step) {
  const digits = step < 10 ? 3 : step < 100 ? 2 : 1;
  return (value) => value === null ? "–" : signed(value.toFixed(digits));
}

function longestStep({ rows }) {
  return Math.max(...rows.map((row) => row.ms.at(-1)));
}

function rankName({ rank, host }) {
  return `rank ${rank} on ${host}`;
}

/** A bar for each of these ranks, of what a step takes of its time, by kinds. */
function timeBars(timing) {
  const { parts, rows, slowest } = timing;
  const waitingAt = parts.length + 1;  // behind the parts and what they add up to; then all
  const ofKind = ({ ms: values }, kind) =>
    parts.reduce((sum, part, i) => kindOfTime(part) === kind ? sum + values[i] : sum,
                 kind[0] === "waiting" ? values[waitingAt] : 0);
  const kinds = kindsOfTime.filter((kind) => rows.some((row) => ofKind(row, kind) > 0));
  const longest = longestStep(timing);
  const ms = textOfMs(longest);
  const [height, gap, width] = [20, 6, 1000];
  const bars = rows.map((row) => {
    let at = 0;
    const boxes = kinds.map((kind) => {
      const size = Math.max(ofKind(row, kind), 0) / longest * width;
      const box = svg("rect", { x: at, y: 0, width: size, height, fill: `var(--line-${kind[1]})` },
                      svg("title", {}, `${kind[0]}: ${ms(ofKind(row, kind))} ms a step`));
      at += size;
      return box;
    });
    const text = kinds.map((kind) => `${kind[0]} ${ms(ofKind(row, kind))}`).join(", ");
    return html("li", {},
      html("span", { class: "run-name" }, rankName(row), slowest?.rank === row.rank ? html("b", {}, " slowest") : null),
      svg("svg", { role: "img", "aria-label": `${rankName(row)}, ms a step: ${text}`, preserveAspectRatio: "none",
                   viewBox: `0 0 ${width} ${height}`, height }, ...boxes),
      html("span", { class: "hint" }, `${ms(row.ms.at(-1))} ms`));
  });
  return html("figure", { class: "times" },
    html("figcaption", {}, html("ul", { class: "legend" }, ...kinds.map(([name, colour]) =>
      html("li", {}, html("i", { class: "box", style: `background: var(--line-${colour})` }), name)))),
    html("ul", { class: "bars-of-time" }, ...bars));
}

/** Its parts as rows; as columns the ranks, or what is said of many of them. */
function timeTable(timing) {
  const { parts, rows, summary, ranks, slowest } = timing;
  const ms = textOfMs(longestStep(timing));
  const columns = [...(summary ?? []).map(({ name, ms: values }) => [`${name} of ${grouped(ranks)}`, values]),
                   ...rows.map((row) => [html("span", {}, `rank ${row.rank}`, html("br"), row.host,
                                              slowest?.rank === row.rank ? html("b", {}, " slowest") : null),
                                         row.ms])];
  const sides = timing.divided && ranks > 1 ? ["own part", "waiting for other ranks"] : ["", ""];
  const names = [...parts, ...sides, "all"];
  return table("ms a step", ["", ...columns.map(([name]) => name)],
    names.flatMap((name, i) => name === "" ? [] : [[name, ...columns.map(([, values]) => ms(values[i]))]]), "numbers");
}

function toldOfTime(run) {
  const { timing } = run;
  const { first_step: first, last_step: last, start, steps, ranks, slowest, divided } = timing;
  const ms = textOfMs(longestStep(timing));
  const list = [`Means over ${grouped(steps)} steps, from step ${grouped(first + 1)} to ${grouped(last)}` +
                `${start > 1 ? `, since the run's start number ${grouped(start)}` : ""}, on ` +
                `${ranks === 1 ? "one rank" : `${grouped(ranks)} ranks`}. What is done now and then, as checkpoints, ` +
                "is spread over all of them."];
  if (!divided)
    list.push("On a GPU a step is one piece of work, whose phases are not told apart: ganymede bench times them.");
  else if (ranks > 1)
    list.push("Waiting is for other ranks, and for what they send; it stands apart from the phase that waited.");
  if (slowest !== null)
    list.push(`The slowest is rank ${slowest.rank}, whose own part of a step takes ${ms(slowest.ms)} ms; the median ` +
              `rank's takes ${ms(slowest.median_ms)} ms.`);
  if (timing.summary !== null)
    list.push(`Of ${grouped(ranks)} ranks the slowest ${timing.rows.length} are shown; timing.jsonl has all of them.`);
  return list;
}

function timing() {
  const timed = runs.filter((run) => run.timing !== null);
  return section("timing", "Time by phase and rank", ...timed.flatMap((run) => {
    if (run.timing.unreadable)
      return [html("ul", { class: "notices" }, html("li", { class: "warning" }, `${run.timing.unreadable}.`))];
    const details = timeTable(run.timing);
    return [html("div", { class: "timing" }, alone ? null : html("h3", {}, named(run)), timeBars(run.timing),
                 alone ? details : html("details", {}, html("summary", {}, "By phase"), details),
                 ...toldOfTime(run).map((text) => html("p", { class: "note" }, text)))];
  }));
}

// --- configuration, warnings ------------------------------------------------------------------------------------------

function optionRow(one) {
  return [...[`--${one.name}`, one.value || "none", one.default || "none"].map((text) => html("code", {}, text)),
          html("span", { class: "help" }, one.help)];
}

function configuration() {
  if (alone) {
    const { options } = runs[0];
    const changed = options.filter((one) => one.value !== one.default);
    const groups = [...new Set(options.map((one) => one.group))];
    const head = ["Option", "Value", "Default", "Meaning"];
    return section("configuration", "Configuration",
      changed.length > 0 ? table("What differs from the built-in defaults", head, changed.map(optionRow), "options")
                         : html("p", { class: "note" }, "All options have their built-in defaults."),
      html("details", {}, html("summary", {}, `All ${options.length} options`),
           ...groups.map((group) => table(group, head, options.filter((one) => one.group === group).map(optionRow),
                                          "options"))));
  }
  const names = [...new Set(runs.flatMap((run) => run.options.map((one) => one.name)))];
  const rowOf = (name) => [html("code", {}, `--${name}`),
                           ...runs.map((run) => html("code", {}, option(run, name) ?? "–"))];
  const differs = (name) => runs.some((run) => option(run, name) !== option(runs[0], name));
  const head = ["Option", ...runs.map(named)];
  const different = names.filter(differs);
  return section("configuration", "Configuration",
    different.length > 0 ? table("Options that differ", head, different.map(rowOf), "options")
                         : html("p", { class: "note" }, "No option differs."),
    html("details", {}, html("summary", {}, "Options that are the same"),
         table(null, ["Option", "Value"], names.filter((name) => !differs(name)).map((name) => rowOf(name).slice(0, 2)),
               "options")));
}

function logLines(part) {
  const rows = runs.flatMap((run) => run.log[part].newest.map(({ time, text, level }) =>
    [time, ...(alone ? [] : [named(run)]), ...(level ? [level] : []), text]));
  const older = runs.reduce((sum, run) => sum + run.log[part].older, 0);
  if (rows.length === 0) return null;
  const head = ["Time", ...(alone ? [] : ["Run"]), ...(part === "messages" ? ["Level"] : []), "Rank 0's log"];
  const more = older > 0 ? html("p", { class: "note" }, `${older} older ones are in the log.`) : null;
  return [table(null, head, rows, "messages"), more];
}

// --- the whole --------------------------------------------------------------------------------------------------------

/** A part of the page. One that its data do not allow says so, and costs the others nothing. */
function attempted(id, title, build) {
  try {
    return build();
  } catch (failure) {
    return section(id, title, html("ul", { class: "notices" }, html("li", { class: "warning" },
      `The data for this are not as ganymede writes them: ${failure.message}`)));
  }
}

function main() {
  document.title = `${alone ? runs[0].name : `${runs.length} runs`} – ganymede report`;
  const sections = [
    attempted("samples", "Samples", samples),
    attempted("curves", "Curves", curves),
    attempted("evaluation", "Evaluation", evaluations),
    attempted("latent", "Latent space", latent),
    attempted("timing", "Time by phase and rank", timing),
    attempted("configuration", "Configuration", configuration),
    attempted("starts", "Starts", () => section("starts", "Starts", ...(logLines("starts") ?? []))),
    attempted("warnings", "Warnings", () => section("warnings", "Warnings", ...(logLines("messages") ??
      [html("p", { class: "note" }, "None in rank 0's log.")]))),
  ].filter((part) => part !== null);
  const links = html("nav", { "aria-label": "Parts of this page" },
    ...sections.map((part) => html("a", { href: `#${part.id}` }, part.querySelector("h2").textContent)));
  document.body.append(pageHeader(), noticeList() ?? "", links, html("main", {}, ...sections),
                       html("footer", {}, `Written by ${data.program}.`));
}

main();
