"use strict";
// Columns arrive as one gzip block: numbers as little-endian float32 (NaN = no value), text as codes into a list.
(async function () {
  const $ = (id) => document.getElementById(id);
  const meta = JSON.parse($("meta").textContent);
  const ROW = 26, MAX_BINS = 48;

  async function unpack(base64) {
    const text = atob(base64), bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).arrayBuffer();
  }

  const buffer = await unpack($("data").textContent);
  $("data").remove();
  const N = meta.rows, columns = new Map();
  for (const c of meta.columns) {
    if (c.type === "number") c.values = new Float32Array(buffer, c.offset, N);
    else {
      c.codes = new Uint32Array(buffer, c.offset, N);
      c.words = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, c.words_offset, c.words_bytes)));
      c.folded = c.words.map((w) => (w === null ? "" : w.toLowerCase()));
    }
    columns.set(c.name, c);
  }
  const numbers = meta.columns.filter((c) => c.type === "number");
  const searched = ["id", "formula", "space_group", "ion", "error_type"].map((n) => columns.get(n)).filter(Boolean);

  function format(value) {
    if (value !== value) return "";
    if (!isFinite(value)) return value > 0 ? "∞" : "−∞";
    if (Number.isInteger(value) && Math.abs(value) < 1e7) return String(value);
    const size = Math.abs(value);
    return size >= 1e5 || size < 1e-4 ? value.toExponential(3) : String(Number(value.toPrecision(4)));
  }
  const cellText = (c, i) => (c.type === "number" ? format(c.values[i]) : c.words[c.codes[i]] ?? "");

  // ---- state: filters, order, marked row
  const filters = new Map();
  let text = "", sortName = meta.sort, sortDown = false, kept = new Uint32Array(0), marked = -1;
  let shown = meta.shown.filter((n) => columns.has(n));

  function select() {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    const tests = [...filters].map(([name, [low, high]]) => [columns.get(name).values, low, high]);
    const hits = words.map((word) => searched.map((c) => c.folded.map((w) => w.includes(word))));
    const out = new Uint32Array(N);
    let n = 0;
    rows: for (let i = 0; i < N; i++) {
      for (const [values, low, high] of tests) if (!(values[i] >= low && values[i] <= high)) continue rows;
      for (const hit of hits) if (!searched.some((c, k) => hit[k][c.codes[i]])) continue rows;
      out[n++] = i;
    }
    kept = out.slice(0, n);
    order();
  }

  function order() {
    const c = columns.get(sortName), down = sortDown ? -1 : 1;
    if (c && c.type === "number") {
      const v = c.values;
      kept.sort((a, b) => {
        const x = v[a], y = v[b];
        if (x !== x || y !== y) return (x !== x) - (y !== y) || a - b;
        return x === y ? a - b : x < y ? -down : down;
      });
    } else if (c) {
      const rank = new Uint32Array(c.words.length);
      [...c.words.keys()].sort((a, b) => (c.folded[a] < c.folded[b] ? -1 : c.folded[a] > c.folded[b] ? 1 : a - b))
        .forEach((code, position) => { rank[code] = position; });
      kept.sort((a, b) => down * (rank[c.codes[a]] - rank[c.codes[b]]) || a - b);
    } else kept.sort();
    draw();
  }

  // ---- table: only the rows in sight exist
  const table = $("table"), body = $("rows"), head = $("head");
  const width = (c) => c.width || (c.width = c.type === "number" ? Math.max(88, 38 + 8.2 * c.label.length)
    : Math.max(90, Math.min(320, 36 + 8.2 * Math.max(c.label.length, ...c.words.filter((_, k) => k % 97 < 4).map((w) => (w || "").length)))));

  function drawHead() {
    head.replaceChildren(...shown.map((name) => {
      const c = columns.get(name), cell = document.createElement("div");
      cell.className = "cell" + (c.type === "number" ? " num" : "");
      cell.style.width = width(c) + "px";
      cell.textContent = c.label + (name === sortName ? (sortDown ? " ▾" : " ▴") : "");
      cell.title = c.help || c.label;
      cell.onclick = () => { sortDown = name === sortName ? !sortDown : false; sortName = name; order(); };
      return cell;
    }));
  }

  function drawRows() {
    const height = kept.length * ROW, limit = 1.5e7; // browsers cap the height of an element
    const scale = Math.max(1, height / limit);
    body.style.height = Math.min(height, limit) + "px";
    const first = Math.max(0, Math.floor((table.scrollTop * scale) / ROW) - 4);
    const last = Math.min(kept.length, first + Math.ceil(table.clientHeight / ROW) + 12);
    const fragment = document.createDocumentFragment();
    for (let k = first; k < last; k++) {
      const i = kept[k], row = document.createElement("div");
      row.className = "row" + (i === marked ? " mark" : "");
      row.style.top = (scale === 1 ? k * ROW : table.scrollTop + (k - first - 4) * ROW) + "px";
      for (const name of shown) {
        const c = columns.get(name), cell = document.createElement("div"), value = cellText(c, i);
        cell.className = "cell" + (c.type === "number" ? " num" : "") + (value === "∞" ? " inf" : "")
          + (name === "error_type" || name === "error_message" ? " bad" : "");
        cell.style.width = width(c) + "px";
        const url = name === "id" ? viewOf(i) : null;
        if (url) {
          const link = document.createElement("a");
          link.href = url;
          link.textContent = value;
          cell.append(link);
        } else cell.textContent = value;
        if (c.type !== "number" && value.length > 12) cell.title = value;
        row.append(cell);
      }
      fragment.append(row);
    }
    body.replaceChildren(fragment);
  }
  function viewOf(i) {
    const c = meta.columns.find((d) => d.link), id = columns.get("id");
    const url = c ? c.words[c.codes[i]]
      : meta.view_url && id ? meta.view_url.replace("{id}", () => encodeURIComponent(id.words[id.codes[i]])) : null;
    // http(s), or relative: no colon before the first / ? or #; no character that browsers drop
    return url && /^(https?:\/\/|[^:/?#\\]*([/?#]|$))/i.test(url) && !/[\u0000-\u0020\\]/.test(url) ? url : null;
  }

  // ---- charts
  function surface(canvas) {
    const ratio = window.devicePixelRatio || 1, w = canvas.clientWidth, h = canvas.clientHeight;
    canvas.width = Math.round(w * ratio);
    canvas.height = Math.round(h * ratio);
    const g = canvas.getContext("2d");
    g.scale(ratio, ratio);
    g.font = "11px system-ui, 'DejaVu Sans', sans-serif";
    return [g, w, h];
  }
  function ticks(low, high, count) {
    const raw = (high - low) / count || 1, power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw);
    const out = [];
    for (let t = Math.ceil(low / step - 1e-9) * step; t <= high + 1e-9 * step; t += step) out.push(Number(t.toPrecision(12)));
    return out;
  }
  // range of a column without the outermost 0.5 % on each side, so that one odd value does not flatten the picture
  function range(c) {
    if (c.range) return c.range;
    const v = Float32Array.from(c.values.filter((x) => isFinite(x))).sort();
    if (!v.length) return (c.range = [0, 1]);
    let low = v[Math.floor(0.005 * (v.length - 1))], high = v[Math.ceil(0.995 * (v.length - 1))];
    if (low >= 0 && low < 0.25 * high) low = 0;
    if (high <= low) { low -= 0.5; high += 0.5; }
    return (c.range = [low, high]);
  }
  function axis(g, w, h, pad, low, high, label) {
    g.strokeStyle = "#c3ccd6"; g.fillStyle = "#5c6b7a"; g.textAlign = "center"; g.textBaseline = "top";
    g.beginPath(); g.moveTo(pad, h - 30); g.lineTo(w - 8, h - 30); g.stroke();
    for (const t of ticks(low, high, Math.max(2, Math.floor(w / 75)))) {
      const x = pad + ((t - low) / (high - low)) * (w - 8 - pad);
      g.fillText(format(t), x, h - 26);
    }
    g.fillText(label, (pad + w) / 2, h - 13);
  }

  function histogram(canvas, name) {
    const [g, w, h] = surface(canvas), c = columns.get(name);
    if (!c || w < 50) return;
    const [low, high] = range(c), pad = 42, bins = Math.max(8, Math.min(MAX_BINS, Math.floor(w / 9)));
    const all = new Float64Array(bins), now = new Float64Array(bins), scale = bins / (high - low);
    let infinite = 0;
    for (let i = 0; i < N; i++) {
      const x = c.values[i];
      if (x >= low && x <= high) all[Math.min(bins - 1, Math.floor((x - low) * scale))]++;
    }
    for (const i of kept) {
      const x = c.values[i];
      if (x >= low && x <= high) now[Math.min(bins - 1, Math.floor((x - low) * scale))]++;
      else if (x === Infinity) infinite++;
    }
    const most = Math.max(1, ...all), bottom = h - 30, step = (w - 8 - pad) / bins;
    g.strokeStyle = "#eef1f5"; g.fillStyle = "#5c6b7a"; g.textAlign = "right"; g.textBaseline = "middle";
    for (const t of ticks(0, most, 4)) {
      const y = bottom - (t / most) * (bottom - 10);
      g.beginPath(); g.moveTo(pad, y); g.lineTo(w - 8, y); g.stroke();
      g.fillText(String(t), pad - 6, y);
    }
    for (let b = 0; b < bins; b++) {
      const size = (n) => (n / most) * (bottom - 10);
      g.fillStyle = "#dfe6ee"; g.fillRect(pad + b * step + 0.5, bottom - size(all[b]), step - 1, size(all[b]));
      g.fillStyle = "#1f6feb"; g.fillRect(pad + b * step + 0.5, bottom - size(now[b]), step - 1, size(now[b]));
    }
    axis(g, w, h, pad, low, high, c.label);
    if (infinite) { g.textAlign = "right"; g.textBaseline = "top"; g.fillText(infinite + " without a path (∞)", w - 10, 6); }
    canvas.toValue = (x) => low + ((x - pad) / (w - 8 - pad)) * (high - low);
  }

  let points = null;
  function scatter() {
    const canvas = $("c3"), [g, w, h] = surface(canvas), cx = columns.get($("sx").value), cy = columns.get($("sy").value);
    if (!cx || !cy || w < 50) return;
    const [x0, x1] = range(cx), [y0, y1] = range(cy), pad = 46, bottom = h - 30;
    const px = (x) => pad + ((x - x0) / (x1 - x0)) * (w - 8 - pad), py = (y) => bottom - ((y - y0) / (y1 - y0)) * (bottom - 10);
    g.strokeStyle = "#eef1f5"; g.fillStyle = "#5c6b7a"; g.textAlign = "right"; g.textBaseline = "middle";
    for (const t of ticks(y0, y1, Math.max(2, Math.floor(h / 45)))) {
      g.beginPath(); g.moveTo(pad, py(t)); g.lineTo(w - 8, py(t)); g.stroke();
      g.fillText(format(t), pad - 6, py(t));
    }
    g.save(); g.translate(9, (bottom + 10) / 2); g.rotate(-Math.PI / 2); g.textAlign = "center"; g.fillText(cy.label, 0, 0); g.restore();
    g.fillStyle = "#1f6feb";
    g.globalAlpha = kept.length > 5000 ? 0.28 : kept.length > 500 ? 0.45 : 0.8;
    const size = kept.length > 5000 ? 2 : kept.length > 500 ? 3 : 5;
    for (const i of kept) {
      const x = cx.values[i], y = cy.values[i];
      if (x >= x0 && x <= x1 && y >= y0 && y <= y1) g.fillRect(px(x) - size / 2, py(y) - size / 2, size, size);
    }
    g.globalAlpha = 1;
    if (marked >= 0 && isFinite(cx.values[marked]) && isFinite(cy.values[marked])) {
      g.strokeStyle = "#d9480f"; g.lineWidth = 2;
      g.beginPath(); g.arc(px(cx.values[marked]), py(cy.values[marked]), 6, 0, 7); g.stroke();
    }
    axis(g, w, h, pad, x0, x1, cx.label);
    canvas.toValue = (x) => x0 + ((x - pad) / (w - 8 - pad)) * (x1 - x0);
    canvas.toValueY = (y) => y0 + ((bottom - y) / (bottom - 10)) * (y1 - y0);
    points = { cx, cy, px, py };
  }
  function nearest(x, y) {
    let best = -1, distance = 64;
    for (const i of kept) {
      const d = (points.px(points.cx.values[i]) - x) ** 2 + (points.py(points.cy.values[i]) - y) ** 2;
      if (d < distance) { distance = d; best = i; }
    }
    return best;
  }

  function draw() {
    drawHead();
    drawRows();
    histogram($("c1"), $("h1").value);
    histogram($("c2"), $("h2").value);
    scatter();
    $("count").textContent = kept.length.toLocaleString("en") + " of " + N.toLocaleString("en") + " structures";
    $("chips").replaceChildren(...[...filters].map(([name, [low, high]]) => {
      const chip = document.createElement("button");
      chip.className = "chip";
      chip.textContent = `${isFinite(low) ? format(low) + " ≤ " : ""}${columns.get(name).label}${isFinite(high) ? " ≤ " + format(high) : ""}  ✕`;
      chip.onclick = () => { filters.delete(name); select(); };
      return chip;
    }));
  }

  // ---- what the user does
  function options(id, wanted, list) {
    $(id).replaceChildren(...list.map((c) => new Option(c.label, c.name, false, c.name === wanted)));
    $(id).onchange = draw;
  }
  options("h1", meta.histograms[0], numbers);
  options("h2", meta.histograms[1], numbers);
  options("sx", meta.scatter[0], numbers);
  options("sy", meta.scatter[1], numbers);
  options("fcol", meta.sort, numbers);
  $("fcol").onchange = null;
  const bound = (id, fallback) => ($(id).value.trim() === "" || isNaN(Number($(id).value)) ? fallback : Number($(id).value));
  $("fadd").onclick = () => {
    filters.set($("fcol").value, [bound("fmin", -Infinity), bound("fmax", Infinity)]);
    table.scrollTop = 0;
    select();
  };
  for (const id of ["fmin", "fmax"]) $(id).onkeydown = (e) => { if (e.key === "Enter") $("fadd").click(); };
  let typing = 0;
  $("text").oninput = () => {
    clearTimeout(typing);
    typing = setTimeout(() => { text = $("text").value; table.scrollTop = 0; select(); }, 120);
  };
  table.onscroll = drawRows;
  window.onresize = draw;

  function brush(canvas, done) {
    let from = null;
    canvas.onmousedown = (e) => { from = [e.offsetX, e.offsetY]; };
    canvas.onmouseup = (e) => {
      if (from && Math.abs(e.offsetX - from[0]) > 5) done(from, [e.offsetX, e.offsetY]);
      else if (from && canvas.id === "c3") mark(nearest(e.offsetX, e.offsetY));
      from = null;
    };
  }
  const sorted = (a, b) => (a < b ? [a, b] : [b, a]);
  for (const k of [1, 2]) brush($("c" + k), (a, b) => {
    filters.set($("h" + k).value, sorted($("c" + k).toValue(a[0]), $("c" + k).toValue(b[0])));
    select();
  });
  brush($("c3"), (a, b) => {
    const canvas = $("c3");
    filters.set($("sx").value, sorted(canvas.toValue(a[0]), canvas.toValue(b[0])));
    filters.set($("sy").value, sorted(canvas.toValueY(a[1]), canvas.toValueY(b[1])));
    select();
  });
  function mark(i) {
    marked = i;
    const k = kept.indexOf(i);
    if (k >= 0) table.scrollTop = Math.max(0, k * ROW - table.clientHeight / 2);
    drawRows();
    scatter();
  }
  $("c3").onmousemove = (e) => {
    const i = points ? nearest(e.offsetX, e.offsetY) : -1, tip = $("tip");
    tip.style.display = i < 0 ? "none" : "block";
    if (i < 0) return;
    const lines = ["id", "formula", "space_group"].filter((n) => columns.has(n)).map((n) => cellText(columns.get(n), i));
    for (const c of [points.cx, points.cy]) lines.push(c.label + ": " + format(c.values[i]));
    tip.textContent = lines.join("\n");
    tip.style.left = Math.min(window.innerWidth - 230, e.clientX + 14) + "px";
    tip.style.top = e.clientY + 12 + "px";
  };
  $("c3").onmouseleave = () => { $("tip").style.display = "none"; };

  $("columns").onclick = () => {
    $("choices").replaceChildren(...meta.columns.filter((c) => !c.link).map((c) => {
      const label = document.createElement("label"), box = document.createElement("input");
      box.type = "checkbox";
      box.checked = shown.includes(c.name);
      box.onchange = () => {
        shown = meta.columns.map((d) => d.name).filter((n) => (n === c.name ? box.checked : shown.includes(n)));
        draw();
      };
      label.append(box, " " + c.label);
      label.title = c.help || c.name;
      return label;
    }));
    $("chooser").showModal();
  };
  $("csv").onclick = () => {
    const quote = (s) => { // a leading = + - @ would be a formula in a spreadsheet
      const t = /^[=+\-@\t\r]/.test(s) && isNaN(Number(s)) ? "'" + s : s;
      return /[",\n\r]/.test(t) ? '"' + t.replaceAll('"', '""') + '"' : t;
    };
    const lines = [shown.join(",")];
    for (const i of kept) lines.push(shown.map((n) => quote(cellText(columns.get(n), i).replace("∞", "inf"))).join(","));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type: "text/csv" }));
    link.download = "fastin.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };

  $("summary").textContent = meta.summary;
  select();
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
})().catch((error) => {
  document.getElementById("summary").textContent = "This page could not be drawn: " + error.message;
  console.error(error);
});
