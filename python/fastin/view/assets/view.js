"use strict";
(function () {
  const $ = (id) => document.getElementById(id);
  const { fix } = Charts;

  // ---- the scene as its page carries it (fastin/view/packing.py) -> one object a void, bottleneck, atom
  function bytes(text) { return Uint8Array.from(atob(text), (c) => c.charCodeAt(0)); }
  function numbers(packed) {
    if (Array.isArray(packed)) return packed;
    const codes = new Uint16Array(bytes(packed.data).buffer);
    return Array.from(codes, (code) => (code === 65535 ? null : (packed.low + code * packed.times) / packed.per));
  }
  const threes = (list) => Array.from({ length: list.length / 3 }, (_, k) => list.slice(3 * k, 3 * k + 3));
  function rows(columns) {
    const names = Object.keys(columns);
    return names.length ? columns[names[0]].map((_, k) => Object.fromEntries(names.map((name) => [name, columns[name][k]]))) : [];
  }
  const plain = (column) => (column.index ? column.index.map((k) => column.values[k]) : column);
  const plains = (columns) => Object.fromEntries(Object.entries(columns).map(([name, column]) => [name, plain(column)]));
  function unpack(scene) {
    const voids = scene.voids, edges = scene.edges, cap = scene.grid && scene.grid.cap;
    scene.atoms = rows({ ...plains(scene.atoms), frac: threes(numbers(scene.atoms.frac)) });
    const corners = threes(numbers(scene.polyhedra.points)), shapes = plains(scene.polyhedra);
    scene.polyhedra = rows({ ...shapes, centre: threes(numbers(shapes.centre)), points: shapes.symbols.map((s) => corners.splice(0, s.length)) });
    scene.voids = rows({ number: numbers(voids.number), frac: threes(numbers(voids.frac)), radius: numbers(voids.radius), energy: numbers(voids.energy) });
    for (const v of scene.voids) {
      const energy = v.energy === null ? "" : v.energy >= cap ? `, energy above ${cap} eV` : `, energy ${v.energy.toFixed(3)} eV`;
      v.text = `void ${v.number}: radius ${v.radius.toFixed(3)} Å${energy}`;
    }
    const places = Object.fromEntries(["from", "to", "at"].map((name) => [name, threes(numbers(edges[name]))]));
    scene.edges = rows({ number: numbers(edges.number), ...places, radius: numbers(edges.radius), length: numbers(edges.length) });
    for (const e of scene.edges) e.text = `bottleneck ${e.number}: radius ${e.radius.toFixed(3)} Å, edge ${e.length.toFixed(2)} Å`;
    for (const path of scene.paths) {
      const at = [0, 0, 0];
      path.frac = threes(path.frac).map((step) => step.map((v, k) => (at[k] += v) / 1e5));
    }
    return scene;
  }

  const S = unpack(JSON.parse($("scene").textContent));

  // ---- numbers, colours, geometry
  const hex = (h) => [1, 3, 5].map((k) => parseInt(h.slice(k, k + 2), 16) / 255);
  function ramp(stops) {
    const list = stops.map(hex);
    return (t) => {
      const x = Math.max(0, Math.min(1, t)) * (list.length - 1), i = Math.min(list.length - 2, Math.floor(x)), f = x - i;
      return list[i].map((v, k) => v + f * (list[i + 1][k] - v));
    };
  }
  const ENERGY = S.ramp, energyColour = ramp(ENERGY);
  const cart = (f) => [0, 1, 2].map((k) => f[0] * S.cell[0][k] + f[1] * S.cell[1][k] + f[2] * S.cell[2][k]);
  // needle-shaped cells are shown doubled along their short axes
  const lengths = S.cell.map((v) => Math.hypot(...v));
  const base = lengths.map((l) => (l < 0.4 * Math.max(...lengths) && S.atoms.length <= 60 ? 2 : 1)), repeat = [...base];
  const show = { atoms: true, bonds: true, polyhedra: S.show_polyhedra, mobile: true, voids: S.show_voids, edges: false, path: true, surface: true, all: false };

  function decodeGrid(g) {
    return Float32Array.from(bytes(g.data), (code) => (code / 255) ** 2 * g.cap);
  }
  const grid = S.grid ? decodeGrid(S.grid) : null;
  let level = S.grid ? S.grid.level : 0, pathIndex = S.paths.length ? 0 : -1, hop = -1;

  // ---- 3D scene
  let view = null;
  try { view = new Renderer($("gl")); } catch (error) {
    $("space").append(Object.assign(document.createElement("p"), { className: "muted", style: "padding:60px 18px", textContent: "No 3D picture: " + error.message }));
  }

  // every image of a fractional position inside the shown block, boundaries included
  function images(frac, margin) {
    const out = [], low = [0, 0, 0], high = [0, 0, 0];
    for (let k = 0; k < 3; k++) { low[k] = Math.ceil(-margin - frac[k]); high[k] = Math.floor(repeat[k] + margin - frac[k]); }
    for (let a = low[0]; a <= high[0]; a++) for (let b = low[1]; b <= high[1]; b++) for (let c = low[2]; c <= high[2]; c++) out.push([frac[0] + a, frac[1] + b, frac[2] + c]);
    return out;
  }
  const element = (symbol) => S.elements[symbol] || { colour: "#b0b0b0", radius: 0.5 };
  // a mixed or partly occupied site: its second part
  function rest(shares) {
    if (shares.length === 1 && shares[0][1] > 0.995) return null;
    return [...(shares.length > 1 ? hex(element(shares[1][0]).colour) : [1, 1, 1]), shares[0][1]];
  }
  const voidColour = (e) => (e === null || !S.grid ? hex("#7aa7d9") : energyColour(e / S.energy_span));
  let objects = [];

  function build() {
    if (!view) return;
    const solids = [], glass = [], rods = [];
    objects = [];
    const label = (p, r, text) => objects.push({ p, r, text });
    const atoms = [];
    for (const atom of S.atoms) {
      if (!(atom.mobile ? show.mobile : show.atoms)) continue;
      const look = element(atom.symbol), colour = hex(look.colour), r = look.radius * (atom.mobile ? 0.8 : 1) * (0.55 + 0.45 * Math.min(1, atom.occupancy));
      for (const f of images(atom.frac, 0.011)) {
        const p = cart(f);
        if (atom.mobile && atom.occupancy < 0.99) glass.push({ p, r, c: [...colour, 0.35 + 0.6 * atom.occupancy] });
        else solids.push({ p, r, c: colour, other: rest(atom.shares) });
        label(p, r, atom.text);
        if (!atom.mobile) atoms.push({ p, atom, colour });
      }
    }
    if (show.polyhedra && show.atoms) corners(atoms, solids);
    if (show.bonds && show.atoms) bonds(atoms, rods);
    cellEdges(rods);
    if (show.voids) for (const v of S.voids) {
      if (!show.all && v.energy !== null && v.energy > S.energy_span) continue; // above the cheapest path
      const c = voidColour(v.energy), r = Math.max(0.08, Math.min(0.5 * v.radius, 1.1));
      for (const f of images(v.frac, 0.011)) { const p = cart(f); glass.push({ p, r, c: [...c, 0.5] }); label(p, r, v.text); }
    }
    if (show.edges) network(rods, solids, label);
    if (show.path && pathIndex >= 0) drawPath(S.paths[pathIndex], rods, solids, label);
    if (hop >= 0) drawHop(S.hops[hop], rods, solids);
    Object.assign(view, { solids, glass, rods });
    polyhedra();
    paint();
  }

  // the anions of polyhedra whose centre is shown, where they lie outside the shown block
  function corners(atoms, solids) {
    const key = (p) => p.map((x) => Math.round(4 * x)).join(), placed = new Set(atoms.map((x) => key(x.p)));
    for (const q of S.polyhedra) for (const image of images(q.centre, 0.011)) q.points.forEach((point, n) => {
      const p = cart(point.map((v, k) => v + image[k] - q.centre[k])), k = key(p), look = element(q.symbols[n]);
      if (placed.has(k)) return;
      placed.add(k);
      const colour = hex(look.colour);
      solids.push({ p, r: look.radius, c: colour });
      atoms.push({ p, colour, atom: { charge: -1, bond: 0 } });
    });
  }
  function polyhedra() {
    view.dropMeshes("polyhedra");
    if (!show.polyhedra || !show.atoms) return;
    const groups = new Map();
    for (const q of S.polyhedra) {
      if (!groups.has(q.symbol)) groups.set(q.symbol, { places: [], normals: [] });
      const group = groups.get(q.symbol);
      for (const image of images(q.centre, 0.011)) {
        const points = q.points.map((p) => cart(p.map((v, k) => v + image[k] - q.centre[k])));
        for (const face of q.faces) {
          const [a, b, c] = face.map((v) => points[v]), u = b.map((v, k) => v - a[k]), v = c.map((w, k) => w - a[k]);
          const n = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]], l = Math.hypot(...n) || 1;
          for (const p of [a, b, c]) { group.places.push(...p); group.normals.push(...n.map((x) => x / l)); }
        }
      }
    }
    for (const [symbol, { places, normals }] of groups)
      view.setMesh("polyhedra " + symbol, new Float32Array(places), normals, Uint32Array.from({ length: places.length / 3 }, (_, k) => k), [...hex(element(symbol).colour), 0.3]);
  }

  function bonds(atoms, rods) {
    const box = new Map(), key = (p) => p.map((x) => Math.floor(x / 3)).join();
    for (const x of atoms) { const k = key(x.p); if (!box.has(k)) box.set(k, []); box.get(k).push(x); }
    for (const x of atoms) {
      if (x.atom.charge <= 0) continue; // from each cation to its anions
      const q = x.p.map((v) => Math.floor(v / 3));
      for (let i = -1; i <= 1; i++) for (let j = -1; j <= 1; j++) for (let k = -1; k <= 1; k++)
        for (const y of box.get([q[0] + i, q[1] + j, q[2] + k].join()) || []) {
          if (y.atom.charge >= 0) continue;
          const d = Math.hypot(x.p[0] - y.p[0], x.p[1] - y.p[1], x.p[2] - y.p[2]);
          if (d > 1.12 * x.atom.bond || d < 0.3) continue;
          const middle = x.p.map((v, n) => (v + y.p[n]) / 2);
          rods.push({ a: x.p, b: middle, ra: 0.1, rb: 0.1, c: x.colour }, { a: middle, b: y.p, ra: 0.1, rb: 0.1, c: y.colour });
        }
    }
  }
  function cellEdges(rods) {
    const corners = [];
    for (let a = 0; a <= repeat[0]; a++) for (let b = 0; b <= repeat[1]; b++) for (let c = 0; c <= repeat[2]; c++) corners.push([a, b, c]);
    for (const p of corners) for (let k = 0; k < 3; k++) {
      const q = [...p];
      if (++q[k] <= repeat[k]) rods.push({ a: cart(p), b: cart(q), ra: 0.035, rb: 0.035, c: [0.42, 0.47, 0.53] });
    }
  }
  function network(rods, solids, label) {
    for (const e of S.edges) {
      const t = Math.max(0, Math.min(1, e.radius / S.radius_span)), c = [0.72 - 0.5 * t, 0.74 - 0.25 * t, 0.78 - 0.1 * t];
      for (const f of images(e.from, 0.011)) {
        const shift = f.map((v, k) => v - e.from[k]), a = cart(f), b = cart(e.to.map((v, k) => v + shift[k]));
        rods.push({ a, b, ra: 0.045, rb: 0.045, c });
        const m = cart(e.at.map((v, k) => v + shift[k]));
        solids.push({ p: m, r: 0.11, c: [0.85, 0.33, 0.1] });
        label(m, 0.14, e.text);
      }
    }
  }
  // every piece of the path is drawn where it falls in the shown block: the path is periodic
  function drawPath(path, rods, solids, label) {
    for (let k = 0; k + 1 < path.frac.length; k++) {
      const middle = path.frac[k].map((v, q) => (v + path.frac[k + 1][q]) / 2), e = path.energy[k], c = energyColour(e / S.energy_span);
      for (const image of images(middle, 0)) {
        const shift = image.map((v, q) => v - middle[q]), a = cart(path.frac[k].map((v, q) => v + shift[q])), b = cart(path.frac[k + 1].map((v, q) => v + shift[q]));
        rods.push({ a, b, ra: 0.17, rb: 0.17, c });
        solids.push({ p: a, r: 0.17, c }, { p: b, r: 0.17, c });
        label(a, 0.2, `path: ${e.toFixed(3)} eV`);
      }
    }
  }
  function drawHop(h, rods, solids) {
    const p = h.frac.map(cart), c = [0.95, 0.6, 0.05];
    for (let k = 0; k < p.length; k++) {
      solids.push({ p: p[k], r: 0.14, c });
      if (k + 1 < p.length) rods.push({ a: p[k], b: p[k + 1], ra: 0.14, rb: 0.14, c });
    }
  }

  function surface() {
    if (!view || !grid) return;
    view.dropMeshes("surface");
    if (!show.surface) return paint();
    const { places, indices } = Renderer.isosurface(grid, S.grid.shape, repeat, level), n = places.length / 3;
    const xyz = new Float32Array(places.length), normals = new Float32Array(places.length);
    for (let i = 0; i < n; i++) xyz.set(cart(places.slice(3 * i, 3 * i + 3)), 3 * i);
    for (let k = 0; k < indices.length; k += 3) { // area-weighted normals
      const [a, b, c] = [indices[k], indices[k + 1], indices[k + 2]].map((v) => 3 * v), u = [0, 1, 2].map((q) => xyz[b + q] - xyz[a + q]), v = [0, 1, 2].map((q) => xyz[c + q] - xyz[a + q]);
      const m = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
      for (const at of [a, b, c]) for (let q = 0; q < 3; q++) normals[at + q] += m[q];
    }
    for (let i = 0; i < n; i++) {
      const l = Math.hypot(normals[3 * i], normals[3 * i + 1], normals[3 * i + 2]) || 1;
      for (let q = 0; q < 3; q++) normals[3 * i + q] /= l;
    }
    view.setMesh("surface", xyz, normals, indices, [...hex("#3b97f3"), 0.5]);
    paint();
  }

  let queued = 0, slow = false, moved = 0, later = 0;
  function paintNow() {
    cancelAnimationFrame(queued);
    queued = 0;
    const coarse = slow && performance.now() - moved < 250;
    view.draw(coarse);
    overlay();
    if (coarse) { clearTimeout(later); later = setTimeout(paint, 300); } // all of it once it stands still
    else if (view.large()) slow = view.settle() > 0.12;
  }
  function paint() {
    if (view && !queued) queued = requestAnimationFrame(paintNow);
  }
  function move() { moved = performance.now(); paint(); }
  function arrows(g, height) {
    const x0 = 46, y0 = height - 44;
    g.fillStyle = "rgba(255, 255, 255, 0.78)"; // readable where an atom comes to lie behind it
    g.beginPath(); g.arc(x0, y0, 44, 0, 7); g.fill();
    g.font = "italic 600 14px system-ui, sans-serif";
    g.textAlign = "center";
    g.textBaseline = "middle";
    g.strokeStyle = g.fillStyle = "#1b2733";
    g.lineWidth = 2;
    ["a", "b", "c"].forEach((name, k) => {
      const l = Math.hypot(...S.cell[k]), v = view.eye(S.cell[k].map((t, q) => t / l + view.centre[q]));
      g.beginPath(); g.moveTo(x0, y0); g.lineTo(x0 + 27 * v[0], y0 - 27 * v[1]); g.stroke();
      if (Math.hypot(v[0], v[1]) > 0.15) g.fillText(name, x0 + 37 * v[0], y0 - 37 * v[1]);
    });
  }
  function overlay() {
    const canvas = $("over"), ratio = window.devicePixelRatio || 1;
    canvas.width = canvas.clientWidth * ratio;
    canvas.height = canvas.clientHeight * ratio;
    const g = canvas.getContext("2d");
    g.scale(ratio, ratio);
    arrows(g, canvas.clientHeight);
  }
  // the picture with heading, legend, colour bar and method, three times as fine as on the screen
  function snapshot() {
    const gl = $("gl"), w = gl.clientWidth, h = gl.clientHeight, fine = 3, canvas = document.createElement("canvas"), g = canvas.getContext("2d");
    const lines = wrap(g, S.method.map(([name, value]) => `${name}: ${value}`).join("; ") + "." + S.warnings.map((x) => ` Warning (${x.code}): ${x.text}`).join(""), w - 24);
    const head = 52, foot = 66 + 14 * lines.length;
    canvas.width = w * fine;
    canvas.height = (h + head + foot) * fine;
    g.scale(fine, fine);
    g.fillStyle = "#fff";
    g.fillRect(0, 0, w, h + head + foot);
    view.quality = fine / Math.min(2, window.devicePixelRatio || 1);
    view.draw();
    g.drawImage(gl, 0, head, w, h);
    view.quality = 1;
    g.save(); g.translate(0, head); arrows(g, h); g.restore();
    g.fillStyle = "#1b2733";
    g.textAlign = "left";
    g.textBaseline = "alphabetic";
    g.font = "700 18px system-ui, sans-serif"; g.fillText(S.name, 12, 24);
    g.font = "14px system-ui, sans-serif"; g.fillText(S.subtitle, 12, 44);
    let x = 12, y = head + h + 22;
    const room = (width) => { if (x > 12 && x + width > w - 12) { x = 12; y += 22; } };
    for (const [symbol, look] of Object.entries(S.elements)) {
      room(60);
      g.fillStyle = look.colour; g.beginPath(); g.arc(x + 6, y - 5, 6, 0, 7); g.fill(); g.strokeStyle = "#1b2733"; g.lineWidth = 0.7; g.stroke();
      g.fillStyle = "#1b2733"; g.fillText(symbol, x + 17, y);
      x += 34 + g.measureText(symbol).width;
    }
    if (grid && show.surface) { const text = `isosurface, ${level.toFixed(2)} eV`; room(190); g.fillStyle = "#8ec2f8"; g.fillRect(x, y - 11, 22, 11); g.fillStyle = "#1b2733"; g.fillText(text, x + 28, y); x += 44 + g.measureText(text).width; }
    if (grid) {
      room(300);
      const fill = g.createLinearGradient(x + 12, 0, x + 132, 0);
      ENERGY.forEach((c, k) => fill.addColorStop(k / (ENERGY.length - 1), c));
      g.fillStyle = fill; g.fillRect(x + 14, y - 11, 120, 11);
      g.fillStyle = "#1b2733"; g.fillText("0", x, y); g.fillText(`${S.energy_span} eV (path, voids)`, x + 140, y);
    }
    g.font = "11px system-ui, sans-serif";
    g.fillStyle = "#4f5d6b";
    lines.forEach((line, k) => g.fillText(line, 12, h + head + foot - 8 - 14 * (lines.length - 1 - k)));
    return canvas;
  }
  function wrap(g, text, width) {
    g.font = "11px system-ui, sans-serif";
    const lines = [""];
    for (const word of text.split(" ")) {
      const longer = lines[lines.length - 1] + (lines[lines.length - 1] ? " " : "") + word;
      if (g.measureText(longer).width > width) lines.push(word); else lines[lines.length - 1] = longer;
    }
    return lines;
  }

  function frame() {
    if (!view) return;
    view.centre = cart(repeat.map((n) => n / 2));
    let radius = 1;
    for (let a = 0; a <= 1; a++) for (let b = 0; b <= 1; b++) for (let c = 0; c <= 1; c++) {
      const p = cart([a * repeat[0], b * repeat[1], c * repeat[2]]);
      radius = Math.max(radius, Math.hypot(...p.map((v, k) => v - view.centre[k])));
    }
    view.radius = radius * 1.03 + 0.6;
  }
  function fit() { // as large as the stage allows in this orientation
    let x = 1, y = 1;
    const reach = (p, r) => { const v = view.eye(p); x = Math.max(x, Math.abs(v[0]) + r); y = Math.max(y, Math.abs(v[1]) + r); };
    for (let a = 0; a <= 1; a++) for (let b = 0; b <= 1; b++) for (let c = 0; c <= 1; c++) reach(cart([a * repeat[0], b * repeat[1], c * repeat[2]]), 0.3);
    for (const ball of view.solids) reach(ball.p, ball.r);
    const w = $("gl").clientWidth || 1, h = $("gl").clientHeight || 1, s = w > h ? [h / w, 1] : [1, w / h];
    const room = (top) => { // with that many pixels at the bottom left to the arrows
      view.zoom = Math.min(0.96 / (x * s[0]), (0.96 * (h - top)) / h / (y * s[1])) * view.radius;
      view.pan = [0, top / h];
    };
    room(0);
    const unit = view.pixelsPerAngstrom(), behind = (ball) => {
      const [px, py] = view.project(ball.p);
      return Math.hypot(px - 46, py - (h - 44)) < 44 + ball.r * unit;
    };
    if (view.solids.some(behind) || view.glass.some(behind)) room(Math.min(88, 0.3 * h));
  }
  function stand() { // b to the right, c up, turned a little
    const unit = (v) => { const l = Math.hypot(...v) || 1; return v.map((x) => x / l); };
    const cross = (u, v) => [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
    const up = unit(S.cell[2]), towards = unit(cross(S.cell[1], S.cell[2])), right = cross(up, towards);
    view.rotation = [...right, ...up, ...towards];
    view.turn(-0.42, 0.2);
    fit();
  }

  // ---- controls
  function toggle(name, text) {
    const button = document.createElement("button");
    button.textContent = text;
    button.setAttribute("aria-pressed", String(show[name]));
    button.onclick = () => { show[name] = !show[name]; button.setAttribute("aria-pressed", String(show[name])); $("level").hidden = !grid || !show.surface; build(); surface(); };
    $("tools").append(button);
  }
  function action(text, run) {
    const button = document.createElement("button");
    button.textContent = text;
    button.onclick = run;
    $("tools").append(button);
  }
  function controls() {
    toggle("atoms", "framework");
    toggle("bonds", "bonds");
    if (S.polyhedra.length) toggle("polyhedra", "polyhedra");
    toggle("mobile", S.ion);
    if (S.voids.length) toggle("voids", "voids");
    if (S.voids.some((v) => v.energy !== null && v.energy > S.energy_span)) toggle("all", "high-energy voids");
    if (S.edges.length) toggle("edges", "bottlenecks");
    if (S.paths.length) toggle("path", "path");
    if (grid) toggle("surface", "isosurface");
    action("more cells", () => { const more = repeat[0] === base[0] ? 2 : 1; base.forEach((n, k) => { repeat[k] = n * more; }); frame(); build(); fit(); surface(); });
    for (const k of [0, 1, 2]) action("abc"[k], () => {
      const axes = [[1, 2, 0], [2, 0, 1], [0, 1, 2]][k], unit = (v) => { const l = Math.hypot(...v); return v.map((x) => x / l); };
      const cross = (u, v) => [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
      const towards = unit(S.cell[axes[2]]), up = unit(cross(towards, S.cell[axes[0]])), right = cross(up, towards);
      view.rotation = [...right, ...up, ...towards];
      fit();
      paint();
    });
    action("save PNG", () => {
      const link = document.createElement("a");
      link.href = snapshot().toDataURL("image/png");
      link.download = (S.name || "crystal").replace(/[^\w.-]+/g, "_") + ".png";
      link.click();
      paint();
    });
    const canvas = $("gl"), pointers = new Map();
    let pinch = 0;
    canvas.onpointerdown = (e) => { canvas.setPointerCapture(e.pointerId); pointers.set(e.pointerId, [e.clientX, e.clientY]); };
    canvas.onpointerup = canvas.onpointercancel = (e) => { pointers.delete(e.pointerId); pinch = 0; };
    canvas.onpointermove = (e) => {
      const before = pointers.get(e.pointerId);
      if (!before) return hover(e);
      const dx = e.clientX - before[0], dy = e.clientY - before[1];
      pointers.set(e.pointerId, [e.clientX, e.clientY]);
      if (pointers.size === 2) {
        const [p, q] = [...pointers.values()], d = Math.hypot(p[0] - q[0], p[1] - q[1]);
        if (pinch) view.zoom = Math.max(0.3, Math.min(12, (view.zoom * d) / pinch));
        pinch = d;
      } else if (pointers.size === 1 && e.pointerType === "touch") view.turn(dx * 0.009, 0); // up and down scrolls the page
      else if (e.shiftKey || e.buttons === 2) { view.pan[0] += (2 * dx) / canvas.clientWidth; view.pan[1] -= (2 * dy) / canvas.clientHeight; } else view.turn(dx * 0.009, dy * 0.009);
      move();
    };
    canvas.oncontextmenu = (e) => e.preventDefault();
    canvas.onpointerleave = () => { $("tip").style.display = "none"; };
    canvas.ondblclick = () => { stand(); paint(); };
    // the wheel zooms once the crystal has been chosen; before, it scrolls the page
    canvas.addEventListener("wheel", (e) => { if (document.activeElement !== canvas && !e.ctrlKey) return; e.preventDefault(); view.zoom = Math.max(0.3, Math.min(12, view.zoom * Math.exp(-e.deltaY * 0.0012))); move(); }, { passive: false });
    canvas.onkeydown = (e) => {
      const step = 0.09, pan = (x, y) => { view.pan[0] += x * 0.06; view.pan[1] += y * 0.06; }, zoom = (f) => { view.zoom = Math.max(0.3, Math.min(12, view.zoom * f)); };
      const run = {
        ArrowLeft: () => (e.shiftKey ? pan(-1, 0) : view.turn(-step, 0)), ArrowRight: () => (e.shiftKey ? pan(1, 0) : view.turn(step, 0)),
        ArrowUp: () => (e.shiftKey ? pan(0, 1) : view.turn(0, -step)), ArrowDown: () => (e.shiftKey ? pan(0, -1) : view.turn(0, step)),
        "+": () => zoom(1.15), "=": () => zoom(1.15), "-": () => zoom(1 / 1.15), Home: stand,
      }[e.key];
      if (!run || e.ctrlKey || e.metaKey || e.altKey) return;
      e.preventDefault();
      run();
      move();
    };
    canvas.setAttribute("aria-label", `${S.subtitle}: crystal in three dimensions. Arrow keys rotate, plus and minus zoom, shift and arrow keys move, Home resets.`);
    canvas.title = "drag or arrow keys: rotate; click, then wheel, or + and -: zoom; shift: move; double click: reset";
    let width = 0, height = 0;
    new ResizeObserver(() => {
      const same = width === canvas.clientWidth && height === canvas.clientHeight;
      if (!width) fit();
      [width, height] = [canvas.clientWidth, canvas.clientHeight];
      if (!same) paint();
    }).observe($("space"));
    [width, height] = [canvas.clientWidth, canvas.clientHeight];
  }
  function hover(e) {
    const unit = view.pixelsPerAngstrom();
    let best = null, depth = -Infinity;
    for (const o of objects) {
      const [x, y, z] = view.project(o.p);
      if (Math.hypot(x - e.offsetX, y - e.offsetY) < Math.max(4, o.r * unit) && z + o.r > depth) { best = o; depth = z + o.r; }
    }
    tip(best ? best.text : null, e);
  }
  function tip(text, e) {
    const node = $("tip");
    node.style.display = text === null ? "none" : "block";
    if (text === null) return;
    node.textContent = text;
    node.style.left = Math.max(4, Math.min(window.innerWidth - 240, e.clientX + 14)) + "px";
    node.style.top = e.clientY + 12 + "px";
  }

  // ---- charts and tables
  function profile() {
    if (pathIndex < 0) return ($("profilecard").hidden = true);
    $("profile").replaceChildren(...Charts.profile(S, cart, pathIndex, $("profile").clientWidth));
  }
  function hops() {
    if (!S.hops.length) return ($("hopcard").hidden = true);
    const table = Charts.hops(S, () => hop, (k) => {
      hop = hop === k ? -1 : k;
      table.order();
      const row = $("hops").querySelector(`tr[data-hop="${k}"] button`);
      if (row) row.focus({ preventScroll: true });
      build();
    });
    $("hops").replaceChildren(table.node);
  }
  let leg = 0;
  function relaxedLeg() {
    if (S.relaxed && S.relaxed.legs.length) $("relaxed").replaceChildren(...Charts.relaxed(S.relaxed, S.relaxed.legs[leg], S.series, $("relaxed").clientWidth));
  }
  function relaxed() {
    const R = S.relaxed;
    if (!R) return;
    const list = (id, rows) => { for (const [name, value] of rows) $(id).append(Object.assign(document.createElement("dt"), { textContent: name }), Object.assign(document.createElement("dd"), { textContent: value })); };
    $("relaxedcard").hidden = false;
    $("relaxedtitle").textContent = `Relaxed barriers (${R.potential}, ${R.mechanism})`;
    list("relaxedfacts", R.barriers);
    list("relaxedflags", [...R.flags, ...R.notes.map((note) => ["note", note])]);
    if (!R.legs.length) return ($("whichleg").hidden = true);
    leg = Math.max(0, R.legs.findIndex((l) => l.opens.length));
    const choose = (k) => { leg = k; $("whichleg").value = k; table.order(); relaxedLeg(); };
    const table = Charts.relaxedLegs(R, () => leg, choose);
    for (const [k, l] of R.legs.entries()) $("whichleg").append(new Option(l.name, k));
    $("whichleg").value = leg;
    $("whichleg").onchange = () => choose(Number($("whichleg").value));
    $("relaxedlegs").replaceChildren(table.node);
    relaxedLeg();
  }
  function pattern() {
    if (!S.xrd) return ($("xrdcard").hidden = true);
    $("xrdtitle").textContent = "Powder pattern, " + S.xrd.label;
    const chart = Charts.pattern(S.xrd, $("xrd"), tip, (range) => { $("xrdrange").textContent = range.map((v) => v.toFixed(1)).join("–") + "°"; });
    $("xrdin").onclick = () => chart.zoom(0.6);
    $("xrdout").onclick = () => chart.zoom(1 / 0.6);
    $("xrdall").onclick = chart.reset;
    window.addEventListener("resize", () => { chart.draw(); profile(); relaxedLeg(); });
  }
  function legend() {
    const mixed = new Set(S.atoms.filter((a) => a.shares.length > 1).flatMap((a) => a.shares.map(([symbol]) => symbol)));
    for (const [symbol, look] of Object.entries(S.elements)) {
      const item = document.createElement("span"), dot = document.createElement("span");
      dot.className = "dot";
      dot.style.background = look.colour;
      item.append(dot, symbol + (mixed.has(symbol) ? " (mixed site)" : ""));
      $("legend").append(item);
    }
    if (grid) {
      const item = document.createElement("span"), bar = document.createElement("span");
      bar.className = "ramp";
      bar.style.background = `linear-gradient(90deg, ${ENERGY.join(",")})`;
      item.append("path and voids: 0", bar, S.energy_span + " eV");
      $("legend").append(item);
    }
  }
  function facts() {
    $("name").textContent = S.name;
    $("subtitle").textContent = S.subtitle;
    for (const [name, value] of S.facts) $("facts").append(Object.assign(document.createElement("dt"), { textContent: name }), Object.assign(document.createElement("dd"), { textContent: value }));
    for (const [name, value] of S.method) $("method").append(Object.assign(document.createElement("dt"), { textContent: name }), Object.assign(document.createElement("dd"), { textContent: value }));
    for (const warning of S.warnings) {
      const line = document.createElement("div"), code = document.createElement("b");
      line.className = "card warning" + (warning.severe ? " severe" : "");
      code.textContent = `Warning (${warning.code}): `;
      line.append(code, warning.text);
      $("warnings").append(line);
    }
    if (!S.notes.length) return ($("notes").hidden = true);
    for (const note of S.notes) $("notes").append(Object.assign(document.createElement("div"), { textContent: note }));
  }
  function slider() {
    if (!grid) return;
    const text = () => { $("leveltext").textContent = `isosurface ${level.toFixed(2)} eV`; };
    $("level").hidden = !view;
    $("slider").value = Math.round((1000 * level) / S.grid.top);
    let waiting = 0;
    $("slider").oninput = () => { level = (S.grid.top * $("slider").value) / 1000; text(); clearTimeout(waiting); waiting = setTimeout(surface, 15); };
    text();
  }

  facts();
  legend();
  slider();
  for (const [k, path] of S.paths.entries()) $("which").append(new Option(path.name, k));
  $("which").onchange = () => { pathIndex = Number($("which").value); profile(); build(); };
  profile();
  hops();
  relaxed();
  pattern();
  if (view) { controls(); frame(); build(); stand(); surface(); paintNow(); }
  document.documentElement.dataset.ready = view ? "3d" : "flat";
})();
