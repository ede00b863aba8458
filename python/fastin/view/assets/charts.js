"use strict";
// Charts and tables of the page. A chart is an SVG with a name; a table sorts by its header's buttons.
const Charts = (function () {
  const NS = "http://www.w3.org/2000/svg", SOFT = "#4f5d6b";
  const fix = (v, n) => (v === null || v === undefined ? "–" : v === "inf" || !isFinite(v) ? "∞" : v.toFixed(n));
  const DASHES = ["", "7 4", "2 3"];

  function svg(tag, attributes, parent, text) {
    const node = document.createElementNS(NS, tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    if (text !== undefined) node.textContent = text;
    if (parent) parent.append(node);
    return node;
  }
  function steps(low, high, count) {
    const raw = (high - low) / count || 1, power = 10 ** Math.floor(Math.log10(raw)), step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw), out = [];
    for (let t = Math.ceil(low / step - 1e-9) * step; t <= high + 1e-9 * step; t += step) out.push(Number(t.toPrecision(10)));
    return out;
  }
  // an SVG of w x h with two axes inside the box [left, top, right, bottom]
  function axes(name, w, h, box, xr, yr, xlabel, ylabel) {
    const root = svg("svg", { viewBox: `0 0 ${w} ${h}`, role: "img", "aria-label": name }), [l, t, r, b] = box;
    svg("title", {}, root, name);
    const X = (v) => l + ((v - xr[0]) / (xr[1] - xr[0] || 1)) * (r - l), Y = (v) => b - ((v - yr[0]) / (yr[1] - yr[0] || 1)) * (b - t);
    for (const v of steps(xr[0], xr[1], (r - l) / 55)) svg("text", { x: X(v), y: b + 14, "text-anchor": "middle", fill: SOFT }, root, String(v));
    for (const v of steps(yr[0], Math.min(yr[1], yr[2] ?? yr[1]), Math.max(2, (b - t) / 36))) {
      svg("line", { x1: l, x2: r, y1: Y(v), y2: Y(v), stroke: "#eef1f5" }, root);
      svg("text", { x: l - 6, y: Y(v) + 4, "text-anchor": "end", fill: SOFT }, root, String(v));
    }
    svg("line", { x1: l, x2: r, y1: b, y2: b, stroke: "#8c98a5" }, root);
    svg("text", { x: (l + r) / 2, y: h - 3, "text-anchor": "middle", fill: SOFT }, root, xlabel);
    svg("text", { x: 11, y: (t + b) / 2, "text-anchor": "middle", fill: SOFT, transform: `rotate(-90 11 ${(t + b) / 2})` }, root, ylabel);
    const V = (x) => xr[0] + ((x - l) / (r - l)) * (xr[1] - xr[0]);
    return { root, X, Y, V };
  }

  // Curves of the paths; those that coincide are one curve that names them all.
  function curves(paths, cart) {
    const out = [];
    paths.forEach((path, k) => {
      const x = [0], p = path.frac.map(cart);
      for (let i = 1; i < p.length; i++) x.push(x[i - 1] + Math.hypot(...p[i].map((v, q) => v - p[i - 1][q])));
      const same = out.find((c) => c.path.energy.length === path.energy.length && c.path.energy.every((e, i) => e === path.energy[i] && Math.abs(c.x[i] - x[i]) < 1e-4));
      if (same) { same.members.push(k); same.dimensions.push(path.dimensions); } else out.push({ path, x, members: [k], dimensions: [path.dimensions], style: k });
    });
    for (const c of out) c.name = `${c.dimensions.map((d) => d + "D").join(", ")}: ${fix(c.path.barrier, 3)} eV along [${c.path.translation.join(" ")}]`;
    return out;
  }
  function profile(S, cart, shown, width) {
    const all = curves(S.paths, cart), w = Math.max(280, width || 470), h = 226;
    const top = Math.max(0.02, ...S.paths.flatMap((p) => p.energy)), low = Math.min(0, ...S.paths.flatMap((p) => p.energy)), far = Math.max(...all.map((c) => c.x[c.x.length - 1]), 1e-3);
    const name = "Energy along the percolating paths: " + all.map((c) => c.name).join("; ");
    const { root, X, Y } = axes(name, w, h, [48, 18, w - 12, h - 34], [0, far], [low, top * 1.12], "distance along the path (Å)", "BVSE energy (eV)");
    for (const c of [...all].sort((a, b) => b.members.includes(shown) - a.members.includes(shown))) {
      const on = c.members.includes(shown), line = c.x.map((v, k) => `${X(v).toFixed(1)},${Y(c.path.energy[k]).toFixed(1)}`);
      const look = { fill: "none", stroke: S.series[c.style], "stroke-width": on ? 2.6 : 1.7, "stroke-dasharray": DASHES[c.style], "stroke-linejoin": "round" };
      svg("polyline", { points: line.join(" "), ...look }, root);
      if (!on) continue;
      const peak = c.path.energy.indexOf(Math.max(...c.path.energy));
      svg("circle", { cx: X(c.x[peak]), cy: Y(c.path.energy[peak]), r: 4, fill: S.series[c.style] }, root);
      svg("text", { x: Math.min(w - 70, Math.max(90, X(c.x[peak]))), y: Y(c.path.energy[peak]) - 8, "text-anchor": "middle", fill: "#1b2733", "font-weight": 600 }, root, fix(c.path.energy[peak], 3) + " eV");
    }
    const keys = document.createElement("div");
    keys.className = "keys";
    for (const c of all) {
      const item = document.createElement("span"), mark = svg("svg", { viewBox: "0 0 26 8", "aria-hidden": "true" });
      svg("line", { x1: 0, x2: 26, y1: 4, y2: 4, stroke: S.series[c.style], "stroke-width": 2.6, "stroke-dasharray": DASHES[c.style] }, mark);
      item.append(mark, c.name);
      keys.append(item);
    }
    return [root, keys];
  }

  // A table whose headers sort it. columns: {text, help, value(row) for sorting, cell(row)}
  function table(caption, columns, rows, decorate) {
    const node = document.createElement("table"), head = node.createTHead().insertRow(), body = node.createTBody();
    node.setAttribute("aria-label", caption);
    let by = -1, down = false;
    const order = () => {
      const list = [...rows];
      if (by >= 0) list.sort((a, b) => {
        const [x, y] = [a, b].map((row) => columns[by].value(row));
        return (x < y ? -1 : x > y ? 1 : 0) * (down ? -1 : 1);
      });
      body.replaceChildren(...list.map((row) => {
        const line = document.createElement("tr");
        columns.forEach((column) => { line.insertCell().append(column.cell(row)); });
        decorate(line, row);
        return line;
      }));
      [...head.cells].forEach((cell, k) => {
        cell.setAttribute("aria-sort", k !== by ? "none" : down ? "descending" : "ascending");
        cell.firstChild.textContent = columns[k].text + (k !== by ? "" : down ? " ▾" : " ▴");
      });
    };
    columns.forEach((column, k) => {
      const cell = document.createElement("th"), button = document.createElement("button");
      cell.scope = "col";
      button.title = column.help || "sort";
      button.onclick = () => { down = by === k ? !down : false; by = k; order(); };
      cell.append(button);
      head.append(cell);
    });
    order();
    return { node, order };
  }
  const number = (v) => (v === null ? Infinity : v === "inf" ? Infinity : v);
  const place = (f) => f.map((v) => ((v % 1) + 1) % 1).map((v) => (v > 0.9995 ? 0 : v).toFixed(3)).join(" ");
  function hops(S, chosen, choose) {
    const column = (text, help, value, cell) => ({ text, help, value, cell });
    const columns = [
      column("hop", "from site to site; choose one to see it in the crystal", (h) => h.name, (h) => {
        const button = document.createElement("button");
        button.textContent = h.name;
        button.onclick = () => choose(S.hops.indexOf(h));
        return button;
      }),
      column("→ eV", "barrier forward", (h) => number(h.forward), (h) => fix(h.forward, 3)),
      column("← eV", "barrier backward", (h) => number(h.backward), (h) => fix(h.backward, 3)),
      column("length Å", "along the path", (h) => number(h.length), (h) => fix(h.length, 2)),
      column("radius Å", "narrowest clearance on the way", (h) => number(h.radius), (h) => fix(h.radius, 2)),
      column("n", "hops of this kind in the cell", (h) => h.multiplicity, (h) => String(h.multiplicity)),
      column("path", "part of the cheapest path in so many dimensions", (h) => h.dimensions || 9, (h) => (h.dimensions ? h.dimensions + "D" : "")),
      column("from", "fractional position of the first site", (h) => place(h.frac[0]), (h) => place(h.frac[0])),
      column("to", "fractional position of the second site", (h) => place(h.frac[h.frac.length - 1]), (h) => place(h.frac[h.frac.length - 1])),
    ];
    return table("inequivalent hops", columns, S.hops, (line, h) => {
      const k = S.hops.indexOf(h);
      line.dataset.hop = k;
      line.className = k === chosen() ? "on" : "";
      line.querySelector("button").setAttribute("aria-pressed", String(k === chosen()));
      if (h.dimensions) line.style.fontWeight = "600";
      line.onclick = (e) => { if (e.target.tagName !== "BUTTON") choose(k); };
    });
  }

  // A leg with everything relaxed: its images with a line through them, the rigid landscape's profile beside.
  function relaxed(R, leg, series, width) {
    const w = Math.max(280, width || 470), h = 210, both = [...leg.profile, ...leg.bvse], far = leg.distance[leg.distance.length - 1] || 1e-3;
    const name = `Energy along ${leg.name}: ${fix(leg.barrier, 3)} eV with everything relaxed (${R.potential}), ${fix(leg.rigid, 3)} eV rigid (BVSE)`;
    const low = Math.min(0, ...both), top = Math.max(0.02, ...both), { root, X, Y } = axes(name, w, h, [48, 18, w - 12, h - 34], [0, far], [low, low + (top - low) * 1.14], "distance along the leg (Å)", "energy above the start (eV)");
    const line = (values, look) => svg("polyline", { points: leg.distance.map((x, k) => `${X(x).toFixed(1)},${Y(values[k]).toFixed(1)}`).join(" "), fill: "none", "stroke-linejoin": "round", ...look }, root);
    line(leg.bvse, { stroke: series[1], "stroke-width": 1.8, "stroke-dasharray": DASHES[1] });
    line(leg.profile, { stroke: series[0], "stroke-width": 2.4 });
    leg.distance.forEach((x, k) => svg("circle", { cx: X(x).toFixed(1), cy: Y(leg.profile[k]).toFixed(1), r: 3.5, fill: series[0] }, root));
    const peak = leg.profile.indexOf(Math.max(...leg.profile));
    svg("text", { x: Math.min(w - 70, Math.max(90, X(leg.distance[peak]))), y: Y(leg.profile[peak]) - 9, "text-anchor": "middle", fill: "#1b2733", "font-weight": 600 }, root, fix(leg.barrier, 3) + " eV");
    const keys = document.createElement("div");
    keys.className = "keys";
    for (const [style, text] of [[0, R.potential + ", everything relaxed"], [1, "BVSE, rigid, at the images" + (leg.rigid === null ? "" : `; its barrier ${fix(leg.rigid, 3)} eV`)]]) {
      const item = document.createElement("span"), mark = svg("svg", { viewBox: "0 0 26 8", "aria-hidden": "true" });
      svg("line", { x1: 0, x2: 26, y1: 4, y2: 4, stroke: series[style], "stroke-width": 2.6, "stroke-dasharray": DASHES[style] }, mark);
      item.append(mark, text);
      keys.append(item);
    }
    return [root, keys];
  }
  function relaxedLegs(R, chosen, choose) {
    const column = (text, help, value, cell) => ({ text, help, value, cell });
    const columns = [
      column("leg", "choose one to see its profile", (l) => l.number, (l) => {
        const button = document.createElement("button");
        button.textContent = l.name;
        button.onclick = () => choose(R.legs.indexOf(l));
        return button;
      }),
      column("→ eV", "relaxed barrier forward", (l) => l.barrier, (l) => fix(l.barrier, 3)),
      column("← eV", "relaxed barrier backward", (l) => l.backward, (l) => fix(l.backward, 3)),
      column("BVSE eV", "rigid barrier forward", (l) => number(l.rigid), (l) => fix(l.rigid, 3)),
      column("opens", "dimensions that percolate over it", (l) => l.opens[0] || 9, (l) => l.opens.map((d) => d + "D").join(" ")),
      column("flags", "what casts doubt on it", (l) => l.flags.length, (l) => l.flags.join(", ")),
    ];
    return table("relaxed legs", columns, R.legs, (line, l) => {
      const k = R.legs.indexOf(l);
      line.dataset.leg = k;
      line.className = k === chosen() ? "on" : "";
      line.querySelector("button").setAttribute("aria-pressed", String(k === chosen()));
      line.lastChild.style.whiteSpace = "normal";
    });
  }

  const bar = (i) => (i < 0 ? String(-i).split("").map((d) => d + "\u0305").join("") : String(i));
  const hkl = (t) => t.map(bar).join(t.some((i) => Math.abs(i) > 9) ? " " : "");
  // Powder pattern: names of the strongest peaks in sight, a tip under the pointer, drag or buttons or keys to zoom.
  function pattern(X, box, tip, said) {
    let range = [...X.range];
    const w = 1180, h = 210;
    const clamp = (low, high) => {
      const span = Math.min(X.range[1] - X.range[0], Math.max(0.5, high - low));
      const start = Math.min(X.range[1] - span, Math.max(X.range[0], low));
      return [start, start + span];
    };
    const set = (low, high) => { range = clamp(low, high); draw(); };
    const zoom = (factor) => { const m = (range[0] + range[1]) / 2, s = ((range[1] - range[0]) / 2) * factor; set(m - s, m + s); };
    function draw() {
      const wide = Math.max(280, box.clientWidth || w), frame = [46, 8, wide - 10, h - 32];
      const seen = X.two_theta.map((t, k) => k).filter((k) => X.two_theta[k] >= range[0] && X.two_theta[k] <= range[1]);
      const strongest = [...seen].sort((a, b) => X.intensity[b] - X.intensity[a]), most = strongest.length ? X.intensity[strongest[0]] : 1;
      const name = `Powder pattern, ${X.label}, ${range.map((v) => v.toFixed(1)).join(" to ")} degrees; strongest: ` + strongest.slice(0, 5).map((k) => `(${X.hkl[k].join(" ")}) at ${X.two_theta[k].toFixed(2)}`).join(", ");
      const { root, X: at, Y, V } = axes(name, wide, h, frame, range, [0, most * 1.35, most * 1.02], "2θ (degrees)", "intensity");
      svg("path", { d: seen.map((k) => `M${at(X.two_theta[k]).toFixed(1)} ${Y(0).toFixed(1)}V${Y(X.intensity[k]).toFixed(1)}`).join(""), stroke: "#1b2733", "stroke-width": 1.4, fill: "none" }, root);
      const placed = [];
      for (const k of strongest) {
        const x = at(X.two_theta[k]);
        if (placed.length >= 24 || X.intensity[k] < 0.015 * most) break;
        if (placed.some((other) => Math.abs(other - x) < 14)) continue;
        placed.push(x);
        svg("text", { class: "hkl", transform: `translate(${x + 4} ${Y(X.intensity[k]) - 5}) rotate(-90)`, fill: "#1b2733" }, root, hkl(X.hkl[k]));
      }
      root.setAttribute("tabindex", "0");
      const chosen = svg("rect", { y: frame[1], height: frame[3] - frame[1], width: 0, fill: "#0b5cd5", opacity: 0.15 }, root);
      const mouse = (e) => ((e.clientX - root.getBoundingClientRect().left) / root.clientWidth) * wide;
      let from = null;
      root.onpointerdown = (e) => { if (e.pointerType === "mouse") from = mouse(e); };
      root.onpointermove = (e) => {
        const x = mouse(e);
        if (from !== null) { chosen.setAttribute("x", Math.min(x, from)); chosen.setAttribute("width", Math.abs(x - from)); }
        let best = -1;
        for (const k of seen) if (Math.abs(at(X.two_theta[k]) - x) < 7 && (best < 0 || X.intensity[k] > X.intensity[best])) best = k;
        tip(best < 0 ? null : `(${X.hkl[best].join(" ")})\n2θ ${X.two_theta[best].toFixed(3)}°, d ${X.spacing[best].toFixed(4)} Å\nintensity ${(100 * X.intensity[best]).toFixed(1)} %`, e);
      };
      root.onpointerup = (e) => {
        const x = mouse(e), start = from;
        from = null;
        if (start !== null && Math.abs(x - start) > 6) set(V(Math.min(x, start)), V(Math.max(x, start)));
      };
      root.onpointerleave = () => { tip(null); from = null; chosen.setAttribute("width", 0); };
      root.ondblclick = () => set(...X.range);
      root.onkeydown = (e) => {
        const s = (range[1] - range[0]) * 0.15, run = { ArrowLeft: () => set(range[0] - s, range[1] - s), ArrowRight: () => set(range[0] + s, range[1] + s), "+": () => zoom(0.6), "=": () => zoom(0.6), "-": () => zoom(1 / 0.6), Home: () => set(...X.range) }[e.key];
        if (!run) return;
        e.preventDefault();
        run();
        box.firstChild.focus();
      };
      box.replaceChildren(root);
      said(range);
    }
    draw();
    return { zoom, reset: () => set(...X.range), draw };
  }
  return { fix, profile, hops, pattern, hkl, relaxed, relaxedLegs };
})();
