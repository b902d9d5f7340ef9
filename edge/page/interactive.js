"use strict";
// Draws the live charts of a page over the drawn ones. Whatever fails, the drawn ones stay.
(async () => {
  const packed = document.getElementById("plotly-script");
  if (!packed || typeof DecompressionStream === "undefined") return;
  const bytes = Uint8Array.from(atob(packed.textContent), (letter) => letter.charCodeAt(0));
  const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const library = document.createElement("script");
  library.textContent = await new Response(unpacked).text();
  document.head.append(library);
  packed.remove();
  if (!window.Plotly) return;

  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const isPhone = () => window.matchMedia("(max-width: 48rem)").matches;
  // A finger that moves over a chart scrolls the page; the buttons zoom.
  const isTouched = window.matchMedia("(pointer: coarse)").matches;
  const charts = [];

  const painted = () => {
    const ink = color("ink"), faint = color("faint"), line = color("line");
    const axis = { "gridcolor": line, "zerolinecolor": line, "linecolor": faint, "tickcolor": faint };
    const changes = {
      "font.color": ink, "hoverlabel.bgcolor": color("panel"), "hoverlabel.bordercolor": faint,
      "hoverlabel.font.color": ink, "modebar.color": faint, "modebar.activecolor": ink,
      "modebar.bgcolor": "rgba(0,0,0,0)",
    };
    for (const name of ["xaxis", "yaxis"])
      for (const [key, value] of Object.entries(axis)) changes[`${name}.${key}`] = value;
    return changes;
  };
  // On a phone the buttons need the room above a chart, and its legend stands below it.
  const widths = () => (isPhone()
    ? { "margin.l": 56, "margin.r": 10, "xaxis.nticks": 5, "legend.y": -0.32, "legend.yanchor": "top" }
    : { "margin.l": 64, "margin.r": 24, "xaxis.nticks": 9, "legend.y": 1.1, "legend.yanchor": "bottom" });

  const merge = (layout, changes) => {
    for (const [path, value] of Object.entries(changes)) {
      const keys = path.split(".");
      let place = layout;
      for (const key of keys.slice(0, -1)) place = place[key] = place[key] || {};
      place[keys[keys.length - 1]] = value;
    }
    return layout;
  };

  let isFollowing = false;
  const follow = (chart, change) => {
    if (isFollowing || !chart.axis) return;
    const keys = Object.keys(change).filter((key) => key.startsWith("xaxis."));
    if (!keys.length) return;
    const moved = chart.place.layout.xaxis.range;
    isFollowing = true;
    const moving = charts.filter((other) => other.axis === chart.axis && other !== chart);
    Promise.all(moving.map((other) => Plotly.relayout(other.place, { "xaxis.range": [...moved] })))
      .finally(() => { isFollowing = false; });
  };
  // What is pointed at in one chart of an axis is shown at the same place of the others. Plotly reports what a script
  // points at too, without an event of the browser.
  const others = (chart, event) =>
    (chart.axis && event.event instanceof Event ? charts.filter((each) => each !== chart && each.axis === chart.axis) : []);
  const point = (chart, event) => {
    for (const other of others(chart, event)) Plotly.Fx.hover(other.place, { xval: event.points[0].x }, "xy");
  };
  const leave = (chart, event) => {
    for (const other of others(chart, event)) Plotly.Fx.unhover(other.place);
  };

  for (const data of document.querySelectorAll("script.figure-data")) {
    const { traces, layout, axis } = JSON.parse(data.textContent);
    const frame = data.parentElement;
    const place = document.createElement("div");
    place.className = "live";
    place.setAttribute("role", "figure");
    const drawn = frame.querySelector("svg");
    if (drawn) place.setAttribute("aria-label", drawn.getAttribute("aria-label"));
    data.replaceWith(place);
    merge(layout, {
      "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)", "font.family": "system-ui, sans-serif",
      "font.size": 12, "autosize": true, "dragmode": isTouched ? false : "zoom", ...painted(), ...widths(),
    });
    try {
      await Plotly.newPlot(place, traces, layout, {
        responsive: true, displaylogo: false, displayModeBar: isTouched ? true : "hover",
        // Named one by one: what else the library offers, such as sending the chart to its maker's servers, stays out.
        modeBarButtons: [["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]],
        showSendToCloud: false, plotlyServerURL: "",
      });
    } catch (error) {
      place.remove();
      continue;
    }
    frame.classList.add("is-live");
    const chart = { place, axis };
    charts.push(chart);
    place.on("plotly_relayout", (change) => follow(chart, change));
    place.on("plotly_hover", (event) => point(chart, event));
    place.on("plotly_unhover", (event) => leave(chart, event));
  }
  const repaint = () => charts.forEach((chart) => Plotly.relayout(chart.place, { ...painted(), ...widths() }));
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
  window.matchMedia("(max-width: 48rem)").addEventListener("change", repaint);
  document.documentElement.classList.add("charts-are-live");
})();
