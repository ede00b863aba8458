"use strict";
// Columns arrive as one gzip block: numbers as little-endian float32 (NaN = no value), text as codes into a list.
(async function () {
  const $ = (id) => document.getElementById(id);
  const meta = JSON.parse($("meta").textContent);
  const ROW = 26;

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
    c.energy = /\beV\b/.test(c.label) || /_eV$/.test(c.name);
    columns.set(c.name, c);
  }
  const numbers = meta.columns.filter((c) => c.type === "number");
  const searched = ["id", "formula", "space_group", "ion", "error_type"].map((n) => columns.get(n)).filter(Boolean);

  const { format } = Plots;
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

  // ---- table: only the rows in sight exist, between two empty ones that hold the height
  const table = $("table"), body = $("rows"), head = $("head");
  const width = (c) => c.width || (c.width = c.type === "number" ? Math.max(88, 42 + 8.2 * c.label.length)
    : Math.max(90, Math.min(320, 36 + 8.2 * Math.max(c.label.length, ...c.words.filter((_, k) => k % 97 < 4).map((w) => (w || "").length)))));

  function drawHead() {
    const focus = head.contains(document.activeElement) ? document.activeElement.dataset.name : null;
    head.replaceChildren(...shown.map((name) => {
      const c = columns.get(name), cell = document.createElement("th"), button = document.createElement("button");
      cell.className = c.type === "number" ? "num" : "";
      cell.style.width = width(c) + "px";
      cell.scope = "col";
      cell.setAttribute("aria-sort", name !== sortName ? "none" : sortDown ? "descending" : "ascending");
      button.textContent = c.label + (name === sortName ? (sortDown ? " ▾" : " ▴") : "");
      button.title = c.help || c.label;
      button.dataset.name = name;
      button.onclick = () => { sortDown = name === sortName ? !sortDown : false; sortName = name; order(); };
      cell.append(button);
      return cell;
    }));
    if (focus !== null) { const again = [...head.querySelectorAll("button")].find((b) => b.dataset.name === focus); if (again) again.focus(); }
    $("grid").setAttribute("aria-rowcount", String(kept.length + 1));
  }

  function gap(height) {
    const row = document.createElement("tr"), cell = row.insertCell();
    row.className = "gap";
    row.setAttribute("aria-hidden", "true");
    cell.colSpan = Math.max(1, shown.length);
    cell.style.height = height + "px";
    return row;
  }
  function drawRows() {
    const height = kept.length * ROW, limit = 1.5e7; // browsers cap the height of an element
    const scale = Math.max(1, height / limit), total = Math.min(height, limit);
    const first = Math.max(0, Math.floor((table.scrollTop * scale) / ROW) - 4);
    const last = Math.min(kept.length, first + Math.ceil(table.clientHeight / ROW) + 12);
    const above = scale === 1 ? first * ROW : Math.min(Math.max(0, table.scrollTop - 4 * ROW), total - (last - first) * ROW);
    const fragment = document.createDocumentFragment();
    fragment.append(gap(above));
    for (let k = first; k < last; k++) {
      const i = kept[k], row = document.createElement("tr");
      row.className = "row" + (i === marked ? " mark" : "");
      row.setAttribute("aria-rowindex", String(k + 2));
      for (const name of shown) {
        const c = columns.get(name), cell = row.insertCell(), value = cellText(c, i);
        cell.className = (c.type === "number" ? "num" : "") + (value === "∞" ? " inf" : "")
          + (name === "error_type" || name === "error_message" ? " bad" : "");
        const url = name === "id" ? viewOf(i) : null;
        if (url) {
          const link = document.createElement("a");
          link.href = url;
          link.textContent = value;
          cell.append(link);
        } else cell.textContent = value;
        if (c.type !== "number" && value.length > 12) cell.title = value;
      }
      fragment.append(row);
    }
    fragment.append(gap(Math.max(0, total - above - (last - first) * ROW)));
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
  const axes = { h1: new Plots.Axis(), h2: new Plots.Axis(), sx: new Plots.Axis(), sy: new Plots.Axis() };
  const logCounts = { h1: false, h2: false };
  let points = null;
  const chosen = (id) => columns.get($(id).value);
  function notes() {
    const active = [...filters].map(([name, [low, high]]) => `${isFinite(low) ? format(low) + " ≤ " : ""}${columns.get(name).label}${isFinite(high) ? " ≤ " + format(high) : ""}`);
    if (text) active.push(`text "${text}"`);
    return [document.title + `: ${kept.length.toLocaleString("en")} of ${N.toLocaleString("en")} structures${active.length ? "; " + active.join("; ") : ""}`, ...meta.method];
  }
  function histogram(id, fine) {
    const c = chosen(id);
    return c ? Plots.histogram($("c" + id[1]), c, kept, axes[id].set(c), logCounts[id], fine, notes()) : null;
  }
  function scatter(fine) {
    const cx = chosen("sx"), cy = chosen("sy");
    if (!cx || !cy) return null;
    const made = Plots.scatter($("c3"), cx, cy, $("sc").value ? columns.get($("sc").value) : null, kept, axes.sx.set(cx), axes.sy.set(cy), marked, fine, notes());
    if (!fine) points = made;
    return made ? made.s : null;
  }
  function nearest(x, y) {
    let best = -1, distance = 64;
    for (const i of kept) {
      const d = (points.px(points.cx.values[i]) - x) ** 2 + (points.py(points.cy.values[i]) - y) ** 2;
      if (d < distance) { distance = d; best = i; }
    }
    return best;
  }

  function drawCharts() { histogram("h1"); histogram("h2"); scatter(); }
  function draw() {
    drawHead();
    drawRows();
    drawCharts();
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
  const words = meta.columns.filter((c) => c.type !== "number" && !c.link && c.words.length <= 400);
  $("sc").replaceChildren(new Option("none", ""), ...[...words, ...numbers].map((c) => new Option(c.label, c.name)));
  $("sc").onchange = drawCharts;

  // beside each plot: logarithms, zoom, save
  function tool(parent, name, run) {
    const button = document.createElement("button");
    button.textContent = name;
    button.onclick = run;
    parent.append(button, " ");
    return button;
  }
  function logBox(parent, name, set) {
    const label = document.createElement("label"), box = document.createElement("input");
    box.type = "checkbox";
    box.onchange = () => { set(box.checked); drawCharts(); };
    label.append(box, name, " ");
    parent.append(label, " ");
  }
  function save(s, name) {
    const link = document.createElement("a");
    link.href = s.target.toDataURL("image/png");
    link.download = name.replace(/[^\w.-]+/g, "_") + ".png";
    link.click();
  }
  function controls(place, list, redraw, name) {
    const canvas = $("c" + place), parent = $("t" + place);
    const zoom = (factor) => { for (const a of list) a.zoom(factor); redraw(); }, usual = () => { for (const a of list) a.limits = null; redraw(); };
    tool(parent, "+", () => zoom(0.6)).setAttribute("aria-label", "zoom in");
    tool(parent, "−", () => zoom(1 / 0.6)).setAttribute("aria-label", "zoom out");
    tool(parent, "all", () => { for (const a of list) a.limits = Plots.whole(a.column); redraw(); }).title = "the whole range, outliers too";
    tool(parent, "save", () => save(redraw(3), name())).title = "save the plot as PNG";
    canvas.ondblclick = usual;
    canvas.onkeydown = (e) => {
      const [x, y] = [list[0], list[1]];
      const run = { "+": () => zoom(0.6), "=": () => zoom(0.6), "-": () => zoom(1 / 0.6), Home: usual, ArrowLeft: () => { x.pan(-0.15); redraw(); }, ArrowRight: () => { x.pan(0.15); redraw(); }, ArrowUp: () => { if (y) y.pan(0.15); redraw(); }, ArrowDown: () => { if (y) y.pan(-0.15); redraw(); } }[e.key];
      if (!run || e.ctrlKey || e.metaKey || e.altKey) return;
      e.preventDefault();
      run();
    };
    canvas.addEventListener("wheel", (e) => { // zooms once the plot has been chosen; before, it scrolls the page
      if (document.activeElement !== canvas && !e.ctrlKey) return;
      e.preventDefault();
      const [l, t, r, b] = canvas.box, at = [(e.offsetX - l) / (r - l), (b - e.offsetY) / (b - t)];
      list.forEach((a, k) => a.zoom(Math.exp(e.deltaY * 0.0015), Math.max(0, Math.min(1, at[k]))));
      redraw();
    }, { passive: false });
  }
  for (const k of [1, 2]) {
    const id = "h" + k;
    logBox($("t" + k), "log", (on) => { axes[id].log = on; axes[id].limits = null; });
    logBox($("t" + k), "log count", (on) => { logCounts[id] = on; });
    controls(k, [axes[id]], (fine) => histogram(id, fine), () => chosen(id).name);
  }
  logBox($("t3"), "log x", (on) => { axes.sx.log = on; axes.sx.limits = null; });
  logBox($("t3"), "log y", (on) => { axes.sy.log = on; axes.sy.limits = null; });
  controls(3, [axes.sx, axes.sy], (fine) => scatter(fine), () => `${chosen("sy").name}-${chosen("sx").name}`);
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
  // a drag in a plot: filters, or zooms
  function dragged(canvas, ids, a, b) {
    const [l, t, r, bottom] = canvas.box;
    ids.forEach((id, k) => {
      const at = [a, b].map((p) => (k === 0 ? (p[0] - l) / (r - l) : (bottom - p[1]) / (bottom - t)));
      if ($("drag").value === "zoom") axes[id].window(...at);
      else filters.set($(id).value, sorted(...at.map((u) => axes[id].from(u))));
    });
    if ($("drag").value === "zoom") drawCharts(); else select();
  }
  for (const k of [1, 2]) brush($("c" + k), (a, b) => dragged($("c" + k), ["h" + k], a, b));
  brush($("c3"), (a, b) => dragged($("c3"), ["sx", "sy"], a, b));
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
  $("method").textContent = meta.method.join(" · ");
  select();
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
})().catch((error) => {
  document.getElementById("summary").textContent = "This page could not be drawn: " + error.message;
  console.error(error);
});
