// The plots: one line for each listener, told apart by its dashes as well as by its colour.

import { bytes, element, latency, number, rate } from "./words.js";

const DASHES = [[], [7, 4], [2, 3], [10, 3, 2, 3], [14, 5], [4, 2, 1, 2]];
const COLOURS = {
  light: ["#0f6b66", "#3b5b92", "#8a5a00", "#7a3f78", "#48691f", "#4b575a"],
  dark: ["#5cc2ba", "#8fb0ea", "#e0b052", "#d69ad3", "#a5cb6f", "#a9b7ba"],
};
const dark = matchMedia("(prefers-color-scheme: dark)");
const HEIGHT = 165;

/** Samples that are put together, so that one event is not a needle. */
const SMOOTH = 3;

const PLOTS = [
  { title: "Requests and messages", unit: "/s", column: "requests", show: rate, rate: true },
  { title: "Denied and refused", unit: "/s", column: ["denied", "refused"], show: rate, rate: true },
  { title: "Bytes, both ways", unit: "/s", column: ["up", "down"], show: bytes, rate: true },
  { title: "Open connections", unit: "", column: "open", show: number },
  { title: "Request latency, 99 of 100", unit: "", column: "request_p99_us", show: latency },
  { title: "Handshake latency, 99 of 100", unit: "", column: "handshake_p99_us", show: latency },
];

function colour(place) {
  const colours = dark.matches ? COLOURS.dark : COLOURS.light;
  return colours[place % colours.length];
}

/** A piece of the line of the listener at `place`. */
export function key(place) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  for (const [name, value] of Object.entries({ width: 34, height: 8, class: "key", "aria-hidden": "true" })) made.setAttribute(name, value);
  const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
  const dash = DASHES[place % DASHES.length].join(" ");
  const shape = { x1: 0, x2: 34, y1: 4, y2: 4, stroke: colour(place), "stroke-width": 2.5, "stroke-dasharray": dash };
  for (const [name, value] of Object.entries(shape)) made.appendChild(line).setAttribute(name, value);
  return made;
}

function figures(history, columns, plot) {
  const wanted = [plot.column].flat();
  const sums = history.times.map((_, at) => {
    const parts = wanted.map((column) => columns[column]?.[at] ?? null);
    return parts.every((part) => part === null) ? null : parts.reduce((sum, part) => sum + (part ?? 0), 0);
  });
  if (!plot.rate) return sums;
  return sums.map((sum, at) => {
    const near = sums.slice(Math.max(0, at - SMOOTH + 1), at + 1).filter((one) => one !== null);
    return sum === null ? null : near.reduce((a, b) => a + b, 0) / (near.length * history.every);
  });
}

/** Places of the figures that have none beside them: a line does not show them. */
function alone(chart, series) {
  const figures = chart.data[series];
  return figures.flatMap((one, at) => (one !== null && (figures[at - 1] ?? null) === null && (figures[at + 1] ?? null) === null ? [at] : []));
}

export class Plots {
  /** In `home`. `pointed(at)` is told at which sample somebody looks, or null. */
  constructor(home, history, pointed) {
    Object.assign(this, { home, history, pointed, plots: [], shape: "" });
    dark.addEventListener("change", () => { this.shape = ""; this.draw(); });
    new ResizeObserver(() => this.fit()).observe(home);
  }

  draw() {
    const { history } = this;
    const listeners = [...history.listeners.values()];
    const shape = listeners.map((listener) => `${listener.direction} ${listener.name}`).join("\n");
    if (shape !== this.shape) { this.shape = shape; this.build(listeners); }
    for (const made of this.plots) {
      const series = listeners.map(({ columns }) => figures(history, columns, made.plot));
      made.chart.setData([history.times, ...series]);
      const last = series.map((one) => one.at(-1)).filter((one) => one !== null && one !== undefined);
      const sum = made.plot.show === latency ? (last.length ? Math.max(...last) : null) : last.reduce((a, b) => a + b, 0);
      made.now.textContent = `${made.plot.show(sum)}${made.plot.unit}`;
      const peak = Math.max(0, ...series.flat().filter((one) => one !== null));
      const label = `${made.plot.title}: now ${made.now.textContent}, at most ${made.plot.show(peak)} in the last 15 minutes`;
      if (document.activeElement !== made.figure) made.figure.setAttribute("aria-label", label);
    }
  }

  build(listeners) {
    this.plots.forEach((made) => made.chart.destroy());
    const style = getComputedStyle(document.documentElement);
    const ink = style.getPropertyValue("--quiet"), line = style.getPropertyValue("--line");
    this.plots = PLOTS.map((plot) => {
      const figure = element("div", null, "plot");
      const caption = element("p");
      const now = element("b");
      caption.append(element("span", plot.title), now);
      figure.append(caption);
      return { plot, figure, now };
    });
    this.home.replaceChildren(...this.plots.map(({ figure }) => figure));
    for (const made of this.plots) made.chart = this.chart(made, listeners, ink, line);
  }

  chart({ plot, figure }, listeners, ink, line) {
    const axis = { stroke: ink, font: "11px system-ui, sans-serif", grid: { stroke: line, width: 1 }, ticks: { show: false } };
    const chart = new uPlot({
      width: figure.clientWidth - 16, height: HEIGHT, legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, sync: { key: "myelin" }, points: { size: 6 } },
      scales: { x: { range: (_u, _first, last) => [(last ?? 0) - 900, last ?? 1] }, y: { range: (_u, _low, high) => [0, high > 0 ? high * 1.1 : 1] } },
      axes: [
        { ...axis, size: 26, values: [[60, "{HH}:{mm}", null, null, null, null, null, null, 0], [1, "{HH}:{mm}:{ss}", null, null, null, null, null, null, 0]], space: 70 },
        { ...axis, size: 58, values: (_u, ticks) => ticks.map((tick) => plot.show(tick)) },
      ],
      series: [{}, ...listeners.map((_, place) => ({
        stroke: colour(place), width: 1.8, dash: DASHES[place % DASHES.length], points: { show: true, size: 4, fill: colour(place), filter: alone },
      }))],
      hooks: { setCursor: [(u) => this.pointed(u.cursor.idx ?? null)] },
    }, [[], ...listeners.map(() => [])], figure);
    this.keys(figure, chart);
    return chart;
  }

  /** Arrow keys walk along the samples; Escape goes back to now. */
  keys(figure, chart) {
    figure.tabIndex = 0;
    figure.setAttribute("role", "img");
    figure.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
      const last = this.history.times.length - 1;
      if (event.key === "Escape") chart.setCursor({ left: -10, top: -10 });
      if (step === undefined || last < 0) return;
      event.preventDefault();
      const at = Math.min(last, Math.max(0, (chart.cursor.idx ?? last) + step));
      const left = Math.min(chart.valToPos(this.history.times[at], "x"), chart.over.clientWidth - 1);
      chart.setCursor({ left, top: 1 });
    });
    figure.addEventListener("blur", () => chart.setCursor({ left: -10, top: -10 }));
  }

  fit() {
    for (const { chart, figure } of this.plots) chart.setSize({ width: figure.clientWidth - 16, height: HEIGHT });
  }
}
