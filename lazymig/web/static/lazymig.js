// What neither HTML nor htmx does: says that the stream is lost, and draws the charts by uPlot.
(() => {
  "use strict";

  const QUIET_MS = 10_000;
  // After so many events everything is fetched again: older samples are kept in coarser steps.
  const EVENTS_PER_WHOLE = 180;
  const DASHES = { write: [7, 4], bad: [2, 4], frame: [12, 4] };

  watchStream();
  const cell = document.querySelector("[data-samples]");
  if (cell && window.uPlot) drawCharts(cell);

  function watchStream() {
    const lost = document.getElementById("stream");
    if (!lost) return;
    const show = (hidden) => () => { if (lost.hidden !== hidden) lost.hidden = hidden; };
    document.addEventListener("htmx:sseOpen", show(true));
    document.addEventListener("htmx:sseError", show(false));
    document.addEventListener("htmx:sseClose", show(false));

    // A server that hangs, or a network that is gone, ends no connection. But the time at the top changes all the time.
    let heardAt = performance.now();
    let interval = 0;
    document.addEventListener("htmx:sseMessage", () => {
      const now = performance.now();
      interval = Math.max(now - heardAt, interval * 0.9);
      heardAt = now;
      show(true)();
    });
    setInterval(() => {
      if (performance.now() - heardAt > Math.max(QUIET_MS, 5 * interval)) show(false)();
    }, 1000);
  }

  function drawCharts(cell) {
    const shown = new Map();
    let data = null;
    let events = 0;

    const fetchAll = async () => {
      try {
        const answer = await fetch(cell.dataset.samples, { headers: { Accept: "application/json" } });
        if (!answer.ok) return;
        const found = await answer.json();
        if (data && !found.at.length) return;
        data = found;
        draw();
      } catch {
        // Without an answer the charts stay as they are; the line above them says that the server is lost.
      }
    };

    // What comes is sent with the panels. Where something was missed, all of it is fetched.
    const receive = (event) => {
      const found = JSON.parse(event.data);
      events += 1;
      if (!data || found.since > (data.at.at(-1) ?? 0) || events % EVENTS_PER_WHOLE === 0) {
        fetchAll();
        return;
      }
      data = append(data, found);
      draw();
    };
    htmx.createEventSource = (url) => {
      const source = new EventSource(url, { withCredentials: true });
      source.addEventListener("samples", receive);
      return source;
    };
    document.addEventListener("htmx:sseOpen", fetchAll);
    document.addEventListener("visibilitychange", () => draw());

    const draw = () => {
      if (!data || document.hidden) return;
      const known = data.charts.filter((chart) => chart.series.some(isKnown));
      if (known.map((chart) => chart.name).join() !== [...shown.keys()].join()) rebuild(known);
      for (const chart of known) shown.get(chart.name).show(data.at, chart);
    };

    const rebuild = (charts) => {
      const figures = cell.querySelector(".figures");
      for (const figure of shown.values()) figure.end();
      shown.clear();
      figures.replaceChildren();
      cell.querySelector(".none")?.remove();
      for (const chart of charts) shown.set(chart.name, new Figure(figures, chart));
    };

    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      if (!data) return;
      rebuild(data.charts.filter((chart) => chart.series.some(isKnown)));
      draw();
    });
  }

  class Figure {
    constructor(parent, chart) {
      this.chart = chart;
      this.plot = null;
      this.series = [];
      this.figure = make(parent, "figure", { id: `chart-${chart.name}` });
      this.caption = make(this.figure, "figcaption", { id: `chart-${chart.name}-title` }, chart.title);
      const names = `chart-${chart.name}-title chart-${chart.name}-last`;
      this.place = make(this.figure, "div", { class: "plot", role: "img", "aria-labelledby": names });
      this.legend = make(this.figure, "ul", { class: "legend", id: `chart-${chart.name}-last` });
      this.observer = new ResizeObserver(() => this.plot?.setSize(this.size()));
      this.observer.observe(this.place);
    }

    end() {
      this.observer.disconnect();
      this.plot?.destroy();
    }

    size() {
      return { width: Math.max(this.place.clientWidth, 100), height: 200 };
    }

    show(at, chart) {
      const series = chart.series.filter(isKnown);
      const rows = [at, ...series.map((line) => line.values)];
      const same = series.map((line) => line.name).join() === this.series.map((line) => line.name).join();
      this.chart = chart;
      this.caption.textContent = chart.title;
      this.series = series;
      if (this.plot && same) {
        this.plot.setData(rows);
      } else {
        this.plot?.destroy();
        this.listLegend();
        this.plot = new uPlot(this.options(), rows, this.place);
      }
      this.showValues(null);
    }

    listLegend() {
      this.legend.replaceChildren();
      this.values = this.series.map((line) => {
        const entry = make(this.legend, "li", {});
        const swatch = makeSvg(entry, "svg", { class: "swatch", viewBox: "0 0 24 8", "aria-hidden": "true" });
        makeSvg(swatch, "path", { class: `line ${line.style}`, d: "M1 4H23" });
        entry.append(` ${line.name} `);
        return make(entry, "span", { class: "value" });
      });
    }

    showValues(index) {
      this.series.forEach((line, place) => {
        const value = index === null ? line.values.findLast((one) => one !== null) : line.values[index];
        this.values[place].textContent = value === null || value === undefined ? "–" : format(value, this.chart.unit);
      });
    }

    options() {
      const top = this.chart.top;
      const axis = { stroke: colour("--ink-quiet"), grid: { stroke: colour("--hairline"), width: 1 } };
      return {
        ...this.size(),
        legend: { show: false },
        padding: [12, 26, 0, 0],
        cursor: { y: false, drag: { x: false, y: false } },
        tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
        scales: { y: { range: (_, low, high) => [0, top ?? Math.max(high * 1.05, 1)] } },
        axes: [
          { ...axis, ticks: { show: false }, size: 30, values: (_, ticks, axisNumber, space, step) => ticks.map((at) => formatTime(at, step)) },
          { ...axis, ticks: { show: false }, size: 64, values: (_, ticks) => ticks.map((one) => formatTick(one, this.chart.unit)) },
        ],
        series: [{}, ...this.series.map((line) => ({
          label: line.name,
          stroke: colour(`--graphic-${line.style === "plain" ? "sweep" : line.style}`),
          dash: DASHES[line.style],
          width: 2,
          spanGaps: line.bridged,
          points: { show: line.values.filter((one) => one !== null).length < 2 },
        }))],
        hooks: { setCursor: [(plot) => this.showValues(plot.cursor.idx ?? null)] },
      };
    }
  }

  function append(data, more) {
    const fresh = more.at.map((at, place) => [at, place]).filter(([at]) => at > data.at.at(-1)).map(([, place]) => place);
    const join = (old, added) => [...old, ...fresh.map((place) => added[place])];
    return {
      at: join(data.at, more.at),
      charts: data.charts.map((chart, number) => ({
        ...chart,
        title: more.charts[number].title,
        series: chart.series.map((line, place) => ({
          ...line,
          values: join(line.values, more.charts[number].series[place].values),
        })),
      })),
    };
  }

  function isKnown(line) {
    return line.values.some((value) => value !== null);
  }

  function format(value, unit) {
    const digits = value >= 100 || Number.isInteger(value) ? 0 : value >= 1 ? 1 : 3;
    const text = value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
    return text + unit;
  }

  function formatTick(value, unit) {
    const [size, letter] = value >= 1e9 ? [1e9, " G"] : value >= 1e6 ? [1e6, " M"] : value >= 1e4 ? [1e3, " k"] : [1, ""];
    return (value / size).toLocaleString("en-US", { maximumSignificantDigits: 6 }) + letter + unit;
  }

  // As everywhere on the page: UTC, and the day where the steps are long.
  function formatTime(at, step) {
    const text = new Date(at * 1000).toISOString();
    return step >= 86_400 ? text.slice(5, 10) : step >= 3600 ? `${text.slice(5, 10)} ${text.slice(11, 16)}` : text.slice(11, step < 60 ? 19 : 16);
  }

  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  function make(parent, name, attributes, text = "") {
    return fill(parent, document.createElement(name), attributes, text);
  }

  function makeSvg(parent, name, attributes) {
    return fill(parent, document.createElementNS("http://www.w3.org/2000/svg", name), attributes, "");
  }

  function fill(parent, element, attributes, text) {
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.textContent = text;
    parent.append(element);
    return element;
  }
})();
