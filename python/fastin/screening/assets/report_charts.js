"use strict";
// Axes, histograms and scatter plots on a 2D canvas; each chart zooms, switches to logarithms and saves itself.
const Plots = (function () {
  const SOFT = "#4f5d6b", INK = "#1b2733";
  const WORDS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#7a1f5c", "#a0a800"]; // Okabe and Ito
  const RAMP = ["#440154", "#414487", "#2a788e", "#22a884", "#7ad151", "#fde725"];

  function format(value) {
    if (value !== value) return "";
    if (!isFinite(value)) return value > 0 ? "∞" : "−∞";
    if (Number.isInteger(value) && Math.abs(value) < 1e7) return String(value);
    const size = Math.abs(value);
    return size >= 1e5 || size < 1e-4 ? value.toExponential(3) : String(Number(value.toPrecision(4)));
  }
  function ramp(t) {
    const x = Math.max(0, Math.min(1, t)) * (RAMP.length - 1), k = Math.min(RAMP.length - 2, Math.floor(x)), f = x - k;
    const part = (h, q) => parseInt(h.slice(1 + 2 * q, 3 + 2 * q), 16);
    return `rgb(${[0, 1, 2].map((q) => Math.round(part(RAMP[k], q) * (1 - f) + part(RAMP[k + 1], q) * f)).join()})`;
  }
  function ticks(low, high, count) {
    const raw = (high - low) / count || 1, power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw), out = [];
    for (let t = Math.ceil(low / step - 1e-9) * step; t <= high + 1e-9 * step; t += step) out.push(Number(t.toPrecision(12)));
    return out;
  }
  function logTicks(low, high) {
    const out = [], several = Math.log10(high / low) < 2.5 ? [1, 2, 5] : [1];
    for (let p = Math.floor(Math.log10(low)); p <= Math.ceil(Math.log10(high)); p++) for (const m of several) {
      const t = m * 10 ** p;
      if (t >= low * 0.999 && t <= high * 1.001) out.push(t);
    }
    return out;
  }
  // What a column's axis begins with: without the outermost 0.5 % and without what lies far from the middle half
  // (Tukey's fences), so that odd values do not flatten the picture. Energies show at least 0 to 1 eV, at most 2.
  function usual(c) {
    if (c.range) return c.range;
    const v = Float32Array.from(c.values.filter((x) => isFinite(x))).sort(), at = (q) => v[Math.round(q * (v.length - 1))];
    if (!v.length) return (c.range = [0, 1]);
    const [q1, q3] = [at(0.25), at(0.75)], fence = 3 * (q3 - q1);
    let low = at(0.005), high = at(0.995);
    if (fence > 0) { low = Math.max(low, q1 - fence); high = Math.min(high, q3 + fence); }
    if (c.energy && low >= -0.5 && v[0] <= 1) { low = Math.min(0, low); high = Math.max(1, Math.min(high, 2)); }
    if (low >= 0 && low < 0.25 * high) low = 0;
    if (low !== 0) low -= 0.03 * (high - low);
    if (!c.energy) high += 0.03 * (high - low);
    if (high <= low) { low -= 0.5; high += 0.5; }
    return (c.range = [low, high]);
  }
  function whole(c) {
    let low = Infinity, high = -Infinity;
    for (const x of c.values) if (isFinite(x)) { if (x < low) low = x; if (x > high) high = x; }
    return low > high ? [0, 1] : low === high ? [low - 0.5, high + 0.5] : [low, high];
  }
  function positive(c) {
    if (c.least === undefined) { c.least = Infinity; for (const x of c.values) if (x > 0 && x < c.least) c.least = x; }
    return c.least;
  }

  // One axis: a range in values, linear or logarithmic; `to` maps values to [0, 1], `from` back.
  class Axis {
    constructor() { this.log = false; this.limits = null; this.column = null; }
    set(column) { if (this.column !== column) { this.column = column; this.limits = null; } return this; }
    get range() {
      const [low, high] = this.limits || usual(this.column);
      if (!this.log) return [low, high];
      const top = high > 0 ? high : 1, least = Math.max(positive(this.column), 1e-300);
      return [low > 0 ? low : Math.min(least, top / 10), top];
    }
    to(x) { const [a, b] = this.range; return this.log ? Math.log(x / a) / Math.log(b / a) : (x - a) / (b - a); }
    from(t) { const [a, b] = this.range; return this.log ? a * (b / a) ** t : a + t * (b - a); }
    ticks(count) { const [a, b] = this.range; const found = this.log ? logTicks(a, b) : ticks(a, b, count); return found.length > 1 ? found : ticks(a, b, count); }
    zoom(factor, t = 0.5) { this.limits = [this.from(t - t * factor), this.from(t + (1 - t) * factor)]; }
    pan(t) { this.limits = [this.from(t), this.from(1 + t)]; }
    window(s, t) { this.limits = [this.from(Math.min(s, t)), this.from(Math.max(s, t))]; }
  }

  function wrap(g, lines, width) {
    const out = [];
    for (const line of lines) {
      let now = "";
      for (const word of line.split(" ")) {
        const longer = now ? now + " " + word : word;
        if (now && g.measureText(longer).width > width) { out.push(now); now = word; } else now = longer;
      }
      out.push(now);
    }
    return out;
  }
  const FONT = "system-ui, 'DejaVu Sans', sans-serif";
  // The canvas, or a finer one with the notes below it when the plot is saved.
  function surface(canvas, fine, notes) {
    const w = canvas.clientWidth, h = canvas.clientHeight, ratio = fine || window.devicePixelRatio || 1;
    const target = fine ? document.createElement("canvas") : canvas, g = target.getContext("2d");
    g.font = "9px " + FONT;
    const lines = fine ? wrap(g, notes, w - 20) : [], below = fine ? 22 + 11 * lines.length : 0;
    target.width = Math.round(w * ratio);
    target.height = Math.round((h + below) * ratio);
    g.scale(ratio, ratio);
    if (fine) {
      g.fillStyle = "#fff"; g.fillRect(0, 0, w, h + below); g.translate(0, 8);
      g.fillStyle = SOFT; g.textAlign = "left"; g.textBaseline = "top"; g.font = "9px " + FONT;
      lines.forEach((line, k) => g.fillText(line, 8, h + 6 + 11 * k));
    }
    g.font = "11px " + FONT;
    return { g, w, h, target };
  }
  function frame(g, box, x, label) {
    const [l, , r, b] = box;
    g.strokeStyle = "#8c98a5"; g.fillStyle = SOFT; g.textAlign = "center"; g.textBaseline = "top";
    g.beginPath(); g.moveTo(l, b); g.lineTo(r, b); g.stroke();
    for (const t of x.ticks(Math.max(2, Math.floor((r - l) / 70)))) g.fillText(format(t), l + x.to(t) * (r - l), b + 4);
    g.fillText(label, (l + r) / 2, b + 17);
  }
  const beyond = (g, box, low, high) => {
    g.fillStyle = INK; g.textBaseline = "top";
    if (low) { g.textAlign = "left"; g.fillText(`◂ ${low.toLocaleString("en")} below`, box[0] + 4, box[1] - 8); }
    if (high) { g.textAlign = "right"; g.fillText(`${high.toLocaleString("en")} above ▸`, box[2], box[1] - 8); }
  };

  function histogram(canvas, c, kept, x, logCounts, fine, notes) {
    const s = surface(canvas, fine, notes), { g, w, h } = s, box = [46, 14, w - 10, h - 32], [l, t, r, b] = box;
    if (w < 50) return s;
    const bins = Math.max(8, Math.min(48, Math.floor(w / 9))), all = new Float64Array(bins), now = new Float64Array(bins);
    const into = (list, v) => { const k = x.to(v); if (k >= 0 && k <= 1) list[Math.min(bins - 1, Math.floor(k * bins))]++; };
    for (const v of c.values) into(all, v);
    const [low, high] = x.range;
    let infinite = 0, above = 0, below = 0;
    for (const i of kept) {
      const v = c.values[i];
      into(now, v);
      if (v === Infinity) infinite++; else if (v > high) above++; else if (v < low) below++;
    }
    const most = Math.max(1, ...all), size = (n) => (n <= 0 ? 0 : logCounts ? Math.log(n / 0.5) / Math.log(most / 0.5) : n / most) * (b - t);
    g.strokeStyle = "#eef1f5"; g.fillStyle = SOFT; g.textAlign = "right"; g.textBaseline = "middle";
    for (const v of logCounts ? logTicks(1, Math.max(2, most)) : ticks(0, most, 4)) {
      g.beginPath(); g.moveTo(l, b - size(v)); g.lineTo(r, b - size(v)); g.stroke();
      g.fillText(format(v), l - 6, b - size(v));
    }
    const step = (r - l) / bins;
    for (let k = 0; k < bins; k++) {
      g.fillStyle = "#d3dbe4"; g.fillRect(l + k * step + 0.5, b - size(all[k]), step - 1, size(all[k]));
      g.fillStyle = "#0072b2"; g.fillRect(l + k * step + 0.5, b - size(now[k]), step - 1, size(now[k]));
    }
    frame(g, box, x, c.label);
    g.save(); g.translate(10, (t + b) / 2); g.rotate(-Math.PI / 2); g.textAlign = "center"; g.fillText("structures", 0, 0); g.restore();
    beyond(g, box, below, above);
    if (infinite) { g.textAlign = "right"; g.fillText(infinite.toLocaleString("en") + " without a path (∞)", r, t + 4); }
    canvas.box = box;
    canvas.setAttribute("aria-label", `Distribution of ${c.label} from ${format(low)} to ${format(high)}: ${now.reduce((p, q) => p + q, 0)} structures in sight, ${below} below, ${above} above${infinite ? `, ${infinite} infinite` : ""}. Plus and minus zoom, arrow keys move, Home shows the usual range.`);
    return s;
  }

  // colours of the rows: by a number (ramp over its usual range) or by a word (the eight commonest)
  function painter(c, kept) {
    if (!c) return { of: () => "#0072b2", keys: [] };
    if (c.type === "number") {
      const [low, high] = usual(c);
      return { of: (i) => (isFinite(c.values[i]) ? ramp((c.values[i] - low) / (high - low)) : "#b4bcc5"), bar: [low, high] };
    }
    const counts = new Map();
    for (const i of kept) counts.set(c.codes[i], (counts.get(c.codes[i]) || 0) + 1);
    const first = [...counts].sort((p, q) => q[1] - p[1]).slice(0, WORDS.length).map(([code]) => code);
    const place = new Map(first.map((code, k) => [code, WORDS[k]]));
    const keys = first.map((code) => [String(c.words[code] ?? "–"), place.get(code)]);
    return { of: (i) => place.get(c.codes[i]) || "#b4bcc5", keys: counts.size > first.length ? [...keys, ["others", "#b4bcc5"]] : keys };
  }
  function scatter(canvas, cx, cy, cc, kept, x, y, marked, fine, notes) {
    const s = surface(canvas, fine, notes), { g, w, h } = s, colours = painter(cc, kept), keys = cc ? 18 : 0, box = [52, 14 + keys, w - 10, h - 32], [l, t, r, b] = box;
    if (w < 50) return null;
    g.strokeStyle = "#eef1f5"; g.fillStyle = SOFT; g.textAlign = "right"; g.textBaseline = "middle";
    for (const v of y.ticks(Math.max(2, Math.floor(h / 45)))) {
      const at = b - y.to(v) * (b - t);
      g.beginPath(); g.moveTo(l, at); g.lineTo(r, at); g.stroke();
      g.fillText(format(v), l - 6, at);
    }
    g.save(); g.translate(10, (t + b) / 2); g.rotate(-Math.PI / 2); g.textAlign = "center"; g.fillText(cy.label, 0, 0); g.restore();
    g.globalAlpha = kept.length > 5000 ? 0.35 : kept.length > 500 ? 0.55 : 0.85;
    const size = kept.length > 5000 ? 2 : kept.length > 500 ? 3 : 6;
    const px = (v) => l + x.to(v) * (r - l), py = (v) => b - y.to(v) * (b - t);
    let outside = 0, seen = 0;
    for (const i of kept) {
      const u = x.to(cx.values[i]), v = y.to(cy.values[i]);
      if (!(u >= 0 && u <= 1 && v >= 0 && v <= 1)) { if (isFinite(cx.values[i]) && isFinite(cy.values[i])) outside++; continue; }
      seen++;
      g.fillStyle = colours.of(i);
      if (size < 6) g.fillRect(l + u * (r - l) - size / 2, b - v * (b - t) - size / 2, size, size);
      else { g.beginPath(); g.arc(l + u * (r - l), b - v * (b - t), 4, 0, 7); g.fill(); }
    }
    g.globalAlpha = 1;
    if (marked >= 0 && isFinite(cx.values[marked]) && isFinite(cy.values[marked])) {
      g.strokeStyle = "#b02a12"; g.lineWidth = 2;
      g.beginPath(); g.arc(px(cx.values[marked]), py(cy.values[marked]), 6, 0, 7); g.stroke(); g.lineWidth = 1;
    }
    frame(g, box, x, cx.label);
    if (outside) { g.fillStyle = INK; g.textAlign = "right"; g.textBaseline = "top"; g.fillText(`${outside.toLocaleString("en")} outside this range`, r, t - 10); }
    if (cc) {
      g.textBaseline = "middle"; g.textAlign = "left"; g.fillStyle = SOFT;
      if (colours.bar) {
        g.fillText(cc.label + ":", l, 7);
        let at = l + g.measureText(cc.label + ": ").width;
        g.fillText(format(colours.bar[0]), at, 7); at += g.measureText(format(colours.bar[0])).width + 5;
        for (let k = 0; k < 90; k++) { g.fillStyle = ramp(k / 89); g.fillRect(at + k, 2, 1.5, 10); }
        g.fillStyle = SOFT; g.fillText(format(colours.bar[1]), at + 96, 7);
      } else {
        let at = l;
        for (const [name, colour] of colours.keys) {
          const wide = g.measureText(name.slice(0, 22)).width + 24;
          if (at + wide > r) break;
          g.fillStyle = colour; g.fillRect(at, 3, 9, 9); g.fillStyle = SOFT; g.fillText(name.slice(0, 22), at + 13, 7);
          at += wide;
        }
      }
    }
    canvas.box = box;
    canvas.setAttribute("aria-label", `${cy.label} against ${cx.label}${cc ? ", colour " + cc.label : ""}: ${seen} structures in sight, ${outside} outside the range. Plus and minus zoom, arrow keys move, Home shows the usual range.`);
    return { s, px, py, cx, cy };
  }
  return { Axis, histogram, scatter, format, whole };
})();
