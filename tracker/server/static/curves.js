/* Draws the curves of an experiment with uPlot, from the JSON in the page. The table below them shows
   the same checkpoints, and is there without it. */

"use strict";

(() => {
  const plot = document.querySelector("[data-chart]");
  if (plot) showCurves(plot, JSON.parse(document.getElementById(plot.dataset.chart).textContent));

  function showCurves(plot, chart) {
    const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const curves = chart.curves;
    const dots = curves.reduce((sum, curve) => sum + curve.x.length, 0);
    const positive = curves.every((curve) => curve.y.every((value) => value === null || value > 0));
    const logarithmic = plot.dataset.scale === "log" && positive;
    const status = document.getElementById("chart-status");
    const tip = added("div", "tip");
    const halo = added("div", "halo");
    let drawn = null; // uPlot's object
    let places = []; // where the dots are, in pixels of the page
    let current = null; // the dot under the pointer, or where the keyboard is

    draw();
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
    new ResizeObserver(() => drawn.setSize(size())).observe(plot);

    plot.addEventListener("pointermove", (event) => show(nearest(event), false));
    plot.addEventListener("pointerleave", () => show(null, false));
    plot.addEventListener("blur", () => show(null, false));
    plot.addEventListener("keydown", move);
    let pressed = null;
    plot.addEventListener("pointerdown", (event) => {
      pressed = { x: event.clientX, y: event.clientY, dot: current };
    });
    plot.addEventListener("click", (event) => {
      const still = pressed && Math.hypot(event.clientX - pressed.x, event.clientY - pressed.y) < 5;
      const dot = nearest(event);
      // A finger has no way to look before it opens: its first touch shows, its second opens.
      if (still && dot && (event.pointerType !== "touch" || same(dot, pressed.dot))) open(dot);
      else if (still) show(dot, false);
    });
    for (const item of document.querySelectorAll(".legend [data-run]")) {
      const index = curves.findIndex((curve) => curve.run === item.dataset.run);
      for (const kind of ["pointerenter", "focusin"]) item.addEventListener(kind, () => emphasise(index));
      for (const kind of ["pointerleave", "focusout"]) item.addEventListener(kind, () => emphasise(null));
    }

    function added(kind, name) {
      const element = document.createElement(kind);
      element.className = name;
      element.hidden = true;
      plot.append(element);
      return element;
    }

    function size() {
      return { width: Math.max(200, plot.clientWidth), height: plot.clientHeight };
    }

    // The first curve is drawn last, over all others.
    function series(index) {
      return curves.length - index;
    }

    function draw() {
      if (drawn) drawn.destroy();
      const grid = { stroke: colour("--grid"), width: 1 };
      const text = { stroke: colour("--quiet"), font: '12px system-ui, "Segoe UI", sans-serif', grid, ticks: { show: false } };
      const tables = curves.map((curve) => [curve.x, curve.y]).reverse();
      const options = {
        ...size(),
        padding: [14, 14, 0, 0],
        legend: { show: false },
        focus: { alpha: 0.18 },
        cursor: { points: { show: false }, x: false, y: false, focus: { prox: -1 }, drag: { x: true, y: false, dist: 8 } },
        scales: {
          x: { time: false, range: (_, low, high) => spread(low, high) },
          y: logarithmic ? { distr: 3, range: (_, low, high) => [low * 0.85, high * 1.15] } : { range: (_, low, high) => spread(low, high) },
        },
        axes: [
          { ...text, label: chart.axis, labelSize: 22, labelFont: text.font, gap: 6, size: 30, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 1e6, 1e7, 1e8, 1e9] },
          { ...text, filter: roundOnes, grid: { ...grid, filter: roundOnes }, size: widthOfValues, gap: 8, values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : written(tick))) },
        ],
        series: [{}, ...curves.map((_, index) => line(index)).reverse()],
        hooks: { draw: [markBest, remember] },
      };
      drawn = new uPlot(options, uPlot.join(tables), plot);
      drawn.root.setAttribute("aria-hidden", "true");
    }

    function line(index) {
      const stroke = colour(index < 8 ? `--series-${index}` : "--series-rest");
      const width = index === 0 ? 2.25 : index < 8 ? 1.5 : 1;
      const size = dots > 3000 ? 3 : dots > 800 ? 4.5 : index < 8 ? 6.5 : 5;
      return { stroke, width, points: { show: true, size, fill: stroke, stroke, width: 0 } };
    }

    function spread(low, high) {
      if (low === null || high === null) return [0, 1];
      const margin = (high - low) * 0.04 || Math.abs(high) * 0.05 || 1;
      return [low - margin, high + margin];
    }

    // Of a logarithmic axis: a line at 1, 2 and 5 of every magnitude is enough.
    function roundOnes(_, ticks) {
      const isRound = (tick) => /^[125](\.0*)?e/.test(tick.toExponential(3));
      return logarithmic ? ticks.map((tick) => (isRound(tick) ? tick : null)) : ticks;
    }

    function widthOfValues(_, values) {
      return 18 + 7 * Math.max(3, ...(values || []).map((value) => value.length));
    }

    function written(value) {
      const short = Number(value.toPrecision(6));
      const far = short !== 0 && (Math.abs(short) >= 1e6 || Math.abs(short) < 1e-4);
      return (far ? short.toExponential() : String(short)).replace("-", "−");
    }

    function remember(u) {
      const ratio = uPlot.pxRatio;
      places = [];
      curves.forEach((curve, index) => {
        for (let i = 0; i < curve.x.length; i++) {
          if (curve.y[i] === null) continue;
          const x = u.valToPos(curve.x[i], "x", true) / ratio;
          const y = u.valToPos(curve.y[i], "y", true) / ratio;
          const inside = x >= u.bbox.left / ratio - 4 && x <= (u.bbox.left + u.bbox.width) / ratio + 4;
          if (inside) places.push({ curve: index, i, x, y });
        }
      });
    }

    function markBest(u) {
      const curve = curves[0];
      const i = chart.best === null ? -1 : curve.id.indexOf(chart.best);
      if (i < 0 || curve.y[i] === null) return;
      const ratio = uPlot.pxRatio;
      const x = u.valToPos(curve.x[i], "x", true);
      const y = u.valToPos(curve.y[i], "y", true);
      if (x < u.bbox.left - 1 || x > u.bbox.left + u.bbox.width + 1) return;
      const c = u.ctx;
      c.save();
      c.beginPath();
      c.arc(x, y, 6 * ratio, 0, 2 * Math.PI);
      c.fillStyle = colour("--best");
      c.fill();
      c.lineWidth = 2.5 * ratio;
      c.strokeStyle = colour("--card");
      c.stroke();
      const label = `best ${written(curve.y[i])}`;
      c.font = `600 ${12.5 * ratio}px system-ui, "Segoe UI", sans-serif`;
      const width = c.measureText(label).width;
      const toLeft = x + width + 14 * ratio > u.bbox.left + u.bbox.width;
      const above = y - 16 * ratio > u.bbox.top + 8 * ratio;
      c.textAlign = toLeft ? "right" : "left";
      c.textBaseline = "middle";
      c.lineWidth = 4 * ratio;
      c.lineJoin = "round";
      const at = [x + (toLeft ? -4 : 4) * ratio, y + (above ? -17 : 17) * ratio];
      c.strokeText(label, ...at);
      c.fillStyle = colour("--best");
      c.fillText(label, ...at);
      c.restore();
    }

    function nearest(event) {
      const box = plot.getBoundingClientRect();
      const [x, y] = [event.clientX - box.left, event.clientY - box.top];
      let found = null;
      let least = 30 * 30;
      for (const place of places) {
        const distance = (place.x - x) ** 2 + (place.y - y) ** 2;
        if (distance < least) [found, least] = [place, distance];
      }
      return found;
    }

    function same(a, b) {
      return a !== null && b !== null && a.curve === b.curve && a.i === b.i;
    }

    function show(place, aloud) {
      if (place === current || same(place, current)) return;
      const before = current;
      current = place;
      plot.classList.toggle("over-dot", place !== null);
      tip.hidden = halo.hidden = place === null;
      if ((place && place.curve) !== (before && before.curve)) emphasise(place ? place.curve : null);
      if (place === null) return;
      const curve = curves[place.curve];
      const value = written(curve.y[place.i]);
      const strong = document.createElement("strong");
      strong.textContent = value;
      const about = `${curve.name[place.i]}, run ${curve.run.slice(0, 8)}`;
      tip.replaceChildren(strong, document.createElement("br"), about);
      if (curve.model) {
        const model = document.createElement("code");
        model.textContent = curve.model;
        tip.append(document.createElement("br"), model);
      }
      halo.style.left = `${place.x}px`;
      halo.style.top = `${place.y}px`;
      const left = place.x + 14 + tip.offsetWidth > plot.clientWidth ? place.x - 14 - tip.offsetWidth : place.x + 14;
      tip.style.left = `${Math.max(0, left)}px`;
      tip.style.top = `${Math.max(0, place.y - tip.offsetHeight - 8)}px`;
      if (aloud) {
        const best = curve.id[place.i] === chart.best ? ", the best" : "";
        status.textContent = `${about}: ${chart.metric} ${value}${best}`;
      }
    }

    function emphasise(index) {
      drawn.setSeries(index === null ? null : series(index), { focus: index !== null });
      for (const item of document.querySelectorAll(".legend [data-run]")) {
        item.classList.toggle("on", index !== null && curves[index].run === item.dataset.run);
      }
    }

    function open(place) {
      window.location.assign(`${plot.dataset.root}/checkpoints/${encodeURIComponent(curves[place.curve].id[place.i])}`);
    }

    function move(event) {
      const steps = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] };
      if (event.key === "Enter" && current) return open(current);
      if (event.key === "Escape") return show(null, false);
      if (!(event.key in steps) || event.altKey || event.ctrlKey || event.metaKey || !places.length) return undefined;
      event.preventDefault();
      return show(current === null ? start() : next(...steps[event.key]), true);
    }

    function start() {
      const best = places.find((place) => curves[place.curve].id[place.i] === chart.best);
      return best || places[0];
    }

    function next(runs, along) {
      if (along) {
        const own = places.filter((place) => place.curve === current.curve);
        const at = own.findIndex((place) => same(place, current));
        return own[Math.min(own.length - 1, Math.max(0, at + along))];
      }
      for (let curve = current.curve + runs; curve >= 0 && curve < curves.length; curve += runs) {
        const own = places.filter((place) => place.curve === curve);
        if (own.length) return own.reduce((a, b) => (Math.abs(b.x - current.x) < Math.abs(a.x - current.x) ? b : a));
      }
      return current;
    }
  }
})();
