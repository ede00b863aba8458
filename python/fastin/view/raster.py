"""Draws balls, rods and translucent triangles into an image: orthographic, with depth, shaded like the page.

Solid things go through a depth buffer; translucent ones are sorted in each pixel, so that their order is right from
every side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastin.view.drawing import Drawing

Floats = NDArray[np.float32]

_BAND = 160  # rows at a time: bounds the memory
_LARGE = 4096  # pixels of a triangle's box, beyond which it is drawn by itself
_LAYERS = 64  # translucent layers in one pixel; what lies behind more of them is not seen


def _unit(*v: float) -> Floats:
    vector = np.array(v, dtype=np.float32)
    return vector / np.linalg.norm(vector).astype(np.float32)


_KEY, _FILL = _unit(-0.45, 0.6, 0.75), _unit(0.7, -0.2, 0.5)
_HALF = _unit(*(_KEY + np.array([0, 0, 1], dtype=np.float32)))


@dataclass(frozen=True)
class Camera:
    """An orthographic view.

    Attributes:
        rotation: (3, 3) rows: right, up, towards the viewer.
        centre: (3,) point in the middle of the picture (A).
        scale: pixels per angstrom.
        width, height: pixels.
        depth: half depth of the block (A), for the haze.
    """

    rotation: NDArray[np.float64]
    centre: NDArray[np.float64]
    scale: float
    width: int
    height: int
    depth: float

    def place(self, points: Any) -> NDArray[np.float64]:
        """(..., 3) pixels from the left, pixels from the top, angstrom towards the viewer."""
        eye = (np.asarray(points, dtype=float) - self.centre) @ self.rotation.T
        eye[..., 0] = self.width / 2 + eye[..., 0] * self.scale
        eye[..., 1] = self.height / 2 - eye[..., 1] * self.scale
        return eye


def _shade(base: Any, normal: Any, z: Any, depth: float) -> Floats:
    """(n, 3) colours of lit points; `base` one colour or one each."""
    d, f = np.maximum(normal @ _KEY, 0), np.maximum(normal @ _FILL, 0)
    s = np.maximum(normal @ _HALF, 0)
    s *= s
    s *= s
    s = s * s * s  # 12
    s *= s
    s *= s  # 48
    light = (0.42 + 0.55 * d + 0.16 * f)[:, None]
    haze = (0.38 * np.clip(0.5 - 0.5 * z / depth, 0, 1) ** 2)[:, None].astype(np.float32)
    colour = np.asarray(base, dtype=np.float32) * light + np.float32(0.30) * s[:, None]
    colour += (1 - colour) * haze
    shaded: Floats = np.clip(colour, 0, 1, out=colour)
    return shaded


def _inside(w1: Any, w2: Any) -> Any:
    """Half-open: a pixel on the edge of two triangles belongs to one."""
    return (w1 >= 0) & (w2 >= 0) & (w1 + w2 < 1)


class _Band:
    """Rows `top` to `bottom` of the picture."""

    def __init__(self, camera: Camera, top: int, bottom: int) -> None:
        self.camera, self.top, self.bottom = camera, top, bottom
        shape = (bottom - top, camera.width)
        self.colour = np.zeros((*shape, 3), dtype=np.float32)
        self.cover = np.zeros(shape, dtype=np.float32)
        self.z = np.full(shape, -np.inf, dtype=np.float32)
        self.layers: list[tuple[NDArray[np.int64], Floats, Floats]] = []  # pixel, z, premultiplied rgba

    def window(self, x0: float, x1: float, y0: float, y1: float) -> tuple[slice, slice, Floats, Floats] | None:
        """Rows, columns and pixel centres of a box; None outside the band."""
        left, right = max(0, int(np.floor(x0))), min(self.camera.width, int(np.ceil(x1)) + 1)
        top, bottom = max(self.top, int(np.floor(y0))), min(self.bottom, int(np.ceil(y1)) + 1)
        if left >= right or top >= bottom:
            return None
        x = np.arange(left, right, dtype=np.float32) + np.float32(0.5)
        y = np.arange(top, bottom, dtype=np.float32)[:, None] + np.float32(0.5)
        return slice(top - self.top, bottom - self.top), slice(left, right), x, y

    def put(self, rows: slice, columns: slice, at: Any, z: Any, colour: Any) -> None:
        """Solid pixels; `at` is where they are the nearest."""
        self.z[rows, columns][at] = z
        self.colour[rows, columns][at] = colour
        self.cover[rows, columns][at] = 1

    def ball(self, at: Any, radius: float, sectors: Any, opacity: float | None = None) -> None:
        """One ball; sectors (rgb, share) divide it like a pie, what they leave is white. Translucent with `opacity`."""
        r = radius * self.camera.scale
        box = self.window(at[0] - r, at[0] + r, at[1] - r, at[1] + r)
        if box is None:
            return
        rows, columns, x, y = box
        u, v = (x - np.float32(at[0])) / np.float32(r), (np.float32(at[1]) - y) / np.float32(r)
        square = u * u + v * v
        up = np.sqrt(np.maximum(1 - square, 0))
        z = np.float32(at[2]) + up * np.float32(radius)
        wins = (square <= 1) & (z > self.z[rows, columns])
        u, v = np.broadcast_to(u, wins.shape)[wins], np.broadcast_to(v, wins.shape)[wins]
        up, z = up[wins], z[wins]
        base = sectors[0][0]
        if len(sectors) > 1 or sectors[0][1] < 0.995:
            turn = np.mod(np.arctan2(u, v) / (2 * np.pi), 1.0)
            base, begin = np.ones((len(turn), 3)), 0.0
            for colour, share in sectors:
                base[(turn >= begin) & (turn < begin + share)] = colour
                begin += share
        shaded = _shade(base, np.stack([u, v, up], axis=1), z, self.camera.depth)
        if opacity is None:
            rim = np.clip((np.sqrt(np.maximum(1 - up * up, 0)) - np.float32(0.80)) / np.float32(0.2), 0, 1)
            self.put(rows, columns, wins, z, shaded * (1 - np.float32(0.35) * rim * rim * (3 - 2 * rim))[:, None])
        else:
            y_at, x_at = np.nonzero(wins)
            pixel = (y_at + rows.start) * self.camera.width + x_at + columns.start
            self._keep(pixel, z, shaded, np.clip(opacity * (0.55 + 0.9 * (1 - up) ** 2), 0, 1))

    def rod(self, a: Any, b: Any, radius: float, colour: Any) -> None:
        """One cylinder without caps."""
        r, scale = radius * self.camera.scale, np.float32(self.camera.scale)
        box = self.window(min(a[0], b[0]) - r, max(a[0], b[0]) + r, min(a[1], b[1]) - r, max(a[1], b[1]) + r)
        span = np.array([(b[0] - a[0]) / scale, (a[1] - b[1]) / scale, b[2] - a[2]])
        length = float(np.linalg.norm(span))
        flat = float(np.hypot(span[0], span[1]))
        if box is None or flat < 1e-6 * max(length, 1e-9):
            return
        rows, columns, x, y = box
        cos, sin = np.float32(span[0] / flat), np.float32(span[1] / flat)
        rise, lean = (
            np.float32(span[2] / length),
            np.float32(flat / length),
        )  # of the axis: to the viewer, in the picture
        px, py = (x - np.float32(a[0])) / scale, (np.float32(a[1]) - y) / scale
        side = py * cos - px * sin
        near = np.nonzero(np.abs(side) < radius)
        side = side[near]
        along = px[near[1]] * cos + py[near[0], 0] * sin
        high = np.sqrt(np.maximum(np.float32(radius * radius) - side * side, 0))
        reach = (along + high * rise) / lean
        z = np.float32(a[2]) + reach * rise + high * lean
        wins = (reach >= 0) & (reach <= length) & (z > self.z[rows, columns][near])
        side, high, z = side[wins], high[wins], z[wins]
        normal = np.stack([-sin * side - rise * cos * high, cos * side - rise * sin * high, lean * high], axis=1)
        at = (near[0][wins], near[1][wins])
        self.put(rows, columns, at, z, _shade(colour, normal / np.float32(radius), z, self.camera.depth))

    def _keep(self, pixel: Any, z: Any, colour: Any, alpha: Any) -> None:
        rgba = np.concatenate([colour * alpha[:, None], alpha[:, None]], axis=1).astype(np.float32)
        self.layers.append((pixel.astype(np.int64), z.astype(np.float32), rgba))

    def mesh(self, corners: Any, normals: Any, colour: Any, opacity: float) -> None:
        """Translucent triangles: (T, 3, 3) in pixels and angstrom of depth, normals (T, 3, 3) seen by the viewer."""
        low, high = corners[..., :2].min(axis=1), corners[..., :2].max(axis=1)
        x0 = np.clip(np.floor(low[:, 0]), 0, self.camera.width).astype(np.int64)
        x1 = np.clip(np.ceil(high[:, 0]) + 1, 0, self.camera.width).astype(np.int64)
        y0 = np.clip(np.floor(low[:, 1]), self.top, self.bottom).astype(np.int64)
        y1 = np.clip(np.ceil(high[:, 1]) + 1, self.top, self.bottom).astype(np.int64)
        wide, count = x1 - x0, np.maximum(x1 - x0, 0) * np.maximum(y1 - y0, 0)
        # weights of the second and third corner are linear in the pixel: w = g . (x - x_a, y - y_a)
        (bx, by), (cx, cy) = (corners[:, k, :2].T - corners[:, 0, :2].T for k in (1, 2))
        area = bx * cy - by * cx
        area[np.abs(area) < 1e-9] = np.inf  # seen edge-on
        gradient = np.stack([cy, -cx, -by, bx], axis=1) / area[:, None]
        for large in np.flatnonzero(count > _LARGE):
            x = np.arange(x0[large], x1[large])
            y = np.arange(y0[large], y1[large])
            px, py = x + 0.5 - corners[large, 0, 0], (y + 0.5 - corners[large, 0, 1])[:, None]
            g = gradient[large]
            hit = np.nonzero(_inside(g[0] * px + g[1] * py, g[2] * px + g[3] * py))
            self._fragments(
                np.full(len(hit[0]), large), x[hit[1]], y[hit[0]], corners, gradient, normals, colour, opacity
            )
        count[count > _LARGE] = 0
        owner = np.repeat(np.arange(len(count)), count)
        if not len(owner):
            return
        index = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
        x, y = x0[owner] + index % wide[owner], y0[owner] + index // wide[owner]
        px, py = x + 0.5 - corners[owner, 0, 0], y + 0.5 - corners[owner, 0, 1]
        g = gradient[owner]
        within = _inside(g[:, 0] * px + g[:, 1] * py, g[:, 2] * px + g[:, 3] * py)
        self._fragments(owner[within], x[within], y[within], corners, gradient, normals, colour, opacity)

    def _fragments(
        self, owner: Any, x: Any, y: Any, corners: Any, gradient: Any, normals: Any, colour: Any, opacity: float
    ) -> None:
        """Pixels (x, y) of the triangles `owner`, shaded, where nothing solid hides them."""
        g = gradient[owner]
        px, py = x + 0.5 - corners[owner, 0, 0], y + 0.5 - corners[owner, 0, 1]
        w1, w2 = g[:, 0] * px + g[:, 1] * py, g[:, 2] * px + g[:, 3] * py
        depth = corners[:, :, 2]
        z = depth[owner, 0] * (1 - w1 - w2) + depth[owner, 1] * w1 + depth[owner, 2] * w2
        seen = z > self.z[y - self.top, x]
        owner, x, y, z = owner[seen], x[seen], y[seen], z[seen]
        w1, w2 = w1[seen, None].astype(np.float32), w2[seen, None].astype(np.float32)
        normal = normals[owner, 0] * (1 - w1 - w2) + normals[owner, 1] * w1 + normals[owner, 2] * w2
        normal /= np.maximum(np.sqrt(np.einsum("ij,ij->i", normal, normal)), 1e-9)[:, None]
        normal[normal[:, 2] < 0] *= -1
        alpha = np.clip(opacity * (0.6 + 1.3 * (1 - normal[:, 2]) ** 2), 0, 0.95)
        self._keep((y - self.top) * self.camera.width + x, z, _shade(colour, normal, z, self.camera.depth), alpha)

    def finish(self) -> Floats:
        """(rows, width, 4) premultiplied colour and opacity."""
        out = np.concatenate([self.colour, self.cover[..., None]], axis=-1).reshape(-1, 4)
        if self.layers:
            pixel, z, rgba = (np.concatenate(part) for part in zip(*self.layers, strict=True))
            order = np.lexsort((-z, pixel))  # the nearest of each pixel first
            pixel, rgba = pixel[order], rgba[order]
            first = np.flatnonzero(np.r_[True, pixel[1:] != pixel[:-1]])
            rank = np.arange(len(pixel)) - np.repeat(first, np.diff(np.r_[first, len(pixel)]))
            for layer in range(min(int(rank.max()), _LAYERS - 1), -1, -1):
                now = rank == layer
                at, over = pixel[now], rgba[now]
                out[at] = over + out[at] * (1 - over[:, 3:])
        return out.reshape(*self.cover.shape, 4)


def render(drawing: Drawing, camera: Camera, oversample: int = 2) -> NDArray[np.uint8]:
    """(height, width, 4) straight-alpha picture; nothing is transparent black.

    Args:
        drawing: what to draw.
        camera: from where.
        oversample: samples along each side of a pixel.
    """
    fine = Camera(
        camera.rotation, camera.centre, camera.scale * oversample, camera.width * oversample,
        camera.height * oversample, camera.depth,
    )  # fmt: skip
    balls = [(fine.place(at), radius, sectors) for at, radius, sectors in drawing.balls]
    glass = [(fine.place(at), radius, [(colour, 1.0)], opacity) for at, radius, colour, opacity in drawing.glass]
    rods = [(fine.place(a), fine.place(b), radius, colour) for a, b, radius, colour in drawing.rods]
    meshes = [
        (fine.place(t), (n @ fine.rotation.T).astype(np.float32), colour, opacity)
        for t, n, colour, opacity in drawing.meshes
    ]
    bands = []
    step = _BAND * oversample
    for top in range(0, fine.height, step):
        band = _Band(fine, top, min(top + step, fine.height))
        for ball in balls:
            band.ball(*ball)
        for rod in rods:
            band.rod(*rod)
        for mesh in meshes:
            band.mesh(*mesh)
        for bubble in glass:
            band.ball(*bubble)
        image = band.finish()
        rows, columns = image.shape[0] // oversample, image.shape[1] // oversample
        mean = image.reshape(rows, oversample, columns, oversample, 4).mean(axis=(1, 3))
        mean[..., :3] /= np.maximum(mean[..., 3:], 1e-6)
        bands.append(np.round(255 * np.clip(mean, 0, 1)).astype(np.uint8))
    return np.concatenate(bands)
