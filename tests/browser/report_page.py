"""report_page.py PROGRAM FOLDER: trains small runs into FOLDER and looks at their reports in a headless Chromium: pages
render without a word on the console and without a request, charts have curves, the slider shows other grids, zooming,
reading by keys, the logarithmic axis and the smoothing do what they say, light and dark differ, nothing is wider than
a narrow window. Screenshots stay in FOLDER, for people."""

import json
import os
import shutil
import statistics
import subprocess
import sys

from chromium import Chromium

program, folder = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])


def ganymede(*words, code=0):
    done = subprocess.run([program, *words], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == code, (words, done.returncode, done.stderr)
    return done


def train(out, *more, code=0):
    return ganymede("train", "--out", out, "--latent", "8", "--generator-hidden", "16", "--discriminator-hidden", "16",
                    "--batch", "24", "--threads", "1", "--sample-count", "30", *more, code=code)


def columns(browser):
    return browser.evaluate("data.runs.map(run => run.curves.columns)")


def page(browser, file, **window):
    """Opens a page, of which nothing may be wrong."""
    browser.complaints.clear()
    browser.requests.clear()
    browser.open(os.path.join(folder, file), **window)
    assert browser.complaints == [], browser.complaints
    elsewhere = [url for url in browser.requests if not url.startswith(("data:", "file:"))]
    assert elsewhere == [], elsewhere
    assert sum(url.startswith("file:") for url in browser.requests) == 1, browser.requests


def titles(browser):
    return browser.evaluate("[...document.querySelectorAll('.chart h3')].map(title => title.textContent)")


def plot(browser, title):
    """Where a chart is in the window, once it has been scrolled to."""
    browser.evaluate(f"""{{
        const chart = view.charts.find(chart => chart.spec.title === {json.dumps(title)});
        chart.plot.scrollIntoView({{block: "center"}});
    }}""")
    browser.settle()
    return browser.evaluate(f"""(() => {{
        const chart = view.charts.find(chart => chart.spec.title === {json.dumps(title)});
        const box = chart.plot.getBoundingClientRect();
        return {{x: box.x, y: box.y + box.height / 2, left: chart.frame.left, right: chart.frame.right}};
    }})()""")


def in_chart(browser, title, expression):
    return browser.evaluate(f"""(() => {{
        const chart = view.charts.find(chart => chart.spec.title === {json.dumps(title)});
        return {expression};
    }})()""")


def check_median(browser):
    """Against Python's own, on values with repetitions and gaps."""
    values = [((i * 7919) % 101) / 7 if i % 13 else None for i in range(300)]
    for window in (1, 3, 5, 21, 101, 999):
        half = window // 2
        expected = []
        for i in range(len(values)):
            near = [v for v in values[max(0, i - half):i + half + 1] if v is not None]
            expected.append(statistics.median(near) if near else None)
        found = browser.evaluate(f"runningMedian({json.dumps(values)}, {window})")
        assert len(found) == len(expected)
        for mine, reference in zip(found, expected):
            assert mine == reference or abs(mine - reference) < 1e-12, (window, mine, reference)
    assert browser.evaluate("runningMedian([], 5)") == []
    assert browser.evaluate("runningMedian([null, null, 3], 3)") == [None, 3, 3]


def check_numbers(browser):
    for expression, text in {
            "grouped(1234567)": "1\u202f234\u202f567", "grouped(999)": "999", "compact(25000)": "25k",
            "compact(1.5e6)": "1.5M", "compact(-2000)": "\u22122k", "short(0.00021)": "2.1e\u22124",
            "short(0.6931471)": "0.6931", "short(null)": "not finite", "duration(59.6)": "60\u202fs",
            "duration(187)": "3:07\u202fmin",
            "duration(7500)": "2:05:00\u202fh", "percent(0.5)": "50.0\u202f%"}.items():
        found = browser.evaluate(expression)
        assert found == text, (expression, found)
    assert browser.evaluate("plainTicks(0, 3000, 4)") == [0, 1000, 2000, 3000]
    assert browser.evaluate("plainTicks(-1.3, 0.9, 4)") == [-1, 0]
    assert browser.evaluate("logTicks(0.5, 2000)") == [1, 10, 100, 1000]
    # Labels tell neighbours apart, and have room beside the axis: a logarithmic one of a narrow range has plain ticks.
    assert browser.evaluate("logTicks(3.1e-5, 3.9e-5)") == []
    for low, high in ((3.1e-5, 3.9e-5), (1.21e-4, 1.24e-4), (9.7e-6, 1.04e-5), (0.61, 0.66), (2.31, 2.36), (310, 390)):
        texts = browser.evaluate(f"(t => t.map(textOfTicks(t)))(plainTicks({low}, {high}, 5))")
        assert len(set(texts)) == len(texts) > 2 and max(map(len, texts)) <= 8, (low, high, texts)
    assert browser.evaluate("textOfTicks([3.2e-5, 3.4e-5, 3.6e-5])(3.4e-5)") == "3.4e\u22125"
    assert browser.evaluate("timeTicks(0, 700, 5)") == [0, 300, 600]
    # Neighbours, between which no multiple can be told from the next.
    assert browser.evaluate("plainTicks(1e6, 1e6 + 2 ** -33, 5).length") <= 100


def check_slider(browser):
    image = "document.querySelector('.grid-figure img')"
    grids = browser.evaluate("data.runs[0].grids.shown")
    assert browser.evaluate(f"{image}.src").endswith(grids[-1]["png"]), "it begins with the last grid"
    browser.evaluate("document.querySelector('#step-of-samples').focus()")
    browser.key("ArrowLeft")
    assert browser.evaluate(f"{image}.src").endswith(grids[-2]["png"])
    browser.key("Home")
    assert browser.evaluate(f"{image}.src").endswith(grids[0]["png"])
    assert browser.evaluate("document.querySelector('output').textContent") == "step 0"
    assert "step 0" in browser.evaluate("document.querySelector('#step-of-samples').getAttribute('aria-valuetext')")
    # It is there in its pixels, and not only in the element.
    assert browser.evaluate(f"[{image}.complete, {image}.naturalWidth]") == [True, 6 * 29 - 1]
    assert browser.evaluate("[...document.querySelectorAll('#samples .picture img')]"
                            ".every(image => image.getBoundingClientRect().width === 3 * 173)"), \
        "both grids are of one size"
    browser.evaluate("""new Promise(done => {
        const play = [...document.querySelectorAll('button')].find(button => button.textContent === 'Play');
        play.click();
        const wait = () => play.textContent === 'Play' ? done() : setTimeout(wait, 20);
        wait();
    })""")
    assert browser.evaluate(f"{image}.src").endswith(grids[-1]["png"]), "playing ends with the last grid"


def check_zoom(browser, title):
    drawn = in_chart(browser, title, "chart.svg.innerHTML")
    box = plot(browser, title)
    middle = (box["left"] + box["right"]) / 2
    browser.drag(box["x"] + box["left"], box["y"], box["x"] + middle, box["y"])
    zoomed = browser.evaluate("view.domain")
    assert zoomed[0] == 0 and abs(zoomed[1] - 30) < 1, zoomed
    assert in_chart(browser, title, "chart.svg.innerHTML") != drawn
    # All charts, also those that were not touched.
    for other in titles(browser):
        assert in_chart(browser, other, "chart.to") == zoomed[1], other
    browser.double_click(box["x"] + middle, box["y"])
    assert browser.evaluate("view.domain") is None
    assert in_chart(browser, title, "[chart.from, chart.to]") == [0, 60]


def check_reading(browser, title):
    box = plot(browser, title)
    browser.mouse("mouseMoved", box["x"] + box["left"] + (box["right"] - box["left"]) * 0.5, box["y"])
    browser.settle()
    tip = in_chart(browser, title, "chart.tip.hidden ? '' : chart.tip.textContent")
    own = columns(browser)[0]
    at = own["step"].index(30)
    assert tip.startswith("step 30"), tip
    for name in ("d_loss", "g_loss"):
        assert browser.evaluate(f"short({own[name][at]})") in tip, (tip, own[name][at])
    browser.mouse("mouseMoved", 2, 2)
    assert in_chart(browser, title, "chart.tip.hidden")
    in_chart(browser, title, "chart.plot.focus()")
    browser.key("Home")
    browser.key("ArrowRight")
    words = in_chart(browser, title, "chart.spoken.textContent")
    assert words.startswith("step 4: D ") and "G " in words, words
    browser.key("+", "+")
    assert browser.evaluate("view.domain[1] - view.domain[0]") == 30
    # However deep, there is something to see.
    for _ in range(60):
        browser.key("+", "+")
    assert 0.9 * 60e-6 < browser.evaluate("view.domain[1] - view.domain[0]") < 2.1 * 60e-6
    assert in_chart(browser, title, "chart.svg.querySelectorAll('.mark').length") < 10
    browser.key("Escape")
    assert browser.evaluate("view.domain") is None


def choose(browser, select, value):
    browser.evaluate(f"""{{
        const select = document.getElementById({json.dumps(select)});
        select.value = {json.dumps(value)};
        select.dispatchEvent(new Event("change"));
    }}""")


def check_controls(browser, title):
    def path():
        return in_chart(browser, title,
                        "[...chart.svg.querySelectorAll('path')].map(p => p.getAttribute('d')).join()")
    plain = path()
    in_chart(browser, title, "chart.logButton.click()")
    assert path() != plain and in_chart(browser, title, "chart.logButton.getAttribute('aria-pressed')") == "true"
    in_chart(browser, title, "chart.logButton.click()")
    assert path() == plain
    choose(browser, "smoothing", "5")
    assert in_chart(browser, title, "chart.svg.querySelectorAll('path.median').length") == 2
    assert in_chart(browser, title, "chart.svg.querySelectorAll('path.raw').length") == 2
    assert path() != plain
    for axis in ("epoch", "images_seen", "seconds"):
        choose(browser, "x-axis", axis)
        assert in_chart(browser, title, "chart.to") == columns(browser)[0][axis][-1]


def check_width(browser, width):
    """Nothing sticks out of the window, and no text of a chart out of the chart."""
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    out = browser.evaluate("""[...document.querySelectorAll('.plot svg')].flatMap(svg => {
        const box = svg.getBoundingClientRect();
        return [...svg.querySelectorAll('text')].filter(text => {
          const own = text.getBoundingClientRect();
          return own.left < box.left - 1 || own.right > box.right + 1 || own.bottom > box.bottom + 1;
        }).map(text => text.textContent);
    })""")
    assert out == [], out
    overlapping = browser.evaluate("""[...document.querySelectorAll('.plot svg')].flatMap(svg => {
        const boxes = [...svg.querySelectorAll('text')].map(text => [text.textContent, text.getBoundingClientRect()]);
        return boxes.flatMap(([a, p], i) => boxes.slice(i + 1).filter(([, q]) =>
          p.left < q.right && q.left < p.right && p.top + 2 < q.bottom && q.top + 2 < p.bottom).map(([b]) => [a, b]));
    })""")
    assert overlapping == [], overlapping


def check_names(browser):
    """Every control has a name, every picture an alternative, every chart says what it is."""
    nameless = browser.evaluate("""[...document.querySelectorAll('button, select, input, img, .plot, section, nav')]
        .filter(node => !(node.textContent.trim() && node.matches('button')) && !node.getAttribute('aria-label') &&
                        !node.getAttribute('aria-labelledby') && !node.alt && !(node.labels && node.labels.length))
        .map(node => node.outerHTML.slice(0, 100))""")
    assert nameless == [], nameless


def one_run(browser):
    train("run", "--steps", "60", "--log-every", "2", "--diagnose-every", "2", "--sample-every", "10", "--loss",
          "wasserstein", "--r1", "0", "--clip-weights", "0.05", "--eval-every", "6", "--eval-samples", "200")
    ganymede("eval", "run", "--data", "mnist-mini", "--samples", "200")
    ganymede("latent", "run", "--rows", "3", "--steps", "5")
    ganymede("report", "run")
    pictures = {}
    for name, window in {"light": {}, "dark": {"scheme": "dark"}, "narrow": {"width": 400}}.items():
        page(browser, "run/report.html", **window)
        check_width(browser, window.get("width", 1360))
        pictures[name] = browser.screenshot(os.path.join(folder, f"{name}.png"))
    assert len(set(pictures.values())) == 3
    colours = []
    for scheme in ("light", "dark"):
        page(browser, "run/report.html", scheme=scheme)
        colours.append(browser.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert colours == ["rgb(246, 247, 249)", "rgb(20, 23, 27)"], colours

    page(browser, "run/report.html")
    assert titles(browser) == ["Wasserstein distance", "Losses", "D's accuracy", "D's scores", "Gradient norms",
                               "Variety of samples", "Digits among the samples", "D's slope",
                               "D on held-out images", "Size of an update", "Classifier-FD", "KID",
                               "Precision and recall", "Coverage", "MNIST inception score", "Learning rates", "Speed"]
    evaluated = {"Classifier-FD", "KID", "Precision and recall", "Coverage", "MNIST inception score"}
    for title in titles(browser):
        paths = in_chart(browser, title, "[...chart.svg.querySelectorAll('path')].map(p => p.getAttribute('d'))")
        assert paths and not any("NaN" in path for path in paths), (title, paths)
        # Ten evaluations are ten points, however many records repeat what they measured.
        lengths = [path.count("L") for path in paths]
        assert all(n == 9 if title in evaluated else n >= 25 for n in lengths), (title, lengths)
    # The estimate, as logged (the page has a few digits of each number) and its median.
    own = columns(browser)[0]
    values = in_chart(browser, "Wasserstein distance", "chart.spec.lines[0].values")
    assert len(values) == 30
    for value, real, fake in zip(values, own["d_real_score"], own["d_fake_score"]):
        assert abs(value - (real - fake)) < 1e-4 * (abs(real) + abs(fake)), (value, real, fake)
    assert in_chart(browser, "Wasserstein distance", "chart.svg.querySelectorAll('path.raw').length") == 1
    assert in_chart(browser, "Wasserstein distance", "chart.svg.querySelectorAll('path.median').length") == 1
    text = browser.evaluate("document.body.innerText")
    with open(os.path.join(folder, "run/eval.json"), encoding="utf-8") as measured:
        judge = json.load(measured)["metrics"]["judge"]
    for kind in ("samples", "training_images", "noise"):
        assert f'{judge[kind]["classifier_fd"]:.3f}' in text, kind
    assert "Floor: training images" in text and "Ceiling: noise" in text
    assert "--loss" in text and "wasserstein" in text
    assert browser.evaluate("[...document.querySelectorAll('#latent h3')].map(title => title.textContent)") == [
        "Walks between samples, spherical", "Walks between samples, linear", "Directions in which images change most",
        "Nearest training images"]
    assert browser.evaluate("[...document.querySelectorAll('#latent img')].every(image => image.naturalWidth > 0)")
    check_names(browser)
    check_median(browser)
    check_numbers(browser)
    check_slider(browser)
    check_zoom(browser, "Losses")
    check_reading(browser, "Losses")
    check_controls(browser, "Losses")
    assert browser.complaints == [], browser.complaints


def several_runs(browser):
    train("other", "--steps", "30", "--log-every", "1", "--sample-every", "10", "--condition", "concat")
    ganymede("report", "run", "other", "--out", "both.html")
    page(browser, "both.html")
    check_width(browser, 1360)
    check_names(browser)
    browser.screenshot(os.path.join(folder, "comparison.png"))
    # A line each of two networks of two runs; the penalty is the other's alone and the estimate the first one's.
    assert in_chart(browser, "Losses", "chart.svg.querySelectorAll('path.raw, path.plain').length") == 4
    assert in_chart(browser, "Wasserstein distance", "chart.spec.lines.map(line => line.name)") == ["run"]
    different = browser.evaluate("[...document.querySelectorAll('#configuration > .scroll tbody th')]"
                                 ".map(th => th.textContent)")
    assert different == ["--condition", "--loss", "--r1", "--clip-weights", "--steps", "--log-every", "--diagnose-every",
                         "--eval-every", "--eval-samples"], different
    # A bar for each run's rank, and tables for who opens them.
    assert browser.evaluate("[...document.querySelectorAll('#timing h3')].map(title => title.textContent)") == [
        "run", "other"]
    assert browser.evaluate("document.querySelectorAll('#timing .bars-of-time li').length") == 2
    assert browser.evaluate("[...document.querySelectorAll('#timing details')].every(part => !part.open)")
    # Their real ones differ, too, and are in the runs' order.
    assert browser.evaluate("document.querySelectorAll('#samples .grid-figure').length") == 4
    notes = browser.evaluate("[...document.querySelectorAll('#samples .grid-figure .note')].map(n => n.textContent)")
    assert notes[2:] == ["from the training set of run", "from the training set of other"], notes
    browser.evaluate("document.querySelector('#step-of-samples').focus()")
    browser.key("Home")
    assert browser.evaluate("[...document.querySelectorAll('.grid-figure .note')].slice(0, 2)"
                            ".every(note => note.textContent === 'step 0')")
    page(browser, "both.html", width=400, scheme="dark")
    check_width(browser, 400)


def evaluations(browser):
    """Of other shapes than the program's own, and of runs that were measured differently."""
    def shown(*runs):
        ganymede("report", *runs, "--out", "evaluated.html")
        page(browser, "evaluated.html")
        assert len(titles(browser)) >= 7
        return browser.evaluate("document.getElementById('evaluation').innerText")

    def rows():
        return {cells[0]: cells[1:] for cells in browser.evaluate(
            "[...document.querySelectorAll('#evaluation tbody tr')].map(tr => [...tr.cells].map(c => c.textContent))")}

    own = os.path.join(folder, "run/eval.json")
    with open(own, encoding="utf-8") as file:
        measured = json.load(file)

    def write(value, run="run"):
        with open(os.path.join(folder, run, "eval.json"), "w", encoding="utf-8") as file:
            json.dump(value, file)

    for value in ([], 5, "text", {"metrics": None}):
        write(value)
        assert "Not measured yet" in shown("run"), value
        assert "eval.json is not as" in browser.evaluate("document.querySelector('.notices').innerText"), value
    for value in ({"metrics": 5}, {"metrics": {"judge": 7, "modes": []}}, {"metrics": {"judge": {"samples": None}}},
                  {"metrics": {"parzen": {"log_likelihood": "high"}}, "run": 1, "samples": [], "data": ""}):
        write(value)
        assert "does not say of what it is" in shown("run"), value
    told = json.loads(json.dumps(measured))
    told["metrics"]["memorisation"] = {"near_copies": 0.125, "near_copies_standard_error": 0.0625,
                                       "membership_auc_by_distance": 0.5,
                                       "membership_auc_by_distance_standard_error": 0.25,
                                       "membership_auc_by_discriminator": 0.625, "verdict": "the verdict"}
    told["metrics"]["parzen"] = None
    told["unmeasured"] = {"parzen": "needs more"}
    told["run"]["batch_norm"] = "running statistics"
    write(told)
    picture = os.path.join(folder, "run/samples/nearest.png")
    shutil.copy(os.path.join(folder, "run/samples/real.png"), picture)
    text = shown("run")
    for sentence in ("Memorisation: the verdict.", "Not measured: parzen needs more.", "running statistics.",
                     told["metrics"]["judge"]["weights"], "is right about 99.3\u202f% of MNIST's test images"):
        assert sentence in text, (sentence, text)
    assert rows()["near copies of training images"][0] == "12.50 ± 6.25\u202f%", rows()
    assert rows()["AUC of membership, by nearness"][0] == "0.500 ± 0.250", rows()
    assert rows()["AUC of membership, by D"][0] == "0.625", rows()
    assert browser.evaluate("document.querySelector('#evaluation img').alt").startswith("Samples, each with")
    os.remove(picture)
    broken = json.loads(json.dumps(measured))
    broken["metrics"]["judge"]["samples"]["class_histogram"] = 3
    write(broken)
    assert "not as ganymede writes them" in shown("run")
    infinite = json.loads(json.dumps(measured))
    infinite["metrics"]["parzen"] = {"log_likelihood": None, "standard_error": None}
    infinite["metrics"]["judge"]["samples"]["kid"] = {"mean": None, "standard_error": None}
    infinite["metrics"]["judge"]["samples"]["class_kl"] = None
    infinite["metrics"]["modes"] = {"samples": {"found": 9, "possible": 10, "kl": 0.5, "count": 200},
                                    "training_images": {"found": 10, "possible": 10, "kl": 0.1, "count": 150}}
    write(infinite)
    assert "null" not in shown("run") and "undefined" not in shown("run")
    assert "Parzen log-likelihood, nats" not in rows() and "KID" not in rows(), rows()
    assert rows()["KL of classes from real"][0] == "∞", rows()
    assert rows()["modes"][:2] == ["9 of 10", "10 of 10 in 150 stacks"], rows()
    write(measured)

    floor = f'{measured["metrics"]["judge"]["training_images"]["classifier_fd"]:.3f}'
    write(measured, "other")
    shown("run", "other")
    assert rows()["classifier-FD"][2] == floor, rows()
    measured["samples"]["count"] += 1
    write(measured, "other")
    assert "Floors and ceilings are left out" in shown("run", "other")
    assert rows()["classifier-FD"][2:4] == ["–", "–"], rows()
    del measured["metrics"]["judge"]
    write(measured, "other")
    assert "Floors and ceilings are left out" not in shown("run", "other")
    assert rows()["classifier-FD"][1:3] == ["–", floor], rows()


def times(browser):
    """What the ranks' time went to: of the run that was trained, of several ranks, of many, of GPUs."""
    file = os.path.join(folder, "run/timing.jsonl")
    with open(file, encoding="utf-8") as lines:
        own = [json.loads(line) for line in lines]
    assert len(own) == 1 and own[0]["steps"] == 60, own

    def shown(lines):
        with open(file, "w", encoding="utf-8") as out:
            out.writelines(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines)
        ganymede("report", "run")
        page(browser, "run/report.html")
        return browser.evaluate("document.getElementById('timing').innerText")

    def rows():
        return {cells[0]: [float(cell) for cell in cells[1:]] for cells in browser.evaluate(
            "[...document.querySelectorAll('#timing tbody tr')].map(tr => [...tr.cells].map(c => c.textContent))")}

    def heads():
        return browser.evaluate("[...document.querySelectorAll('#timing thead th')].slice(1).map(th => th.innerText)")

    assert "Means over 60 steps, from step 1 to 60, on one rank." in shown(own)
    found = rows()
    assert "waiting for other ranks" not in found
    step = 1e3 * own[0]["seconds"] / 60
    rounding = 0.51 * 10 ** -(3 if step < 10 else 2 if step < 100 else 1) + 1e-5 * step
    assert abs(found["all"][0] - step) < rounding
    for part, seconds in own[0]["parts"].items():
        if seconds > 0:
            assert abs(found[part][0] - 1e3 * seconds / 60) < rounding, part
        else:
            assert part not in found
    # The bar is as long as what it stands for.
    drawn = browser.evaluate("[...document.querySelectorAll('#timing rect')]"
                             ".reduce((sum, box) => sum + Number(box.getAttribute('width')), 0)")
    assert abs(drawn - 1000) < 0.5, drawn

    def rank(number, own_ms, waiting_ms, backward="D backward"):
        return {"start": 2, "first_step": 60, "last_step": 160, "steps": 100, "rank": number, "host": f"n{number // 2}",
                "seconds": (own_ms + waiting_ms) / 10, "waiting": waiting_ms / 10,
                "parts": {backward: own_ms * 0.08, "diagnosis": own_ms * 0.02, "report": 0}}

    text = shown(own + [rank(0, 6, 4), rank(1, 10, 0), rank(2, 6, 4)])
    for sentence in ("from step 61 to 160, since the run's start number 2, on 3 ranks.",
                     "The slowest is rank 1, whose own part of a step takes 10.00 ms; "
                     "the median rank's takes 6.00 ms."):
        assert sentence in text, (sentence, text)
    assert rows() == {"D backward": [4.8, 8, 4.8], "diagnosis": [1.2, 2, 1.2], "own part": [6, 10, 6],
                      "waiting for other ranks": [4, 0, 4], "all": [10, 10, 10]}, rows()
    assert heads() == ["rank 0\nn0", "rank 1\nn0 slowest", "rank 2\nn1"], heads()
    assert browser.evaluate("document.querySelectorAll('#timing svg')[1].getAttribute('aria-label')") == \
        "rank 1 on n0, ms a step: D 8.00, between steps 2.00, waiting 0.00"
    check_names(browser)
    for name, window in {"light": {}, "dark": {"scheme": "dark"}, "narrow": {"width": 400}}.items():
        page(browser, "run/report.html", **window)
        check_width(browser, window.get("width", 1360))
        browser.evaluate("document.getElementById('timing').scrollIntoView()")
        browser.screenshot(os.path.join(folder, f"times-{name}.png"), whole=False)

    text = shown([rank(number, 6 + number % 50 / 10, 12) for number in range(100)])
    assert "Of 100 ranks the slowest 4 are shown" in text, text
    assert heads()[:5] == ["least of 100", "median of 100", "greatest of 100", "rank 49\nn24 slowest", "rank 99\nn49"]
    assert rows()["own part"] == [6, 8.4, 10.9, 10.9, 10.9, 10.8, 10.8], rows()
    browser.evaluate("document.getElementById('timing').scrollIntoView()")
    browser.screenshot(os.path.join(folder, "times-many.png"), whole=False)

    text = shown([rank(0, 6, 4, "steps"), rank(1, 10, 0, "steps")])
    assert "On a GPU a step is one piece of work" in text and "slowest" not in text, text
    assert set(rows()) == {"steps", "diagnosis", "all"}, rows()
    assert "timing.jsonl, line 2: " in shown(own + ["no line\n"])
    os.remove(file)
    ganymede("report", "run")
    page(browser, "run/report.html")
    assert browser.evaluate("document.getElementById('timing')") is None
    with open(file, "w", encoding="utf-8") as out:
        out.write(json.dumps(own[0]) + "\n")


def unusual_runs(browser):
    """With numbers that are not finite, with one record, with none, without pictures, with a hostile name."""
    hostile = "</script><img src=x onerror=alert(1)>".replace("/", "")
    shutil.copytree(os.path.join(folder, "run"), os.path.join(folder, hostile))
    with open(os.path.join(folder, hostile, "metrics.jsonl"), encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    lines[7]["d_loss"] = lines[8]["d_loss"] = None
    # The program that the run was begun with had no such column.
    for line in lines[:5]:
        del line["d_real_score"]
    with open(os.path.join(folder, hostile, "metrics.jsonl"), "w", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    shutil.rmtree(os.path.join(folder, hostile, "samples"))
    shutil.rmtree(os.path.join(folder, hostile, "logs"))
    ganymede("report", hostile)
    page(browser, f"{hostile}/report.html")
    assert browser.evaluate("document.querySelector('h1').textContent").startswith(hostile)
    assert browser.evaluate("document.querySelectorAll('img').length") == 0
    text = browser.evaluate("document.body.innerText")
    assert "d_loss is not finite in 2 of the curve's points, first at step 16" in text
    assert "d_real_score is not finite" not in text
    assert "There are no sample grids" in text
    assert in_chart(browser, "Losses", "chart.svg.querySelector('path').getAttribute('d').match(/M/g).length") == 2
    # One that failed, and one that went on after that: its error is among the warnings alone.
    start = "2026-01-02 03:04:05.678 info ganymede 0.1.0, rank 0 of 1 on here\n"
    failed = start + "2026-01-02 03:04:06.789 error the disk was full\n"
    os.makedirs(os.path.join(folder, hostile, "logs"))
    for log, shown in ((failed, 1), (failed + start + "2026-01-02 03:04:07.890 info done: 60 steps\n", 0)):
        with open(os.path.join(folder, hostile, "logs/rank-0000.log"), "w", encoding="utf-8") as file:
            file.write(log)
        ganymede("report", hostile)
        page(browser, f"{hostile}/report.html")
        assert browser.evaluate("document.querySelectorAll('.notices .error').length") == shown
        assert "the disk was full" in browser.evaluate("document.getElementById('warnings').innerText")
    train("short", "--steps", "1", "--checkpoint-every", "0", "--sample-every", "0")
    page(browser, "short/report.html")
    assert in_chart(browser, "Losses", "chart.svg.querySelectorAll('circle').length") == 2
    check_width(browser, 1360)
    # Its record is damaged, and there is no other.
    with open(os.path.join(folder, "short/metrics.jsonl"), "w", encoding="utf-8") as file:
        file.write("no record\n")
    ganymede("report", "short")
    page(browser, "short/report.html")
    assert "short/metrics.jsonl, line 1" in browser.evaluate("document.querySelector('.notices').innerText")
    assert "There are no records yet." in browser.evaluate("document.body.innerText")


def main():
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    with Chromium() as browser:
        one_run(browser)
        several_runs(browser)
        evaluations(browser)
        times(browser)
        unusual_runs(browser)
    print(f"the pages are as they should be; screenshots: {folder}")


main()
