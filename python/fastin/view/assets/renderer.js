"use strict";
// A small WebGL2 renderer for crystals: orthographic, ray-cast spheres, cylinders, a translucent isosurface.
const Renderer = (function () {
  const COMMON = `#version 300 es
precision highp float;
uniform mat4 uView; uniform vec2 uScale; uniform vec2 uShift; uniform float uDepth;
`;
  const SHADE = `
uniform float uDepth;
vec3 shade(vec3 base, vec3 n, float z) {
  vec3 key = normalize(vec3(-0.45, 0.6, 0.75)), fill = normalize(vec3(0.7, -0.2, 0.5));
  float d = max(dot(n, key), 0.0), f = max(dot(n, fill), 0.0);
  vec3 h = normalize(key + vec3(0.0, 0.0, 1.0));
  float s = pow(max(dot(n, h), 0.0), 48.0);
  vec3 c = base * (0.42 + 0.55 * d + 0.16 * f) + vec3(0.30) * s;
  float fog = clamp(0.5 - 0.5 * z / uDepth, 0.0, 1.0);
  return mix(c, vec3(1.0), 0.38 * fog * fog);
}
`;
  const SPHERE_V = COMMON + `
in vec2 corner; in vec4 ball; in vec4 tint; in vec4 other;
out vec2 vUV; out vec4 vTint; out vec4 vOther; out float vZ; out float vR;
void main() {
  vec4 p = uView * vec4(ball.xyz, 1.0);
  vUV = corner * 1.02; vTint = tint; vOther = other; vZ = p.z; vR = ball.w;
  gl_Position = vec4((p.xy + corner * 1.02 * ball.w) * uScale + uShift, -p.z / uDepth, 1.0);
}`;
  const SPHERE_F = `#version 300 es
precision highp float;
in vec2 vUV; in vec4 vTint; in vec4 vOther; in float vZ; in float vR; out vec4 color;` + SHADE + `
uniform float uGlass;
void main() {
  float d = dot(vUV, vUV);
  if (d > 1.0) discard;
  vec3 n = vec3(vUV, sqrt(1.0 - d));
  float z = vZ + n.z * vR;
  gl_FragDepth = 0.5 - 0.5 * z / uDepth;
  float part = fract(atan(vUV.x, vUV.y) / 6.28318530718 + 1.0); // a mixed site is a pie, clockwise from the top
  vec3 c = shade(part < vOther.a ? vTint.rgb : vOther.rgb, n, z);
  float edge = 1.0 - n.z;
  if (uGlass > 0.5) { color = vec4(c, clamp(vTint.a * (0.55 + 0.9 * edge * edge), 0.0, 1.0)); color.rgb *= color.a; }
  else { color = vec4(c * (1.0 - 0.35 * smoothstep(0.80, 1.0, sqrt(d))), 1.0); }
}`;
  const ROD_V = COMMON + `
in vec3 shape; in vec4 from; in vec4 to; in vec3 tint;
out vec3 vN; out vec3 vTint; out float vZ;
void main() {
  vec3 a = (uView * vec4(from.xyz, 1.0)).xyz, b = (uView * vec4(to.xyz, 1.0)).xyz;
  vec3 t = b - a; float l = length(t); t = l > 1e-6 ? t / l : vec3(0.0, 0.0, 1.0);
  vec3 u = normalize(abs(t.z) < 0.9 ? cross(t, vec3(0.0, 0.0, 1.0)) : cross(t, vec3(1.0, 0.0, 0.0))), w = cross(t, u);
  vec3 n = u * shape.x + w * shape.y;
  vec3 p = mix(a, b, shape.z) + n * mix(from.w, to.w, shape.z);
  vN = n; vTint = tint; vZ = p.z;
  gl_Position = vec4(p.xy * uScale + uShift, -p.z / uDepth, 1.0);
}`;
  const ROD_F = `#version 300 es
precision highp float;
in vec3 vN; in vec3 vTint; in float vZ; out vec4 color;` + SHADE + `
void main() { color = vec4(shade(vTint, normalize(vN), vZ), 1.0); }`;
  const MESH_V = COMMON + `
in vec3 place; in vec3 normal;
out vec3 vN; out float vZ;
void main() {
  vec4 p = uView * vec4(place, 1.0);
  vN = (uView * vec4(normal, 0.0)).xyz; vZ = p.z;
  gl_Position = vec4(p.xy * uScale + uShift, -p.z / uDepth, 1.0);
}`;
  const MESH_F = `#version 300 es
precision highp float;
in vec3 vN; in float vZ; out vec4 color; uniform vec4 uTint;` + SHADE + `
void main() {
  vec3 n = normalize(vN);
  if (n.z < 0.0) n = -n;
  float edge = 1.0 - n.z, a = clamp(uTint.a * (0.6 + 1.3 * edge * edge), 0.0, 0.95);
  color = vec4(shade(uTint.rgb, n, vZ) * a, a);
}`;

  function program(gl, vertex, fragment, attributes) {
    const p = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
      const s = gl.createShader(kind);
      gl.shaderSource(s, text);
      gl.compileShader(s);
      if (!gl.getShaderParameter(s, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(s));
      gl.attachShader(p, s);
    }
    attributes.forEach((name, k) => gl.bindAttribLocation(p, k, name));
    gl.linkProgram(p);
    if (!gl.getProgramParameter(p, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(p));
    const uniforms = {};
    for (let i = 0; i < gl.getProgramParameter(p, gl.ACTIVE_UNIFORMS); i++) {
      const name = gl.getActiveUniform(p, i).name;
      uniforms[name] = gl.getUniformLocation(p, name);
    }
    return { p, uniforms };
  }

  // Bonds and spheres are written out vertex by vertex and kept until the list changes: drawn as instances, every one of
  // the thousands of a large crystal is a drawing of its own where a processor plays the graphics card.
  const SIDES = [4, 8, 16], CORNERS = [[-1, -1], [1, -1], [-1, 1], [1, 1]];
  function batch(gl, list, shape, faces, size, fill) {
    const points = shape.length, wide = shape[0].length, data = new Float32Array(list.length * points * (wide + size));
    const indices = new Uint32Array(list.length * faces.length), values = new Float32Array(size);
    let at = 0, next = 0;
    list.forEach((item, n) => {
      fill(item, values);
      for (const point of shape) { data.set(point, at); data.set(values, at + wide); at += wide + size; }
      for (const k of faces) indices[next++] = n * points + k;
    });
    const made = { data: gl.createBuffer(), index: gl.createBuffer(), count: indices.length };
    gl.bindBuffer(gl.ARRAY_BUFFER, made.data);
    gl.bufferData(gl.ARRAY_BUFFER, data, gl.STATIC_DRAW);
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, made.index);
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, indices, gl.STATIC_DRAW);
    return made;
  }
  function rodShape(sides) {
    const points = [], faces = [];
    for (let k = 0; k < sides; k++) {
      const a = (2 * Math.PI * k) / sides, p = [Math.cos(a), Math.sin(a)], q = 2 * ((k + 1) % sides);
      points.push([...p, 0], [...p, 1]);
      faces.push(2 * k, q, q + 1, 2 * k, q + 1, 2 * k + 1);
    }
    return { points, faces };
  }

  class Renderer {
    constructor(canvas) {
      const gl = canvas.getContext("webgl2", { antialias: true, preserveDrawingBuffer: true, premultipliedAlpha: true });
      if (!gl) throw new Error("this browser offers no WebGL2");
      this.gl = gl;
      this.canvas = canvas;
      this.sphere = program(gl, SPHERE_V, SPHERE_F, ["corner", "ball", "tint", "other"]);
      this.rod = program(gl, ROD_V, ROD_F, ["shape", "from", "to", "tint"]);
      this.mesh = program(gl, MESH_V, MESH_F, ["place", "normal"]);
      this.rodShapes = SIDES.map(rodShape);
      this.batches = new Map(); // name -> {list, kind, data, index, count}
      this.meshIndex = gl.createBuffer();
      this.rotation = [1, 0, 0, 0, 1, 0, 0, 0, 1];
      this.centre = [0, 0, 0];
      this.radius = 10;
      this.zoom = 1;
      this.pan = [0, 0];
      this.solids = []; // {p:[x,y,z], r, c:[r,g,b]}
      this.glass = []; // the same with c[3] = opacity
      this.rods = []; // {a, b, ra, rb, c}
      this.meshes = new Map(); // name -> {buffer, places, triangles, tint}; translucent
    }

    turn(dx, dy) {
      const c = Math.cos, s = Math.sin, m = this.rotation;
      const ry = [c(dx), 0, s(dx), 0, 1, 0, -s(dx), 0, c(dx)], rx = [1, 0, 0, 0, c(dy), -s(dy), 0, s(dy), c(dy)];
      this.rotation = multiply(rx, multiply(ry, m));
    }

    project(p) {
      const v = this.eye(p), [sx, sy] = this.scale();
      return [((v[0] * sx + this.pan[0]) * 0.5 + 0.5) * this.canvas.clientWidth,
        (0.5 - (v[1] * sy + this.pan[1]) * 0.5) * this.canvas.clientHeight, v[2]];
    }
    eye(p) {
      const m = this.rotation, x = p[0] - this.centre[0], y = p[1] - this.centre[1], z = p[2] - this.centre[2];
      return [m[0] * x + m[1] * y + m[2] * z, m[3] * x + m[4] * y + m[5] * z, m[6] * x + m[7] * y + m[8] * z];
    }
    scale() {
      const w = this.canvas.clientWidth || 1, h = this.canvas.clientHeight || 1, s = this.zoom / this.radius;
      return w > h ? [(s * h) / w, s] : [s, (s * w) / h];
    }
    pixelsPerAngstrom() { return this.scale()[1] * this.canvas.clientHeight * 0.5; }

    setMesh(name, places, normals, indices, tint) {
      const gl = this.gl, old = this.meshes.get(name), buffer = old ? old.buffer : gl.createBuffer(), data = new Float32Array(places.length * 2);
      for (let i = 0; i < places.length / 3; i++)
        for (let k = 0; k < 3; k++) { data[6 * i + k] = places[3 * i + k]; data[6 * i + 3 + k] = normals[3 * i + k]; }
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
      gl.bufferData(gl.ARRAY_BUFFER, data, gl.DYNAMIC_DRAW);
      this.meshes.set(name, { buffer, places, triangles: Uint32Array.from(indices), tint });
    }
    dropMeshes(prefix) {
      for (const [name, mesh] of this.meshes) if (name.startsWith(prefix)) {
        this.gl.deleteBuffer(mesh.buffer);
        this.meshes.delete(name);
      }
    }

    use(which) {
      const gl = this.gl, { p, uniforms: u } = which, m = this.rotation, c = this.centre;
      gl.useProgram(p);
      const t = [0, 1, 2].map((k) => -(m[3 * k] * c[0] + m[3 * k + 1] * c[1] + m[3 * k + 2] * c[2]));
      gl.uniformMatrix4fv(u.uView, false, [m[0], m[3], m[6], 0, m[1], m[4], m[7], 0, m[2], m[5], m[8], 0, t[0], t[1], t[2], 1]);
      gl.uniform2fv(u.uScale, this.scale());
      gl.uniform2fv(u.uShift, this.pan);
      gl.uniform1f(u.uDepth, this.radius * 2.5);
      for (let k = 0; k < 4; k++) gl.disableVertexAttribArray(k);
      return u;
    }
    attribute(k, size, stride, offset) {
      const gl = this.gl;
      gl.enableVertexAttribArray(k);
      gl.vertexAttribPointer(k, size, gl.FLOAT, false, stride, offset);
    }
    batched(name, list, kind, make) {
      const gl = this.gl, old = this.batches.get(name);
      if (old && old.list === list && old.kind === kind) return old;
      if (old) { gl.deleteBuffer(old.data); gl.deleteBuffer(old.index); }
      const made = { ...make(), list, kind };
      this.batches.set(name, made);
      return made;
    }
    drawBatch(made, sizes) {
      const gl = this.gl, stride = 4 * sizes.reduce((a, b) => a + b, 0);
      gl.bindBuffer(gl.ARRAY_BUFFER, made.data);
      let offset = 0;
      sizes.forEach((size, k) => { this.attribute(k, size, stride, offset); offset += 4 * size; });
      gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, made.index);
      gl.drawElements(gl.TRIANGLES, made.count, gl.UNSIGNED_INT, 0);
    }

    drawBalls(balls, glass) {
      if (!balls.length) return;
      const gl = this.gl, u = this.use(this.sphere);
      gl.uniform1f(u.uGlass, glass ? 1 : 0);
      const fill = (b, v) => { // other: rgb of the rest of a mixed site, share of the first
        v.set(b.p); v[3] = b.r; v.set(b.c, 4); v[7] = b.c[3] ?? 1; v.set(b.other || [1, 1, 1, 2], 8);
      };
      const made = this.batched(glass ? "glass" : "solids", balls, 0, () => batch(gl, balls, CORNERS, [0, 1, 2, 2, 1, 3], 12, fill));
      this.drawBatch(made, [2, 4, 4, 4]);
    }

    drawRods() {
      if (!this.rods.length) return;
      const gl = this.gl;
      this.use(this.rod);
      // bonds a few pixels wide need no more sides than can be seen
      const wide = 0.2 * this.scale()[1] * this.canvas.height * 0.5, many = this.rods.length;
      const kind = wide < 3.5 || many > 12000 ? 0 : wide < 8 || many > 4000 ? 1 : 2, { points, faces } = this.rodShapes[kind];
      const fill = (r, v) => { v.set(r.a); v[3] = r.ra; v.set(r.b, 4); v[7] = r.rb; v[8] = r.c[0]; v[9] = r.c[1]; v[10] = r.c[2]; };
      this.drawBatch(this.batched("rods", this.rods, kind, () => batch(gl, this.rods, points, faces, 11, fill)), [3, 4, 4, 3]);
    }

    drawMesh(mesh) {
      const gl = this.gl, m = this.rotation, t = mesh.triangles, p = mesh.places, n = t.length / 3;
      if (!n) return;
      // far triangles first, in 1024 layers: translucency needs an order
      const depth = new Float32Array(n), layers = new Uint32Array(1026), sorted = new Uint32Array(t.length);
      let low = Infinity, high = -Infinity;
      for (let k = 0; k < n; k++) {
        const a = 3 * t[3 * k], b = 3 * t[3 * k + 1];
        const z = m[6] * (p[a] + p[b]) + m[7] * (p[a + 1] + p[b + 1]) + m[8] * (p[a + 2] + p[b + 2]);
        depth[k] = z;
        if (z < low) low = z;
        if (z > high) high = z;
      }
      const scale = 1023 / (high - low || 1);
      for (let k = 0; k < n; k++) layers[Math.floor((depth[k] - low) * scale) + 1]++;
      for (let k = 0; k < 1025; k++) layers[k + 1] += layers[k];
      for (let k = 0; k < n; k++) {
        const at = 3 * layers[Math.floor((depth[k] - low) * scale)]++;
        sorted[at] = t[3 * k]; sorted[at + 1] = t[3 * k + 1]; sorted[at + 2] = t[3 * k + 2];
      }
      const u = this.use(this.mesh);
      gl.uniform4fv(u.uTint, mesh.tint);
      gl.bindBuffer(gl.ARRAY_BUFFER, mesh.buffer);
      this.attribute(0, 3, 24, 0);
      this.attribute(1, 3, 24, 12);
      gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, this.meshIndex);
      gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, sorted, gl.STREAM_DRAW);
      gl.drawElements(gl.TRIANGLES, t.length, gl.UNSIGNED_INT, 0);
    }

    large() { return this.solids.length + this.rods.length > 3000; }
    // seconds that everything drawn so far takes: waits for it
    settle() {
      const gl = this.gl, start = performance.now();
      gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
      return (performance.now() - start) / 1000;
    }

    // coarse: atoms alone, half as fine, for a crystal that moves on a machine that cannot draw all of it in time
    draw(coarse = false) {
      const gl = this.gl, ratio = coarse ? 0.5 : Math.min(2, window.devicePixelRatio || 1) * (this.quality || 1);
      const w = Math.round(this.canvas.clientWidth * ratio), h = Math.round(this.canvas.clientHeight * ratio);
      if (this.canvas.width !== w || this.canvas.height !== h) { this.canvas.width = w; this.canvas.height = h; }
      gl.viewport(0, 0, w, h);
      gl.clearColor(1, 1, 1, 1);
      gl.depthMask(true);
      gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
      gl.enable(gl.DEPTH_TEST);
      gl.disable(gl.BLEND);
      this.drawBalls(this.solids, false);
      if (coarse) return;
      this.drawRods();
      gl.enable(gl.BLEND);
      gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
      gl.depthMask(false);
      for (const mesh of this.meshes.values()) this.drawMesh(mesh);
      const far = this.glass.map((b) => [this.eye(b.p)[2], b]).sort((x, y) => x[0] - y[0]).map((x) => x[1]);
      this.drawBalls(far, true);
      gl.depthMask(true);
    }
  }

  function multiply(a, b) {
    const out = new Array(9).fill(0);
    for (let i = 0; i < 3; i++) for (let j = 0; j < 3; j++) for (let k = 0; k < 3; k++) out[3 * i + j] += a[3 * i + k] * b[3 * k + j];
    return out;
  }

  // Isosurface of a periodic grid over the cells [0, repeat): surface nets (Gibson 1998): one vertex a cut cube, at the
  // mean of its edge crossings; one quad a cut grid edge. The block is wrapped in one layer of points that are outside
  // and lie in its faces: the surface is closed where the block cuts it. The same as fastin.view.isosurface.
  Renderer.isosurface = function (values, shape, repeat, level) {
    const size = shape.map((n, k) => n * repeat[k] + 3), [nx, ny, nz] = size, [a, b, c] = shape, last = size.map((n) => n - 3);
    const block = new Float32Array(nx * ny * nz).fill(1e3);
    for (let i = 1; i < nx - 1; i++) for (let j = 1; j < ny - 1; j++) for (let k = 1; k < nz - 1; k++)
      block[(i * ny + j) * nz + k] = values[(((i - 1) % a) * b + ((j - 1) % b)) * c + ((k - 1) % c)] - level;
    const at = (i, j, k) => block[(i * ny + j) * nz + k];
    const wrapped = (i, j, k, q) => [i + (q & 1), j + ((q >> 1) & 1), k + (q >> 2)].some((v, m) => v === 0 || v === size[m] - 1);
    const vertex = new Int32Array((nx - 1) * (ny - 1) * (nz - 1)).fill(-1), places = [], indices = [];
    const cube = new Float32Array(8);
    for (let i = 0; i < nx - 1; i++) for (let j = 0; j < ny - 1; j++) for (let k = 0; k < nz - 1; k++) {
      let inside = 0;
      for (let q = 0; q < 8; q++) { cube[q] = at(i + (q & 1), j + ((q >> 1) & 1), k + (q >> 2)); if (cube[q] < 0) inside++; }
      if (inside === 0 || inside === 8) continue;
      // crossings of real edges; those that end in the wrapping count where there are no others (the middle of a cap)
      const sums = [[0, 0, 0, 0], [0, 0, 0, 0]];
      for (let q = 0; q < 8; q++) for (const bit of [1, 2, 4]) {
        const r = q | bit;
        if (r === q || (cube[q] < 0) === (cube[r] < 0)) continue;
        const t = cube[q] / (cube[q] - cube[r]), sum = sums[wrapped(i, j, k, q) || wrapped(i, j, k, r) ? 1 : 0];
        sum[0] += (q & 1) + (bit === 1 ? t : 0); sum[1] += ((q >> 1) & 1) + (bit === 2 ? t : 0); sum[2] += (q >> 2) + (bit === 4 ? t : 0); sum[3]++;
      }
      const [x, y, z, n] = sums[0][3] ? sums[0] : sums[1];
      vertex[(i * (ny - 1) + j) * (nz - 1) + k] = places.length / 3;
      [i + x / n, j + y / n, k + z / n].forEach((v, q) => places.push(Math.min(last[q], Math.max(0, v - 1)) / shape[q]));
    }
    const id = (i, j, k) => vertex[(i * (ny - 1) + j) * (nz - 1) + k];
    const quad = (p, q, r, s, flip) => { if (flip) indices.push(p, q, r, p, r, s); else indices.push(p, r, q, p, s, r); };
    for (let i = 0; i < nx - 1; i++) for (let j = 0; j < ny - 1; j++) for (let k = 0; k < nz - 1; k++) {
      const here = at(i, j, k) < 0;
      if (j > 0 && k > 0 && here !== at(i + 1, j, k) < 0) quad(id(i, j - 1, k - 1), id(i, j, k - 1), id(i, j, k), id(i, j - 1, k), here);
      if (i > 0 && k > 0 && here !== at(i, j + 1, k) < 0) quad(id(i - 1, j, k - 1), id(i - 1, j, k), id(i, j, k), id(i, j, k - 1), here);
      if (i > 0 && j > 0 && here !== at(i, j, k + 1) < 0) quad(id(i - 1, j - 1, k), id(i, j - 1, k), id(i, j, k), id(i - 1, j, k), here);
    }
    return { places, indices };
  };
  return Renderer;
})();
